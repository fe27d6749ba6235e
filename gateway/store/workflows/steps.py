"""Step executions: the memo of an execution's nodes, written by its attempt and read by everybody.

Law: the first success wins, and nothing changes it but a new attempt that is to run the node anew. A step, its event,
the sums and the progress of its execution are one transaction. A request to stop a step is never lost to what the
step's own attempt writes at the same time.

What a paid call was answered is set aside by a statement of its own, before the transaction of its success, which may
have to wait for the execution's lock: whoever begins the step again after a crash finds it there.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    String,
    and_,
    bindparam,
    case,
    exists,
    func,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from gateway.store.engine import Database
from gateway.store.tables import Money
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import executions, step_executions
from gateway.store.workflows import artifacts
from gateway.store.workflows.locked import DONE, LIVE, Fence, Noted, inserting, note_all, recount
from gateway.store.workflows.translating import STEP, moment, money, step_of, step_values, told
from gateway.workflows.kept import WHOLE, Artifact, Json, Spent, StepExecution, Superseded

_E, _S = executions.c, step_executions.c
#: What is the row's own from the first on, whatever is put later.
_OWN = ("id", "execution_id", "node_id", "item", "slug", "cancel_requested")
_MINE = (
    _S.execution_id == bindparam("of_execution", type_=String()),
    _S.node_id == bindparam("of_node", type_=String()),
)


#: PostgreSQL's disk is not waited for, until the transaction's end. As a column of what a statement returns anyway: a
#: statement of its own would be one more trip.
_NO_WAIT = func.set_config("synchronous_commit", "off", true())


class _Known(Exception):
    """The step had succeeded already: take back what was written of it."""


class Filters(Struct, frozen=True, kw_only=True):
    """What a listing is narrowed to; None means any, and so do no `statuses`. `key_name` began their executions."""

    status: str | None = None
    statuses: tuple[str, ...] = ()
    slug: str | None = None
    execution_id: str | None = None
    key_name: str | None = None


async def put(
    database: Database,
    fence: Fence,
    step: StepExecution,
    event: str | None,
    *,
    now: float,
    spent: Spent | None = None,
    made: Collection[Artifact] = (),
    begun: bool = False,
) -> bool:
    """Keep a step as it is now, with an event of that type; False: it had succeeded already, and nothing was changed.

    Without an event nobody is told. `spent` is added to the sums of the execution; `step.spent` is kept as it is.
    `made` are files that it has made. `begun`: the event that it was started goes before the other.

    Raises:
        Superseded: another attempt, or another process, has taken over; nothing was changed.
        StoreUnavailable: the database is away; nothing was changed, unless the connection broke on the last word.
    """
    spent = spent or Spent()
    sums = {
        "more_usd": money(spent.cost_usd),
        "more_input": spent.input_tokens,
        "more_output": spent.output_tokens,
        "more_cached": spent.cached_steps,
        "more_saved": money(spent.saved_usd),
        "more_events": 0 if event is None else 1 + begun,
    }
    # Within an attempt no node's state goes back; the next one begins those anew that had failed.
    counts = step.item == WHOLE and fence.attempt == 1 and step.status in DONE
    recounts = step.item == WHOLE and fence.attempt > 1
    hold = _hold(database.dialect, counts=counts, costless=begun or event == "step.started")
    whose = {**fence.parameters(), **({"of_node": step.node_id} if counts else {})}
    try:
        async with database.write() as connection:
            held = (await connection.execute(hold, sums | whose)).mappings().one_or_none()
            if held is None:
                raise Superseded
            row = {**step_values(step), "attempt": fence.attempt, "slug": held["slug"]}
            identity = (await connection.execute(_upsert(database.dialect), row)).scalar_one_or_none()
            if identity is None:
                raise _Known
            await artifacts.add(connection, made)
            if recounts:
                await recount(connection, step.execution_id)
            if event is not None:
                kept = replace(step, id=identity, attempt=fence.attempt)
                await note_all(connection, held, _events(kept, event, begun=begun, now=now))
    except _Known:
        return False
    return True


async def set_aside(database: Database, step: StepExecution, answer: Json) -> None:
    """Keep what was answered to the call that a step is making, until what becomes of the step is put.

    Not fenced: who was superseded meanwhile has paid for it all the same, and the call goes by the same name. On
    PostgreSQL it outlasts us at once, and the server's own crash as soon as the step's success is on its disk, a few
    milliseconds later: to wait for both would be to wait twice.

    Raises:
        StoreUnavailable: the database is away; nothing was kept.
    """
    query = update(step_executions).where(*_this(step), _S.status == "running", _S.tries == step.tries)
    query = query.values(aside=answer)
    async with database.write() as connection:
        await connection.execute(query.returning(_NO_WAIT) if database.dialect == "postgresql" else query)


async def aside(database: Database, step: StepExecution) -> Json:
    """What was set aside for it; None: nothing.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.read() as connection:
        return (await connection.execute(select(_S.aside).where(*_this(step)))).scalar_one_or_none()


async def all_of(database: Database, execution_id: str) -> list[StepExecution]:
    """All steps of an execution, by node and item.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(*STEP).where(_S.execution_id == scrubbed(execution_id)).order_by(_S.node_id, _S.item)
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
    return [step_of(row) for row in rows]


async def get(database: Database, identity: str) -> StepExecution | None:
    """The step execution of that id.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.read() as connection:
        row = (await connection.execute(select(*STEP).where(_S.id == scrubbed(identity)))).mappings().one_or_none()
    return None if row is None else step_of(row)


