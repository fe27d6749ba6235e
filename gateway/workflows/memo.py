"""What the engine needs of whoever keeps executions.

Law: a step execution that has succeeded is the memo of its node: whoever finds it neither calls nor pays again. Each
write is fenced by the number of the attempt, since the engine fences its own tables only: a process that was thawed
after another took over finds `Superseded`, and nothing of what it did is kept.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from gateway.workflows.kept import Artifact, Execution, ExecutionStatus, Failure, Json, Spent, StepExecution


class Memory(Protocol):
    """Keeps executions. Every method raises `StoreUnavailable` while the database is away; nothing was done then."""

    async def begin(self, execution_id: str, attempt: int) -> Execution | None:
        """Mark this attempt as running, with an event; None: it was superseded, or the execution has ended."""
        ...

    async def steps(self, execution_id: str) -> list[StepExecution]:
        """All its step executions."""
        ...

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
        """Keep a step as it is now, with an event of that type and the execution's progress and sums; one transaction.

        The first success wins: False when the step had succeeded already, and nothing was changed. `spent` is what is
        added to the sums of the execution, `made` are files that the step has made; `begun` when that the step was
        started is not kept yet, and is now, before the other event. Raises `Superseded`.
        """
        ...

    async def artifact(self, identity: str) -> Artifact | None:
        """What is known of a file that was made."""
        ...

    async def set_aside(self, step: StepExecution, answer: Json) -> None:
        """Keep what a step's call was answered, before it counts: until the step is put as anything but running."""
        ...

    async def aside(self, step: StepExecution) -> Json:
        """What was set aside for the step; None: nothing."""
        ...

    async def end(
        self, execution_id: str, attempt: int, status: ExecutionStatus, *, outputs: Json, error: Failure | None
    ) -> bool:
        """End the attempt so, with an event; False: it was superseded. `waiting` ends an attempt, not the execution.

        What it waited for may have come in the meantime: then the next attempt is pending at once, for the caller to
        run.
        """
        ...

    async def cancelled(self, execution_id: str, attempt: int) -> tuple[bool, frozenset[str]]:
        """Whether the execution was asked to stop, and which of its step executions were. Raises `Superseded`."""
        ...
