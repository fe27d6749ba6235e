"""Through a proxy to an encrypted provider: the proxy passes bytes on, and learns nothing but where they go."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import uvloop

from providers.errors import Unreachable
from providers.transport import Timeouts, Transport
from tests.unit.providers.test_transport import Upstream, certificate, no_proxies, tls, upstream

__all__ = ["certificate", "no_proxies", "tls"]  # fixtures

KEY = (("authorization", "Bearer SECRET"),)
LOOPS = pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])


class Proxy:
    """Answers CONNECT, and then passes bytes on both ways."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.passed = b""
        self.tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not `start_server`'s own task, which nobody could await at the end.
        self.tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        host, _, port = head.split()[1].decode().rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(self._pass_on(there, writer), self._pass_on(reader, back))
        finally:
            for end in (writer, back):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                self.passed += data
                writer.write(data)
        writer.close()

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def say_ok(provider: Upstream) -> None:
    assert b"authorization: Bearer SECRET" in provider.heads[-1]
    provider.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


@asynccontextmanager
async def world(encrypted: ssl.SSLContext) -> AsyncGenerator[tuple[Proxy, int, Upstream]]:
    """The proxy, its port, and an encrypted provider."""
    proxy = Proxy()
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    try:
        async with upstream(say_ok, encrypted) as provider:
            yield proxy, server.sockets[0].getsockname()[1], provider
    finally:
        server.close()
        await proxy.stop()


async def ask(transport: Transport, provider: Upstream) -> bytes:
    async with transport.open("POST", provider.url, KEY, b"{}", Timeouts(connect=20), deadline=None) as answer:
        return await answer.read()


@LOOPS
def test_a_tunnel_carries_calls_and_hides_them(
    tls: ssl.SSLContext,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def scenario() -> None:
        async with world(tls) as (proxy, port, provider):
            monkeypatch.setenv("https_proxy", f"http://user:pass@127.0.0.1:{port}")
            transport = Transport(ca_file=certificate)
            assert [await ask(transport, provider) for _ in range(3)] == [b"ok"] * 3
            await transport.close()
            (head,) = proxy.heads
            assert head.startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % provider.port)
            assert b"proxy-authorization: Basic dXNlcjpwYXNz" in head
            assert b"SECRET" not in head + proxy.passed

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


@LOOPS
def test_the_certificate_behind_a_tunnel_is_checked(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def scenario() -> None:
        async with world(tls) as (_, port, provider):
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{port}")
            transport = Transport()
            with pytest.raises(Unreachable, match="certificate was not accepted"):
                await ask(transport, provider)
            await transport.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())
