"""The order of the healthy candidates under each strategy; breaker and rate limits have had their say before.

`load_balanced` is the algorithm itself and lives in `balancer.py`. The others are here for those who must follow a
rule (a contract, a test, a comparison); each is one sort key or one draw, with ties broken by expected loss. All learn
from every outcome, so switching back finds the balancer informed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from dwa.share import draw_order, draw_two
from dwa.survey import Survey

Order = Callable[[Survey, list[float], float], list[int]]
"""(survey, losses, one uniform number) → positions, first choice first."""

LOAD_BALANCED = "load_balanced"

Reason = Literal[
    "best_performance",
    "near_equal_share",
    "exploration",
    "half_open_probe",
    "out_of_turn",
    "only_candidate",
    "last_resort",
    "sticky_session",
    "strategy:round_robin",
    "strategy:random",
    "strategy:priority",
    "strategy:weighted",
    "strategy:least_busy",
    "strategy:latency",
    "strategy:cost",
    "strategy:p2c_ewma",
]
"""Why the first candidate is first: the closed list that answers and dashboards may show."""


def _sorted(survey: Survey, key: Callable[[int], float], losses: list[float]) -> list[int]:
    return sorted(range(len(survey.candidates)), key=lambda i: (key(i), losses[i]))


def _round_robin(survey: Survey, losses: list[float], _: float) -> list[int]:
    # Least recently first, rather than a counter modulo n: stays fair when candidates come and go.
    return _sorted(survey, lambda i: survey.deployments[i].turn, losses)


def _random(survey: Survey, _: list[float], uniform: float) -> list[int]:
    return draw_order([1.0] * len(survey.candidates), uniform)


def _priority(survey: Survey, losses: list[float], _: float) -> list[int]:
    return _sorted(survey, lambda i: survey.candidates[i].priority, losses)


def _weighted(survey: Survey, _: list[float], uniform: float) -> list[int]:
    return draw_order([candidate.weight for candidate in survey.candidates], uniform)


def _least_busy(survey: Survey, losses: list[float], _: float) -> list[int]:
    return _sorted(survey, lambda i: survey.deployments[i].in_flight, losses)


def _latency(survey: Survey, losses: list[float], _: float) -> list[int]:
    return _sorted(survey, lambda i: survey.seconds[i], losses)


def _cost(survey: Survey, losses: list[float], _: float) -> list[int]:
    return _sorted(survey, lambda i: survey.costs[i], losses)


def _p2c_ewma(survey: Survey, losses: list[float], uniform: float) -> list[int]:
    # Kept with the survey: by the time somebody asks for the odds, the peaks and the loads are others.
    now = survey.now
    survey.peaks = [d.peak.at(now) * (d.in_flight + 1) for d in survey.deployments]
    order = _sorted(survey, survey.peaks.__getitem__, losses)
    if len(order) > 1:
        one, other = draw_two(len(order), uniform)
        order.insert(0, order.pop(min(one, other)))
    return order


ORDERS: Mapping[str, tuple[Order, Reason]] = {
    "round_robin": (_round_robin, "strategy:round_robin"),
    "random": (_random, "strategy:random"),
    "priority": (_priority, "strategy:priority"),
    "weighted": (_weighted, "strategy:weighted"),
    "least_busy": (_least_busy, "strategy:least_busy"),
    "latency": (_latency, "strategy:latency"),
    "cost": (_cost, "strategy:cost"),
    "p2c_ewma": (_p2c_ewma, "strategy:p2c_ewma"),
}
STRATEGIES = frozenset((LOAD_BALANCED, *ORDERS))


def odds(strategy: str, survey: Survey, losses: list[float], first: int) -> list[float]:
    """The probability of each position to be first under a strategy of this table, which put `first` there."""
    count = len(survey.candidates)
    weights = [0.0] * count
    if strategy == "weighted":
        weights = [candidate.weight for candidate in survey.candidates]
    elif strategy == "p2c_ewma" and count > 1:
        # As many pairs as there are dearer ones.
        for place, i in enumerate(_sorted(survey, survey.peaks.__getitem__, losses)):
            weights[i] = float(count - 1 - place)
    elif strategy != "random":
        weights[first] = 1.0
    total = sum(weights)
    return [weight / total if total else 1.0 / count for weight in weights]
