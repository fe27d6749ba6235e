"""A database that says no has done nothing; one that says nothing may have done it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import delete, text
from store_faults import Proxy

from gateway.store import migrate
from gateway.store.engine import Database, PoolSettings
from gateway.store.errors import StoreUnavailable
from gateway.store.tables import exchanges


async def _refused(database: Database, *before: str) -> bool:
    async def forget_all() -> None:
        async with database.write() as connection:
            for one in before:
                await connection.execute(text(one))
            await connection.execute(delete(exchanges))

    with pytest.raises(StoreUnavailable) as told:
        await forget_all()
    await database.dispose()
    return told.value.refused


async def test_a_read_only_database_refuses(postgres_url: str) -> None:
    assert await _refused(Database(postgres_url), "SET TRANSACTION READ ONLY")


async def test_a_table_that_others_have_locked_is_refused(postgres_url: str) -> None:
    other = Database(postgres_url)
    async with other.write() as connection:
        await connection.execute(text("LOCK TABLE exchanges IN ACCESS EXCLUSIVE MODE"))
        assert await _refused(Database(postgres_url), "SET LOCAL lock_timeout = '10ms'")
    await other.dispose()


async def test_a_file_that_others_have_locked_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    await migrate.upgrade(url)
    other = Database(url)
    async with other.write():
        assert await _refused(Database(url, PoolSettings(busy_timeout=0.05)))
    await other.dispose()


async def test_of_a_connection_that_breaks_nobody_knows(proxied_url: str, proxy: Proxy) -> None:
    database = Database(proxied_url)

    async def forget_all() -> None:
        async with database.write() as connection:
            await proxy.cut()
            await connection.execute(delete(exchanges))

    with pytest.raises(StoreUnavailable) as told:
        await forget_all()
    assert not told.value.refused
    await database.dispose()
