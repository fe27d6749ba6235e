"""The upstream HTTP client: the only file that imports one. Timeouts, bounds, and foreign exceptions → faults.

Law: whatever ends a call (its caller, a clock, a bound) closes the upstream connection at once, and nothing of it
stays behind; every failure leaves here as one of `providers.errors`, naming host and port, never a header or a query.

Why aiohttp. `python -m bench.transport_compare`, 2026-11, one run, uvloop 0.23, Python 3.11, client and upstream on
one core each of a shared machine; JSON of 700 bytes, streams of 60 events:

                                       aiohttp 3.14.5               pyreqwest 0.15.1
                                       plain          TLS           plain           TLS
    JSON calls/s, 1 | 32 at a time     4,301 | 10,336 4,548 | 14,583 7,390 | 37,758 6,554 | 37,638
    p50 | p99 ms, 32 at a time         2.23 | 10.21   2.15 | 2.84    0.80 | 1.57    0.82 | 1.50
    CPU s per 1,000 JSON calls         0.081          0.068          0.026          0.026
    events/s, 1 | 32 streams           84,590|155,417 102,763|141,805 70,508|167,085 68,824|139,988
    200 cancelled in mid-stream        closed, 19 ms  closed, 29 ms  closed, 7 ms   closed, 11 ms
    200 cancelled before the head      closed, 15 ms  closed, 27 ms  all stay open  all stay open

What tipped it is cancellation, against the raw speed: a pyreqwest call cancelled before its response headers keeps
its upstream connection while the provider works on it, even after `close()`. Each hedge, caller that hung up and
first-byte timeout would go on being generated and billed. It also takes the connect timeout once per client, and
tells refused, reset and unknown host apart only in English. What this file adds to aiohttp is about 10 µs a call.

Roads not taken: aiohttp's `trust_env`, which visits a thread twice per call and adds credentials from `~/.netrc`: the
proxies are asked of `urllib` once instead (`egress`). Asking for gzip: for a few kB of JSON it costs more than it
saves, and it delays streams; a body that comes compressed all the same is decoded, in bounded steps, and the bounds
count decoded bytes.

Limits: HTTP/1.1. A body without length that ends with the connection cannot be told from a broken one: the dialects
know by their terminal event. Waiting for a free connection counts as connecting.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Struct

from providers.egress import Proxies, host_and_port, tls_context
from providers.errors import Cut, Fault, Garbled, Misconfigured, TimedOut, Unreachable

MiB = 1024 * 1024

#: aiohttp warns of larger `bytes` bodies; as a file it writes them in pieces and lets other calls in between.
_LARGE_BODY = 1 * MiB
#: A pooled connection the provider had closed already says so within a round trip, which takes less than this many
#: seconds. One that breaks later may have been worked on: sending the call again could bill it twice.
_STALE_WITHIN = 1.0
#: What the client raises. ValueError is how it rejects a malformed URL or header.
_FOREIGN = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)
#: Most specific first.
_UNREACHABLE: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "its name could not be resolved"),
    (aiohttp.ClientConnectorCertificateError, "its TLS certificate was not accepted"),
    (aiohttp.ClientSSLError, "the TLS handshake failed"),
    (aiohttp.ClientProxyConnectionError, "the proxy could not be reached"),
    (aiohttp.ClientHttpProxyError, "the proxy refused to connect to it"),
    (aiohttp.ClientConnectorError, "no connection could be made"),
    (aiohttp.ServerDisconnectedError, "it closed the connection before it answered"),
    (aiohttp.ClientPayloadError, "its answer broke off"),
    (aiohttp.ClientConnectionError, "the connection broke"),
    (OSError, "the connection broke"),
)

Headers = Sequence[tuple[str, str]] | Mapping[str, str]

#: Filled by the socket factory when the current call had to dial: an empty list means a pooled connection.
_DIALLED: ContextVar[list[bool]] = ContextVar("_DIALLED")


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
        """Refuse 0 and NaN, which the client would take for "no timeout"."""
        if not all(seconds > 0 for seconds in (self.connect, self.first_byte, self.idle, self.total)):
            raise ValueError("Every timeout must be above zero.")


class _Course(Struct):
    """What the faults of one call speak of."""

    url: str
    timeouts: Timeouts
    #: Seconds this call had: the earlier of `timeouts.total` and its caller's deadline.
    total: float
    #: The first byte of the body came.
    begun: bool = False
    #: A chunk was handed to the caller.
    passed_on: bool = False

    def fault(self, exc: Exception) -> Fault:
        """Translate what the client raised."""
        if isinstance(exc, aiohttp.ConnectionTimeoutError):
            return TimedOut("connect", self.timeouts.connect)
        if isinstance(exc, aiohttp.ServerTimeoutError):
            phase, seconds = ("idle", self.timeouts.idle) if self.begun else ("first_byte", self.timeouts.first_byte)
            return TimedOut(phase, seconds)
        if isinstance(exc, TimeoutError):
            return TimedOut("total", self.total)
        where = host_and_port(self.url)
        for foreign, sentence in _UNREACHABLE:
            if isinstance(exc, foreign):
                message = f"{where} is unreachable: {sentence}."
                return Cut(message) if self.passed_on else Unreachable(message)
        if isinstance(exc, ValueError | aiohttp.NonHttpUrlClientError):
            return Misconfigured(f"The URL or a header of the request to {where} is malformed.")
        return Cut(f"{where} broke off its answer.") if self.passed_on else Garbled(f"{where} did not answer in HTTP.")


class Answer:
    """An upstream answer whose body is still to be read, once: whole with `read`, or piece by piece with `chunks`."""

    def __init__(self, response: aiohttp.ClientResponse, course: _Course, max_body: int, max_stream: int) -> None:
        """Made by `Transport.open` only."""
        self.status = response.status
        #: Lower-case names; of a decoded body, without the two that described its encoded form.
        self.headers = _headers(response)
        self._response = response
        self._content = response.content
        self._course = course
        self._max_body = max_body
        self._max_stream = max_stream

    async def read(self) -> bytes:
        """The whole body. Raises `Unreachable` when it breaks off, `Garbled` when it is larger than `max_body`."""
        parts: list[bytes] = []
        size = 0
        oversized = (self._response.content_length or 0) > self._max_body
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
        try:
            if self._content.exception() is None:
                data = await self._content.readany()
            else:
                # What arrived before a break comes first: it may hold the terminal event. aiohttp would drop it.
                data = self._content._read_nowait(-1)  # pyright: ignore[reportPrivateUsage] # no public way
                data = data or await self._content.readany()
        except _FOREIGN as exc:
            raise self._course.fault(exc) from exc
        if not self._course.begun:
            self._course.begun = True
            self._count_idle()
        return data

    def _count_idle(self) -> None:
        connection = self._response.connection
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = self._course.timeouts.idle
            connection.protocol.start_timeout()


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
    ) -> None:
        """Open nothing yet: the client is made by the first call, inside its event loop.

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
        """
        self.max_body = max_body
        self.max_stream = max_stream
        self._connections = connections
        self._connections_per_endpoint = connections_per_endpoint
        self._keep_alive = keep_alive
        self._tls = tls_context(verify=verify, ca_file=ca_file)
        self.proxies = Proxies(trust_env=trust_env)
        self._headers = {"accept-encoding": "identity", "user-agent": user_agent}
        self._client: aiohttp.ClientSession | None = None
        self._closed = False
        #: Being read. aiohttp's own `close` would leave their readers waiting for their next timeout.
        self.in_use: set[aiohttp.ClientResponse] = set()

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
        return _Opening(self, method, url, headers, body, timeouts, deadline)

    async def close(self) -> None:
        """Close every connection, those in use too: their calls fail as `Unreachable` or `Cut`. May be repeated."""
        self._closed = True
        for response in tuple(self.in_use):
            if not response.closed:
                response.close()
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def client(self) -> aiohttp.ClientSession:
        """The one client, made at its first use."""
        if self._client is None:
            if self._closed:
                raise RuntimeError("This transport was closed.")
            self._client = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self._tls,
                    limit=self._connections,
                    limit_per_host=self._connections_per_endpoint,
                    keepalive_timeout=self._keep_alive,
                    # The system's own lookup, hosts file included, also where aiodns happens to be installed.
                    resolver=aiohttp.ThreadedResolver(),
                    ttl_dns_cache=30,
                    socket_factory=_dial,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                skip_auto_headers=("content-type",),
            )
        return self._client


@dataclass(eq=False, repr=False)  # a repr would show the headers, and with them the key
class _Opening(AbstractAsyncContextManager[Answer]):
    # A class, because contextlib's generators cost more than everything else this file does for a call.

    transport: Transport
    method: str
    url: str
    headers: Headers
    body: bytes | None
    timeouts: Timeouts
    deadline: float | None
    response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Answer:
        clock = asyncio.get_running_loop().time
        start = clock()
        total = self.timeouts.total
        if self.deadline is not None:
            total = min(total, self.deadline - start)
        course = _Course(self.url, self.timeouts, max(total, 0.0))
        try:
            try:
                response = await self._send(total)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as exc:
                passed = clock() - start
                if not self._was_stale(exc, passed):
                    raise
                response = await self._send(total - passed)
        except _FOREIGN as exc:
            raise course.fault(exc) from exc
        self.response = response
        self.transport.in_use.add(response)
        return Answer(response, course, self.transport.max_body, self.transport.max_stream)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.response is not None:
            self.transport.in_use.discard(self.response)
            if not self.response.closed:
                self.response.close()

    async def _send(self, total: float) -> aiohttp.ClientResponse:
        if total <= 0:
            raise TimeoutError
        _DIALLED.set([])
        body = self.body
        return await self.transport.client().request(
            self.method,
            self.url,
            headers=self.headers,
            data=body if body is None or len(body) <= _LARGE_BODY else BytesIO(body),
            allow_redirects=False,
            proxy=self.transport.proxies.of(self.url),
            # Without the threshold, clocks above 5 s would be rounded up to whole seconds.
            timeout=aiohttp.ClientTimeout(
                total, self.timeouts.connect, sock_read=self.timeouts.first_byte, ceil_threshold=inf
            ),
        )

    def _was_stale(self, exc: Exception, passed: float) -> bool:
        # aiohttp itself retries the idempotent methods. Its message is a parsed head when one had begun to arrive.
        answered = isinstance(exc, aiohttp.ServerDisconnectedError) and not isinstance(exc.message, str)
        return self.method == "POST" and not _DIALLED.get() and not answered and passed < _STALE_WITHIN


def _dial(address: tuple[Any, ...]) -> socket.socket:
    _DIALLED.get().append(True)
    family, kind, protocol = address[:3]
    return socket.socket(family, kind, protocol)


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in response.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    if headers.get("content-encoding", "identity") != "identity":
        del headers["content-encoding"]
        headers.pop("content-length", None)
    return headers
