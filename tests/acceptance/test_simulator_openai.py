"""The simulator's OpenAI dialect, held to the official SDK: it understands us and we it."""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types import embedding_create_params
from openai.types.chat import completion_create_params
from pydantic import BaseModel

from providers.simulator import Limits, Model, Provider, Running, Simulation, start
from providers.simulator.openai_ask import ChatRequest, EmbeddingsRequest

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLOCK: dict[str, Any] = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(scope="module")
def stage() -> Iterator[Running]:
    models = (Model(name="chat", context_window=500, max_output=200), Model(name="embed", kind="embedding"))
    cast = Simulation(
        providers=(
            Provider(name="open", dialect="openai", models=models),
            Provider(name="loose", dialect="openai", models=models, strict=False),
            Provider(name="locked", dialect="openai", models=models, api_key="right"),
            Provider(
                name="tight", dialect="openai", models=models, limits=Limits(requests_per_min=1, tokens_per_min=900)
            ),
        )
    )
    with start(cast) as running:
        yield running


@pytest.fixture
def client(stage: Running) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stage.url}/open/v1", api_key="any", max_retries=0) as client:
        yield client


def ask(client: openai.OpenAI, said: str | list[Any], **more: Any) -> Any:
    messages: Any = said if isinstance(said, list) else [{"role": "user", "content": said}]
    body: dict[str, Any] = {"model": "chat", "messages": messages, **more}
    return client.chat.completions.create(**body)


def test_text_is_marked_names_the_model_and_echoes(client: openai.OpenAI) -> None:
    reply = ask(client, "What is a steelyard?")
    assert reply.choices[0].message.content.startswith("[simulated] chat read: What is a steelyard?")
    assert reply.choices[0].finish_reason == "stop"
    assert reply.system_fingerprint == "simulated"
    assert reply.usage.prompt_tokens == math.ceil(len("What is a steelyard?") / 4)
    assert reply.usage.completion_tokens == math.ceil(len(reply.choices[0].message.content) / 4)


async def test_stream_adds_up_to_the_whole_answer(stage: Running, client: openai.OpenAI) -> None:
    whole = ask(client, "hello").choices[0].message.content
    async with openai.AsyncOpenAI(base_url=f"{stage.url}/open/v1", api_key="any", max_retries=0) as caller:
        stream = await caller.chat.completions.create(
            model="chat",
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == whole
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == len(chunks) - 3  # but for role, finish and usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_limit_and_stop_end_the_answer(client: openai.OpenAI) -> None:
    short = ask(client, "hello", max_tokens=5)
    assert (short.choices[0].finish_reason, short.usage.completion_tokens) == ("length", 5)
    exact = ask(client, "hello #sim tokens=50")
    assert (exact.choices[0].finish_reason, exact.usage.completion_tokens) == ("stop", 50)
    assert ask(client, "one two three", stop=["two"]).choices[0].message.content.endswith("one ")


def test_alternatives_differ(client: openai.OpenAI) -> None:
    reply = ask(client, "hello", n=2)
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert reply.choices[0].message.content != reply.choices[1].message.content


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_tool_that_must_be_called_is_called(client: openai.OpenAI, choice: Any) -> None:
    reply = ask(client, "hello", tools=[WEATHER, CLOCK], tool_choice=choice)
    (call,) = reply.choices[0].message.tool_calls
    assert reply.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "simulated"})


def test_offered_tools_may_be_ignored(client: openai.OpenAI) -> None:
    assert ask(client, "hello", tools=[WEATHER]).choices[0].message.tool_calls is None


