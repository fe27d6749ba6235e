"""J = w_lat·L/L_ref + w_cost·C/C_ref + w_qual·(1-q) + e·(w_lat·t_fail/L_ref + (J_alt - J)⁺) + w_err·P(caller sees).

    L = (A + n_in·F + n_out·B)·load        C = (n_in·price_in + n_out·price_out)·factor
    P(caller sees) = cut + e·max(e_2·e_3, c)

One number, the expected loss of sending *this* request there, in shares of what the median candidate costs; so it
needs no normalising against a best or worst of the day, and adding a bad candidate changes nothing.

A failure that may be retried costs the time it wasted and the next best choice. Three guards keep that honest:
- t_fail is at least half the time of an answer: an error that comes at once is still a request that was not answered.
  The whole time was tried; hosts that failed quickly one time in three were left where they still were the best.
- The next best is never a gain, (J_alt - J)⁺: else a dear host would look better for failing over to a cheap one.
- The caller sees it when the next two fail as well: each by itself, e_2·e_3, or for the cause they share, which is c of
  all failures (`together.py`). With no alternative it is certain that the caller sees it. (One failover was counted
  instead of two, and c was 10 % for ever: hosts that failed harmlessly were fled.)

A host whose rate limit is scarce has a toll on top (`toll.py`), so that its quota goes to those who gain most by it.

References are those of the route's typical request at the median candidate (`reference.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dwa.candidate import Candidate
from dwa.fall import relief
from dwa.objective import Objective

if TYPE_CHECKING:
    from dwa.deployment import Deployment


class Judgement:
    """The losses of one ranking, position by position, kept as computed so that the choice can be explained later."""

    __slots__ = (
        "_learned",
        "cost_unit",
        "errors",
        "latency_unit",
        "losses",
        "qualities",
        "quality",
        "seconds",
        "worth",
    )

    def __init__(
        self,
        objective: Objective,
        deployments: Sequence[Deployment],
        seconds: list[float],
        costs: list[float],
        references: tuple[float, float],
        shared: float,
        learned: Callable[[Candidate], float] | None = None,
    ) -> None:
        """`learned` gives the quality of a candidate's answers, if the objective weighs it; None: as configured.

        `shared` is c, the least probability that all others fail too when one has failed.
        """
        self.seconds = seconds
        self._learned = learned or _configured
        self.qualities: list[float] | None = None
        latency_unit = self.latency_unit = objective.latency / references[0]
        cost_unit = self.cost_unit = objective.cost / references[1]
        quality_unit = self.quality = objective.quality
        worth = [latency_unit * s + cost_unit * c for s, c in zip(seconds, costs)]  # noqa: B905 - the hot loop
        errors = [d.error for d in deployments]
        if quality_unit:
            self.qualities = [self._learned(d.candidate) for d in deployments]
            worth = [own + quality_unit * (1.0 - q) for own, q in zip(worth, self.qualities, strict=True)]
        self.worth, self.errors = worth, errors
        weight = objective.errors
        if len(seconds) == 1:
            only = deployments[0]
            retry = 0.5 * latency_unit * max(only.twice_waste, seconds[0])
            self.losses = [worth[0] + only.error * (retry + weight) + weight * only.cut]
            return
        first, second, third = _least(worth)
        # How the next two fail, if not together; there may be no third.
        fails, then = errors[first], 1.0 if third is None else errors[second]
        both = fails * then
        again = weight * (both if both > shared else shared)
        half = 0.5 * latency_unit
        self.losses = [
            own + d.error * (half * (s if s > d.twice_waste else d.twice_waste) + again) + weight * d.cut
            for d, own, s in zip(deployments, worth, seconds)  # noqa: B905 - the hot loop
        ]
        # These two have others for their next ones, and the best has a next best that is worse than itself.
        last = 1.0 if third is None else errors[third]
        both = errors[second] * last
        retry = worth[second] - worth[first] + weight * (both if both > shared else shared) - again
        self.losses[first] += fails * retry
        both = fails * last
        self.losses[second] += errors[second] * (weight * (both if both > shared else shared) - again)

    def levy(self, tolls: Sequence[tuple[int, float]], objective: Objective) -> None:
        """Charge for scarce quota: (position, toll in typical losses)."""
        for i, toll in tolls:
            self.worth[i] += toll * objective.typical
            self.losses[i] += toll * objective.typical

    def hopes(self, deployments: Sequence[Deployment]) -> list[float]:
        """What each loss would lose if its latency came down by its relief (`fall.py`) and its failures ended."""
        unit = self.latency_unit
        rows = zip(deployments, self.seconds, self.losses, self.worth, strict=True)
        return [relief(d.latency.fall) * unit * s + loss - w for d, s, loss, w in rows]

    def add(self, deployment: Deployment, seconds: float, cost: float) -> None:
        """Append one that was not compared (a probe): its own worth, and its failures at the price of a retry."""
        worth = self.latency_unit * seconds + self.cost_unit * cost
        if self.qualities is not None:
            self.qualities.append(self._learned(deployment.candidate))
            worth += self.quality * (1.0 - self.qualities[-1])
        self.worth.append(worth)
        self.errors.append(deployment.error)
        wasted = 0.5 * max(deployment.twice_waste, seconds)
        self.losses.append(worth + deployment.error * self.latency_unit * wasted)

    def retract(self) -> None:
        """Undo the last `add`."""
        for column in (self.worth, self.errors, self.losses, *([self.qualities] if self.qualities else [])):
            del column[-1]


def _configured(candidate: Candidate) -> float:
    return candidate.quality


def _least(values: Sequence[float]) -> tuple[int, int, int | None]:
    """Indices of the least, the second and the third least of two values or more; no third of two."""
    # To sort ten numbers is quicker than to look for the least three times.
    ordered = sorted(values)
    least, more = ordered[0], ordered[1]
    first = values.index(least)
    second = values.index(more, first + 1) if more == least else values.index(more)
    if len(ordered) == 2:
        return first, second, None
    most = ordered[2]
    return first, second, values.index(most, second + 1) if most == more else values.index(most)
