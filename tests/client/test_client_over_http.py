"""The drivers: what both clients send, and what they do when connections are lost. A function answers, not HTTP."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from steelyard_client import NotFound, NotReached, Retries, StreamCut, TimedOut, Unavailable, Unreadable
from tests.client.either import opened

URL = "http://steelyard.test"
BEGUN = {
    "execution_id": "wfexec_1",
    "workflow_id": "digest",
    "version": 3,
    "status": "pending",
    "started_at": "2026-11-21T12:00:00Z",
}


class Played:
    """Answers one after the other: a response, or an exception instead; keeps what was asked."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self._answers = iter(answers)
        self.asked: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.asked.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Cut(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body that breaks off after these pieces, or ends well."""

    def __init__(self, *pieces: bytes, breaks: bool = True) -> None:
        self._pieces, self._breaks = pieces, breaks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if self._breaks:
            raise httpx2.RemoteProtocolError("peer closed connection without sending complete message body")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


def events(*seqs: int, end: bool = False, breaks: bool = False) -> httpx2.Response:
    said = [
        b"id: %d\nevent: %b\ndata: %b\n\n"
        % (seq, kind.encode(), json.dumps({"execution_id": "wfexec_1", "seq": seq, "type": kind}).encode())
        for seq in seqs
        for kind in ["execution.completed" if end and seq == seqs[-1] else "step.started"]
    ]
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Cut(*said, breaks=breaks))


def test_an_execution_is_begun_once_however_often_it_is_sent(kind: str) -> None:
    played = Played(
        httpx2.ReadError("lost"), httpx2.Response(503, headers={"retry-after": "3"}), httpx2.Response(202, json=BEGUN)
    )
    waited: list[float] = []
    with opened(kind, URL, "secret", answer=played, waited=waited) as steelyard:
        begun = steelyard.call("execute_workflow", "digest", {"topic": "tea"}, budget_usd=0.5)
    assert (begun.execution_id, begun.version) == ("wfexec_1", 3)
    assert len({one.headers["idempotency-key"] for one in played.asked}) == 1
    assert len(waited) == 2
    assert waited[1] >= 3
    request = played.asked[0]
    assert (request.method, str(request.url)) == ("POST", f"{URL}/api/workflows/digest/execute")
    assert json.loads(request.content) == {"inputs": {"topic": "tea"}, "budget_usd": 0.5}
    assert request.headers["authorization"] == "Bearer secret"
    assert request.headers["content-type"] == "application/json"


def test_another_execution_has_another_key_and_yours_is_yours(kind: str) -> None:
    played = Played(*[httpx2.Response(202, json=BEGUN) for _ in range(3)])
    with opened(kind, URL, answer=played) as steelyard:
        for own in ({}, {}, {"idempotency_key": "mine"}):
            steelyard.call("execute_workflow", "digest", **own)
    first, second, third = (one.headers["idempotency-key"] for one in played.asked)
    assert first != second
    assert third == "mine"
    assert "authorization" not in played.asked[0].headers


def test_a_question_is_not_asked_twice_when_it_may_have_been_answered(kind: str) -> None:
    for lost, error in ((httpx2.ReadError("lost"), NotReached), (httpx2.ReadTimeout("late"), TimedOut)):
        played = Played(lost)
        with opened(kind, URL, answer=played, waited=[]) as steelyard, pytest.raises(error) as caught:
            steelyard.call("orchestrate", "hello")
        assert caught.value.sent
        assert len(played.asked) == 1


def test_a_question_is_asked_again_when_nobody_was_there(kind: str) -> None:
    answer = {"request_id": "req_1", "results": [], "metadata": {"strategy": "auto"}}
    played = Played(httpx2.ConnectError("refused"), httpx2.Response(200, json=answer))
    with opened(kind, URL, answer=played, waited=[]) as steelyard:
        assert steelyard.call("orchestrate", "hello").metadata.strategy == "auto"
    assert json.loads(played.asked[1].content) == {"prompt": "hello"}


def test_yaml_goes_out_as_it_is(kind: str) -> None:
    played = Played(httpx2.Response(200, json={"slug": "digest", "version": 1}))
    with opened(kind, URL, answer=played) as steelyard:
        assert steelyard.call("save_workflow", "digest", "slug: digest\n").version == 1
    assert played.asked[0].content == b"slug: digest\n"
    assert played.asked[0].headers["content-type"] == "application/yaml"


def test_an_unhealthy_gateway_is_an_answer(kind: str) -> None:
    report = {"status": "unhealthy", "services": {}, "version": "1", "uptime_seconds": 1.0}
    with opened(kind, URL, answer=Played(httpx2.Response(503, json=report))) as steelyard:
        assert steelyard.call("check_health").status == "unhealthy"


def test_what_is_deleted_answers_nothing(kind: str) -> None:
    with opened(kind, URL, answer=Played(httpx2.Response(204))) as steelyard:
        assert steelyard.call("delete_schedule", "sch_1") is None


def test_a_schedule_is_changed_by_what_is_given_null_included(kind: str) -> None:
    played = Played(httpx2.Response(200, json={"schedule_id": "sch_1"}))
    with opened(kind, URL, answer=played) as steelyard:
        steelyard.call("update_schedule", "sch_1", enabled=False, version=None)
    assert json.loads(played.asked[0].content) == {"enabled": False, "version": None}


def test_watching_goes_on_over_lost_connections(kind: str) -> None:
    played = Played(
        httpx2.ConnectError("refused"),
        events(1, 2, breaks=True),
        httpx2.Response(503),
        events(3),
        events(4, end=True),
    )
    waited: list[float] = []
    with opened(kind, URL, answer=played, waited=waited) as steelyard:
        found = steelyard.events("watch", "wfexec_1", after=0)
    assert [one.seq for one in found] == [1, 2, 3, 4]
    assert [one.headers.get("last-event-id") for one in played.asked] == [None, None, "2", "2", "3"]
    assert len(waited) == 4
    assert played.asked[0].headers["accept"] == "text/event-stream"


def test_an_execution_that_is_followed_is_begun_once(kind: str) -> None:
    played = Played(events(1, breaks=True), events(2, end=True))
    with opened(kind, URL, answer=played, waited=[]) as steelyard:
        assert len(steelyard.events("execute_workflow_stream", "digest")) == 2
    assert len({one.headers["idempotency-key"] for one in played.asked}) == 1


def test_watching_gives_up_when_nothing_comes_any_more(kind: str) -> None:
    played = Played(*[httpx2.Response(503, json={}) for _ in range(2)])
    retries = Retries(most=1)
    with opened(kind, URL, answer=played, waited=[], retries=retries) as steelyard, pytest.raises(Unavailable):
        steelyard.events("watch", "wfexec_1")
    assert len(played.asked) == 2


def test_an_answer_that_breaks_off_says_so(kind: str) -> None:
    delta = b'event: result.delta\ndata: {"text": "Half"}\n\n'
    error = b'event: error\ndata: {"error": {"message": "The provider hung up."}, "request_id": "req_1"}\n\n'
    for stream, said in (
        (Cut(delta), "cut"),
        (Cut(delta, breaks=False), "before its end"),
        (Cut(delta, error, breaks=False), "hung up"),
    ):
        played = Played(httpx2.Response(200, stream=stream))
        with opened(kind, URL, answer=played, waited=[]) as steelyard, pytest.raises(StreamCut, match=said):
            steelyard.events("orchestrate_stream", "hello")
        assert len(played.asked) == 1


def file_of(content: bytes, *, told: bytes | None = None, breaks: bool = False) -> httpx2.Response:
    """A download, whose checksum is that of what is `told`."""
    tag = f'"sha256-{hashlib.sha256(content if told is None else told).hexdigest()}"'
    return httpx2.Response(200, headers={"etag": tag}, stream=Cut(content[:3], content[3:], breaks=breaks))


def test_a_file_that_breaks_off_is_asked_for_again_and_saved_whole(kind: str, tmp_path: Path) -> None:
    played = Played(file_of(b"half", breaks=True), httpx2.Response(503), file_of(b"the whole"))
    place = tmp_path / "file"
    with opened(kind, URL, answer=played, waited=[]) as steelyard:
        assert steelyard.call("save_artifact", "wfexec_1", "artifact_1", place) == place
    assert place.read_bytes() == b"the whole"
    assert len(played.asked) == 3
    assert played.asked[0].url.path == "/api/executions/wfexec_1/artifacts/artifact_1/content"
    assert list(tmp_path.iterdir()) == [place]


def test_a_file_that_is_not_what_was_sent_is_none(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"before")
    for name, more in (("save_artifact", [place]), ("download_artifact", [])):
        played = Played(file_of(b"spoilt", told=b"whole"))
        with opened(kind, URL, answer=played) as steelyard, pytest.raises(Unreadable, match="checksum"):
            steelyard.call(name, "wfexec_1", "artifact_1", *more)
    assert place.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [place]


def test_a_file_that_is_gone_is_not_found(kind: str, tmp_path: Path) -> None:
    gone = {"error": {"message": "The file is not there.", "code": "artifact_gone"}}
    played = Played(httpx2.Response(410, json=gone))
    with opened(kind, URL, answer=played) as steelyard, pytest.raises(NotFound) as caught:
        steelyard.call("save_artifact", "wfexec_1", "artifact_1", tmp_path / "file")
    assert (caught.value.status, caught.value.code) == (410, "artifact_gone")
    assert list(tmp_path.iterdir()) == []
