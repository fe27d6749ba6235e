"""Numbers and lists in plain English: three significant digits, never an exponent, commas as people set them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
SECONDS_FROM, MINUTES_FROM, HOURS_FROM = 0.1, 120.0, 7200.0
"""s from which a duration is said in seconds, in minutes and in hours; below in milliseconds."""


def number(value: float) -> str:
    """Three significant digits: 1,230 or 0.000123."""
    return format(Decimal(f"{value:.3g}"), ",f")


def seconds(value: float) -> str:
    """A duration: `4.2 ms`, `0.42 s`, `3 min`, `2.5 h`."""
    if 0.0 < value < SECONDS_FROM:
        return f"{number(value * 1000.0)} ms"
    if value >= HOURS_FROM:
        return f"{number(value / 3600.0)} h"
    return f"{number(value / 60.0)} min" if value >= MINUTES_FROM else f"{number(value)} s"


def money(value: float) -> str:
    """USD: `$0.00042`."""
    return f"${number(value)}"


def percent(share: float) -> str:
    """A share of one: `2.5 %`."""
    return f"{number(100.0 * share)} %"


def count(many: int, noun: str) -> str:
    """`one candidate`, `three candidates`, `13 candidates`."""
    told = COUNTS[many] if 0 <= many < len(COUNTS) else f"{many:,}"
    return f"{told} {noun}" if many == 1 else f"{told} {noun}s"


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
