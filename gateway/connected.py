"""A caller's connection: uvicorn's protocol parses requests; ours begins them, and bounds what they may take.

Law: whatever a caller sends, or does not send, costs bounded memory and ends in bounded time, and where a request ends
is never a matter of opinion. A head has its bytes, fields and seconds; a body comes at a least pace; who does not read
is let go; a frame that two readers could read in two ways (HTTP/1.0 with a Transfer-Encoding, other codings than
`chunked`, a header twice that may be there once) is refused, as is all that the parser (llhttp, strict) takes for none.
Trailers are dropped: a proxy that strips a header from heads does not look for it there. A wish for another protocol
than WebSocket, or for that while another request is answered, is overheard, as HTTP allows: what follows its head is
its body, and no request of its own.
"""

from __future__ import annotations

import asyncio
import sys
from functools import lru_cache
from typing import Any, ClassVar, cast
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.api.headers import SECURITY
from gateway.cycle import Cycle

#: Headers of a request that may be there once: of two, a proxy may heed the other.
_ONCE = frozenset(
    {b"host", b"authorization", b"x-api-key", b"x-goog-api-key", b"content-type", b"origin", b"transfer-encoding"}
)
#: Headers that tell of a body.
_BODIES = frozenset({b"content-length", b"transfer-encoding"})
#: Fields of a request's head. SDKs send some twenty, and proxies add ten.
_MOST_FIELDS = 128
#: Requests of one connection that wait for the one before: browsers and SDKs send none ahead.
_MOST_AHEAD = 16
#: Bytes that a body must bring per second, beyond the seconds that it may be silent: a modem's pace.
_LEAST_PACE = 1_000
#: Seconds for which a caller who was answered before it had said everything is listened to, lest the answer is lost
#: with the connection. Doubled, a flood of too large bodies holds its sockets twice as long.
_LINGER = 5.0
#: Seconds by which a timer may go off early: uvloop's count whole milliseconds.
_EARLY = 0.002


class Bounds(Struct, frozen=True):
    """What a caller's connection may take. Seconds, and bytes."""

    #: Of a request's head.
    head: int = 64 * 1024
    #: Until a head has come, from its first byte or, for the first, from the connection on.
    head_seconds: float = 15.0
    #: Of silence amid a body.
    body_seconds: float = 30.0
    #: For which nothing of an answer is taken.
    write_seconds: float = 60.0


@lru_cache(maxsize=256)
def _address(target: bytes) -> tuple[str, bytes, bytes]:
    """Path, the path as it was sent, and query; kept, as the same is asked for again and again. Raises `ValueError`."""
    path, _, query = target.partition(b"#")[0].partition(b"?")
    if not path.startswith(b"/"):
        # In full, as a proxy is asked.
        parts = urlsplit(target)
        path, query = parts.path, parts.query
        if not path.startswith(b"/"):
            raise ValueError("no address")
    return unquote(path.decode("ascii")), path, query


