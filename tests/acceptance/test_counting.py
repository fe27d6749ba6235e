"""Tokens of a prompt: counted by the provider where it can, estimated where none can, and the two never mixed up."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from tests.acceptance.driving import ALICE_KEY, ANTHROPIC, GEMINI, OPENAI, PIXEL, Answer, World
from tests.acceptance.test_gemini_callers import connect

IMAGE_TOKENS = 85
SAID = "How many tokens is this?"
COUNTERS = [ANTHROPIC, GEMINI]
SURFACES = ["messages", "gemini", "responses"]
every_counter = pytest.mark.parametrize("model", COUNTERS)
each_surface = pytest.mark.parametrize("surface", SURFACES)


def tokens(*texts: str) -> int:
    return -(-len("\n".join(texts)) // 4)


def count(world: World, surface: str, model: str, said: str = SAID, *, key: str | None = None, **more: Any) -> Answer:
    """Count one user message; `headers` among `more` go out as headers, the rest into the body."""
    headers = more.pop("headers", {})
    if surface == "messages":
        body = {"model": model, "messages": [{"role": "user", "content": said}], **more}
        return world.post("/v1/messages/count_tokens", body, key=key, **headers)
    if surface == "responses":
        return world.post("/v1/responses/input_tokens", {"model": model, "input": said, **more}, key=key, **headers)
    body = {"contents": [{"parts": [{"text": said}]}], **more}
    return world.post(f"/v1beta/models/{model}:countTokens", body, key=key, **headers)


def counted(answer: Answer) -> int:
    assert answer.status == 200, answer.body
    return answer.json.get("input_tokens", answer.json.get("totalTokens"))


@every_counter
@each_surface
def test_the_provider_counts(world: World, surface: str, model: str) -> None:
    before = world.asked(model.split("/")[0])
    answer = count(world, surface, model)
    assert counted(answer) == tokens(SAID)
    assert answer.headers["x-steelyard-token-count"] == "provider"
    assert f"{answer.headers['x-steelyard-provider']}/{answer.headers['x-steelyard-model']}" == model
    assert (answer.headers["x-steelyard-attempts"], answer.headers["x-steelyard-cost-usd"]) == ("1", "0")
    assert "x-steelyard-strategy" not in answer.headers
    assert world.asked(model.split("/")[0]) == before + 1


@each_surface
def test_where_nobody_counts_the_estimate_says_so(world: World, surface: str) -> None:
    before = world.asked()
    long, short = count(world, surface, OPENAI, SAID * 100), count(world, surface, OPENAI, SAID)
    assert short.headers["x-steelyard-token-count"] == "estimate"
    assert (short.headers["x-steelyard-provider"], short.headers["x-steelyard-attempts"]) == ("sim-openai", "0")
    assert counted(long) - counted(short) == len(SAID) * 99 // 4
    assert world.asked() == before


@every_counter
def test_anthropics_sdk_counts_a_whole_prompt(claude: anthropic.Anthropic, model: str) -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    tool = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
    body: dict[str, Any] = {
        "model": model,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": [picture, {"type": "text", "text": SAID}]}],
    }
    assert claude.messages.count_tokens(**body).input_tokens == tokens("Be brief.", SAID) + IMAGE_TOKENS
    body["tools"] = [tool]
    told: Any = claude.messages.create(max_tokens=10, **body)
    assert told.usage.input_tokens == claude.messages.count_tokens(**body).input_tokens


@every_counter
def test_openais_sdk_counts_a_conversation(chatgpt: openai.OpenAI, model: str) -> None:
    first = chatgpt.responses.create(model=OPENAI, input="Begin.", instructions="Be brief.")
    item: Any = {"type": "item_reference", "id": first.output[0].id}
    for given, previous, said in (
        (SAID, None, [SAID]),
        (SAID, first.id, ["Begin.", first.output_text, SAID]),
        ([item, {"role": "user", "content": SAID}], None, [first.output_text, SAID]),
    ):
        more: Any = {"model": model, "input": given, "previous_response_id": previous}
        told = chatgpt.responses.input_tokens.count(**more)
        assert (told.object, told.input_tokens) == ("response.input_tokens", tokens(*said))
        answer = chatgpt.responses.create(**more)
        assert answer.usage is not None
        assert answer.usage.input_tokens == told.input_tokens
    with pytest.raises(openai.BadRequestError) as caught:
        chatgpt.responses.input_tokens.count(model=model, input=SAID, previous_response_id="resp_none")
    assert caught.value.code == "previous_response_not_found"


@pytest.mark.parametrize("model", [*COUNTERS, OPENAI, "auto"])
def test_googles_sdk_counts(world: World, model: str) -> None:
    with connect(world) as client:
        assert client.models.count_tokens(model=model, contents=SAID).total_tokens
        if model in COUNTERS:
            assert client.models.count_tokens(model=model, contents=SAID).total_tokens == tokens(SAID)


@every_counter
@pytest.mark.parametrize("spelling", ["generateContentRequest", "generate_content_request"])
def test_a_whole_request_is_counted_with_its_system_text(world: World, model: str, spelling: str) -> None:
    asked = {
        "model": "models/whatever-the-caller-calls-it",
        "contents": [{"parts": [{"text": SAID}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"maxOutputTokens": 7, "temperature": 0.5},
    }
    answer = world.post(f"/v1beta/models/{model}:countTokens", {spelling: asked})
    assert counted(answer) == tokens("Be brief.", SAID)


def test_bytes_for_the_same_format_are_untouched(world: World) -> None:
    ours = count(world, "gemini", GEMINI)
    # No translation writes this field.
    assert ours.json["promptTokensDetails"] == [{"modality": "TEXT", "tokenCount": tokens(SAID)}]
    for surface, model in (("messages", ANTHROPIC), ("gemini", GEMINI)):
        refused = count(world, surface, model, brand_new=1)
        assert refused.status == 400
        assert "brand_new" in json.dumps(refused.json) or "brandNew" in json.dumps(refused.json)


@each_surface
def test_a_field_that_the_counter_lacks_is_refused_by_name_or_dropped_aloud(world: World, surface: str) -> None:
    cases: dict[str, tuple[str, Any, str]] = {
        "messages": (GEMINI, {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}, "tools[0]"),
        "gemini": (ANTHROPIC, {"tools": [{"codeExecution": {}}]}, "tools.codeExecution"),
        "responses": (
            ANTHROPIC,
            {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
            "tools[0] (code_interpreter)",
        ),
    }
    model, more, name = cases[surface]
    refused = count(world, surface, model, **more)
    assert refused.status == 400
    assert name in refused.json["error"]["message"]
    dropped = count(world, surface, model, **more, headers={"x_steelyard_drop_params": "true"})
    assert counted(dropped) == tokens(SAID)
    assert dropped.headers["x-steelyard-dropped-params"].startswith(name)


@each_surface
def test_another_candidate_counts_when_one_fails(frail: World, surface: str) -> None:
    for broken, other in (("sim-anthropic", "sim-gemini"), ("sim-gemini", "sim-anthropic")):
        frail.forget()
        frail.running.control(broken, "down")
        answer = count(frail, surface, "sim-chat")
        assert counted(answer) == tokens(SAID)
        assert answer.headers["x-steelyard-provider"] == other


@each_surface
def test_an_estimate_never_stands_in_for_the_only_counter(frail: World, surface: str) -> None:
    frail.running.control("sim-anthropic", "throttled")
    answer = count(frail, surface, ANTHROPIC)
    assert answer.status == 429
    assert "retry-after" in answer.headers
    assert "sim-anthropic" in json.dumps(answer.json)
    for provider in ("sim-anthropic", "sim-gemini"):
        frail.running.control(provider, "down")
    fallback = count(frail, surface, "sim-chat")
    assert fallback.headers["x-steelyard-token-count"] == "estimate"
    assert fallback.headers["x-steelyard-provider"] not in {"sim-anthropic", "sim-gemini"}


@each_surface
def test_a_counter_that_says_nothing_is_waited_for_no_longer_than_the_caller_wants(frail: World, surface: str) -> None:
    frail.running.control("sim-gemini", "hang")
    answer = count(frail, surface, GEMINI, headers={"x_steelyard_timeout_ms": "100"})
    assert answer.status == 408
    assert "sim-gemini" in json.dumps(answer.json)


def test_counting_teaches_the_dwa_nothing_and_is_no_record(frail: World) -> None:
    answers = [count(frail, surface, model) for surface in SURFACES for model in COUNTERS]
    assert [answer.status for answer in answers] == [200] * len(answers)
    frail.running.control("sim-gemini", "down")
    assert count(frail, "gemini", GEMINI).status == 503
    rows = frail.get("/api/llm/dwa/stats").json["deployments"]
    assert {row["requests"] for row in rows} == {0}
    assert frail.get(f"/api/db/requests/{answers[0].headers['x-steelyard-request-id']}").status == 404
    told = frail.get("/metrics").body.decode()
    assert 'steelyard_requests_total{cache="bypass",outcome="ok",status="200",surface="count_tokens"}' in told
    assert 'steelyard_attempts_total{model="sim-chat",outcome="counted",provider="sim-anthropic"}' in told


@each_surface
def test_it_needs_a_key_a_known_model_and_a_prompt(keyed: World, surface: str) -> None:
    assert count(keyed, surface, ANTHROPIC).status == 401
    assert counted(count(keyed, surface, ANTHROPIC, key=ALICE_KEY)) == tokens(SAID)
    assert count(keyed, surface, "nobody", key=ALICE_KEY).status == 404
    empty: dict[str, Any] = {"messages": {"messages": []}, "gemini": {"contents": []}, "responses": {"input": None}}
    assert count(keyed, surface, ANTHROPIC, key=ALICE_KEY, **empty[surface]).status == 400


def test_a_prompt_too_long_for_any_window_can_still_be_counted(world: World) -> None:
    long = "heavy " * 200_000
    assert counted(count(world, "messages", ANTHROPIC, long)) == tokens(long)


async def test_the_async_sdks_count_too(world: World, async_claude: anthropic.AsyncAnthropic) -> None:
    told = await async_claude.messages.count_tokens(model=GEMINI, messages=[{"role": "user", "content": SAID}])
    assert told.input_tokens == tokens(SAID)


def test_a_whole_request_must_be_one(world: World) -> None:
    answer = world.post(f"/v1beta/models/{GEMINI}:countTokens", {"generateContentRequest": [1]})
    assert (answer.status, answer.json["error"]["status"]) == (400, "INVALID_ARGUMENT")


def test_the_sdk_raises_googles_error(world: World) -> None:
    with connect(world) as client, pytest.raises(genai.errors.ClientError) as caught:
        client.models.count_tokens(model="gemini-nobody", contents=SAID)
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
