"""A caller's connection: what goes out on it, in how many writes, and when it is closed. On paused time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.unit.gateway.paused_time import run
from tests.unit.gateway.wired import GET, KEEP_ALIVE, answering, connected, whole, written


def test_a_whole_answer_is_one_write() -> None:
    app = answering({"body": b"hello"}, headers=((b"x-a", b"1"), (b"content-length", b"5")))
    assert written(app, GET).writes == [b"HTTP/1.1 200 OK\r\nx-a: 1\r\ncontent-length: 5\r\n\r\nhello"]


def test_the_head_of_a_stream_goes_out_with_its_first_piece() -> None:
    pieces = [{"body": b"one", "more_body": True}, {"body": b"two", "more_body": True}, {"body": b""}]
    assert written(answering(*pieces), GET).writes == [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n",
        b"3\r\ntwo\r\n",
        b"0\r\n\r\n",
    ]


def test_an_encoding_that_the_application_names_is_not_named_twice() -> None:
    app = answering({"body": b"a"}, headers=((b"transfer-encoding", b"chunked"),))
    assert written(app, GET).writes == [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ]


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_none(status: int) -> None:
    (data,) = written(answering({"body": b""}, status=status), GET).writes
    assert data.split(b"\r\n", 1)[1] == b"\r\n"


def test_an_answer_to_head_is_its_head() -> None:
    (data,) = written(whole(b"hello"), b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").writes
    assert data == b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    (data,) = written(answering({"body": b"hello"}), b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").writes
    assert data == b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    "header",
    [
        (b"x-a", b"1\r\nset-cookie: a=b"),
        (b"x-a", b"1\n"),
        (b"x-a", b"1\r"),
        (b"x-a", b"\0"),
        (b"x-a\r\nx-b", b"1"),
        (b"x a", b"1"),
        (b"x:a", b"1"),
        (b"", b"1"),
    ],
)
def test_a_header_that_would_break_the_answer_is_a_defect_and_never_sent(header: tuple[bytes, bytes]) -> None:
    wire = written(answering({"body": b"hello"}, headers=(header,)), GET)
    data = b"".join(wire.writes)
    assert data.startswith(b"HTTP/1.1 500 ")
    assert b"x-a" not in data
    assert b"hello" not in data
    assert wire.closed_at is not None


@pytest.mark.parametrize("announced", [b"4", b"6"])
def test_a_body_of_another_length_than_announced_closes_the_connection(announced: bytes) -> None:
    wire = written(answering({"body": b"hello"}, headers=((b"content-length", announced),)), GET)
    assert wire.closed_at is not None
    assert b"hello" not in b"".join(wire.writes)


def test_a_message_out_of_turn_is_a_defect() -> None:
    async def app(_scope: object, _receive: object, send: Any) -> None:
        await send({"type": "http.response.body", "body": b"hello"})

    assert written(app, GET).writes[0].startswith(b"HTTP/1.1 500 ")


def test_a_caller_who_wants_it_closed_is_told_so() -> None:
    wire = written(whole(b"a"), b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert b"\r\nconnection: close\r\n" in wire.writes[0]
    assert wire.closed_at is not None


def test_every_answer_of_a_server_that_stops_closes_its_connection() -> None:
    async def work() -> None:
        protocol, wire, state = connected(whole(b"a"))
        protocol.data_received(GET)
        await asyncio.sleep(1)
        assert wire.closed_at is None
        state.default_headers.append((b"connection", b"close"))
        protocol.data_received(GET)
        await asyncio.sleep(1)
        assert wire.writes[1].count(b"connection: close") == 1
        assert wire.closed_at is not None

    run(work())


def test_requests_that_come_together_are_answered_in_turn() -> None:
    numbers = iter(range(10))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await whole(b"%d" % next(numbers), pause=0.1)(scope, receive, send)

    wire = written(app, GET * 3)
    assert [data[-1:] for data in wire.writes] == [b"0", b"1", b"2"]
    assert wire.closed_at is None


@pytest.mark.parametrize(
    ("target", "path", "raw_path", "query"),
    [
        (b"/v1/models", "/v1/models", b"/v1/models", b""),
        (b"/a?b=c&d=%20", "/a", b"/a", b"b=c&d=%20"),
        (b"/a%20b/%C3%A9?x", "/a b/\u00e9", b"/a%20b/%C3%A9", b"x"),
        (b"/a?b#c", "/a", b"/a", b"b"),
        (b"//a/b", "//a/b", b"//a/b", b""),
        (b"http://host:80/a?b", "/a", b"/a", b"b"),
    ],
)
def test_an_address_is_taken_apart(target: bytes, path: str, raw_path: bytes, query: bytes) -> None:
    scopes: list[Any] = []

    async def app(scope: Any, _receive: object, send: Any) -> None:
        scopes.append(scope)
        await whole(b"")(scope, _receive, send)

    wire = written(app, GET.replace(b"/", target, 1), GET.replace(b"/", target, 1))
    assert len(wire.writes) == 2
    for scope in scopes:
        assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw_path, query)
        assert (scope["method"], scope["http_version"]) == ("GET", "1.1")


@pytest.mark.parametrize("target", [b"http://host", b"/\xc3\xa9"])
def test_what_is_no_address_is_told_so(target: bytes) -> None:
    wire = written(whole(b""), GET.replace(b"/", target, 1))
    assert b"".join(wire.writes).startswith(b"HTTP/1.1 400 ")
    assert wire.closed_at is not None


def test_a_quiet_connection_is_closed_and_one_that_is_used_is_not() -> None:
    async def work() -> None:
        protocol, wire, _ = connected(whole(b"a"))
        loop = asyncio.get_running_loop()
        for _ in range(3):
            protocol.data_received(GET)
            await asyncio.sleep(KEEP_ALIVE - 1)
        last = loop.time() - KEEP_ALIVE + 1
        await asyncio.sleep(KEEP_ALIVE)
        assert len(wire.writes) == 3
        assert wire.closed_at == pytest.approx(last + KEEP_ALIVE, abs=0.01)

    run(work())


def test_a_long_answer_is_not_silence() -> None:
    async def work() -> None:
        protocol, wire, _ = connected(whole(b"a", pause=3 * KEEP_ALIVE))
        protocol.data_received(GET)
        await asyncio.sleep(3 * KEEP_ALIVE + 1)
        protocol.data_received(GET)
        await asyncio.sleep(3 * KEEP_ALIVE + 1)
        assert len(wire.writes) == 2
        assert wire.closed_at is None
        await asyncio.sleep(KEEP_ALIVE)
        assert wire.closed_at is not None

    run(work())


def test_a_connection_that_ends_leaves_no_timer() -> None:
    async def work() -> None:
        protocol, wire, state = connected(whole(b"a"))
        protocol.data_received(GET)
        await asyncio.sleep(1)
        protocol.connection_lost(ConnectionResetError())
        await asyncio.sleep(2 * KEEP_ALIVE)
        assert wire.closed_at is None
        assert not state.connections

    run(work())


def test_who_reads_slowly_is_waited_for_and_who_has_gone_is_sent_nothing() -> None:
    async def work() -> None:
        protocol, wire, _ = connected(answering({"body": b"a", "more_body": True}, {"body": b"b"}))
        protocol.pause_writing()
        protocol.data_received(GET)
        await asyncio.sleep(1)
        assert wire.writes == []
        protocol.resume_writing()
        await asyncio.sleep(1)
        assert b"".join(wire.writes).endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
        other, silent, _ = connected(whole(b"a", pause=1))
        other.data_received(GET)
        await asyncio.sleep(0.5)
        other.connection_lost(ConnectionResetError())
        await asyncio.sleep(1)
        assert silent.writes == []

    run(work())
