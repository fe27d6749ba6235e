"""Counts and percentiles of one deployment, for people. Nothing here decides anything.

Percentiles come from a histogram with 1.15-fold bins from 5 ms to 20 min: constant memory, at most 7 % off. Its counts
are halved after every 2000 answers, so that it shows recent thousands and not the whole past; the oldest day must not
hide today.
"""

from __future__ import annotations

from array import array
from itertools import accumulate
from math import log

from dwa.stats import Durations

BINS = 90
SMALLEST_S = 0.005
GROWTH = 1.15
FADE_AT = 2000
WHOLE = 16
"""What one answer counts, so that it can be halved four times; FADE_AT of them fit two bytes."""
_LOG_GROWTH = log(GROWTH)
EMPTY = array("H")


class Histogram:
    """Durations in seconds."""

    __slots__ = ("_bins", "_count", "_sum")

    def __init__(self) -> None:
        self._bins = EMPTY  # until something is counted: first tokens are of streams only
        self._count = 0
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        if self._bins is EMPTY:
            self._bins = array("H", bytes(2 * BINS))
        place = int(log(seconds / SMALLEST_S) / _LOG_GROWTH) + 1 if seconds > SMALLEST_S else 0
        self._bins[place if place < BINS else BINS - 1] += WHOLE
        self._count += WHOLE
        self._sum += seconds * WHOLE
        if self._count >= FADE_AT * WHOLE:
            mean = self._sum / self._count
            self._bins = array("H", [count >> 1 for count in self._bins])
            self._count = sum(self._bins)
            self._sum = mean * self._count

    def quantile(self, share: float) -> float | None:
        """Seconds that `share` of the durations stay under; None without any."""
        if not self._count:
            return None
        reached = (place for place, below in enumerate(accumulate(self._bins)) if below >= share * self._count)
        return SMALLEST_S * GROWTH ** (next(reached, BINS - 1) - 0.5)

    def summary(self) -> Durations:
        """Mean and percentiles."""
        mean = self._sum / self._count if self._count else None
        return Durations(mean, self.quantile(0.5), self.quantile(0.95), self.quantile(0.99))


class Tally:
    """Running counts of one deployment."""

    __slots__ = (
        "caller_errors",
        "cancelled",
        "cost",
        "failures",
        "first",
        "last_error",
        "last_error_at",
        "output_tokens",
        "requests",
        "successes",
        "throttled",
        "total",
        "writing_s",
    )

    def __init__(self) -> None:
        self.requests = self.successes = self.failures = 0
        self.throttled = self.caller_errors = self.cancelled = 0
        self.cost = 0.0
        self.output_tokens = 0
        self.writing_s = 0.0
        self.total = Histogram()
        self.first = Histogram()
        self.last_error: str | None = None
        self.last_error_at: float | None = None
