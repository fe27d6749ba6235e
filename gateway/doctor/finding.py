"""What a check has found: how it is, and what to do.

Law: no finding shows a secret. One that is a warning or a problem says what to do about it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

from msgspec import Struct

#: Fine; works, but mind it; does not work, or is not safe.
Level = Literal["ok", "warning", "problem"]
#: Seconds by which a clock may differ and nobody is the worse for it; and from which keys, tokens and retention are.
#: An HTTP date is of whole seconds, and was some time on its way.
_CLOCK_SLACK, _CLOCK_WRONG = 5.0, 60.0


class Finding(Struct, frozen=True):
    """One thing that was looked at."""

    check: str
    level: Level
    said: str
    advice: str | None = None


class Check(Struct, frozen=True):
    """Something to look at; `look` may take its time, which is bounded by who runs it."""

    name: str
    look: Callable[[], Awaitable[Sequence[Finding]]]


def ok(check: str, said: str) -> Finding:
    """It is fine."""
    return Finding(check, "ok", said)


def warning(check: str, said: str, advice: str) -> Finding:
    """It works, but mind it."""
    return Finding(check, "warning", said, advice)


def problem(check: str, said: str, advice: str) -> Finding:
    """It does not work."""
    return Finding(check, "problem", said, advice)


def clocks(whose: str, theirs: float, ours: float) -> Finding:
    """How far two clocks are apart, both in Unix seconds."""
    apart = ours - theirs
    if abs(apart) <= _CLOCK_SLACK:
        return ok("clock", f"agrees with {whose}")
    said = f"this machine's is {abs(apart):,.0f} s {'ahead of' if apart > 0 else 'behind'} that of {whose}"
    advice = "Set both by NTP (timedatectl set-ntp true): tokens, limits, schedules and retention go by them."
    return (warning if abs(apart) < _CLOCK_WRONG else problem)("clock", said, advice)


def size(count: float) -> str:
    """Bytes, as people say them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
