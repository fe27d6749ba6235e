"""The official OpenAI SDK reaches every provider dialect through the gateway, whole and streamed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.acceptance.driving import ANTHROPIC, CHAT_MODELS, GEMINI, OPENAI, PIXEL

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CLOCK: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "clock",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
    },
}
#: Of the simulator: what a picture counts, and how characters make tokens.
IMAGE_TOKENS = 85
every_dialect = pytest.mark.parametrize("model", CHAT_MODELS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def tokens(*texts: str) -> int:
    return -(-len("\n".join(texts)) // 4)


@dataclass
class Said:
    """An answer, whichever way it came."""

    text: str = ""
    refusal: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    ids: list[str] = field(default_factory=list[str])
    finish: str | None = None
    usage: Any = None
    chunks: list[Any] = field(default_factory=list[Any])


def ask(client: openai.OpenAI, said: str | list[Any], *, streamed: bool, **more: Any) -> Said:
    messages: list[Any] = said if isinstance(said, list) else [{"role": "user", "content": said}]
    if not streamed:
        reply: Any = client.chat.completions.create(messages=messages, **more)
        message = reply.choices[0].message
        calls = message.tool_calls or []
        return Said(
            text=message.content or "",
            refusal=message.refusal or "",
            calls=[(call.function.name, json.loads(call.function.arguments)) for call in calls],
            ids=[call.id for call in calls],
            finish=reply.choices[0].finish_reason,
            usage=reply.usage,
        )
    more.setdefault("stream_options", {"include_usage": True})
    stream: Any = client.chat.completions.create(messages=messages, stream=True, **more)
    return gathered(list(stream))


def gathered(chunks: list[Any]) -> Said:
    found = Said(chunks=chunks)
    arguments: dict[int, list[str]] = {}
    names: dict[int, str] = {}
    for chunk in chunks:
        found.usage = chunk.usage or found.usage
        for choice in chunk.choices:
            found.text += choice.delta.content or ""
            found.refusal += choice.delta.refusal or ""
            found.finish = choice.finish_reason or found.finish
            for call in choice.delta.tool_calls or []:
                if call.id:
                    found.ids.append(call.id)
                if call.function.name:
                    names[call.index] = call.function.name
                arguments.setdefault(call.index, []).append(call.function.arguments or "")
    found.calls = [(names[at], json.loads("".join(arguments[at]))) for at in sorted(names)]
    return found


@every_dialect
@both_ways
def test_text_arrives(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    said = ask(chatgpt, "What is a steelyard?", model=model, streamed=streamed)
    assert said.text.startswith("[simulated] sim-chat read: What is a steelyard?")
    assert said.finish == "stop"
    assert said.usage.prompt_tokens == tokens("What is a steelyard?")
    assert said.usage.completion_tokens == tokens(said.text)
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens


@every_dialect
async def test_an_async_stream_says_what_the_whole_answer_says(
    async_chatgpt: openai.AsyncOpenAI, chatgpt: openai.OpenAI, model: str
) -> None:
    whole = ask(chatgpt, "Weigh this.", model=model, streamed=False)
    stream = await async_chatgpt.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Weigh this."}], stream=True
    )
    chunks = [chunk async for chunk in stream]
    assert gathered(chunks).text == whole.text
    assert len({chunk.id for chunk in chunks}) == 1
    assert all(chunk.object == "chat.completion.chunk" for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"


@every_dialect
async def test_an_async_whole_answer_arrives(async_chatgpt: openai.AsyncOpenAI, model: str) -> None:
    reply = await async_chatgpt.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])
    assert reply.object == "chat.completion"
    assert reply.id
    assert reply.choices[0].message.role == "assistant"


@every_dialect
@both_ways
def test_every_turn_reaches_the_provider(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    turns = [
        {"role": "system", "content": "Answer like a merchant."},
        {"role": "user", "content": "I have a sack."},
        {"role": "assistant", "content": "Hang it up."},
        {"role": "user", "content": "How heavy is it?"},
    ]
    said = ask(chatgpt, turns, model=model, streamed=streamed)
    assert "read: How heavy is it?" in said.text
    assert said.usage.prompt_tokens == tokens(*(turn["content"] for turn in turns))


@every_dialect
def test_a_developer_message_is_a_system_message(chatgpt: openai.OpenAI, model: str) -> None:
    turns = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert ask(chatgpt, turns, model=model, streamed=False).usage.prompt_tokens == tokens("Be brief.", "Hello")


@every_dialect
@both_ways
def test_a_tool_is_called(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    said = ask(chatgpt, "#sim tool=weather", model=model, streamed=streamed, tools=[WEATHER, CLOCK])
    assert [name for name, _ in said.calls] == ["weather"]
    assert isinstance(said.calls[0][1]["city"], str)
    assert said.finish == "tool_calls"
    assert all(said.ids)


@every_dialect
@both_ways
def test_tools_are_called_in_parallel(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    said = ask(chatgpt, "#sim tools=weather,clock", model=model, streamed=streamed, tools=[WEATHER, CLOCK])
    assert [name for name, _ in said.calls] == ["weather", "clock"]
    assert len(set(said.ids)) == 2


@every_dialect
@both_ways
def test_one_tool_at_a_time_is_kept(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    said = ask(
        chatgpt,
        "#sim tools=weather,clock",
        model=model,
        streamed=streamed,
        tools=[WEATHER, CLOCK],
        parallel_tool_calls=False,
    )
    assert [name for name, _ in said.calls] == ["weather"]


@every_dialect
@both_ways
def test_tool_results_go_back(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    turns: list[Any] = [{"role": "user", "content": "#sim tools=weather,clock"}]
    reply = chatgpt.chat.completions.create(model=model, messages=turns, tools=[WEATHER, CLOCK])  # pyright: ignore[reportArgumentType] - plain dicts
    message = reply.choices[0].message
    turns.append(message)
    turns += [
        {"role": "tool", "tool_call_id": call.id, "content": f"seen {number}"}
        for number, call in enumerate(message.tool_calls or [])
    ]
    said = ask(chatgpt, turns, model=model, streamed=streamed, tools=[WEATHER, CLOCK], tool_choice="none")
    assert "seen 1" in said.text
    assert said.finish == "stop"


@every_dialect
@both_ways
@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("required", ["weather"]),
        ({"type": "function", "function": {"name": "clock"}}, ["clock"]),
        ("none", []),
        ("auto", []),
    ],
    ids=["required", "named", "none", "auto"],
)
def test_tool_choice_is_obeyed(
    chatgpt: openai.OpenAI, model: str, streamed: bool, choice: object, called: list[str]
) -> None:
    said = ask(chatgpt, "Hello", model=model, streamed=streamed, tools=[WEATHER, CLOCK], tool_choice=choice)
    assert [name for name, _ in said.calls] == called


class Parcel(BaseModel):
    sender: str
    kilograms: float
    stamps: list[str]


@every_dialect
def test_an_answer_bound_to_a_schema_parses(chatgpt: openai.OpenAI, model: str) -> None:
    reply = chatgpt.chat.completions.parse(
        model=model, messages=[{"role": "user", "content": "A parcel."}], response_format=Parcel
    )
    assert isinstance(reply.choices[0].message.parsed, Parcel)


@every_dialect
def test_a_stream_bound_to_a_schema_parses(chatgpt: openai.OpenAI, model: str) -> None:
    with chatgpt.chat.completions.stream(
        model=model, messages=[{"role": "user", "content": "A parcel."}], response_format=Parcel
    ) as stream:
        final = stream.get_final_completion()
    assert isinstance(final.choices[0].message.parsed, Parcel)


@every_dialect
@both_ways
def test_a_json_object_is_one(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    said = ask(chatgpt, "Some json, please.", model=model, streamed=streamed, response_format={"type": "json_object"})
    assert isinstance(json.loads(said.text), dict)


@every_dialect
@both_ways
def test_a_picture_reaches_the_provider(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]
    said = ask(chatgpt, [{"role": "user", "content": content}], model=model, streamed=streamed)
    assert said.usage.prompt_tokens == tokens("What is this?") + IMAGE_TOKENS


@every_dialect
@both_ways
@pytest.mark.parametrize("stop", ["read", ["nowhere", "read"]], ids=["one", "several"])
def test_stop_ends_the_answer(chatgpt: openai.OpenAI, model: str, streamed: bool, stop: object) -> None:
    said = ask(chatgpt, "Hello", model=model, streamed=streamed, stop=stop)
    assert said.text == "[simulated] sim-chat "
    assert said.finish == "stop"


@every_dialect
@both_ways
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_bound_ends_the_answer(chatgpt: openai.OpenAI, model: str, streamed: bool, name: str) -> None:
    said = ask(chatgpt, "Hello", model=model, streamed=streamed, **{name: 5})
    assert said.finish == "length"
    assert said.usage.completion_tokens == 5


@every_dialect
@pytest.mark.parametrize("options", [None, {"include_usage": False}], ids=["unsaid", "declined"])
def test_a_stream_holds_no_usage_unless_asked(chatgpt: openai.OpenAI, model: str, options: object) -> None:
    more: dict[str, Any] = {"stream_options": options} if options else {}
    stream: Any = chatgpt.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Hello"}], stream=True, **more
    )
    chunks = list(stream)
    # Callers index choices[0] of every chunk when they did not ask for the usage event.
    assert all(chunk.choices for chunk in chunks)
    assert all(chunk.usage is None for chunk in chunks)


@every_dialect
def test_a_stream_holds_usage_once_when_asked(chatgpt: openai.OpenAI, model: str) -> None:
    said = ask(chatgpt, "Hello", model=model, streamed=True)
    assert [chunk.choices == [] for chunk in said.chunks if chunk.usage] == [True]
    assert said.chunks[-1].usage


@pytest.mark.parametrize("model", [OPENAI, GEMINI])
def test_several_choices_come_back(chatgpt: openai.OpenAI, model: str) -> None:
    reply = chatgpt.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}], n=3)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in reply.choices}) == 3


@both_ways
def test_a_filtered_answer_says_so(chatgpt: openai.OpenAI, streamed: bool) -> None:
    assert ask(chatgpt, "#sim filter", model=OPENAI, streamed=streamed).finish == "content_filter"


@both_ways
def test_a_blocked_prompt_is_the_callers_error(chatgpt: openai.OpenAI, streamed: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(chatgpt, "#sim filter", model=GEMINI, streamed=streamed)
    assert caught.value.code == "content_policy_violation"


@pytest.mark.parametrize("model", [OPENAI, ANTHROPIC])
@both_ways
def test_a_refusal_is_told_apart_from_an_answer(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    said = ask(chatgpt, "#sim refuse", model=model, streamed=streamed)
    assert said.refusal or said.finish == "content_filter"


@every_dialect
@both_ways
def test_effort_makes_the_model_think(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    lazy = ask(chatgpt, "Hello", model=model, streamed=streamed)
    eager = ask(chatgpt, "Hello", model=model, streamed=streamed, reasoning_effort="low")
    assert eager.usage.completion_tokens > lazy.usage.completion_tokens
    assert eager.text == lazy.text


@both_ways
def test_log_probabilities_pass(chatgpt: openai.OpenAI, streamed: bool) -> None:
    if streamed:
        stream: Any = chatgpt.chat.completions.create(
            model=OPENAI, messages=[{"role": "user", "content": "Hello"}], logprobs=True, top_logprobs=1, stream=True
        )
        rows = [
            row for chunk in stream for row in (chunk.choices[0].logprobs and chunk.choices[0].logprobs.content) or []
        ]
    else:
        reply = chatgpt.chat.completions.create(
            model=OPENAI, messages=[{"role": "user", "content": "Hello"}], logprobs=True, top_logprobs=1
        )
        logprobs = reply.choices[0].logprobs
        assert logprobs is not None
        rows = logprobs.content or []
    assert rows
    assert all(row.logprob <= 0 for row in rows)


@every_dialect
def test_words_of_any_script_arrive_unharmed(chatgpt: openai.OpenAI, model: str) -> None:
    words = 'Ваги 🪨 天秤 \u2028 “quotes” \\ " </script>'
    for streamed in (False, True):
        assert " ".join(words.split()) in ask(chatgpt, words, model=model, streamed=streamed).text
