"""Orchestrate asks several: races, comparisons, and what bounds them."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY, Answer, World

EVERYBODY = ["sim-openai", "sim-anthropic", "sim-gemini", "sim-local"]
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def fresh(said: str = "Hello") -> str:
    """A question that no other test has asked."""
    return f"{said} {uuid.uuid4()}"


def metadata(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    if not answer.headers["content-type"].startswith("text/event-stream"):
        return answer.json["metadata"]
    name, data = answer.events[-1]
    assert name == "metadata", answer.body
    return data


def outcomes(answer: Answer) -> list[tuple[str, str]]:
    return [(one["provider"], one["outcome"]) for one in metadata(answer)["attempts"]]


def idle(world: World) -> bool:
    """No provider is working on anything; what was cancelled needs a moment to be noticed there."""
    until = time.monotonic() + 10
    while any(one["counters"]["in_flight"] for one in world.running.state().values()):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


# Races


@streamed
def test_a_race_does_not_wait_for_one_that_hangs(frail: World, stream: bool) -> None:
    frail.running.control("sim-openai", "hang")
    racers = ["sim-openai", "sim-gemini"]
    answer = frail.orchestrate(prompt=fresh(), model="sim-chat", mode="race", providers=racers, stream=stream)
    assert sorted(outcomes(answer)) == [("sim-gemini", "ok"), ("sim-openai", "hedged")]
    assert metadata(answer)["provider"] == "sim-gemini"
    assert idle(frail), "the loser's call was not closed"
    record = frail.record(answer.headers["x-steelyard-request-id"])
    assert (record["provider"], len(record["attempts"])) == ("sim-gemini", 2)
    assert record["cost_usd"] == pytest.approx(metadata(answer)["cost_usd"])


@streamed
def test_whoever_fails_is_replaced_by_the_next(frail: World, stream: bool) -> None:
    for name in EVERYBODY[:3]:
        frail.running.control(name, "down")
    answer = frail.orchestrate(
        prompt=fresh(), model="sim-chat", mode="race", providers=EVERYBODY, parallel=2, stream=stream
    )
    assert metadata(answer)["provider"] == "sim-local"
    assert {outcome for _, outcome in outcomes(answer)} <= {"ok", "overloaded", "hedged"}


@streamed
def test_a_race_that_all_lose_is_a_truthful_error(frail: World, stream: bool) -> None:
    for name in EVERYBODY:
        frail.running.control(name, "down")
    answer = frail.orchestrate(prompt=fresh(), model="sim-chat", mode="race", parallel=4, stream=stream)
    assert (answer.status, len(answer.json["error"]["attempts"])) == (503, 4)


def test_a_race_asks_two_unless_told_and_all_that_are_named(frail: World) -> None:
    frail.running.control("sim-local", "slow", seconds=0.2)
    for name in EVERYBODY[:3]:
        frail.running.control(name, "slow", seconds=0.2)
    assert len(outcomes(frail.orchestrate(prompt=fresh(), model="sim-chat", mode="race"))) == 2
    named = frail.orchestrate(prompt=fresh(), model="sim-chat", mode="race", providers=EVERYBODY[:3])
    assert len(outcomes(named)) == 3
    assert len(outcomes(frail.orchestrate(prompt=fresh(), model="sim-chat", mode="race", parallel=4))) == 4


def test_racers_are_of_different_providers_while_there_are_any(world: World) -> None:
    for _ in range(3):
        answer = world.orchestrate(prompt=fresh(), mode="race", parallel=4)
        assert len({name for name, _ in outcomes(answer)}) == len(outcomes(answer))


def test_a_race_is_kept_like_any_answer_and_remembered_by_a_session(world: World) -> None:
    body: dict[str, Any] = {"prompt": fresh(), "model": "sim-chat", "mode": "race"}
    first, second = (world.orchestrate(**body) for _ in range(2))
    assert second.headers["x-steelyard-cache"] == "hit"
    assert first.json["results"][0]["response"] == second.json["results"][0]["response"]
    session = f"sess_{uuid.uuid4()}"
    answer = world.orchestrate(**body, session_id=session)
    turns = world.get(f"/api/sessions/{session}").json["messages"]
    assert [turn["content"] for turn in turns] == [body["prompt"], answer.json["results"][0]["response"]]


# Comparisons


def test_a_comparison_has_one_result_of_each_in_the_order_named(world: World) -> None:
    order = ["sim-local", "sim-gemini", "sim-openai/sim-gpt-large", "sim-anthropic"]
    answer = world.orchestrate(prompt=fresh(), mode="compare", providers=order)
    results = answer.json["results"]
    assert [one["provider"] for one in results] == ["sim-local", "sim-gemini", "sim-openai", "sim-anthropic"]
    assert results[2]["model"] == "sim-gpt-large"
    for one in results:
        assert f"{one['model']} read:" in one["response"]
        assert 0 <= one["dwa_score"] <= 1
    assert max(one["dwa_score"] for one in results) == 1


def test_without_names_it_asks_the_best_of_each_provider(world: World) -> None:
    answer = world.orchestrate(prompt=fresh(), mode="compare")
    assert sorted(one["provider"] for one in answer.json["results"]) == sorted(EVERYBODY)
    bounded = world.orchestrate(prompt=fresh(), mode="compare", parallel=3)
    assert len(bounded.json["results"]) == 3
    (left,) = bounded.json["metadata"]["not_started"]
    assert left["reason"] == "parallel"
    assert {left["provider"], *(one["provider"] for one in bounded.json["results"])} == set(EVERYBODY)


def test_each_result_is_a_request_of_its_own(keyed: World) -> None:
    answer = keyed.orchestrate(
        ALICE_KEY, prompt=fresh(), model="sim-chat", mode="compare", providers=EVERYBODY[:2], metadata={"team": "a"}
    )
    results, told = answer.json["results"], answer.json["metadata"]
    records = [keyed.record(one["request_id"], ADMIN_KEY) for one in results]
    for result, record in zip(results, records, strict=True):
        assert (record["provider"], record["surface"], record["tags"]) == (result["provider"], "compare", {"team": "a"})
        assert record["cost_usd"] == pytest.approx(result["cost_usd"])
        assert [one["provider"] for one in record["attempts"]] == [result["provider"]]
        explained = keyed.get(f"/api/llm/dwa/explain/{result['request_id']}", ALICE_KEY)
        assert "was the only candidate" in explained.json["summary"]
        vote = keyed.post("/api/feedback", {"request_id": result["request_id"], "score": 1.0}, key=ALICE_KEY)
        assert vote.status in {200, 201}
        assert keyed.get(f"/api/llm/dwa/explain/{result['request_id']}", BOB_KEY).status == 404
    assert told["cost_usd"] == pytest.approx(sum(record["cost_usd"] for record in records))
    assert float(answer.headers["x-steelyard-cost-usd"]) == pytest.approx(told["cost_usd"])
    assert answer.headers["x-steelyard-attempts"] == "2"
    assert "x-steelyard-provider" not in answer.headers
    assert (told["provider"], told["database_logged"], len(told["attempts"])) == (None, True, 2)


def test_the_metrics_count_every_call_once(frail: World) -> None:
    def calls() -> float:
        lines = frail.get("/metrics").body.decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("steelyard_attempts_total{"))

    before = calls()
    frail.orchestrate(prompt=fresh(), model="sim-chat", mode="compare")
    assert calls() == before + 4


@streamed
def test_one_that_fails_is_an_entry_among_the_results(frail: World, stream: bool) -> None:
    frail.running.control("sim-gemini", "down")
    answer = frail.orchestrate(
        prompt=fresh(), model="sim-chat", mode="compare", providers=EVERYBODY[1:3], stream=stream
    )
    told = metadata(answer)
    results = told["results"] if stream else answer.json["results"]
    good, bad = results
    assert "error" not in good
    assert (bad["provider"], bad["model"], bad["cost_usd"]) == ("sim-gemini", "sim-chat", 0)
    assert (bad["error"]["source"], bad["error"]["code"]) == ("provider", "no_healthy_provider")
    assert frail.record(bad["request_id"])["status"] == 503
    if stream:
        (event,) = [data for name, data in answer.events if name == "error"]
        assert (event["provider"], event["request_id"]) == ("sim-gemini", bad["request_id"])
        assert event["error"]["code"] == "no_healthy_provider"


@streamed
def test_only_when_all_fail_has_the_comparison_failed(frail: World, stream: bool) -> None:
    for name in EVERYBODY:
        frail.running.control(name, "throttled", seconds=7)
    answer = frail.orchestrate(prompt=fresh(), model="sim-chat", mode="compare", stream=stream)
    error = answer.json["error"]
    assert (answer.status, error["code"], answer.headers["retry-after"]) == (429, "rate_limit_exceeded", "7")
    assert sorted(one["provider"] for one in error["attempts"]) == sorted(EVERYBODY)


def test_failures_of_different_kinds_are_a_502(frail: World) -> None:
    frail.running.control("sim-openai", "throttled")
    frail.running.control("sim-gemini", "down")
    answer = frail.orchestrate(prompt=fresh(), model="sim-chat", mode="compare", providers=["sim-openai", "sim-gemini"])
    assert (answer.status, answer.json["error"]["code"]) == (502, "none_answered")


def test_what_nobody_can_be_asked_is_the_callers_to_mend(world: World) -> None:
    # One of the two has a seed.
    body: dict[str, Any] = {"model": "sim-chat", "mode": "compare", "seed": 7}
    both = world.orchestrate(prompt=fresh(), providers=["sim-openai", "sim-anthropic"], **body).json["results"]
    assert [one.get("error", {}).get("code") for one in both] == [None, "unsupported_parameter"]
    error = world.orchestrate(prompt=fresh(), providers=["sim-anthropic"], **body).json["error"]
    assert (error["source"], error["param"], error["code"]) == ("caller", "seed", "unsupported_parameter")


def test_who_has_no_such_model_says_so_beside_the_others(world: World) -> None:
    body: dict[str, Any] = {"model": "sim-gpt-small", "providers": ["sim-openai", "sim-local"]}
    good, bad = world.orchestrate(prompt=fresh(), mode="compare", **body).json["results"]
    assert (good["provider"], "error" in good) == ("sim-openai", False)
    assert (bad["provider"], bad["error"]["code"]) == ("sim-local", "provider_not_found")


def test_a_streamed_comparison_says_whose_every_piece_is(world: World) -> None:
    prompt = fresh()
    answer = world.orchestrate(prompt=prompt, model="sim-chat", mode="compare", stream=True)
    told = metadata(answer)
    assert {name for name, _ in answer.events} == {"result.delta", "result.done", "metadata"}
    texts: dict[str, str] = dict.fromkeys(EVERYBODY, "")
    done: dict[str, Any] = {}
    for name, data in answer.events[:-1]:
        assert data["model"] == "sim-chat"
        if name == "result.delta":
            assert data["provider"] not in done, "nothing after the end"
            texts[data["provider"]] += data["text"]
        else:
            done[data["provider"]] = data
    assert done.keys() == texts.keys()
    for name, text in texts.items():
        assert text.startswith(f"[simulated] sim-chat read: {prompt}")
        assert done[name]["usage"]["output_tokens"] == -(-len(text) // 4)
    for result in told["results"]:
        assert result["usage"] == done[result["provider"]]["usage"]
        assert result["finish_reason"] == "stop"
        assert world.record(result["request_id"])["cost_usd"] == pytest.approx(result["cost_usd"])


def test_a_stream_that_breaks_ends_alone(frail: World) -> None:
    frail.running.control("sim-openai", "cut")
    answer = frail.orchestrate(
        prompt=fresh(), model="sim-chat", mode="compare", providers=["sim-openai", "sim-local"], stream=True
    )
    ends = [(name, data["provider"]) for name, data in answer.events[:-1] if name != "result.delta"]
    assert sorted(ends) == [("error", "sim-openai"), ("result.done", "sim-local")]
    assert metadata(answer)["results"][0]["error"]["code"] == "stream_broken"


@streamed
def test_results_are_kept_each_for_itself(world: World, stream: bool) -> None:
    body: dict[str, Any] = {"prompt": fresh(), "model": "sim-chat", "mode": "compare", "stream": stream}
    world.orchestrate(**body, providers=EVERYBODY[:2])
    before = world.asked()
    answer = world.orchestrate(**body, providers=EVERYBODY[1:3])
    assert world.asked() == before + 1, "one of the two was asked the same before"
    results = metadata(answer)["results"] if stream else answer.json["results"]
    assert [one["cached"] for one in results] == [True, False]
    again = world.orchestrate(**body, providers=EVERYBODY[:3])
    assert again.headers["x-steelyard-cache"] == "hit"
    assert metadata(again)["cost_usd"] == 0


# What is asked for reaches everybody

SCHEMA = {
    "type": "object",
    "properties": {"weight": {"type": "integer"}},
    "required": ["weight"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "load", "schema": SCHEMA, "strict": True}}


@pytest.mark.parametrize("mode", ["route", "race", "compare", "fallback"])
def test_an_answer_has_the_shape_asked_for_in_every_mode(world: World, mode: str) -> None:
    answer = world.orchestrate(
        prompt=fresh("Weigh"), model="sim-chat", mode=mode, providers=EVERYBODY[:3], response_format=FORMAT
    )
    results = answer.json["results"]
    assert len(results) == (3 if mode == "compare" else 1)
    for one in results:
        assert one["response"].startswith('{"weight":'), one["response"]


@pytest.mark.parametrize("mode", ["route", "race", "compare"])
def test_a_shape_that_is_none_is_refused_by_name(world: World, mode: str) -> None:
    before = world.asked()
    wrong = {"type": "json_schema", "json_schema": {"name": "load", "schema": "an object"}}
    answer = world.orchestrate(prompt=fresh(), mode=mode, response_format=wrong)
    assert (answer.status, answer.json["error"]["param"]) == (400, "response_format.json_schema.schema")
    assert world.asked() == before


# Bounds on costs


def test_a_comparison_leaves_out_who_would_be_too_dear(world: World) -> None:
    answer = world.orchestrate(prompt=fresh(), model="sim-chat", mode="compare", max_cost_usd=0.0001)
    asked = {one["provider"] for one in answer.json["results"]}
    left = answer.json["metadata"]["not_started"]
    assert {"sim-local"} <= asked
    assert asked | {one["provider"] for one in left} == set(EVERYBODY)
    assert "sim-anthropic" in {one["provider"] for one in left}
    for one in left:
        assert (one["reason"], one["expected_cost_usd"] > 0) == ("max_cost_usd", True)


@streamed
def test_a_race_asks_whom_it_can_afford(frail: World, stream: bool) -> None:
    answer = frail.orchestrate(
        prompt=fresh(), model="sim-chat", mode="race", parallel=4, max_cost_usd=0.0002, max_tokens=50, stream=stream
    )
    left = metadata(answer)["not_started"]
    assert "sim-anthropic" in {one["provider"] for one in left}
    assert {name for name, _ in outcomes(answer)}.isdisjoint(one["provider"] for one in left)


@pytest.mark.parametrize("mode", ["route", "race", "compare", "fallback"])
def test_a_bound_below_everybody_is_refused_before_anybody_is_asked(world: World, mode: str) -> None:
    before = world.asked()
    answer = world.orchestrate(
        prompt=fresh(), model="sim-chat", mode=mode, providers=["sim-openai", "sim-anthropic"], max_cost_usd=1e-9
    )
    error = answer.json["error"]
    assert (answer.status, error["param"], error["code"]) == (400, "max_cost_usd", "max_cost_exceeded")
    assert "sim-openai/sim-chat" in error["message"], "the cheapest is named"
    assert world.asked() == before
    assert world.record(answer.headers["x-steelyard-request-id"])["status"] == 400


def test_the_choice_is_explained_among_those_who_fit(frail: World) -> None:
    answer = frail.orchestrate(prompt=fresh(), model="sim-chat", max_cost_usd=1e-6)
    assert outcomes(answer) == [("sim-local", "ok")]
    record = frail.record(answer.headers["x-steelyard-request-id"])
    assert record["decision"]["keys"] == ["sim-local/sim-chat"]


def test_a_bound_holds_for_one_at_a_time_too(frail: World) -> None:
    order = ["sim-anthropic", "sim-local"]
    body: dict[str, Any] = {"model": "sim-chat", "mode": "fallback", "providers": order}
    answer = frail.orchestrate(prompt=fresh(), **body, max_cost_usd=1e-6)
    assert outcomes(answer) == [("sim-local", "ok")]
    assert [one["provider"] for one in metadata(answer)["not_started"]] == ["sim-anthropic"]
    assert outcomes(frail.orchestrate(prompt=fresh(), **body, max_cost_usd=1.0)) == [("sim-anthropic", "ok")]
