"""Who has connected when a gateway closes its socket, and was not accepted yet."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Any

import uvicorn

from gateway.connected import Bounds, bounded
from gateway.server import Server
from tests.unit.gateway.wired import GET, whole


async def app(scope: Any, receive: Any, send: Any) -> None:
    await whole(b"served")(scope, receive, send)


async def test_a_request_that_has_come_to_the_socket_is_answered() -> None:
    config = uvicorn.Config(app, http=bounded(Bounds()), lifespan="off", log_config=None, timeout_graceful_shutdown=5)
    with socket.socket() as listening, socket.socket() as caller:
        listening.bind(("127.0.0.1", 0))
        server = Server(config, 5.0)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup([listening])
        # Nothing is awaited from here to the end of the socket: the loop does not see it come.
        caller.connect(listening.getsockname())
        caller.sendall(GET)
        await server.shutdown([listening])
        caller.settimeout(5)
        answer = b""
        with suppress(ConnectionResetError):
            while piece := await asyncio.to_thread(caller.recv, 4096):
                answer += piece
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer
    assert answer.endswith(b"served")
