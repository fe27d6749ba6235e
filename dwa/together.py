"""c = P(the failover fails, beyond its own rate | the first attempt failed): what the hosts have in common, learned.

    c ← c + g·((y - e) - c),  g = 1 / (N + min(n, M))      y: it failed (0 or 1), e: the rate its host was known for

A failure that is tried elsewhere costs its own seconds only, unless the other host fails for the same reason: a network
that is down, a request that none can take. How often that is decides whether a fast host that fails one request in
three is worth being asked at all, so it is measured: every failover is an observation. What e explains is taken out,
or hosts that fail by themselves would look like accomplices. The prior (`Params.failover_fails`) weighs as much as N
failovers and comes back in silence, by half in `Params.error_half_life_s`: few failures are few observations, and what
hosts had in common during last week's outage says little. For the same reason it is not kept over a restart.

Assuming the prior for ever was the first choice: it fled a host that failed harmlessly, through every minute of it.
"""

from __future__ import annotations

from dwa.params import Params

PRIOR_N = 10
"""Failovers that outweigh the prior. Doubled: harmless failures are fled for twice as long; halved: five decide."""
MEMORY = 50
"""Failovers remembered. Doubled: what hosts have in common is noticed after a hundred; halved: one is 3 %."""

FADES_S = 1.0
"""s for which the same number is told while nothing is learned. Doubled or halved: no difference but time."""


class Together:
    """One number for all hosts of a balancer: they share the network, and the callers."""

    __slots__ = ("_faded_at", "_params", "_rate", "_seen", "_shown", "_touched")

    def __init__(self, params: Params, now: float) -> None:
        """Believe the prior. `now` in seconds on the balancer's clock."""
        self._params = params
        self._rate = params.failover_fails
        self._seen = 0
        self._touched = self._faded_at = now
        self._shown = self._rate

    def rate(self, now: float) -> float:
        """Least probability, 0..1, that a failover at `now` fails too; asked by every ranking."""
        if now - self._faded_at > FADES_S:
            self._show(now)
        return self._shown

    def learn(self, now: float, expected: float, *, failed: bool) -> None:
        """A failover ended; `expected` is the failure rate that its host was known for when it was asked."""
        rate = self._faded(now)
        self._rate = rate + (failed - expected - rate) / (PRIOR_N + min(self._seen, MEMORY))
        self._seen += 1
        self._touched = now
        self._show(now)

    def _show(self, now: float) -> None:
        self._shown = min(max(self._faded(now), 0.0), 1.0)
        self._faded_at = now

    def _faded(self, now: float) -> float:
        prior = self._params.failover_fails
        return prior + (self._rate - prior) * 0.5 ** ((now - self._touched) / self._params.error_half_life_s)


class Sequel:
    """One failover, and whom to tell how it ended."""

    __slots__ = ("_expected", "_together", "late")

    def __init__(self, together: Together, expected: float, late: float | None) -> None:
        self._together = together
        self._expected = expected
        self.late = late
        """How late the first attempt was, log(age / due), when it was given up for lost; None for any other failure."""

    def ended(self, now: float, *, failed: bool) -> None:
        """It answered or failed. Any other ending tells nothing, and is not told."""
        self._together.learn(now, self._expected, failed=failed)
