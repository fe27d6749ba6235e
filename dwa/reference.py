"""L_ref, C_ref of a route = means over its requests of what the median candidate would have taken and cost.

Loss adds seconds and dollars, so they need a rate of exchange, and it must be the same for every request of a route:
then the least sum of losses is the least sum of seconds and dollars. Taking the references from each single request
instead looks fair and is not: a long prompt with a short answer would be charged less for the same dollar than a short
prompt, and traffic could lower both its seconds and its bill by swapping two requests. Per route, because a route of
large models has other dollars and seconds than a route of small ones.

The median candidate, because one absurdly slow or dear candidate must not change what the others are worth. Of all
candidates and idle, because the rate of exchange must not move with the hour: taken from those that happen to be free,
under the load they have, a crowd made its own seconds cheap just when they were many, and a refusal or an open breaker
changed what a dollar is worth. (Where two of five hosts were at their knees, traffic was driven to the cheap and slow.)
"""

from __future__ import annotations

from collections.abc import Sequence

from dwa.params import Params

LEARN = 0.005
"""Least weight of one request. Doubled: references wander by 10 % with the sizes; halved: a new mix is known late."""
TINY = 1e-12


class References:
    """Seconds and USD of a typical request at the median candidate, per route."""

    __slots__ = ("_params", "_routes")

    def __init__(self, params: Params) -> None:
        self._params = params
        self._routes: dict[str, tuple[float, float, int]] = {}

    def of(self, route: str, seconds: Sequence[float], costs: Sequence[float]) -> tuple[float, float]:
        """(L_ref, C_ref); those of this request where the route is new. Both above zero.

        `seconds` (idle) and `costs` of this request at every candidate.
        """
        known = self._routes.get(route)
        return median_of(seconds, costs) if known is None else (known[0], known[1])

    def learn(self, route: str, seconds: Sequence[float], costs: Sequence[float]) -> tuple[tuple[float, float], float]:
        """Count one request in; returns the references, and its size in typical requests."""
        here, there = median_of(seconds, costs)
        known = self._routes.get(route)
        if known is None:
            if len(self._routes) >= self._params.routes:
                del self._routes[next(iter(self._routes))]
            known = (here, there, 0)
        reference_s, reference_cost, count = known
        count += 1
        gain = 1.0 / count if count * LEARN < 1.0 else LEARN
        reference_s += gain * (here - reference_s)
        reference_cost += gain * (there - reference_cost)
        self._routes[route] = (reference_s, reference_cost, count)
        return (reference_s, reference_cost), here / reference_s


def median_of(seconds: Sequence[float], costs: Sequence[float]) -> tuple[float, float]:
    """Medians of the candidates; where the median costs nothing (local models), the mean; without any prices, one."""
    count = len(seconds)
    return sorted(seconds)[count >> 1] or TINY, sorted(costs)[count >> 1] or sum(costs) / count or 1.0
