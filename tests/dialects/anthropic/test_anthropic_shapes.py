"""Which schemas Claude binds an answer to: those that its own SDK sends as they are, once they are closed."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic import transform_schema

from providers.dialects.anthropic.shapes import binds, closed

_TEXT = {"type": "string"}
_PERSON = {"type": "object", "properties": {"name": _TEXT}, "required": ["name"]}


def _of(field: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": field}, **more}


@pytest.mark.parametrize(
    "schema",
    [
        _PERSON,
        _of(_PERSON, description="A person.", title="T"),
        _of({"anyOf": [_PERSON, {"type": "null"}]}),
        _of({"type": "array", "items": _PERSON, "minItems": 1}),
        _of({"enum": ["x", 1, None]}, additionalProperties=False),
        _of({"const": "x"}),
        _of({"type": "string", "format": "uuid"}),
        _of({"$ref": "#/$defs/P"}, **{"$defs": {"P": _PERSON}}),
        _of({"$ref": "#/$defs/P"}, **{"$defs": {"P": _of({"$ref": "#/$defs/Q"}), "Q": _PERSON}}),
    ],
)
def test_what_is_bound_is_what_the_sdk_sends(schema: dict[str, Any]) -> None:
    assert binds(schema)
    assert closed(schema) == transform_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        _of({"type": "integer", "minimum": 0}),
        _of({"type": "string", "pattern": "^a$"}),
        _of({"type": "string", "format": "iri"}),
        _of({"type": "array", "items": _TEXT, "minItems": 2}),
        _of({"type": "array", "items": _TEXT, "uniqueItems": True}),
        _of({"oneOf": [_TEXT, {"type": "null"}]}),
        _of(_PERSON, additionalProperties=_TEXT),
        _of({"type": "object"}),
    ],
)
def test_what_the_sdk_sends_otherwise_is_not_bound(schema: dict[str, Any]) -> None:
    assert not binds(schema)
    assert closed(schema) != transform_schema(schema)


_CHAIN = {f"D{at}": _of({"$ref": f"#/$defs/D{at + 1}"}, b={"$ref": f"#/$defs/D{at + 1}"}) for at in range(60)}


@pytest.mark.parametrize(
    "schema",
    [
        _of({}),
        _of({"enum": [{"b": 1}]}),
        _of(True),
        _of({"type": "strange"}),
        _of({"$ref": "#/$defs/P"}),
        _of({"$ref": "https://example.com/schema"}),
        _of({"$ref": "#/$defs/P"}, **{"$defs": {"P": _of({"$ref": "#/$defs/P"})}}),
        _of(_TEXT, **{"$defs": {"P": _of({"type": "array", "items": {"$ref": "#/$defs/P"}})}}),
        {"type": "object", "properties": [1]},
        {"type": "object", "properties": {"a": _TEXT}, "anyOf": 7},
        _of({"$ref": "#/$defs/D0"}, **{"$defs": _CHAIN}),
    ],
)
def test_what_nobody_can_make_sense_of_is_not_bound(schema: dict[str, Any]) -> None:
    assert not binds(schema)


def test_a_schema_nested_without_end_is_not_bound() -> None:
    schema: dict[str, Any] = _TEXT
    for _ in range(5_000):
        schema = {"type": "array", "items": schema}
    assert not binds(_of(schema))


def test_definitions_that_share_others_are_looked_into_once() -> None:
    defined: dict[str, Any] = {
        f"D{at}": {"type": "object", "properties": {name: {"$ref": f"#/$defs/D{at + 1}"} for name in "ab"}}
        for at in range(60)
    }
    defined["D60"] = _TEXT
    assert binds(_of({"$ref": "#/$defs/D0"}, **{"$defs": defined}))


def test_notes_are_no_part_of_a_schema() -> None:
    noted = _of({**_TEXT, "examples": ["x"]}, **{"$schema": "https://json-schema.org/x", "propertyOrdering": ["a"]})
    assert binds(noted)
    assert closed(noted) == _of(_TEXT, additionalProperties=False)
