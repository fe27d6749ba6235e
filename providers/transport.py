"""The upstream HTTP client: timeouts, bounds, and whatever goes wrong → faults. The only door to `providers.http`.

Law: whatever ends a call (its caller, a clock, a bound) closes the upstream connection at once, and nothing of it
stays behind; every failure leaves here as one of `providers.errors`, naming host and port, never a header or a query.

Why a client of our own, over a parser that is not (httptools): the call was a third of what a request costs. CPU in ms
per call by `python -m bench.transport_compare`, 2026-11, one run on a busy machine, 32 calls at a time:

                            aiohttp 3.14.5     pyreqwest 0.15.1     this
    JSON, plain | TLS       0.098 | 0.107      0.029 | 0.029        0.024 | 0.031
    60 events, plain | TLS  0.352 | 0.436      0.420 | 0.473        0.174 | 0.272
    cancelled before head   closed             all stay open        closed

pyreqwest is as fast, but keeps the upstream connection of a call that was cancelled before its response headers: each
hedge, caller that hung up and first-byte timeout would go on being generated and billed.

Road not taken: asking for gzip, which for a few kB costs more than it saves and delays streams. A body that comes so
all the same is decoded, in bounded steps, and the bounds count decoded bytes.

Limits: HTTP/1.1. A body without length that ends with the connection is not told from a broken one: the dialects know
by their terminal event. Waiting for a free connection counts as connecting.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from msgspec import Struct

from providers.egress import Proxies, host_and_port, tls_context
from providers.errors import Cut, Fault, Garbled, Misconfigured, Phase, TimedOut, Unreachable
from providers.http.connection import BrokenError, Connection, NotHttpError, Reply
from providers.http.decoding import Decoder
from providers.http.dialing import AwayError, Dialer, DialError
from providers.http.pool import Pool
from providers.http.target import Target, head_of, target_of
from providers.reach import Reach

MiB = 1024 * 1024

#: Seconds, more than a round trip, in which a pooled connection that was closed already says so. One that breaks later
#: may have been worked on: sending the call again could bill it twice.
_STALE_WITHIN = 1.0
#: Heads and URLs that are remembered, as many as endpoints and their models. Beyond, all are made again.
_REMEMBERED = 1024

Headers = Sequence[tuple[str, str]] | Mapping[str, str]


class Timeouts(Struct, frozen=True):
    """Seconds, each above zero."""

    #: Name lookup, TCP and TLS, and the wait for a free connection.
    connect: float = 5.0
    #: From the request sent to its response headers, and again from those to the first byte of the body.
    first_byte: float = 60.0
    #: Between two pieces of the body.
    idle: float = 30.0
    #: The whole call.
    total: float = 600.0

    def __post_init__(self) -> None:
        """Refuse 0 and NaN."""
        if not all(seconds > 0 for seconds in (self.connect, self.first_byte, self.idle, self.total)):
            raise ValueError("Every timeout must be above zero.")


class _Course(Struct):
    """The clocks of one call, and what its faults speak of."""

    url: str
    timeouts: Timeouts
    #: Seconds this call had: the earlier of `timeouts.total` and its caller's deadline.
    total: float
    #: When they are over, on the loop's clock.
    ends: float
    #: The first byte of the body came.
    begun: bool = False
    #: A chunk was handed to the caller.
    passed_on: bool = False

    def late(self, phase: Phase, now: float) -> TimedOut:
        """A clock ran out: the call's own, or else that of its phase."""
        # The loop's clock may stand a little before the time it was set to.
        if now >= self.ends - 0.002:
            return TimedOut("total", self.total)
        return TimedOut(phase, getattr(self.timeouts, phase))

    def fault(self, exc: Exception) -> Fault:
        """Translate what went wrong on the wire."""
        where = host_and_port(self.url)
        if isinstance(exc, AwayError):
            return Misconfigured(f"{where} may not be reached: {exc}.")
        if isinstance(exc, DialError):
            return Unreachable(f"{where} is unreachable: {exc}.")
        if isinstance(exc, ValueError):
            return Misconfigured(f"The URL or a header of the request to {where} is malformed.")
        if isinstance(exc, BrokenError | OSError):
            if self.passed_on:
                return Cut(f"{where} is unreachable: its answer broke off.")
            when = "its answer broke off" if self.begun else "it closed the connection before it answered"
            return Unreachable(f"{where} is unreachable: {when}.")
        return Cut(f"{where} broke off its answer.") if self.passed_on else Garbled(f"{where} did not answer in HTTP.")


