"""EXP3.S and CUSUM-UCB: bandits made for worlds that change. Fed exp(-loss / typical loss), as those of `bandits`.

- EXP3.S: p ∝ (1-γ)·w/Σw + γ/K; w ← w·e^(γ·x̂/K) + (e·α/K)·Σw, with x̂ = reward/p of the chosen; α = 1/T and
  γ = min(1, √(K(S·ln(KT) + e) / ((e-1)T))) for S = 2 changes. Auer, Cesa-Bianchi, Freund & Schapire, SIAM J. Comput.
  32(1), 2002.
- CUSUM-UCB: UCB (ξ = 1) on the rewards since each arm's last change; a change is when a two-sided CUSUM of the
  rewards (drift ε = 0.1, after the first M = 50 as reference) exceeds h = 8; with probability √(S·ln(T)/T) anyone.
  Liu, Lee & Shroff, "A change-detection based framework for piecewise-stationary multi-armed bandit problem", AAAI
  2018.

What they give away: as the others; EXP3.S never stops exploring, CUSUM-UCB needs fifty answers before it can see a
change.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import e, exp, inf, log, sqrt

from dwa.candidate import Shape
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.rivals.rival import Rival

CHANGES = 2
REFERENCE, DRIFT, THRESHOLD = 50, 0.1, 8.0
XI = 1.0


class Exp3S(Rival):
    """Exponential weights with sharing."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        horizon, arms = max(setting.requests, 8), self.count
        self._alpha = 1.0 / horizon
        self._gamma = min(1.0, sqrt(arms * (CHANGES * log(arms * horizon) + e) / ((e - 1.0) * horizon)))
        self._weights = [1.0] * arms

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """Drawn by probability."""
        return self.drawn(self._odds(), self.places)

    def begin(self, attempt: Attempt, now: float) -> None:
        """Remembers with what probability it was chosen."""
        super().begin(attempt, now)
        attempt.note = self._odds()[attempt.host]

    def learn(self, attempt: Attempt, now: float) -> None:
        """Only first choices were drawn with that probability."""
        odds = attempt.note
        if attempt.place or not isinstance(odds, float):
            return
        shared = e * self._alpha / self.count * sum(self._weights)
        gained = self._gamma * self.setting.reward(attempt, now) / odds / self.count
        self._weights[attempt.host] *= exp(min(gained, 50.0))
        total = max(self._weights)
        self._weights = [(weight + shared) / total for weight in self._weights]

    def _odds(self) -> list[float]:
        total = sum(self._weights[place] for place in self.places)
        floor = self._gamma / len(self.places)
        odds = [0.0] * self.count
        for place in self.places:
            odds[place] = (1.0 - self._gamma) * self._weights[place] / total + floor
        return odds


class CusumUcb(Rival):
    """UCB that starts an arm afresh when it has changed."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        horizon = max(setting.requests, 8)
        self._alpha = min(1.0, sqrt(CHANGES * log(horizon) / horizon))
        self._number = [0] * self.count
        self._total = [0.0] * self.count
        self._reference = [0.0] * self.count
        self._up = [0.0] * self.count
        self._down = [0.0] * self.count

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """By index, or anyone."""
        bonus = XI * log(max(sum(self._number), 2))
        order = self.by(lambda place: -self._index(place, bonus))
        if self.rng.random() < self._alpha:
            chosen = self.rng.choice(order)
            order.remove(chosen)
            order.insert(0, chosen)
        return order

    def _index(self, place: int, bonus: float) -> float:
        number = self._number[place]
        if not number:
            return inf if not self.in_flight[place] else 1.0
        return self._total[place] / number + sqrt(bonus / number)

    def learn(self, attempt: Attempt, now: float) -> None:
        """Mean, reference, sums."""
        place, reward = attempt.host, self.setting.reward(attempt, now)
        self._number[place] += 1
        self._total[place] += reward
        if self._number[place] <= REFERENCE:
            self._reference[place] += reward / REFERENCE
            return
        off = reward - self._reference[place]
        self._up[place] = max(0.0, self._up[place] + off - DRIFT)
        self._down[place] = max(0.0, self._down[place] - off - DRIFT)
        if max(self._up[place], self._down[place]) > THRESHOLD:
            self._number[place] = 0
            self._total[place] = self._reference[place] = self._up[place] = self._down[place] = 0.0