def test_parallel_calls_stream_and_their_results_are_mentioned(client: openai.OpenAI) -> None:
    order: Any = {"role": "user", "content": "#sim tools=weather,clock"}
    tools: Any = [WEATHER, CLOCK]
    with client.chat.completions.stream(model="chat", messages=[order], tools=tools) as stream:
        message = stream.get_final_completion().choices[0].message
    calls = message.tool_calls
    assert calls is not None
    assert [call.function.name for call in calls] == ["weather", "clock"]
    results = [{"role": "tool", "tool_call_id": call.id, "content": f"result {n}"} for n, call in enumerate(calls)]
    turns: list[Any] = [{"role": "user", "content": "hello"}, message.model_dump(exclude_none=True), *results]
    for call in turns[1]["tool_calls"]:
        call["function"].pop("parsed_arguments", None)
    assert "The tool said: result 1" in ask(client, turns, tools=[WEATHER, CLOCK]).choices[0].message.content
    # What the order asked for is done: a caller that goes on while there are calls comes to an end.
    obeyed = ask(client, [order, *turns[1:]], tools=[WEATHER, CLOCK]).choices[0].message
    assert (obeyed.tool_calls, "The tool said: result 1" in obeyed.content) == (None, True)
    serial = ask(client, [order], tools=[WEATHER, CLOCK], parallel_tool_calls=False)
    assert len(serial.choices[0].message.tool_calls) == 1


def test_calls_without_results_and_results_without_calls_are_refused(client: openai.OpenAI) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    unanswered = [{"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": "well?"}]
    orphan = [{"role": "user", "content": "hi"}, {"role": "tool", "tool_call_id": "c1", "content": "x"}]
    for turns in (unanswered, orphan):
        with pytest.raises(openai.BadRequestError):
            ask(client, turns)


class Parcel(BaseModel):
    weight: float
    labels: list[str]
    sender: str | None


