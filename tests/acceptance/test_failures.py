"""When providers fail: the right exception of the SDK, the attempts, and somebody else who answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.acceptance.driving import ANTHROPIC, CHAT_MODELS, OPENAI, World

every_dialect = pytest.mark.parametrize("model", CHAT_MODELS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def chatgpt(frail: World) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{frail.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(frail: World) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=frail.url, api_key="any", max_retries=0) as client:
        yield client


def gpt(client: openai.OpenAI, said: str, *, streamed: bool, model: str, **more: Any) -> Any:
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": said}], **more}
    reply: Any = client.chat.completions.create(stream=streamed, **body)
    return list(reply) if streamed else reply


#: What the only provider does → status and code for the caller.
VERDICTS: list[tuple[str, int, str]] = [
    ("down", 503, "no_healthy_provider"),
    ("overloaded", 503, "no_healthy_provider"),
    ("throttled", 429, "rate_limit_exceeded"),
    ("unauthorized", 502, "provider_misconfigured"),
    ("garbled", 502, "bad_gateway"),
    ("truncated", 502, "bad_gateway"),
]
each_verdict = pytest.mark.parametrize(
    ("streamed", "trouble", "status", "code"),
    [
        pytest.param(
            streamed,
            *case,
            id=f"{'streamed' if streamed else 'whole'}-{case[0]}",
        )
        for streamed in (False, True)
        for case in VERDICTS
    ],
)


@every_dialect
@each_verdict
def test_the_only_providers_trouble_is_told(
    frail: World, chatgpt: openai.OpenAI, model: str, streamed: bool, trouble: str, status: int, code: str
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        gpt(chatgpt, f"#sim fail={trouble}", model=model, streamed=streamed)
    assert isinstance(caught.value, openai.RateLimitError if status == 429 else openai.InternalServerError)
    error: Any = caught.value
    assert (error.status_code, error.code) == (status, code)
    assert error.body["source"] == "provider"
    assert [attempt["provider"] for attempt in error.body["attempts"]] == [model.split("/")[0]]
    assert ("retry-after" in error.response.headers) == (status in {429, 503})


@every_dialect
@each_verdict
def test_the_same_in_anthropics_shape(
    frail: World, claude: anthropic.Anthropic, model: str, streamed: bool, trouble: str, status: int, code: str
) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        claude.messages.create(
            model=model,
            max_tokens=50,
            messages=[{"role": "user", "content": f"#sim fail={trouble}"}],
            stream=streamed,
        )
    error: Any = caught.value
    assert error.status_code == status
    assert error.body["type"] == "error"
    kinds = {429: "rate_limit_error", 503: "overloaded_error", 502: "api_error"}
    assert error.body["error"]["type"] == kinds[status]
    assert error.body["error"]["code"] == code
    assert error.body["error"]["attempts"]
    assert ("retry-after" in error.response.headers) == (status in {429, 503})


@every_dialect
def test_an_error_as_first_event_is_an_error_and_no_stream(frail: World, chatgpt: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.InternalServerError):
        gpt(chatgpt, "#sim fail=first_event_error", model=model, streamed=True)


@every_dialect
def test_a_stream_that_breaks_ends_in_an_error(frail: World, chatgpt: openai.OpenAI, model: str) -> None:
    stream: Any = chatgpt.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "#sim fail=cut"}], stream=True
    )
    seen: list[Any] = []
    with pytest.raises(openai.APIError) as caught:
        seen.extend(stream)
    assert caught.value.code == "stream_broken"
    answer = frail.chat("#sim fail=cut", model, stream=True)
    assert answer.status == 200
    assert [data == "[DONE]" for _, data in answer.events].count(True) == 0
    assert answer.events[-1][1]["error"]["source"] == "provider"
    assert answer.events[-1][1]["request_id"] == answer.headers["x-steelyard-request-id"]


@every_dialect
def test_a_stream_that_breaks_ends_in_an_error_for_anthropics_sdk(
    frail: World, claude: anthropic.Anthropic, model: str
) -> None:
    with (
        pytest.raises(anthropic.APIError),
        claude.messages.stream(
            model=model, max_tokens=500, messages=[{"role": "user", "content": "#sim fail=cut"}]
        ) as stream,
    ):
        stream.get_final_message()


@every_dialect
def test_a_whole_answer_that_breaks_is_no_answer(frail: World, chatgpt: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.InternalServerError):
        gpt(chatgpt, "#sim fail=cut", model=model, streamed=False)


@both_ways
@pytest.mark.parametrize(
    "trouble", ["down", "overloaded", "throttled", "unauthorized", "garbled", "truncated", "first_event_error"]
)
def test_somebody_else_answers(frail: World, chatgpt: openai.OpenAI, streamed: bool, trouble: Any) -> None:
    for provider in ("sim-openai", "sim-anthropic", "sim-gemini"):
        frail.running.control(provider, trouble)
    # Only sim-local is left: whoever is tried first, the caller has an answer.
    reply = gpt(chatgpt, "Hello", model="sim-chat", streamed=streamed)
    assert reply


@both_ways
def test_the_attempts_are_counted(frail: World, chatgpt: openai.OpenAI, streamed: bool) -> None:
    for provider in ("sim-openai", "sim-anthropic", "sim-gemini"):
        frail.running.control(provider, "down")
    answer = frail.chat("Hello", "sim-chat", stream=streamed)
    assert answer.headers["x-steelyard-provider"] == "sim-local"
    record = frail.record(answer.headers["x-steelyard-request-id"])
    assert len(record["attempts"]) == int(answer.headers["x-steelyard-attempts"])
    assert [one["outcome"] for one in record["attempts"]][-1] == "ok"
    assert record["status"] == 200


@both_ways
def test_everybody_down_is_503_with_every_attempt(frail: World, chatgpt: openai.OpenAI, streamed: bool) -> None:
    for provider in frail.running.state():
        frail.running.control(provider, "down")
    with pytest.raises(openai.InternalServerError) as caught:
        gpt(chatgpt, "Hello", model="sim-chat", streamed=streamed)
    error: Any = caught.value
    assert error.status_code == 503
    assert {attempt["provider"] for attempt in error.body["attempts"]} == set(frail.running.state())
    assert int(error.response.headers["retry-after"]) >= 1


def test_the_callers_own_mistake_is_tried_once(frail: World, chatgpt: openai.OpenAI) -> None:
    # The providers would all refuse it alike: nobody is blamed, and no other is asked.
    before = frail.asked()
    with pytest.raises(openai.BadRequestError) as caught:
        gpt(chatgpt, "Hello", model="sim-chat", streamed=False, max_tokens=10_000_000)
    assert frail.asked() <= before + 1
    assert caught.value.status_code == 400
    rows = frail.get("/api/llm/dwa/stats").json["deployments"]
    assert sum(row["failures"] for row in rows) == 0


@both_ways
@pytest.mark.parametrize("surface", ["chat", "messages", "orchestrate"])
def test_a_provider_that_hangs_costs_no_more_than_the_deadline(frail: World, streamed: bool, surface: str) -> None:
    turns = [{"role": "user", "content": "#sim fail=hang"}]
    path, body = {
        "chat": ("/v1/chat/completions", {"model": OPENAI, "messages": turns}),
        "messages": ("/v1/messages", {"model": ANTHROPIC, "max_tokens": 5, "messages": turns}),
        "orchestrate": ("/api/llm/orchestrate", {"model": OPENAI, "messages": turns}),
    }[surface]
    answer = frail.post(path, {**body, "stream": streamed}, X_Steelyard_Timeout_Ms="100")
    assert answer.status == 408
    assert answer.json["error"]["code"] == "deadline_exceeded"


def test_an_unexpressible_field_leaves_the_providers_that_can(frail: World) -> None:
    # Two of the four speak OpenAI's dialect: whoever the DWA prefers, one of those answers.
    for _ in range(8):
        answer = frail.chat("Hello", "sim-chat", logit_bias={"1": 1})
        assert answer.status == 200
        assert answer.headers["x-steelyard-provider"] in {"sim-openai", "sim-local"}


def test_a_provider_that_recovers_is_used_again(frail: World) -> None:
    frail.running.control("sim-openai", "down", requests=1)
    assert frail.chat("Hello", OPENAI).status == 503
    # One failure opens no breaker.
    assert frail.chat("Hello", OPENAI).status == 200
