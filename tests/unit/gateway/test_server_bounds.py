"""What a caller cannot do with a connection: fill memory, hold it for ever, or have a request read in two ways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.connected import Bounds
from tests.unit.gateway.paused_time import run
from tests.unit.gateway.wired import GET, KEEP_ALIVE, App, Wire, answering, connected, whole, written

POST = b"POST / HTTP/1.1\r\nhost: a\r\n"
LONG = POST + b"content-length: 100000000\r\n\r\n"
BOUNDS = Bounds()


def status_of(wire: Wire) -> int:
    """The only answer's; 0 without one."""
    data = b"".join(wire.writes)
    assert data.count(b"HTTP/1.1 ") <= 1
    return int(data[9:12]) if data else 0


async def reading(_scope: object, receive: Any, send: Any) -> None:
    """An application that reads the whole body, and is silent if its caller hangs up."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return
        if not message.get("more_body"):
            await whole(b"read")(_scope, receive, send)
            return


async def refusing(_scope: object, _receive: object, send: Any) -> None:
    await whole(b"no", status=413)(_scope, _receive, send)


def ended_after(app: App, act: Callable[[Any, Wire], Any], *, within: float = 600.0) -> tuple[Wire, float | None]:
    """What was written on a connection, and how many seconds after its beginning it was closed."""
    seen: list[tuple[Wire, float | None]] = []

    async def work() -> None:
        protocol, wire, _ = connected(app)
        began = asyncio.get_running_loop().time()
        acting = asyncio.create_task(act(protocol, wire))
        await asyncio.sleep(within)
        acting.cancel()
        seen.append((wire, None if wire.closed_at is None else wire.closed_at - began))

    run(work())
    return seen[0]


def trickling(head: bytes, piece: bytes, every: float) -> Callable[[Any, Wire], Any]:
    """A caller that sends `head`, and then `piece` again and again."""

    async def act(protocol: Any, wire: Wire) -> None:
        protocol.data_received(head)
        while not wire.is_closing():
            await asyncio.sleep(every)
            protocol.data_received(piece)

    return act


async def silent(_protocol: Any, _wire: Wire) -> None: ...


def test_who_connects_and_says_nothing_is_let_go() -> None:
    wire, after = ended_after(reading, silent)
    assert after == pytest.approx(BOUNDS.head_seconds, abs=0.1)
    assert wire.writes == []


@pytest.mark.parametrize("head", [POST, POST + b"x-a: b", GET + POST], ids=["line", "field", "second"])
def test_a_head_that_comes_byte_by_byte_does_not_come_for_ever(head: bytes) -> None:
    wire, after = ended_after(whole(b"a"), trickling(head, b"x", 1.0))
    assert after == pytest.approx(BOUNDS.head_seconds, abs=1.1)
    assert b"HTTP/1.1 408 " in b"".join(wire.writes)


def test_line_breaks_are_no_request() -> None:
    _, after = ended_after(reading, trickling(b"\r\n", b"\r\n", 1.0))
    assert after == pytest.approx(BOUNDS.head_seconds, abs=1.1)
    _, after = ended_after(whole(b"a"), trickling(GET, b"\r\n", 1.0))
    assert after == pytest.approx(KEEP_ALIVE, abs=1.1)


def test_a_body_that_trickles_in_is_not_waited_for() -> None:
    wire, after = ended_after(reading, trickling(LONG, b"x", 1.0))
    assert after == pytest.approx(BOUNDS.body_seconds, abs=1.5)
    assert status_of(wire) == 408


def test_a_body_that_stops_is_not_waited_for() -> None:
    async def act(protocol: Any, _wire: Wire) -> None:
        protocol.data_received(LONG + b"x" * 10)

    wire, after = ended_after(reading, act)
    assert after == pytest.approx(BOUNDS.body_seconds, abs=0.1)
    assert status_of(wire) == 408


def test_a_body_at_a_modems_pace_is_read() -> None:
    size = 200_000

    async def act(protocol: Any, _wire: Wire) -> None:
        protocol.data_received(POST + b"content-length: %d\r\n\r\n" % size)
        for _ in range(size // 2_000):
            await asyncio.sleep(1)
            protocol.data_received(b"x" * 2_000)

    wire, _ = ended_after(reading, act, within=120)
    assert b"".join(wire.writes).endswith(b"\r\n\r\nread")
    assert wire.closed_at is None


def test_who_does_not_read_is_let_go_and_the_application_hears_of_it() -> None:
    gone: list[str] = []

    async def app(_scope: object, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": ()})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await send({"type": "http.response.body", "body": b"y", "more_body": True})
        gone.append((await receive())["type"])

    async def act(protocol: Any, wire: Wire) -> None:
        protocol.pause_writing()
        protocol.data_received(GET)
        await asyncio.sleep(BOUNDS.write_seconds + 1)
        protocol.connection_lost(None)

    wire, after = ended_after(app, act)
    assert after == pytest.approx(BOUNDS.write_seconds, abs=0.1)
    assert wire.aborted
    assert gone == ["http.disconnect"]


def test_who_reads_slowly_is_waited_for() -> None:
    async def app(_scope: object, _receive: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": ()})
        for _ in range(5):
            await send({"type": "http.response.body", "body": b"a", "more_body": True})
            await asyncio.sleep(1)
        await send({"type": "http.response.body", "body": b"b"})

    async def act(protocol: Any, _wire: Wire) -> None:
        protocol.data_received(GET)
        for _ in range(4):
            protocol.pause_writing()
            await asyncio.sleep(BOUNDS.write_seconds - 1)
            protocol.resume_writing()
            await asyncio.sleep(0.5)

    wire, _ = ended_after(app, act, within=280)
    assert b"".join(wire.writes).endswith(b"1\r\nb\r\n0\r\n\r\n")
    assert not wire.aborted


def test_an_answer_that_nobody_takes_does_not_keep_its_closed_connection() -> None:
    async def act(protocol: Any, wire: Wire) -> None:
        wire.unread = 10
        protocol.data_received(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))

    wire, _ = ended_after(whole(b"a"), act)
    assert wire.aborted


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nhost: a\r\nx-a: " + b"b" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"b" * 70_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\n" + b"".join(b"a%d: b\r\n" % n for n in range(20_000)) + b"\r\n",
    ],
    ids=["value", "address", "fields", "many"],
)
@pytest.mark.parametrize("whole_head", [True, False], ids=["whole", "pieces"])
def test_a_head_beyond_all_measure_is_refused(head: bytes, whole_head: bool) -> None:
    step = len(head) if whole_head else 20_000
    wire = written(whole(b"a"), *(head[begin : begin + step] for begin in range(0, len(head), step)))
    assert status_of(wire) == 431
    assert wire.closed_at is not None


def test_a_head_without_an_end_is_refused_before_it_fills_memory() -> None:
    wire = written(whole(b"a"), b"GET / HTTP/1.1\r\nhost: a\r\nx-a: ", *[b"b" * 10_000] * 8)
    assert status_of(wire) == 431


def test_a_large_body_before_a_head_does_not_count_for_it() -> None:
    body = b"x" * 200_000
    first = POST + b"content-length: %d\r\n\r\n" % len(body) + body + GET[:5]
    wire = written(reading, first, GET[5:])
    assert b"".join(wire.writes).count(b"HTTP/1.1 200 ") == 2


BODY = b"hello"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
MARKED = b"content-length: 5\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        POST + MARKED + CHUNKED + b"\r\n" + CHUNKS,
        POST + CHUNKED + MARKED + b"\r\n" + CHUNKS,
        POST + MARKED + MARKED + b"\r\n" + BODY,
        POST + MARKED + b"content-length: 3\r\n\r\n" + BODY,
        POST + b"content-length: 5, 5\r\n\r\n" + BODY,
        POST + b"content-length: +5\r\n\r\n" + BODY,
        POST + b"content-length: 0x5\r\n\r\n" + BODY,
        POST + b"content-length: -5\r\n\r\n" + BODY,
        POST + b"content-length: 99999999999999999999999\r\n\r\n" + BODY,
        POST + b"content-length : 5\r\n\r\n" + BODY,
        POST + b"transfer-encoding: gzip, chunked\r\n\r\n" + CHUNKS,
        POST + b"transfer-encoding: chunked, identity\r\n\r\n" + CHUNKS,
        POST + b"transfer-encoding: xchunked\r\n\r\n" + CHUNKS,
        POST + b"transfer-encoding: \x0bchunked\r\n\r\n" + CHUNKS,
        POST + b"transfer-encoding:\r\n chunked\r\n\r\n" + CHUNKS,
        POST + CHUNKED + CHUNKED + b"\r\n" + CHUNKS,
        POST + b"transfer-encoding: gzip\r\n" + CHUNKED + b"\r\n" + CHUNKS,
        POST + b"transfer-encoding: identity\r\n" + CHUNKED + b"\r\n" + CHUNKS,
        POST.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + CHUNKS,
        POST + CHUNKED + b"\r\nzz\r\nhello\r\n0\r\n\r\n",
        POST + CHUNKED + b"\r\n-5\r\nhello\r\n0\r\n\r\n",
        POST + CHUNKED + b"\r\nfffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        POST + CHUNKED + b"\r\n5\nhello\n0\n\n",
        POST + CHUNKED + b"\r\n5\r\nhello0\r\n\r\n",
        b"GET / HTTP/1.1\nhost: a\n\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx-a: b\r\n c\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx-a: b\rc\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx-a: b\0c\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\nhost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT a:80 HTTP/1.1\r\nhost: a\r\n\r\n",
        b"CONNECT / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /a\x01b HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=lambda request_: repr(request_[:90])[2:-1],
)
def test_what_others_may_read_in_another_way_is_refused(request_: bytes) -> None:
    asked: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reading(scope, receive, send)
        asked.append(scope)

    wire = written(app, request_ + GET)
    assert status_of(wire) in {400, 501}
    assert wire.closed_at is not None
    data = b"".join(wire.writes)
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"x-content-type-options: nosniff" in head
    assert json.loads(body)["error"]["message"]
    assert b"read" not in body


@pytest.mark.parametrize("wish", [b"h2c", b"TLS/1.0", b"websocket"])
@pytest.mark.parametrize(
    "framed", [b"content-length: %d\r\n\r\n%b", b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"]
)
def test_what_follows_a_wish_for_another_protocol_is_its_body_and_no_request(wish: bytes, framed: bytes) -> None:
    hidden = b"GET /hidden HTTP/1.1\r\nhost: a\r\n\r\n"
    head = POST + b"connection: keep-alive, upgrade\r\nupgrade: " + wish + b"\r\n"
    request_ = head + framed % (len(hidden), hidden)
    cut = request_.index(hidden)
    for pieces in (
        (request_, GET),
        (request_[:cut], request_[cut:], GET),
        (request_[: cut - 1], request_[cut - 1 :] + GET),
    ):
        asked: list[tuple[str, str, bytes]] = []

        async def app(scope: Any, receive: Any, send: Any, asked: list[tuple[str, str, bytes]] = asked) -> None:
            body, more = b"", True
            while more:
                message = await receive()
                body, more = body + message["body"], message["more_body"]
            asked.append((scope["method"], scope["path"], body))
            await whole(b"ok")(scope, receive, send)

        written(app, *pieces)
        assert asked == [("POST", "/", hidden), ("GET", "/", b"")]


@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("more", [b"content-length: 5\r\n", CHUNKED, b""])
def test_a_websocket_is_asked_for_without_a_body(method: bytes, more: bytes) -> None:
    """Whoever reads it next would wait for the body for ever, and the parser has left it out."""
    handed: list[bytes] = []

    async def act() -> Wire:
        protocol, wire, _ = connected(reading)
        protocol._should_upgrade = lambda: True  # type: ignore[method-assign]
        protocol.handle_websocket_upgrade = lambda: handed.append(method)  # type: ignore[method-assign]
        head = method + b" / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        protocol.data_received(head + more + b"\r\n" + BODY)
        await asyncio.sleep(0)
        return wire

    wire = run(act())
    fine = method == b"GET" and not more
    assert handed == ([method] if fine else [])
    assert status_of(wire) == (0 if fine else 400)
    assert wire.is_closing() is not fine


@pytest.mark.parametrize("ahead", [1, 2])
@pytest.mark.parametrize("together", [True, False])
def test_a_websocket_does_not_begin_amid_the_answer_to_another_request(ahead: int, together: bool) -> None:
    handed: list[bytes] = []
    slow = answering({"body": b"one", "more_body": True}, {"body": b"two"}, pause=1)
    wish = GET[:-2] + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n"

    async def act() -> Wire:
        protocol, wire, _ = connected(slow)
        protocol.ws_protocol_class = asyncio.Protocol
        protocol.handle_websocket_upgrade = lambda: handed.append(b"".join(wire.writes))  # type: ignore[method-assign]
        for piece in (GET * ahead + wish,) if together else (GET * ahead, wish):
            protocol.data_received(piece)
            await asyncio.sleep(0.1)
        await asyncio.sleep(5)
        assert not handed
        protocol.data_received(wish)
        return wire

    wire = run(act())
    answers = b"".join(wire.writes)
    # Overheard, as HTTP allows: it was answered like any other, in its turn.
    assert answers.count(b"HTTP/1.1 200 ") == answers.count(b"two") == ahead + 1
    assert handed == [answers]
    assert not wire.is_closing()


def test_a_wish_for_another_protocol_is_no_way_past_the_bounds_of_heads() -> None:
    wish = POST + b"connection: upgrade\r\nupgrade: h2c\r\n"
    assert status_of(written(reading, wish + b"x-a: b\r\n" * 200 + b"\r\n")) == 431
    assert status_of(written(reading, wish + b"x-a: " + b"b" * 70_000 + b"\r\n\r\n")) == 431


def test_a_trailer_is_no_header() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reading(scope, receive, send)
        seen.extend(scope["headers"])

    written(app, POST + CHUNKED + b"\r\n5\r\nhello\r\n0\r\nauthorization: Bearer a\r\nx-b: c\r\n\r\n")
    assert seen == [(b"host", b"a"), (b"transfer-encoding", b"chunked")]


def test_an_error_does_not_fall_into_the_answer_to_another_request() -> None:
    slow = answering({"body": b"one", "more_body": True}, {"body": b"two"}, pause=1)
    wire = written(slow, GET, b"nonsense\r\n\r\n", seconds=5)
    assert b"400" not in b"".join(wire.writes)
    assert wire.closed_at is not None


def test_few_requests_wait_for_the_one_before() -> None:
    started: list[object] = []

    async def app(_scope: object, _receive: object, _send: object) -> None:
        started.append(1)
        await asyncio.sleep(1e6)

    wire = written(app, GET * 5_000)
    assert wire.closed_at is not None
    assert len(started) == 1


def test_what_follows_an_early_answer_is_neither_waited_for_nor_read() -> None:
    async def act(protocol: Any, wire: Wire) -> None:
        protocol.data_received(LONG)
        await asyncio.sleep(1)
        assert (status_of(wire), wire.ended, wire.closed_at) == (413, True, None)
        while not wire.is_closing():
            protocol.data_received(GET * 100)
            await asyncio.sleep(0.5)

    wire, after = ended_after(refusing, act, within=60)
    assert status_of(wire) == 413
    assert b"connection: close" in wire.writes[0]
    assert after is not None
    assert after < 10
