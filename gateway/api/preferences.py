"""`X-Steelyard-*` request headers → `Preferences`. A value that means nothing is an error that names the header."""

import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from gateway.errors import BadRequest
from gateway.exchange import Preferences

PREFIX = b"x-steelyard-"
_SESSION = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def _text(name: str, value: str) -> str:
    if not value.strip():
        raise BadRequest(f"The header {name} is empty.", param=name)
    return value.strip()


def _names(name: str, value: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in value.split(",") if part.strip())
    if not found:
        raise BadRequest(f"The header {name} names no provider.", param=name)
    return found


def _session(name: str, value: str) -> str:
    if not _SESSION.fullmatch(value.strip()):
        raise BadRequest(f"The header {name} takes up to 128 letters, digits and . _ : - only.", param=name)
    return value.strip()


def _positive(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise BadRequest(f"The header {name} must be a number greater than 0, not '{value[:40]}'.", param=name)
    return number


def _milliseconds(name: str, value: str) -> float:
    seconds = _positive(name, value) / 1000
    if seconds > 86_400:
        raise BadRequest(f"The header {name} is at most 86400000, a day.", param=name)
    return seconds


def _cache(name: str, value: str) -> str:
    word = value.strip().lower()
    if word not in {"on", "off", "refresh"}:
        raise BadRequest(f"The header {name} must be 'on', 'off' or 'refresh', not '{value[:40]}'.", param=name)
    return word


def _switch(name: str, value: str) -> bool:
    word = value.strip().lower()
    if word not in {"true", "false", "1", "0", "on", "off"}:
        raise BadRequest(f"The header {name} must be 'true' or 'false', not '{value[:40]}'.", param=name)
    return word in {"true", "1", "on"}


_READERS: dict[bytes, tuple[str, str, Callable[[str, str], Any]]] = {
    b"x-steelyard-strategy": ("X-Steelyard-Strategy", "strategy", _text),
    b"x-steelyard-objective": ("X-Steelyard-Objective", "objective", _text),
    b"x-steelyard-providers": ("X-Steelyard-Providers", "providers", _names),
    b"x-steelyard-timeout-ms": ("X-Steelyard-Timeout-Ms", "timeout", _milliseconds),
    b"x-steelyard-cache": ("X-Steelyard-Cache", "cache", _cache),
    b"x-steelyard-cache-ttl": ("X-Steelyard-Cache-Ttl", "cache_ttl", _positive),
    b"x-steelyard-session-id": ("X-Steelyard-Session-Id", "session_id", _session),
    b"x-steelyard-drop-params": ("X-Steelyard-Drop-Params", "drop_params", _switch),
    b"x-steelyard-validate": ("X-Steelyard-Validate", "validate", _switch),
    b"x-steelyard-continue": ("X-Steelyard-Continue", "continue_streams", _switch),
}


def read(headers: Iterable[tuple[bytes, bytes]]) -> Preferences:
    """What the headers ask for. Raises `BadRequest` for a value, or a name, that means nothing."""
    found: dict[str, Any] = {}
    for name, value in headers:
        if name.startswith(PREFIX):
            reader = _READERS.get(name)
            if reader is None:
                known = ", ".join(shown for shown, _, _ in _READERS.values())
                raise BadRequest(f"Unknown header '{name.decode('latin-1')}'. Known are: {known}.")
            shown, field, parse = reader
            found[field] = parse(shown, value.decode("latin-1"))
    # Without names in a third of the time, and nearly nobody has any.
    return Preferences(**found) if found else Preferences()
