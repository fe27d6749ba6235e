"""The load generator against servers that stall, fail, cut and close; the upstream that fails on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any, cast

import pytest

from bench.arithmetic import arrivals
from bench.framing import Reading, post
from bench.load import Shot, Tally, run
from bench.orders import Order, Request
from bench.ticking import Ticker
from bench.upstream import TOGETHER, Answering, Manner, whole

WELL = whole("200 OK", b'{"ok":true}')
#: What a server does with a request, told how many came before it.
Does = Callable[[int, asyncio.StreamWriter], None]


@asynccontextmanager
async def serving(does: Does) -> AsyncGenerator[int]:
    """A server whose requests have the body `{}`."""
    count = 0
    talks: set[asyncio.Task[None]] = set()

    async def each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        talks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n{}")
                count += 1
                does(count - 1, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(each, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*talks)


def order(port: int, **how: Any) -> Order:
    how.setdefault("seconds", 0.2)
    return Order(port=port, requests=(Request(path="/", body="{}", ends="}"),), **how)


def answer(_: int, writer: asyncio.StreamWriter) -> None:
    writer.write(WELL)


async def test_an_open_loop_asks_whether_it_is_answered_or_not() -> None:
    """A server that answers nobody until all have asked: a closed loop would send one request and wait."""
    asked = order(0, rate=300, seconds=0.3)
    expected = len(list(arrivals(300, 0.3, asked.seed)))
    waiting: list[asyncio.StreamWriter] = []

    def stall(number: int, writer: asyncio.StreamWriter) -> None:
        waiting.append(writer)
        if number + 1 == expected:
            for one in waiting:
                one.write(WELL)

    async with serving(stall) as port:
        found = await run(order(port, rate=300, seconds=0.3))
    assert (found.requests, found.failed) == (expected, 0)


async def test_an_open_loop_sends_as_many_as_were_meant() -> None:
    async with serving(answer) as port:
        found = await run(order(port, rate=200, warm_up=0.1))
    times = list(arrivals(200, 0.3, 1))
    assert (found.answered, found.failed) == (len(times), 0)
    assert found.requests == sum(time >= 0.1 for time in times)


def test_a_latency_counts_from_the_intended_time() -> None:
    tally = Tally(counted_from=100.0, until=104.0)
    tally.well(Shot(b"", b"", 101.0, False), sent=101.5, first=101.7, end=102.0)
    tally.well(Shot(b"", b"", 99.0, False), sent=99.0, first=99.1, end=103.0)
    tally.well(Shot(b"", b"", 103.0, False), sent=103.0, first=103.5, end=104.5)
    found = tally.summary(wall=5.0)
    assert (tally.latencies, tally.firsts, tally.lates) == (
        [1.0, 1.5],
        [pytest.approx(0.7), 0.5],
        [0.5, 0.0],
    )
    # One was meant before the count began: its latency is no part of the figures. One was answered after it ended: it
    # is no part of the rate, which is of two answers in four seconds.
    assert (found.requests, found.answered, found.per_second) == (2, 3, 0.5)


async def test_a_closed_loop_has_so_many_callers_and_no_more() -> None:
    busy: set[asyncio.StreamWriter] = set()
    most = 0

    def slowly(_: int, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        busy.add(writer)
        most = max(most, len(busy))

        def done() -> None:
            busy.discard(writer)
            writer.write(WELL)

        asyncio.get_running_loop().call_later(0.01, done)

    async with serving(slowly) as port:
        found = await run(order(port, concurrency=3))
    assert most == 3
    assert found.requests > 3
    assert found.failed == 0


async def test_errors_are_told_apart_and_callers_go_on() -> None:
    def badly(number: int, writer: asyncio.StreamWriter) -> None:
        kind = number % 5
        if kind == 0:
            writer.write(whole("500 Internal Server Error", b"{}"))
        elif kind == 1:
            writer.write(whole("200 OK", b"half of i"))
        elif kind == 2:
            writer.write(WELL[:-3])
            writer.close()
        elif kind == 3:
            writer.close()
        else:
            writer.write(WELL)

    async with serving(badly) as port:
        found = await run(order(port, concurrency=1))
    assert set(found.errors) == {"status 500", "ended early", "cut", "no answer"}
    assert found.answered > 0


async def test_a_caller_comes_back_when_the_server_closes() -> None:
    closing = WELL.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    def once(_: int, writer: asyncio.StreamWriter) -> None:
        writer.write(closing)
        writer.close()

    async with serving(once) as port:
        found = await run(order(port, concurrency=2))
    assert found.answered > 2
    assert found.failed == 0


@pytest.mark.parametrize("how", [{"concurrency": 2}, {"rate": 100}])
async def test_who_hangs_up_is_no_error_and_no_answer(how: dict[str, float]) -> None:
    left = 0

    def begin(_: int, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        left += 1
        writer.write(WELL[:-3])

    async with serving(begin) as port:
        found = await run(order(port, hang_up=1.0, **how))
    assert found.hung_up == left > 2
    assert (found.answered, found.failed) == (0, 0)


async def test_a_ticker_wakes_for_what_is_past_and_for_what_comes() -> None:
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()
    ticker = Ticker(lambda: woken.set_result(None))
    ticker.at(0.0)
    await woken
    woken = loop.create_future()
    ticker.at(loop.time() + 0.01)
    await woken
    ticker.close()


# ------------------------------------------------------------------------------------------------------------ upstream


class Wire:
    """Stands in for a connection."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def talked(data: list[bytes], manner: Manner) -> Wire:
    wire = Wire()
    upstream = Answering(manner, Random(1))
    upstream.connection_made(cast("asyncio.Transport", wire))
    for piece in data:
        upstream.data_received(piece)
    return wire


def asking(answer: str, body: bytes = b"{}") -> bytes:
    return post(1, f"/{answer}/v1/whatever", len(body), {}) + body


def test_the_upstream_answers_by_the_path_wherever_requests_are_cut() -> None:
    data = asking("chat") + asking("stream", b"x" * 100_000) + asking("nothing", b"")
    for size in (1, 7, 1000, len(data)):
        wire = talked([data[at : at + size] for at in range(0, len(data), size)], Manner())
        assert wire.written[:2] == [TOGETHER["chat"], TOGETHER["stream"]]
        assert wire.written[2].startswith(b"HTTP/1.1 404")


def test_the_upstream_fails_and_cuts_as_it_is_told() -> None:
    assert talked([asking("chat")], Manner(fail=1.0)).written[0].startswith(b"HTTP/1.1 500")
    wire = talked([asking("stream")], Manner(cut=1.0))
    reading = Reading()
    reading.feed(wire.written[0])
    assert wire.closed
    assert (reading.begun, reading.over) == (True, False)


async def test_the_upstream_sends_events_one_by_one() -> None:
    wire = talked([asking("stream")], Manner(event=0.0001))
    assert len(wire.written) == 1
    while b"".join(wire.written) != TOGETHER["stream"]:  # noqa: ASYNC110 - a wire has no event to give
        await asyncio.sleep(0.001)
