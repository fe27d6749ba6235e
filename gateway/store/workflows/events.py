"""What befell an execution, for those who follow it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from gateway.store.engine import Database
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import execution_events, executions
from gateway.store.workflows.translating import event_of
from gateway.workflows.kept import Event

_E, _V = executions.c, execution_events.c
#: Executions that one query is asked for; SQLite takes some 32,000 parameters.
_AT_ONCE = 1_000


async def after(database: Database, execution_id: str, seq: int = 0, *, limit: int = 1_000) -> list[Event]:
    """The first `limit` events of an execution behind that number, in their order.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(execution_events).where(_V.execution_id == scrubbed(execution_id), _V.seq > seq)
    async with database.read() as connection:
        rows = (await connection.execute(query.order_by(_V.seq).limit(limit))).mappings().all()
    return [event_of(row) for row in rows]


async def newest(database: Database, identities: Sequence[str]) -> dict[str, int]:
    """The number of the last event of each of these executions, as far as they are there.

    Raises:
        StoreUnavailable: the database is away.
    """
    found: dict[str, int] = {}
    async with database.read() as connection:
        for start in range(0, len(identities), _AT_ONCE):
            some = [scrubbed(one) for one in identities[start : start + _AT_ONCE]]
            rows = await connection.execute(select(_E.id, _E.last_seq).where(_E.id.in_(some)))
            found |= {row.id: row.last_seq for row in rows}
    return found
