"""One HTTP exchange over ASGI, with what a real provider can do to it: wait, hang, cut.

Law: a caller that hangs up is seen while we wait (never while we merely write) and raises `HungUp`; a wait of zero
costs nothing, not even a turn of the event loop. Cutting closes the socket through the ASGI extension
`simulator.close`, which `server.py` provides; under another server the response simply stays incomplete, which that
server must then treat as a broken connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from providers.simulator.wire import Headers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Sleep = Callable[[float], Awaitable[None]]
EXTENSION = "simulator.close"


class HungUp(Exception):
    """The caller closed the connection before it had its answer."""


class Line:
    """The connection of one request."""

    __slots__ = ("_receive", "_scope", "_send", "_sleep", "_watch")

    def __init__(self, scope: Scope, receive: Receive, send: Send, sleep: Sleep) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._sleep = sleep
        self._watch: asyncio.Task[None] | None = None

    async def body(self) -> bytes:
        """The whole request body; to be called once, before anything else."""
        message = await self._receive()
        if not message.get("more_body", False) and message["type"] == "http.request":
            return message.get("body", b"")
        parts: list[bytes] = []
        while True:
            if message["type"] == "http.disconnect":
                raise HungUp
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                return b"".join(parts)
            message = await self._receive()

    async def wait(self, seconds: float) -> None:
        """Let time pass, unless the caller hangs up first."""
        if seconds <= 0:
            return
        watch = self._watched()
        nap = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait((nap, watch), return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()
        if watch.done():
            raise HungUp

    async def hang(self) -> None:
        """Never answer: wait until the caller gives up."""
        await self._watched()
        raise HungUp

    async def start(self, status: int, headers: Headers) -> None:
        """Send the status and headers."""
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, more: bool) -> None:
        """Send a part of the body; the last has `more` false."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def cut(self) -> None:
        """Close the connection under an unfinished answer, after delivering what was written."""
        if closing := self._scope.get("extensions", {}).get(EXTENSION):
            closing()
            await self._watched()

    def close(self) -> None:
        """Stop watching the caller."""
        if self._watch is not None:
            self._watch.cancel()

    def _watched(self) -> asyncio.Task[None]:
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._until_gone())
        return self._watch

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
