"""What a request's loss is made of: the weights of an objective, and what it promises.

Facts handed in, as a candidate is; how a loss follows from the weights is in `score.py`, how a promise is kept in
`slo.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

TIE_LATENCY, TIE_ERRORS = 0.02, 1.0
"""Weights beside the prices: a typical latency is worth 2 % of a typical cost, a failure the caller sees all of it. So
of two that cost alike and keep the promise the better one is asked. Doubled: pays 4 % for speed that was not asked for;
halved: ties are left to luck."""


@dataclass(frozen=True, slots=True)
class Slo:
    """What is promised: `share` of the answers whole within `seconds`, and at most `errors` of the requests failed.

    Both shares lie between 0 and 1, neither included: what may never be missed has no price. ValueError otherwise.
    """

    seconds: float
    share: float = 0.95
    errors: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 < self.seconds < inf or not 0.0 < self.share < 1.0 or not 0.0 < self.errors < 1.0:
            raise ValueError("an SLO needs seconds above 0, and shares and errors between 0 and 1")


@dataclass(frozen=True, slots=True)
class Objective:
    """What loss is made of: weights of latency, cost, errors and quality, each not negative, not all zero."""

    name: str
    latency: float
    cost: float
    errors: float
    quality: float = 0.0
    slo: Slo | None = None
    """What must be kept beside; then the weights are those under a shadow price (`slo.py`)."""

    def __post_init__(self) -> None:
        weights = (self.latency, self.cost, self.errors, self.quality)
        if not all(0.0 <= weight < inf for weight in weights) or not sum(weights):
            raise ValueError("objective weights must be finite, not negative, and not all zero")

    @property
    def typical(self) -> float:
        """What a typical request loses at the median candidate by its seconds and its cost."""
        return self.latency + self.cost

    @classmethod
    def of(cls, name: str) -> Objective:
        """The preset of that name; ValueError names the choices."""
        if name not in PRESETS:
            raise ValueError(f"unknown objective {name!r}; one of {', '.join(PRESETS)}")
        return PRESETS[name]


BALANCED = Objective("balanced", 0.4, 0.4, 4.0)
FASTEST = Objective("fastest", 0.8, 0.1, 4.0)
CHEAPEST = Objective("cheapest", 0.1, 0.8, 3.0)
RELIABLE = Objective("reliable", 0.3, 0.1, 12.0)
PRESETS: Mapping[str, Objective] = {preset.name: preset for preset in (BALANCED, FASTEST, CHEAPEST, RELIABLE)}


def cheapest_under(name: str, slo: Slo) -> Objective:
    """The objective "cheapest subject to this SLO"."""
    return Objective(name, TIE_LATENCY, 1.0, TIE_ERRORS, slo=slo)
