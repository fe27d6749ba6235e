"""Workflows that run by the clock.

Law: each time of a schedule is held once, whoever and however many look: moving on to the next time succeeds for one
that saw the present one, and the execution is submitted in the same transaction. Who comes second does not wait for the
first, but passes on.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET
from msgspec.structs import asdict
from sqlalchemy import RowMapping, delete, insert, select, update

from gateway.store import audit
from gateway.store.audit import Act
from gateway.store.engine import Database
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import schedules
from gateway.store.workflows.executions import Within, submit_within
from gateway.store.workflows.translating import moment, moment_or_none, seconds_or_none
from gateway.workflows.kept import Execution, Schedule, ScheduleChanges

_C = schedules.c
_TIMES = ("next_at", "last_at", "created_at")
_TEXTS = ("slug", "cron", "timezone", "created_by")


async def put(database: Database, schedule: Schedule, act: Act | None = None) -> None:
    """Keep a new schedule, and the act of making it.

    Raises:
        StoreUnavailable: the database is away; nothing was kept.
    """
    values = _values(asdict(schedule))
    async with database.write() as connection:
        await connection.execute(insert(schedules).values(values))
        await audit.write(connection, act)


async def get(database: Database, identity: str) -> Schedule | None:
    """The schedule of that id.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.read() as connection:
        row = (await connection.execute(select(schedules).where(_C.id == scrubbed(identity)))).mappings().one_or_none()
    return None if row is None else _schedule(row)


async def listed(
    database: Database,
    *,
    slug: str | None = None,
    created_by: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[Schedule]:
    """Schedules, newest first, from behind the id `after` on; of one workflow, or of one key.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(schedules)
    if slug is not None:
        query = query.where(_C.slug == scrubbed(slug))
    if created_by is not None:
        query = query.where(_C.created_by == scrubbed(created_by))
    if after is not None:
        query = query.where(_C.id < scrubbed(after))
    async with database.read() as connection:
        rows = (await connection.execute(query.order_by(_C.id.desc()).limit(limit))).mappings().all()
    return [_schedule(row) for row in rows]


async def change(
    database: Database, identity: str, changes: ScheduleChanges, act: Act | None = None
) -> Schedule | None:
    """Change a schedule, and keep the act; as it is now, None: there is none by that id.

    Raises:
        StoreUnavailable: the database is away; nothing was changed.
    """
    values = _values({name: value for name, value in asdict(changes).items() if value is not UNSET})
    if not values:
        return await get(database, identity)
    query = update(schedules).where(_C.id == scrubbed(identity)).values(values).returning(schedules)
    async with database.write() as connection:
        row = (await connection.execute(query)).mappings().one_or_none()
        await audit.write(connection, None if row is None else act)
    return None if row is None else _schedule(row)


async def remove(database: Database, identity: str, act: Act | None = None) -> bool:
    """Delete a schedule, and keep the act; whether there was one. What it has begun goes on.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.write() as connection:
        gone = (await connection.execute(delete(schedules).where(_C.id == scrubbed(identity)))).rowcount > 0
        await audit.write(connection, act if gone else None)
    return gone


async def due(database: Database, *, now: float, limit: int = 100) -> list[Schedule]:
    """Enabled schedules whose time has come, those first that have waited longest.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(schedules).where(_C.enabled, _C.next_at <= moment(now)).order_by(_C.next_at, _C.id).limit(limit)
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
    return [_schedule(row) for row in rows]


async def advance(
    database: Database,
    seen: Schedule,
    *,
    next_at: float | None,
    now: float,
    execution: Execution | None = None,
    missed: int = 0,
    within: Within | None = None,
) -> bool:
    """Hold the time a schedule was `seen` with: submit its execution, if any, and move on to the next time.

    `missed` is added to what was; `within` goes with the execution. False: somebody else holds it, or it was changed
    since; nothing was done.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    if seen.next_at is None:
        return False
    mine = (_C.id == seen.id, _C.enabled, _C.next_at == moment(seen.next_at))
    values: dict[str, Any] = {"next_at": moment_or_none(next_at), "missed": _C.missed + missed}
    if execution is not None:
        values |= {"last_at": moment(now), "last_execution_id": execution.id}
    async with database.write() as connection:
        held = select(_C.id).where(*mine).with_for_update(skip_locked=True)
        if (await connection.execute(held)).one_or_none() is None:
            return False
        if execution is not None:
            await submit_within(connection, execution, within)
        await connection.execute(update(schedules).where(_C.id == seen.id).values(values))
    return True


def _values(values: dict[str, Any]) -> dict[str, Any]:
    found = dict(values)
    for name in _TIMES:
        if name in found:
            found[name] = moment_or_none(found[name])
    for name in _TEXTS:
        if name in found:
            found[name] = scrubbed(found[name])
    return found


def _schedule(row: RowMapping) -> Schedule:
    values: dict[str, Any] = {**row, **{name: seconds_or_none(row[name]) for name in _TIMES}}
    return Schedule(**values)
