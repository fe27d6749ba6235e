"""Which HTTP client should carry the gateway's upstream calls? Others beside ours, side by side in one run.

A fast upstream (a hand-written asyncio protocol, its own process and core) answers `/json` with about 700 bytes and
`/sse` with 60 events, one write each; `/endless` begins a stream and never ends it, `/silent` never answers. Each
candidate drives it from a process pinned to one other core, on uvloop, plain and over TLS, one call at a time and 32
at a time. And 200 streamed calls are cancelled in flight, in mid-stream and before the head of the answer: when does
the upstream see its connections closed, and does the client work afterwards?

Compare figures within one run only: on a shared machine they drift by a third. CPU per request drifts least.

    python -m bench.transport_compare            # all that are installed, under a minute
    python -m bench.transport_compare aiohttp    # some of them
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import uvloop

from bench.certificate import certificate_in

SECONDS = 1.5  # per figure: long enough for some thousand calls, short enough for the whole table in a minute
EVENTS = 60
CANCELLED = 200
PROMPT = json.dumps({"model": "m", "messages": [{"role": "user", "content": "word " * 100}]}).encode()
REPLY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 100}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 100, "total_tokens": 200},
    }
).encode()
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"w "}}]}\n\n'
)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
#: For the question how many connections are open, which is asked beside the candidate.
_UNVERIFIED = ssl.create_default_context()
_UNVERIFIED.check_hostname = False
_UNVERIFIED.verify_mode = ssl.CERT_NONE


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


# ---------------------------------------------------------------------------------------------------------- upstream


class Upstream(asyncio.Protocol):
    """One connection of the upstream. `open_now` is shared by all of them, and `/open` tells it."""

    def __init__(self, open_now: set[Upstream]) -> None:
        self._open_now = open_now
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._open_now.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_now.discard(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        _, found, length = head.lower().partition(b"content-length: ")
        size = int(length.split(b"\r\n", 1)[0]) if found else 0
        if len(rest) < size:
            return
        self._buffer = rest[size:]
        self._answer(head.split(b" ", 2)[1])

    def _answer(self, path: bytes) -> None:
        if path == b"/json":
            self._reply(REPLY)
        elif path == b"/open":
            self._reply(b"%d\n" % len(self._open_now))
        elif path == b"/sse":
            self._transport.write(STREAM_HEAD)
            self._event(EVENTS)
        elif path == b"/endless":
            self._transport.write(STREAM_HEAD + _framed(EVENT))

    def _reply(self, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        self._transport.write(head + body)

    def _event(self, left: int) -> None:
        if self._transport.is_closing():
            return
        if left == 0:
            self._transport.write(b"0\r\n\r\n")
            return
        self._transport.write(_framed(EVENT))
        asyncio.get_running_loop().call_soon(self._event, left - 1)


async def serve(certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    ports: list[int] = []
    for tls in (None, context):
        open_now: set[Upstream] = set()
        server = await loop.create_server(
            lambda shared=open_now: Upstream(shared), "127.0.0.1", 0, ssl=tls, backlog=512
        )
        ports.append(server.sockets[0].getsockname()[1])
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()


# -------------------------------------------------------------------------------------------------------- candidates


class Candidate:
    """What a call and a streamed call look like with one client."""

    async def call(self, url: str) -> bytes:
        raise NotImplementedError

    def stream(self, url: str) -> AsyncIterator[bytes]:
        raise NotImplementedError


class Aiohttp(Candidate):
    def __init__(self, session: Any) -> None:
        self._session = session

    async def call(self, url: str) -> bytes:
        async with self._session.post(url, data=PROMPT, allow_redirects=False) as response:
            return await response.read()

    async def stream(self, url: str) -> AsyncIterator[bytes]:
        async with self._session.post(url, data=PROMPT, allow_redirects=False) as response:
            async for chunk in response.content.iter_any():
                yield chunk


class Pyreqwest(Candidate):
    def __init__(self, client: Any) -> None:
        self._client = client

    async def call(self, url: str) -> bytes:
        response = await self._client.post(url).body_bytes(PROMPT).build().send()
        return bytes(await response.bytes())

    async def stream(self, url: str) -> AsyncIterator[bytes]:
        # Without the limit of 0, pyreqwest reads ahead up to 64 KiB of the body before it hands out the response.
        request = self._client.post(url).body_bytes(PROMPT).streamed_read_buffer_limit(0).build_streamed()
        async with request as response:
            while (chunk := await response.body_reader.read_chunk()) is not None:
                yield bytes(chunk)


class Gateway(Candidate):
    """`providers.transport`, with its timeouts, bounds and faults."""

    def __init__(self, transport: Any, timeouts: Any) -> None:
        self._transport = transport
        self._timeouts = timeouts

    def _open(self, url: str) -> Any:
        return self._transport.open("POST", url, (), PROMPT, self._timeouts, deadline=None)

    async def call(self, url: str) -> bytes:
        async with self._open(url) as answer:
            return await answer.read()

    async def stream(self, url: str) -> AsyncIterator[bytes]:
        async with self._open(url) as answer:
            async for chunk in answer.chunks():
                yield chunk


@asynccontextmanager
async def candidate(name: str, certificate: str) -> AsyncGenerator[Candidate]:
    """The client `name`, trusting the upstream's certificate. Imported by name: whichever is missing is reported."""
    pem = await asyncio.to_thread(Path(certificate).read_bytes)
    async with AsyncExitStack() as stack:
        if name == "aiohttp":
            aiohttp: Any = importlib.import_module("aiohttp")
            connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=certificate), limit=512)
            yield Aiohttp(await stack.enter_async_context(aiohttp.ClientSession(connector=connector)))
        elif name == "pyreqwest":
            builder: Any = importlib.import_module("pyreqwest.client").ClientBuilder()
            builder = builder.add_root_certificate_pem(pem).follow_redirects(False)
            yield Pyreqwest(await stack.enter_async_context(builder.build()))
        else:
            ours: Any = importlib.import_module("providers.transport")
            transport = ours.Transport(ca_file=certificate)
            stack.push_async_callback(transport.close)
            yield Gateway(transport, ours.Timeouts())


