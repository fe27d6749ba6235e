"""cost = v·k · (in flight + 1); an answer after s seconds makes v = max(s, v·k + s·(1 - k)), with k = e^(-Δt/τ).

The peak-EWMA of round trips, for the strategy `p2c_ewma`: one slow answer raises the mean to itself at once, after it
quick ones bring it down with time constant τ. Of two deployments drawn at random the cheaper one is asked.

Sources: Finagle, `loadbalancer/PeakEwma.scala` (the mean, the decay, the factor); Linkerd, `load-biaser` (τ = 10 s, and
a failure counts as a penalty of 5 s instead of its own, deceptively short time); Mitzenmacher, "The Power of Two
Choices in Randomized Load Balancing", 2001.

As there, silence decays the mean to nothing: who was not asked for long is asked again. What differs:
- A failure costs an answer *and* the penalty: five seconds are an ordinary time for a language model, so the penalty
  alone would be a reward for a host that needs ten.
- A stranger starts from the configuration's prior, as in Tower, and not as one that costs nothing until it is busy.
- Refusals (429), hang-ups and callers' mistakes teach nothing: rate limits have a mechanism of their own.

What the strategy gives away: no price, no request size, no error rate. It is here for those who know it and want it.
Three numbers per deployment, each call O(1), the clock is handed in.
"""

from __future__ import annotations

from math import exp

TAU_S = 10.0
"""s in which an old peak falls to a third. Doubled: a straggler keeps traffic away for half a minute; halved: between
two answers of ten seconds everything is forgotten."""
PENALTY_S = 5.0
"""s a failure costs beside an answer. Doubled: one failure in a hundred empties a host; halved: a host of quick
failures looks like a slow one."""


class PeakEwma:
    """The decaying peak of one deployment's seconds per answer; `now` in seconds on the caller's clock."""

    __slots__ = ("_at", "_usual", "_value")

    def __init__(self, prior: float, now: float) -> None:
        """Expect `prior` seconds of a stranger."""
        self._value = self._usual = prior
        self._at = now

    def at(self, now: float) -> float:
        """Seconds, decayed until now; asking changes nothing."""
        passed = now - self._at
        return self._value * exp(-passed / TAU_S) if passed > 0.0 else self._value

    def answered(self, now: float, seconds: float) -> None:
        """A whole answer after `seconds`."""
        self._usual = seconds
        self._observe(now, seconds)

    def failed(self, now: float, seconds: float) -> None:
        """A failure after `seconds`."""
        self._observe(now, max(seconds, self._usual) + PENALTY_S)

    def _observe(self, now: float, seconds: float) -> None:
        if seconds >= self._value:
            self._value = seconds
        elif now > self._at:
            self._value = seconds + (self._value - seconds) * exp((self._at - now) / TAU_S)
        self._at = now
