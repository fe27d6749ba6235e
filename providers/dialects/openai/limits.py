"""Rate-limit headers → `Quota`, and how long to wait before the next try.

Durations are written as Go writes them: `20ms`, `1s`, `6m0s`, `1h2m3.5s`; some servers send plain seconds. What cannot
be read is left out: a header is never a reason to fail.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from providers.dialect import Quota

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PIECE = r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(ms|us|µs|ns|d|h|m|s)"
_piece = re.compile(_PIECE)
_duration = re.compile(f"(?:{_PIECE})+")
_number = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")


def quota(headers: Mapping[str, str]) -> Quota | None:
    """The limits these headers tell of, or None when they tell of none."""
    if not any(name.startswith("x-ratelimit-") for name in headers):
        return None
    told = Quota(
        limit_requests=_count(headers, "limit-requests"),
        remaining_requests=_count(headers, "remaining-requests"),
        reset_requests=duration(headers.get("x-ratelimit-reset-requests", "")),
        limit_tokens=_count(headers, "limit-tokens"),
        remaining_tokens=_count(headers, "remaining-tokens"),
        reset_tokens=duration(headers.get("x-ratelimit-reset-tokens", "")),
    )
    return None if told == Quota() else told


def duration(written: str) -> float | None:
    """Seconds, or None when this is no duration."""
    written = written.strip()
    if _number.fullmatch(written):
        return float(written)
    if not _duration.fullmatch(written):
        return None
    return math.fsum(float(number) * _SECONDS[unit] for number, unit in _piece.findall(written))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: `retry-after-ms`, or `retry-after` in seconds or as a date, held against the answer's own."""
    exact = headers.get("retry-after-ms", "").strip()
    if _number.fullmatch(exact):
        return float(exact) / 1000
    given = headers.get("retry-after", "").strip()
    if _number.fullmatch(given):
        return float(given)
    then, now = _moment(given), _moment(headers.get("date", ""))
    return None if then is None or now is None else max(0.0, then - now)


def _count(headers: Mapping[str, str], name: str) -> int | None:
    written = headers.get(f"x-ratelimit-{name}", "").strip()
    return int(float(written)) if _number.fullmatch(written) else None


def _moment(written: str) -> float | None:
    try:
        return parsedate_to_datetime(written).timestamp()
    except (ValueError, OverflowError, IndexError, TypeError):
        return None
