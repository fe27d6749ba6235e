"""P(first) ∝ 1/price² among hosts without an outage in the last 30 s; the others follow as fallbacks.

Source: OpenRouter documentation, "Provider Routing", price-based load balancing, November 2026: prefer providers that
have not seen significant outages in the last 30 seconds, among them weigh by the inverse square of the price, keep the
rest as fallbacks. "Significant" is read as three failures or refusals that are a quarter of the window's requests.

What it gives away: speed. It does well where the cheap host is also good, which is common.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from dwa.candidate import Shape
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.rivals.rival import Rival, answered

WINDOW_S = 30.0
FAILURES = 3
SHARE = 0.25
ANSWER_TOKENS = 200.0
"""Output tokens assumed when pricing a request."""


class InverseSquare(Rival):
    """Price and uptime."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._failures = [deque[float]() for _ in range(self.count)]
        self._outcomes = [deque[float]() for _ in range(self.count)]

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """The stable by price, then the unstable by price."""
        weights = [0.0] * self.count
        for place in self.places:
            listing = self.setting.listings[place]
            price = shape.input_tokens * listing.price_in + ANSWER_TOKENS * listing.price_out
            weights[place] = 1.0 / max(price, 1e-12) ** 2
        stable = [place for place in self.places if self._stable(place, now)]
        unstable = [place for place in self.places if place not in stable]
        return self.drawn(weights, stable) + self.drawn(weights, unstable)

    def learn(self, attempt: Attempt, now: float) -> None:
        """Outcomes of the window."""
        self._outcomes[attempt.host].append(now)
        if not answered(attempt):
            self._failures[attempt.host].append(now)

    def _stable(self, place: int, now: float) -> bool:
        for window in (self._failures[place], self._outcomes[place]):
            while window and window[0] < now - WINDOW_S:
                window.popleft()
        failures = len(self._failures[place])
        return failures < FAILURES or failures < SHARE * len(self._outcomes[place])
