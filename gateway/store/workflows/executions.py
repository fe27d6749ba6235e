"""Executions: asked for, found and listed.

Law: an execution is submitted once. The second with its id, or with the idempotency key of the same API key, is the
first one. A child of an execution that is to stop is born with the same request, so that no cascade misses it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import ColumnElement, and_, func, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.engine import Database
from gateway.store.paging import cursor_of, position
from gateway.store.tables import UtcDateTime
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import executions
from gateway.store.workflows.locked import LIVE, inserting, note
from gateway.store.workflows.translating import (
    EXECUTION,
    execution_of,
    failure_values,
    moment,
    moment_or_none,
    money,
    spent_values,
    text_or_none,
)
from gateway.workflows.kept import Execution

_E = executions.c
_LISTED = [column for column in EXECUTION if column.name not in ("inputs", "outputs")]


#: Does what belongs to an execution in the transaction that keeps it; whether it did. Must leave the transaction whole.
Within = Callable[[AsyncConnection], Awaitable[bool]]


class Submitted(Struct, frozen=True):
    """The execution that is kept; `created`: by this call; `within`: what belongs to it was done with it."""

    execution: Execution
    created: bool
    within: bool = False


class Filters(Struct, frozen=True, kw_only=True):
    """What a listing is narrowed to; None means any. `since` is Unix seconds, inclusive."""

    slug: str | None = None
    status: str | None = None
    key_name: str | None = None
    parent_id: str | None = None
    since: float | None = None


class Page(Struct, frozen=True):
    """Some executions, newest first, and where the next page starts: None at the end."""

    items: list[Execution]
    next: str | None


async def submit(database: Database, execution: Execution, within: Within | None = None) -> Submitted:
    """Keep an execution and the event that it was submitted, or find the one that was submitted already.

    Raises:
        StoreUnavailable: the database is away; nothing was kept.
    """
    async with database.write() as connection:
        return await submit_within(connection, execution, within)


async def submit_within(connection: AsyncConnection, execution: Execution, within: Within | None = None) -> Submitted:
    """The same, in somebody's transaction."""
    if execution.parent_id is not None:
        # Held until the end: a request to stop comes before and is seen here, or after and sees the child.
        query = select(_E.status, _E.cancel_requested).where(_E.id == execution.parent_id).with_for_update()
        parent = (await connection.execute(query)).one_or_none()
        if parent is not None and (parent.cancel_requested or parent.status not in LIVE):
            execution = replace(execution, cancel_requested=True)
    insertion = inserting(connection.dialect.name, executions).values(_values(execution)).on_conflict_do_nothing()
    row = (await connection.execute(insertion.returning(*EXECUTION, _E.last_seq))).mappings().one_or_none()
    if row is None:
        found = (await connection.execute(select(*EXECUTION).where(_same(execution)).limit(1))).mappings().one()
        return Submitted(execution_of(found), created=False)
    data: dict[str, Any] = {"workflow": execution.slug, "version": execution.version}
    if execution.begun_in is not None:
        data["traceparent"] = execution.begun_in
    await note(connection, row, "execution.submitted", now=execution.created_at, data=data)
    values = {name: value for name, value in row.items() if name != "last_seq"}
    return Submitted(execution_of(values), created=True, within=within is not None and await within(connection))


async def get(database: Database, identity: str) -> Execution | None:
    """The execution of that id, whole.

    Raises:
        StoreUnavailable: the database is away.
    """
    return await _one(database, identity, EXECUTION)


async def facts(database: Database, identity: str) -> Execution | None:
    """The same without its inputs and outputs, which can be megabytes.

    Raises:
        StoreUnavailable: the database is away.
    """
    return await _one(database, identity, _LISTED)


async def listed(database: Database, filters: Filters, *, cursor: str | None = None, limit: int = 50) -> Page:
    """A page of executions, without their inputs and outputs.

    Raises:
        ValueError: `cursor` is not one that a page gave.
        StoreUnavailable: the database is away.
    """
    conditions: list[ColumnElement[bool]] = []
    for column, wanted in (
        (_E.slug, filters.slug),
        (_E.status, filters.status),
        (_E.key_name, filters.key_name),
        (_E.parent_id, filters.parent_id),
    ):
        if wanted is not None:
            conditions.append(column == scrubbed(wanted))
    if filters.since is not None:
        conditions.append(_E.created_at >= moment(filters.since))
    if cursor is not None:
        at, last = position(cursor)
        when = literal(at, UtcDateTime())
        # The first condition follows from the second; it is what lets the (filter, created_at) indexes start there.
        conditions += [_E.created_at <= when, tuple_(_E.created_at, _E.id) < tuple_(when, literal(last))]
    query = select(*_LISTED).where(*conditions).order_by(_E.created_at.desc(), _E.id.desc()).limit(limit + 1)
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
    more = cursor_of(rows[limit - 1]["created_at"], rows[limit - 1]["id"]) if len(rows) > limit else None
    return Page([execution_of(row) for row in rows[:limit]], more)


async def live(database: Database) -> dict[str, int]:
    """How many executions that have not ended are in which state.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(_E.status, func.count()).where(_E.status.in_(LIVE)).group_by(_E.status)
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return {status: int(count) for status, count in rows}


async def oldest(database: Database) -> dict[str, float]:
    """When the oldest execution was made that has not ended, Unix seconds, by the state it is in.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(_E.status, func.min(_E.created_at)).where(_E.status.in_(LIVE)).group_by(_E.status)
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return {status: made.timestamp() for status, made in rows}


async def _one(database: Database, identity: str, columns: Sequence[ColumnElement[Any]]) -> Execution | None:
    query = select(*columns).where(_E.id == scrubbed(identity))
    async with database.read() as connection:
        row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else execution_of(row)


def _same(execution: Execution) -> ColumnElement[bool]:
    same_id = _E.id == scrubbed(execution.id)
    if execution.idempotency_key is None:
        return same_id
    same_key = and_(
        _E.key_name == scrubbed(execution.key_name), _E.idempotency_key == scrubbed(execution.idempotency_key)
    )
    return or_(same_id, same_key)


def _values(execution: Execution) -> dict[str, Any]:
    return {
        "id": scrubbed(execution.id),
        "slug": scrubbed(execution.slug),
        "version": execution.version,
        "status": execution.status,
        "attempt": execution.attempt,
        "inputs": execution.inputs,
        "outputs": execution.outputs,
        "error": failure_values(execution.error),
        "nodes": execution.nodes,
        "done": execution.done,
        "key_name": scrubbed(execution.key_name),
        "idempotency_key": text_or_none(execution.idempotency_key),
        "parent_id": execution.parent_id,
        "parent_node": execution.parent_node,
        "depth": execution.depth,
        "budget_usd": None if execution.budget_usd is None else money(execution.budget_usd),
        "deadline_s": execution.deadline_s,
        "deadline_at": moment_or_none(execution.deadline_at),
        **spent_values(execution.spent),
        "created_at": moment(execution.created_at),
        "started_at": moment_or_none(execution.started_at),
        "completed_at": moment_or_none(execution.completed_at),
        "cancel_requested": execution.cancel_requested,
        "owner": None,
        "queued_at": moment(execution.created_at),
        "woken": False,
        "steps_cancelled": False,
        "last_seq": 1,
    }
