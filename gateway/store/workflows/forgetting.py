"""How long executions are kept.

Law: what has not ended is never forgotten, nor is a child before its parent has ended. An execution goes with all that
belongs to it, in one transaction; the files of its artifacts are named to the caller, who deletes them afterwards: a
crash in between leaves a file that nobody misses, never an artifact without its file.
"""

from __future__ import annotations

from msgspec import Struct
from sqlalchemy import delete, exists, select

from gateway.store.engine import Database
from gateway.store.workflow_tables import (
    artifacts,
    budget_holds,
    budgets,
    execution_events,
    executions,
    step_executions,
)
from gateway.store.workflows.locked import ENDED, LIVE
from gateway.store.workflows.translating import moment

_E = executions.c
_THEIRS = [table.c.execution_id for table in (step_executions, execution_events, budgets, budget_holds)]


class Forgotten(Struct, frozen=True):
    """How many executions were forgotten, and the paths of the files that are to be deleted."""

    executions: int
    paths: list[str]


async def forget(database: Database, before: float, *, limit: int = 50) -> Forgotten:
    """Forget `limit` of the executions that ended `before` that moment (Unix seconds), the oldest first.

    To forget all of them, call it until it forgets none. With ten nodes each, fifty are some two thousand rows: every
    other writer of SQLite waits for them.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    parent = executions.alias("parent")
    held_by_parent = exists().where(parent.c.id == _E.parent_id, parent.c.status.in_(LIVE))
    query = select(_E.id).where(_E.completed_at < moment(before), _E.status.in_(ENDED), ~held_by_parent)
    query = query.order_by(_E.completed_at).limit(limit).with_for_update(skip_locked=True, of=executions)
    async with database.write() as connection:
        found = (await connection.execute(query)).scalars().all()
        if not found:
            return Forgotten(0, [])
        gone = delete(artifacts).where(artifacts.c.execution_id.in_(found)).returning(artifacts.c.path)
        paths = (await connection.execute(gone)).scalars().all()
        for column in (*_THEIRS, _E.id):
            await connection.execute(delete(column.table).where(column.in_(found)))
    return Forgotten(len(found), list(paths))
