"""An answer is the same however its bytes arrive; and whatever arrives, no call is left without an end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from providers.http.connection import Connection, Reply

FUZZED = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
names = st.text("abcdefgxyz-", min_size=1, max_size=12).map(lambda name: f"x{name}")
values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30)
bodies = st.binary(max_size=3000)


class Wire(asyncio.Transport):
    """A transport that goes nowhere: notes what is written and whether it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.open = self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.open = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Talk:
    """A connection that is fed by hand."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.free: list[Connection] = []
        self.ended: list[Connection] = []
        self.connection = Connection(self.ended.append, self.free.append)
        self.connection.connection_made(self.wire)

    def ask(self) -> Reply:
        return self.connection.ask(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", b"")

    def feed(self, data: bytes, cuts: Sequence[int] = ()) -> None:
        """Bytes in pieces, as long as somebody listens; who is paused takes what there is first."""
        places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
        for start, end in pairwise(places):
            if self.wire.open:
                self.connection.data_received(data[start:end])


def body_of(reply: Reply) -> bytes:
    return b"".join(reply.parts)


def framed(body: bytes, sizes: Sequence[int]) -> bytes:
    """In chunks of these sizes, the last takes the rest."""
    parts: list[bytes] = []
    for size in sizes:
        if body:
            parts.append(body[:size])
            body = body[size:]
    parts += [body] if body else []
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def head(status: int, headers: Sequence[tuple[str, str]], *more: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers), *more]
    return "\r\n".join([*lines, "", ""]).encode()


async def both(first: bytes, second: bytes, cuts: Sequence[int]) -> tuple[Reply, Reply, Talk]:
    talk = Talk()
    one = talk.ask()
    talk.feed(first, cuts)
    assert one.done
    assert talk.free == [talk.connection]
    two = talk.ask()
    talk.feed(second, cuts)
    return one, two, talk


@FUZZED
@given(
    status=st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    headers=st.lists(st.tuples(names, values), max_size=8),
    body=bodies,
    sizes=st.lists(st.integers(1, 900), max_size=6),
    cuts=st.lists(st.integers(0, 10_000), max_size=25),
    chunked=st.booleans(),
    interim=st.booleans(),
)
def test_an_answer_is_the_same_however_it_is_cut(
    status: int,
    headers: list[tuple[str, str]],
    body: bytes,
    sizes: list[int],
    cuts: list[int],
    *,
    chunked: bool,
    interim: bool,
) -> None:
    async def scenario() -> None:
        if chunked:
            data = head(status, headers, "transfer-encoding: chunked") + framed(body, sizes)
        else:
            data = head(status, headers, f"content-length: {len(body)}") + body
        if interim:
            data = b"HTTP/1.1 100 Continue\r\nx-interim: 1\r\n\r\n" + data
        for reply in (await both(data, data, cuts))[:2]:
            assert (reply.status, body_of(reply), reply.done, reply.error) == (status, body, True, None)
            told = [(name.decode(), value.decode().strip()) for name, value in reply.headers]
            assert told[: len(headers)] == [(name, value.strip()) for name, value in headers]

    asyncio.run(scenario())


@FUZZED
@given(body=bodies, cuts=st.lists(st.integers(0, 10_000), max_size=20), whole=st.booleans())
def test_a_body_without_length_ends_with_its_connection(body: bytes, cuts: list[int], *, whole: bool) -> None:
    async def scenario() -> None:
        talk = Talk()
        reply = talk.ask()
        talk.feed(head(200, []) + body, cuts)
        assert not reply.done
        talk.connection.connection_lost(None if whole else ConnectionResetError())
        assert body_of(reply) == body
        assert (reply.done, reply.error is None) == (whole, whole)
        assert talk.free == []

    asyncio.run(scenario())


@FUZZED
@given(
    data=st.one_of(
        st.binary(max_size=400),
        st.binary(max_size=200).map(lambda junk: head(200, [], "content-length: 3") + junk),
        st.binary(max_size=200).map(lambda junk: head(200, [], "transfer-encoding: chunked") + junk),
        st.tuples(st.sampled_from([b"HTTP/1.1 200", b"HTTP/1.1 101 x\r\nupgrade: y", b"HTTP/2"]), st.binary()).map(
            b"".join
        ),
    ),
    cuts=st.lists(st.integers(0, 1000), max_size=10),
)
def test_whatever_arrives_ends_the_call_and_taints_no_other(data: bytes, cuts: list[int]) -> None:
    async def scenario() -> None:
        talk = Talk()
        reply = talk.ask()
        talk.feed(data, cuts)
        kept = bool(talk.free)
        assert kept == (reply.done and talk.wire.open)
        if not talk.wire.open:
            assert reply.done or reply.error is not None
        talk.connection.connection_lost(None)
        assert reply.done or reply.error is not None
        assert talk.ended == [talk.connection]
        assert not await asyncio.wait_for(waiting(talk.connection), 10)

    asyncio.run(scenario())


async def waiting(connection: Connection) -> bool:
    """A connection that is over lets nobody wait for more than their time."""
    return await connection.wait(asyncio.get_running_loop().time() + 0.001)


@FUZZED
@given(extra=st.binary(min_size=1, max_size=60).filter(lambda extra: extra.strip(b"\r\n")), later=st.booleans())
def test_bytes_that_nobody_asked_for_cost_the_connection(extra: bytes, *, later: bool) -> None:
    async def scenario() -> None:
        talk = Talk()
        reply = talk.ask()
        answer = head(200, [], "content-length: 2") + b"ok"
        if later:
            talk.feed(answer)
            talk.feed(extra)
        else:
            talk.feed(answer + extra)
        assert (reply.done, body_of(reply)) == (True, b"ok")
        assert not talk.wire.open

    asyncio.run(scenario())


async def test_a_reader_who_is_slow_makes_the_peer_wait() -> None:
    talk = Talk()
    reply = talk.ask()
    talk.feed(head(200, [], "transfer-encoding: chunked"))
    piece = framed(bytes(100_000), [])[: -len(b"0\r\n\r\n")]
    fed = 0
    while talk.wire.reading:
        talk.feed(piece)
        fed += 1
    assert 2 <= fed <= 4
    while not talk.wire.reading:
        talk.connection.take(reply)
    assert reply.unread < 100_000
    talk.feed(b"0\r\n\r\n")
    assert talk.free == [talk.connection]


async def test_the_last_piece_lets_a_paused_connection_go_on() -> None:
    talk = Talk()
    reply = talk.ask()
    talk.feed(head(200, [], "content-length: 300000") + bytes(300_000))
    assert reply.done
    assert talk.wire.reading
    assert talk.free == [talk.connection]


async def test_an_answer_before_its_question_was_sent_whole_ends_the_connection() -> None:
    talk = Talk()
    reply = talk.connection.ask(b"POST / HTTP/1.1\r\n\r\n", bytes(3 * 1024 * 1024))
    talk.connection.pause_writing()
    sending = asyncio.create_task(talk.connection.send_rest(reply, bytes(3 * 1024 * 1024), loop_time() + 10))
    await asyncio.sleep(0)
    talk.feed(head(413, [], "content-length: 0"))
    assert await sending
    assert (reply.status, reply.done, talk.wire.open, talk.free) == (413, True, False, [])


def loop_time() -> float:
    return asyncio.get_running_loop().time()


async def test_one_timer_serves_many_waits() -> None:
    """Waits that end in time leave it armed; an earlier end moves it."""
    talk = Talk()
    made: list[Any] = []
    loop = asyncio.get_running_loop()
    call_at = loop.call_at

    def counted(*args: Any, **options: Any) -> asyncio.TimerHandle:
        made.append(args)
        return call_at(*args, **options)

    loop.call_at = counted  # pyright: ignore[reportAttributeAccessIssue] - counts
    for _ in range(20):
        reply = talk.ask()
        wait = asyncio.create_task(talk.connection.wait(loop_time() + 60))
        await asyncio.sleep(0)
        talk.feed(head(200, [], "content-length: 0"))
        assert await wait
        assert reply.done
    assert len(made) == 1
    talk.ask()
    assert not await asyncio.wait_for(talk.connection.wait(loop_time() + 0.01), 10)
    assert len(made) <= 3


async def test_whoever_resumes_late_leaves_the_next_waiter_alone() -> None:
    """The answer's end frees the connection before its reader has resumed."""
    talk = Talk()
    talk.ask()
    first = asyncio.create_task(talk.connection.wait(loop_time() + 10))
    await asyncio.sleep(0)
    talk.feed(head(200, [], "content-length: 0"))
    talk.ask()
    second = talk.connection.wait(loop_time() + 10)
    step = asyncio.ensure_future(second)
    assert await first
    await asyncio.sleep(0)
    talk.feed(head(200, [], "content-length: 0"))
    assert await asyncio.wait_for(step, 10)
