"""What the Gemini addresses say that Google's SDK hides or never asks: errors, arrays, keys in the URL, odd paths."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors

from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, ANTHROPIC, CHAT_MODELS, GEMINI, OPENAI, Answer, World
from tests.acceptance.test_gemini_callers import ask, connect

every_dialect = pytest.mark.parametrize("model", CHAT_MODELS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
WHOLE, EVENTS, ARRAY = "generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent"
each_form = pytest.mark.parametrize("verb", [WHOLE, EVENTS, ARRAY], ids=["whole", "events", "array"])
RPC = "type.googleapis.com/google.rpc."


@pytest.fixture
def gemini(frail: World) -> Iterator[genai.Client]:
    with connect(frail) as client:
        yield client


def post(world: World, said: str, model: str = GEMINI, verb: str = WHOLE, **more: Any) -> Answer:
    """One user message; `headers` among `more` go out as headers, the rest into the body."""
    headers = more.pop("headers", {})
    body = {"contents": [{"role": "user", "parts": [{"text": said}]}], **more}
    return world.post(f"/v1beta/models/{model}:{verb}", body, **headers)


def chunks_of(answer: Answer) -> list[Any]:
    """The chunks of an answer in any of the three forms, whose type says which it is."""
    if answer.headers["content-type"].startswith("text/event-stream"):
        return [json.loads(block[6:]) for block in answer.body.decode().split("\r\n\r\n") if block]
    return answer.json if isinstance(answer.json, list) else [answer.json]


def text_of(answer: Answer) -> str:
    parts = [part for chunk in chunks_of(answer) for one in chunk["candidates"] for part in one["content"]["parts"]]
    return "".join(part["text"] for part in parts)


def details_of(error: Any) -> dict[str, Any]:
    return {one["@type"].removeprefix(RPC): one for one in error["details"]}


@every_dialect
def test_without_alt_sse_a_stream_is_one_json_array(world: World, model: str) -> None:
    events = post(world, "Hello", model, f"{ARRAY}?x=1&%24alt=sse")
    assert events.headers["content-type"].startswith("text/event-stream")
    answer = post(world, "Hello", model, ARRAY)
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.json) > 2
    assert text_of(answer) == text_of(post(world, "Hello", model)) == text_of(post(world, "Hello", model, EVENTS))
    assert answer.json[-1]["candidates"][0]["finishReason"] == "STOP"


@each_form
@every_dialect
def test_every_answer_tells_its_facts(world: World, model: str, verb: str) -> None:
    answer = post(world, "Hello", model, verb)
    assert f"{answer.headers['x-steelyard-provider']}/{answer.headers['x-steelyard-model']}" == model
    assert answer.headers["x-steelyard-attempts"] == "1"
    assert ("x-steelyard-cost-usd" in answer.headers) == (verb == WHOLE)
    record = world.record(answer.headers["x-steelyard-request-id"])
    surface = "generate_content" if verb == WHOLE else "stream_generate_content"
    assert (record["surface"], record["stream"], record["outcome"]) == (surface, verb != WHOLE, "ok")
    assert record["output_tokens"] > 0


def test_a_stream_is_cached_once_for_both_of_its_forms_and_apart_from_the_whole(world: World) -> None:
    said = str(uuid.uuid4())
    found = [post(world, said, verb=verb, generationConfig={"temperature": 0}) for verb in (EVENTS, ARRAY, WHOLE) * 2]
    assert [one.headers["x-steelyard-cache"] for one in found] == ["miss", "hit", "miss", "hit", "hit", "hit"]
    assert len({text_of(one) for one in found}) == 1
    assert found[1].body == found[4].body
    other = post(world, said, verb=WHOLE, generationConfig={"temperature": 0, "topK": 3})
    assert other.headers["x-steelyard-cache"] == "miss"


@each_form
def test_bytes_for_the_same_format_are_untouched(world: World, verb: str) -> None:
    # The simulator is as strict as Google: its complaint proves that the field came through.
    answer = post(world, "Hello", GEMINI, verb, brandNew={"a": 1})
    (told,) = chunks_of(answer)
    assert answer.status == 400
    assert 'Unknown name "brandNew"' in told["error"]["message"]
    snake = post(world, "Hello", GEMINI, verb, generation_config={"max_output_tokens": 2})
    assert chunks_of(snake)[-1]["usageMetadata"]["promptTokensDetails"]


@each_form
@pytest.mark.parametrize("model", [OPENAI, ANTHROPIC])
def test_what_a_format_cannot_express_is_refused_by_name_or_dropped_aloud(world: World, model: str, verb: str) -> None:
    unheard: dict[str, Any] = {
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "cachedContent": "cachedContents/a",
        "tools": [{"codeExecution": {}}],
    }
    names = {"safetySettings", "cachedContent", "tools.codeExecution"}
    before = world.asked()
    refused = post(world, "Hello", model, verb, **unheard)
    (told,) = chunks_of(refused)
    assert (refused.status, told["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert all(name in told["error"]["message"] for name in (*names, model))
    assert world.asked() == before
    dropped = post(world, "Hello", model, verb, **unheard, headers={"x_steelyard_drop_params": "true"})
    assert dropped.status == 200
    assert set(dropped.headers["x-steelyard-dropped-params"].split(",")) == names


@pytest.mark.parametrize(
    ("model", "config", "names"),
    [
        (ANTHROPIC, {"presencePenalty": 1, "seed": 7}, ["generationConfig.presencePenalty", "generationConfig.seed"]),
        (ANTHROPIC, {"temperature": 1.5}, ["generationConfig.temperature"]),
        (ANTHROPIC, {"responseLogprobs": True}, ["generationConfig.responseLogprobs"]),
        (OPENAI, {"top_k": 3}, ["generationConfig.topK"]),
        (
            OPENAI,
            {"thinkingConfig": {"thinkingBudget": 2000, "includeThoughts": True}},
            ["generationConfig.thinkingConfig.includeThoughts"],
        ),
    ],
)
def test_fields_are_named_as_the_caller_calls_them(
    world: World, model: str, config: dict[str, Any], names: list[str]
) -> None:
    refused = post(world, "Hello", model, generationConfig=config).json["error"]
    assert f"Not supported by {model}: {', '.join(names)}." in refused["message"]
    assert details_of(refused)["BadRequest"]["fieldViolations"][0]["field"] == names[0]
    dropped = post(world, "Hello", model, generationConfig=config, headers={"x_steelyard_drop_params": "true"})
    assert sorted(dropped.headers["x-steelyard-dropped-params"].split(",")) == names


@each_form
def test_a_blocked_prompt_is_an_answer_as_at_google(frail: World, verb: str) -> None:
    answer = post(frail, "#sim filter", GEMINI, verb)
    (told,) = chunks_of(answer)
    assert answer.status == 200
    assert told["promptFeedback"]["blockReason"] == "SAFETY"
    assert told["promptFeedback"]["safetyRatings"]
    assert "candidates" not in told
    assert answer.headers["content-type"].startswith("text/event-stream" if verb == EVENTS else "application/json")
    record = frail.record(answer.headers["x-steelyard-request-id"])
    assert (record["outcome"], record["error_code"]) == ("error", "content_policy_violation")


@both_ways
def test_the_sdk_reads_a_blocked_prompt(gemini: genai.Client, streamed: bool) -> None:
    (reply,) = ask(gemini, "#sim filter", model=GEMINI, streamed=streamed)
    assert reply.prompt_feedback.block_reason == "SAFETY"


#: What the caller did → status and Google's word for it.
CALLERS: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("an unknown model", "gemini-nobody", {}, 404, "NOT_FOUND"),
    ("no contents", GEMINI, {"contents": []}, 400, "INVALID_ARGUMENT"),
    ("a role that is none", GEMINI, {"contents": [{"role": "x", "parts": [{"text": "y"}]}]}, 400, "INVALID_ARGUMENT"),
    ("out of range", GEMINI, {"generationConfig": {"temperature": 3}}, 400, "INVALID_ARGUMENT"),
    ("an unknown strategy", GEMINI, {"headers": {"x_steelyard_strategy": "luck"}}, 400, "INVALID_ARGUMENT"),
]


@each_form
@pytest.mark.parametrize(
    ("model", "more", "status", "word"), [case[1:] for case in CALLERS], ids=[one[0] for one in CALLERS]
)
def test_mistakes_are_told_in_googles_shape(
    world: World, verb: str, model: str, more: dict[str, Any], status: int, word: str
) -> None:
    before = world.asked()
    answer = post(world, "Hello", model, verb, **more)
    assert isinstance(answer.json, list) == (verb == ARRAY)
    (told,) = chunks_of(answer)
    error = told["error"]
    assert (answer.status, error["code"], error["status"]) == (status, status, word)
    details = details_of(error)
    assert details["RequestInfo"]["requestId"] == answer.headers["x-steelyard-request-id"]
    assert details["ErrorInfo"]["metadata"]["source"] == "caller"
    assert error["message"]
    assert ("BadRequest" in details) == (status == 400)
    assert world.asked() == before


VERDICTS = [
    ("down", 503, "UNAVAILABLE"),
    ("throttled", 429, "RESOURCE_EXHAUSTED"),
    ("unauthorized", 502, "UNAVAILABLE"),
    ("garbled", 502, "UNAVAILABLE"),
]


@every_dialect
@both_ways
@pytest.mark.parametrize(("trouble", "status", "word"), VERDICTS, ids=[case[0] for case in VERDICTS])
def test_the_only_providers_trouble_is_told_to_the_sdk(
    gemini: genai.Client, model: str, streamed: bool, trouble: str, status: int, word: str
) -> None:
    with pytest.raises(errors.APIError) as caught:
        ask(gemini, f"#sim fail={trouble}", model=model, streamed=streamed)
    assert (caught.value.code, caught.value.status) == (status, word)
    told: Any = caught.value.details
    details = details_of(told["error"])
    assert [one["provider"] for one in details["steelyard/attempts"]["attempts"]] == [model.split("/")[0]]
    assert details["ErrorInfo"]["metadata"]["source"] == "provider"
    assert ("RetryInfo" in details) == (status in {429, 503})


@every_dialect
def test_a_stream_that_breaks_ends_in_an_error(frail: World, gemini: genai.Client, model: str) -> None:
    with pytest.raises(errors.APIError) as caught:
        ask(gemini, "#sim fail=cut", model=model, streamed=True)
    assert (caught.value.code, caught.value.status) == (502, "UNAVAILABLE")
    for verb in (EVENTS, ARRAY):
        chunks = chunks_of(post(frail, "#sim fail=cut", model, verb))
        assert "candidates" in chunks[0]
        assert details_of(chunks[-1]["error"])["ErrorInfo"]["reason"] == "STREAM_BROKEN"


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("", {}, 401),
        ("?key=", {}, 401),
        ("?key=wrong", {}, 401),
        (f"?key={ALICE_KEY}", {}, 200),
        (f"?alt=json&key={ALICE_KEY}", {}, 200),
        (f"?key={ALICE_KEY}", {"x_goog_api_key": "wrong"}, 401),
        ("?key=wrong", {"x_goog_api_key": ALICE_KEY}, 200),
        ("", {"authorization": f"Bearer {ALICE_KEY}"}, 200),
    ],
)
def test_the_key_may_stand_where_google_takes_it(
    keyed: World, query: str, headers: dict[str, str], status: int
) -> None:
    answer = post(keyed, "Hello", GEMINI, f"generateContent{query}", headers=headers)
    assert answer.status == status
    if status == 401:
        assert (answer.json["error"]["status"], answer.json["error"]["code"]) == ("UNAUTHENTICATED", 401)


def test_the_list_of_models_takes_a_key_from_the_url_where_it_is_googles(keyed: World) -> None:
    assert keyed.get(f"/v1beta/models?key={ALICE_KEY}").status == 200
    refused = keyed.get("/v1beta/models?key=wrong")
    assert (refused.status, refused.json["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert keyed.get(f"/v1/models?key={ALICE_KEY}").status == 401


def test_a_key_in_the_url_is_written_nowhere(keyed: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        post(keyed, said, GEMINI, f"{verb}{'&' if '?' in verb else '?'}key={ALICE_KEY}")
        for verb in (WHOLE, EVENTS, "countTokens", "embedNothing")
        for said in ("Hello", "#sim fail=500")
    ]
    records = [keyed.record(one.headers["x-steelyard-request-id"], ADMIN_KEY) for one in answers[:4]]
    # The server of these tests keeps an access log; that of `steelyard serve` keeps none.
    told = [
        record.getMessage() + str(vars(record)) for record in caplog.records if not record.name.startswith("uvicorn")
    ]
    assert told
    assert ALICE_KEY not in json.dumps(records) + "".join(told)
    assert all(ALICE_KEY not in str(one.headers) + one.body.decode() for one in answers)


def test_only_googles_addresses_take_a_key_from_the_url(keyed: World) -> None:
    body = {"model": OPENAI, "messages": [{"role": "user", "content": "Hello"}]}
    assert keyed.post(f"/v1/chat/completions?key={ALICE_KEY}", body).status == 401


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1beta/models/sim-chat:embedNothing", 404),
        ("POST", "/v1beta/models/sim-chat", 404),
        ("POST", "/v1beta/files:generateContent", 404),
        ("POST", "/v1beta/models/:generateContent", 400),
        ("GET", "/v1beta/models/sim-chat:generateContent", 405),
        ("GET", "/v1beta/models/gemini-nobody", 404),
        ("GET", "/v1beta/nothing", 404),
        ("POST", "/v1beta", 404),
        ("POST", "/v1/models/sim-chat:batchEmbedNothing", 404),
        ("DELETE", "/v1beta/models", 405),
    ],
)
def test_odd_addresses_are_told_in_googles_shape(world: World, method: str, path: str, status: int) -> None:
    body = {"contents": [{"parts": [{"text": "Hello"}]}]} if method == "POST" else None
    answer = world.call(method, path, body)
    assert (answer.status, answer.json["error"]["code"]) == (status, status)


@each_form
def test_a_name_with_a_slash_may_stand_where_a_resource_does(world: World, verb: str) -> None:
    # Vercel's SDK leaves `models/` out before such a name.
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    answer = world.post(f"/v1beta/{ANTHROPIC}:{verb}", body)
    assert "read: Hello" in text_of(answer)
    assert answer.headers["x-steelyard-provider"] == "sim-anthropic"


def test_openais_addresses_below_the_shared_prefix_stay_openais(world: World) -> None:
    assert world.get("/v1/models/sim-chat").json["object"] == "model"
    for answer in (world.get("/v1/models/x:generateContent"), world.post("/v1/models/sim-chat", {})):
        assert answer.status in {404, 405}
        assert "request_id" in answer.json
