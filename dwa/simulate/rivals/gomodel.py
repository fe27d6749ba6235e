"""GoModel's adaptive routing: two candidates drawn by weight, the one with less latency x in flight wins; cooldowns.

Source: GoModel documentation, "Intelligent Routing" (Pro, beta), docs/pro/intelligent-routing.mdx, November 2026:
peak-EWMA latency fed by every attempt; a 429 cools down for 30 s, doubling up to 5 min on each consecutive trigger;
three 5xx or network failures in a row cool down as well; every warm target keeps at least 5 % of the heaviest weight;
the objective "cost" weighs by inverse-square price, "latency" by latency, "balanced" (default) blends both.

Not published and chosen here: τ = 10 s, the blend (geometric mean of inverse latency and inverse-square price), and
one added to the number in flight. The objective follows the preset: whichever of seconds and dollars weighs twice the
other, else the blend. Sessions do not occur.

What it gives away: two draws miss the best host often, thirty seconds of cooldown at the least, no request size.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from dwa.candidate import Shape
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.rivals.rival import PeakEwma, Rival, answered, refused

TAU_S = 10.0
COOLDOWN_S, COOLDOWN_MOST_S = 30.0, 300.0
IN_A_ROW = 3
FLOOR = 0.05
ANSWER_TOKENS = 200.0
"""Output tokens assumed when pricing a request."""


class AdaptiveRouting(Rival):
    """Weighted power of two choices among the warm."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._trips = [PeakEwma(TAU_S) for _ in range(self.count)]
        self._until = [0.0] * self.count
        self._row = [0] * self.count
        self._cooldown = [COOLDOWN_S] * self.count

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """Draw two, keep the less loaded, go on with the rest; the cooling ones last."""
        warm = [place for place in self.places if self._until[place] <= now]
        order = sorted((place for place in self.places if self._until[place] > now), key=self._until.__getitem__)
        if not warm:
            return order
        drawn = self.drawn(self._weights(warm, shape), warm)
        if len(drawn) > 1 and self._load(drawn[1]) < self._load(drawn[0]):
            drawn[0], drawn[1] = drawn[1], drawn[0]
        return drawn + order

    def learn(self, attempt: Attempt, now: float) -> None:
        """A round trip, and what cools down."""
        place = attempt.host
        if answered(attempt):
            self._trips[place].add(now - attempt.started, now)
            self._row[place], self._cooldown[place] = 0, COOLDOWN_S
            return
        self._row[place] += 1
        if refused(attempt) or self._row[place] >= IN_A_ROW:
            self._until[place] = now + self._cooldown[place]
            self._cooldown[place] = min(2.0 * self._cooldown[place], COOLDOWN_MOST_S)

    def _load(self, place: int) -> float:
        return self._trips[place].value * (self.in_flight[place] + 1)

    def _weights(self, warm: Sequence[int], shape: Shape) -> list[float]:
        objective, listings = self.setting.yardstick.objective, self.setting.listings
        known = [self._trips[place].value for place in warm if self._trips[place].value > 0.0]
        usual = sum(known) / len(known) if known else 1.0
        weights = [0.0] * self.count
        for place in warm:
            listing = listings[place]
            price = shape.input_tokens * listing.price_in + ANSWER_TOKENS * listing.price_out
            quick = 1.0 / (self._trips[place].value or usual)
            cheap = 1.0 / max(price, 1e-12) ** 2
            if objective.latency > 2.0 * objective.cost:
                cheap = quick
            elif objective.cost > 2.0 * objective.latency:
                quick = cheap
            weights[place] = sqrt(quick * cheap)
        heaviest = max(weights)
        return [max(weight, FLOOR * heaviest) for weight in weights]
