"""Answers in Redis, who finds them, the board of replicas, and programs that Redis runs. The only file with redis.

Law: a slow or absent Redis slows nobody. A command waits at most `timeout` seconds; after a failure the store answers
"miss" at once for a pause that doubles from 0.5 s to 10 s, then one command tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from cache.board import EXPIRES, News
from cache.outage import Outage
from cache.store import CacheStats, Claim
from cache.together import Together

T = TypeVar("T")
_log = logging.getLogger("steelyard.cache")
#: Seconds after which a claim of a process that died is free; renewed at a third of it. Doubled: others wait for the
#: dead for twice as long; halved: a process that stands still for a moment loses its claim, and asks twice.
_LEASE = 6.0
#: Done only by who holds the lease: it may have expired, and be somebody else's by now.
_GIVE_BACK = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"
_RENEW = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('pexpire', KEYS[1], ARGV[2]) end return 0"
#: Answers that are read in one trip. Doubled: one large answer holds up so many more; halved: 9,000 instructions more
#: for each when many are asked for at once.
_AT_ONCE = 32
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
        leases: str = "steelyard:lease:",
    ) -> None:
        """Connect lazily to `url`; a command, with waiting for a connection, takes at most `timeout` seconds."""
        self._redis = Redis(connection_pool=_pool(url, timeout=timeout, max_connections=max_connections, db=db))
        self._namespace = namespace
        self._timeout = timeout
        self._outage = Outage(clock)
        self._stats = CacheStats("redis")
        self._leases = leases
        #: Claims of this process: a random word for each, by which Redis knows that it is still ours.
        self._held: dict[str, str] = {}
        self._renewal: asyncio.TimerHandle | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._together = Together(self._read, most=_AT_ONCE)

    async def get(self, key: str) -> bytes | None:
        """The value, or None when absent or Redis does not answer. Those of one turn of the event loop: one trip."""
        value = await self._together.get(key) if self._admitted() else None
        if value is not None:
            self._stats.hits += 1
            return value
        self._stats.misses += 1
        return None

    async def _read(self, keys: Sequence[str]) -> Sequence[bytes | None] | None:
        names = [self._namespace + key for key in keys]
        if len(names) > 1:
            return cast("list[bytes | None] | None", await self._tried(lambda: self._redis.mget(names)))
        # Alone it costs less by GET, which also tells another program's value of another type from none.
        value = await self._tried(lambda: self._redis.get(names[0]))
        return [value if isinstance(value, bytes) else None]

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep the value for `ttl` seconds, to the millisecond."""
        milliseconds = max(1, int(ttl * 1000))
        token = self._held.pop(key, None)
        if token is None:
            done = await self._attempt(lambda: self._redis.set(self._namespace + key, value, px=milliseconds))
        else:
            pipe = self._redis.pipeline(transaction=False)
            pipe.set(self._namespace + key, value, px=milliseconds)
            pipe.eval(_GIVE_BACK, 1, self._leases + key, token)  # pyright: ignore[reportUnknownMemberType] - typed loosely
            done = await self._attempt(pipe.execute)
        if done:
            self._stats.writes += 1

    async def claim(self, key: str) -> Claim | bytes:
        """See `Leases`; one trip."""
        token = secrets.token_hex(8)
        pipe = self._redis.pipeline(transaction=False)
        pipe.set(self._leases + key, token, nx=True, px=int(_LEASE * 1000))
        # In this order: whoever answered before our claim could succeed has set the answer before.
        pipe.get(self._namespace + key)
        try:
            told = cast("list[bool | bytes | None] | None", await self._attempt(pipe.execute))
        except asyncio.CancelledError:
            # Redis may have heard it all the same: the others would wait for somebody who is gone.
            self._held[key] = token
            await self.release(key)
            raise
        if told is None:
            return Claim.UNKNOWN
        ours, value = told
        if ours:
            self._held[key] = token
        if isinstance(value, bytes):
            await self.release(key)
            return value
        if not ours:
            return Claim.THEIRS
        if self._renewal is None:
            self._renewal = asyncio.get_running_loop().call_later(_LEASE / 3, self._renew_soon)
        return Claim.OURS

    async def release(self, key: str) -> None:
        """See `Leases`."""
        token = self._held.pop(key, None)
        if token is not None:
            await self._attempt(lambda: self._redis.eval(_GIVE_BACK, 1, self._leases + key, token))

    def _renew_soon(self) -> None:
        """A timer among those who are being waited for, and none when nobody is."""
        self._renewal = None
        if self._held:
            self._renewing = asyncio.ensure_future(self._renew())
            self._renewal = asyncio.get_running_loop().call_later(_LEASE / 3, self._renew_soon)

    async def _renew(self) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for key, token in self._held.items():
            pipe.eval(_RENEW, 1, self._leases + key, token, str(int(_LEASE * 1000)))  # pyright: ignore[reportUnknownMemberType] - typed loosely
        await self._attempt(pipe.execute)

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

    async def forget(self, prefix: str = "") -> None:
        """See `Store`: nothing is held besides."""

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

    def tiers(self) -> dict[str, int]:
        """See `Store`."""
        return {"redis": self._stats.hits}

    async def close(self) -> None:
        """Close every connection."""
        await self._together.close()
        if self._renewal is not None:
            self._renewal.cancel()
        if self._renewing is not None:
            await asyncio.wait([self._renewing])
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def _attempt(self, command: Callable[[], Awaitable[T]]) -> T | None:
        return await self._tried(command) if self._admitted() else None

    def _admitted(self) -> bool:
        """Whether Redis may be asked now; if not, that is an error more."""
        if not self._outage.may_ask():
            self._stats.errors += 1
            return False
        return True

    async def _tried(self, command: Callable[[], Awaitable[T]]) -> T | None:
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
        if self._outage.failed():
            _log.warning("redis is away: the cache misses", extra={"error": type(exc).__name__})
        self._stats.healthy = False
        # The class says enough; the text may quote the URL with its password.
        self._stats.last_error = type(exc).__name__

    def _works(self) -> None:
        if self._outage.answered():
            _log.info("redis is back")
            self._stats.healthy = True
            self._stats.last_error = None


