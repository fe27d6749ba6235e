"""LiteLLM's router: cooldowns under three strategies.

Source: LiteLLM documentation, "Routing" and "Retries, fallbacks and cooldowns", and the rules of its
router_utils/cooldown_handlers.py and router_strategy/lowest_latency.py, as of November 2026.

Cooldown, 5 s, out of every pick: at once after a 429 (its Retry-After when longer); after a failure when more than half
of the current minute's requests failed and there were at least five. When all are in cooldown, all are tried.

- latency: mean of the last ten seconds-per-output-token of each deployment; a timeout counts as 1000 s; one without a
  sample first; then the least mean (buffer 0). Other failures add no sample.
- least busy: fewest requests in flight.
- simple shuffle (the default): at random; no weights are configured here.

What it gives away: no price, no request size, and the sample per token rewards long answers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from dwa.candidate import Shape
from dwa.simulate.policy import FAILED, Attempt, Setting
from dwa.simulate.rivals.rival import Rival, answered, failed, refused

COOLDOWN_S = 5.0
FEWEST = 5
SHARE = 0.5
SAMPLES = 10
TIMEOUT_SAMPLE_S = 1000.0
TIMEOUT_AFTER_S = 10.0
"""A failure that took so long was a timeout."""


class SimpleShuffle(Rival):
    """Random among those that are not cooling down."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._until = [0.0] * self.count
        self._minute = [-1] * self.count
        self._successes = [0] * self.count
        self._failures = [0] * self.count

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """The warm ones by cost; all when none is."""
        warm = [place for place in self.places if self._until[place] <= now]
        return self.by(lambda place: self.cost(place, shape, now), warm or self.places)

    def cost(self, place: int, shape: Shape, now: float) -> float:
        """None: by chance."""
        return 0.0

    def learn(self, attempt: Attempt, now: float) -> None:
        """Minute by minute."""
        place, minute = attempt.host, int(now // 60)
        if self._minute[place] != minute:
            self._minute[place], self._successes[place], self._failures[place] = minute, 0, 0
        if refused(attempt):
            self._until[place] = now + max(COOLDOWN_S, attempt.retry_after or 0.0)
        elif failed(attempt):
            self._failures[place] += 1
            total = self._failures[place] + self._successes[place]
            if total >= FEWEST and self._failures[place] > SHARE * total:
                self._until[place] = now + COOLDOWN_S
        else:
            self._successes[place] += 1


class LowestLatency(SimpleShuffle):
    """Least mean of seconds per output token."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._samples = [deque[float](maxlen=SAMPLES) for _ in range(self.count)]

    def cost(self, place: int, shape: Shape, now: float) -> float:
        """A mean of ten; strangers first."""
        samples = self._samples[place]
        return sum(samples) / len(samples) if samples else 0.0

    def learn(self, attempt: Attempt, now: float) -> None:
        """Answers and timeouts."""
        super().learn(attempt, now)
        seconds = now - attempt.started
        if answered(attempt):
            self._samples[attempt.host].append(seconds / max(attempt.answer, 1))
        elif attempt.kind == FAILED and seconds > TIMEOUT_AFTER_S:
            self._samples[attempt.host].append(TIMEOUT_SAMPLE_S)


class LeastBusy(SimpleShuffle):
    """Fewest in flight."""

    def cost(self, place: int, shape: Shape, now: float) -> float:
        """Its in-flight count."""
        return float(self.in_flight[place])
