"""The answer of the balancer: candidates in the order to try them, why, and an explanation built only when asked for.

The numbers are those of the moment of the choice; explaining later, or twice, says the same.
"""

from __future__ import annotations

from dwa.candidate import Candidate
from dwa.params import Params
from dwa.score import Judgement, Objective
from dwa.share import probabilities
from dwa.strategies import LOAD_BALANCED, Reason, odds
from dwa.survey import Survey


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
        """The one uniform number that was drawn: with `explain()` enough to replay the choice."""
        self.retry_after = retry_after
        """Seconds until the first excluded one may return; None while anything healthy is there."""

    @property
    def excluded(self) -> dict[str, str]:
        """Who may not be tried now: key → why."""
        return self._survey.excluded

    @property
    def resort(self) -> list[Candidate]:
        """Whom to ask when everybody in `candidates` has failed, rather than fail the caller.

        A breaker opens on evidence that a host is broken, and spares its callers a failed attempt; when all the others
        have just failed too there is nothing left to spare.
        """
        ranked = {candidate.key for candidate in self.candidates}
        return [candidate for candidate in self._survey.held_back() if candidate.key not in ranked]

    def explain(self) -> list[dict[str, object]]:
        """One plain dict per candidate in order, the excluded ones last.

        key, weight (its probability to be first), score (J_best/J), loss, terms (they sum to the loss), expected
        {seconds, cost, error_rate}, state ("ok", or why it is excluded).
        """
        survey, judgement = self._survey, self._judgement
        rows: list[dict[str, object]] = []
        if judgement is not None:
            best = min(judgement.losses)
            weights = self.weights()
            for i in self._order:
                candidate, loss = survey.candidates[i], judgement.losses[i]
                expected = {"seconds": survey.seconds[i], "cost": survey.costs[i], "error_rate": judgement.errors[i]}
                rows.append(
                    {
                        "key": candidate.key,
                        "weight": weights[i],
                        "score": best / loss if loss > 0.0 else 1.0,
                        "loss": loss,
                        "terms": judgement.terms(i, candidate.quality),
                        "expected": expected,
                        "state": self.excluded.get(candidate.key, "ok"),
                    }
                )
        ranked = {candidate.key for candidate in self.candidates}
        blank: dict[str, object] = {"weight": 0.0, "score": None, "loss": None, "terms": {}, "expected": None}
        rows += [{"key": key, **blank, "state": why} for key, why in self.excluded.items() if key not in ranked]
        return rows

    def weights(self) -> list[float]:
        """By position in the survey: the probability to be first; they sum to one. Empty for an empty ranking."""
        survey, judgement = self._survey, self._judgement
        if judgement is None:
            return []
        if self.reason in ("last_resort", "half_open_probe"):
            return [1.0 if i == self._order[0] else 0.0 for i in range(len(survey.candidates))]
        if self.strategy != LOAD_BALANCED:
            return odds(self.strategy, survey, self._order[0])
        return probabilities(judgement.losses, survey.admitted(), self._params.temperature, self._params.explore_cap)