class RedisBoard:
    """One hash of a Redis database: a field per writer, each with the time of Redis at which it was pinned.

    An exchange is one round trip. Times are Redis's own, so that replicas need not agree on theirs.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float],
        timeout: float = 0.5,
        db: int | None = None,
        key: str = "steelyard:replicas",
    ) -> None:
        """Connect lazily to `url`; an exchange takes at most `timeout` seconds of `clock`'s."""
        self._redis = Redis(connection_pool=_pool(url, timeout=timeout, max_connections=2, db=db))
        self._clock = clock
        self._timeout = timeout
        self._key = key
        #: Redis's clock minus ours: a note is pinned before its exchange tells the time.
        self._ahead: float | None = None

    async def exchange(self, name: str, note: bytes) -> News | None:
        """See `Board`."""
        try:
            async with asyncio.timeout(self._timeout):
                if self._ahead is None:
                    await self._trip(None)
                rows = await self._trip((name, b"%.3f " % (self._clock() + (self._ahead or 0.0)) + note))
        except (RedisError, OSError, TimeoutError):
            self._ahead = None
            return None
        now = self._clock() + (self._ahead or 0.0)
        notes: dict[str, bytes] = {}
        gone: list[bytes] = []
        for field, value in rows.items():
            at, _, text = value.partition(b" ")
            # From the future, too: Redis's clock has been set back, and whoever lives pins it anew in a second.
            if abs(now - float(at)) > EXPIRES:
                gone.append(field)
            elif field != name.encode():
                notes[field.decode()] = text
        if gone:
            await self._forget(*gone)
        return News(now, notes)

    async def _trip(self, pinned: tuple[str, bytes] | None) -> dict[bytes, bytes]:
        """Pin, and learn everybody's notes and the time."""
        began = self._clock()
        pipe = self._redis.pipeline(transaction=False)
        if pinned is not None:
            name, note = pinned
            pipe.hset(self._key, name, note)  # pyright: ignore[reportArgumentType] - takes bytes as well
            pipe.expire(self._key, int(EXPIRES))
        pipe.hgetall(self._key)
        pipe.time()  # pyright: ignore[reportUnknownMemberType] - redis types it loosely
        *_, rows, (seconds, micros) = await pipe.execute()
        # The middle of the round trip: Redis read its clock somewhere within.
        self._ahead = seconds + micros / 1e6 - (began + self._clock()) / 2
        return cast("dict[bytes, bytes]", rows)

    async def remove(self, name: str) -> None:
        """See `Board`."""
        await self._forget(name.encode())

    async def _forget(self, *fields: bytes) -> None:
        with contextlib.suppress(RedisError, OSError, TimeoutError):  # it expires by itself
            async with asyncio.timeout(self._timeout):
                await self._redis.hdel(self._key, *cast("tuple[str, ...]", fields))

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()


