"""The application on a socket: uvicorn, and how it takes leave. The only file of the gateway that imports uvicorn.

A kind stop closes the socket, answers whoever still asks on an open connection with `Connection: close`, and closes
those that stay silent after a moment: a client whose next request meets a closed connection cannot know whether it was
read, and few repeat a POST. Then running requests finish within the grace, and the application stops.

uvicorn's protocol parses requests; ours (`Connected`) begins them, and answers go out by our `Cycle`: the head with the
beginning of the body in one write, looked at as a whole instead of name by name and value by value, and one timer per
connection instead of one per answer.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import socket
import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway import logs
from gateway.accepting import Acceptor
from gateway.app import Application, create_app
from gateway.reloading import Reloading, settle
from gateway.settings.tree import Settings

#: Longest wait for the answer of a keep-alive connection's next request, seconds: longer than load balancers' 60.
_KEEP_ALIVE = 75
#: Seconds for which open connections may bring one more request during a stop. Doubled: every stop with an idle
#: connection takes a second longer; halved: a client that asks once a second meets a closed door.
_LINGER = 1.0
#: Names of headers that were looked at and found right. There are as many as the code has; beyond, all are looked at.
_NAMES: set[bytes] = set()
_MOST_NAMES = 256
#: ASGI has them in lower case.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
#: Statuses whose answers have no body, and need not say so.
_BODILESS = (204, 304)
#: Its lines below a warning tell whole addresses and headers.
_SOCKETS = logging.getLogger("uvicorn.error.sockets")
_SOCKETS.setLevel(logging.WARNING)
#: The file, in the folder that workers share, of how many connections each has.
COUNTS = "connections"


class Cycle(RequestResponseCycle):
    """One request and its answer. The head waits for the first of the body, as ASGI allows, and goes out with it."""

    _head = b""
    #: What it runs in.
    task: asyncio.Task[None]

    async def send(self, message: Any) -> None:
        """One message of the application's. Raises `RuntimeError` for one that breaks HTTP, or comes out of turn."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.response_started:
            self._start(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and self.response_started and not self.response_complete:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"The application sent '{kind}' out of turn.")

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        pairs = [*self.default_headers, *headers]
        fields = dict(pairs)
        lines = [b": ".join(pair) for pair in pairs]
        together = b"".join(lines)
        if b"\n" in together or b"\r" in together or b"\0" in together or not _fine(fields):
            raise RuntimeError("A header of the answer would break it.")
        self.response_started, self.waiting_for_100_continue = True, False
        lines.append(b"\r\n")
        if b"close" in fields.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            lines[-1:] = b"connection: close", b"\r\n"
        length = fields.get(b"content-length")
        self.chunked_encoding = length is None and status not in _BODILESS
        if length is not None:
            self.expected_content_length = int(length)
        elif self.chunked_encoding and self.scope["method"] != "HEAD" and b"transfer-encoding" not in fields:
            lines[-1:] = b"transfer-encoding: chunked", b"\r\n"
        self._head = STATUS_LINE[status] + b"\r\n".join(lines)

    def _go_on(self, body: bytes, *, more: bool) -> None:
        head, self._head = self._head, b""
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (self.expected_content_length and not more):
                raise RuntimeError("The body of the answer is not as long as its head says.")
        if head or body:
            self.transport.write(head + body)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()


def _fine(names: Iterable[bytes]) -> bool:
    """Whether these are names of headers."""
    if _NAMES.issuperset(names):
        return True
    if not all(map(_NAME.fullmatch, names)):
        return False
    if len(_NAMES) < _MOST_NAMES:
        _NAMES.update(names)
    return True


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


class Connected(HttpToolsProtocol):
    """A caller's connection; closed when it has been quiet for `_KEEP_ALIVE` seconds after an answer."""

    #: Since when it waits for a request, on the loop's clock; None while one is under way.
    _quiet_since: float | None = None
    _watch: asyncio.TimerHandle | None = None

    def on_response_complete(self) -> None:
        """Go on with the next request that is here already, or be quiet."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._quiet_since = self.loop.time()
        if self._watch is None:
            self._watch = self.loop.call_later(self.timeout_keep_alive, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        super().connection_lost(exc)

    def on_headers_complete(self) -> None:
        """Begin a request, or let it wait for the one before it. As uvicorn's, but for the class of the cycle."""
        parser: Any = self.parser
        if parser.should_upgrade() and self._should_upgrade():
            # Of `handle_websocket_upgrade`, which reads the method here.
            self.scope["method"] = parser.get_method().decode("ascii")
            return
        app = cast("Any", self.app)
        before = cast("RequestResponseCycle | None", self.cycle)
        scope = self.scope
        version = parser.get_http_version()
        scope["http_version"] = version
        scope["method"] = parser.get_method().decode("ascii")
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
        # Called whenever something comes. The timer stays, and finds out when it fires.
        self._quiet_since = None

    def _look(self) -> None:
        self._watch = None
        if self._quiet_since is None:
            return  # whoever answers what is under way sets it again
        left = self._quiet_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._watch = self.loop.call_later(left, self._look)
        else:
            self.timeout_keep_alive_handler()


