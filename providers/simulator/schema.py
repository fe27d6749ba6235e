"""JSON schema in, one value that satisfies it out.

Law: `example` never loops and never raises on a schema that is a JSON object or boolean. Of an enum it takes the one
value that the question names, as who sorts letters reads them; otherwise that value, and a whole number within bounds
(a score), is drawn by lot, when there is one. Covered: type (one or a list, also Gemini's upper case), const, enum,
default-free objects with required and optional properties, arrays (minItems, maxItems, prefixItems, uniqueItems),
numbers (bounds, multipleOf), strings (length and the usual formats), $ref within the document, anyOf, oneOf, allOf,
nullable. Limits: `pattern`, `not`, `if` and `dependentSchemas` are not read; two branches of `oneOf` that both hold are
not told apart; a recursive schema without a way to stop ends in null.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

JsonSchema = Mapping[str, Any] | bool
#: Below this depth only what is required is produced, so that recursive schemas end.
OPTIONAL_DEPTH = 4
#: Here recursion that the schema itself cannot stop is cut.
MAX_DEPTH = 40

_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "email": "simulated@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class _Given(NamedTuple):
    """What a value is made from, the same at every depth."""

    root: JsonSchema
    said: str
    lot: float | None


def example(schema: JsonSchema, said: str = "", lot: float | None = None) -> Any:
    """Produce a value.

    Args:
        schema: what it follows.
        said: the question, which may name a value of an enum.
        lot: a number in [0, 1) that decides where the schema leaves a choice; None: the first.
    """
    return _made(schema, _Given(schema, said, lot))


def _made(schema: JsonSchema, given: _Given, depth: int = 0, nth: int = 0) -> Any:
    """The value at some depth; `nth` varies it, for arrays whose items must differ."""
    if isinstance(schema, bool) or not isinstance(cast("object", schema), Mapping) or depth > MAX_DEPTH:
        return None  # the last of them for what a caller sent and is no schema
    schema = _resolved(schema, given.root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return _chosen(schema["enum"], given, nth)
    if branching := next((key for key in ("anyOf", "oneOf") if schema.get(key)), None):
        return _branch(schema, branching, given, depth, nth)
    return _typed(schema, given, depth, nth)


def _chosen(values: list[Any], given: _Given, nth: int) -> Any:
    named = [one for one in values if isinstance(one, str) and _names(given.said, one)]
    if len(named) == 1 and not nth:
        return named[0]
    return values[(int((given.lot or 0) * len(values)) + nth) % len(values)]


def _names(said: str, value: str) -> bool:
    """As a word of its own: who says `unsafe` does not say `safe`."""
    return re.search(rf"(?<!\w){re.escape(value)}(?!\w)", said, re.IGNORECASE) is not None


def _typed(schema: Mapping[str, Any], given: _Given, depth: int, nth: int) -> Any:
    match _type(schema, depth):
        case "object":
            return _object(schema, given, depth, nth)
        case "array":
            return _array(schema, given, depth)
        case "string":
            return _string(schema, nth)
        case "integer" | "number" as kind:
            return _number(schema, kind, given.lot, nth)
        case "boolean":
            return nth % 2 == 0
        case _:
            return None


def _resolved(schema: Mapping[str, Any], root: JsonSchema) -> Mapping[str, Any]:
    """Follow references and merge `allOf`."""
    for _ in range(MAX_DEPTH):
        if isinstance(ref := schema.get("$ref"), str):
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = _merged(_lookup(ref, root), rest)
        elif schema.get("allOf"):
            rest = {key: value for key, value in schema.items() if key != "allOf"}
            for part in cast("list[JsonSchema]", schema["allOf"]):
                rest = rest if isinstance(part, bool) else _merged(_resolved(part, root), rest)
            schema = rest
        else:
            break
    return schema


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**first, **second}
    for key, join in (("properties", dict), ("required", list)):
        if key in first and key in second:
            merged[key] = {**first[key], **second[key]} if join is dict else [*first[key], *second[key]]
    return merged


def _lookup(ref: str, root: JsonSchema) -> Mapping[str, Any]:
    node: Any = root
    for part in ref.removeprefix("#").split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        inner: Mapping[str, Any] = cast("Mapping[str, Any]", node) if isinstance(node, Mapping) else {}
        node = inner.get(name) if name else inner
    return cast("Mapping[str, Any]", node) if isinstance(node, Mapping) else {}


def _branch(schema: Mapping[str, Any], key: str, given: _Given, depth: int, nth: int) -> Any:
    rest = {name: value for name, value in schema.items() if name != key}
    parts = cast("list[JsonSchema]", schema[key])
    branches = [_merged(rest, part) for part in parts if not isinstance(part, bool)]
    if depth > OPTIONAL_DEPTH:  # the plainest branch ends the recursion
        branches.sort(key=lambda part: ("$ref" in part, part.get("type") in ("object", "array")))
    return _made(branches[0], given, depth + 1, nth) if branches else None


def _type(schema: Mapping[str, Any], depth: int) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = cast("list[str]", kind)
        kind = "null" if "null" in kinds and depth > OPTIONAL_DEPTH else next((k for k in kinds if k != "null"), "null")
    if not isinstance(kind, str):
        known = (("properties", "object"), ("items", "array"), ("prefixItems", "array"), ("minimum", "number"))
        kind = next((name for key, name in known if key in schema), "string")
    if schema.get("nullable") and depth > OPTIONAL_DEPTH:
        return "null"
    return kind.lower()


def _object(schema: Mapping[str, Any], given: _Given, depth: int, nth: int) -> dict[str, Any]:
    properties: Mapping[str, Any] = schema.get("properties") or {}
    required: list[str] = list(schema.get("required") or ())
    names = (
        required if depth >= OPTIONAL_DEPTH else [*properties, *(name for name in required if name not in properties)]
    )
    made = {name: _made(properties.get(name, {}), given, depth + 1, nth) for name in names}
    more = schema.get("additionalProperties")
    for n in range(int(schema.get("minProperties", 0)) - len(made)):
        made[f"simulated_{n}"] = _made(cast("JsonSchema", more) if isinstance(more, Mapping) else {}, given, depth + 1)
    return made


def _array(schema: Mapping[str, Any], given: _Given, depth: int) -> list[Any]:
    fixed: list[Any] = list(schema.get("prefixItems") or ())
    wanted = max(int(schema.get("minItems", 0)), len(fixed), 0 if depth >= OPTIONAL_DEPTH else 1)
    wanted = min(wanted, int(schema.get("maxItems", wanted)))
    items: Any = schema.get("items", {})
    if items is False:
        wanted = min(wanted, len(fixed))
    vary = bool(schema.get("uniqueItems"))
    return [_made(fixed[n] if n < len(fixed) else items, given, depth + 1, n if vary else 0) for n in range(wanted)]


def _string(schema: Mapping[str, Any], nth: int) -> str:
    text = _FORMATS.get(str(schema.get("format")), "simulated")
    if nth:
        text = f"{text} {nth}"
    text = text.ljust(int(schema.get("minLength", 0)), ".")
    longest = int(schema.get("maxLength", len(text)))
    return text if longest >= len(text) else f"{nth}{text}"[:longest]


def _number(schema: Mapping[str, Any], kind: str, lot: float | None, nth: int) -> float | int:
    whole = kind == "integer"
    step = schema.get("multipleOf") or (1 if whole else None)
    low, high = _bounds(schema, step if whole else None)
    if whole and step == 1 and lot is not None and low is not None and high is not None:
        least, many = math.ceil(low), math.floor(high) - math.ceil(low) + 1
        return least + (int(lot * many) + nth) % max(many, 1)
    value: float = 1 + nth
    if low is not None and value < low:
        value = low + nth * (step or 1)
    if high is not None and value > high:
        value = high - nth * (step or 1)
    if low is not None and high is not None and not low <= value <= high:
        value = low
    if step:
        value = math.ceil(value / step) * step if low is not None else math.floor(value / step) * step
        if high is not None and value > high:
            value = math.floor(high / step) * step
    return int(value) if whole else value


def _bounds(schema: Mapping[str, Any], step: float | None) -> tuple[float | None, float | None]:
    """Inclusive bounds; an exclusive one moves in by a step, or by a part of the gap between the two."""
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    gap = step
    if gap is None:
        left = above if isinstance(above, int | float) else low
        right = below if isinstance(below, int | float) else high
        gap = (right - left) / 4 if left is not None and right is not None and right > left else 0.5
    if isinstance(above, int | float) and not isinstance(above, bool) and (low is None or above >= low):
        low = math.floor(above) + 1 if step == 1 else above + gap
    if isinstance(below, int | float) and not isinstance(below, bool) and (high is None or below <= high):
        high = math.ceil(below) - 1 if step == 1 else below - gap
    return low, high
