"""What befalls executions, counted for the metrics: each thing once, by the process that kept it.

What an attempt keeps is counted behind its memory: what was refused there, since another attempt has taken over or the
step had succeeded already, is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from gateway.metrics import Metrics
from gateway.workflows.kept import Artifact, Execution, ExecutionStatus, Failure, Json, Spent, StepExecution, Superseded
from gateway.workflows.memo import Memory

_ENDED = ("completed", "failed", "cancelled")
_LIVE = ("pending", "running", "waiting")
#: What is counted of a step, by the event that tells of it.
_OUTCOMES = {
    "step.succeeded": "succeeded",
    "step.failed": "failed",
    "step.skipped": "skipped",
    "step.cancelled": "cancelled",
    "step.retrying": "retried",
}
_TIMED = ("succeeded", "failed")


class Tally:
    """Counts."""

    def __init__(self, metrics: Metrics, *, wall: Callable[[], float]) -> None:
        """With these metrics; `wall` tells Unix seconds."""
        self._metrics = metrics
        self._wall = wall

    def step(self, step: StepExecution, event: str) -> None:
        """A step as it was kept."""
        outcome = _OUTCOMES.get(event)
        if outcome is None:
            return
        self._metrics.steps(step.kind, outcome).inc()
        if outcome in _TIMED and step.started_at is not None and step.completed_at is not None:
            self._metrics.step_duration(step.kind).observe(max(0.0, step.completed_at - step.started_at))

    def ended(self, execution: Execution, status: ExecutionStatus) -> None:
        """An execution has ended so, now; an attempt that waits has not ended it."""
        if status not in _ENDED:
            return
        self._metrics.executions(status).inc()
        if execution.started_at is not None:
            seconds = (execution.completed_at or self._wall()) - execution.started_at
            self._metrics.execution_duration(status).observe(max(0.0, seconds))
            self._metrics.genai_workflow("" if status == "completed" else status).observe(max(0.0, seconds))

    def cancelled(self, count: int) -> None:
        """So many executions were cancelled that nobody ran."""
        self._metrics.executions("cancelled").inc(count)

    def live(self, counts: Mapping[str, int], oldest: Mapping[str, float]) -> None:
        """So many are in which state, and when the oldest of them were made, in Unix seconds."""
        now = self._wall()
        for status in _LIVE:
            self._metrics.live_executions(status).set(counts.get(status, 0))
            self._metrics.oldest_execution(status).set(max(0.0, now - oldest.get(status, now)))

    def times(self, *, held: int, missed: int) -> None:
        """Times of a schedule have come."""
        self._metrics.schedule_times("held").inc(held)
        self._metrics.schedule_times("missed").inc(missed)

    def taken_over(self, *, processes: int = 0, attempts: int = 0) -> None:
        """What dead processes ran goes on here; attempts that nobody had begun were queued again."""
        self._metrics.takeovers("process").inc(processes)
        self._metrics.takeovers("attempt").inc(attempts)


class Counted:
    """A memory whose writes are counted."""

    def __init__(self, memory: Memory, tally: Tally) -> None:
        """Of this one."""
        self._memory = memory
        self._tally = tally
        #: Those that run here, for how long they took.
        self._running: dict[str, Execution] = {}

    async def begin(self, execution_id: str, attempt: int) -> Execution | None:
        """See `Memory`."""
        found = await self._memory.begin(execution_id, attempt)
        if found is not None:
            self._running[execution_id] = found
        return found

    async def steps(self, execution_id: str) -> list[StepExecution]:
        """See `Memory`."""
        return await self._memory.steps(execution_id)

    async def put(
        self,
        attempt: int,
        step: StepExecution,
        event: str,
        *,
        spent: Spent | None = None,
        made: Collection[Artifact] = (),
        begun: bool = False,
    ) -> bool:
        """See `Memory`."""
        try:
            kept = await self._memory.put(attempt, step, event, spent=spent, made=made, begun=begun)
        except Superseded:
            self.left(step.execution_id)
            raise
        if kept:
            self.kept(step, event, spent)
        return kept

    async def set_aside(self, step: StepExecution, answer: Json) -> None:
        """See `Memory`."""
        await self._memory.set_aside(step, answer)

    async def artifact(self, identity: str) -> Artifact | None:
        """See `Memory`."""
        return await self._memory.artifact(identity)

    async def aside(self, step: StepExecution) -> Json:
        """See `Memory`."""
        return await self._memory.aside(step)

    async def end(
        self, execution_id: str, attempt: int, status: ExecutionStatus, *, outputs: Json, error: Failure | None
    ) -> bool:
        """See `Memory`."""
        ended = await self._memory.end(execution_id, attempt, status, outputs=outputs, error=error)
        if ended:
            self.ended(execution_id, status, error)
        self.left(execution_id)
        return ended

    async def cancelled(self, execution_id: str, attempt: int) -> tuple[bool, frozenset[str]]:
        """See `Memory`."""
        try:
            return await self._memory.cancelled(execution_id, attempt)
        except Superseded:
            self.left(execution_id)
            raise

    # What has been kept, for whoever inherits as well

    def kept(self, step: StepExecution, event: str, spent: Spent | None) -> None:
        """A step is kept as it is now."""
        self._tally.step(step, event)

    def ended(self, execution_id: str, status: ExecutionStatus, error: Failure | None) -> None:
        """An attempt has ended, and that is kept."""
        execution = self._running.get(execution_id)
        if execution is not None:
            self._tally.ended(execution, status)

    def left(self, execution_id: str) -> None:
        """Its attempt runs here no more: it has ended, or another process goes on with it."""
        self._running.pop(execution_id, None)
