"""How much work a JSON schema makes, told before it is done: its author may be a caller.

A validator goes every way through a schema, and references may make ways multiply: twenty definitions, each of which
names the next one twice, are a million ways; so does one that names itself twice, with each level of the value. Here
every pair of a part of the schema and a part of the value is looked at once.

Limits: what is counted is an upper bound, as if nothing was decided early. References are places (`#/$defs/…`); who
has others, or names of its own for its parts (`$id`, `$anchor`) beside references, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any, cast
from urllib.parse import unquote

_Schema = dict[str, Any]
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_NAMES = ("$id", "$anchor", "$dynamicAnchor")
#: What draft 4 says for the first, and every other for a value of its own.
_OLD_NAME = "id"
#: What holds one schema, several, or several by name, for the same part of a value, or for those within it.
_BY_NAME = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})
_SAME = ("not", "if", "then", "else", "allOf", "anyOf", "oneOf", "dependentSchemas", "dependencies")
_ITEMS = ("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains")
_PROPERTIES = ("additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames")
#: Steps that are always few: a validator that says what is wrong takes some 50 µs for one.
FEW = 4_000
#: Steps that one which only says yes or no takes in about a tenth of a second.
MANY = 10_000_000
#: Pairs that are looked at, in about a fifth of a second.
_MOST_PAIRS = 200_000


class Unclear(ValueError):
    """A reference is to be written as a place, '#/$defs/…', and no part of a schema beside references has an '$id'."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__(self.__doc__)


class _TooMuch(Exception):
    """It is too much."""


class Work:
    """Of one schema."""

    def __init__(self, schema: _Schema) -> None:
        """Look through it. Raises `Unclear`."""
        self._root = schema
        self._known: dict[tuple[int, int], int] = {}
        self._has_names = _has_names(schema)
        try:
            # Whatever the value is, each part of it meets no more than these.
            self._is_bounded = self._ways(schema, {}) <= FEW
        except RecursionError:
            self._is_bounded = False

    def steps(self, value: Any) -> int:
        """At most so many are taken for this value, or more than `MANY`; 0 where no reference makes them multiply."""
        if self._is_bounded:
            return 0
        try:
            return self._steps(self._root, value)
        except (_TooMuch, RecursionError, Unclear):
            # (Unclear: behind more references in a row than could be followed when it was looked through.)
            return MANY + 1
        finally:
            self._known = {}

    def _ways(self, schema: Any, known: dict[int, float]) -> float:
        """Through all of it, whatever the value; inf where it leads to itself. Raises `Unclear`."""
        if not isinstance(schema, dict):
            return 1
        if (ways := known.get(id(cast("_Schema", schema)))) is not None:
            return ways
        found = cast("_Schema", schema)
        known[id(found)] = inf
        total = 1 + sum(self._ways(one, known) for one in self._led_to(found))
        total += sum(self._ways(one, known) for one in _all(found, (*_SAME, *_ITEMS, *_PROPERTIES, "properties")))
        known[id(found)] = total
        return total

    def _steps(self, schema: Any, value: Any) -> int:
        if not isinstance(schema, dict):
            return 1
        found = cast("_Schema", schema)
        pair = (id(found), id(value))
        if (steps := self._known.get(pair)) is not None:
            return steps
        if len(self._known) > _MOST_PAIRS:
            raise _TooMuch
        self._known[pair] = 0  # whoever comes back here, at the same part of the value, is stopped by the validator
        total = 1 + sum(self._steps(one, value) for one in (*self._led_to(found), *_all(found, _SAME)))
        if isinstance(value, list):
            held = [*_all(found, _ITEMS)]
            total += sum(self._steps(one, part) for part in cast("list[Any]", value) for one in held)
        elif isinstance(value, dict):
            held, named = [*_all(found, _PROPERTIES)], found.get("properties", {})
            for name, part in cast("_Schema", value).items():
                total += sum(self._steps(one, part) for one in held) + self._steps(named.get(name), part)
        self._known[pair] = total
        return total

    def _led_to(self, schema: _Schema) -> Iterator[Any]:
        """What its references name."""
        for keyword in _REFERENCES:
            if isinstance(name := schema.get(keyword), str):
                yield self._at(name)

    def _at(self, name: str) -> Any:
        if self._has_names or not (name == "#" or name.startswith("#/")):
            raise Unclear
        here: Any = self._root
        for step in name.split("/")[1:]:
            key = unquote(step).replace("~1", "/").replace("~0", "~")
            try:
                here = cast("list[Any]", here)[int(key)] if isinstance(here, list) else here[key]
            except (KeyError, IndexError, ValueError, TypeError):
                raise Unclear from None
        return here


def _all(schema: _Schema, keywords: tuple[str, ...]) -> Iterator[Any]:
    """The schemas under these keywords: one, several, or several by name."""
    for keyword in keywords:
        held = schema.get(keyword)
        if isinstance(held, list):
            yield from cast("list[Any]", held)
        elif isinstance(held, dict):
            yield held
            if keyword in _BY_NAME:
                yield from cast("_Schema", held).values()


def _has_names(schema: Any) -> bool:
    """Any part but the whole has a name of its own."""
    if not isinstance(schema, dict):
        return False
    names = (*_NAMES, _OLD_NAME) if "draft-04" in str(cast("_Schema", schema).get("$schema")) else _NAMES
    held: list[Any] = [schema]
    while held:
        one = held.pop()
        if isinstance(one, dict):
            parts = cast("_Schema", one)
            if one is not schema and any(isinstance(parts.get(name), str) for name in names):
                return True
            held += parts.values()
        elif isinstance(one, list):
            held += cast("list[Any]", one)
    return False
