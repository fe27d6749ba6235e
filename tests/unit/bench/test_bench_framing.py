"""Answers as the load generator and the upstream read HTTP, cut anywhere."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import nginx
from bench.answers import ANSWERS, EVENTS
from bench.framing import TAIL, Garbled, Reading, post
from bench.load import Magazine
from bench.orders import Order, Request
from bench.upstream import TOGETHER, chunks, whole
from bench.workloads import UNIQUE, WORKLOADS

BODY = b"".join(b"data: event %d\n\n" % number for number in range(30)) + b"data: [DONE]\n\n"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
FRAMED = {
    "length": whole("200 OK", BODY),
    "chunks": _CHUNKED
    + b"".join(b"%X\r\n%s\r\n" % (len(part), part) for part in (BODY[:1], BODY[1:200], BODY[200:]))
    + b"0\r\n\r\n",
    "chunk extensions and trailers": _CHUNKED
    + b"%x;a=b\r\n%s\r\n" % (len(BODY), BODY)
    + b"0\r\nx-checked: yes\r\nx-more: no\r\n\r\n",
}


def fed(pieces: list[bytes]) -> Reading:
    reading = Reading()
    for piece in pieces:
        assert not reading.over
        reading.feed(piece)
    return reading


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % len(data) for place in places), len(data)]
    return [data[before:after] for before, after in itertools.pairwise(edges) if after > before]


@pytest.mark.parametrize("framing", FRAMED)
@given(places=st.lists(st.integers(0, 10_000), max_size=12))
def test_an_answer_is_the_same_wherever_it_is_cut(framing: str, places: list[int]) -> None:
    reading = fed(cut(FRAMED[framing], places))
    assert (reading.over, reading.status, reading.size, reading.tail) == (True, 200, len(BODY), BODY[-TAIL:])


@pytest.mark.parametrize("framing", FRAMED)
def test_an_answer_byte_by_byte_begins_with_its_body_and_ends_with_its_last_byte(framing: str) -> None:
    data = FRAMED[framing]
    reading = fed([data[place : place + 1] for place in range(len(data) - 1)])
    assert reading.begun
    assert not reading.over
    reading.feed(data[-1:])
    assert reading.over
    head = Reading()
    head.feed(data[: data.find(b"\r\n\r\n") + 4])
    assert (head.status, head.begun) == (200, False)


def test_an_answer_without_framing_ends_with_its_connection() -> None:
    reading = fed([b"HTTP/1.1 200 OK\r\n\r\nab", b"cd"])
    assert not reading.over
    assert reading.closed()
    assert (reading.size, reading.tail) == (4, b"abcd")


@pytest.mark.parametrize("framing", FRAMED)
def test_a_connection_that_ends_early_ends_no_answer(framing: str) -> None:
    assert not fed([FRAMED[framing][:-1]]).closed()


def test_an_empty_answer_has_no_body() -> None:
    reading = fed([whole("204 No Content", b"")])
    assert (reading.over, reading.begun, reading.status) == (True, False, 204)


@pytest.mark.parametrize("header", [b"Connection: close", b"connection:close", b"Connection: Close"])
def test_a_server_that_closes_says_so(header: bytes) -> None:
    assert not fed([b"HTTP/1.1 200 OK\r\n" + header + b"\r\nContent-Length: 1\r\n\r\n."]).keeps
    assert fed([whole("200 OK", b".")]).keeps


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-nobody\r\n\r\n",
        b"HTTP/1.1 fine\r\n\r\n",
        _CHUNKED + b"no size\r\n",
        whole("200 OK", b"one") + b"more",
    ],
)
def test_what_is_no_answer_is_garbled(data: bytes) -> None:
    with pytest.raises(Garbled):
        Reading().feed(data)


# ------------------------------------------------------------------------------------------------------------ requests


def test_a_request_has_its_length() -> None:
    head = post(80, "/v1", 3, {"x-one": "1"})
    assert head.startswith(b"POST /v1 HTTP/1.1\r\n")
    assert b"\r\nContent-Length: 3\r\n" in head
    assert head.endswith(b"x-one: 1\r\n\r\n")


def shots(body: str, number: int = 50) -> list[bytes]:
    order = Order(port=1, seconds=1, requests=(Request(path="/", body=body),))
    magazine = Magazine(order)
    return [magazine.shot(0).data.partition(b"\r\n\r\n")[2] for _ in range(number)]


def test_a_unique_request_is_like_no_other_and_as_long_as_it_says() -> None:
    body = json.dumps({"input": "Weigh " + UNIQUE})
    made = shots(body)
    assert len(set(made)) == len(made)
    assert {len(one) for one in made} == {len(body)}
    assert all(json.loads(one) for one in made)


def test_any_other_request_is_always_the_same() -> None:
    assert set(shots('{"input":"Weigh"}')) == {b'{"input":"Weigh"}'}


def test_requests_come_in_their_shares() -> None:
    requests = (Request(path="/often", body="{}", share=3), Request(path="/seldom", body="{}", share=1))
    magazine = Magazine(Order(port=1, seconds=1, requests=requests))
    paths = [magazine.shot(0).data.split(b" ", 2)[1] for _ in range(2000)]
    assert paths.count(b"/often") == pytest.approx(1500, rel=0.05)


@pytest.mark.parametrize(("name", "size"), [("chat", 200), ("chat-4k", 4_000), ("chat-400k", 400_000)])
def test_prompts_are_as_large_as_they_are_called(name: str, size: int) -> None:
    [workload] = [one for one in WORKLOADS if one.name == name]
    assert len(workload.encoded) == pytest.approx(size, rel=0.05)


# ------------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_of_the_upstream_is_http(name: str) -> None:
    reading = fed([TOGETHER[name]])
    assert (reading.over, reading.status, reading.size) == (True, 200, len(ANSWERS[name].body))


@pytest.mark.parametrize("name", [name for name, answer in ANSWERS.items() if len(answer.pieces) > 1])
def test_a_stream_has_its_events_each_a_chunk(name: str) -> None:
    assert sum(b"word" in piece for piece in ANSWERS[name].pieces) == EVENTS
    assert len(chunks(ANSWERS[name])) == len(ANSWERS[name].pieces)


def test_nginx_is_told_every_whole_answer_and_no_stream(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("nginx")
    told = nginx.locations(folder)
    for name, answer in ANSWERS.items():
        assert (f"location ^~ /{name}/ " in told) == (len(answer.pieces) == 1)
        if len(answer.pieces) == 1:
            assert answer.body.decode() in told or (folder / name).read_bytes() == answer.body
