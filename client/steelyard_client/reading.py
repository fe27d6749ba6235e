"""JSON → dataclasses, by their annotations.

Law: what is not as announced is never an error. A field that is not known becomes an attribute, one that is missing is
None, a value of another kind stays as it came; so this client reads what newer and older gateways answer.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

_Reader = Callable[[Any], Any]


def read(kind: Any, value: Any) -> Any:
    """The value as this type."""
    return _reader(kind)(value)


@cache
def _reader(kind: Any) -> _Reader:
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(cast("type[Any]", kind))
    if kind is datetime:
        return _moment
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is list:
        return _list_reader(arguments[0])
    if origin is dict:
        return _dict_reader(arguments[1])
    if origin in (Union, types.UnionType):
        # Of several kinds the one that has something to read; no answer has a field that could be either of two.
        telling = [one for one in arguments if _reader(one) is not _as_it_is]
        return _reader(telling[0]) if len(telling) == 1 else _as_it_is
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _moment(value: Any) -> Any:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value


def _list_reader(kind: Any) -> _Reader:
    item = _reader(kind)
    if item is _as_it_is:
        return _as_it_is
    return lambda value: [item(one) for one in cast("list[Any]", value)] if isinstance(value, list) else value


def _dict_reader(kind: Any) -> _Reader:
    item = _reader(kind)
    if item is _as_it_is:
        return _as_it_is

    def each(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: item(one) for name, one in cast("dict[str, Any]", value).items()}

    return each


def _dataclass_reader(kind: type[Any]) -> _Reader:
    readers = {name: _reader(hint) for name, hint in get_type_hints(kind).items()}
    absent = dict.fromkeys(readers)

    def made(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        one: Any = object.__new__(kind)
        told = {name: readers.get(name, _as_it_is)(inner) for name, inner in cast("dict[str, Any]", value).items()}
        one.__dict__.update(absent | told)
        return one

    return made
