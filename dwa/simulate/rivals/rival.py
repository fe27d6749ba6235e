"""What rivals share: who is there, who is in flight, cooldowns. Each rival's own rule stands in its own file.

A rival that knows only a first choice gets the rest of its order by the same rule, drawn again without the chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import exp

from dwa.candidate import Shape
from dwa.simulate.policy import BAD, CUT, FAILED, OK, REFUSED, Attempt, Setting


class Rival:
    """Counts what is in flight; subclasses rank and learn."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.rng = setting.rng
        self.count = len(setting.listings)
        self.in_flight = [0] * self.count
        self.places = self._present()

    def _present(self) -> list[int]:
        return [place for place, listing in enumerate(self.setting.listings) if listing.present]

    def relisted(self, now: float) -> None:
        """Who is there may have changed."""
        self.places = self._present()

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """By `costs`, least first; ties by chance."""
        return self.by(lambda place: self.cost(place, shape, now))

    def cost(self, place: int, shape: Shape, now: float) -> float:
        """What `rank` minimises."""
        raise NotImplementedError

    def begin(self, attempt: Attempt, now: float) -> None:
        """One more in flight."""
        self.in_flight[attempt.host] += 1

    def first_token(self, attempt: Attempt, now: float) -> None:
        """Most look at whole answers only."""

    def finish(self, attempt: Attempt, now: float) -> None:
        """One less in flight; a caller's mistake teaches nothing."""
        self.in_flight[attempt.host] -= 1
        if attempt.kind != BAD:
            self.learn(attempt, now)

    def learn(self, attempt: Attempt, now: float) -> None:
        """An attempt succeeded or failed."""

    # --- parts for ranks ---------------------------------------------------------------------------------------

    def by(self, cost: Callable[[int], float], places: Sequence[int] | None = None) -> list[int]:
        """Places by cost, ties by chance."""
        shuffled = list(self.places if places is None else places)
        self.rng.shuffle(shuffled)
        return sorted(shuffled, key=cost)

    def drawn(self, weights: Sequence[float], places: Sequence[int]) -> list[int]:
        """Places drawn by weight without replacement; all zero: by chance."""
        left, order = list(places), list[int]()
        while left:
            shares = [weights[place] for place in left]
            if sum(shares) <= 0.0:
                self.rng.shuffle(left)
                return order + left
            chosen = self.rng.choices(left, shares)[0]
            order.append(chosen)
            left.remove(chosen)
        return order

    def two_choices(self, cost: Callable[[int], float], places: Sequence[int]) -> list[int]:
        """Power of two choices: the cheaper of two drawn at random is first; the order goes on the same way."""
        left, order = list(places), list[int]()
        while len(left) > 1:
            first, second = self.rng.sample(left, 2)
            chosen = first if cost(first) <= cost(second) else second
            order.append(chosen)
            left.remove(chosen)
        return order + left


def failed(attempt: Attempt) -> bool:
    """A 5xx, a timeout or a broken stream; not a 429."""
    return attempt.kind in (FAILED, CUT)


def answered(attempt: Attempt) -> bool:
    """A whole answer."""
    return attempt.kind == OK


def refused(attempt: Attempt) -> bool:
    """A 429."""
    return attempt.kind == REFUSED


class PeakEwma:
    """max(sample, decayed mean), decay e^(-Δt/τ): jumps up at once, comes down slowly."""

    __slots__ = ("_at", "_tau", "value")

    def __init__(self, tau: float) -> None:
        self._tau = tau
        self._at = 0.0
        self.value = 0.0

    def add(self, sample: float, now: float) -> None:
        """One round trip."""
        if sample > self.value:
            self.value = sample
        else:
            kept = exp((self._at - now) / self._tau)
            self.value = self.value * kept + sample * (1.0 - kept)
        self._at = now
