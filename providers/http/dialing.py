"""How a connection is made: name lookup, Happy Eyeballs, a proxy's tunnel, TLS. Each failure says which of them it was.

Addresses are raced as in RFC 8305 (aiohappyeyeballs): where IPv6 leads nowhere, the first call must not wait for its
connect timeout.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar, cast
from urllib.parse import urlsplit

from aiohappyeyeballs import start_connection  # pyright: ignore[reportUnknownVariableType] - loosely annotated

from providers.http.names import Addresses, Names
from providers.http.target import Peer, credentials
from providers.reach import Reach

#: Seconds between two addresses that are tried (RFC 8305 recommends 250 ms).
_EYEBALLS_S = 0.25
#: Bytes of a proxy's answer to CONNECT.
_TUNNEL_HEAD = 16 * 1024
P = TypeVar("P", bound=asyncio.Protocol)


class DialError(Exception):
    """No connection; the message goes on from "… is unreachable: "."""


class AwayError(DialError):
    """An address that may not be reached, wherever its name led the time before."""


class Dialer:
    """Makes connections; `tls` is how those to https peers are encrypted and whom they trust."""

    def __init__(self, tls: ssl.SSLContext, reach: Reach | None = None) -> None:
        """Connect nowhere yet; and never to what is not within `reach`."""
        self._tls = tls
        self._reach = reach
        self._names = Names()

    async def dial(self, peer: Peer, made: Callable[[], P]) -> P:
        """Connect to `peer` a protocol that `made` makes. Raises `DialError`."""
        if peer.proxy is not None:
            return await self._through(peer, peer.proxy, made)
        sock = await self._connected(peer.host, peer.port, self._reach)
        return await self._spoken(sock, peer.host if peer.scheme == "https" else None, made)

    async def _through(self, peer: Peer, proxy: str, made: Callable[[], P]) -> P:
        parts = urlsplit(proxy)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise DialError("its proxy is not an HTTP one")
        encrypted = parts.scheme == "https"
        if self._reach is not None:
            await self._look_ahead(peer, self._reach)
        try:
            sock = await self._connected(parts.hostname, parts.port or (443 if encrypted else 80))
        except DialError as exc:
            raise DialError("the proxy could not be reached") from exc
        if peer.scheme == "http":
            return await self._spoken(sock, parts.hostname if encrypted else None, made)
        tunnel = await self._spoken(sock, parts.hostname if encrypted else None, _Tunnel)
        try:
            await tunnel.open(peer, credentials(parts))
            return await self._encrypted(tunnel, peer.host, made())
        except BaseException:
            tunnel.transport.abort()
            raise

    async def _look_ahead(self, peer: Peer, reach: Reach) -> None:
        """A proxy looks names up itself, and is the one to guard them; what is seen from here is refused here."""
        try:
            addresses = await self._names.addresses(peer.host, peer.port)
        except (OSError, UnicodeError):
            return  # only the proxy knows that name
        _within(reach, peer.host, addresses)

    async def _connected(self, host: str, port: int, reach: Reach | None = None) -> socket.socket:
        try:
            addresses = await self._names.addresses(host, port)
        except (OSError, UnicodeError) as exc:
            raise DialError("its name could not be resolved") from exc
        if reach is not None:
            addresses = _within(reach, host, addresses)
        try:
            sock = await start_connection(addresses, happy_eyeballs_delay=_EYEBALLS_S, interleave=1)
        except OSError as exc:
            raise DialError("no connection could be made") from exc
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _spoken(self, sock: socket.socket, name: str | None, made: Callable[[], P]) -> P:
        """The socket with a protocol; encrypted when the peer has a `name` to prove."""
        loop = asyncio.get_running_loop()
        try:
            _, protocol = await loop.create_connection(
                made, sock=sock, ssl=self._tls if name is not None else None, server_hostname=name
            )
        except BaseException as exc:
            sock.close()
            raise _told(exc) from exc
        return protocol

    async def _encrypted(self, tunnel: _Tunnel, name: str, protocol: P) -> P:
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(tunnel.transport, tunnel, self._tls, server_hostname=name)
        except BaseException as exc:
            raise _told(exc) from exc
        if transport is None:
            raise DialError("the TLS handshake failed")
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return protocol


def _within(reach: Reach, host: str, addresses: Addresses) -> Addresses:
    """Those that may be reached. Raises `AwayError` if there are none."""
    allowed = [one for one in addresses if reach.may(host, str(one[4][0]))]
    if not allowed:
        raise AwayError("its address is none of the public ones, nor of those that are allowed")
    return allowed


def _told(exc: BaseException) -> BaseException:
    """As a `DialError` what is one; a cancellation, a timeout and a defect as they are."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return DialError("its TLS certificate was not accepted")
    if isinstance(exc, ssl.SSLError):
        return DialError("the TLS handshake failed")
    if isinstance(exc, OSError) and not isinstance(exc, TimeoutError):
        return DialError("the connection broke")
    return exc


class _Tunnel(asyncio.Protocol):
    """Asks a proxy to pass on what follows."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._answer = b""
        self._head: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def open(self, peer: Peer, credentials_: str | None) -> None:
        """Raises `DialError` unless it will."""
        host = f"[{peer.host}]" if ":" in peer.host else peer.host
        lines = [f"CONNECT {host}:{peer.port} HTTP/1.1", f"host: {host}:{peer.port}"]
        if credentials_ is not None:
            lines.append(f"proxy-authorization: {credentials_}")
        self.transport.write("\r\n".join([*lines, "", ""]).encode())
        head = await self._head
        if not head.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2")):
            raise DialError("the proxy refused to connect to it")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if not self._head.done() and (b"\r\n\r\n" in self._answer or len(self._answer) > _TUNNEL_HEAD):
            self._head.set_result(self._answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._head.done():
            self._head.set_result(b"")
