"""Peak-EWMA + power of two choices: cost = peak-EWMA of round trips (τ = 10 s) x (in flight + 1).

Of two hosts drawn at random the cheaper one. Source: Finagle, loadbalancer/PeakEwma.scala; Linkerd, "Beyond Round
Robin", 2016. A failure records a penalised round trip (5 s, as Linkerd's proxy does for failures), never its own
short one; a host without a sample is tried when idle and penalised while its first answer is out, as in Finagle.

What it gives away: no price, no request size; and two random choices out of five miss the best host three times in
five.
"""

from __future__ import annotations

from collections.abc import Sequence

from dwa.candidate import Shape
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.rivals.rival import PeakEwma, Rival, answered

TAU_S = 10.0
FAILURE_S = 5.0
STRANGER_PENALTY = 1e6


class PeakEwmaP2C(Rival):
    """Finagle's and Linkerd's balancer."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._trips = [PeakEwma(TAU_S) for _ in range(self.count)]

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """Two choices."""
        return self.two_choices(lambda place: self.cost(place, shape, now), self.places)

    def cost(self, place: int, shape: Shape, now: float) -> float:
        """Mean times waiting."""
        trip, waiting = self._trips[place].value, self.in_flight[place]
        if trip == 0.0 and waiting:
            return STRANGER_PENALTY + waiting
        return trip * (waiting + 1)

    def learn(self, attempt: Attempt, now: float) -> None:
        """A round trip, or a penalty."""
        seconds = now - attempt.started
        self._trips[attempt.host].add(seconds if answered(attempt) else max(seconds, FAILURE_S), now)
