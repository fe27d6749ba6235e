"""The answer of the balancer: candidates in the order to try them, why, and whom to ask when they all fail."""

from __future__ import annotations

from typing import Any, cast

from dwa.candidate import Candidate
from dwa.decision import Decision
from dwa.folding import folded
from dwa.objective import Objective
from dwa.params import Params
from dwa.score import Judgement
from dwa.slo import Priced
from dwa.strategies import LOAD_BALANCED, Reason, odds
from dwa.survey import Survey

FORCED = ("last_resort", "half_open_probe", "out_of_turn")
"""Reasons that leave nothing to chance."""


class Ranking:
    """Candidates, best to try first. Empty only when every one waits for its Retry-After; then see `retry_after`."""

    __slots__ = (
        "_judgement",
        "_order",
        "_params",
        "_survey",
        "candidates",
        "objective",
        "reason",
        "retry_after",
        "seed",
        "strategy",
    )

    def __init__(
        self,
        params: Params,
        survey: Survey,
        judgement: Judgement | None,
        order: list[int],
        *,
        reason: Reason,
        strategy: str,
        objective: Objective,
        seed: float,
        retry_after: float | None = None,
    ) -> None:
        self._params = params
        self._survey = survey
        self._judgement = judgement
        self._order = order
        kept = survey.candidates
        self.candidates: list[Candidate] = [kept[i] for i in order]
        self.reason: Reason = reason
        self.strategy = strategy
        self.objective = objective
        self.seed = seed
        """The one uniform number that was drawn."""
        self.retry_after = retry_after
        """Seconds until the first excluded one may return; None while anything healthy is there."""

    @property
    def excluded(self) -> dict[str, str]:
        """Who may not be tried now: key → why."""
        return self._survey.excluded

    @property
    def reasons(self) -> dict[str, str]:
        """The same in a word each, of a closed list (`gate`, and `at_max_concurrency`): key → why."""
        excluded = self._survey.excluded
        return {d.key: why for d, why, _ in self._survey.blocked if d.key in excluded}

    @property
    def resort(self) -> list[Candidate]:
        """Whom to ask when everybody in `candidates` has failed, rather than fail the caller.

        A breaker opens on evidence that a host is broken, and spares its callers a failed attempt; when all the others
        have just failed too there is nothing left to spare.
        """
        if not self._survey.blocked:
            return []
        ranked = {candidate.key for candidate in self.candidates}
        return [candidate for candidate in self._survey.held_back() if candidate.key not in ranked]

    def expected_costs(self) -> dict[str, float]:
        """What an answer would cost, USD, by key: of all who were looked at, those who may not be tried included."""
        return self._survey.forecast()

    def columns(self) -> dict[str, object]:
        """The fields of its `Decision`: plain values, not copied, that nothing changes any more."""
        return {**self._told(), **self._numbers()}

    def record(self) -> dict[str, object]:
        """The same to be kept: see `folding`."""
        return folded(self._told(), self._numbers())

    def _told(self) -> dict[str, object]:
        """All but the columns of one number per candidate."""
        survey, judgement = self._survey, self._judgement
        told: dict[str, object] = {
            "reason": self.reason,
            "strategy": self.strategy,
            "objective": self.objective.name,
            "seed": self.seed,
            "keys": [candidate.key for candidate in survey.candidates],
            "order": self._order,
        }
        if survey.excluded:
            told["excluded"] = survey.excluded
        if judgement is None:
            return told
        if survey.tolls:
            told["tolls"] = [(i, toll * self.objective.typical) for i, toll in survey.tolls]
        told["latency_unit"], told["quality_unit"] = judgement.latency_unit, judgement.quality
        told["temperature"], told["looks"] = self._params.temperature, self._params.explore_cap
        if survey.peaks:
            told["peaks"] = survey.peaks
        if survey.ramping:
            told["ramping"] = survey.ramping
        if self.reason in FORCED:
            told["weights"] = [float(i == self._order[0]) for i in range(len(survey.candidates))]
        elif self.strategy != LOAD_BALANCED:
            told["weights"] = odds(self.strategy, survey, judgement.losses, self._order[0])
        return told

    def _numbers(self) -> dict[str, list[float]]:
        survey, judgement = self._survey, self._judgement
        if judgement is None:
            return {}
        found = {"idle": survey.idle, "seconds": survey.seconds, "costs": survey.costs, "errors": judgement.errors}
        found["worth"], found["losses"] = judgement.worth, judgement.losses
        if judgement.qualities is not None:
            found["quality"] = judgement.qualities
        if isinstance(judgement, Priced):
            found["misses"] = judgement.misses
        return found

    def decision(self) -> Decision:
        """The numbers of the choice, to explain it by."""
        return Decision(**cast("dict[str, Any]", self.columns()))

    def explain(self) -> list[dict[str, object]]:
        """See `Decision.explain`."""
        return self.decision().explain()

    def weights(self) -> list[float]:
        """By position in the survey: the probability to be first; they sum to one. Empty for an empty ranking."""
        return self.decision().odds()
