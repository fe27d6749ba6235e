"""Answers in Redis, shared by every process. The only file that imports redis.

Law: a slow or absent Redis slows nobody. A command waits at most `timeout` seconds; after a failure the store answers
"miss" at once for a pause that doubles from 0.5 s to 10 s, then one command tries again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from cache.store import CacheStats

T = TypeVar("T")
_log = logging.getLogger("steelyard.cache")
_FIRST_PAUSE = (
    0.5  # seconds; long enough that a dead Redis costs a request in a hundred, short enough to notice a restart
)
_LONGEST_PAUSE = 10.0  # seconds; a restarted Redis is used again within this time
_SCAN_COUNT = 500  # keys a SCAN step looks at; larger steps would block Redis for others


class RedisStore:
    """Keys under one namespace of a Redis database."""

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float],
        timeout: float = 0.25,
        max_connections: int = 50,
        db: int | None = None,
        namespace: str = "steelyard:cache:",
    ) -> None:
        """Connect lazily to `url`; a command, with waiting for a connection, takes at most `timeout` seconds."""
        options = {} if db is None else {"db": db}
        pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - redis types it loosely
            url,
            max_connections=max_connections,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # Retrying inside the client would multiply the wait that `timeout` promises to bound.
            retry=Retry(NoBackoff(), 0),
            **options,
        )
        self._redis = Redis(connection_pool=pool)
        self._namespace = namespace
        self._clock = clock
        self._timeout = timeout
        self._resume_at = 0.0
        self._pause = _FIRST_PAUSE
        self._stats = CacheStats("redis")

    async def get(self, key: str) -> bytes | None:
        """The value, or None when absent or Redis does not answer."""
        value = await self._attempt(lambda: self._redis.get(self._namespace + key))
        if isinstance(value, bytes):
            self._stats.hits += 1
            return value
        self._stats.misses += 1
        return None

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep the value for `ttl` seconds, to the millisecond."""
        milliseconds = max(1, int(ttl * 1000))
        if await self._attempt(lambda: self._redis.set(self._namespace + key, value, px=milliseconds)):
            self._stats.writes += 1

    async def clear(self, prefix: str = "") -> int:
        """Drop every key that begins with `prefix`. Raises `ConnectionError` when Redis does not answer."""
        pattern = self._namespace + _escaped(prefix) + "*"
        dropped = 0
        try:
            batch: list[bytes] = []
            scan = self._redis.scan_iter  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - typed loosely
            async for key in cast("AsyncIterator[bytes]", scan(match=pattern, count=_SCAN_COUNT)):
                batch.append(key)
                if len(batch) >= _SCAN_COUNT:
                    dropped += int(await self._redis.unlink(*batch))
                    batch.clear()
            if batch:
                dropped += int(await self._redis.unlink(*batch))
        except (RedisError, OSError, TimeoutError) as exc:
            raise ConnectionError(f"The cache in Redis could not be cleared: {type(exc).__name__}.") from exc
        return dropped

    async def ping(self) -> bool:
        """Ask Redis itself, pause or not."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._redis.ping()  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]  # typed loosely
        except (RedisError, OSError, TimeoutError) as exc:
            self._failed(exc)
            return False
        self._works()
        return True

    def stats(self) -> CacheStats:
        """The counts; entries are Redis's to know."""
        return self._stats

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _attempt(self, command: Callable[[], Awaitable[T]]) -> T | None:
        now = self._clock()
        if now < self._resume_at:
            self._stats.errors += 1
            return None
        if not self._stats.healthy:
            # One command tries; those that come while it waits are answered "miss" at once.
            self._resume_at = now + self._pause
        try:
            # The pool's wait and the socket's are each bounded; this bounds their sum.
            async with asyncio.timeout(self._timeout):
                value = await command()
        except ResponseError as exc:
            # An answer, though not to our liking (read-only, out of memory, another type): Redis itself works.
            self._works()
            self._stats.errors += 1
            self._stats.last_error = type(exc).__name__
            return None
        except (RedisError, OSError, TimeoutError) as exc:
            self._failed(exc)
            return None
        self._works()
        return value

    def _failed(self, exc: Exception) -> None:
        self._stats.errors += 1
        if self._stats.healthy:
            _log.warning("redis is away: the cache misses", extra={"error": type(exc).__name__})
        self._stats.healthy = False
        # The class says enough; the text may quote the URL with its password.
        self._stats.last_error = type(exc).__name__
        self._resume_at = self._clock() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _works(self) -> None:
        if not self._stats.healthy:
            _log.info("redis is back")
            self._stats.healthy = True
            self._stats.last_error = None
            self._resume_at = 0.0
            self._pause = _FIRST_PAUSE


def _escaped(text: str) -> str:
    """The prefix with the characters that SCAN's pattern would read as wildcards made literal."""
    return "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in text)
