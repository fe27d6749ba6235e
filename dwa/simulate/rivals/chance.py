"""Random order, and round robin: what any policy must beat. Random is the zero of "gap closed"."""

from __future__ import annotations

from collections.abc import Sequence

from dwa.candidate import Shape
from dwa.simulate.policy import Setting
from dwa.simulate.rivals.rival import Rival


class Uniform(Rival):
    """A new random order for every request."""

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """Shuffled."""
        order = list(self.places)
        self.rng.shuffle(order)
        return order


class RoundRobin(Rival):
    """One after the other."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._turn = 0

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """Starting one further than last time."""
        self._turn += 1
        start = self._turn % len(self.places)
        return self.places[start:] + self.places[:start]
