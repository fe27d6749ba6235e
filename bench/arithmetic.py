"""The figures of a run: percentiles, and when an open loop sends. Pure; the tests hold it.

Law: a percentile that the sample cannot carry is None, never a number: p99.9 takes a thousand values.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random

#: The percentiles of every summary, by their names in the JSON file.
SHARES = {"p50": 0.50, "p75": 0.75, "p90": 0.90, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest of the ascending values that at least `share` of them do not exceed (nearest rank).

    None when fewer than one value in the whole sample could lie above it.
    """
    if len(ordered) * (1 - share) < 1 - 1e-9:
        return None
    # Rounded, since 0.99 * 100 and its like may miss the whole number by the last bit.
    return ordered[max(0, math.ceil(round(len(ordered) * share, 6)) - 1)]


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """Milliseconds of values in seconds, and their largest."""
    ordered = sorted(values)
    found = {name: percentile(ordered, share) for name, share in SHARES.items()}
    found["max"] = ordered[-1] if ordered else None
    return {name: None if value is None else value * 1000 for name, value in found.items()}


def arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """When callers who know nothing of each other arrive: seconds from the start, a Poisson process of `rate`.

    The same seed gives the same times, so that the gateway and its upstream alone are met by the same crowd.
    """
    random = Random(seed)
    at = random.expovariate(rate)
    while at < seconds:
        yield at
        at += random.expovariate(rate)


def median(values: Sequence[float]) -> float:
    """The middle one, or the mean of the two."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