class Followed(WebSocketsSansIOProtocol):
    """A caller's WebSocket. Its address and headers, in which a key may be, are not logged."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """As uvicorn's."""
        super().__init__(*arguments, **named)
        self.logger = self.conn.logger = _SOCKETS
        self.conn.debug = False

    async def send(self, message: Any) -> None:
        """One message of the application's."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            # Refused in whole. uvicorn takes that for a handshake that was forgotten, and logs an error.
            self.handshake_complete = True


class Server(uvicorn.Server):
    """uvicorn, whose kind stop is kinder and a success: it would raise the signal again, and exit with 130 or 143."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop kindly; at a second Ctrl-C at once."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take leave of every connection, then of the application."""
        for server in self.servers:
            server.close()
        # The very list that every answer reads, those under way included.
        self.server_state.default_headers.append((b"connection", b"close"))
        loop = asyncio.get_running_loop()
        until = loop.time() + _LINGER
        while self.server_state.connections and loop.time() < until and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # uvicorn has a set, not an event
        await super().shutdown(sockets)


class WorkerServer(Server):
    """The server of one worker among several, which its supervisor alone may stop."""

    def __init__(
        self, config: uvicorn.Config, listening: socket.socket, link: Connection, *, counts: Path, slot: int
    ) -> None:
        """Say through `link` when it serves, and stop when it ends."""
        super().__init__(config)
        self._link = link
        self._acceptor = Acceptor(
            listening, self._connected, counts=counts, slot=slot, has=lambda: len(self.server_state.connections)
        )

    def _connected(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop kindly at SIGTERM, however often it comes; a Ctrl-C is the supervisor's to hear."""
        if sig != signal.SIGINT:
            self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so."""
        await super().startup([])
        if self.started:
            self._acceptor.start()
            self._link.send_bytes(b"ready")
            asyncio.get_running_loop().add_reader(self._link.fileno(), self._left_alone)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connection, then leave as any server."""
        self._acceptor.close()
        await super().shutdown(sockets)

    def _left_alone(self) -> None:
        """The supervisor is gone, and nobody would stop or replace this worker: it must not keep the port."""
        asyncio.get_running_loop().remove_reader(self._link.fileno())
        self.should_exit = True


class Worker:
    """What a worker process does; travels there with its settings and its socket."""

    def __init__(self, settings: Settings, shared_dir: str, listening: socket.socket) -> None:
        """Serve the application of `settings`."""
        self._settings = settings
        self._shared_dir = shared_dir
        self._listening = listening

    def __call__(self, link: Connection, slot: int) -> None:
        """Serve until told to stop."""
        config = _config(self._application, self._settings)
        program = WorkerServer(config, self._listening, link, counts=Path(self._shared_dir, COUNTS), slot=slot)
        program.run(sockets=[self._listening])
        if not program.started:
            sys.exit(1)

    def _application(self) -> Application:
        logs.configure(self._settings.log.level)
        app = create_app(self._settings, shared_dir=self._shared_dir)
        settle()
        return app


def serve_alone(settings: Settings, listening: socket.socket, reread: Callable[[], Settings | None]) -> bool:
    """Serve in this process until told to stop; SIGHUP puts the application of `reread()` in place. Did it start?"""
    app = Reloading(settings, reread, grace=settings.server.shutdown_grace)
    program = Server(_config(lambda: app, settings))
    app.stopped = lambda: program.handle_exit(signal.SIGTERM, None)
    program.run(sockets=[listening])
    return program.started


def _config(factory: Callable[[], Any], settings: Settings) -> uvicorn.Config:
    server = settings.server
    return uvicorn.Config(
        factory,
        factory=True,
        host=server.host,
        port=server.port,
        loop="uvloop",
        http=Connected,
        ws=Followed,
        log_config=None,
        access_log=False,
        server_header=False,
        # Nothing here reads a caller's address, and a forwarded one can be forged.
        proxy_headers=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(server.shutdown_grace)),
    )
