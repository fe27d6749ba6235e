"""The client against the gateway's OpenAPI document: every operation has a method, and every type is the gateway's."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from steelyard_client.asking import Ask
from tests.client.either import METHODS, described
from tests.client.writing import AREAS, answered, area_of, fields_of, references

#: What the official SDKs are for, and the probes' verb; the client is for what only a gateway has.
_DROP_IN = ("/v1/", "/v1beta/")
_ALIASES = {("get", "/health/live")}
_VERBS = {"get", "post", "put", "patch", "delete"}
#: Methods that ask the address of another one in another way.
_BESIDE = {"orchestrate_stream", "run_workflow", "save_artifact", "spend_csv", "watch"}


def ours(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for verb, operation in item.items():
            dropped_in = area_of(path) is None and path.startswith(_DROP_IN)
            if verb in _VERBS and (verb, path) not in _ALIASES and not dropped_in:
                yield verb, path, operation


def addresses(name: str) -> tuple[str, str]:
    asked = described(name)
    return asked.method.lower(), asked.address


def test_every_operation_has_a_method(document: dict[str, Any]) -> None:
    known = {addresses(name) for name in METHODS}
    missing = [f"{verb.upper()} {path}" for verb, path, _ in ours(document) if (verb, path) not in known]
    assert not missing


def test_every_method_asks_for_an_operation(document: dict[str, Any]) -> None:
    """Of an area that the gateway has: one that it has not yet may be ahead as a whole, and no address of one alone."""
    there = {(verb, path) for path, item in document["paths"].items() for verb in item}
    areas = {area_of(path) for _, path in there}
    unknown = {name: addresses(name) for name in METHODS if addresses(name) not in there}
    assert not {name: one for name, one in unknown.items() if area_of(one[1]) in areas}


def test_no_two_methods_ask_the_same(document: dict[str, Any]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for name in METHODS.keys() - _BESIDE:
        assert seen.setdefault(addresses(name), name) == name


def test_every_parameter_of_an_operation_can_be_given(document: dict[str, Any]) -> None:
    methods = {addresses(name): described(name) for name in METHODS.keys() - _BESIDE}
    methods[addresses("run_workflow")] = described("run_workflow")
    for verb, path, operation in ours(document):
        asked = methods[(verb, path)]
        for one in operation.get("parameters", []):
            given = {"path": asked.place, "query": asked.query, "header": asked.headers}[one["in"]]
            name = one["name"].lower() if one["in"] == "header" else one["name"]
            if (path, name) != ("/v1/responses/{response_id}", "stream"):  # always refused
                assert name in given, f"{verb.upper()} {path} takes {name}"


def test_every_field_of_a_body_can_be_given(document: dict[str, Any]) -> None:
    """By name; a body of open fields (`sampling`, `changes`, a definition) takes all."""
    for name in METHODS:
        asked = described(name)
        parameters = inspect.signature(METHODS[name].describe).parameters.values()
        operation = document["paths"].get(asked.address, {}).get(asked.method.lower(), {})
        schemas = list(references(operation.get("requestBody", {}).get("content", {}).get("application/json", {})))
        if not schemas or any(one.kind is one.VAR_KEYWORD for one in parameters) or schemas[0] == "Definition":
            continue
        fields = document["components"]["schemas"][schemas[0]]["properties"]
        assert set(asked.body) == set(fields), name


def test_every_answer_is_of_the_type_that_is_announced(document: dict[str, Any]) -> None:
    for name in METHODS:
        asked = described(name)
        operation = document["paths"].get(asked.address, {}).get(asked.method.lower())
        if not isinstance(asked, Ask) or operation is None:
            continue
        kinds: Any = {**{None: asked.answer}, **asked.answers}
        good = {one for status, told in operation["responses"].items() if status < "3" for one in references(told)}
        for kind in kinds.values():
            assert not dataclasses.is_dataclass(kind) or typing.cast("type", kind).__name__ in good, name


@pytest.mark.parametrize("area", AREAS)
def test_types_are_as_the_document_has_them(document: dict[str, Any], area: str) -> None:
    """If not: `python -m tests.client` writes them anew."""
    module = importlib.import_module(f"steelyard_client.answers.{area}")
    for name in answered(document).get(area, []):
        kind = getattr(module, name)
        told = {field.name: str(field.type) for field in dataclasses.fields(kind)}
        assert told == fields_of(document["components"]["schemas"][name]), f"{name}: run `python -m tests.client`"
        assert kind.__module__ == module.__name__
