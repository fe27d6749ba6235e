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


def twice(levels: int) -> dict[str, Any]:
    """Each definition names the next one twice."""
    named = {f"d{at}": {"anyOf": [{"$ref": f"#/$defs/d{at + 1}"}] * 2} for at in range(levels)}
    return {"$defs": {**named, f"d{levels}": {"type": "string"}}, "$ref": "#/$defs/d0"}


ITEMS = {"type": "array", "items": {"$ref": "#"}}


@pytest.mark.parametrize("levels", [14, 60])
def test_references_that_multiply_stop_nobody(levels: int) -> None:
    # What would be all the ways runs into the timeout of every test.
    assert [one.path for one in errors(twice(levels), 5)] == [()]
    value: Any = 5
    for _ in range(levels):
        value = [value]
    assert [one.path for one in errors({"anyOf": [ITEMS, ITEMS]}, value)] == [()]


def test_what_is_yes_or_no_is_told_where_there_are_too_many_ways_to_say_why() -> None:
    assert errors(twice(14), "x") == []
    assert "too many ways to say where" in errors(twice(14), 5)[0].message


def test_schemas_that_name_themselves_are_judged_to_the_place() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "n": {"type": "integer"}}}
    assert errors(tree, {"left": {"right": {"n": 1}}}) == []
    assert [one.path for one in errors(tree, {"left": {"right": {"n": "x"}}})] == [("left", "right", "n")]
    assert [one.path for one in errors({"items": {"$ref": "#/items"}}, [1])] == []


@pytest.mark.parametrize(
    "part",
    [{"$ref": "#a"}, {"$ref": "#/no"}, {"items": {"$id": "http://x/a"}, "$ref": "#"}, {"$dynamicRef": "#a"}],
)
def test_references_that_cannot_be_followed_are_refused(part: dict[str, Any]) -> None:
    with pytest.raises(BadSchema):
        Validator({"$defs": {"a": {"$anchor": "a", "$dynamicAnchor": "a"}}, "not": part})


def test_a_reference_that_cannot_be_followed_is_refused_behind_one_that_leads_back_too() -> None:
    back, away = {"$ref": "#"}, {"$ref": "http://x/s#/$defs/n"}
    with pytest.raises(BadSchema):
        Validator({"$id": "http://x/s", "properties": {"a": back, "b": away}, "$defs": {"n": {"type": "integer"}}})


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
