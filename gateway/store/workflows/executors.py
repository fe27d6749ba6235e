"""The processes that run executions, and which of them are dead.

Law: all times are of the database's clock, so no machine's own can declare another dead. A dead one is told to one
caller, who takes over what it ran and then removes it; a caller who dies over that holds it for as long as a beat
counts, then another is told. One look at a time: PostgreSQL by an advisory lock, SQLite by its only writer. A process
that beats again is alive again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct
from sqlalchemy import delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from gateway.store.engine import Database
from gateway.store.tables import UtcDateTime
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import executors
from gateway.store.workflows.locked import inserting
from gateway.store.workflows.translating import moment

_X = executors.c
#: "steelyard" as a number, and two: the advisory lock's name. (The retention's is the one, the migrations' has none.)
_LOCK = 0x5357_4C5B


class _Clock(FunctionElement[datetime]):
    """The database's own time, not that of the transaction's begin."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(_Clock, "postgresql")
def _postgres_clock(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "clock_timestamp()"


@compiles(_Clock, "sqlite")
def _sqlite_clock(_element: Any, _compiler: Any, **_options: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"  # as `UtcDateTime` spells a time there, so that they compare


class Executor(Struct, frozen=True):
    """A process that runs executions; times in Unix seconds, of the database's clock."""

    id: str
    host: str
    pid: int
    started_at: float
    beat_at: float


async def beat(database: Database, identity: str, *, host: str, pid: int) -> None:
    """Say that a process is alive.

    Raises:
        StoreUnavailable: the database is away.
    """
    values = {"id": identity, "host": scrubbed(host), "pid": pid, "started_at": _Clock(), "beat_at": _Clock()}
    async with database.write() as connection:
        query = inserting(connection.dialect.name, executors).values(values)
        alive = {"beat_at": _Clock(), "claimed_at": None}
        await connection.execute(query.on_conflict_do_update(index_elements=["id"], set_=alive))


async def listed(database: Database) -> list[Executor]:
    """All of them, the oldest first.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.read() as connection:
        rows = (await connection.execute(select(executors).order_by(_X.started_at, _X.id))).all()
    return [Executor(row.id, row.host, row.pid, row.started_at.timestamp(), row.beat_at.timestamp()) for row in rows]


async def alive(database: Database, ttl: float) -> int:
    """How many have beaten within `ttl` seconds.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.read() as connection:
        now = (await connection.execute(select(_Clock()))).scalar_one()
        query = select(func.count()).where(_X.beat_at >= now - timedelta(seconds=ttl))
        return (await connection.execute(query)).scalar_one()


async def leave(database: Database, identity: str) -> None:
    """Say that a process ends now: whoever looks next takes over what it ran.

    Raises:
        StoreUnavailable: the database is away; it will be found dead.
    """
    async with database.write() as connection:
        query = update(executors).where(_X.id == identity).values(beat_at=moment(0), claimed_at=None)
        await connection.execute(query)


async def dead(database: Database, ttl: float, *, me: str | None = None) -> list[str]:
    """Processes other than `me` that have not beaten for `ttl` seconds, told to this caller alone for as long.

    Take over what they ran, then `remove` them.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.write() as connection:
        if not await _alone(connection):
            return []
        now = (await connection.execute(select(_Clock()))).scalar_one()
        before = now - timedelta(seconds=ttl)
        unclaimed = or_(_X.claimed_at.is_(None), _X.claimed_at < before)
        query = update(executors).where(_X.beat_at < before, unclaimed).values(claimed_at=now)
        if me is not None:
            query = query.where(_X.id != me)
        return sorted((await connection.execute(query.returning(_X.id))).scalars().all())


async def remove(database: Database, identities: Sequence[str]) -> None:
    """Forget processes that `dead` told of, but for those that have beaten since.

    Raises:
        StoreUnavailable: the database is away; they will be told again.
    """
    query = delete(executors).where(_X.id.in_(identities), _X.claimed_at.is_not(None))
    async with database.write() as connection:
        await connection.execute(query)


async def _alone(connection: AsyncConnection) -> bool:
    """Whether no other process is at it; holds until the transaction ends."""
    if connection.dialect.name == "sqlite":
        return True
    return bool((await connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK})).scalar())
