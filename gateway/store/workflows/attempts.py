"""Attempts: each run of an execution by a worker, from its beginning to its end, and the next one.

    pending ─begin─► running ─end─► waiting ──┐            completed, failed, cancelled
       ▲                                      │                        │
       └────────────── wake ──────────────────┘◄──── next_attempt ─────┘

Law: only the attempt whose number the execution bears, run by the process that began it last, changes anything. Of two
that want the next attempt one gets it. What an execution waits for is never missed: what comes while an attempt still
runs is remembered (`woken`), and the end of that attempt is then the start of the next.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from msgspec import UNSET, Struct, UnsetType
from sqlalchemy import ColumnElement, RowMapping, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.engine import Database
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import executions, step_executions
from gateway.store.workflows.locked import ENDED, Fence, change, note, recount
from gateway.store.workflows.translating import EXECUTION, execution_of, failure_values, moment, moment_or_none
from gateway.workflows.kept import WHOLE, Execution, ExecutionStatus, Failure, Json

_E, _S = executions.c, step_executions.c
#: A step to be run again, which remembers what its kind keeps; and one to be run anew, which does not. Both go on
#: counting their tries, whose numbers name their calls: what was answered under an old name is not taken for new.
_AGAIN: dict[str, Any] = {"status": "pending", "error": None, "completed_at": None, "seconds": None}
_ANEW: dict[str, Any] = {
    **_AGAIN,
    **dict.fromkeys(("output", "branch", "provider", "model", "started_at", "expires_at", "aside")),
    "data": {},
}


class Queued(Struct, frozen=True):
    """An attempt for a worker to run."""

    execution_id: str
    attempt: int


class Rerun(Struct, frozen=True, kw_only=True):
    """What the next attempt finds otherwise than the last one left it.

    Attributes:
        reset_nodes: to be run anew, whatever became of them and of their items.
        retry_nodes: to be run again as far as they have not succeeded: of a map, the items that have stay.
        inputs: other inputs, if set.
        version: another version of the definition; None: the same.
        nodes: how many nodes that has; None: as many.
        deadline_at: another deadline (None: none), if set.
        attempt: the attempt that must have been the last; None: any.
    """

    reset_nodes: Collection[str] = ()
    retry_nodes: Collection[str] = ()
    inputs: Json | UnsetType = UNSET
    version: int | None = None
    nodes: int | None = None
    deadline_at: float | UnsetType | None = UNSET
    attempt: int | None = None


async def begin(database: Database, fence: Fence, *, now: float) -> Execution | None:
    """Mark the attempt as run by its owner from now on; None: it was superseded, or the execution does not wait for it.

    One that ran already is taken over: what its former owner still writes is `Superseded`.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    conditions = [
        _E.id == scrubbed(fence.execution_id),
        _E.attempt == fence.attempt,
        _E.status.in_(("pending", "running")),
    ]
    values: dict[str, Any] = {
        "status": "running",
        "owner": fence.owner,
        "woken": False,
        "started_at": func.coalesce(_E.started_at, moment(now)),
    }
    async with database.write() as connection:
        row = await change(connection, *conditions, returning=[*EXECUTION, _E.last_seq], **values)
        if row is None:
            return None
        await note(connection, row, "execution.started", now=now, data={"attempt": fence.attempt})
    return execution_of({name: value for name, value in row.items() if name != "last_seq"})


async def end(
    database: Database,
    fence: Fence,
    status: ExecutionStatus,
    *,
    outputs: Json = None,
    error: Failure | None = None,
    now: float,
) -> bool:
    """End the attempt so; False: it was superseded, and nothing was changed.

    If what a `waiting` one waits for has come, the next attempt is pending already.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    values: dict[str, Any] = {"status": status, "owner": None}
    if status in ENDED:
        values |= {"outputs": outputs, "error": failure_values(error), "completed_at": moment(now)}
    async with database.write() as connection:
        row = await change(connection, *fence.open(), **values)
        if row is None:
            return False
        data: dict[str, Any] = {"attempt": fence.attempt}
        if error is not None:
            data["error"] = failure_values(error)
        await note(connection, row, f"execution.{status}", now=now, data=data)
        if status == "cancelled":
            await cancel_steps(connection, fence.execution_id, now)
        elif status == "waiting" and row["woken"]:
            await wake_within(connection, fence.execution_id, now)
    return True


async def wake(database: Database, execution_id: str, *, now: float) -> Queued | None:
    """Say that what an execution waits for may have come: the attempt to be run, if it waits.

    None: an attempt still runs, and will be followed by the next; or the execution has ended.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    async with database.write() as connection:
        return await wake_within(connection, execution_id, now)


async def wake_within(connection: AsyncConnection, execution_id: str, now: float) -> Queued | None:
    """The same, in somebody's transaction."""
    execution_id = scrubbed(execution_id)
    # First, and in one statement, so that the row is held before it is asked what it is.
    running = update(executions).where(_E.id == execution_id, _E.status == "running").values(woken=True)
    await connection.execute(running)
    return await _next(connection, _E.id == execution_id, _E.status == "waiting", now=now)


