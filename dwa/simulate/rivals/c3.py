"""Ψ = R̄ - 1/μ̄ + q̂³/μ̄,  q̂ = 1 + n·clients + q̄: least Ψ first.

Source: Suresh et al., "C3: Cutting Tail Latency in Cloud Data Stores via Adaptive Replica Selection", NSDI 2015. R̄ is
the mean response time, 1/μ̄ the mean service time, n the client's own requests in flight, weighted by the number of
clients; the cube punishes long queues. Means have gain 0.1.

Servers here report neither their queue nor their service time, so q̄ = 0 and 1/μ̄ is the least response time among the
last thirty-two. Its rate control is left out: it meters receive rates in windows of 20 ms, and answers here take
seconds. Failures enter as a response of ten seconds.

What it gives away: price, and with q̂³ the best host as soon as a few requests wait there.
"""

from __future__ import annotations

from collections import deque

from dwa.candidate import Shape
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.rivals.rival import Rival, answered

GAIN = 0.1
SAMPLES = 32
FAILURE_S = 10.0


class C3(Rival):
    """Replica ranking of C3."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._response = [0.0] * self.count
        self._recent = [deque[float](maxlen=SAMPLES) for _ in range(self.count)]

    def cost(self, place: int, shape: Shape, now: float) -> float:
        """Ψ."""
        recent = self._recent[place]
        service = min(recent) if recent else 0.0
        queue = 1.0 + self.in_flight[place]
        return self._response[place] - service + queue**3 * service

    def learn(self, attempt: Attempt, now: float) -> None:
        """Mean of the responses."""
        place = attempt.host
        seconds = now - attempt.started if answered(attempt) else FAILURE_S
        known = self._response[place]
        self._response[place] = known + GAIN * (seconds - known) if self._recent[place] else seconds
        self._recent[place].append(seconds)
