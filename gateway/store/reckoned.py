"""The time by which things were last forgotten, over restarts. One row."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import func, select

from gateway.store.engine import Database
from gateway.store.reckoned_table import reckoned
from gateway.store.tables import exchanges
from gateway.store.workflows.locked import inserting


async def keep(database: Database, at: float) -> None:
    """Write down the time that was reckoned (Unix seconds), for the next start.

    Raises:
        StoreUnavailable: the database is away.
    """
    values = {"id": 1, "at": datetime.fromtimestamp(at, UTC)}
    async with database.write() as connection:
        adding = inserting(connection.dialect.name, reckoned).values(values)
        await connection.execute(adding.on_conflict_do_update(index_elements=["id"], set_={"at": values["at"]}))


async def last(database: Database) -> float | None:
    """What was written down last; or else when the newest request came (Unix seconds); None when there is neither.

    The newest request alone would not do: a process whose clock was wrong may have written one that is of next year.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.read() as connection:
        found = (await connection.execute(select(reckoned.c.at))).scalar()
        if found is None:
            found = (await connection.execute(select(func.max(exchanges.c.created_at)))).scalar()
    return None if found is None else found.timestamp()
