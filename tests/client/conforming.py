"""Whether an answer is what its type says: stricter than the client, which takes what comes."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_PLAIN: dict[Any, Any] = {
    str: str,
    bool: bool,
    int: int,
    float: (int, float),
    datetime: datetime,
    type(None): type(None),
}


def departures(value: Any, kind: Any, path: str = "$") -> Iterator[str]:
    """Where it departs from its type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        yield from _of_fields(value, kind, path)
    elif origin in (Union, types.UnionType):
        if all(any(departures(value, one, path)) for one in arguments):
            yield f"{path}: {value!r} is none of {kind}"
    elif origin is Literal:
        if value not in arguments:
            yield f"{path}: {value!r} is not in {arguments}"
    elif origin is list or origin is dict:
        yield from _of_parts(value, origin, arguments[-1], path)
    elif kind in _PLAIN and (not isinstance(value, _PLAIN[kind]) or (isinstance(value, bool) and kind in (int, float))):
        yield f"{path}: {value!r} is no {kind.__name__}"


def _of_parts(value: Any, origin: type, kind: Any, path: str) -> Iterator[str]:
    if not isinstance(value, origin):
        yield f"{path}: {value!r} is no {origin.__name__}"
        return
    parts: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in parts:
        yield from departures(inner, kind, f"{path}.{name}")


def _of_fields(value: Any, kind: Any, path: str) -> Iterator[str]:
    if not isinstance(value, kind):
        yield f"{path}: {value!r} is no {kind.__name__}"
        return
    hints = get_type_hints(kind)
    for name, inner in vars(value).items():
        if name not in hints:
            yield f"{path}.{name}: not in the type"
        else:
            yield from departures(inner, hints[name], f"{path}.{name}")
