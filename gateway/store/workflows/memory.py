"""The engine's `Memory` over a database."""

from __future__ import annotations

from collections.abc import Callable, Collection

from gateway.store.engine import Database
from gateway.store.workflows import artifacts, attempts, steps
from gateway.store.workflows.locked import Fence
from gateway.workflows.kept import WHOLE, Artifact, Execution, ExecutionStatus, Failure, Json, Spent, StepExecution

#: Events of what goes on within a node.
_DETAILS = ("step.retrying", "step.progress")


class WorkflowStore:
    """What an attempt reads and writes, as `gateway.workflows.memo.Memory` says.

    `owner` is the process that runs the attempts: one that another process has taken over, under the same number, is
    superseded too. Without `tracking` no event tells of tries, items and rounds; the steps are kept all the same.
    """

    def __init__(
        self, database: Database, clock: Callable[[], float], owner: str | None = None, *, tracking: bool = True
    ) -> None:
        """Over a database that need not be there yet; `clock` tells Unix seconds."""
        self._tracking = tracking
        self._database = database
        self._clock = clock
        self._owner = owner

    async def begin(self, execution_id: str, attempt: int) -> Execution | None:
        """See `Memory`."""
        return await attempts.begin(self._database, self._fence(execution_id, attempt), now=self._clock())

    async def steps(self, execution_id: str) -> list[StepExecution]:
        """See `Memory`."""
        return await steps.all_of(self._database, execution_id)

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
        fence, now = self._fence(step.execution_id, attempt), self._clock()
        told = event if self._tracking or (step.item == WHOLE and event not in _DETAILS) else None
        return await steps.put(self._database, fence, step, told, now=now, spent=spent, made=made, begun=begun)

    async def artifact(self, identity: str) -> Artifact | None:
        """See `Memory`."""
        return await artifacts.get(self._database, identity)

    async def set_aside(self, step: StepExecution, answer: Json) -> None:
        """See `Memory`."""
        await steps.set_aside(self._database, step, answer)

    async def aside(self, step: StepExecution) -> Json:
        """See `Memory`."""
        return await steps.aside(self._database, step)

    async def end(
        self, execution_id: str, attempt: int, status: ExecutionStatus, *, outputs: Json, error: Failure | None
    ) -> bool:
        """See `Memory`."""
        fence, now = self._fence(execution_id, attempt), self._clock()
        return await attempts.end(self._database, fence, status, outputs=outputs, error=error, now=now)

    async def cancelled(self, execution_id: str, attempt: int) -> tuple[bool, frozenset[str]]:
        """See `Memory`."""
        return await steps.cancelled(self._database, self._fence(execution_id, attempt))

    def _fence(self, execution_id: str, attempt: int) -> Fence:
        return Fence(execution_id, attempt, self._owner)
