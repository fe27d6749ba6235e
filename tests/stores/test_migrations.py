"""The schema's history, on both engines."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, delete, inspect, text
from store_faults import DAY, exchange
from test_feedback_store import vote

from gateway.identity import new_id
from gateway.store import exchanges, feedback, migrate, totals
from gateway.store.engine import Database
from gateway.store.errors import SchemaUnknown, StoreUnavailable
from gateway.store.exchanges import Filters
from gateway.store.partitions import WEEK, is_schema
from gateway.store.workflow_tables import metadata  # the one of `tables`, with the workflows' tables in it
from gateway.store.writing import Lane

_START = "import asyncio, sys; from gateway.store import migrate; asyncio.run(migrate.upgrade(sys.argv[1]))"
_ROOT = Path(__file__).parents[2]


def _difference(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": is_schema})
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


async def test_a_log_survives_its_partitions_and_sums_in_both_directions(empty_url: str) -> None:
    """Rows of several weeks, one with an id that no clock of ours made, with all that belongs to them."""
    await migrate.upgrade(empty_url)
    database, rng = Database(empty_url), random.Random(1)
    names = [new_id("req", DAY - n * 5 * 86_400, rng) for n in range(5)] + ["zzz", "a"]
    records = [
        exchange(n, id=name, created_at=DAY + n * 500.5, duration_s=0.1 + n, ttft_s=0.1 * n or None, request_body=b"x",
                 cache="hit" if n % 2 else "miss", provider="xai" if n < 3 else None)
        for n, name in enumerate(names)
    ]  # fmt: skip
    lane = Lane(database, deadline=10)
    assert await lane.store(records) == []
    await lane.close()
    await feedback.put(database, vote(1, request_id="zzz"))

    async def state() -> list[object]:
        whole = [await exchanges.get(database, record.id) for record in records]
        return [whole, (await feedback.listed(database)).items]

    before, sums = await state(), await totals.stats(database, DAY)
    spent = await totals.spent(database, "app", DAY)
    assert before[0] == records
    await migrate.downgrade(empty_url, "0002")
    assert await state() == before
    async with database.read() as connection:
        keys = await connection.run_sync(lambda c: {t: inspect(c).get_foreign_keys(t) for t in ("attempts", "bodies")})
    assert all(len(found) == 1 for found in keys.values())
    await migrate.upgrade(empty_url)
    assert await state() == before
    assert await totals.stats(database, DAY) == sums
    assert await totals.spent(database, "app", DAY) == spent
    async with database.write() as connection:
        await connection.execute(delete(exchanges.exchanges))
    assert (await feedback.listed(database)).items == []
    await database.dispose()


async def test_rows_of_a_clock_that_is_ahead_are_taken_into_their_week(empty_url: str) -> None:
    await migrate.upgrade(empty_url)
    database, rng, now = Database(empty_url), random.Random(1), time.time()
    times = [now, *(now + weeks * WEEK for weeks in (1, 2, 9))]
    lane = Lane(database, deadline=10)
    assert await lane.store([exchange(0, id=new_id("req", at, rng), created_at=at) for at in times]) == []
    await lane.close()
    await migrate.downgrade(empty_url, "0002")
    await migrate.upgrade(empty_url)
    assert (await totals.stats(database, 0)).totals.requests == len(times)
    if database.dialect == "postgresql":
        async with database.read() as connection:
            names = await connection.execute(text("SELECT DISTINCT tableoid::regclass::text FROM exchanges"))
            assert len([name for name in names.scalars() if "_until_" in name]) == 3
    await database.dispose()


@pytest.fixture
def bare(server: Any) -> str:
    """A PostgreSQL without a schema."""
    address: str = server.create()
    return address


async def test_what_is_written_while_the_sums_are_made_is_in_them(bare: str) -> None:
    await migrate.upgrade(bare)
    database = Database(bare)
    lane = Lane(database, deadline=10)
    assert await lane.store([exchange(1)]) == []
    await lane.close()
    await migrate.downgrade(bare, "0002")
    async with database.write() as connection:
        # A gateway that is just writing another row.
        for statement in (
            "CREATE TEMPORARY TABLE another ON COMMIT DROP AS SELECT * FROM exchanges",
            "UPDATE another SET id = 'req_00000002'",
            "INSERT INTO exchanges SELECT * FROM another",
        ):
            await connection.execute(text(statement))
        upgrading = asyncio.create_task(migrate.upgrade(bare))
        waiting = text(
            "SELECT 1 FROM pg_locks JOIN pg_class ON oid = relation WHERE relname = 'exchanges' AND NOT granted"
        )
        async with asyncio.timeout(30):
            while (await connection.execute(waiting)).first() is None:  # noqa: ASYNC110 - PostgreSQL has no event
                await asyncio.sleep(0.01)
    await upgrading
    assert (await totals.stats(database, 0)).totals.requests == 2
    assert len((await exchanges.recent(database, Filters())).items) == 2
    await database.dispose()


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
