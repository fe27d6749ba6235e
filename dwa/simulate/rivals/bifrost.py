"""Bifrost's adaptive weights: every 5 s a weight per host from errors, latency and use; drawn in proportion to it.

Source: Bifrost documentation, "Adaptive Load Balancing" (enterprise), docs.getbifrost.ai: score = error penalty x 0.5 +
latency score x 0.2 + utilisation score x 0.05 - momentum, turned into a weight between 1 and 1000, recomputed every
5 s; errors are 50 % those of the last minute, 30 % of the last five, 20 % of all time; a new host enters at full
weight; not aware of cost. (The edition of November 2026 keeps the order of the factors and no longer prints the
figures.)

Not published and chosen kindly: latency score = how far the host's mean seconds per output token of the last minute lie
above the quickest host's (it is called token-aware), up to twice; utilisation = its share of the traffic beyond a fair
one; momentum 0.05 for a minute without errors; error penalty full at 10 % errors; the weight falls in a straight line
to 1 at the worst score.

What it gives away: price; a weight in proportion to a score never settles; five seconds at every turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from dwa.candidate import Shape
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.rivals.rival import Rival, answered

EVERY_S = 5.0
MINUTE, FIVE, EVER = (exp(-EVERY_S / 60.0), exp(-EVERY_S / 300.0), 1.0)
"""What is kept of a sum at each turn; fading sums stand for sliding windows."""
SHARES = ((MINUTE, 0.5), (FIVE, 0.3), (EVER, 0.2))
WORST_ERROR = 0.10
WORST_SCORE = 0.75
MOST, LEAST = 1000.0, 1.0


class _Sums:
    """Attempts, failures, seconds and tokens, fading by `kept` at every turn."""

    def __init__(self, kept: float) -> None:
        self._kept = kept
        self.attempts = self.failures = self.seconds = self.tokens = 0.0

    def fade(self) -> None:
        self.attempts *= self._kept
        self.failures *= self._kept
        self.seconds *= self._kept
        self.tokens *= self._kept


class AdaptiveWeights(Rival):
    """Weights recomputed by the clock."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._weights = [MOST] * self.count
        self._sums = [[_Sums(kept) for kept, _ in SHARES] for _ in range(self.count)]
        self._next = EVERY_S

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """Drawn in proportion."""
        if now >= self._next:
            self._recompute()
            self._next = now + EVERY_S
        return self.drawn(self._weights, self.places)

    def learn(self, attempt: Attempt, now: float) -> None:
        """Into every window."""
        good = answered(attempt)
        for sums in self._sums[attempt.host]:
            sums.attempts += 1.0
            if good:
                sums.seconds += now - attempt.started
                sums.tokens += attempt.answer
            else:
                sums.failures += 1.0

    def _error(self, place: int) -> float:
        parts = zip(self._sums[place], SHARES, strict=True)
        return sum(share * sums.failures / max(sums.attempts, 1.0) for sums, (_, share) in parts)

    def _recompute(self) -> None:
        recent = [sums[0] for sums in self._sums]
        paces = [sums.seconds / sums.tokens if sums.tokens else 0.0 for sums in recent]
        quickest = min((pace for pace in paces if pace), default=0.0)
        total = sum(sums.attempts for sums in recent) or 1.0
        for place in self.places:
            slow = min(1.0, paces[place] / quickest - 1.0) if paces[place] and quickest else 0.0
            used = max(0.0, recent[place].attempts / total - 1.0 / len(self.places))
            momentum = 0.05 if recent[place].attempts > 1.0 and recent[place].failures < 0.5 else 0.0
            score = 0.5 * min(1.0, self._error(place) / WORST_ERROR) + 0.2 * slow + 0.05 * used - momentum
            self._weights[place] = min(MOST, max(LEAST, MOST * (1.0 - score / WORST_SCORE)))
        for windows in self._sums:
            for sums in windows:
                sums.fade()