# --------------------------------------------------------------------------------------------------------- measuring


class Figure:
    """Latencies (s) and counts of one run."""

    def __init__(self, latencies: list[float], units: int, wall: float, cpu: float) -> None:
        ordered = sorted(latencies)
        self.rate = len(ordered) / wall
        self.unit_rate = units / wall
        self.p50 = ordered[len(ordered) // 2] * 1e3
        self.p99 = ordered[len(ordered) * 99 // 100] * 1e3
        self.cpu = cpu / len(ordered) * 1e3


async def measure(one: Callable[[], Awaitable[int]], concurrency: int) -> Figure:
    latencies: list[float] = []
    units = 0

    async def worker(until: float) -> None:
        nonlocal units
        while (start := time.perf_counter()) < until:
            seen = await one()
            units += seen
            latencies.append(time.perf_counter() - start)

    await asyncio.gather(*(worker(time.perf_counter() + 0.2) for _ in range(concurrency)))
    latencies.clear()
    units = 0
    start, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker(start + SECONDS) for _ in range(concurrency)))
    return Figure(latencies, units, time.perf_counter() - start, time.process_time() - cpu)


async def cancellation(client: Candidate, origin: str, path: str) -> str:
    """Cancel `CANCELLED` calls in flight and ask the upstream, on its own connection, what it still sees."""
    host, port = origin.rpartition("/")[2].split(":")
    reader, writer = await asyncio.open_connection(
        host, int(port), ssl=_UNVERIFIED if origin.startswith("https") else None
    )

    async def others_open() -> int:
        writer.write(b"GET /open HTTP/1.1\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        return int(await reader.readline()) - 1

    async def others_reach(wanted: Callable[[int], bool], seconds: float) -> int:
        until = time.perf_counter() + seconds
        while not wanted(seen := await others_open()) and time.perf_counter() < until:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.002)
        return seen

    async def hold() -> None:
        async for _ in client.stream(origin + path):
            pass

    tasks = [asyncio.create_task(hold()) for _ in range(CANCELLED)]
    opened = await others_reach(lambda seen: seen >= CANCELLED, 5)
    await asyncio.sleep(0.1)
    start = time.perf_counter()
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    cancelled = sum(isinstance(end, asyncio.CancelledError) for end in ended)
    left = await others_reach(lambda seen: seen == 0, 2)
    took = (
        f"all closed within {(time.perf_counter() - start) * 1e3:.0f} ms"
        if not left
        else f"{left} still open after 2 s"
    )
    usable = "usable" if await client.call(origin + "/json") == REPLY else "NOT USABLE"
    writer.close()
    return f"{cancelled} of {opened} cancelled, {took}, then {usable}"


