"""The simulator's Anthropic dialect, held to the official SDK: it understands us and we it."""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import message_count_tokens_params, message_create_params
from pydantic import BaseModel

from providers.simulator import Limits, Model, Provider, Running, Simulation, start
from providers.simulator.anthropic_ask import CountRequest, MessagesRequest

WEATHER: dict[str, Any] = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"enum": ["Oslo"]}}, "required": ["city"]},
}
CLOCK: dict[str, Any] = {"name": "clock", "input_schema": {"type": "object"}}
PIXEL = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


@pytest.fixture(scope="module")
def stage() -> Iterator[Running]:
    models = (Model(name="chat", context_window=2000, max_output=4000),)
    cast = Simulation(
        providers=(
            Provider(name="open", dialect="anthropic", models=models),
            Provider(name="locked", dialect="anthropic", models=models, api_key="right"),
            Provider(name="tight", dialect="anthropic", models=models, limits=Limits(requests_per_min=1)),
        )
    )
    with start(cast) as running:
        yield running


@pytest.fixture
def client(stage: Running) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"{stage.url}/open", api_key="any", max_retries=0) as client:
        yield client


def ask(client: anthropic.Anthropic, said: str | list[Any], **more: Any) -> Any:
    messages: Any = said if isinstance(said, list) else [{"role": "user", "content": said}]
    body: dict[str, Any] = {"model": "chat", "max_tokens": 200, "messages": messages, **more}
    return client.messages.create(**body)


def test_text_is_marked_names_the_model_and_echoes(client: anthropic.Anthropic) -> None:
    reply = ask(client, "What is a steelyard?", system="Be brief.")
    (block,) = reply.content
    assert block.text.startswith("[simulated] chat read: What is a steelyard?")
    assert (reply.stop_reason, reply.stop_sequence) == ("end_turn", None)
    assert reply.usage.input_tokens == math.ceil(len("Be brief.\nWhat is a steelyard?") / 4)
    assert reply.usage.output_tokens == math.ceil(len(block.text) / 4)


async def test_stream_adds_up_to_the_whole_answer(stage: Running, client: anthropic.Anthropic) -> None:
    whole = ask(client, "hello")
    async with anthropic.AsyncAnthropic(base_url=f"{stage.url}/open", api_key="any", max_retries=0) as caller:
        messages: Any = [{"role": "user", "content": "hello"}]
        async with caller.messages.stream(model="chat", max_tokens=200, messages=messages) as stream:
            kinds = [event.type async for event in stream]
            final = await stream.get_final_message()
    assert final.content[0].text == whole.content[0].text  # pyright: ignore[reportAttributeAccessIssue] - a text block
    assert (final.usage.output_tokens, final.stop_reason) == (whole.usage.output_tokens, "end_turn")
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"


def test_raw_events_come_in_anthropics_order(client: anthropic.Anthropic) -> None:
    messages: Any = [{"role": "user", "content": "hello"}]
    with client.messages.with_streaming_response.create(
        model="chat", max_tokens=3, stream=True, messages=messages
    ) as raw:
        names = [line.removeprefix("event: ") for line in raw.iter_lines() if line.startswith("event: ")]
    assert names == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_limit_and_stop_end_the_answer(client: anthropic.Anthropic) -> None:
    short = ask(client, "hello", max_tokens=5)
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 5)
    stopped = ask(client, "one two three", stop_sequences=["two"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "two")


def test_parallel_calls_and_their_results(client: anthropic.Anthropic) -> None:
    tools = [WEATHER, CLOCK]
    turns: list[Any] = [{"role": "user", "content": "#sim tools=weather,clock"}]
    with client.messages.stream(model="chat", max_tokens=200, messages=turns, tools=tools) as stream:  # pyright: ignore[reportArgumentType] - plain data
        called = stream.get_final_message()
    calls: list[Any] = list(called.content)
    assert called.stop_reason == "tool_use"
    assert [(call.name, call.input) for call in calls] == [("weather", {"city": "Oslo"}), ("clock", {})]
    content: Any = [{"type": "tool_use", "id": call.id, "name": call.name, "input": call.input} for call in calls]
    turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": content}]
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"result {n}"} for n, call in enumerate(calls)
    ]
    said = ask(client, [*turns, {"role": "user", "content": results}], tools=tools).content[0].text
    assert "The tool said: result 0 result 1" in said
    with pytest.raises(anthropic.BadRequestError, match="tool_use"):
        ask(client, [*turns, {"role": "user", "content": results[:1]}], tools=tools)
    with pytest.raises(anthropic.BadRequestError, match="tool_use_id"):
        ask(client, [{"role": "user", "content": results}], tools=tools)