async def next_attempt(
    database: Database,
    execution_id: str,
    expected: Collection[ExecutionStatus],
    *,
    now: float,
    rerun: Rerun | None = None,
) -> int | None:
    """Make the next attempt of an execution that is in one of the `expected` states; its number, for a worker to run.

    What has succeeded stays, but for `rerun.reset_nodes`, and so do the sums: what was paid was paid. Steps that were
    cut off are pending again, those that failed as they were; all are of an older attempt. None: the execution is in
    another state, or somebody else was first.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    rerun = rerun or Rerun()
    conditions: list[ColumnElement[bool]] = [_E.id == scrubbed(execution_id), _E.status.in_(expected)]
    if rerun.attempt is not None:
        conditions.append(_E.attempt == rerun.attempt)
    values: dict[str, Any] = {"outputs": None, "error": None, "completed_at": None}
    values |= {"cancel_requested": False, "steps_cancelled": False}
    if rerun.inputs is not UNSET:
        values["inputs"] = rerun.inputs
    if rerun.version is not None:
        values["version"] = rerun.version
    if rerun.nodes is not None:
        values["nodes"] = rerun.nodes
    if rerun.deadline_at is not UNSET:
        values["deadline_at"] = moment_or_none(rerun.deadline_at)
    async with database.write() as connection:
        queued = await _next(connection, *conditions, now=now, **values)
        if queued is None:
            return None
        await _prepare(connection, queued, rerun)
    return queued.attempt


async def stale(database: Database, before: float, *, now: float, limit: int = 100) -> list[Queued]:
    """Attempts that no worker has begun although they were to run `before` that moment; told to one caller at a time.

    They are as if they were to run from now on: asking again tells others.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(_E.id, _E.attempt).where(_E.status == "pending", _E.queued_at <= moment(before))
    query = query.order_by(_E.created_at, _E.id).limit(limit).with_for_update(skip_locked=True)
    async with database.write() as connection:
        rows = (await connection.execute(query)).all()
        told = update(executions).where(_E.id.in_([row.id for row in rows])).values(queued_at=moment(now))
        if rows:
            await connection.execute(told)
    return [Queued(row.id, row.attempt) for row in rows]


async def unaware(database: Database, *, limit: int = 100) -> list[str]:
    """Executions that wait for another which has ended: whoever ended it has died before it could say so.

    Raises:
        StoreUnavailable: the database is away.
    """
    whole, child = step_executions.alias("whole"), executions.alias("child")
    query = (
        select(_E.id)
        .distinct()
        .join(step_executions, _S.execution_id == _E.id)
        # Not of a map that has failed: nobody waits for its items any more.
        .join(whole, and_(whole.c.execution_id == _E.id, whole.c.node_id == _S.node_id, whole.c.item == WHOLE))
        .join(child, child.c.id == _S.data["execution_id"].as_string())
        .where(_S.status == "waiting", _S.kind == "workflow", whole.c.status == "waiting")
        .where(_E.status == "waiting", child.c.status.in_(ENDED))
    )
    async with database.read() as connection:
        return list((await connection.execute(query.order_by(_E.id).limit(limit))).scalars().all())


async def cancel_steps(connection: AsyncConnection, execution_id: str, now: float) -> None:
    """Mark what was being done or waited for as cancelled, in the transaction that cancels the execution."""
    ongoing = (_S.execution_id == execution_id, _S.status.in_(("running", "waiting")))
    values = {"status": "cancelled", "completed_at": moment(now), "expires_at": None}
    await connection.execute(update(step_executions).where(*ongoing).values(values))


async def _next(
    connection: AsyncConnection, *conditions: ColumnElement[bool], now: float, **values: Any
) -> Queued | None:
    """The next attempt of the execution for which the conditions hold."""
    values |= {"status": "pending", "attempt": _E.attempt + 1, "queued_at": moment(now), "owner": None, "woken": False}
    row: RowMapping | None = await change(connection, *conditions, **values)
    if row is None:
        return None
    await note(connection, row, "execution.queued", now=now, data={"attempt": row["attempt"]})
    return Queued(row["id"], row["attempt"])


async def _prepare(connection: AsyncConnection, queued: Queued, rerun: Rerun) -> None:
    """Set back what is to be run again, and count what is done; the execution is held."""
    mine = _S.execution_id == queued.execution_id
    # Cancelled without a reason: together with its execution, which goes on now.
    cut_off = or_(_S.status == "running", and_(_S.status == "cancelled", _S.error.is_(None)))
    again = and_(_S.node_id.in_(rerun.retry_nodes), _S.status != "succeeded")
    # What was decided for this attempt already, while the last one ran, is of an older one as well: see `deciding`.
    early = _S.attempt >= queued.attempt
    for which, values in (
        (cut_off, _AGAIN),
        (again, _AGAIN),
        (_S.node_id.in_(rerun.reset_nodes), _ANEW),
        (_S.cancel_requested, {"cancel_requested": False}),
        (early, {"attempt": queued.attempt - 1}),
    ):
        await connection.execute(update(step_executions).where(mine, which).values(values))
    await recount(connection, queued.execution_id)