async def listed(
    database: Database, filters: Filters, *, after: str | None = None, limit: int = 50
) -> list[StepExecution]:
    """Steps, newest first, from behind the id `after` on.

    Raises:
        StoreUnavailable: the database is away.
    """
    conditions: list[ColumnElement[bool]] = []
    for column, wanted in (
        (_S.status, filters.status),
        (_S.slug, filters.slug),
        (_S.execution_id, filters.execution_id),
    ):
        if wanted is not None:
            conditions.append(column == scrubbed(wanted))
    if filters.statuses:
        conditions.append(_S.status.in_(filters.statuses))
    if filters.key_name is not None:
        conditions.append(of_key(filters.key_name))
    if after is not None:
        conditions.append(_S.id < scrubbed(after))
    query = select(*STEP).where(*conditions).order_by(_S.id.desc()).limit(limit)
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
    return [step_of(row) for row in rows]


def of_key(name: str) -> ColumnElement[bool]:
    """Whether that API key began a step's execution."""
    return exists().where(_E.id == _S.execution_id, _E.key_name == scrubbed(name))


async def expired(database: Database, *, now: float, limit: int = 100) -> list[StepExecution]:
    """Steps that wait for a person who can no longer decide, those first that have been so the longest.

    Not those of executions that have ended without them: nobody will decide on these, and they would stand before all.

    Raises:
        StoreUnavailable: the database is away.
    """
    lives = exists().where(_E.id == _S.execution_id, _E.status.in_(LIVE))
    query = select(*STEP).where(_S.status == "waiting", _S.expires_at <= moment(now), lives)
    query = query.order_by(_S.expires_at, _S.id)
    async with database.read() as connection:
        rows = (await connection.execute(query.limit(limit))).mappings().all()
    return [step_of(row) for row in rows]


async def cancelled(database: Database, fence: Fence) -> tuple[bool, frozenset[str]]:
    """Whether the execution was asked to stop, and the ids of its steps that were.

    Raises:
        Superseded: another attempt, or another process, has taken over.
        StoreUnavailable: the database is away.
    """
    whole = select(_E.cancel_requested, _E.steps_cancelled).where(*fence.open())
    steps = select(_S.id).where(_S.execution_id == scrubbed(fence.execution_id), _S.cancel_requested)
    async with database.read() as connection:
        row = (await connection.execute(whole)).one_or_none()
        if row is None:
            raise Superseded
        found = (await connection.execute(steps)).scalars().all() if row.steps_cancelled else ()
    return row.cancel_requested, frozenset(found)


def _this(step: StepExecution) -> tuple[ColumnElement[bool], ...]:
    return _S.execution_id == scrubbed(step.execution_id), _S.node_id == step.node_id, _S.item == step.item


def _events(step: StepExecution, event: str, *, begun: bool, now: float) -> list[Noted]:
    """What there is to tell of a step that is kept."""
    found = [Noted(event, now, step.node_id, told(step))]
    if begun:
        started = replace(step, status="running", branch=None, error=None, provider=None, model=None, spent=Spent())
        found.insert(0, Noted("step.started", step.started_at or now, step.node_id, told(started)))
    return found


@cache
def _hold(dialect: str, *, counts: bool, costless: bool) -> ReturningUpdate[Any]:
    """Hold the execution, and count what is added to it; `counts`: a node is done, unless it was before.

    `costless`: what can be done again for nothing need not be on PostgreSQL's disk before we go on. When its server
    crashes, the last of it may be lost (three times its `wal_writer_delay`), but nothing that came before what is kept.
    On SQLite that holds for everything: see `gateway.store.engine`.
    """
    mine = and_(
        _E.id == bindparam("of_execution", type_=String()),
        _E.attempt == bindparam("of_attempt"),
        _E.status == "running",
        or_(bindparam("of_owner", type_=String()).is_(None), _E.owner == bindparam("of_owner", type_=String())),
    )
    query = (
        update(executions)
        .where(mine)
        .values(
            last_seq=_E.last_seq + bindparam("more_events", type_=Integer()),
            cost_usd=_E.cost_usd + bindparam("more_usd", type_=Money()),
            input_tokens=_E.input_tokens + bindparam("more_input", type_=BigInteger()),
            output_tokens=_E.output_tokens + bindparam("more_output", type_=BigInteger()),
            cached_steps=_E.cached_steps + bindparam("more_cached", type_=Integer()),
            saved_usd=_E.saved_usd + bindparam("more_saved", type_=Money()),
        )
    )
    if counts:
        before = select(func.count()).where(*_MINE, _S.item == WHOLE, _S.status.in_(DONE)).scalar_subquery()
        query = query.values(done=_E.done + 1 - before)
    found: list[ColumnElement[Any]] = [_E.id, _E.slug, _E.last_seq]
    if costless and dialect == "postgresql":
        found.append(_NO_WAIT)
    return query.returning(*found)


@cache
def _upsert(dialect: str) -> ReturningInsert[str]:
    """Keep a row unless its step has succeeded; its id, None: it has."""
    query = inserting(dialect, step_executions)
    values: dict[str, Any] = {column.name: query.excluded[column.name] for column in _S if column.name not in _OWN}
    # Of no more use once the step is anything else.
    values["aside"] = case((query.excluded["status"] == "running", _S.aside), else_=null())
    same = ["execution_id", "node_id", "item"]
    return query.on_conflict_do_update(index_elements=same, set_=values, where=_S.status != "succeeded").returning(
        _S.id
    )
