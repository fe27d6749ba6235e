"""The application on a socket: uvicorn, and how it takes leave.

A kind stop closes the socket, answers whoever still asks on an open connection with `Connection: close`, and closes
those that stay silent for the linger: a client whose next request meets a closed connection cannot know whether it was
read, and few repeat a POST. A balancer that gives its idle connections up sooner never meets a closed one. Then running
requests finish within the grace, and the application stops.

Callers' connections are `connected`'s, and the answers on them `cycle`'s.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from gateway import logs
from gateway.accepting import Acceptor
from gateway.app import Application, create_app
from gateway.connected import Bounds, bounded
from gateway.governance.audit import Act
from gateway.reloading import Reloading, settle
from gateway.renewal import Renewal, Reread, leaving, under_way, unstartable, wrong
from gateway.settings.tree import Settings
from gateway.supervisor import LEAVING, REFUSED, RENEWED, UNSTARTED

#: Longest wait for the answer of a keep-alive connection's next request, seconds: longer than load balancers' 60.
_KEEP_ALIVE = 75
#: Its lines below a warning tell whole addresses and headers.
_SOCKETS = logging.getLogger("uvicorn.error.sockets")
_SOCKETS.setLevel(logging.WARNING)
#: Bytes of a message of a caller's WebSocket. None is expected: they are read and forgotten.
_MESSAGE = 4096
#: What a process shows that serves nobody.
_SHOWN = frozenset({"/metrics", "/health", "/health/live", "/health/ready", "/api/health"})
_NOTHING = b"A worker serves nobody: it shows /metrics and /health.\n"
#: The file, in the folder that workers share, of how many connections each has.
COUNTS = "connections"


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

    def __init__(self, config: uvicorn.Config, linger: float) -> None:
        """Let idle connections bring one more request for so many seconds of a stop."""
        super().__init__(config)
        self._linger = linger

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop kindly; at a second Ctrl-C at once."""
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take leave of every connection, then of the application."""
        # Who has come since the loop looked last has sent a request, perhaps, and would be reset with the socket's end.
        waiting = _waiting(sockets or ())
        for one in (*self.servers, *(sockets or ())):
            one.close()
        loop = asyncio.get_running_loop()
        for connection in waiting:
            with suppress(OSError):  # the caller has gone already
                await loop.connect_accepted_socket(self._connected, connection)
        # The very list that every answer reads, those under way included.
        self.server_state.default_headers.append((b"connection", b"close"))
        until = loop.time() + self._linger
        while self.server_state.connections and loop.time() < until and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # uvicorn has a set, not an event
        await super().shutdown(sockets)

    def _connected(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


class Wishes:
    """A worker's wishes for other settings: told to its supervisor, through the link, and answered in their order."""

    def __init__(self, link: Connection) -> None:
        """Ask through `link`, whose messages are heard by somebody else."""
        self._link = link
        self._waiting: deque[asyncio.Future[bytes]] = deque()

    async def reload(self, act: Act) -> Renewal:
        """See `renewal.Reload`."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        try:
            self._link.send_bytes(msgspec.json.encode(act))
        except OSError as exc:
            raise leaving() from exc  # the supervisor has gone, and so will this one
        self._waiting.append(answer)
        what, _, told = (await answer).partition(b" ")
        if what == RENEWED:
            return msgspec.json.decode(told, type=Renewal)
        if what == REFUSED:
            raise wrong(msgspec.json.decode(told, type=list[tuple[str, str]]))
        if what == UNSTARTED:
            raise unstartable(*map(int, told.split()))
        raise leaving() if what == LEAVING else under_way()

    def answered(self, said: bytes) -> None:
        """The supervisor has said what became of the first that waits."""
        first = self._waiting.popleft()
        if not first.done():
            first.set_result(said)

    def abandoned(self) -> None:
        """There is nobody any more who would answer."""
        while self._waiting:
            self.answered(LEAVING)


class WorkerServer(Server):
    """The server of one worker among several, which its supervisor alone may stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        linger: float,
        listening: socket.socket,
        link: Connection,
        *,
        wishes: Wishes,
        counts: Path,
        slot: int,
    ) -> None:
        """Say through `link` when it serves, hear what became of `wishes`, and stop when it ends."""
        super().__init__(config, linger)
        self._link, self._wishes, self._listening = link, wishes, listening
        self._acceptor = Acceptor(
            listening, self._connected, counts=counts, slot=slot, has=lambda: len(self.server_state.connections)
        )

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
            asyncio.get_running_loop().add_reader(self._link.fileno(), self._hear)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connection, then leave as any server."""
        self._acceptor.close()
        # The socket is closed here alone: those who stay have it open still, and take whoever waits there, by settings
        # that are newer perhaps. If nobody does, who connects is refused.
        self._listening.close()
        await super().shutdown()

    def _hear(self) -> None:
        try:
            said = self._link.recv_bytes()
        except (EOFError, OSError):
            # The supervisor is gone, and nobody would stop or replace this worker: it must not keep the port.
            asyncio.get_running_loop().remove_reader(self._link.fileno())
            self._wishes.abandoned()
            self.should_exit = True
            return
        if said.startswith(RENEWED):
            # Another is in this one's place: whoever hears of it, and connects, must not come here.
            self._acceptor.close()
        self._wishes.answered(said)


class Worker:
    """What a worker process does; travels there with its settings and its socket."""

    def __init__(self, settings: Settings, shared_dir: str, listening: socket.socket, act: Act | None = None) -> None:
        """Serve the application of `settings`; `act`: by what they came to be those."""
        self._act = act
        self.settings = settings
        self._shared_dir = shared_dir
        self._listening = listening

    def __call__(self, link: Connection, slot: int) -> None:
        """Serve until told to stop."""
        wishes = Wishes(link)
        config = _config(lambda: self._application(wishes), self.settings)
        counts = Path(self._shared_dir, COUNTS)
        linger = self.settings.server.shutdown_linger
        program = WorkerServer(config, linger, self._listening, link, wishes=wishes, counts=counts, slot=slot)
        program.run(sockets=[self._listening])
        if not program.started:
            sys.exit(1)

    def _application(self, wishes: Wishes) -> Application:
        logs.configure(self.settings.log)
        app = create_app(self.settings, shared_dir=self._shared_dir, reload=wishes.reload)
        if self._act is not None:
            app.parts.audit.remember(self._act)
        settle()
        return app


def serve_alone(settings: Settings, listening: socket.socket, reread: Callable[[], Reread]) -> bool:
    """Serve in this process until told to stop; a reload puts the application of `reread()` in place. Did it start?"""
    app = Reloading(settings, reread, grace=settings.server.shutdown_grace)
    program = Server(_config(lambda: app, settings), settings.server.shutdown_linger)
    app.stopped = lambda: program.handle_exit(signal.SIGTERM, None)
    program.run(sockets=[listening])
    return program.started


def beside(app: Application, settings: Settings) -> Server:
    """A server of the application's metrics and health, and of nothing else, for a process that has other work.

    It lives within the application's life, and heeds no signal: set `should_exit`.
    """
    config = _config(lambda: Shown(app), settings)
    config.lifespan = "off"
    return _Beside(config, settings.server.shutdown_linger)


class Shown:
    """An application of which callers see how it is."""

    def __init__(self, app: Application) -> None:
        """Show this one."""
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"] in _SHOWN:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            length = str(len(_NOTHING)).encode()
            headers = [(b"content-type", b"text/plain"), (b"content-length", length)]
            await send({"type": "http.response.start", "status": 404, "headers": headers})
            await send({"type": "http.response.body", "body": _NOTHING})


class _Beside(Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """They are somebody else's."""
        yield


def _waiting(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """Connections that nobody has accepted yet."""
    found: list[socket.socket] = []
    for listening in sockets:
        listening.setblocking(False)
        with suppress(OSError):  # nobody else waits
            while True:
                found.append(listening.accept()[0])
    for one in found:
        one.setblocking(False)
    return found


def _config(factory: Callable[[], Any], settings: Settings) -> uvicorn.Config:
    server = settings.server
    bounds = Bounds(server.max_header, server.head_timeout, server.body_timeout, server.write_timeout)
    return uvicorn.Config(
        factory,
        factory=True,
        host=server.host,
        port=server.port,
        loop="uvloop",
        http=bounded(bounds),
        ws=Followed,
        ws_max_size=_MESSAGE,
        log_config=None,
        access_log=False,
        server_header=False,
        # Nothing here reads a caller's address, and a forwarded one can be forged.
        proxy_headers=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(server.shutdown_grace)),
    )
