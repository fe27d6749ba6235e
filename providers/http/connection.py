"""One HTTP/1.1 connection: a request out, its answer in, and then the next. The parsing is httptools' (llhttp).

Law: an answer belongs to the request before it. Whatever could break that (bytes nobody asked for, an answer that came
before its question was sent whole, a peer that says it will close) costs the connection its reuse.

One timer per connection, not one per wait: it is left armed for the earliest time anybody waited until, and looks again
when it fires. A call that is answered in time neither makes a timer nor cancels one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

#: Bytes of a head, interim ones included. Beyond them a peer is broken or hostile.
_HEAD_LIMIT = 64 * 1024
#: Unread bytes of a body at which the peer is made to wait, and at which it may go on.
_HIGH, _LOW = 256 * 1024, 64 * 1024
#: Bytes of a request that are handed to the loop at once; it waits for them to go before the next.
_PIECE = 1024 * 1024
#: Seconds. uvloop counts whole milliseconds and may fire a timer that much early.
_EARLY = 0.0015
_BODILESS = (204, 304)


class BrokenError(Exception):
    """The connection ended before the answer did."""


class NotHttpError(Exception):
    """The peer said something that is not an answer in HTTP/1.1."""


class Reply:
    """The answer to one request, as far as it has come."""

    __slots__ = ("begun", "done", "error", "head", "headers", "keep", "parts", "status", "unread", "until_close")

    def __init__(self) -> None:
        """Nothing has come."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        #: Pieces of the body that nobody has taken.
        self.parts: deque[bytes] = deque()
        self.unread = 0
        #: A byte has come.
        self.begun = False
        #: Status and headers are complete.
        self.head = False
        #: All of it has come.
        self.done = False
        self.error: Exception | None = None
        #: The peer will answer another request on this connection.
        self.keep = False
        #: The body ends where the connection does.
        self.until_close = True

    def fields(self) -> dict[str, str]:
        """The headers by lower-case name, those of one name joined."""
        found: dict[str, str] = {}
        for raw, coded in self.headers:
            name, value = raw.decode("latin-1"), coded.decode("utf-8", "surrogateescape")
            found[name] = f"{found[name]}, {value}" if name in found else value
        return found


