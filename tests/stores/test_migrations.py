"""The schema's history, on both engines."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from gateway.store import migrate
from gateway.store.engine import Database
from gateway.store.errors import SchemaUnknown, StoreUnavailable
from gateway.store.tables import metadata

_START = "import asyncio, sys; from gateway.store import migrate; asyncio.run(migrate.upgrade(sys.argv[1]))"
_ROOT = Path(__file__).parents[2]


def _difference(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


async def test_the_steps_end_in_the_tables_of_the_code(database: Database) -> None:
    async with database.read() as connection:
        assert await connection.run_sync(_difference) == []


async def test_up_and_down_and_up_again(empty_url: str) -> None:
    assert await migrate.current(empty_url) is None
    await migrate.upgrade(empty_url)
    assert await migrate.current(empty_url) == migrate.head()
    await migrate.downgrade(empty_url, "base")
    assert await migrate.current(empty_url) is None
    database = Database(empty_url)
    async with database.read() as connection:
        assert await connection.run_sync(lambda c: inspect(c).get_table_names()) == ["alembic_version"]
    await database.dispose()
    await migrate.upgrade(empty_url)
    assert await migrate.current(empty_url) == migrate.head()


async def test_workers_that_start_at_once_migrate_once(empty_url: str) -> None:
    """Were the lock to fail, a second CREATE TABLE would."""
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-c", _START, empty_url, cwd=_ROOT, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(4)
    ]
    for worker in workers:
        _, errors = await worker.communicate()
        assert worker.returncode == 0, errors.decode()
    assert await migrate.current(empty_url) == migrate.head()


async def test_a_step_that_fails_leaves_nothing_behind(empty_url: str) -> None:
    await migrate.upgrade(empty_url)
    database = Database(empty_url)
    async with database.write() as connection:
        await connection.execute(text("DROP TABLE keys"))
    with pytest.raises(Exception, match="keys"):
        await migrate.downgrade(empty_url, "base")
    assert await migrate.current(empty_url) == migrate.head()
    async with database.read() as connection:
        assert "bodies" in await connection.run_sync(lambda c: inspect(c).get_table_names())
    await database.dispose()


async def test_a_newer_schema_is_refused_by_name(empty_url: str) -> None:
    await migrate.upgrade(empty_url)
    database = Database(empty_url)
    async with database.write() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await database.dispose()
    with pytest.raises(SchemaUnknown, match="9999"):
        await migrate.upgrade(empty_url)


async def test_sqlite_is_left_in_write_ahead_mode(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/a.db")
    await migrate.upgrade(str(database.url))
    async with database.read() as connection:
        assert (await connection.execute(text("PRAGMA journal_mode"))).scalar_one() == "wal"
        assert (await connection.execute(text("PRAGMA foreign_keys"))).scalar_one() == 1
    await database.dispose()


async def test_migrating_a_database_that_is_away_says_so_without_the_password() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        await migrate.upgrade("postgresql://me:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in str(caught.value)
    assert "me:***@127.0.0.1" in str(caught.value)
