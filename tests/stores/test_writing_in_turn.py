"""Who writes to SQLite waits for his turn, and not for chance; and not for ever."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from gateway.store.engine import Database, PoolSettings
from gateway.store.errors import StoreUnavailable


@pytest.fixture
async def database(tmp_path: Path) -> Database:
    where = tmp_path / "turns.db"
    with closing(sqlite3.connect(where)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE told (number INTEGER)")
        connection.commit()
    return Database(f"sqlite+aiosqlite:///{where}", PoolSettings(busy_timeout=0.3))


async def test_writers_write_in_the_order_in_which_they_came(database: Database) -> None:
    async def write(number: int) -> None:
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO told VALUES (:number)"), {"number": number})
            await asyncio.sleep(0.005)  # the others come meanwhile

    # More than the pool has connections.
    await asyncio.gather(*(write(number) for number in range(20)))
    async with database.read() as connection:
        found = (await connection.execute(text("SELECT number FROM told ORDER BY rowid"))).scalars().all()
    assert found == list(range(20))
    await database.dispose()


async def test_whoever_waits_too_long_for_a_turn_is_told_and_the_next_has_it(database: Database) -> None:
    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(text("INSERT INTO told VALUES (1)"))

    async with database.write():
        with pytest.raises(StoreUnavailable, match="locked"):
            await write()
    await write()
    await database.dispose()


async def test_a_writer_who_fails_or_leaves_gives_his_turn_back(database: Database) -> None:
    async def write(query: str) -> None:
        async with database.write() as connection:
            await connection.execute(text(query))

    with pytest.raises(StoreUnavailable):
        await write("INSERT INTO nothing VALUES (1)")
    async with database.write():
        waiting = asyncio.create_task(write("INSERT INTO told VALUES (2)"))
        await asyncio.sleep(0.01)
        waiting.cancel()
    await write("INSERT INTO told VALUES (3)")
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT number FROM told"))).scalars().all() == [3]
    await database.dispose()