async def drive(name: str, certificate: str, ports: list[int]) -> None:
    for scheme, port in zip(("http", "https"), ports, strict=True):
        origin = f"{scheme}://127.0.0.1:{port}"
        for when, path in (("in mid-stream", "/endless"), ("before the head", "/silent")):
            async with candidate(name, certificate) as client:
                print(f"{name:10} {scheme:5} {when:15}: {await cancellation(client, origin, path)}", flush=True)
        async with candidate(name, certificate) as client:
            for path in ("/json", "/sse"):
                await rates(f"{name:10} {scheme:5} {path[1:]:4}", client, origin + path)


async def rates(label: str, client: Candidate, url: str) -> None:
    async def call() -> int:
        return len(await client.call(url))

    async def stream() -> int:
        return sum([chunk.count(b"\n\n") async for chunk in client.stream(url)])

    streamed = url.endswith("/sse")
    for concurrency in (1, 32):
        f = await measure(stream if streamed else call, concurrency)
        events = f"{f.unit_rate:9,.0f}" if streamed else f"{'':9}"
        print(f"{label} c={concurrency:<2} {f.rate:8,.0f} {f.p50:7.2f} {f.p99:7.2f} {events} {f.cpu:8.3f}", flush=True)


# -------------------------------------------------------------------------------------------------------------- main


def pin(core: int) -> None:
    """One core each for client and upstream, so that a client's helper threads are not a second core for free."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})


def version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--upstream"]:
        pin(0)
        uvloop.run(serve(arguments[1], arguments[2]))
    elif arguments[:1] == ["--drive"]:
        pin(1)
        uvloop.run(drive(arguments[1], arguments[2], json.loads(arguments[3])))
    else:
        compare(arguments or ["aiohttp", "pyreqwest", "gateway"])


def compare(names: list[str]) -> None:
    me = [sys.executable, "-m", "bench.transport_compare"]
    print(f"uvloop {version('uvloop')}, Python {sys.version.split()[0]}, {ssl.OPENSSL_VERSION}")
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = certificate_in(Path(folder))
        upstream = subprocess.Popen([*me, "--upstream", certificate, key], stdout=subprocess.PIPE, text=True)
        try:
            assert upstream.stdout is not None
            ports = upstream.stdout.readline().strip()
            print(f"{'client':10} {'':5} {'what':4} {'':4} {'calls/s':>8} {'p50 ms':>7} {'p99 ms':>7} ", end="")
            print(f"{'events/s':>9} {'CPU ms':>8}", flush=True)
            for name in names:
                if name != "gateway":
                    found = version(name)
                    print(f"-- {name} {found or 'is not installed: skipped'}", flush=True)
                    if found is None:
                        continue
                subprocess.run([*me, "--drive", name, certificate, ports], check=False)
        finally:
            upstream.terminate()
            upstream.wait()


if __name__ == "__main__":
    main(sys.argv[1:])
