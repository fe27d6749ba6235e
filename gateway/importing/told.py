"""What could not be taken over, or only nearly: each with its place, the reason and the nearest that there is."""

from __future__ import annotations

import re
from typing import Any, cast

from msgspec import Struct

_VARIABLE = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)$")


class Note(Struct, frozen=True):
    """One of them. `lost`: nothing of it is in the result."""

    place: str
    said: str
    lost: bool = True


def value(raw: Any) -> Any:
    """A value in our spelling: a variable is `${NAME}`, and a dollar of a text stays one."""
    if not isinstance(raw, str):
        return raw
    found = _VARIABLE.fullmatch(raw.strip())
    return f"${{{found[1]}}}" if found else raw.replace("${", "$${")


def mapping(raw: Any) -> dict[str, Any]:
    """What should be a mapping; empty where it is none, as a file may hold anything."""
    return cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}


def listed(raw: Any) -> list[Any]:
    """What should be a list; empty where it is none."""
    return cast("list[Any]", raw) if isinstance(raw, list) else []


def is_plain_secret(raw: Any) -> bool:
    """Whether a key stands there itself."""
    return isinstance(raw, str) and bool(raw) and _VARIABLE.fullmatch(raw.strip()) is None