class Answer:
    """An upstream answer whose body is still to be read, once: whole with `read`, or piece by piece with `chunks`."""

    def __init__(self, connection: Connection, reply: Reply, course: _Course, max_body: int, max_stream: int) -> None:
        """Made by `Transport.open` only."""
        self.status = reply.status
        #: Lower-case names; of a decoded body, without the two that described its encoded form.
        self.headers = reply.fields()
        self._connection = connection
        self._reply = reply
        self._course = course
        self._max_body = max_body
        self._max_stream = max_stream
        self._decoder: Decoder | None = None
        encoding = self.headers.get("content-encoding", "identity")
        if encoding != "identity":
            self._decoder = Decoder(encoding)
            del self.headers["content-encoding"]
            self.headers.pop("content-length", None)

    async def read(self) -> bytes:
        """The whole body. Raises `Unreachable` when it breaks off, `Garbled` when it is larger than `max_body`."""
        parts: list[bytes] = []
        size = 0
        oversized = self._announced() > self._max_body
        while not oversized and (data := await self.more()):
            parts.append(data)
            size += len(data)
            oversized = size > self._max_body
        if oversized:
            raise Garbled(f"The provider's answer is larger than {self._max_body} bytes.")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives.

        Raises `Cut` when it breaks off after the first chunk, `Unreachable` before; `Garbled` beyond `max_stream`.
        """
        return _Chunks(self, self._course, self._max_stream)

    async def more(self) -> bytes:
        """What has arrived, or else the next to arrive; empty at the end of the body."""
        if self._decoder is None:
            return await self._raw()
        try:
            while not (data := self._decoder.step()):
                coded = await self._raw()
                if not coded:
                    self._decoder.finish()
                    return b""
                self._decoder.feed(coded)
        except zlib.error as exc:
            raise self._course.fault(exc) from exc
        return data

    async def _raw(self) -> bytes:
        reply, course = self._reply, self._course
        while not reply.parts:
            if reply.done:
                return b""
            # What arrived before a break comes first: it may hold the terminal event.
            if reply.error is not None:
                raise course.fault(reply.error) from reply.error
            phase: Phase = "idle" if course.begun else "first_byte"
            clock = asyncio.get_running_loop().time
            until = min(clock() + getattr(course.timeouts, phase), course.ends)
            if not await self._connection.wait(until):
                raise course.late(phase, clock())
        course.begun = True
        if len(reply.parts) == 1:
            return self._connection.take(reply)
        return b"".join([self._connection.take(reply) for _ in range(len(reply.parts))])

    def _announced(self) -> int:
        try:
            return int(self.headers.get("content-length", "0"))
        except ValueError:
            return 0


class _Chunks:
    # Not a generator: one that its reader abandons is closed by the event loop later, in a task of its own.

    def __init__(self, answer: Answer, course: _Course, limit: int) -> None:
        self._more = answer.more
        self._course = course
        self._limit = self._room = limit

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await self._more()
        if not data:
            raise StopAsyncIteration
        self._room -= len(data)
        if self._room < 0:
            raise Garbled(f"The provider's stream is larger than {self._limit} bytes.")
        self._course.passed_on = True
        return data


class Transport:
    """One long-lived client with a pool of kept-alive connections per endpoint. Redirects are answers like any other.

    Cookies are neither kept nor sent: they would join the callers of one gateway into one session.
    """

    def __init__(
        self,
        *,
        max_body: int = 32 * MiB,
        max_stream: int = 256 * MiB,
        connections: int = 4096,
        connections_per_endpoint: int = 1024,
        keep_alive: float = 30.0,
        verify: bool = True,
        ca_file: Path | None = None,
        trust_env: bool = True,
        user_agent: str = "steelyard",
        reach: Reach | None = None,
    ) -> None:
        """Open nothing yet.

        Args:
            max_body: bytes of an answer read whole, decoded.
            max_stream: bytes of an answer read in chunks, decoded.
            connections: open connections in all; a call beyond waits.
            connections_per_endpoint: the same for one host and port.
            keep_alive: seconds an unused connection is kept. Many providers close theirs after 60.
            verify: False accepts any TLS certificate.
            ca_file: a PEM file of authorities trusted besides the system's (`SSL_CERT_FILE` replaces those).
            trust_env: use the proxies named by the environment.
            user_agent: sent unless the call has its own.
            reach: addresses that may be connected to; every one when absent.
        """
        self.max_body = max_body
        self.max_stream = max_stream
        self._proxies = Proxies(trust_env=trust_env)
        self._defaults = (("accept-encoding", "identity"), ("user-agent", user_agent))
        dialer = Dialer(tls_context(verify=verify, ca_file=ca_file), reach)
        self.pool = Pool(dialer.dial, most=connections, most_per_peer=connections_per_endpoint, keep_s=keep_alive)
        self.closed = False
        self._targets: dict[str, Target] = {}
        self._heads: dict[tuple[str, str, tuple[tuple[str, str], ...]], bytes] = {}

    def open(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes | None,
        timeouts: Timeouts,
        *,
        deadline: float | None,
    ) -> AbstractAsyncContextManager[Answer]:
        """Send a request and wait for the head of its answer. Leaving closes what was not read to its end.

        A call that finds its pooled connection closed by the provider is sent once more: nothing was answered.

        Args:
            method: upper case.
            url: absolute, http or https.
            headers: sent as they are, besides `accept-encoding: identity` and `user-agent` unless given.
            body: sent with its length.
            timeouts: each raises `TimedOut` with its phase.
            deadline: a time of the event loop's clock; the earlier of it and `timeouts.total` ends the call.
        """
        return _Opening(self, method, url, headers, body or b"", timeouts, deadline)

    async def close(self) -> None:
        """Close every connection, those in use too: their calls fail as `Unreachable` or `Cut`. May be repeated."""
        self.closed = True
        self.pool.close()

    def target(self, url: str) -> Target:
        """Where `url` leads. Raises ValueError when it is malformed."""
        target = self._targets.get(url)
        if target is None:
            if len(self._targets) >= _REMEMBERED:
                self._targets.clear()
            target = self._targets[url] = target_of(url, self._proxies.of(url))
        return target

    def head(self, method: str, url: str, target: Target, headers: Headers) -> bytes:
        """The head of a request, but for the length of its body. Raises ValueError when it is malformed."""
        pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)
        known = self._heads.get((method, url, pairs))
        if known is None:
            if len(self._heads) >= _REMEMBERED:
                self._heads.clear()
            known = self._heads[method, url, pairs] = head_of(method, target, (*pairs, *self._defaults))
        return known


@dataclass(eq=False, repr=False)  # a repr would show the headers, and with them the key
class _Opening(AbstractAsyncContextManager[Answer]):
    # A class, because contextlib's generators cost more than everything else this file does for a call.

    transport: Transport
    method: str
    url: str
    headers: Headers
    body: bytes
    timeouts: Timeouts
    deadline: float | None
    connection: Connection | None = None
    reply: Reply | None = None

    async def __aenter__(self) -> Answer:
        if self.transport.closed:
            raise RuntimeError("This transport was closed.")
        clock = asyncio.get_running_loop().time
        start = clock()
        total = self.timeouts.total
        if self.deadline is not None:
            total = min(total, self.deadline - start)
        course = _Course(self.url, self.timeouts, max(total, 0.0), start + total)
        if total <= 0:
            raise TimedOut("total", 0.0)
        try:
            return await self._answered(course)
        except (DialError, NotHttpError, OSError, ValueError, BrokenError) as exc:
            self._leave()
            raise course.fault(exc) from exc
        except BaseException:
            self._leave()
            raise

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()

    def _leave(self) -> None:
        if self.connection is not None and self.reply is not None and not self.reply.done:
            self.connection.abort()

    async def _answered(self, course: _Course) -> Answer:
        transport = self.transport
        target = transport.target(self.url)
        head = b"%s\r\ncontent-length: %d\r\n\r\n" % (
            transport.head(self.method, self.url, target, self.headers),
            len(self.body),
        )
        while True:
            connection = transport.pool.idle(target.peer)
            used = connection is not None
            if connection is None:
                connection, used = await self._connected(target, course)
            if connection.closed:
                if used:
                    continue
                raise BrokenError
            self.connection = connection
            reply = self.reply = connection.ask(head, self.body)
            sent_at = asyncio.get_running_loop().time()
            if await self._head_of(connection, reply, course):
                return Answer(connection, reply, course, transport.max_body, transport.max_stream)
            if not used or reply.begun or asyncio.get_running_loop().time() - sent_at >= _STALE_WITHIN:
                raise reply.error or BrokenError

    async def _connected(self, target: Target, course: _Course) -> tuple[Connection, bool]:
        clock = asyncio.get_running_loop().time
        until = min(clock() + self.timeouts.connect, course.ends)
        try:
            async with asyncio.timeout_at(until):
                return await self.transport.pool.fresh(target.peer)
        except TimeoutError:
            raise course.late("connect", clock()) from None

    async def _head_of(self, connection: Connection, reply: Reply, course: _Course) -> bool:
        """Whether it came; False when the connection broke before."""
        clock = asyncio.get_running_loop().time
        if len(self.body) > MiB and not await connection.send_rest(reply, self.body, course.ends):
            raise course.late("total", clock())
        until = min(clock() + self.timeouts.first_byte, course.ends)
        while not reply.head:
            if isinstance(reply.error, NotHttpError):
                raise reply.error
            if reply.error is not None:
                return False
            if not await connection.wait(until):
                raise course.late("first_byte", clock())
        return True
