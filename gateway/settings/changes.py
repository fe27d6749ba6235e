"""Which settings differ between two moments: their names, never their values, among which are secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct

from gateway.settings.tree import Settings


def changed(before: Settings, after: Settings) -> list[str]:
    """Paths such as `server.max_body`, `providers.openai` and `keys`."""
    found: list[str] = []
    for name in Settings.__struct_fields__:
        was, now = getattr(before, name), getattr(after, name)
        if was == now:
            continue
        inner = [one for one in _names(was, now) if _part(was, one) != _part(now, one)]
        found += [f"{name}.{one}" for one in inner] or [name]
    return found


def _names(was: Any, now: Any) -> list[str]:
    if isinstance(was, Struct):
        return list(was.__struct_fields__)
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        return sorted({*cast("Mapping[str, Any]", was), *cast("Mapping[str, Any]", now)})
    return []


def _part(of: Any, name: str) -> Any:
    return getattr(of, name) if isinstance(of, Struct) else cast("Mapping[str, Any]", of).get(name)
