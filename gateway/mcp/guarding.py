"""How an MCP server is reached over HTTP: at addresses that were judged, and for answers of bounded size.

Law: a server's URL is the operator's, but where its name leads is not: a name that comes to lead to an address that is
not public is refused, unless the operator has said that it may (`private`), or has written the address itself. What is
connected to is the address that was judged. Redirects lead nowhere else: each request comes by here.

An answer comes as it is: one that is compressed, which was not asked for, is refused, as a few kB of it may be
gigabytes. A stream may last for days, but no event of it may have no end.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from typing import cast

import httpx2

from providers.reach import Reach

#: Bytes of an answer, or of one event of a stream. What a tool says is read whole, and shown to a model.
_MOST = 32 * 1024 * 1024
_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")


class Guarded(httpx2.AsyncHTTPTransport):
    """Reaches what it may. A `proxy` looks names up itself, and is the one to guard them."""

    def __init__(self, reach: Reach, *, verify: ssl.SSLContext, proxy: str | None, most: int = _MOST) -> None:
        """Connect nowhere yet."""
        super().__init__(verify=verify, proxy=proxy, trust_env=False)
        self._reach = reach
        self._direct = proxy is None
        self._most = most

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it. Raises `httpx2.HTTPError`."""
        if self._direct:
            request = await self._judged(request)
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            raise httpx2.DecodingError("the answer is compressed, which was not asked for")
        events = response.headers.get("content-type", "").lower().startswith("text/event-stream")
        response.stream = _Bounded(cast("httpx2.AsyncByteStream", response.stream), self._most, events=events)
        return response

    async def _judged(self, request: httpx2.Request) -> httpx2.Request:
        host, port = request.url.host, request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise httpx2.ConnectError("its name could not be resolved") from exc
        allowed = [str(one[4][0]) for one in found if self._reach.may(host, str(one[4][0]))]
        if not allowed:
            raise httpx2.ConnectError("its address is not public; if it may be, say 'private': true in its settings")
        # The name stays in the Host header, which was written with the request, and in what TLS proves.
        return httpx2.Request(
            request.method,
            request.url.copy_with(host=allowed[0]),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, most: int, *, events: bool) -> None:
        self._stream = stream
        self._most = most
        self._events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._stream:
            size += len(piece)
            if self._events:
                # Of an event that ends in this piece nothing is left to be held.
                end = max(piece.rfind(one) for one in _ENDS)
                size = len(piece) - end if end >= 0 else size
            if size > self._most:
                raise httpx2.ReadError("the answer is larger than is read")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()
