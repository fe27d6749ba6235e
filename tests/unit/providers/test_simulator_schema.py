"""Laws of the simulator's schema generator: what it makes fits, and it always ends."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from providers.simulator.schema import example


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, Any]:
    low, span = draw(st.integers(0, 20)), draw(st.integers(1, 5))
    values = draw(st.lists(st.integers() | st.text(max_size=3), min_size=1, max_size=3))
    kinds: list[dict[str, Any]] = [
        {"type": "integer", "minimum": low - 10, "maximum": low - 10 + span},
        {"type": "number", "exclusiveMinimum": low - 10, "maximum": low - 10 + span},
        {"type": "string", "minLength": low, "maxLength": low + span},
        {"type": "boolean"},
        {"type": "null"},
        {"type": ["null", "string"]},
        {"enum": values},
        {"const": values[0]},
    ]
    return draw(st.sampled_from(kinds))


@st.composite
def nests(draw: st.DrawFn, inner: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    one, few = draw(inner), draw(st.integers(0, 3))
    properties = draw(st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3))
    kinds: list[dict[str, Any]] = [
        {"type": "object", "properties": properties, "required": sorted(properties)},
        {"type": "array", "items": one, "minItems": few, "maxItems": few + 1},
        {"anyOf": [one, {"type": "null"}]},
        {"allOf": [one]},
    ]
    return draw(st.sampled_from(kinds))


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """A validator of exactly the schemas above, written apart from the generator."""
    if "anyOf" in schema:
        return any(fits(value, part) for part in schema["anyOf"])
    if "allOf" in schema:
        return all(fits(value, part) for part in schema["allOf"])
    if "enum" in schema or "const" in schema:
        return value in schema.get("enum", [schema.get("const")])
    if schema["type"] == "object":
        inside = all(fits(value[name], part) for name, part in schema["properties"].items())
        return inside and set(schema["required"]) <= set(value)
    if schema["type"] == "array":
        return schema["minItems"] <= len(value) <= schema["maxItems"] and all(fits(v, schema["items"]) for v in value)
    return fits_leaf(value, schema)


def fits_leaf(value: Any, schema: dict[str, Any]) -> bool:
    match schema["type"]:
        case "integer":
            return type(value) is int and schema["minimum"] <= value <= schema["maximum"]
        case "number":
            return schema["exclusiveMinimum"] < value <= schema["maximum"]
        case "string":
            return schema["minLength"] <= len(value) <= schema["maxLength"]
        case "boolean":
            return isinstance(value, bool)
        case "null":
            return value is None
        case _:
            return value is None or isinstance(value, str)


@given(st.recursive(leaves(), nests, max_leaves=12), st.text(max_size=5), st.none() | st.floats(0, 1, exclude_max=True))
def test_examples_fit_their_schema(schema: dict[str, Any], said: str, lot: float | None) -> None:
    assert fits(example(schema, said, lot), schema)


TOPIC: dict[str, Any] = {"enum": ["billing", "outage", "not billing", 3]}


def test_of_an_enum_that_is_chosen_which_the_question_names() -> None:
    assert example(TOPIC, "My router: an OUTAGE, since noon.") == "outage"
    assert example(TOPIC, "The outages, the billings") == "billing"  # as nothing is named
    assert example(TOPIC, "billing or outage?", 0.5) == "not billing"  # as both are
    inner = {"type": "object", "properties": {"topics": {"type": "array", "items": TOPIC}}}
    assert example(inner, "outage") == {"topics": ["outage"]}


def test_what_nothing_decides_is_drawn() -> None:
    lots = [n / 100 for n in range(100)]
    assert {example(TOPIC, "", lot) for lot in lots} == set(TOPIC["enum"])
    score = {"type": "integer", "minimum": 1, "exclusiveMaximum": 11}
    assert {example(score, "", lot) for lot in lots} == set(range(1, 11))
    assert example(score) == 1


def test_recursive_schemas_end() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#"}, "name": {"type": "string"}}, "required": ["name"]}
    assert example(node)["name"] == "simulated"
    tree = {
        "$defs": {"T": {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/T"}}}}}
    }
    assert "kids" in example({**tree, "$ref": "#/$defs/T"})
    forced: dict[str, Any] = {"type": "object", "properties": {"self": {"$ref": "#"}}, "required": ["self"]}
    json.dumps(example(forced))  # cut where the schema itself has no end


def test_unique_items_differ_and_multiples_hold() -> None:
    made = example({"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True})
    assert len(set(made)) == 3
    named = {"type": "object", "properties": {"name": {"type": "string"}}}
    made = example({"type": "array", "items": named, "minItems": 3, "uniqueItems": True})
    assert len({one["name"] for one in made}) == 3
    assert example({"type": "integer", "multipleOf": 7, "minimum": 10}) == 14
