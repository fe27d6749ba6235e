"""Every call of both clients on a running gateway; what comes back is of the type that is promised, field by field."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steelyard_client import ApiError, Forbidden, NotFound, Retries, Unauthorized
from steelyard_client.answers.records import FeedbackAnswer, RecordAnswer
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, OPENAI, World
from tests.client.conforming import departures
from tests.client.either import METHODS, Either, described, opened
from tests.client.writing import area_of
from tests.serving import until

#: Method → a call of it. What needs something to be there first has it from `Prepared`.
CALLS: dict[str, Callable[[Prepared], Any]] = {
    "orchestrate": lambda at: at.call("orchestrate", "hello", model=OPENAI, temperature=0.5, metadata={"team": "a"}),
    "providers": lambda at: at.call("providers"),
    "models": lambda at: at.call("models"),
    "routes": lambda at: at.call("routes"),
    "dwa_stats": lambda at: at.call("dwa_stats"),
    "dwa_reset": lambda at: at.call("dwa_reset", "sim-gemini"),
    "best_provider": lambda at: at.call("best_provider", objective="cheapest", input_tokens=100, output_tokens=10),
    "dwa_history": lambda at: at.call("dwa_history", since=datetime.now(UTC) - timedelta(hours=2), limit=5),
    "explain": lambda at: at.call("explain", at.recorded()),
    "dwa_simulate": lambda at: (at.recorded(), at.call("dwa_simulate", objective={"cost": 1.0}, limit=50, seeds=1))[1],
    "db_stats": lambda at: at.call("db_stats", since=datetime.now(UTC) - timedelta(hours=1)),
    "recent_requests": lambda at: (at.recorded(), at.call("recent_requests", cached=False, status=200, limit=2))[1],
    "get_request": lambda at: at.call("get_request", at.recorded()),
    "cache_stats": lambda at: at.call("cache_stats"),
    "clear_cache": lambda at: at.call("clear_cache", model="sim-chat"),
    "list_sessions": lambda at: (at.session(), at.call("list_sessions", limit=1))[1],
    "get_session": lambda at: at.call("get_session", at.session()),
    "delete_session": lambda at: at.call("delete_session", at.session()),
    "give_feedback": lambda at: at.call("give_feedback", at.recorded(), thumbs="up", comment="good"),
    "list_feedback": lambda at: (at.voted(), at.call("list_feedback", limit=3))[1],
    "get_response": lambda at: at.call("get_response", at.response()),
    "delete_response": lambda at: at.call("delete_response", at.response()),
    "list_response_inputs": lambda at: at.call("list_response_inputs", at.response(), limit=5, order="asc"),
    "live": lambda at: at.call("live"),
    "ready": lambda at: at.call("ready"),
    "check_health": lambda at: at.call("check_health"),
    "metrics": lambda at: at.call("metrics"),
}
#: Those that are called in tests of their own, below and in the files of their areas.
ELSEWHERE = {"orchestrate_stream", "cancel_response"}


class Prepared:
    """A client, and things for it to ask for."""

    def __init__(self, world: World, either: Either) -> None:
        self.world = world
        self.call = either.call

    def recorded(self) -> str:
        """The id of a request that is recorded."""
        found = self.call("orchestrate", "hello", cache=False, model=OPENAI).request_id
        self.world.record(found, ADMIN_KEY)
        return found

    def session(self) -> str:
        """The id of a session with a turn."""
        self.call("orchestrate", "hello", session_id="client-talk")
        return "client-talk"

    def voted(self) -> None:
        """A vote is there."""
        self.call("give_feedback", self.recorded(), score=0.4)

    def response(self) -> str:
        """The id of a stored response."""
        return self.world.post("/v1/responses", {"model": OPENAI, "input": "hello"}, key=ADMIN_KEY).json["id"]


@pytest.mark.parametrize("name", CALLS)
def test_it_answers_as_it_promises(world: World, steelyard: Either, name: str) -> None:
    answer = CALLS[name](Prepared(world, steelyard))
    kind = described(name).answer
    assert list(departures(answer, kind)) == []


def test_every_call_is_made_somewhere() -> None:
    areas = {"routing", "dwa", "records", "responses", "health"}
    here = {name for name in METHODS if area_of(described(name).address) in areas} | {"metrics"}
    assert here == CALLS.keys() | ELSEWHERE


def test_an_answer_has_attributes_and_times(world: World, steelyard: Either) -> None:
    at = Prepared(world, steelyard)
    answer = steelyard.call("orchestrate", "say something", model=OPENAI, cache=False)
    assert answer.results[0].provider == "sim-openai"
    assert answer.results[0].response
    assert answer.metadata.attempts[0].outcome == "ok"
    record = steelyard.call("get_request", at.recorded())
    assert isinstance(record, RecordAnswer)
    assert abs(record.created_at.timestamp() - time.time()) < 60
    assert record.attempts[0].provider == "sim-openai"


def test_a_stream_comes_in_pieces_and_ends_with_its_metadata(steelyard: Either) -> None:
    events = steelyard.events("orchestrate_stream", "tell me a story", model=OPENAI, cache=False)
    assert [event.type for event in events][-2:] == ["result.done", "metadata"]
    assert len([event for event in events if event.type == "result.delta"]) > 1
    assert "".join(event.text for event in events)
    assert events[-1].data["provider"] == "sim-openai"


def test_of_a_comparison_every_event_says_whose_it_is(steelyard: Either) -> None:
    events = steelyard.events("orchestrate_stream", "hello", mode="compare", parallel=2, cache=False)
    assert len({event.data["provider"] for event in events if event.type == "result.done"}) == 2


def test_whoever_has_heard_enough_hangs_up(world: World, steelyard: Either) -> None:
    events = steelyard.events("orchestrate_stream", "a long story", model=OPENAI, cache=False, most=1)
    assert len(events) == 1
    until(lambda: steelyard.call("dwa_stats").deployments[0].in_flight == 0)


def test_a_second_vote_replaces_the_first(world: World, steelyard: Either) -> None:
    request_id = Prepared(world, steelyard).recorded()
    first = steelyard.call("give_feedback", request_id, thumbs="down")
    second = steelyard.call("give_feedback", request_id, score=0.75)
    assert isinstance(second, FeedbackAnswer)
    assert (first.score, second.score) == (0.0, 0.75)
    assert first.id == second.id


def test_pages_lead_to_the_next(world: World, steelyard: Either) -> None:
    at = Prepared(world, steelyard)
    at.recorded()
    at.recorded()
    first = steelyard.call("recent_requests", limit=1)
    second = steelyard.call("recent_requests", limit=1, cursor=first.next_cursor)
    assert first.requests[0].id != second.requests[0].id


def test_nothing_can_be_cancelled_that_has_ended(world: World, steelyard: Either) -> None:
    with pytest.raises(ApiError, match="Cannot cancel a synchronous response") as caught:
        steelyard.call("cancel_response", Prepared(world, steelyard).response())
    assert caught.value.param == "response_id"


def test_errors_say_what_and_whose(world: World, kind: str, steelyard: Either) -> None:
    with pytest.raises(NotFound) as missing:
        steelyard.call("explain", "req_00000000000000000000000000")
    assert (missing.value.status, missing.value.type, missing.value.source) == (404, "not_found_error", "caller")
    assert missing.value.request_id
    assert missing.value.message in str(missing.value)
    with opened(kind, world.url, "wrong") as stranger, pytest.raises(Unauthorized):
        stranger.call("dwa_stats")
    with opened(kind, world.url, ALICE_KEY) as alice, pytest.raises(Forbidden):
        alice.call("list_acts")
    with pytest.raises(ApiError) as both:
        steelyard.call("give_feedback", "req_1", score=1.0, thumbs="up")
    assert both.value.param == "score"


def test_a_path_is_one_path_whatever_is_in_it(steelyard: Either) -> None:
    with pytest.raises(NotFound):
        steelyard.call("get_session", "../db/stats?since=1#x")


def test_options_are_for_one_client_and_share_its_connections(world: World, kind: str) -> None:
    with opened(kind, world.url, "wrong") as stranger:
        client: Any = stranger.client
        alike = client.with_options(
            headers={"Authorization": f"Bearer {ADMIN_KEY}"}, retries=Retries(most=0), timeout=9
        )
        assert Either(alike, stranger._runner).call("dwa_stats").strategy
        with pytest.raises(Unauthorized):
            stranger.call("dwa_stats")
