"""What is older than so many days goes, when an operator says so: the same rows by the same laws as by `retention`.

    log          requests with their attempts, bodies, votes and sums (PostgreSQL: by whole weeks)
    responses    those of /v1/responses that nobody goes on from
    sessions     conversations that nobody has gone on with
    workflows    executions that have ended, with the files that they have made

The audit log is not among them: it goes by its setting alone. Keys and definitions of workflows do not age.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import Select, exists, func, select

from gateway.store import retention
from gateway.store.engine import Database, masked
from gateway.store.errors import StoreUnavailable
from gateway.store.retention import DAY
from gateway.store.tables import exchanges, responses, sessions
from gateway.store.workflow_tables import executions
from gateway.store.workflows import forgetting
from gateway.store.workflows.locked import ENDED, LIVE


class Deletes(Protocol):
    """Where the files of artifacts lie."""

    async def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        ...


async def _due_in_log(database: Database, now: float, days: int) -> int:
    before = datetime.fromtimestamp(horizon(database, "log", now, days), UTC)
    return await _counted(database, select(func.count()).select_from(exchanges).where(exchanges.c.created_at < before))


async def _due_responses(database: Database, now: float, days: int) -> int:
    """Those that nobody goes on from; with them may go those that they went on from."""
    later, before = responses.alias("later"), datetime.fromtimestamp(now - days * DAY, UTC)
    goes_on = exists().where(later.c.tenant == responses.c.tenant, later.c.previous_id == responses.c.id)
    query = select(func.count()).select_from(responses).where(responses.c.created_at < before, ~goes_on)
    return await _counted(database, query)


async def _due_sessions(database: Database, now: float, days: int) -> int:
    before = datetime.fromtimestamp(now - days * DAY, UTC)
    return await _counted(database, select(func.count()).select_from(sessions).where(sessions.c.updated_at < before))


async def _due_workflows(database: Database, now: float, days: int) -> int:
    parent, before = executions.alias("parent"), datetime.fromtimestamp(now - days * DAY, UTC)
    held = exists().where(parent.c.id == executions.c.parent_id, parent.c.status.in_(LIVE))
    ended = (executions.c.completed_at < before, executions.c.status.in_(ENDED))
    return await _counted(database, select(func.count()).select_from(executions).where(*ended, ~held))


async def _forget_log(database: Database, now: float, days: int, _files: Deletes) -> None:
    await retention.tidy(database, now, days)


async def _forget_responses(database: Database, now: float, days: int, _files: Deletes) -> None:
    await retention.tidy_responses(database, now, days)


async def _forget_sessions(database: Database, now: float, days: int, _files: Deletes) -> None:
    await retention.tidy_sessions(database, now, days)


async def _forget_workflows(database: Database, now: float, days: int, files: Deletes) -> None:
    forgotten = 1
    while forgotten:
        found = await forgetting.forget(database, now - days * DAY)
        forgotten = found.executions
        for path in found.paths:
            await files.delete(path)


#: By name: how many are due, and how they go.
KINDS: dict[
    str,
    tuple[
        Callable[[Database, float, int], Awaitable[int]],
        Callable[[Database, float, int, Deletes], Awaitable[None]],
    ],
] = {
    "log": (_due_in_log, _forget_log),
    "responses": (_due_responses, _forget_responses),
    "sessions": (_due_sessions, _forget_sessions),
    "workflows": (_due_workflows, _forget_workflows),
}


def horizon(database: Database, kind: str, now: float, days: int) -> float:
    """The moment before which things of a kind go, Unix seconds: of the log whole days, or weeks."""
    return retention.horizon_of(database, now, days) if kind == "log" else now - days * DAY


async def due(database: Database, kind: str, now: float, days: int) -> int:
    """How many of a kind are older than so many days. `now`: Unix seconds. Raises `StoreUnavailable`."""
    return await KINDS[kind][0](database, now, days)


async def forget(database: Database, kind: str, now: float, days: int, files: Deletes) -> None:
    """Let them go. Raises `StoreUnavailable`: what was done so far stays done; and `OSError` for a file that stays."""
    await KINDS[kind][1](database, now, days, files)


async def compact(database: Database) -> None:
    """Give back to the disk what rows of SQLite's file have left; whoever writes waits meanwhile, as long as it takes.

    Raises:
        StoreUnavailable: the file is being used.
    """
    connection = await database.dedicated()
    try:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        await driver.execute("VACUUM")
    except sqlite3.OperationalError as exc:
        raise StoreUnavailable(f"{masked(database.url)}: {database.describe(exc)}") from exc
    finally:
        await connection.close()


async def _counted(database: Database, query: Select[int]) -> int:
    async with database.read() as connection:
        return (await connection.execute(query)).scalar_one()
