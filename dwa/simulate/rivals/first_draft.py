"""Traffic ∝ score⁴, score = 1 - (0.4·latency + 0.4·cost + 0.2·errors), each over the worst; three failures: 30 s out.

The obvious first draft of an adaptive weight, which issue 3 and the design warn against; here for scale. Means have
gain 0.1. Source: the design notes of this project.
"""

from __future__ import annotations

from collections.abc import Sequence

from dwa.candidate import Shape
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.rivals.rival import Rival, answered

GAIN = 0.1
IN_A_ROW = 3
OUT_S = 30.0


class FirstDraft(Rival):
    """A weighted sum of normalised metrics."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._latency = [1.0] * self.count
        self._cost = [1e-3] * self.count
        self._errors = [0.0] * self.count
        self._row = [0] * self.count
        self._until = [0.0] * self.count

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """Drawn by score⁴."""
        kept = [place for place in self.places if self._until[place] <= now] or list(self.places)
        slowest = max(self._latency[place] for place in kept)
        dearest = max(self._cost[place] for place in kept)
        weights = [0.0] * self.count
        for place in kept:
            loss = 0.4 * self._latency[place] / slowest + 0.4 * self._cost[place] / dearest + 0.2 * self._errors[place]
            weights[place] = max(0.01, 1.0 - loss) ** 4
        return self.drawn(weights, kept)

    def learn(self, attempt: Attempt, now: float) -> None:
        """Three means."""
        place, good = attempt.host, answered(attempt)
        self._errors[place] += GAIN * ((0.0 if good else 1.0) - self._errors[place])
        if good:
            self._latency[place] += GAIN * (now - attempt.started - self._latency[place])
            self._cost[place] += GAIN * (attempt.cost - self._cost[place])
            self._row[place] = 0
            return
        self._row[place] += 1
        if self._row[place] >= IN_A_ROW:
            self._until[place], self._row[place] = now + OUT_S, 0