class _Refused(Exception):
    """A request that is not answered; its status, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Connected(HttpToolsProtocol):
    """A caller's connection; closed when it has been quiet for the keep-alive's seconds after an answer.

    Its one timer stays armed for the earliest time that anything was due, and looks again when it fires: a connection
    that is used makes no timer, and cancels none.
    """

    bounds: ClassVar[Bounds] = Bounds()
    #: On the loop's clock: when it is closed unless something comes, and unless something is read.
    _due: float | None = None
    _stalled: float | None = None
    _watch: asyncio.TimerHandle | None = None
    #: Amid a head, since when, and the bytes of its first piece, of those between, and of the present one.
    _heading = False
    _head_since: float | None = None
    _head_first = _head_bytes = _piece = 0
    #: Since when a body is waited for, and how much has come.
    _body_since: float | None = None
    _body_bytes = 0
    _refused: _Refused | None = None
    #: Answered before all was said: nothing more is read.
    _lingers = False
    #: A head that wished for another protocol, without its wish; and where in the present piece it ended.
    _plain: bytes | None = None
    _plain_until = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride] - as uvicorn's own
        """A caller: it has so long to say something."""
        super().connection_made(transport)
        self._wait(self.bounds.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._due = self._stalled = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request, or of several."""
        if self._lingers:
            return
        self._piece = len(data)
        super().data_received(data)
        while self._plain is not None and not self.transport.is_closing():
            data, self._plain = self._plain + data[self._plain_until :], None
            self._piece = len(data)
            super().data_received(data)
        if self.transport.is_closing():
            return
        if self._heading:
            self._await_head(len(data))
        elif cast("RequestResponseCycle | None", self.cycle) is not None and self.cycle.more_body:
            self._await_body(len(data))

    def _unsupported_upgrade_warning(self) -> None:
        """Called where the parser has stopped: it takes what follows for another protocol, body and all."""
        stopped = sys.exception()
        assert stopped is not None, "it says where"
        self._plain_until = stopped.args[0]

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._heading, self._head_since, self._body_since = True, None, None
        self._head_first = self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; a trailer is passed over."""
        if self._heading:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin a request, or let it wait for the one before it. As uvicorn's, but for the class of the cycle."""
        parser: Any = self.parser
        scope = self.scope
        version = parser.get_http_version()
        self._refused = self._objection(version)
        if self._refused is not None:
            raise self._refused
        self._heading, self._due = False, None
        scope["method"] = parser.get_method().decode("ascii")
        if parser.should_upgrade():
            self._wished(version)
            return
        app = cast("Any", self.app)
        before = cast("RequestResponseCycle | None", self.cycle)
        scope["http_version"] = version
        scope["path"], scope["raw_path"], scope["query_string"] = _address(self.url)
        cycle = self.cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def _wished(self, version: str) -> None:
        """A head that wishes for another protocol: a WebSocket's, or as if it had none."""
        method = self.scope["method"]
        if method == "CONNECT":
            # Its wish is no header, and could not be left out.
            self._refused = _Refused(400, "This is no proxy.")
        elif not self._should_upgrade():
            self._plain = _without_wish(method.encode(), self.url, version, self.headers)
        elif method != "GET" or not _BODIES.isdisjoint(name for name, _ in self.headers):
            # Who reads it next would wait for the body, which the parser leaves out.
            self._refused = _Refused(400, "A WebSocket is asked for by a GET without a body.")
        if self._refused is not None:
            raise self._refused

    def _should_upgrade(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        # Into an answer that is under way the beginning of a WebSocket would fall.
        return (cycle is None or cycle.response_complete) and super()._should_upgrade()

    def _objection(self, version: str) -> _Refused | None:
        """Why a head is not taken: it is too large, or others may read it in another way."""
        headers = self.headers
        fields = dict(headers)
        if len(headers) > _MOST_FIELDS or (
            self._head_first + self._head_bytes + self._piece > self.bounds.head
            and len(self.url) + sum(len(name) + len(value) + 4 for name, value in headers) > self.bounds.head
        ):
            return _too_large()
        if version != "1.1" and (version != "1.0" or b"transfer-encoding" in fields):
            return _Refused(400, "Speak HTTP/1.1, or HTTP/1.0 with a Content-Length.")
        if b"host" not in fields and version == "1.1":
            return _Refused(400, "The header Host is missing.")
        if len(fields) != len(headers):
            names = [name for name, _ in headers]
            twice = next((name for name in _ONCE if names.count(name) > 1), None)
            if twice is not None:
                return _Refused(400, f"The header '{twice.decode()}' is there twice.")
        if fields.get(b"transfer-encoding", b"chunked").strip().lower() != b"chunked":
            return _Refused(501, "The only transfer coding that is understood is 'chunked'.")
        if len(self.pipeline) >= _MOST_AHEAD:
            return _Refused(400, "These are too many requests at once for one connection.")
        return None

    def _await_head(self, came: int) -> None:
        if self._head_since is None:
            # How much of this piece is of it, and not of the request before it, is not known yet.
            self._head_since, self._head_first = self.loop.time(), came
            self._wait(self.bounds.head_seconds)
            return
        self._head_bytes += came
        if self._head_bytes > self.bounds.head:
            self._refuse(_too_large())

    def _await_body(self, came: int) -> None:
        now = self.loop.time()
        if self._body_since is None or self.pipeline:
            # One that waits for others is not read, and need not hurry.
            self._body_since, self._body_bytes = now, 0
        self._body_bytes += came
        late = self._body_since + self.bounds.body_seconds + self._body_bytes / _LEAST_PACE
        self._due = None
        if not self.pipeline:
            self._wait(late - now)

    def on_message_complete(self) -> None:
        """All of a request is here."""
        if self._plain is not None:
            return  # its head alone
        super().on_message_complete()
        self._body_since = self._due = None

    def on_response_complete(self) -> None:
        """Go on with the next request that is here already, or be quiet."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._leave()
            return
        if self.cycle.response_complete and self.cycle.more_body:
            self._lingers = True
            self.flow.resume_reading()
            self.transport.write_eof()
            self._wait(_LINGER)
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            if self.cycle.more_body and not self.pipeline:
                self._body_since = None
                self._await_body(0)
            return
        self._wait(self.bounds.head_seconds if self._heading else self.timeout_keep_alive)

    def pause_writing(self) -> None:
        """The caller takes no more for now."""
        super().pause_writing()
        self._stalled = self.loop.time() + self.bounds.write_seconds
        self._arm(self._stalled)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self._stalled = None

    def handle_websocket_upgrade(self) -> None:
        """From now on it is `Followed`'s."""
        self._due = self._stalled = None
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Tell why the parser stopped."""
        self._refuse(self._refused or _Refused(400, "This is not a request in HTTP/1.1."))

    def _refuse(self, why: _Refused) -> None:
        """Answer the request that is not taken, unless that would fall into the answer to another; and close."""
        self._due = None
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            its_own = cycle.more_body and not (cycle.response_started or self._heading or self.pipeline)
            cycle.disconnected = True
            cycle.message_event.set()
            if not its_own:
                self.transport.abort()
                return
        if not self.transport.is_closing():
            self.transport.write(_raw(why))
            self.transport.close()
        self._leave()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        cycle = cast("Cycle", cycle)
        cycle.task = self.loop.create_task(self._served(cycle, app))
        self.tasks.add(cycle.task)

    async def _served(self, cycle: Cycle, app: Any) -> None:
        try:
            await cycle.run_asgi(app)
        finally:
            # Here and not in a callback, for which the loop would go round, and look at every socket, once more.
            self.tasks.discard(cycle.task)

    def _unset_keepalive_if_required(self) -> None:
        """Called whenever something comes. Only a whole head is something: a line break now and then is not."""

    def _wait(self, seconds: float) -> None:
        """Close in so many seconds unless something happens that sets it back."""
        self._due = self.loop.time() + seconds
        self._arm(self._due)

    def _leave(self) -> None:
        """It is closing: what is still to be read must be read before long."""
        if self.transport.get_write_buffer_size():
            self._stalled = self.loop.time() + self.bounds.write_seconds
            self._arm(self._stalled)

    def _arm(self, due: float) -> None:
        if self._watch is not None:
            if self._watch.when() <= due:
                return
            self._watch.cancel()
        self._watch = self.loop.call_at(due, self._look)

    def _look(self) -> None:
        self._watch = None
        due = min(self._due or float("inf"), self._stalled or float("inf"))
        if due == float("inf"):
            return  # whoever answers what is under way sets it again
        if due > self.loop.time() + _EARLY:
            self._watch = self.loop.call_at(due, self._look)
        elif due == self._stalled or self.transport.is_closing() or self._lingers:
            self.transport.abort()
        elif self._heading or self._body_since is not None:
            self._refuse(_Refused(408, "The request did not come in time."))
        else:
            self.transport.close()
            self._leave()


def bounded(bounds: Bounds) -> type[Connected]:
    """Connections of these bounds."""
    return type("Connected", (Connected,), {"bounds": bounds})


def _without_wish(method: bytes, url: bytes, version: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The head of a request, without its wish for another protocol."""
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    lines += (b"%b: %b" % pair for pair in headers if pair[0] != b"upgrade")
    return b"\r\n".join([*lines, b"\r\n"])


def _too_large() -> _Refused:
    return _Refused(431, "The head of the request is too large.")


def _raw(why: _Refused) -> bytes:
    told = {"message": str(why), "type": "invalid_request_error", "param": None, "code": "bad_http", "source": "caller"}
    body = msgspec.json.encode({"error": told, "request_id": None})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *SECURITY]
    lines = [b": ".join(pair) for pair in (*headers, (b"connection", b"close"))]
    return STATUS_LINE[why.status] + b"\r\n".join(lines) + b"\r\n\r\n" + body
