"""Waits for a connection of the pool are told, whatever becomes of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.store.engine import Database, PoolSettings
from gateway.store.errors import StoreUnavailable
from gateway.store.pooling import PoolState


def database_in(folder: Path, timeout: float = 30.0) -> tuple[Database, list[str]]:
    """A database with one connection, and how the waits for it ended."""
    pool = PoolSettings(pool_size=1, max_overflow=0, pool_timeout=timeout)
    database = Database(f"sqlite+aiosqlite:///{folder}/pool.db", pool)
    ended: list[str] = []

    def waited(outcome: str, seconds: float) -> None:
        assert seconds >= 0.0
        ended.append(outcome)

    database.pooled.waited = waited
    return database, ended


async def until_waiting(database: Database, count: int) -> None:
    async with asyncio.timeout(30):
        while database.pooled.state().waiting != count:  # noqa: ASYNC110 - it has a number
            await asyncio.sleep(0.001)


async def test_who_waits_for_a_connection_is_counted_and_then_told(tmp_path: Path) -> None:
    database, ended = database_in(tmp_path)
    assert database.pooled.state() == PoolState(0, 0, 1, 0)

    async def reads() -> None:
        async with database.read():
            pass

    async with database.read():
        assert database.pooled.state() == PoolState(1, 0, 1, 0)
        others = [asyncio.create_task(reads()) for _ in range(2)]
        await until_waiting(database, 2)
        assert ended == ["got"]
    await asyncio.gather(*others)
    assert database.pooled.state() == PoolState(0, 1, 1, 0)
    assert ended == ["got", "got", "got"]
    await database.dispose()


async def test_a_wait_in_vain_and_one_that_is_left_are_told(tmp_path: Path) -> None:
    database, ended = database_in(tmp_path, timeout=0.01)
    async with database.read():
        with pytest.raises(StoreUnavailable):
            async with database.write():
                pass
    assert ended == ["got", "failed"]
    await database.dispose()
    database, ended = database_in(tmp_path)

    async def reads() -> None:
        async with database.read():
            pytest.fail("there was no connection to be had")

    async with database.read():
        left = asyncio.create_task(reads())
        await until_waiting(database, 1)
        left.cancel()
        await asyncio.wait([left])
        assert (ended, database.pooled.state().waiting) == (["got", "failed"], 0)
    await database.dispose()


async def test_a_connection_goes_back_though_its_user_fails(tmp_path: Path) -> None:
    database, _ = database_in(tmp_path)
    with pytest.raises(KeyError):
        async with database.write():
            raise KeyError
    assert database.pooled.state() == PoolState(0, 1, 1, 0)
    await database.dispose()
