"""The course of calls and streams without I/O: what is asked again, when, and what is not."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard_client import (
    ApiError,
    Conflict,
    NotReached,
    QuotaExceeded,
    RateLimited,
    Retries,
    StreamCut,
    TimedOut,
    Unavailable,
    Unreadable,
)
from steelyard_client.answers.dwa import ResetAnswer
from steelyard_client.asking import Ask, Follow, Reply, Request
from steelyard_client.errors import refusal
from steelyard_client.events import Decoder, ServerEvent
from steelyard_client.exchange import Following, call

# hypothesis compares the state of `random` before and after it draws. A gateway of other tests may be winding up in a
# thread meanwhile, and what that draws is no fault of a strategy here.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

GET = Ask(method="GET", address="/thing", answer=ResetAnswer)
POST = Ask(method="POST", address="/thing", body={"a": 1}, answer=ResetAnswer)
KEYED = Ask(method="POST", address="/thing", headers={"idempotency-key": "k"}, repeatable=True, answer=ResetAnswer)
GOOD = Reply(200, {}, b'{"reset": "all"}')
LOST = NotReached("the connection was lost", sent=True)
NOBODY = NotReached("nobody there", sent=False)
LATE = TimedOut("no answer", sent=True)


def refused(status: int, code: str = "busy", **headers: str) -> Reply:
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {
        "error": {"message": "no", "type": "t", "code": code, "param": None, "source": "gateway"},
        "request_id": "r",
    }
    return Reply(status, told, json.dumps(body).encode())


def run(ask: Any, *came: Any, retries: Retries | None = None) -> tuple[Any, list[float]]:
    """What a call comes to when its tries come to these, and the pauses between them."""
    course, left, waited = call(ask, retries or Retries(), random.Random(1)), list(came), list[float]()
    step = next(course)
    while True:
        told: Any = None
        if isinstance(step, Request):
            told = left.pop(0)
        else:
            waited.append(step)
        try:
            step = course.send(told)
        except StopIteration as done:
            assert not left, "it was not asked so often"
            return done.value, waited


@pytest.mark.parametrize("ask", [GET, KEYED])
@pytest.mark.parametrize("came", [LOST, NOBODY, LATE, refused(503), refused(429), refused(502), refused(504)])
def test_what_can_be_repeated_is(ask: Any, came: Any) -> None:
    answer, waited = run(ask, came, came, GOOD)
    assert answer.reset == "all"
    assert len(waited) == 2


@pytest.mark.parametrize("came", [NOBODY, refused(503), refused(429)])
def test_what_was_not_done_is_asked_again(came: Any) -> None:
    assert run(POST, came, GOOD)[0].reset == "all"


@pytest.mark.parametrize(
    ("came", "kind"), [(LOST, NotReached), (LATE, TimedOut), (refused(502), ApiError), (refused(504), ApiError)]
)
def test_what_may_have_been_done_is_not_asked_again(came: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        run(POST, came)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_a_no_is_a_no(status: int) -> None:
    with pytest.raises(ApiError) as caught:
        run(GET, refused(status))
    assert caught.value.status == status


def test_what_is_spent_does_not_come_back() -> None:
    with pytest.raises(QuotaExceeded):
        run(GET, refused(429, "insufficient_quota", retry_after="1"))


def test_it_gives_up_with_the_last_error() -> None:
    with pytest.raises(Unavailable):
        run(GET, LOST, refused(429), refused(503))
    with pytest.raises(NotReached):
        run(GET, LOST, retries=Retries(most=0))


def test_retry_after_is_kept_and_a_long_one_is_told() -> None:
    (_, (pause,)) = run(POST, refused(429, retry_after="7"), GOOD)
    assert 7 <= pause <= 7 * 1.25
    with pytest.raises(RateLimited) as caught:
        run(POST, refused(429, retry_after="61"))
    assert caught.value.retry_after == 61


def test_retry_after_that_is_no_number_is_left_aside() -> None:
    (_, (pause,)) = run(GET, refused(503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), GOOD)
    assert pause <= 0.5


@given(seed=st.integers(), tried=st.integers(1, 30))
def test_pauses_grow_to_a_bound_and_differ(seed: int, tried: int) -> None:
    pause = Retries(most=30).pause(tried, LOST, random.Random(seed))
    whole = min(8.0, 0.5 * 2 ** (tried - 1))
    assert pause is not None
    assert whole / 2 <= pause <= whole


def test_an_answer_that_is_none_is_told() -> None:
    for body in (b"<html>", b"[1]", b""):
        with pytest.raises(Unreadable) as caught:
            run(GET, Reply(200, {}, body))
        assert caught.value.body == body


def test_an_error_of_somebody_else_is_an_error_too() -> None:
    error = refusal(502, {}, b"<html>Bad gateway</html>")
    assert (error.message, error.code, error.request_id) == ("The gateway answered with status 502.", None, None)
    assert error.body.startswith(b"<html>")
    assert isinstance(refusal(409, {}, b'{"error": "text"}'), Conflict)


# Streams


def said(number: int, kind: str = "step.started", numbered: bool = True) -> bytes:
    head = f"id: {number}\n" if numbered else ""
    return f'{head}event: {kind}\ndata: {{"seq": {number}}}\n\n'.encode()


def followed(*, resumable: bool, retries: Retries | None = None) -> Following[ServerEvent]:
    follow = Follow(
        method="GET",
        address="/events",
        understand=lambda event: event,
        ends=lambda event: event.type == "execution.completed",
        resumable=resumable,
    )
    return Following(follow, retries or Retries(), random.Random(1))


def seqs(course: Following[ServerEvent], piece: bytes) -> list[int]:
    return [event.data["seq"] for event in course.feed(piece)]


def test_a_stream_goes_on_behind_the_last_event() -> None:
    course = followed(resumable=True)
    assert "last-event-id" not in course.request().headers
    assert seqs(course, said(1) + said(2) + b"id: 3\nevent: half") == [1, 2]
    assert course.lost(LOST) > 0
    assert course.request().headers["last-event-id"] == "2"
    assert seqs(course, said(3, "execution.completed")) == [3]
    assert course.closed() is None


def test_a_stream_closed_kindly_before_its_end_goes_on_too() -> None:
    course = followed(resumable=True)
    course.request()
    assert seqs(course, said(1)) == [1]
    assert course.closed() is not None
    course.request()
    assert course.closed() is None, "nothing comes any more"


def test_a_stream_that_fails_again_and_again_is_given_up_unless_it_gets_on() -> None:
    course = followed(resumable=True, retries=Retries(most=2))
    for number in range(1, 6):
        course.request()
        assert seqs(course, said(number)) == [number]
        assert course.lost(LOST) > 0
    course.request()
    assert course.lost(LOST) > 0
    course.request()
    with pytest.raises(NotReached):
        course.lost(LOST)


def test_a_stream_that_cannot_go_on_is_never_cut_in_silence() -> None:
    course = followed(resumable=False)
    course.request()
    assert seqs(course, said(1, numbered=False)) == [1]
    with pytest.raises(StreamCut):
        course.lost(LOST)
    with pytest.raises(StreamCut, match="before its end"):
        course.closed()


def test_a_stream_that_was_not_opened_is_asked_for_again_when_it_helps() -> None:
    course = followed(resumable=False)
    course.request()
    assert course.lost(NOBODY) > 0
    assert course.refused(refused(503, retry_after="2")) >= 2
    with pytest.raises(ApiError):
        course.refused(refused(404))


# The format


TEXT = (
    b'\xef\xbb\xbf: ping\r\n\r\nid: 7\r\nevent: one\r\ndata: {"a":\r\ndata: 1}\r\nretry: 3\r\n\r\n'
    b"data: plain\r\rdata:\n\nid: 8\n\nevent: last\ndata: [DONE]\n\ndata: never ended"
)
EVENTS = [
    ServerEvent("one", {"a": 1}, "7"),
    ServerEvent("message", "plain", "7"),
    ServerEvent("message", "", "7"),
    ServerEvent("last", "[DONE]", "8"),
]


@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_events_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    decoder, found = Decoder(), list[ServerEvent]()
    edges = [0, *sorted(cuts), len(TEXT)]
    for start, end in pairwise(edges):
        found += decoder.feed(TEXT[start:end])
    assert found == EVENTS
