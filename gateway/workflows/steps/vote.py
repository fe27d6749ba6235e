"""Votes of a workflow on its own answers: a judge's grade, a majority, a test that passed, taught to the DWA.

They are the feedback of the key that began the execution, under a metric of their own, so that a person may rate the
same answer besides. Repeating one changes nothing (`quality.feedback`), hence a step that is run again after a crash
votes once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from gateway.errors import Conflict, NotFound
from gateway.governance.keys import Principal
from gateway.quality.feedback import MAX_COMMENT, Feedback
from gateway.workflows.bind import Scope
from gateway.workflows.kept import WHOLE, Failure, StepExecution
from gateway.workflows.running import Context, Result, StepFailed
from gateway.workflows.spec import Json, Vote, elements, members


class Voting:
    """Gives votes."""

    def __init__(
        self, feedback: Callable[[], Feedback], steps: Callable[[str], Awaitable[list[StepExecution]]]
    ) -> None:
        """To this feedback, which may be another one after a reload; `steps` are those of an execution."""
        self._feedback = feedback
        self._steps = steps

    async def __call__(self, context: Context, node: Vote, known: Scope) -> Result:
        """Vote. Raises `StepFailed`, transient while an answer is not recorded yet."""
        execution = context.execution
        rated = _rated(await self._steps(execution.id), node.of, known)
        scores = _scores(node, rated)
        comment = None if node.comment is None else str(node.comment)[:MAX_COMMENT]
        votes = 0
        for step, score in zip(rated, scores, strict=True):
            if step is not None and score is not None:
                votes += await self._vote(execution.key_name, step, score, node.metric, comment)
        return Result({"votes": votes})

    async def _vote(self, key: str, step: StepExecution, score: float, metric: str, comment: str | None) -> bool:
        try:
            await self._feedback().vote(Principal(key), step.request_ids[-1], score, metric=metric, comment=comment)
        except NotFound as exc:
            raise StepFailed(Failure(exc.type, exc.message, exc.code, exc.status), transient=True) from exc
        except Conflict:
            return False  # no deployment answered: there is nobody to learn of
        return True


def _rated(steps: Sequence[StepExecution], of: str, known: Scope) -> Sequence[StepExecution | None]:
    """The steps that a node's answers came from, in the order of its output; None where there is no answer to rate."""
    own = {one.item: one for one in steps if one.node_id == of}
    whole = own.pop(WHOLE, None)
    if whole is None or not _answered(whole):
        return []
    if whole.kind == "prompt":
        return [whole] if _asked(whole) else []
    within = [own[item] for item in sorted(own)]
    if whole.kind == "loop":
        return [*filter(_asked, within)][-1:]
    items = elements((members(known["nodes"][of]["output"]) or {}).get("items")) or []
    if len(items) < len(within):
        within = [one for one in within if one.status == "succeeded"]  # those that failed were dropped
    return [one if _asked(one) else None for one in within]


def _asked(step: StepExecution) -> bool:
    """A model was asked, and its answer is the output."""
    return _answered(step) and bool(step.request_ids)


def _answered(step: StepExecution) -> bool:
    """It has succeeded by itself: where a default stands in, its failure is still told."""
    return step.status == "succeeded" and step.error is None


def _scores(node: Vote, rated: Sequence[StepExecution | None]) -> list[float | None]:
    if not rated:
        return []
    given = elements(node.score)
    scores = [node.score] if given is None else given
    if len(scores) != len(rated):
        raise _bad(f"'score' holds {len(scores)}, and '{node.of}' has {len(rated)} answers.")
    return [_score(one) for one in scores]


def _score(given: Json) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise _bad(f"'score' is a number from 0 to 1, or null, and not {given!r:.60}.")
    return float(given)


def _bad(message: str) -> StepFailed:
    return StepFailed(Failure("invalid_request_error", message, "invalid_value"), transient=False)
