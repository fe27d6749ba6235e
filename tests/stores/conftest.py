"""Real databases for the store's tests: SQLite files, and one PostgreSQL per session out of a wheel.

`STEELYARD_TEST_DATABASE_URL` (a PostgreSQL whose user may create databases) replaces the server of the wheel.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy import URL, text
from store_faults import Proxy, Upstream

from gateway.store import migrate
from gateway.store.engine import Database, parse_url
from gateway.store.workflow_tables import metadata  # the one of `tables`, with the workflows' tables in it
from tests.postgres import a_server

_numbers = itertools.count()


class Server:
    """A PostgreSQL, by the address of a database that may create others."""

    def __init__(self, address: str) -> None:
        self.url = parse_url(address)
        self._names: list[str] = []
        self._shared = self.create()
        asyncio.run(migrate.upgrade(self._shared))

    def create(self) -> str:
        """The address of a new, empty database."""
        name = f"steelyard_{os.getpid()}_{next(_numbers)}"
        asyncio.run(self._execute(f'DROP DATABASE IF EXISTS "{name}"', f'CREATE DATABASE "{name}" TEMPLATE template0'))
        self._names.append(name)
        return self.address(self.url.set(database=name))

    def shared(self) -> str:
        """The address of the one migrated database, emptied."""
        asyncio.run(self._empty())
        return self._shared

    def drop(self) -> None:
        """Remove what was created."""
        asyncio.run(self._execute(*(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)' for name in self._names)))

    def hurry(self) -> None:
        """Spare a server of ours the disk: its databases live as long as the tests."""
        asyncio.run(self._execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"))

    def upstream(self) -> Upstream:
        """How a proxy reaches it."""
        host = str(self.url.query.get("host") or self.url.host or "127.0.0.1")
        port = self.url.port or 5432
        if host.startswith("/"):
            return lambda: asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return lambda: asyncio.open_connection(host, port)

    @staticmethod
    def address(url: URL) -> str:
        return url.render_as_string(hide_password=False)

    async def _empty(self) -> None:
        database = Database(self._shared)
        async with database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                await connection.execute(table.delete())
            # What one test's engine left queued, the next one's would run.
            if await connection.scalar(text("SELECT to_regclass('dbos.workflow_status')")):
                await connection.execute(text("DELETE FROM dbos.workflow_status"))
        await database.dispose()

    async def _execute(self, *statements: str) -> None:
        query: dict[str, Any] = dict(self.url.query)
        connection = await asyncpg.connect(
            host=query.get("host") or self.url.host,
            port=self.url.port,
            user=self.url.username,
            password=self.url.password or None,
            database=self.url.database,
        )
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def server() -> Generator[Server]:
    given = os.environ.get("STEELYARD_TEST_DATABASE_URL")
    if given:
        mine = Server(given)
        yield mine
        mine.drop()
        return
    with a_server() as postgres:
        mine = Server(postgres.get_uri(driver="asyncpg"))
        mine.hurry()
        yield mine


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema."""
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/new folder/steelyard.db"
    server: Server = request.getfixturevalue("server")
    return server.create()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with today's schema."""
    if request.param == "sqlite":
        address = f"sqlite+aiosqlite:///{tmp_path}/steelyard.db"
        asyncio.run(migrate.upgrade(address))
        return address
    server: Server = request.getfixturevalue("server")
    return server.shared()


@pytest.fixture
async def database(url: str) -> AsyncGenerator[Database]:
    opened = Database(url)
    yield opened
    await opened.dispose()


@pytest.fixture
def postgres_url(server: Server) -> str:
    return server.shared()


@pytest.fixture
def empty_postgres_url(server: Server) -> str:
    return server.create()


@pytest.fixture
async def proxy(server: Server) -> AsyncGenerator[Proxy]:
    """In the way of the PostgreSQL of this session."""
    standing = Proxy(server.upstream())
    await standing.listen()
    yield standing
    await standing.close()


@pytest.fixture
def proxied_url(postgres_url: str, proxy: Proxy) -> str:
    url = parse_url(postgres_url).difference_update_query(["host"]).set(host="127.0.0.1", port=proxy.port)
    return Server.address(url)


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], Awaitable[None]]:
    """Wait until something is true, or fail: for what another task does in its own time."""

    async def wait(condition: Callable[[], Any]) -> None:
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - what is waited for has no event to give
                await asyncio.sleep(0.01)

    return wait
