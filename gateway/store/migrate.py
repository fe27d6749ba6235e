"""The schema's steps: up, down, and where it stands.

Law: any number of processes may start at once on an empty database, and each step runs once. The first to take the lock
migrates, in one transaction that ends in a whole schema or in the old one; the others wait, look, and find nothing to
do. PostgreSQL: an advisory lock held by the transaction (so it works through a transaction pooler, and dies with its
process). SQLite: the write lock itself, by BEGIN IMMEDIATE.

A step only adds (`tests/stores/test_additive.py`): so the version before runs on the schema of the next, while that is
rolled out and when it is rolled back. What is to go is left by one version and dropped by a later one.

The steps are read from the installed `migrations` package; no alembic.ini is needed. Limits: one migration at a time
per process (Alembic keeps its context in a module), and no step may commit by itself, which would release the lock.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

import migrations
from gateway.store.engine import Database, PoolSettings, masked
from gateway.store.errors import SchemaUnknown, StoreUnavailable

#: "steelyard" as a number: the advisory lock's name in the database.
_LOCK = 0x5357_4C59
#: Seconds to wait for another process's migration: longer than any step of ours takes.
_LOCK_WAIT = 60.0
#: Seconds between two tries to switch the journal: the switch fails at once, without waiting, while others look.
_JOURNAL_RETRY = 0.05
_POOL = PoolSettings(pool_size=1, max_overflow=0, busy_timeout=_LOCK_WAIT, statement_timeout=3600.0)


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the schema to `revision`, creating SQLite's folder and file if need be.

    Raises:
        StoreUnavailable: the database is away; nothing was changed.
        SchemaUnknown: it is at a revision this version does not know.
    """
    await _migrate(url, lambda config: command.upgrade(config, revision))


async def ready(url: str) -> str | None:
    """Bring the schema up for a process that is to serve; the schema's revision where it is a newer version's.

    That one has what this version needs, and more: another version is being rolled out, or this one was rolled back.

    Raises:
        StoreUnavailable: the database is away; nothing was changed.
        SchemaUnknown: it is at a revision that is neither this version's nor a newer one's.
    """
    try:
        await upgrade(url)
    except SchemaUnknown:
        standing = await current(url)
        if standing is None or not is_newer(standing):
            raise
        return standing
    return None


async def downgrade(url: str, revision: str) -> None:
    """Take the schema back to `revision` (`base` for none, `-1` for one step). Drops what the steps had added.

    Raises:
        StoreUnavailable, SchemaUnknown: as `upgrade`.
    """
    await _migrate(url, lambda config: command.downgrade(config, revision))


async def current(url: str) -> str | None:
    """The revision the database is at; None when it has no schema.

    Raises:
        StoreUnavailable: the database is away.
    """
    database = Database(url, _POOL)
    try:
        async with database.read() as connection:
            return await connection.run_sync(_revision)
    finally:
        await database.dispose()


def head() -> str:
    """The revision this version of Steelyard expects."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def known(revision: str) -> bool:
    """Whether this version of Steelyard has that revision."""
    return any(script.revision == revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def is_newer(revision: str) -> bool:
    """Whether a newer version of Steelyard has made that revision: they are numbered, and this one's are known."""
    return revision.isdecimal() and len(revision) == len(head()) and revision > head()


async def _migrate(url: str, steps: Callable[[Config], None]) -> None:
    database = Database(url, _POOL)
    try:
        if database.dialect == "sqlite":
            await _write_ahead(database)
        async with database.write() as connection:
            if database.dialect == "postgresql":
                await _advisory_lock(connection)
            await connection.run_sync(_run, steps)
    except CommandError as exc:
        raise SchemaUnknown(f"{masked(database.url)}: {exc}") from exc
    finally:
        await database.dispose()


async def _advisory_lock(connection: AsyncConnection) -> None:
    await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_WAIT:g}s'"))
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    await connection.execute(text("SET LOCAL lock_timeout = DEFAULT"))


async def _write_ahead(database: Database) -> None:
    """Switch the file to write-ahead logging, which it remembers; outside a transaction, as SQLite demands."""
    deadline = asyncio.get_running_loop().time() + _LOCK_WAIT
    while True:
        connection: AsyncConnection | None = None
        try:
            connection = await database.dedicated()
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.execute("PRAGMA journal_mode=WAL")
            return
        except (SQLAlchemyError, sqlite3.Error, OSError) as exc:
            if asyncio.get_running_loop().time() > deadline or "locked" not in str(exc):
                raise StoreUnavailable(f"{masked(database.url)}: {database.describe(exc)}") from exc
        finally:
            if connection is not None:
                await connection.close()
        await asyncio.sleep(_JOURNAL_RETRY)


def _run(connection: Connection, steps: Callable[[Config], None]) -> None:
    config = _config()
    config.attributes["connection"] = connection
    steps(config)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    folder = Path(migrations.__path__[0])
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
