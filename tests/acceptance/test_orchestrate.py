"""`POST /api/llm/orchestrate`: the answer's shape, who may answer, the cache, streams, sessions."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.acceptance.driving import ALICE_KEY, BOB_KEY, CHAT_MODELS, OPENAI, World

RESULT: dict[str, type | tuple[type, ...]] = {
    "provider": str,
    "model": str,
    "response": str,
    "response_time": float,
    "tokens_used": int,
    "usage": dict,
    "cost_usd": (int, float),
    "cached": bool,
    "dwa_score": float,
    "finish_reason": str,
}
METADATA: dict[str, type | tuple[type, ...]] = {
    "total_response_time": float,
    "overhead_ms": float,
    "cached_response": bool,
    "dwa_selection_reason": str,
    "strategy": str,
    "objective": str,
    "attempts": list,
    "session_id": type(None),
    "database_logged": bool,
}


def fresh(said: str = "Hello") -> str:
    """A question that no other test has asked, so that the cache does not know it."""
    return f"{said} {uuid.uuid4()}"


def typed(found: dict[str, Any], expected: dict[str, type | tuple[type, ...]]) -> None:
    assert expected.keys() <= found.keys()
    for name, kind in expected.items():
        assert isinstance(found[name], kind), f"{name}: {found[name]!r}"


@pytest.mark.parametrize("model", [*CHAT_MODELS, "auto", "sim-chat"])
def test_the_answer_has_every_field_of_the_contract(world: World, model: str) -> None:
    answer = world.orchestrate(model=model, prompt=fresh())
    assert answer.status == 200
    body = answer.json
    assert body.keys() == {"request_id", "results", "metadata"}
    assert body["request_id"] == answer.headers["x-steelyard-request-id"]
    (result,) = body["results"]
    typed(result, RESULT)
    typed(body["metadata"], METADATA)
    assert result["simulated"] is True
    assert result["tokens_used"] == result["usage"]["input_tokens"] + result["usage"]["output_tokens"]
    assert 0 <= result["dwa_score"] <= 1
    (attempt,) = body["metadata"]["attempts"]
    assert (attempt["provider"], attempt["outcome"]) == (result["provider"], "ok")
    assert isinstance(attempt["seconds"], float)
    assert body["metadata"]["database_logged"] is True
    assert world.record(body["request_id"])["surface"] == "orchestrate"


def test_messages_are_taken_instead_of_a_prompt(world: World) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": fresh("Weigh it")}]
    assert "read: Weigh it" in world.orchestrate(messages=turns).json["results"][0]["response"]


@pytest.mark.parametrize(
    ("providers", "allowed"),
    [
        (["sim-gemini"], ["sim-gemini"]),
        (["sim-gemini", "sim-local"], ["sim-gemini", "sim-local"]),
        (["sim-anthropic/sim-claude-large"], ["sim-anthropic"]),
    ],
    ids=str,
)
def test_only_the_named_providers_answer(world: World, providers: list[str], allowed: list[str]) -> None:
    for _ in range(4):
        result = world.orchestrate(prompt=fresh(), providers=providers).json["results"][0]
        assert result["provider"] in allowed
        if "/" in providers[0]:
            assert f"{result['provider']}/{result['model']}" == providers[0]


def test_the_header_names_providers_too(world: World) -> None:
    for _ in range(4):
        answer = world.chat("Hello", "sim-chat", headers={"X-Steelyard-Providers": "sim-gemini, sim-local"})
        assert answer.headers["x-steelyard-provider"] in {"sim-gemini", "sim-local"}


def test_fallback_tries_in_the_order_given(frail: World) -> None:
    order = ["sim-local", "sim-gemini", "sim-openai"]
    first = frail.orchestrate(prompt=fresh(), mode="fallback", providers=order).json
    assert first["results"][0]["provider"] == "sim-local"
    frail.running.control("sim-local", "down")
    second = frail.orchestrate(prompt=fresh(), mode="fallback", providers=order).json
    assert second["results"][0]["provider"] == "sim-gemini"
    outcomes = [(one["provider"], one["outcome"] == "ok") for one in second["metadata"]["attempts"]]
    # sim-local has three models, and each may be tried before the next provider's turn.
    assert outcomes[0] == ("sim-local", False)
    assert outcomes[-1] == ("sim-gemini", True)
    assert {provider for provider, _ in outcomes} == {"sim-local", "sim-gemini"}


def test_fallback_keeps_to_the_order_for_one_model(frail: World) -> None:
    frail.running.control("sim-anthropic", "garbled")
    order = ["sim-anthropic", "sim-local"]
    found = frail.orchestrate(prompt=fresh(), model="sim-chat", mode="fallback", providers=order).json
    assert [one["provider"] for one in found["metadata"]["attempts"]] == order


@pytest.mark.parametrize(
    "strategy", ["round_robin", "random", "priority", "weighted", "least_busy", "latency", "cost", "p2c_ewma"]
)
def test_every_strategy_answers_and_is_named(world: World, strategy: str) -> None:
    body = world.orchestrate(prompt=fresh(), strategy=strategy).json
    assert body["metadata"]["strategy"] == strategy
    assert body["metadata"]["dwa_selection_reason"]


@pytest.mark.parametrize(
    ("objective", "shown"),
    [("cheapest", "cheapest"), ("fastest", "fastest"), ({"latency": 1, "cost": 2}, "custom")],
    ids=str,
)
def test_an_objective_is_a_name_or_weights(world: World, objective: object, shown: str) -> None:
    body = world.orchestrate(prompt=fresh(), objective=objective).json
    assert body["metadata"]["objective"] == shown


def test_the_cost_strategy_chooses_the_free_provider(world: World) -> None:
    body = world.orchestrate(prompt=fresh(), model="sim-chat", strategy="cost").json
    assert body["results"][0]["provider"] == "sim-local"
    assert body["results"][0]["cost_usd"] == 0


def test_the_second_answer_is_the_first_from_the_cache(world: World) -> None:
    prompt = fresh()
    before = world.asked()
    first, second = (world.orchestrate(prompt=prompt) for _ in range(2))
    assert world.asked() == before + 1
    one, other = first.json["results"][0], second.json["results"][0]
    assert (one["cached"], other["cached"]) == (False, True)
    assert second.json["metadata"]["cached_response"] is True
    assert other["cost_usd"] == 0
    assert {name: one[name] for name in ("provider", "model", "response", "usage")} == {
        name: other[name] for name in ("provider", "model", "response", "usage")
    }
    assert first.json["request_id"] != second.json["request_id"]
    assert second.headers["x-steelyard-cache"] == "hit"


def test_two_callers_share_no_answer(keyed: World) -> None:
    prompt = fresh()
    keys = (ALICE_KEY, BOB_KEY, ALICE_KEY, BOB_KEY)
    cached = [keyed.orchestrate(key, prompt=prompt).json["results"][0]["cached"] for key in keys]
    assert cached == [False, False, True, True]


def test_cache_false_neither_reads_nor_writes(world: World) -> None:
    prompt = fresh()
    answers = [world.orchestrate(prompt=prompt, cache=False) for _ in range(2)]
    assert [one.headers["x-steelyard-cache"] for one in answers] == ["bypass", "bypass"]
    assert world.orchestrate(prompt=prompt).headers["x-steelyard-cache"] == "miss"


def test_refresh_asks_anew_and_keeps_the_answer(world: World) -> None:
    prompt = fresh()
    world.orchestrate(prompt=prompt)
    before = world.asked()
    assert world.orchestrate(prompt=prompt, cache={"refresh": True}).headers["x-steelyard-cache"] == "miss"
    assert world.asked() == before + 1
    assert world.orchestrate(prompt=prompt).headers["x-steelyard-cache"] == "hit"


def test_another_question_is_another_answer(world: World) -> None:
    prompt = fresh()
    world.orchestrate(prompt=prompt, model="sim-chat")
    others: list[dict[str, Any]] = [
        {"temperature": 0.5},
        {"max_tokens": 7},
        {"providers": ["sim-openai"]},
        {"stop": "x"},
    ]
    for more in others:
        assert world.orchestrate(prompt=prompt, model="sim-chat", **more).headers["x-steelyard-cache"] == "miss"


def test_an_error_is_not_kept(frail: World) -> None:
    prompt = fresh()
    frail.running.control("sim-openai", "down", requests=1)
    assert frail.orchestrate(prompt=prompt, model=OPENAI).status == 503
    assert frail.orchestrate(prompt=prompt, model=OPENAI).status == 200


@pytest.mark.parametrize("model", CHAT_MODELS)
def test_a_stream_tells_deltas_then_done_then_metadata(world: World, model: str) -> None:
    answer = world.orchestrate(prompt=fresh(), model=model, stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = [name for name, _ in answer.events]
    assert names[-2:] == ["result.done", "metadata"]
    assert set(names[:-2]) == {"result.delta"}
    text = "".join(data["text"] for name, data in answer.events if name == "result.delta")
    done, metadata = answer.events[-2][1], answer.events[-1][1]
    assert text.startswith("[simulated] sim-chat read:")
    assert done["finish_reason"] == "stop"
    assert done["usage"]["output_tokens"] == -(-len(text) // 4)
    assert metadata["request_id"] == answer.headers["x-steelyard-request-id"]
    typed(metadata, METADATA)
    assert metadata["attempts"][0]["outcome"] == "ok"


def test_a_stream_is_kept_as_a_stream(world: World) -> None:
    prompt = fresh()
    first, second = (world.orchestrate(prompt=prompt, stream=True) for _ in range(2))
    assert second.headers["x-steelyard-cache"] == "hit"
    assert first.events[:-1] == second.events[:-1]
    assert second.events[-1][1]["cached_response"] is True


def test_a_broken_stream_ends_in_an_error_event(frail: World) -> None:
    answer = frail.orchestrate(prompt="#sim fail=cut", model=OPENAI, stream=True)
    names = [name for name, _ in answer.events]
    assert names[0] == "result.delta"
    assert names[-1] == "error"
    assert "metadata" not in names
    assert answer.events[-1][1]["error"]["code"] == "stream_broken"


def test_a_broken_stream_is_not_kept(frail: World) -> None:
    # The simulator reads the directive in each of them; what counts is that it is asked each time.
    before = frail.asked()
    for _ in range(2):
        frail.orchestrate(prompt="#sim fail=cut", model=OPENAI, stream=True)
    assert frail.asked() == before + 2


def test_tools_come_back_as_calls(world: World) -> None:
    tool = {"type": "function", "function": {"name": "weigh", "parameters": {"type": "object"}}}
    result = world.orchestrate(prompt=fresh(), tools=[tool], tool_choice="required").json["results"][0]
    assert result["finish_reason"] == "tool_calls"
    assert result["tool_calls"][0]["name"] == "weigh"
    streamed = world.orchestrate(prompt=fresh(), tools=[tool], tool_choice="required", stream=True)
    calls = [data["tool_call"] for name, data in streamed.events if name == "result.delta"]
    assert calls[0]["name"] == "weigh"


BAD: list[tuple[str, dict[str, Any], str, int]] = [
    ("neither prompt nor messages", {}, "prompt", 400),
    ("both", {"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, "prompt", 400),
    ("an empty prompt", {"prompt": "  "}, "prompt", 400),
    ("no messages", {"messages": []}, "messages", 400),
    ("an unknown field", {"prompt": "a", "promt": "b"}, "promt", 400),
    ("a wrong type", {"prompt": 5}, "prompt", 400),
    ("an unknown mode", {"prompt": "a", "mode": "guess"}, "mode", 400),
    ("fallback without providers", {"prompt": "a", "mode": "fallback"}, "providers", 400),
    ("an unknown provider", {"prompt": "a", "providers": ["nobody"]}, "providers", 400),
    ("one provider of two unknown", {"prompt": "a", "providers": ["sim-openai", "nobody"]}, "providers", 400),
    ("an unknown strategy", {"prompt": "a", "strategy": "best"}, "strategy", 400),
    ("an unknown objective", {"prompt": "a", "objective": "nicest"}, "objective", 400),
    ("an unknown weight", {"prompt": "a", "objective": {"beauty": 1}}, "objective.beauty", 400),
    ("a negative weight", {"prompt": "a", "objective": {"cost": -1}}, "objective.cost", 400),
    ("no time", {"prompt": "a", "timeout": 0}, "timeout", 400),
    ("nobody at a time", {"prompt": "a", "mode": "race", "parallel": 0}, "parallel", 400),
    ("a crowd", {"prompt": "a", "mode": "race", "parallel": 9}, "parallel", 400),
    ("several of one", {"prompt": "a", "parallel": 2}, "parallel", 400),
    ("a bound of nothing", {"prompt": "a", "max_cost_usd": 0}, "max_cost_usd", 400),
    ("a strategy for everybody", {"prompt": "a", "mode": "compare", "strategy": "cost"}, "strategy", 400),
    ("a session of many answers", {"prompt": "a", "mode": "compare", "session_id": "s"}, "session_id", 400),
    ("too many to compare", {"prompt": "a", "mode": "compare", "providers": ["p"] * 9}, "providers", 400),
    ("comparing with nobody", {"prompt": "a", "mode": "compare", "providers": ["nobody"]}, "providers", 400),
    ("a model that is none", {"prompt": "a", "model": "sim-chatt"}, "model", 404),
    ("an empty model", {"prompt": "a", "model": ""}, "model", 400),
    ("a hostile session", {"prompt": "a", "session_id": "a b\n"}, "session_id", 400),
    ("a cache that is none", {"prompt": "a", "cache": "yes"}, "cache", 400),
    ("a cache for no time", {"prompt": "a", "cache": {"ttl": 0}}, "cache.ttl", 400),
]


@pytest.mark.parametrize(
    ("body", "param", "status"),
    [pytest.param(*case[1:], id=case[0]) for case in BAD],
)
def test_what_is_wrong_is_refused_by_name(world: World, body: dict[str, Any], param: str, status: int) -> None:
    before = world.asked()
    answer = world.post("/api/llm/orchestrate", body)
    assert answer.status == status
    error = answer.json["error"]
    assert error["param"] == param
    assert error["source"] == "caller"
    assert answer.json["request_id"] == answer.headers["x-steelyard-request-id"]
    assert world.asked() == before


# Sessions


def test_a_session_keeps_its_turns(world: World) -> None:
    session = f"sess_{uuid.uuid4()}"
    first = world.orchestrate(prompt="I have a sack.", session_id=session).json
    assert first["metadata"]["session_id"] == session
    world.orchestrate(prompt="How heavy?", session_id=session)
    found = world.get(f"/api/sessions/{session}").json
    assert [turn["role"] for turn in found["messages"]] == ["user", "assistant", "user", "assistant"]
    assert found["messages"][0]["content"] == "I have a sack."
    assert found["messages"][1]["content"] == first["results"][0]["response"]
    assert found["created_at"].endswith("Z")


def test_the_earlier_turns_are_sent_along(world: World) -> None:
    session = f"sess_{uuid.uuid4()}"
    body: dict[str, Any] = {"model": OPENAI, "session_id": session}
    first = world.orchestrate(prompt="One", **body).json["results"][0]
    second = world.orchestrate(prompt="Two", **body).json["results"][0]
    texts = "\n".join(["One", first["response"], "Two"])
    assert second["usage"]["input_tokens"] == -(-len(texts) // 4)


def test_a_streamed_turn_is_kept_too(world: World) -> None:
    session = f"sess_{uuid.uuid4()}"
    answer = world.orchestrate(prompt="One", session_id=session, stream=True)
    text = "".join(data["text"] for name, data in answer.events if name == "result.delta")
    found = world.get(f"/api/sessions/{session}").json
    assert [turn["content"] for turn in found["messages"]] == ["One", text]


def test_a_session_asks_anew(world: World) -> None:
    session = f"sess_{uuid.uuid4()}"
    answers = [world.orchestrate(prompt="The same", session_id=session) for _ in range(2)]
    assert [one.headers["x-steelyard-cache"] for one in answers] == ["bypass", "bypass"]


def test_what_is_null_in_the_chat_part_is_not_set(world: World) -> None:
    unset = dict.fromkeys(["stream", "temperature", "top_p", "max_tokens", "stop", "seed", "tools", "logprobs"])
    answer = world.orchestrate(prompt=fresh(), user="me", **unset)
    assert answer.status == 200, answer.body
    assert answer.json["metadata"]["strategy"] == "load_balanced"
    refused = world.orchestrate(prompt=None, temperature=None)
    assert (refused.status, refused.json["error"]["param"]) == (400, "prompt")
    unknown = world.orchestrate(prompt="Hello", temperature=None, temprature=None)
    assert (unknown.status, unknown.json["error"]["param"]) == (400, "temprature")


def test_the_header_names_a_session_too(world: World) -> None:
    session = f"sess_{uuid.uuid4()}"
    world.post("/api/llm/orchestrate", {"prompt": "One"}, X_Steelyard_Session_Id=session)
    assert world.get(f"/api/sessions/{session}").status == 200


def test_a_failed_turn_leaves_no_trace(frail: World) -> None:
    session = f"sess_{uuid.uuid4()}"
    assert frail.orchestrate(prompt="#sim fail=down", model=OPENAI, session_id=session).status == 503
    assert frail.get(f"/api/sessions/{session}").status == 404


def test_sessions_are_listed_paged_and_deleted(keyed: World) -> None:
    names = [f"sess_{uuid.uuid4()}" for _ in range(3)]
    for name in names:
        keyed.orchestrate(BOB_KEY, prompt="One", session_id=name)
    first = keyed.get("/api/sessions?limit=2", BOB_KEY).json
    assert [one["id"] for one in first["sessions"]] == [names[2], names[1]]
    rest = keyed.get(f"/api/sessions?limit=2&after={first['next_after']}", BOB_KEY).json
    assert rest["sessions"][0]["id"] == names[0]
    for name in names:
        assert keyed.call("DELETE", f"/api/sessions/{name}", key=BOB_KEY).status == 204
        assert keyed.get(f"/api/sessions/{name}", BOB_KEY).status == 404
        assert keyed.call("DELETE", f"/api/sessions/{name}", key=BOB_KEY).status == 404


def test_nobody_sees_anothers_session(keyed: World) -> None:
    session = f"sess_{uuid.uuid4()}"
    keyed.orchestrate(ALICE_KEY, prompt="A secret", session_id=session)
    assert keyed.get(f"/api/sessions/{session}", BOB_KEY).status == 404
    assert keyed.call("DELETE", f"/api/sessions/{session}", key=BOB_KEY).status == 404
    assert session not in [one["id"] for one in keyed.get("/api/sessions?limit=500", BOB_KEY).json["sessions"]]
    # The same name is another conversation for another caller.
    keyed.orchestrate(BOB_KEY, prompt="Mine", session_id=session)
    found = keyed.get(f"/api/sessions/{session}", ALICE_KEY).json
    assert [turn["content"] for turn in found["messages"] if turn["role"] == "user"] == ["A secret"]
