"""The official Anthropic SDK reaches every provider dialect through the gateway, whole and streamed."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.acceptance.driving import ANTHROPIC, CHAT_MODELS, GEMINI, OPENAI, PIXEL, World

WEATHER: dict[str, Any] = {
    "name": "weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CLOCK: dict[str, Any] = {
    "name": "clock",
    "input_schema": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
}
IMAGE_TOKENS = 85
every_dialect = pytest.mark.parametrize("model", CHAT_MODELS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def tokens(*texts: str) -> int:
    return -(-len("\n".join(texts)) // 4)


def ask(client: anthropic.Anthropic, said: str | list[Any], *, streamed: bool, **more: Any) -> Any:
    """The message, which the SDK puts together from the events when it is streamed."""
    messages: Any = said if isinstance(said, list) else [{"role": "user", "content": said}]
    body: dict[str, Any] = {"max_tokens": 500, "messages": messages, **more}
    if not streamed:
        return client.messages.create(**body)
    with client.messages.stream(**body) as stream:
        return stream.get_final_message()


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def calls_of(message: Any) -> list[Any]:
    return [block for block in message.content if block.type == "tool_use"]


@every_dialect
@both_ways
def test_text_arrives(claude: anthropic.Anthropic, model: str, streamed: bool) -> None:
    message = ask(claude, "What is a steelyard?", model=model, streamed=streamed)
    assert text_of(message).startswith("[simulated] sim-chat read: What is a steelyard?")
    assert (message.type, message.role, message.stop_reason) == ("message", "assistant", "end_turn")
    assert message.id
    assert message.usage.input_tokens == tokens("What is a steelyard?")
    assert message.usage.output_tokens == tokens(text_of(message))


@every_dialect
async def test_an_async_stream_says_what_the_whole_answer_says(
    async_claude: anthropic.AsyncAnthropic, model: str
) -> None:
    body: Any = {"model": model, "max_tokens": 500, "messages": [{"role": "user", "content": "Weigh this."}]}
    whole = await async_claude.messages.create(**body)
    async with async_claude.messages.stream(**body) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert text == text_of(whole) == text_of(final)
    assert final.usage.output_tokens == whole.usage.output_tokens
    assert final.stop_reason == whole.stop_reason


@every_dialect
def test_events_come_in_the_order_of_the_format(claude: anthropic.Anthropic, model: str) -> None:
    stream: Any = claude.messages.create(
        model=model, max_tokens=50, messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    kinds = [event.type for event in stream if event.type != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert set(kinds[2:-3]) == {"content_block_delta"}


@every_dialect
@both_ways
@pytest.mark.parametrize("blocks", [False, True], ids=["text", "blocks"])
def test_the_system_prompt_reaches_the_provider(
    claude: anthropic.Anthropic, model: str, streamed: bool, blocks: bool
) -> None:
    words = "Answer like a merchant."
    system = [{"type": "text", "text": words, "cache_control": {"type": "ephemeral"}}] if blocks else words
    turns = [
        {"role": "user", "content": "I have a sack."},
        {"role": "assistant", "content": "Hang it up."},
        {"role": "user", "content": [{"type": "text", "text": "How heavy?"}]},
    ]
    message = ask(claude, turns, model=model, streamed=streamed, system=system)
    told = message.usage.input_tokens
    assert told == tokens(words, "I have a sack.", "Hang it up.", "How heavy?")


@every_dialect
@both_ways
def test_tools_are_called_in_parallel(claude: anthropic.Anthropic, model: str, streamed: bool) -> None:
    message = ask(claude, "#sim tools=weather,clock", model=model, streamed=streamed, tools=[WEATHER, CLOCK])
    calls = calls_of(message)
    assert [call.name for call in calls] == ["weather", "clock"]
    assert isinstance(calls[0].input["city"], str)
    assert len({call.id for call in calls}) == 2
    assert message.stop_reason == "tool_use"


@every_dialect
@both_ways
def test_tool_results_go_back(claude: anthropic.Anthropic, model: str, streamed: bool) -> None:
    turns: list[Any] = [{"role": "user", "content": "#sim tools=weather,clock"}]
    first = ask(claude, turns, model=model, streamed=streamed, tools=[WEATHER, CLOCK])
    turns.append({"role": "assistant", "content": first.content})
    results = [
        {"type": "tool_result", "tool_use_id": call.id, "content": f"seen {number}"}
        for number, call in enumerate(calls_of(first))
    ]
    turns.append({"role": "user", "content": results})
    message = ask(claude, turns, model=model, streamed=streamed, tools=[WEATHER, CLOCK], tool_choice={"type": "none"})
    assert "seen 1" in text_of(message)
    assert message.stop_reason == "end_turn"


@every_dialect
@both_ways
def test_the_sdks_tool_runner_comes_to_an_end(claude: anthropic.Anthropic, model: str, streamed: bool) -> None:
    # It asks for a thread first, is told that there is none, and sends the whole conversation each time.
    called: list[str] = []

    @anthropic.beta_tool
    def weather(city: str) -> str:
        """The weather of a city."""
        called.append(city)
        return f"rain in {city}"

    asked: dict[str, Any] = {
        "model": model,
        "max_tokens": 500,
        "messages": [{"role": "user", "content": "#sim tool=weather"}],
    }
    runner: Any = claude.beta.messages.tool_runner(tools=[weather], stream=streamed, **asked)
    *_, final = (turn.get_final_message() if streamed else turn for turn in runner)
    assert called == ["simulated"]
    assert "rain in simulated" in text_of(final)


@every_dialect
@both_ways
@pytest.mark.parametrize("streamed_finely", [True, False])
def test_how_finely_a_call_is_to_stream_is_no_reason_to_refuse(
    claude: anthropic.Anthropic, model: str, streamed: bool, streamed_finely: bool
) -> None:
    eager = {**WEATHER, "eager_input_streaming": streamed_finely}
    message = ask(claude, "#sim tool=weather", model=model, streamed=streamed, tools=[eager])
    assert [call.name for call in calls_of(message)] == ["weather"]


@every_dialect
@both_ways
def test_one_tool_at_a_time_is_kept(claude: anthropic.Anthropic, model: str, streamed: bool) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    message = ask(
        claude, "#sim tools=weather,clock", model=model, streamed=streamed, tools=[WEATHER, CLOCK], tool_choice=choice
    )
    assert [call.name for call in calls_of(message)] == ["weather"]
    assert message.stop_reason == "tool_use"


@every_dialect
@both_ways
@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ({"type": "any"}, ["weather"]),
        ({"type": "tool", "name": "clock"}, ["clock"]),
        ({"type": "none"}, []),
        ({"type": "auto"}, []),
    ],
    ids=["any", "named", "none", "auto"],
)
def test_tool_choice_is_obeyed(
    claude: anthropic.Anthropic, model: str, streamed: bool, choice: object, called: list[str]
) -> None:
    message = ask(claude, "Hello", model=model, streamed=streamed, tools=[WEATHER, CLOCK], tool_choice=choice)
    assert [call.name for call in calls_of(message)] == called


@every_dialect
@both_ways
def test_a_picture_reaches_the_provider(claude: anthropic.Anthropic, model: str, streamed: bool) -> None:
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "text", "text": "What is this?"},
    ]
    message = ask(claude, [{"role": "user", "content": content}], model=model, streamed=streamed)
    assert message.usage.input_tokens == tokens("What is this?") + IMAGE_TOKENS


@every_dialect
@both_ways
def test_a_stop_sequence_ends_the_answer(claude: anthropic.Anthropic, model: str, streamed: bool) -> None:
    message = ask(claude, "Hello", model=model, streamed=streamed, stop_sequences=["read"])
    assert text_of(message) == "[simulated] sim-chat "
    # Only Anthropic tells which sequence it was; elsewhere a stop is a stop.
    expected = ("stop_sequence", "read") if model == ANTHROPIC else ("end_turn", None)
    assert (message.stop_reason, message.stop_sequence) == expected


@every_dialect
@both_ways
def test_a_bound_ends_the_answer(claude: anthropic.Anthropic, model: str, streamed: bool) -> None:
    message = ask(claude, "Hello", model=model, streamed=streamed, max_tokens=5)
    assert message.stop_reason == "max_tokens"
    assert message.usage.output_tokens == 5


@pytest.mark.parametrize("model", [ANTHROPIC, GEMINI])
@both_ways
def test_thoughts_are_shown(claude: anthropic.Anthropic, model: str, streamed: bool) -> None:
    message = ask(
        claude,
        "Hello",
        model=model,
        streamed=streamed,
        max_tokens=4000,
        thinking={"type": "enabled", "budget_tokens": 2000, "display": "summarized"},
    )
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert "I weigh what I was told" in message.content[0].thinking


@both_ways
def test_a_thought_goes_back_with_its_signature(claude: anthropic.Anthropic, streamed: bool) -> None:
    thinking = {"type": "enabled", "budget_tokens": 2000}
    turns: list[Any] = [{"role": "user", "content": "#sim tool=weather think"}]
    more: dict[str, Any] = {"model": ANTHROPIC, "streamed": streamed, "max_tokens": 4000, "thinking": thinking}
    first = ask(claude, turns, tools=[WEATHER], **more)
    assert [block.type for block in first.content] == ["thinking", "tool_use"]
    turns.append({"role": "assistant", "content": first.content})
    call = calls_of(first)[0]
    turns.append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]})
    # The simulator refuses a thought whose signature is not its own, as the real API does.
    assert "rain" in text_of(ask(claude, turns, tools=[WEATHER], tool_choice={"type": "none"}, **more))


def test_a_budget_of_thought_makes_those_think_who_know_words_only(claude: anthropic.Anthropic) -> None:
    plain = ask(claude, "Hello", model=OPENAI, streamed=False)
    more: Any = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    thought = ask(claude, "Hello", model=OPENAI, streamed=False, **more)
    assert text_of(thought) == text_of(plain)
    assert thought.usage.output_tokens > plain.usage.output_tokens


@every_dialect
@both_ways
def test_an_answer_bound_to_a_schema_follows_it(claude: anthropic.Anthropic, model: str, streamed: bool) -> None:
    schema = {
        "type": "object",
        "properties": {"kilograms": {"type": "number"}},
        "required": ["kilograms"],
        "additionalProperties": False,
    }
    message = ask(
        claude,
        "A parcel.",
        model=model,
        streamed=streamed,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert text_of(message).startswith('{"kilograms":')


def test_prompt_cache_markers_reach_the_provider(claude: anthropic.Anthropic) -> None:
    # A block of the simulator's prompt cache is 1,024 characters.
    system = [{"type": "text", "text": "The same beginning. " * 200, "cache_control": {"type": "ephemeral"}}]
    first = ask(claude, "One", model=ANTHROPIC, streamed=False, system=system)
    second = ask(claude, "Two", model=ANTHROPIC, streamed=False, system=system)
    assert first.usage.cache_creation_input_tokens > 0
    assert second.usage.cache_read_input_tokens == first.usage.cache_creation_input_tokens


ERRORS: list[tuple[str, dict[str, Any], type[anthropic.APIStatusError], str]] = [
    ("an unknown model", {"model": "claude-nobody"}, anthropic.NotFoundError, "not_found_error"),
    ("no messages", {"messages": []}, anthropic.BadRequestError, "invalid_request_error"),
    (
        "a role that is none",
        {"messages": [{"role": "x", "content": "y"}]},
        anthropic.BadRequestError,
        "invalid_request_error",
    ),
    ("a wrong type", {"stop_sequences": "one"}, anthropic.BadRequestError, "invalid_request_error"),
    (
        "an unknown field",
        {"model": OPENAI, "extra_body": {"frobnicate": 1}},
        anthropic.BadRequestError,
        "invalid_request_error",
    ),
]


@both_ways
@pytest.mark.parametrize(("more", "raised", "kind"), [case[1:] for case in ERRORS], ids=[case[0] for case in ERRORS])
def test_errors_have_anthropics_shape(
    world: World,
    claude: anthropic.Anthropic,
    streamed: bool,
    more: dict[str, Any],
    raised: type[anthropic.APIStatusError],
    kind: str,
) -> None:
    before = world.asked()
    body: dict[str, Any] = {
        "model": ANTHROPIC,
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "Hello"}],
        **more,
    }
    with pytest.raises(raised) as caught:
        claude.messages.create(stream=streamed, **body)
    told: Any = caught.value.body
    assert told["type"] == "error"
    assert told["error"]["type"] == kind
    assert told["error"]["message"]
    assert told["request_id"] == caught.value.request_id
    assert world.asked() == before


def test_models_are_listed_in_anthropics_shape(claude: anthropic.Anthropic) -> None:
    page = claude.models.list()
    assert "sim-chat" in [model.id for model in page]
    assert not page.has_more
    assert claude.models.retrieve("sim-chat").type == "model"
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude.models.retrieve("claude-nobody")
    told: Any = caught.value.body
    assert (told["type"], told["error"]["type"]) == ("error", "not_found_error")
    assert told["request_id"] == caught.value.request_id


@every_dialect
def test_usage_of_a_stream_begins_with_the_input(claude: anthropic.Anthropic, model: str) -> None:
    stream: Any = claude.messages.create(
        model=model, max_tokens=50, messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    events = list(stream)
    final = next(event for event in events if event.type == "message_delta")
    assert final.usage.output_tokens > 0
    assert final.delta.stop_reason
