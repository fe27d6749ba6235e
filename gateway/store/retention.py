"""How long the log is kept, and room for what comes; and how long responses, sessions and administrative acts are.

Law: what is younger than it is to be kept is never touched. What is older goes with all that belongs to it (attempts,
bodies, votes) and leaves the sums. PostgreSQL drops whole weeks, so rows stay up to seven days longer; SQLite deletes
those of whole days, few at a time, for every other writer waits meanwhile. One process at a time does it: PostgreSQL
by an advisory lock, SQLite by its only writer.

A session is as young as its last turn. A response is as young as the youngest that goes on from it: a conversation that
is still held is kept whole, however long ago it began.

Limits: SQLite's file does not shrink; new rows take the room of old ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from math import floor

from msgspec import Struct
from sqlalchemy import ColumnElement, delete, exists, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store import partitions
from gateway.store.audit_table import audit_log
from gateway.store.engine import Database
from gateway.store.tables import (
    attempts,
    bodies,
    exchange_latencies,
    exchange_sums,
    exchanges,
    key_sums,
    responses,
    sessions,
    spend_sums,
)
from gateway.store.tally import DAY

#: "steelyard" as a number, and one: the advisory lock's name. (The migrations' is without the one.)
_LOCK = 0x5357_4C5A
#: Rows deleted in one transaction: some 20 ms of SQLite's write lock. Ten times as many would send the log to the disk.
_ROWS = 500
#: Seconds between two such transactions, for those who wait.
_PAUSE = 0.05


class Tidied(Struct, frozen=True):
    """What was done: partitions made and dropped, rows deleted one by one."""

    made: int = 0
    dropped: int = 0
    rows: int = 0


async def tidy(
    database: Database, now: float, keep_days: int | None = None, *, forget_by: float | None = None
) -> Tidied:
    """Make room for the weeks that come; forget what is older than `keep_days` (None: nothing). `now`: Unix seconds.

    `forget_by` is the time by which things are old, where that is another one than `now`.

    Raises:
        StoreUnavailable: the database is away, or too busy; what was done so far stays done.
    """
    made = dropped = rows = 0
    horizon = None if keep_days is None else horizon_of(database, now if forget_by is None else forget_by, keep_days)
    if database.dialect == "postgresql":
        async with database.write() as connection:
            if not await _alone(connection):
                return Tidied()
            made = await partitions.extend(connection, now)
        if horizon is not None:
            async with database.write() as connection:
                if not await _alone(connection):
                    return Tidied(made)
                dropped = await partitions.drop_before(connection, horizon)
    if horizon is not None:
        rows = await _all(lambda: _delete_some(database, horizon))
    return Tidied(made, dropped, rows)


async def _all(some: Callable[[], Awaitable[int]]) -> int:
    """Delete some again and again, until none is left; how many that was."""
    rows = 0
    while (deleted := await some()) > 0:
        rows += deleted
        await asyncio.sleep(_PAUSE)
    return rows


def horizon_of(database: Database, now: float, keep_days: int) -> int:
    """The moment before which requests go: the beginning of a day; on PostgreSQL of a week. Unix seconds."""
    day = floor(now / DAY - keep_days) * DAY
    return partitions.week_of(day) if database.dialect == "postgresql" else day


async def tidy_responses(database: Database, now: float, keep_days: int | None) -> int:
    """Forget responses older than `keep_days` (None: nothing), and how many that was. `now`: Unix seconds.

    Raises:
        StoreUnavailable: as `tidy`.
    """
    if keep_days is None:
        return 0
    horizon = datetime.fromtimestamp(now - keep_days * DAY, UTC)
    return await _all(lambda: _delete_some_responses(database, horizon))


async def tidy_acts(database: Database, now: float, keep_days: int | None) -> int:
    """Forget administrative acts older than `keep_days` (None: nothing), and how many that was. `now`: Unix seconds.

    Raises:
        StoreUnavailable: as `tidy`.
    """
    if keep_days is None:
        return 0
    old = audit_log.c.at < datetime.fromtimestamp(now - keep_days * DAY, UTC)
    return await _all(lambda: _delete_some_acts(database, old))


async def _delete_some_acts(database: Database, old: ColumnElement[bool]) -> int:
    some = select(audit_log.c.id).where(old).order_by(audit_log.c.at).limit(_ROWS)
    async with database.write() as connection:
        if not await _alone(connection):
            return 0
        return (await connection.execute(delete(audit_log).where(audit_log.c.id.in_(some)))).rowcount


async def tidy_sessions(database: Database, now: float, keep_days: int | None) -> int:
    """Forget sessions that nobody has gone on with for `keep_days` (None: none), and how many. `now`: Unix seconds.

    Raises:
        StoreUnavailable: as `tidy`.
    """
    if keep_days is None:
        return 0
    old = sessions.c.updated_at < datetime.fromtimestamp(now - keep_days * DAY, UTC)
    return await _all(lambda: _delete_some_sessions(database, old))


async def _delete_some_sessions(database: Database, old: ColumnElement[bool]) -> int:
    query = select(sessions.c.tenant, sessions.c.id).where(old).limit(_ROWS)
    async with database.write() as connection:
        if not await _alone(connection):
            return 0
        found = (await connection.execute(query)).all()
        names = tuple_(sessions.c.tenant, sessions.c.id).in_([(row.tenant, row.id) for row in found])
        # One that is gone on with meanwhile is not old any more.
        return (await connection.execute(delete(sessions).where(old, names))).rowcount if found else 0


async def _delete_some_responses(database: Database, horizon: datetime) -> int:
    """Delete some old ones that none goes on from: the next look finds those that they went on from."""
    later = responses.alias("later")
    goes_on = exists().where(later.c.tenant == responses.c.tenant, later.c.previous_id == responses.c.id)
    query = select(responses.c.tenant, responses.c.id).where(responses.c.created_at < horizon, ~goes_on).limit(_ROWS)
    async with database.write() as connection:
        if not await _alone(connection):
            return 0
        found = (await connection.execute(query)).all()
        if found:
            names = tuple_(responses.c.tenant, responses.c.id)
            await connection.execute(delete(responses).where(names.in_([(row.tenant, row.id) for row in found])))
    return len(found)


async def _alone(connection: AsyncConnection) -> bool:
    """Whether no other process is at it; holds until the transaction ends."""
    if connection.dialect.name == "sqlite":
        return True
    return bool((await connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK})).scalar())


async def _delete_some(database: Database, horizon: int) -> int:
    """Delete some of the rows created before `horizon`, and, with the last of them, their sums; how many."""
    old = exchanges.c.created_at < datetime.fromtimestamp(horizon, UTC)
    async with database.write() as connection:
        if not await _alone(connection):
            return 0
        query = select(exchanges.c.id).where(old).order_by(exchanges.c.created_at).limit(_ROWS)
        identities = (await connection.execute(query)).scalars().all()
        for column in (attempts.c.exchange_id, bodies.c.exchange_id, exchanges.c.id):
            await connection.execute(delete(column.table).where(column.in_(identities)))
        if len(identities) < _ROWS:
            await _forget_sums(connection, horizon)
    return len(identities)


async def _forget_sums(connection: AsyncConnection, horizon: int) -> None:
    for table in (exchange_sums, exchange_latencies, key_sums, spend_sums):
        await connection.execute(delete(table).where(table.c.start < horizon))