def test_choice_of_tools_is_obeyed(client: anthropic.Anthropic) -> None:
    tools = [WEATHER, CLOCK]
    assert ask(client, "hi", tools=tools, tool_choice={"type": "any"}).content[0].name == "weather"
    assert ask(client, "hi", tools=tools, tool_choice={"type": "tool", "name": "clock"}).content[0].name == "clock"
    assert ask(client, "hi", tools=tools).content[0].type == "text"
    serial = {"type": "auto", "disable_parallel_tool_use": True}
    assert len(ask(client, "#sim tools=weather,clock", tools=tools, tool_choice=serial).content) == 1


def test_thinking_is_shown_signed_and_recognised(client: anthropic.Anthropic) -> None:
    enabled = {"type": "enabled", "budget_tokens": 1024}
    reply = ask(client, "hm", max_tokens=2000, thinking=enabled)
    thought, text = reply.content
    assert (thought.type, text.type) == ("thinking", "text")
    assert reply.usage.output_tokens_details.thinking_tokens == math.ceil(len(thought.thinking) / 4)
    turns: list[Any] = [{"role": "user", "content": "hm"}, {"role": "assistant", "content": [thought.model_dump()]}]
    again = {"role": "user", "content": "and?"}
    assert ask(client, [*turns, again], max_tokens=2000, thinking=enabled).content
    turns[1]["content"][0]["thinking"] = "something else"
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        ask(client, [*turns, again], max_tokens=2000, thinking=enabled)
    with client.messages.stream(
        model="chat",
        max_tokens=2000,
        messages=[{"role": "user", "content": "hm"}],
        thinking={"type": "adaptive", "display": "omitted"},
    ) as stream:
        streamed: Any = stream.get_final_message().content[0]
    assert (streamed.thinking, streamed.signature) == ("", thought.signature)


class Parcel(BaseModel):
    weight: float
    labels: list[str]


def test_json_answers_fit_their_schema(client: anthropic.Anthropic) -> None:
    messages: Any = [{"role": "user", "content": "weigh it"}]
    parsed = client.messages.parse(model="chat", max_tokens=200, messages=messages, output_format=Parcel)
    assert isinstance(parsed.parsed_output, Parcel)
    schema = {"type": "object", "properties": {"weight": {"type": "number"}}}
    config = {"format": {"type": "json_schema", "schema": schema}}
    assert json.loads(ask(client, "weigh it", output_config=config).content[0].text) == {"weight": 1}


def test_images_are_taken_and_counted(client: anthropic.Anthropic) -> None:
    content = [PIXEL, {"type": "text", "text": "what is it"}]
    assert ask(client, [{"role": "user", "content": content}]).usage.input_tokens == 3 + 85
    messages: Any = [{"role": "user", "content": content}]
    assert client.messages.count_tokens(model="chat", messages=messages).input_tokens == 3 + 85


def test_refusals_say_so(client: anthropic.Anthropic) -> None:
    for order in ("#sim refuse", "#sim filter"):
        reply = ask(client, order)
        assert (reply.stop_reason, reply.stop_details.type) == ("refusal", "refusal")


def test_only_what_is_marked_is_cached(client: anthropic.Anthropic) -> None:
    long = "steelyard " * 110
    marked = [{"type": "text", "text": long, "cache_control": {"type": "ephemeral"}}]
    fresh = ask(client, "hi", system=marked).usage
    again = ask(client, "hi again", system=marked).usage
    plain = ask(client, "hi", system=long).usage
    assert (fresh.cache_creation_input_tokens, fresh.cache_read_input_tokens) == (256, 0)
    assert (again.cache_creation_input_tokens, again.cache_read_input_tokens) == (0, 256)
    assert (plain.cache_creation_input_tokens, plain.cache_read_input_tokens) == (0, 0)
    assert fresh.input_tokens + 256 == plain.input_tokens


