"""An MCP server over HTTP: reached where it may be, and read as far as is good."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.mcp.guarding import Guarded
from gateway.settings.mcp import read_mcp
from providers.reach import EVERYWHERE, Reach

TLS = ssl.create_default_context()
HERE = Reach(hosts=["127.0.0.1"])


@asynccontextmanager
async def answering(*pieces: bytes) -> AsyncGenerator[int]:
    """A server that sends these bytes to whoever asks, the last of them for ever; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.writelines(pieces[:-1])
            while len(pieces) > 1:
                writer.write(pieces[-1])
                await writer.drain()
            writer.writelines(pieces[:1])
        except OSError:
            pass
        finally:
            writer.close()

    seen: list[bytes] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def read(port: int, reach: Reach = HERE, *, host: str = "127.0.0.1", most: int = 1000) -> bytes:
    transport = Guarded(reach, verify=TLS, proxy=None, most=most)
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
        return (await client.get(f"http://{host}:{port}/mcp")).content


def whole(body: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), b"connection: close", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


async def test_an_answer_of_bounded_size_is_read() -> None:
    async with answering(whole(b"x" * 1000)) as port:
        assert await read(port) == b"x" * 1000
    async with answering(EVENTS + b"data: x\n\n" * 1000) as port:
        assert len(await read(port)) == 9000


@pytest.mark.parametrize(
    "pieces",
    [
        [whole(b"x" * 1001)],
        [b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 100],
        [EVENTS, b"data: x" * 100],
        [EVENTS, b"data: x\n" * 100],
    ],
    ids=["large", "endless", "line-without-end", "event-without-end"],
)
async def test_one_without_bounds_is_not(pieces: list[bytes]) -> None:
    async with answering(*pieces) as port:
        with pytest.raises(httpx2.ReadError, match="larger"):
            await read(port)


async def test_one_that_is_compressed_is_not_unpacked() -> None:
    bomb = gzip.compress(b"x" * 10_000_000)
    async with answering(whole(bomb, b"content-encoding: gzip")) as port:
        with pytest.raises(httpx2.DecodingError):
            await read(port, most=100_000_000)


def leading_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Every name leads to one of these after the other."""
    left = list(addresses)
    loop = asyncio.get_running_loop()

    async def found(_host: str, port: int, **_: Any) -> list[Any]:
        return [(2, 1, 6, "", (left.pop(0), port))]

    monkeypatch.setattr(loop, "getaddrinfo", found)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "10.0.0.1"])
async def test_a_name_that_leads_inside_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    leading_to(monkeypatch, address)
    with pytest.raises(httpx2.ConnectError, match="private"):
        await read(80, Reach(hosts=["mcp.example.org"]), host="mcp.example.org")


async def test_what_is_connected_to_is_what_was_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    async with answering(whole(b"hello")) as port:
        # A second question would lead elsewhere; there is none left.
        leading_to(monkeypatch, "127.0.0.1")
        assert await read(port, Reach(EVERYWHERE), host="mcp.example.org") == b"hello"


def test_the_settings_say_who_may_be_inside(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{"mcpServers": {"a": {"url": "http://a/mcp", "private": true}, "b": {"url": "http://b/mcp"}}}')
    servers, problems = read_mcp(path, lambda _: None, [])
    assert (servers["a"].private, servers["b"].private, problems) == (True, False, [])
    path.write_text('{"mcpServers": {"a": {"command": "a", "private": true}}}')
    assert "belongs to a server with 'url'" in str(read_mcp(path, lambda _: None, [])[1])
