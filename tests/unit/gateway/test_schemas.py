"""Schemas of callers: harmless, and what does not follow them is told with its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schemas import BadSchema, SchemaError, Validator, json_path


def errors(schema: Any, value: Any) -> list[SchemaError]:
    return list(Validator(schema).errors(value))


PERSON: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
    },
    "additionalProperties": False,
    "$defs": {"tag": {"type": "object", "properties": {"key": {}, "value": {}}, "additionalProperties": False}},
}


def test_what_follows_the_schema_has_no_errors() -> None:
    assert errors(PERSON, {"name": "n", "tags": [{"key": 1}]}) == []
    assert errors({}, [1]) == []


def test_all_errors_are_told_with_their_places() -> None:
    found = errors(PERSON, {"tags": [5, {"key": 1}], "nam": 1})
    assert [one.path for one in found if "required" in one.message] == [()]
    assert ("tags", 0) in {one.path for one in found}
    assert len(found) == 3


def test_unknown_fields_come_with_those_that_are_known() -> None:
    (found,) = errors(PERSON, {"name": "n", "nam": 1})
    assert (found.path, found.unknown, sorted(found.known)) == ((), ("nam",), ["name", "tags"])


def test_unknown_fields_behind_a_reference_do_too() -> None:
    (found,) = errors(PERSON, {"name": "n", "tags": [{}, {"kye": 1}]})
    assert (found.path, found.unknown, sorted(found.known)) == (("tags", 1), ("kye",), ["key", "value"])


def test_fields_that_another_keyword_forbids_are_told_too() -> None:
    schema = {"allOf": [{"properties": {"a": {}}}], "properties": {"b": {}}, "unevaluatedProperties": False}
    (found,) = errors(schema, {"a": 1, "b": 1, "c": 1})
    assert found.unknown == ("c",)
    assert list(found.known) == ["b"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "strin"},
        {"properties": 5},
        {"pattern": "("},
        {"pattern": "(?=a)"},
        {"$ref": "https://example.org/schema"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/$defs/gone"},
        5,
        "text",
    ],
)
def test_what_is_no_schema_or_reaches_out_is_refused(schema: Any) -> None:
    with pytest.raises(BadSchema) as refused:
        Validator(schema)
    assert 0 < len(str(refused.value)) <= 300


def test_a_long_value_is_not_quoted_in_full() -> None:
    (found,) = errors({"type": "integer"}, "x" * 10_000)
    assert len(found.message) <= 300


def test_one_validator_serves_many_values() -> None:
    validator = Validator({"type": "integer"})
    values: list[Any] = [1, "a", 2, None]
    assert [len(list(validator.errors(value))) for value in values] == [0, 1, 0, 1]


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json)
def test_any_value_is_judged(value: Any) -> None:
    assert all(isinstance(one, SchemaError) for one in errors(PERSON, value))
    assert errors(True, value) == []
    assert errors({"const": value}, value) == []


def test_a_place_is_written_as_json_path() -> None:
    assert json_path(()) == "$"
    assert json_path(("nodes", "a", 0, "b")) == "$.nodes.a[0].b"