class RedisProgram:
    """A Lua program that Redis runs, and nothing else at the same time: what it reads and writes is one step.

    Law: see the module; None is the answer of a Redis that gives none.
    """

    def __init__(
        self, url: str, source: str, *, clock: Callable[[], float], timeout: float = 0.25, db: int | None = None
    ) -> None:
        """Connect lazily to `url`; a run takes at most `timeout` seconds."""
        self._redis = Redis(connection_pool=_pool(url, timeout=timeout, max_connections=2, db=db))
        self._script = self._redis.register_script(source)
        self._timeout = timeout
        self.outage = Outage(clock)

    async def run(self, keys: Sequence[str], arguments: Sequence[str | int]) -> list[Any] | None:
        """Its answer. One trip; a second one for a Redis that has forgotten the program."""
        if not self.outage.may_ask():
            return None
        try:
            async with asyncio.timeout(self._timeout):
                told = cast("list[Any]", await self._script(keys=keys, args=arguments))  # pyright: ignore[reportUnknownMemberType] - typed loosely
        except (RedisError, OSError, TimeoutError) as exc:
            # A server that refuses to write cannot be counted on either.
            if self.outage.failed():
                _log.warning("redis is away: this process counts alone", extra={"error": type(exc).__name__})
            return None
        if self.outage.answered():
            _log.info("redis is back: processes count together")
        return told

    async def close(self) -> None:
        """Close every connection."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()


def _pool(url: str, *, timeout: float, max_connections: int, db: int | None) -> BlockingConnectionPool:
    options = {} if db is None else {"db": db}
    return BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - redis types it loosely
        url,
        max_connections=max_connections,
        timeout=timeout,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        # Retrying inside the client would multiply the wait that `timeout` promises to bound.
        retry=Retry(NoBackoff(), 0),
        **options,
    )


def _escaped(text: str) -> str:
    """The prefix with the characters that SCAN's pattern would read as wildcards made literal."""
    return "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in text)


class Examined(NamedTuple):
    """What a server says of itself. `now` is its clock, Unix seconds; `policy` what it drops when it is full."""

    version: str
    now: float
    #: It keeps an append-only file, from which it comes back as it was.
    appends: bool
    policy: str


async def examine(url: str, db: int | None, within: float = 5.0) -> Examined:
    """Ask a server what it is. Raises `ConnectionError`, which names no password, when it is away or refuses."""
    client = Redis(connection_pool=_pool(url, timeout=within, max_connections=1, db=db))
    try:
        seconds, fraction = await client.time()  # pyright: ignore[reportUnknownMemberType] - typed loosely
        told = await client.info()  # pyright: ignore[reportUnknownMemberType] - as above
    except (AuthenticationError, NoPermissionError) as exc:
        raise ConnectionError("it does not take the password or user of REDIS_URL") from exc
    except (RedisError, OSError, TimeoutError) as exc:
        raise ConnectionError(type(exc).__name__) from exc
    finally:
        await client.aclose()
        await client.connection_pool.disconnect()
    version, policy = str(told.get("redis_version", "unknown")), str(told.get("maxmemory_policy", ""))
    return Examined(version, seconds + fraction / 1e6, bool(told.get("aof_enabled")), policy)
