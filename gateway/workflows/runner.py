"""What the engine calls: an attempt, found by its number, run to its end, and what follows from that.

Law: an attempt ends, whatever befalls it, unless another process has taken over. A database that is away ends nothing.
What was done meanwhile is kept as soon as it is back, since the engine would otherwise take the attempt for failed,
which it is not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import TypeVar

from gateway.records import StoreUnavailable
from gateway.workflows.attempt import LOOK_EVERY, Around, Attempt
from gateway.workflows.budget import Purse, Purses, purse_of
from gateway.workflows.ears import Ears
from gateway.workflows.kept import (
    Artifact,
    Execution,
    ExecutionStatus,
    Failure,
    Json,
    Spent,
    StepExecution,
    Superseded,
)
from gateway.workflows.memo import Memory
from gateway.workflows.performing import Limits, Performer
from gateway.workflows.spec import Definition

_T = TypeVar("_T")
_log = logging.getLogger("steelyard.workflows")
#: Seconds between two tries to reach a database that is away.
_AGAIN = 1.0
_DEFECT = Failure("api_error", "The gateway has a defect here; its log says which.", "internal_error")


class Patient:
    """A memory that waits for its database."""

    def __init__(self, memory: Memory) -> None:
        """Of this one."""
        self._memory = memory

    async def begin(self, execution_id: str, attempt: int) -> Execution | None:
        """See `Memory`."""
        return await _patiently(lambda: self._memory.begin(execution_id, attempt))

    async def steps(self, execution_id: str) -> list[StepExecution]:
        """See `Memory`."""
        return await _patiently(lambda: self._memory.steps(execution_id))

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
        return await _patiently(lambda: self._memory.put(attempt, step, event, spent=spent, made=made, begun=begun))

    async def artifact(self, identity: str) -> Artifact | None:
        """See `Memory`."""
        return await _patiently(lambda: self._memory.artifact(identity))

    async def set_aside(self, step: StepExecution, answer: Json) -> None:
        """See `Memory`: not waited for, as what the step has come to is kept at once, or as soon as it can be."""
        with suppress(StoreUnavailable):
            await self._memory.set_aside(step, answer)

    async def aside(self, step: StepExecution) -> Json:
        """See `Memory`."""
        return await _patiently(lambda: self._memory.aside(step))

    async def end(
        self, execution_id: str, attempt: int, status: ExecutionStatus, *, outputs: Json, error: Failure | None
    ) -> bool:
        """See `Memory`."""
        return await _patiently(lambda: self._memory.end(execution_id, attempt, status, outputs=outputs, error=error))

    async def cancelled(self, execution_id: str, attempt: int) -> tuple[bool, frozenset[str]]:
        """See `Memory`: a wish that cannot be read is none yet."""
        try:
            return await self._memory.cancelled(execution_id, attempt)
        except StoreUnavailable:
            return False, frozenset()


async def _patiently(ask: Callable[[], Awaitable[_T]]) -> _T:
    told = False
    while True:
        try:
            return await ask()
        except StoreUnavailable as exc:
            if not told:
                _log.warning("an execution waits for the database", extra={"error": str(exc)})
            told = True
            await asyncio.sleep(_AGAIN)


class Runner:
    """Runs attempts."""

    def __init__(
        self,
        memory: Memory,
        definition: Callable[[str, int], Awaitable[Definition]],
        performer: Callable[[Memory], Performer],
        *,
        limits: Limits,
        wall: Callable[[], float],
        ended: Callable[[Execution], Awaitable[None]],
        ears: Ears | None = None,
        look_every: Callable[[], float] = lambda: LOOK_EVERY,
        purses: Purses = purse_of,
    ) -> None:
        """`ended` is told when an attempt is over, however it ended; `ears` and `look_every` are the attempts'.

        `purses` opens an execution's purse.
        """
        self._purses = purses
        self._memory = Patient(memory)
        self._definition = definition
        self._performer = performer(self._memory)
        self._limits = limits
        self._wall = wall
        self._ended = ended
        self._ears = ears or Ears()
        self._look_every = look_every

    async def __call__(self, execution_id: str, attempt: int, around: Around) -> None:
        """Run it, unless it was superseded or the execution has ended."""
        execution = await self._memory.begin(execution_id, attempt)
        if execution is None:
            return
        try:
            definition = await _patiently(lambda: self._definition(execution.slug, execution.version))
            run = Attempt(
                self._memory,
                self._performer,
                definition,
                parallel=self._limits.parallel,
                wall=self._wall,
                ears=self._ears,
                look_every=self._look_every,
                purses=self._purse,
            )
            await run.run(execution, around)
        except Superseded:
            _log.info("another process has taken over", extra={"execution_id": execution_id, "attempt": attempt})
            return
        except Exception:  # noqa: BLE001 - whatever a defect raises
            # The engine would take the attempt for over, and the execution would run for ever.
            _log.exception("an attempt has a defect", extra={"execution_id": execution_id, "attempt": attempt})
            await self._memory.end(execution_id, attempt, "failed", outputs=None, error=_DEFECT)
        await _patiently(lambda: self._ended(execution))

    async def _purse(self, execution: Execution, definition: Definition) -> Purse | None:
        return await _patiently(lambda: self._purses(execution, definition))
