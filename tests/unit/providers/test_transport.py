"""The laws of the upstream client, against raw servers on loopback."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from providers import transport as module
from providers.errors import Cut, Fault, Garbled, Misconfigured, TimedOut, Unreachable
from providers.transport import Answer, Timeouts, Transport

PATIENT = Timeouts(connect=20, first_byte=20, idle=20, total=20)
SOON = 0.05
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
ABC = b"3\r\nabc\r\n"
SECRET = (("authorization", "Bearer SECRET"),)


class Upstream:
    """A raw HTTP/1.1 server: counts connections and requests, keeps what it was sent, and lets `answer` do the rest."""

    def __init__(self, answer: Callable[[Upstream], Awaitable[None]]) -> None:
        self.answer = answer
        self.port = 0
        self.url = ""
        self.connections = 0
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        #: The client closed a connection.
        self.closed = asyncio.Event()
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                _, found, length = head.lower().partition(b"content-length: ")
                self.bodies.append(await reader.readexactly(int(length.split(b"\r\n")[0]) if found else 0))
                self.heads.append(head)
                self.reader, self.writer = reader, writer
                self.asked.set()
                await self.answer(self)
        except (EOFError, OSError):
            self.closed.set()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def hang_up(self) -> None:
        await self.writer.drain()
        self.writer.close()
        raise EOFError

    async def wait_for_client_to_close(self) -> None:
        if not await self.reader.read(1):
            raise EOFError

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


@asynccontextmanager
async def upstream(answer: Callable[[Upstream], Awaitable[None]], tls: ssl.SSLContext | None = None):
    it = Upstream(answer)
    server = await asyncio.start_server(it.accept, "127.0.0.1", 0, ssl=tls)
    it.port = server.sockets[0].getsockname()[1]
    it.url = f"{'https' if tls else 'http'}://127.0.0.1:{it.port}/v1/chat?key=SECRET"
    try:
        yield it
    finally:
        server.close()
        await it.stop()


@asynccontextmanager
async def transport(**options: Any):
    it = Transport(**options)
    try:
        yield it
    finally:
        await it.close()


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def call(it: Transport, url: str, timeouts: Timeouts = PATIENT, *, body: bytes = b"{}", deadline: float | None = None):
    return it.open("POST", url, SECRET, body, timeouts, deadline=deadline)


async def read(it: Transport, url: str, timeouts: Timeouts = PATIENT, **options: Any) -> bytes:
    async with call(it, url, timeouts, **options) as answer:
        return await answer.read()


async def collect(answer: Answer, into: list[bytes]) -> None:
    async for chunk in answer.chunks():
        into.append(chunk)  # noqa: PERF401 - what came before the fault is the point


async def say_ok(it: Upstream) -> None:
    it.say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


async def say_nothing(it: Upstream) -> None:
    await it.wait_for_client_to_close()


async def say_one_chunk(it: Upstream) -> None:
    it.say(CHUNKED + ABC)
    await it.wait_for_client_to_close()


# ---------------------------------------------------------------------------------------------------------- the call


async def test_an_answer_is_its_status_headers_and_body() -> None:
    async def answer(it: Upstream) -> None:
        it.say(b"HTTP/1.1 418 Teapot\r\nX-Request-ID: Ab\r\nVia: a\r\nVIA: b\r\nContent-Length: 2\r\n\r\nok")

    async with upstream(answer) as up, transport() as it, call(it, up.url, body=b"question") as got:
        assert (got.status, await got.read()) == (418, b"ok")
        assert got.headers == {"x-request-id": "Ab", "via": "a, b", "content-length": "2"}
        head = up.heads[0].lower()
        assert head.startswith(b"post /v1/chat?key=secret http/1.1\r\n")
        assert b"accept-encoding: identity\r\n" in head
        assert b"content-type" not in head
        assert up.bodies == [b"question"]


async def test_a_stream_arrives_chunk_by_chunk() -> None:
    async def answer(it: Upstream) -> None:
        it.say(CHUNKED + ABC)
        await it.go_on.wait()
        it.say(b"2\r\nde\r\n0\r\n\r\n")

    async with upstream(answer) as up, transport() as it, call(it, up.url) as got:
        chunks = aiter(got.chunks())
        assert await anext(chunks) == b"abc"
        up.go_on.set()
        assert await anext(chunks) == b"de"
        assert await anext(chunks, None) is None


async def test_a_large_body_is_sent_whole() -> None:
    body = bytes(range(256)) * 8192
    async with upstream(say_ok) as up, transport() as it:
        assert await read(it, up.url, body=body) == b"ok"
        assert up.bodies == [body]


async def test_an_empty_answer_is_an_empty_body() -> None:
    async def answer(it: Upstream) -> None:
        it.say(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with upstream(answer) as up, transport() as it:
        assert await read(it, up.url) == b""
        async with call(it, up.url) as got:
            assert [chunk async for chunk in got.chunks()] == []


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with upstream(say_ok) as elsewhere:

        async def answer(it: Upstream) -> None:
            it.say(b"HTTP/1.1 307 Go\r\nlocation: %s\r\ncontent-length: 0\r\n\r\n" % elsewhere.url.encode())

        async with upstream(answer) as up, transport() as it, call(it, up.url) as got:
            assert (got.status, got.headers["location"]) == (307, elsewhere.url)
        assert elsewhere.connections == 0


async def test_a_cookie_is_neither_kept_nor_sent() -> None:
    async def answer(it: Upstream) -> None:
        it.say(b"HTTP/1.1 200 OK\r\nset-cookie: a=b; path=/\r\ncontent-length: 2\r\n\r\nok")

    async with upstream(answer) as up, transport() as it:
        assert [await read(it, up.url) for _ in range(2)] == [b"ok", b"ok"]
        assert b"cookie" not in up.heads[1].lower()


# ---------------------------------------------------------------------------------------------------------- the pool


async def test_a_connection_read_to_its_end_is_used_again() -> None:
    async with upstream(say_ok) as up, transport() as it:
        for _ in range(3):
            await read(it, up.url)
        assert (up.connections, len(up.heads)) == (1, 3)


async def test_an_answer_left_unread_costs_its_connection() -> None:
    async with upstream(say_one_chunk) as up, transport() as it:
        async with call(it, up.url) as got:
            assert got.status == 200
        await asyncio.wait_for(up.closed.wait(), 10)


@pytest.mark.parametrize("reset", [False, True])
async def test_a_stale_pooled_connection_is_replaced_once(reset: bool) -> None:
    async def answer(it: Upstream) -> None:
        if len(it.heads) == 2:
            if reset:
                it.writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            await it.hang_up()
        await say_ok(it)

    async with upstream(answer) as up, transport() as it:
        assert [await read(it, up.url, body=b"question") for _ in range(2)] == [b"ok", b"ok"]
        assert (up.connections, up.bodies) == (2, [b"question"] * 3)


async def test_a_pooled_connection_that_began_to_answer_is_not_stale() -> None:
    async def answer(it: Upstream) -> None:
        if len(it.heads) == 2:
            it.say(b"HTTP/1.1 200 OK\r\nx: ")
            await it.hang_up()
        await say_ok(it)

    async with upstream(answer) as up, transport() as it:
        await read(it, up.url)
        with pytest.raises(Unreachable):
            await read(it, up.url)
        assert len(up.heads) == 2


async def test_a_call_that_may_have_been_worked_on_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STALE_WITHIN", 0.0)

    async def answer(it: Upstream) -> None:
        if len(it.heads) == 2:
            await it.hang_up()
        await say_ok(it)

    async with upstream(answer) as up, transport() as it:
        await read(it, up.url)
        with pytest.raises(Unreachable):
            await read(it, up.url)
        assert len(up.heads) == 2


# -------------------------------------------------------------------------------------------------------- the clocks


async def test_a_handshake_that_never_ends_is_a_connect_timeout() -> None:
    async with upstream(say_ok) as up, transport() as it:
        with pytest.raises(TimedOut) as timed_out:
            # The server waits for the end of a request head, which no TLS greeting contains.
            await read(it, up.url.replace("http", "https"), Timeouts(connect=SOON))
    assert (timed_out.value.phase, timed_out.value.seconds) == ("connect", SOON)


async def test_waiting_for_a_free_connection_is_connecting() -> None:
    async with upstream(say_nothing) as up, transport(connections_per_endpoint=1) as it:
        holder = asyncio.create_task(read(it, up.url))
        await asyncio.wait_for(up.asked.wait(), 10)
        with pytest.raises(TimedOut) as timed_out:
            await read(it, up.url, Timeouts(connect=SOON))
        assert timed_out.value.phase == "connect"
        holder.cancel()
        await asyncio.gather(holder, return_exceptions=True)


async def test_silence_before_the_head_is_a_first_byte_timeout() -> None:
    async with upstream(say_nothing) as up, transport() as it:
        with pytest.raises(TimedOut) as timed_out:
            await read(it, up.url, Timeouts(first_byte=SOON))
        assert (timed_out.value.phase, timed_out.value.seconds) == ("first_byte", SOON)
        await asyncio.wait_for(up.closed.wait(), 10)


async def test_silence_after_the_head_is_still_a_first_byte_timeout() -> None:
    async def answer(it: Upstream) -> None:
        it.say(CHUNKED)
        await it.wait_for_client_to_close()

    async with upstream(answer) as up, transport() as it:
        with pytest.raises(TimedOut) as timed_out:
            await read(it, up.url, Timeouts(first_byte=SOON, idle=10))
        assert timed_out.value.phase == "first_byte"


@pytest.mark.parametrize("whole", [True, False])
async def test_silence_between_chunks_is_an_idle_timeout(whole: bool) -> None:
    got: list[bytes] = []
    async with upstream(say_one_chunk) as up, transport() as it:
        with pytest.raises(TimedOut) as timed_out:
            async with call(it, up.url, Timeouts(idle=SOON)) as answer:
                await (answer.read() if whole else collect(answer, got))
        assert (timed_out.value.phase, timed_out.value.seconds) == ("idle", SOON)
        assert got == ([] if whole else [b"abc"])
        await asyncio.wait_for(up.closed.wait(), 10)


async def trickle(it: Upstream) -> None:
    it.say(CHUNKED)
    while not it.writer.is_closing():
        it.say(ABC)
        await it.writer.drain()
        await asyncio.sleep(0.005)
    raise EOFError


async def test_a_stream_that_never_ends_meets_the_total_timeout() -> None:
    async with upstream(trickle) as up, transport() as it:
        with pytest.raises(TimedOut) as timed_out:
            await read(it, up.url, Timeouts(total=0.2))
        assert (timed_out.value.phase, timed_out.value.seconds) == ("total", 0.2)
        await asyncio.wait_for(up.closed.wait(), 10)


async def test_the_earlier_of_deadline_and_total_wins() -> None:
    async with upstream(say_nothing) as up, transport() as it:
        with pytest.raises(TimedOut) as timed_out:
            await read(it, up.url, deadline=asyncio.get_running_loop().time() + SOON)
        assert timed_out.value.phase == "total"
        assert 0 < timed_out.value.seconds < 2 * SOON
        with pytest.raises(TimedOut) as timed_out:
            await read(it, up.url, Timeouts(total=SOON), deadline=asyncio.get_running_loop().time() + 10)
        assert (timed_out.value.phase, timed_out.value.seconds) == ("total", SOON)


async def test_after_the_deadline_nothing_is_sent() -> None:
    async with upstream(say_ok) as up, transport() as it:
        with pytest.raises(TimedOut) as timed_out:
            await read(it, up.url, deadline=asyncio.get_running_loop().time() - 1)
        assert timed_out.value.phase == "total"
        assert up.connections == 0


async def test_the_clocks_do_not_run_for_the_callers_own_work() -> None:
    """A caller that is slow to take chunks is never interrupted, and finds what arrived."""

    async def answer(it: Upstream) -> None:
        it.say(CHUNKED + ABC)
        await it.go_on.wait()
        it.say(ABC + b"0\r\n\r\n")

    async with upstream(answer) as up, transport() as it, call(it, up.url, Timeouts(total=SOON)) as got:
        chunks = aiter(got.chunks())
        await anext(chunks)
        await asyncio.sleep(2 * SOON)
        with pytest.raises(TimedOut):
            await anext(chunks)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_timeout_of_nothing_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        Timeouts(idle=seconds)


# -------------------------------------------------------------------------------------------------------- the faults


def says_where_but_no_secret(fault: Fault, port: int) -> bool:
    return f"127.0.0.1:{port}" in fault.message and "SECRET" not in f"{fault} {fault!r}" and "key=" not in fault.message


async def test_a_refused_port_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        async with transport() as it:
            with pytest.raises(Unreachable) as fault:
                await it.open(
                    "GET", f"http://SECRET:SECRET@127.0.0.1:{port}/?key=SECRET", (), None, PATIENT, deadline=None
                ).__aenter__()
    assert says_where_but_no_secret(fault.value, port)


async def test_an_unknown_name_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with transport() as it:
        with pytest.raises(Unreachable, match=r"nowhere\.invalid:443 .*name could not be resolved"):
            await it.open("GET", "https://nowhere.invalid/", (), None, PATIENT, deadline=None).__aenter__()


@pytest.mark.parametrize("reset", [False, True])
async def test_a_break_before_the_head_is_unreachable_and_sent_once(reset: bool) -> None:
    async def answer(it: Upstream) -> None:
        if reset:
            it.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await it.hang_up()

    async with upstream(answer) as up, transport() as it:
        with pytest.raises(Unreachable) as fault:
            await read(it, up.url)
        assert says_where_but_no_secret(fault.value, up.port)
        assert (up.connections, len(up.heads)) == (1, 1)


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", CHUNKED + ABC, CHUNKED + b"9\r\nabc"]
)
async def test_a_body_that_breaks_off_is_unreachable_when_read_whole(start: bytes) -> None:
    async def answer(it: Upstream) -> None:
        it.say(start)
        await it.hang_up()

    async with upstream(answer) as up, transport() as it:
        with pytest.raises(Unreachable) as fault:
            await read(it, up.url)
        assert says_where_but_no_secret(fault.value, up.port)


async def test_a_stream_that_breaks_off_after_a_chunk_is_cut() -> None:
    async def answer(it: Upstream) -> None:
        it.say(CHUNKED + ABC)
        await it.go_on.wait()
        await it.hang_up()

    async with upstream(answer) as up, transport() as it, call(it, up.url) as got:
        chunks = aiter(got.chunks())
        assert await anext(chunks) == b"abc"
        up.go_on.set()
        with pytest.raises(Cut) as fault:
            await anext(chunks)
        assert says_where_but_no_secret(fault.value, up.port)


async def test_a_stream_that_breaks_off_before_its_first_chunk_is_unreachable() -> None:
    async def answer(it: Upstream) -> None:
        it.say(CHUNKED)
        await it.hang_up()

    got: list[bytes] = []
    async with upstream(answer) as up, transport() as it:
        with pytest.raises(Unreachable):
            async with call(it, up.url) as answer_:
                await collect(answer_, got)
        assert got == []


async def test_what_arrived_before_a_break_is_handed_on_first() -> None:
    async def answer(it: Upstream) -> None:
        it.say(CHUNKED + ABC + ABC)
        await it.hang_up()

    got: list[bytes] = []
    async with upstream(answer) as up, transport() as it, call(it, up.url) as answer_:
        await asyncio.wait_for(up.asked.wait(), 10)
        async with asyncio.timeout(10):
            while answer_._reply.error is None:  # noqa: ASYNC110 - the loop has no event for it
                await asyncio.sleep(0)
        with pytest.raises(Cut):
            await collect(answer_, got)
        assert b"".join(got) == b"abcabc"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_garbled(data: bytes) -> None:
    async def answer(it: Upstream) -> None:
        it.say(data)
        await it.wait_for_client_to_close()

    async with upstream(answer) as up, transport() as it:
        with pytest.raises(Garbled) as fault:
            await read(it, up.url)
        assert says_where_but_no_secret(fault.value, up.port)


@pytest.mark.parametrize(
    "data",
    [
        CHUNKED + b"xyz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 9\r\n\r\nnot gzip!",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 9\r\n\r\nnot brot!",
    ],
)
async def test_a_body_that_cannot_be_decoded_is_a_fault_of_the_provider(data: bytes) -> None:
    async def answer(it: Upstream) -> None:
        it.say(data)
        await it.wait_for_client_to_close()

    async with upstream(answer) as up, transport() as it:
        with pytest.raises((Unreachable, Garbled)) as fault:
            await read(it, up.url)
        assert says_where_but_no_secret(fault.value, up.port)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1:80", "http://127.0.0.1:99999/", "http:///x"])
async def test_a_malformed_url_is_the_operators(url: str) -> None:
    async with transport() as it:
        with pytest.raises(Misconfigured):
            await read(it, url)


async def test_a_header_that_would_smuggle_another_is_not_sent() -> None:
    async with upstream(say_ok) as up, transport() as it:
        with pytest.raises(Misconfigured) as fault:
            await it.open("POST", up.url, [("x-key", "SECRET\r\nx: y")], b"", PATIENT, deadline=None).__aenter__()
        assert says_where_but_no_secret(fault.value, up.port)
        assert up.heads == []


# -------------------------------------------------------------------------------------------------------- the bounds


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n", CHUNKED + b"b\r\n"])
async def test_a_body_beyond_its_bound_is_garbled(head: bytes) -> None:
    async def answer(it: Upstream) -> None:
        it.say(head + b"x" * 11)
        await it.wait_for_client_to_close()

    async with upstream(answer) as up, transport(max_body=10) as it:
        with pytest.raises(Garbled, match="larger than 10 bytes"):
            await read(it, up.url)
        await asyncio.wait_for(up.closed.wait(), 10)


async def test_a_body_of_exactly_its_bound_is_read() -> None:
    async with upstream(say_ok) as up, transport(max_body=2) as it:
        assert await read(it, up.url) == b"ok"


async def test_a_stream_beyond_its_bound_is_garbled() -> None:
    got: list[bytes] = []
    async with upstream(trickle) as up, transport(max_body=1, max_stream=10) as it:
        with pytest.raises(Garbled, match="larger than 10 bytes"):
            async with call(it, up.url) as answer:
                await collect(answer, got)
        assert 0 < len(b"".join(got)) <= 10
        await asyncio.wait_for(up.closed.wait(), 10)


def compressed(data: bytes) -> bytes:
    body = gzip.compress(data)
    return b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body


async def test_a_compressed_body_is_decoded_and_no_header_says_otherwise() -> None:
    async def answer(it: Upstream) -> None:
        it.say(compressed(b"hello"))

    async with upstream(answer) as up, transport() as it, call(it, up.url) as got:
        assert (await got.read(), got.headers) == (b"hello", {})


@pytest.mark.parametrize("whole", [True, False])
async def test_a_bomb_is_garbled_before_it_is_large(whole: bool) -> None:
    bomb = compressed(bytes(64 * 1024 * 1024))

    async def answer(it: Upstream) -> None:
        it.say(bomb)
        await it.wait_for_client_to_close()

    limit = 1024 * 1024
    async with upstream(answer) as up, transport(max_body=limit, max_stream=limit) as it:
        tracemalloc.start()
        try:
            with pytest.raises(Garbled, match="larger than"):
                async with call(it, up.url) as got:
                    await (got.read() if whole else collect(got, []))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 8 * limit


# ------------------------------------------------------------------------------------------------------ cancellation


#: Production runs on uvloop, which closes TLS connections in its own way.
LOOPS = pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
NewLoop = Callable[[], asyncio.AbstractEventLoop]


@LOOPS
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("answer", [say_nothing, say_one_chunk], ids=["before the head", "in mid-stream"])
def test_cancelling_closes_the_upstream_connection_at_once(
    answer: Callable[[Upstream], Awaitable[None]], encrypted: bool, new_loop: NewLoop, tls: ssl.SSLContext
) -> None:
    got = asyncio.Event()

    async def talk(it: Transport, url: str) -> None:
        async with call(it, url) as answer_:
            async for _ in answer_.chunks():
                got.set()

    async def scenario() -> None:
        async with upstream(answer, tls if encrypted else None) as up, transport(verify=False) as it:
            task = asyncio.create_task(talk(it, up.url))
            await asyncio.wait_for((up.asked if answer is say_nothing else got).wait(), 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(up.closed.wait(), 10)
            up.answer = say_ok
            assert await read(it, up.url) == b"ok"
            assert asyncio.all_tasks() <= {asyncio.current_task(), *up.tasks}

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


async def test_a_caller_that_leaves_closes_the_upstream_connection() -> None:
    async with upstream(trickle) as up, transport() as it:
        async with call(it, up.url) as answer:
            async for _ in answer.chunks():
                break
        await asyncio.wait_for(up.closed.wait(), 10)


async def test_closing_may_be_repeated_and_ends_what_is_open() -> None:
    it = Transport()
    await it.close()
    async with upstream(say_nothing) as up:
        it = Transport()
        task = asyncio.create_task(read(it, up.url))
        await asyncio.wait_for(up.asked.wait(), 10)
        await it.close()
        await it.close()
        with pytest.raises(Unreachable):
            await asyncio.wait_for(task, 10)
        with pytest.raises(RuntimeError, match="closed"):
            await read(it, up.url)


@pytest.mark.parametrize("waiting", [True, False])
async def test_closing_cuts_a_stream_in_use(waiting: bool) -> None:
    async with upstream(say_one_chunk) as up, transport() as it, call(it, up.url) as got:
        chunks = aiter(got.chunks())
        assert await anext(chunks) == b"abc"
        following = asyncio.ensure_future(anext(chunks)) if waiting else None
        await asyncio.sleep(0)
        await it.close()
        with pytest.raises(Cut):
            await (following or anext(chunks))


async def test_an_answer_that_had_arrived_survives_closing() -> None:
    async with upstream(say_ok) as up, transport() as it, call(it, up.url) as got:
        async with asyncio.timeout(10):
            while not got._reply.done:  # noqa: ASYNC110 - the loop has no event for it
                await asyncio.sleep(0)
        await it.close()
        assert await got.read() == b"ok"


def test_no_repr_shows_a_header() -> None:
    it = Transport()
    assert "SECRET" not in repr((it, call(it, "http://127.0.0.1/")))


# ----------------------------------------------------------------------------------------------------- proxies, trust


async def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream(say_ok) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{proxy.port}")
        async with transport() as it:
            for _ in range(2):
                assert await read(it, "http://provider.invalid/v1") == b"ok"
        head = proxy.heads[0].lower()
        assert head.startswith(b"post http://provider.invalid/v1 http/1.1\r\n")
        assert b"proxy-authorization: basic dxnlcjpwyxnz" in head


async def test_no_proxy_goes_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream(say_ok) as proxy, upstream(say_ok) as up:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
        async with transport() as it:
            assert await read(it, up.url) == b"ok"
        assert (proxy.connections, up.connections) == (0, 1)


async def test_the_environment_may_be_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream(say_ok) as proxy, upstream(say_ok) as up:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        async with transport(trust_env=False) as it:
            assert await read(it, up.url) == b"ok"
        assert proxy.connections == 0


async def test_a_proxy_that_refuses_is_unreachable_and_learns_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answer(it: Upstream) -> None:
        it.say(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")

    async with upstream(answer) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        async with transport() as it:
            with pytest.raises(Unreachable, match="proxy refused"):
                await read(it, "https://provider.invalid/v1")
        assert proxy.heads[0].startswith(b"CONNECT provider.invalid:443 HTTP/1.1\r\n")
        assert b"SECRET" not in b"".join(proxy.heads)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One PEM file with a self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + made.public_bytes(pem)
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_an_unknown_certificate_is_unreachable(tls: ssl.SSLContext) -> None:
    async with upstream(say_ok, tls) as up, transport() as it:
        with pytest.raises(Unreachable, match="certificate was not accepted"):
            await read(it, up.url)
        assert up.heads == []


@pytest.mark.parametrize("how", ["ca_file", "SSL_CERT_FILE", "unverified"])
async def test_a_private_authority_can_be_trusted(
    tls: ssl.SSLContext, certificate: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {}
    if how == "SSL_CERT_FILE":
        monkeypatch.setenv(how, str(certificate))
    else:
        options = {"ca_file": str(certificate)} if how == "ca_file" else {"verify": False}
    async with upstream(say_ok, tls) as up, transport(**options) as it:
        assert await read(it, up.url) == b"ok"