def test_models_are_listed(client: anthropic.Anthropic) -> None:
    assert [model.id for model in client.models.list()] == ["chat"]
    assert client.models.retrieve("chat").max_tokens == 4000


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_tokens": 5000}, "max_tokens: 5000 > 4000"),
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "system", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "non-empty"),
        ({"messages": [{"role": "user", "content": "x" * 8004}]}, "prompt is too long"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "greater than"),
        ({"extra_body": {"n": 2}}, "n: Extra inputs are not permitted"),
        ({"extra_body": {"temperature": 1.0}}, "temperature: Extra inputs are not permitted"),
        ({"extra_headers": {"anthropic-version": "2020-01-01"}}, "not a valid version"),
        ({"extra_headers": {"anthropic-version": anthropic.omit}}, "anthropic-version"),
    ],
)
def test_wrong_requests_get_anthropics_errors(client: anthropic.Anthropic, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=said) as caught:
        ask(client, "hi", **wrong)
    body: Any = caught.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")


def test_the_older_version_of_the_api_keeps_sampling(stage: Running) -> None:
    old = {"anthropic-version": "2023-06-01"}
    with anthropic.Anthropic(base_url=f"{stage.url}/open", api_key="any", max_retries=0, default_headers=old) as client:
        assert ask(client, "hi", extra_body={"temperature": 1.0, "top_k": 5}).content
        with pytest.raises(anthropic.BadRequestError, match="temperature"):
            ask(client, "hi", extra_body={"temperature": 1.5})


def test_either_header_carries_the_key(stage: Running) -> None:
    key: Any = {"x-api-key": "right"}
    with anthropic.Anthropic(
        base_url=f"{stage.url}/locked", api_key="wrong", max_retries=0, default_headers=key
    ) as client:
        assert ask(client, "hi").content


def test_max_tokens_is_required(client: anthropic.Anthropic) -> None:
    body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
    with pytest.raises(anthropic.BadRequestError, match="max_tokens: Field required"):
        client.post("/v1/messages", body=body, cast_to=object)


def test_an_unknown_model_and_a_wrong_key(stage: Running, client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="model: nobody"):
        ask(client, "hi", model="nobody")
    with anthropic.Anthropic(base_url=f"{stage.url}/locked", api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
            ask(stranger, "hi")
        assert ask(stranger.with_options(api_key="right"), "hi").content


def test_the_quota_is_told_and_then_enforced(stage: Running) -> None:
    with anthropic.Anthropic(base_url=f"{stage.url}/tight", api_key="any", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "hi"}]
        raw = client.messages.with_raw_response.create(model="chat", max_tokens=9, messages=messages)
        told = raw.headers
        assert (told["anthropic-ratelimit-requests-limit"], told["anthropic-ratelimit-requests-remaining"]) == (
            "1",
            "0",
        )
        assert told["anthropic-ratelimit-requests-reset"].endswith("Z")
        with pytest.raises(anthropic.RateLimitError) as caught:
            ask(client, "hi")
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 60


@pytest.mark.parametrize(("trouble", "status"), [("500", 500), ("overloaded", 529), ("429", 429)])
def test_failures_on_demand(client: anthropic.Anthropic, trouble: str, status: int) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        ask(client, f"#sim fail={trouble}")
    assert caught.value.status_code == status


def test_broken_streams_never_end_cleanly(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIError, match="Overloaded"):
        list(ask(client, "#sim fail=first_event_error", stream=True))
    seen: list[Any] = []

    def read(trouble: str) -> None:
        seen.extend(ask(client, f"#sim fail={trouble}", stream=True))

    with pytest.raises(Exception, match="closed"):
        read("cut")
    assert seen[0].type == "message_start"
    assert all(event.type != "message_stop" for event in seen)


def test_every_parameter_of_the_sdk_is_known() -> None:
    known = set(MessagesRequest.__struct_fields__)
    assert known - set(typing.get_type_hints(message_create_params.MessageCreateParamsStreaming)) == {
        "temperature",
        "top_p",
        "top_k",
    }
    assert set(typing.get_type_hints(message_create_params.MessageCreateParamsStreaming)) <= known
    assert set(typing.get_type_hints(message_count_tokens_params.MessageCountTokensParams)) == set(
        CountRequest.__struct_fields__
    )
