"""A caller's JSON schema in the words of a provider that does not take it as it is: one walk for all of them.

Values stay values (`default`, `enum` …), and names that anybody may give (`properties` …) are no words of a schema.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from providers.chat import Json

#: What holds values and no schemas.
_DATA = ("default", "enum", "const", "example", "examples", "required")
#: What holds schemas by names that anybody may give.
_NAMED = ("properties", "$defs", "definitions", "patternProperties")


def rewritten(schema: Json, change: Callable[[Json], Json]) -> Json:
    """The schema, it and every one in it changed, the innermost first; `change` may keep what it is given.

    One nested too deep to be read stays as it is: it is the provider's to judge.
    """
    try:
        return _rewritten(schema, change)
    except RecursionError:
        return schema


def _rewritten(schema: Json, change: Callable[[Json], Json]) -> Json:
    return change({name: _inner(name, value, change) for name, value in schema.items()})


def _inner(name: str, value: object, change: Callable[[Json], Json]) -> object:
    if name in _DATA:
        return value
    if isinstance(value, list):
        return [_inner("", one, change) for one in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("Json", value)
    if name in _NAMED:
        return {key: _inner("", one, change) for key, one in fields.items()}
    return _rewritten(fields, change)
