"""A line on which processes that share a PostgreSQL call each other: LISTEN and NOTIFY, on a connection of its own.

What is said is heard by all who are on the line, the one who says it too, and by nobody later. It is said outside the
transactions that it is about: a notification within one would hold a lock that all who notify wait for until the
commit is on the disk, so that no two of them would commit at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable

#: Bytes of one notification, of PostgreSQL's 8,000.
LONGEST = 7_500
#: Seconds within which the server takes one, or is taken for silent.
_WITHIN = 5.0


class Line:
    """A connection that listens. It is usable within `opened`."""

    def __init__(self, connection: Any, channel: str) -> None:
        """By asyncpg's connection."""
        self._connection = connection
        self._channel = channel

    async def say(self, text: str) -> None:
        """Call all who listen, at most `LONGEST` bytes. Raises `StoreUnavailable`."""
        try:
            await self._connection.execute("SELECT pg_notify($1, $2)", self._channel, text, timeout=_WITHIN)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            raise StoreUnavailable(f"the line is broken: {type(exc).__name__}") from exc


@asynccontextmanager
async def opened(
    database: Database, channel: str, heard: Callable[[str], None], ended: Callable[[], None]
) -> AsyncGenerator[Line]:
    """A line; `heard` is told of each call, `ended` when the connection is gone.

    Raises:
        StoreUnavailable: the database is away.
    """

    def end(_connection: object) -> None:
        ended()

    def hear(_connection: object, _pid: int, _channel: str, text: str) -> None:
        heard(text)

    connection = await database.bare()
    try:
        connection.add_termination_listener(end)
        try:
            # What is said is no data: nobody need wait until it is on a disk.
            await connection.execute("SET synchronous_commit = off", timeout=_WITHIN)
            await asyncio.wait_for(connection.add_listener(channel, hear), _WITHIN)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:
            raise StoreUnavailable(f"the line is broken: {type(exc).__name__}") from exc
        yield Line(connection, channel)
    finally:
        # Cut, not closed: a silent server would have us wait for its farewell.
        connection.terminate()
