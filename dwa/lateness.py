"""P(T > x) = q + (1 - q)·s,   q = Φ(log(median/x) / sd),   sd² = explained + length.

    median = mean / mean factor        explained = noise + doubt²
    s = (mean factor - e^(explained/2)) / (10 - 1)   while x < 10·median
    with failures: (1 - e)·P(T > x) + e·P(T > x - wasted)

How likely a host is to miss a time, from what its latency model knows: log-normal around the forecast, whose scatter is
the host's noise, what is not known of the host, and what is not known of the answer's length.

Stragglers are no part of a log-normal, and the noise cuts them away; but they are in the mean factor. What that has
beyond the log-normal's own mean is blamed on stragglers of ten medians, so one in a hundred shows as 0.09.

A failure that is retried is thought to be followed by an answer as long as the host's own: who comes next is not known
here, and one that is chosen under an SLO is rarely slower.
"""

from __future__ import annotations

from math import erfc, exp, log, sqrt
from typing import TYPE_CHECKING

from dwa.latency import FIRST, GENERATION, INSTANT, TOTAL, LatencyModel

if TYPE_CHECKING:
    from dwa.candidate import Shape
    from dwa.deployment import Deployment

NARROW = 0.05
"""log units, least sd. Doubled: clear cases blur; halved: a forecast 5 % off is a certainty."""
STRAGGLER = 10.0
"""Medians that a straggler takes. Doubled: half of them are seen, and a price must rise twice as high to turn traffic
away; halved: twice as many, and good hosts are shunned."""
ROOT_TWO = sqrt(2.0)


def explained(latency: LatencyModel, shape: Shape, answer: float, now: float) -> float:
    """log² of the forecast that the host itself explains, noise and doubt; `answer` in expected tokens.

    Of a stream the first token and the writing scatter apart, each by its share of the time.
    """
    doubt = latency.doubt(now, shape.input_tokens, answer)
    if not shape.stream:
        return latency.noise(TOTAL) + doubt * doubt
    writing = answer * latency.token
    part = writing / (latency.first + shape.input_tokens * latency.prefill + writing)
    waiting = 1.0 - part
    return waiting * waiting * latency.noise(FIRST) + part * part * latency.noise(GENERATION) + doubt * doubt


def lateness(d: Deployment, median: float, left: float, known: float, length: float) -> float:
    """P(an answer takes longer than `left` s); `median` in s, `known` as `explained`, `length` log² of the rest."""
    spread = sqrt(max(known + length, NARROW * NARROW))
    strays = min(max(d.latency.tail - exp(0.5 * known), 0.0) / (STRAGGLER - 1.0), 1.0)
    late = _beyond(median, left, spread, strays)
    return late + d.error * (_beyond(median, left - 0.5 * d.twice_waste, spread, strays) - late)


def _beyond(median: float, left: float, spread: float, strays: float) -> float:
    if left <= 0.0:
        return 1.0
    late = 0.5 * erfc(log(left / max(median, INSTANT)) / (spread * ROOT_TWO))
    return late + (1.0 - late) * strays if left < STRAGGLER * median else late
