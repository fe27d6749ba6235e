"""Waits for a connection of the pool, and how the pool stands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool


class PoolState(Struct, frozen=True):
    """Connections that are in use and idle, how many there may be, and who waits for one."""

    in_use: int
    idle: int
    limit: int
    waiting: int


class Pooled:
    """An engine's pool, whose waits are told."""

    def __init__(self, engine: AsyncEngine, limit: int) -> None:
        """There are `limit` connections at most."""
        self._engine = engine
        self._limit = limit
        self._waiting = 0
        #: Told of each wait: `got` or `failed`, and its seconds.
        self.waited: Callable[[str, float], None] = _untold

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[AsyncConnection]:
        """A connection; given back at the end of the block."""
        connecting = self._engine.connect()
        clock = asyncio.get_running_loop().time
        began, outcome = clock(), "failed"
        self._waiting += 1
        try:
            await connecting.start()
            outcome = "got"
        finally:
            self._waiting -= 1
            self.waited(outcome, clock() - began)
        try:
            yield connecting
        finally:
            # Its own end of a block, which whatever interrupts its user does not keep from giving it back.
            await connecting.__aexit__(None, None, None)

    def state(self) -> PoolState:
        """How it stands."""
        pool = self._engine.pool
        assert isinstance(pool, QueuePool), "the pool of the queries has a bound"
        return PoolState(pool.checkedout(), pool.checkedin(), self._limit, self._waiting)


def _untold(outcome: str, seconds: float) -> None:
    """Nobody wants to know."""
