"""Requests to stop, whether or not an attempt runs.

Law: what runs is asked and ends itself; what only waits, for a worker or a person, ends at once. Whoever stops an
execution stops its children and theirs. Executions are locked from the parent to the child, and siblings by their ids,
so that two such requests never wait for each other.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.engine import Database
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import executions, step_executions
from gateway.store.workflows.attempts import Queued, cancel_steps
from gateway.store.workflows.deciding import Verdict, decide
from gateway.store.workflows.locked import LIVE, change, note
from gateway.store.workflows.steps import get as get_step
from gateway.store.workflows.translating import STEP, failure_values, moment, step_of
from gateway.workflows.kept import Failure, StepExecution

_E, _S = executions.c, step_executions.c
_IDLE = ("pending", "waiting")


class Stopping(Struct, frozen=True):
    """What became of a request: executions that are cancelled, and those whose running attempts were asked to stop."""

    cancelled: list[str]
    asked: list[str]


class StepStopping(Struct, frozen=True):
    """A step that was asked to stop, or, as it waited, has: then `queued` is the attempt for a worker to run.

    `queued` is None while an attempt still runs.
    """

    step: StepExecution
    queued: Queued | None = None


async def request_cancel(database: Database, execution_id: str, *, now: float) -> Stopping:
    """Stop an execution and its children. Both lists are empty if it is not there or has ended.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    found = Stopping([], [])
    level = [scrubbed(execution_id)]
    async with database.write() as connection:
        while level:
            # Held before its children are looked for: none can be born unseen meanwhile.
            query = select(_E.id, _E.status).where(_E.id.in_(level), _E.status.in_(LIVE)).order_by(_E.id)
            rows = (await connection.execute(query.with_for_update())).all()
            for row in rows:
                await _stop(connection, row.id, row.status, found, now)
            level = []
            if rows:
                children = select(_E.id).where(_E.parent_id.in_([row.id for row in rows]), _E.status.in_(LIVE))
                level = list((await connection.execute(children)).scalars().all())
    return found


async def request_step_cancel(database: Database, step_id: str, *, now: float) -> StepStopping | None:
    """Stop a step that has not ended, of an execution that has not; None: there is none such.

    Whom a step that waits has waited for, another execution say, is the caller's to stop.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    step = await get_step(database, step_id)
    if step is not None and step.status == "waiting":
        why = Failure("cancelled", "The step was cancelled.", node_id=step.node_id)
        verdict = Verdict(status="cancelled", error=why)
        decided = await decide(database, step.execution_id, step.node_id, verdict, now=now, item=step.item)
        if decided is not None:
            return StepStopping(decided.step, decided.queued)
        step = await get_step(database, step_id)  # somebody else was first
    return None if step is None else await _ask(database, step, now)


async def overdue(database: Database, *, now: float, limit: int = 100) -> list[str]:
    """Executions that have not ended by their deadline, those first that should have the longest ago.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(_E.id).where(_E.status.in_(LIVE), _E.deadline_at <= moment(now)).order_by(_E.deadline_at, _E.id)
    async with database.read() as connection:
        return list((await connection.execute(query.limit(limit))).scalars().all())


async def give_up(database: Database, execution_id: str, error: Failure, *, now: float) -> bool:
    """Let an execution fail that no worker runs; False: it is not there, runs, or has ended.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    values: dict[str, Any] = {"status": "failed", "error": failure_values(error), "completed_at": moment(now)}
    async with database.write() as connection:
        row = await change(connection, _E.id == scrubbed(execution_id), _E.status.in_(_IDLE), **values)
        if row is None:
            return False
        data = {"attempt": row["attempt"], "error": values["error"]}
        await note(connection, row, "execution.failed", now=now, data=data)
    return True


async def _stop(connection: AsyncConnection, execution_id: str, status: str, found: Stopping, now: float) -> None:
    """Cancel an execution that is held, or ask it to stop."""
    if status in _IDLE:
        values: dict[str, Any] = {"status": "cancelled", "completed_at": moment(now)}
        row = await change(connection, _E.id == execution_id, cancel_requested=True, **values)
        await cancel_steps(connection, execution_id, now)
        found.cancelled.append(execution_id)
        kind = "execution.cancelled"
    else:
        row = await change(connection, _E.id == execution_id, ~_E.cancel_requested, cancel_requested=True)
        found.asked.append(execution_id)
        kind = "execution.cancel_requested"
    if row is not None:  # None: asked before
        await note(connection, row, kind, now=now, data={"attempt": row["attempt"]})


async def _ask(database: Database, step: StepExecution, now: float) -> StepStopping | None:
    """Ask the attempt that runs a step, or is to, to stop it."""
    asking = update(step_executions).where(_S.id == step.id, _S.status.in_(("pending", "running")))
    asking = asking.values(cancel_requested=True).returning(*STEP)
    async with database.write() as connection:
        held = await change(connection, _E.id == step.execution_id, _E.status.in_(LIVE), steps_cancelled=True)
        if held is None:
            return None
        row = (await connection.execute(asking)).mappings().one_or_none()
        if row is None:
            await connection.rollback()  # the event's number with it
            return None
        data = {"step_id": step.id}
        await note(connection, held, "step.cancel_requested", now=now, node_id=step.node_id, data=data)
    return StepStopping(step_of(row))
