"""r = π·u / (π·u + (1-π)·N(x; m, v)),   π += g·(r - π),   m += g·(1-r)·(x - m),   v += g·(1-r)·((x - m)² - v).

How a host's first tokens scatter, told apart: x = log(seconds / forecast) of most is normal around m, and a share π of
them strays, anywhere between two and twenty medians (u, its density). Each answer belongs by r to the one and by the
rest to the other: expectation maximisation, one answer at a time.

Why not one variance for both: one stray in ten widens it to three times that of the others, and then the p95 that a
host promises lies among its strays and none of them looks late. `hedge.py` asks here what it may expect; the latency
model cuts its surprises and needs no such parting.

A request that was given up beyond its time is counted by how likely it was a stray: else those that are hedged away
would be missing among the strays, and the better the hedging the fewer of them it would believe in.
"""

from __future__ import annotations

from math import erfc, exp, log, pi, sqrt

SHARE = 0.02
"""Share of first tokens that stray, before any: one in fifty, as `Params.overdue_cap` has it. Doubled: strangers are
hedged at the p95, often in vain; halved: from the p99."""
VARIANCE, LEAST = 0.15, 0.005
"""log² of the others, first guess and least. Doubled: strangers are hedged late; halved: in vain."""
GAIN = 0.01
"""Weight of one answer. Doubled: three strays in a row make a third of all; halved: a host that grows a heavy tail is
known after 200 answers."""
NEAR = log(2.0)
"""log units from where on it may be a stray: nobody needs a name for less. Doubled: strays of three medians widen the
others; halved: the others' upper half is taken for strays."""
DENSITY = 1.0 / log(10.0)
"""Of strays per log unit, from two medians to twenty; beyond that it is none of the others anyway. Doubled or halved:
no difference, as there are few between."""
TINY = 1e-9
"""Probability that passes for none. Doubled or halved: no difference."""


class Strays:
    """Of one deployment's streams."""

    __slots__ = ("_variance", "share", "usual")

    def __init__(self) -> None:
        self.share = SHARE
        """Of first tokens that stray, 0..1."""
        self.usual = 0.0
        """log of median / forecast of those that do not."""
        self._variance = VARIANCE

    @property
    def spread(self) -> float:
        """Their s.d., in log units."""
        return sqrt(self._variance)

    def learn(self, off: float) -> None:
        """A first token came after e^`off` times the forecast."""
        miss = off - self.usual
        stray = 0.0
        if miss > NEAR:
            normal = exp(-miss * miss / (2.0 * self._variance)) / sqrt(2.0 * pi * self._variance)
            odds = self.share * DENSITY
            stray = odds / (odds + (1.0 - self.share) * normal)
        self.share += GAIN * (stray - self.share)
        step = GAIN * (1.0 - stray)
        self.usual += step * miss
        self._variance = max(self._variance + step * (miss * miss - self._variance), LEAST)

    def outlived(self, off: float) -> None:
        """One was given up after e^`off` times the forecast, with no token yet."""
        tail = max(0.5 * erfc((off - self.usual) / (self.spread * sqrt(2.0))), TINY)
        odds = self.share / ((1.0 - self.share) * tail)
        self.share += GAIN * (odds / (1.0 + odds) - self.share)