def test_json_answers_fit_their_schema(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(
        model="chat", messages=[{"role": "user", "content": "weigh it"}], response_format=Parcel
    )
    assert isinstance(parsed.choices[0].message.parsed, Parcel)
    free = ask(client, "some json", response_format={"type": "json_object"}).choices[0].message.content
    assert json.loads(free)["simulated"] is True


def test_images_are_taken_and_counted(client: openai.OpenAI) -> None:
    parts = [{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    reply = ask(client, [{"role": "user", "content": parts}])
    assert reply.usage.prompt_tokens == 3 + 85


def test_refusal_filter_reasoning_and_logprobs(client: openai.OpenAI) -> None:
    refused = ask(client, "#sim refuse").choices[0].message
    assert (refused.content, refused.refusal) == (None, "[simulated] I cannot help with that.")
    assert ask(client, "#sim filter").choices[0].finish_reason == "content_filter"
    assert ask(client, "hm", reasoning_effort="low").usage.completion_tokens_details.reasoning_tokens > 0
    sure = ask(client, "hm", logprobs=True, top_logprobs=1).choices[0]
    assert "".join(token.token for token in sure.logprobs.content) == sure.message.content
    pieces = [c.choices[0] for c in ask(client, "hm", logprobs=True, stream=True)]
    assert all(c.logprobs is not None for c in pieces if c.delta.content)


def test_a_long_beginning_seen_before_counts_as_cached(client: openai.OpenAI) -> None:
    long = "steelyard " * 110
    fresh, again = ask(client, long + "a"), ask(client, long + "b")
    assert fresh.usage.prompt_tokens_details.cached_tokens == 0
    assert again.usage.prompt_tokens_details.cached_tokens == 256


def test_embeddings_are_unit_vectors_in_either_encoding(client: openai.OpenAI) -> None:
    packed = client.embeddings.create(model="embed", input=["a balance", "a balance"])  # the SDK asks for base64
    plain = client.embeddings.create(model="embed", input="a balance", encoding_format="float", dimensions=64)
    assert packed.data[0].embedding == packed.data[1].embedding
    assert len(packed.data[0].embedding) == 256
    assert len(plain.data[0].embedding) == 64
    for row in (packed.data[0], plain.data[0]):
        assert math.isclose(sum(x * x for x in row.embedding), 1, rel_tol=1e-5)
    assert packed.usage.prompt_tokens == 6


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["chat", "embed"]
    assert client.models.retrieve("embed").id == "embed"


@pytest.mark.parametrize(
    ("wrong", "error", "code", "param"),
    [
        ({"model": "nobody"}, openai.NotFoundError, "model_not_found", None),
        ({"model": "embed"}, openai.NotFoundError, "model_not_found", None),
        ({"max_tokens": 300}, openai.BadRequestError, "invalid_value", "max_tokens"),
        ({"messages": "hi"}, openai.BadRequestError, "invalid_type", "messages"),
        ({"messages": []}, openai.BadRequestError, "invalid_value", "messages"),
        ({"temperature": 3}, openai.BadRequestError, "invalid_value", "temperature"),
        ({"extra_body": {"top_k": 3}}, openai.BadRequestError, "unknown_parameter", "top_k"),
        (
            {"messages": [{"role": "user", "content": "x" * 2004}]},
            openai.BadRequestError,
            "context_length_exceeded",
            "messages",
        ),
    ],
)
def test_wrong_requests_get_openais_errors(
    client: openai.OpenAI, wrong: dict[str, Any], error: type[openai.APIStatusError], code: str, param: str | None
) -> None:
    with pytest.raises(error) as caught:
        ask(client, "hi", **wrong)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert caught.value.response.headers["x-simulated"] == "true"


def test_a_missing_field_and_an_unknown_path_are_told_apart(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body={"model": "chat"}, cast_to=object)
    assert (caught.value.code, caught.value.param) == ("missing_required_parameter", "messages")
    with pytest.raises(openai.NotFoundError):
        client.post("/nowhere", body={}, cast_to=object)


def test_a_compatible_server_ignores_what_it_does_not_know(stage: Running) -> None:
    with openai.OpenAI(base_url=f"{stage.url}/loose/v1", api_key="any", max_retries=0) as client:
        assert ask(client, "hi", extra_body={"top_k": 3}).choices


def test_a_wrong_key_is_401(stage: Running) -> None:
    with openai.OpenAI(base_url=f"{stage.url}/locked/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            ask(client, "hi")
        assert caught.value.code == "invalid_api_key"
        assert ask(client.with_options(api_key="right"), "hi").choices


def test_the_quota_is_told_and_then_enforced(stage: Running) -> None:
    with openai.OpenAI(base_url=f"{stage.url}/tight/v1", api_key="any", max_retries=0) as client:
        told = client.chat.completions.with_raw_response.create(
            model="chat", messages=[{"role": "user", "content": "hi"}]
        ).headers
        assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-remaining-requests"]) == ("1", "0")
        assert told["x-ratelimit-reset-requests"] == "1m0s"
        assert told["x-ratelimit-remaining-tokens"] == "839"
        with pytest.raises(openai.RateLimitError) as caught:
            ask(client, "hi")
    assert caught.value.code == "rate_limit_exceeded"
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 60


@pytest.mark.parametrize(("trouble", "status"), [("500", 500), ("overloaded", 503), ("429", 429)])
def test_failures_on_demand(client: openai.OpenAI, trouble: str, status: int) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(client, f"#sim fail={trouble}")
    assert caught.value.status_code == status


def test_broken_streams_never_end_cleanly(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="server had an error"):
        list(ask(client, "#sim fail=first_event_error", stream=True))
    seen: list[Any] = []

    def read(trouble: str) -> None:
        seen.extend(ask(client, f"#sim fail={trouble}", stream=True))

    with pytest.raises(openai.APIConnectionError):
        read("cut")
    assert seen
    with pytest.raises(openai.APIConnectionError):
        ask(client, "#sim fail=cut")
    with pytest.raises(json.JSONDecodeError):
        read("truncated")


def test_garbage_is_not_a_completion(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="chat", messages=[{"role": "user", "content": "#sim fail=garbled"}]
    )
    assert raw.headers["content-type"] == "text/html"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ChatRequest, completion_create_params.CompletionCreateParamsStreaming),
        (EmbeddingsRequest, embedding_create_params.EmbeddingCreateParams),
    ],
)
def test_every_parameter_of_the_sdk_is_known_and_no_other(ours: Any, theirs: Any) -> None:
    assert set(ours.__struct_fields__) == set(typing.get_type_hints(theirs))
