"""Bandits that follow one mean reward per host. All are fed exp(-loss / typical loss) of each attempt, the objective.

- ε-greedy: the best mean (gain 0.1), with ε = 0.1 anyone. Sutton & Barto, "Reinforcement Learning", 2nd ed., ch. 2.
- discounted UCB: X̄_γ + 2B√(ξ log n_γ / N_γ), γ = 1 - 1/(4√T), ξ = 0.6. Garivier & Moulines, ALT 2011.
- sliding-window UCB: X̄_τ + B√(ξ log min(t,τ) / N_τ), τ = 2B√(T log T / Υ) for Υ = 2 changes. The same paper.
- discounted Thompson: a sample of N(X̄_γ, σ²/N_γ) per host, most first. Raj & Kalyani, arXiv 1707.09727, in the
  Gaussian form of Qi, Wang & Zhu, arXiv 2305.10718, with σ² the measured variance, which is kinder than theirs.

B is the range of the rewards (1). What they give away: the size of the request is noise to them, they learn only when
an answer is whole, and their exploration does not know that it costs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import inf, log, sqrt

from dwa.candidate import Shape
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.rivals.rival import Rival

EPSILON, GAIN = 0.1, 0.1
XI = 0.6
CHANGES = 2
LEAST_VARIANCE = 1e-4


class EpsilonGreedy(Rival):
    """Constant gain, constant ε."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._mean = [1.0] * self.count

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """Best mean first, or anyone."""
        order = self.by(lambda place: -self._mean[place])
        if self.rng.random() < EPSILON:
            chosen = self.rng.choice(order)
            order.remove(chosen)
            order.insert(0, chosen)
        return order

    def learn(self, attempt: Attempt, now: float) -> None:
        """Optimistic at the start."""
        place = attempt.host
        self._mean[place] += GAIN * (self.setting.reward(attempt, now) - self._mean[place])


class _Discounted(Rival):
    """Sums that fade by γ with every attempt of anyone."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.gamma = 1.0 - 1.0 / (4.0 * sqrt(max(setting.requests, 4)))
        self.number = [0.0] * self.count
        self.total = [0.0] * self.count
        self.squares = [0.0] * self.count

    def learn(self, attempt: Attempt, now: float) -> None:
        reward, gamma = self.setting.reward(attempt, now), self.gamma
        for place in range(self.count):
            self.number[place] *= gamma
            self.total[place] *= gamma
            self.squares[place] *= gamma
        self.number[attempt.host] += 1.0
        self.total[attempt.host] += reward
        self.squares[attempt.host] += reward * reward


class DiscountedUcb(_Discounted):
    """D-UCB."""

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """By index."""
        bonus = XI * log(max(sum(self.number), 2.0))
        return self.by(lambda place: -self._index(place, bonus))

    def _index(self, place: int, bonus: float) -> float:
        number = self.number[place]
        if number < 1e-3:
            return inf if not self.in_flight[place] else 1.0
        return self.total[place] / number + 2.0 * sqrt(bonus / number)


class DiscountedThompson(_Discounted):
    """Gaussian discounted Thompson sampling."""

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """By a sample."""
        return sorted(self.places, key=self._sample)

    def _sample(self, place: int) -> float:
        number = self.number[place]
        if number < 0.1:
            return -self.rng.gauss(0.5, 0.5)
        mean = self.total[place] / number
        variance = max(self.squares[place] / number - mean * mean, LEAST_VARIANCE)
        return -self.rng.gauss(mean, sqrt(variance / number))


class WindowUcb(Rival):
    """SW-UCB."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        horizon = max(setting.requests, 8)
        self._size = int(2.0 * sqrt(horizon * log(horizon) / CHANGES))
        self._window: deque[tuple[int, float]] = deque()
        self._number = [0] * self.count
        self._total = [0.0] * self.count

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """By index."""
        bonus = XI * log(max(len(self._window), 2))
        return self.by(lambda place: -self._index(place, bonus))

    def _index(self, place: int, bonus: float) -> float:
        number = self._number[place]
        if not number:
            return inf if not self.in_flight[place] else 1.0
        return self._total[place] / number + sqrt(bonus / number)

    def learn(self, attempt: Attempt, now: float) -> None:
        """In comes one, out goes one."""
        reward = self.setting.reward(attempt, now)
        self._window.append((attempt.host, reward))
        self._number[attempt.host] += 1
        self._total[attempt.host] += reward
        if len(self._window) > self._size:
            place, gone = self._window.popleft()
            self._number[place] -= 1
            self._total[place] -= gone