class Connection(asyncio.Protocol):
    """A connected peer. `ended` is told once, when the connection is over; `free` each time it can be asked again."""

    def __init__(self, ended: Callable[[Connection], None], free: Callable[[Connection], None]) -> None:
        """Wait for the loop to connect it."""
        self._ended, self._free = ended, free
        self._loop = asyncio.get_running_loop()
        self._parser = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._reply: Reply | None = None
        #: Bytes received of a head that is not complete, and of its headers so far.
        self._head_bytes = self._head_size = 0
        self._interim = self._junk = self._paused = self._sending = self.closed = False
        self._waiter: asyncio.Future[bool] | None = None
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None
        #: Since when it waits in the pool, on the loop's clock.
        self.idle_since = 0.0

    # --- for whoever asks --------------------------------------------------------------------------------------

    def ask(self, head: bytes, body: bytes) -> Reply:
        """Send a request of at most `_PIECE` bytes of body, or the beginning of a longer one: then `send_rest`."""
        assert self._transport is not None
        reply = self._reply = Reply()
        self._head_bytes = self._head_size = 0
        self._sending = len(body) > _PIECE
        if self._sending:
            self._transport.writelines([head, body[:_PIECE]])
        else:
            self._transport.write(head + body)
        return reply

    async def send_rest(self, reply: Reply, body: bytes, until: float) -> bool:
        """Send what `ask` has left of a long body, in pieces; stops as soon as the peer answers. False: out of time."""
        assert self._transport is not None
        rest = memoryview(body)[_PIECE:]
        while rest and not (reply.head or reply.error):
            while self._drained is not None and not (reply.head or reply.error):
                if not await self.wait(until):
                    return False
            self._transport.write(rest[:_PIECE])
            rest = rest[_PIECE:]
        # What was not sent whole cannot be followed by another request.
        self._sending = bool(rest)
        return True

    async def wait(self, until: float) -> bool:
        """Until something happens to the reply or, on the loop's clock, `until`: then False."""
        waiter = self._waiter = self._loop.create_future()
        self._until = until
        if self._timer is None:
            self._timer = self._loop.call_at(until, self._look)
        elif self._timer.when() > until:
            self._timer.cancel()
            self._timer = self._loop.call_at(until, self._look)
        try:
            return await waiter
        finally:
            # Whoever waited for the end of an answer may resume when the connection already works for another.
            if self._waiter is waiter:
                self._waiter = None

    def take(self, reply: Reply) -> bytes:
        """The oldest piece of the body; there must be one."""
        data = reply.parts.popleft()
        reply.unread -= len(data)
        if self._paused and reply is self._reply and reply.unread <= _LOW and not self.closed:
            self._paused = False
            cast("asyncio.Transport", self._transport).resume_reading()
        return data

    def abort(self) -> None:
        """Close at once; who waits for the reply finds it broken."""
        self.closed = True
        self._break(BrokenError())
        if self._transport is not None:
            self._transport.abort()

    # --- for the loop ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        reply = self._reply
        if reply is not None and reply.head and reply.until_close and exc is None:
            reply.done = True
            self._wake()
        self._break(exc or BrokenError())
        self._ended(self)

    def data_received(self, data: bytes) -> None:
        """Some bytes of an answer."""
        reply = self._reply
        if reply is None:
            self.abort()
            return
        reply.begun = True
        if not reply.head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as exc:
            # What came before the nonsense may be all that was asked for.
            self._break(exc if reply.head else NotHttpError())
            self._junk = True
        if not reply.head and self._head_bytes > _HEAD_LIMIT:
            self._refuse()
        if reply.done:
            self._settle(reply)
        elif self._junk:
            self.abort()
        if reply.head:
            self._wake()

    def pause_writing(self) -> None:
        """The peer takes no more for now."""
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        """It does again."""
        self._drained = None
        self._wake()

    # --- for the parser ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """An answer; after the one that was asked for, one too many."""
        if self._reply is None or self._reply.done:
            self._junk = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or trailer."""
        reply = self._reply
        if reply is None or reply.head or self._junk:
            return
        self._head_size += len(name) + len(value)
        if self._head_size > _HEAD_LIMIT:
            self._refuse()
            return
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            reply.until_close = False
        reply.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head of an answer, or of an interim one (1xx), which says nothing."""
        reply = self._reply
        if reply is None or self._junk:
            return
        status = self._parser.get_status_code()
        self._interim = 100 <= status < 200
        if self._interim:
            reply.headers.clear()
            reply.until_close = True
            return
        reply.status, reply.head = status, True
        reply.keep = self._parser.should_keep_alive()
        if status in _BODILESS:
            reply.until_close = False

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        reply = self._reply
        if reply is None or self._junk:
            return
        reply.parts.append(data)
        reply.unread += len(data)
        if reply.unread > _HIGH and not self._paused:
            self._paused = True
            cast("asyncio.Transport", self._transport).pause_reading()

    def on_message_complete(self) -> None:
        """The end of an answer."""
        if self._interim:
            self._interim = False
        elif self._reply is not None and not self._junk:
            self._reply.done = True

    # --- parts -------------------------------------------------------------------------------------------------

    def _settle(self, reply: Reply) -> None:
        """The answer is whole: be free for the next, or end."""
        self._reply = None
        transport = cast("asyncio.Transport", self._transport)
        if self._paused:
            self._paused = False
            transport.resume_reading()
        if reply.keep and not (self._junk or self._sending):
            self._free(self)
        else:
            transport.abort()

    def _break(self, exc: Exception) -> None:
        reply = self._reply
        if reply is not None and not reply.done and reply.error is None:
            reply.error = exc
        self._wake()

    def _refuse(self) -> None:
        """A head that is too large."""
        self._break(NotHttpError())
        self._junk = True

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(True)

    def _look(self) -> None:
        """The timer fired: for whoever waits now, perhaps too early."""
        self._timer = None
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if self._loop.time() + _EARLY >= self._until:
            waiter.set_result(False)
        else:
            self._timer = self._loop.call_at(self._until, self._look)
