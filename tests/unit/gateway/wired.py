"""A caller's connection without a socket: bytes in by hand, what is written kept. On paused time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from gateway.connected import Connected
from tests.unit.gateway.paused_time import run

App = Callable[[Any, Any, Any], Awaitable[None]]
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
KEEP_ALIVE = 75


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed_at: float | None = None
        self.aborted = self.ended = False
        #: Bytes that the caller has not taken yet.
        self.unread = 0

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        if self.closed_at is None:
            self.closed_at = asyncio.get_running_loop().time()

    def is_closing(self) -> bool:
        return self.closed_at is not None

    def abort(self) -> None:
        self.close()
        self.aborted = True

    def write_eof(self) -> None:
        self.ended = True

    def get_write_buffer_size(self) -> int:
        return self.unread

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default


def connected(app: App) -> tuple[Connected, Wire, ServerState]:
    config = uvicorn.Config(
        cast("Any", app), http=Connected, ws="none", log_config=None, lifespan="off", timeout_keep_alive=KEEP_ALIVE
    )
    state, wire = ServerState(), Wire()
    protocol = Connected(config, state, {})
    protocol.connection_made(cast("asyncio.Transport", wire))
    return protocol, wire, state


def answering(
    *messages: dict[str, Any], status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = (), pause: float = 0.0
) -> App:
    """An application that sends a head and these messages of a body."""

    async def app(_scope: object, _receive: object, send: Any) -> None:
        await asyncio.sleep(pause)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for message in messages:
            await send({"type": "http.response.body", **message})

    return app


def whole(body: bytes, **more: Any) -> App:
    return answering({"body": body}, headers=((b"content-length", b"%d" % len(body)),), **more)


def written(app: App, *requests: bytes, seconds: float = 1.0) -> Wire:
    """What is written until so many seconds after the last request."""
    seen: list[Wire] = []

    async def work() -> None:
        protocol, wire, _ = connected(app)
        seen.append(wire)
        for request in requests:
            protocol.data_received(request)
        await asyncio.sleep(seconds)

    run(work())
    return seen[0]
