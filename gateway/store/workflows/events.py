"""What befell an execution, for those who follow it."""

from __future__ import annotations

from sqlalchemy import select

from gateway.store.engine import Database
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import execution_events
from gateway.store.workflows.translating import event_of
from gateway.workflows.kept import Event

_V = execution_events.c


async def after(database: Database, execution_id: str, seq: int = 0, *, limit: int = 1_000) -> list[Event]:
    """The first `limit` events of an execution behind that number, in their order.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(execution_events).where(_V.execution_id == scrubbed(execution_id), _V.seq > seq)
    async with database.read() as connection:
        rows = (await connection.execute(query.order_by(_V.seq).limit(limit))).mappings().all()
    return [event_of(row) for row in rows]
