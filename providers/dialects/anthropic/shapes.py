"""The schemas that Claude binds an answer to, and how they are written for it.

"Structured outputs" in the API's documentation, and the official SDK's `transform_schema`, which moves what the API
does not take into descriptions: a schema that says more than `_Shape` is refused with a 400. So is an object that
leaves its further properties open; where the schema only did not say so it is closed, because whatever follows the
closed schema follows the caller's. A schema that is none of this is bound by a tool, and the answer validated
(`fitting`).
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from providers.chat import Json
from providers.dialects.schemas import rewritten

_Kind = Literal["object", "array", "string", "integer", "number", "boolean", "null"]
_Literal = str | int | float | bool | None
#: Notes for readers, of which the API knows nothing.
_NOTES = {"$schema", "$id", "$comment", "example", "examples", "propertyOrdering", "deprecated"}


class _Shape(Struct, forbid_unknown_fields=True):
    """A schema that the API takes, once it is `closed`; definitions stand at the root."""

    type: _Kind | list[_Kind] | UnsetType = UNSET
    title: Any = UNSET
    description: Any = UNSET
    default: Any = UNSET
    required: list[str] | UnsetType = UNSET
    enum: list[_Literal] | UnsetType = UNSET
    const: _Literal | UnsetType = UNSET
    properties: dict[str, _Shape] = {}
    additional_properties: Literal[False] | UnsetType = field(default=UNSET, name="additionalProperties")
    items: _Shape | UnsetType = UNSET
    min_items: Literal[0, 1] | UnsetType = field(default=UNSET, name="minItems")
    any_of: list[_Shape] = field(default=[], name="anyOf")
    format: (
        Literal["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"] | UnsetType
    ) = UNSET
    ref: str | UnsetType = field(default=UNSET, name="$ref")
    defs: dict[str, _Shape] = field(default={}, name="$defs")
    definitions: dict[str, _Shape] = {}


def binds(schema: Json) -> bool:
    """Whether the API binds an answer to this schema, once it is `closed`."""
    try:
        return _Reader(msgspec.convert(closed(schema), _Shape)).takes_all()
    except (msgspec.ValidationError, RecursionError):
        return False


def closed(schema: Json) -> Json:
    """The schema without notes, and every object with properties closed unless it says otherwise."""
    return rewritten(schema, _closed)


def _closed(schema: Json) -> Json:
    written = {name: value for name, value in schema.items() if name not in _NOTES}
    if written.get("properties"):
        written.setdefault("additionalProperties", False)
    return written


class _Reader:
    """Looks for what no single field tells: objects of nothing, and references to nowhere or in a circle."""

    def __init__(self, root: _Shape) -> None:
        self._root = root
        self._defined = {
            **{f"#/$defs/{name}": shape for name, shape in root.defs.items()},
            **{f"#/definitions/{name}": shape for name, shape in root.definitions.items()},
        }
        #: Definitions that were looked into; False while that is under way.
        self._known: dict[str, bool] = {}

    def takes_all(self) -> bool:
        return self._takes(self._root) and all(map(self._refers, self._defined))

    def _takes(self, shape: _Shape) -> bool:
        if isinstance(shape.ref, str):
            return self._refers(shape.ref)
        kinds = shape.type if isinstance(shape.type, list) else [shape.type]
        if "object" in kinds and not shape.properties:
            return False  # of anything, and closed it would be of nothing
        if kinds == [UNSET] and not shape.any_of and shape.enum is UNSET and shape.const is UNSET:
            return False
        inner = [*shape.properties.values(), *shape.any_of]
        return all(map(self._takes, [*inner, shape.items] if isinstance(shape.items, _Shape) else inner))

    def _refers(self, ref: str) -> bool:
        if ref not in self._known:
            self._known[ref] = False
            self._known[ref] = ref in self._defined and self._takes(self._defined[ref])
        return self._known[ref]
