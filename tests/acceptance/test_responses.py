"""The official OpenAI SDK's Responses API reaches every provider dialect through the gateway, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.responses import Response
from pydantic import BaseModel

from tests.acceptance.driving import ANTHROPIC, CHAT_MODELS, GEMINI, OPENAI, PIXEL, World
from tests.acceptance.test_openai_callers import IMAGE_TOKENS, tokens

WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": None,
}
CLOCK: dict[str, Any] = {**WEATHER, "name": "clock", "description": "The time."}
every_dialect = pytest.mark.parametrize("model", CHAT_MODELS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def ask(client: openai.OpenAI, said: Any, *, streamed: bool, **more: Any) -> Response:
    """An answer, whichever way it came; of a stream the SDK itself checks that its events fit each other."""
    if not streamed:
        return client.responses.create(input=said, **more)
    with client.responses.stream(input=said, **more) as stream:
        for _ in stream:
            pass
        return stream.get_final_response()


def calls(answer: Any) -> list[Any]:
    return [item for item in answer.output if item.type == "function_call"]


@every_dialect
@both_ways
def test_text_arrives(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    answer = ask(chatgpt, "What is a steelyard?", model=model, streamed=streamed)
    assert answer.output_text.startswith("[simulated] sim-chat read: What is a steelyard?")
    assert (answer.status, answer.error, answer.incomplete_details) == ("completed", None, None)
    assert answer.usage is not None
    assert answer.usage.input_tokens == tokens("What is a steelyard?")
    assert answer.usage.output_tokens == tokens(answer.output_text)
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
    assert [item.type for item in answer.output] == ["message"]


@every_dialect
def test_a_stream_has_every_event_in_order(chatgpt: openai.OpenAI, model: str) -> None:
    events: list[Any] = list(chatgpt.responses.create(model=model, input="Weigh this.", stream=True))
    kinds = [event.type for event in events]
    deltas = kinds.count("response.output_text.delta")
    assert kinds == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * deltas,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    final = events[-1].response
    assert {event.response.id for event in events if hasattr(event, "response")} == {final.id}
    assert {event.item_id for event in events if hasattr(event, "item_id")} == {final.output[0].id}
    assert "".join(event.delta for event in events if event.type.endswith("delta")) == final.output_text


@every_dialect
def test_a_stream_ends_as_the_whole_answer_is(chatgpt: openai.OpenAI, model: str) -> None:
    whole, streamed = (
        ask(chatgpt, "#sim tools=weather,clock", model=model, streamed=way, tools=[WEATHER, CLOCK], temperature=0.5)
        for way in (False, True)
    )
    left, right = (told(answer) for answer in (whole, streamed))
    assert left == right


def told(answer: Response) -> dict[str, Any]:
    """Everything but what is each answer's own: ids, times, and what each was counted."""
    plain = answer.to_dict()
    own = ("id", "created_at", "completed_at", "usage", "service_tier")
    shown = {name: value for name, value in plain.items() if name not in own}
    for item in shown["output"]:  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType] - plain JSON
        for name in ("id", "call_id", "extra_content", "parsed_arguments"):
            item.pop(name, None)
    return shown


@every_dialect
@both_ways
def test_instructions_and_turns_reach_the_provider(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    turns = [
        {"role": "user", "content": "I have a sack."},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hang it up."}]},
        {"role": "user", "content": [{"type": "input_text", "text": "How heavy is it?"}]},
    ]
    answer = ask(chatgpt, turns, model=model, streamed=streamed, instructions="Answer like a merchant.")
    assert "read: How heavy is it?" in answer.output_text
    assert answer.usage is not None
    said = ("Answer like a merchant.", "I have a sack.", "Hang it up.", "How heavy is it?")
    assert answer.usage.input_tokens == tokens(*said)
    assert answer.instructions == "Answer like a merchant."


@every_dialect
@both_ways
def test_a_tool_round_trip_by_the_previous_response(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    first = ask(chatgpt, "#sim tools=weather,clock", model=model, streamed=streamed, tools=[WEATHER, CLOCK])
    called = calls(first)
    assert [call.name for call in called] == ["weather", "clock"]
    assert all(isinstance(json.loads(call.arguments)["city"], str) for call in called)
    assert len({call.call_id for call in called}) == 2
    outputs = [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"seen {at}"}
        for at, call in enumerate(called)
    ]
    second = ask(
        chatgpt,
        outputs,
        model=model,
        streamed=streamed,
        tools=[WEATHER, CLOCK],
        tool_choice="none",
        previous_response_id=first.id,
    )
    assert "seen 1" in second.output_text
    assert second.previous_response_id == first.id


@every_dialect
def test_a_tool_round_trip_by_items(chatgpt: openai.OpenAI, model: str) -> None:
    turns: list[Any] = [{"role": "user", "content": "#sim tool=weather"}]
    first = chatgpt.responses.create(model=model, input=turns, tools=[WEATHER], store=False)  # pyright: ignore[reportArgumentType] - plain dicts
    turns += first.output
    turns.append({"type": "function_call_output", "call_id": calls(first)[0].call_id, "output": "rain"})
    second = chatgpt.responses.create(model=model, input=turns, store=False)
    assert "rain" in second.output_text


def test_a_conversation_goes_on_with_another_provider(chatgpt: openai.OpenAI) -> None:
    previous = None
    said: list[str] = []
    for number, model in enumerate(CHAT_MODELS):
        answer: Any = ask(
            chatgpt, f"turn {number}", model=model, streamed=bool(number % 2), previous_response_id=previous
        )
        said.append(f"turn {number}")
        assert answer.usage.input_tokens == tokens(*said)
        said.append(answer.output_text)
        previous = answer.id


@every_dialect
@both_ways
@pytest.mark.parametrize(
    ("choice", "called"),
    [("required", ["weather"]), ({"type": "function", "name": "clock"}, ["clock"]), ("none", []), ("auto", [])],
    ids=["required", "named", "none", "auto"],
)
def test_tool_choice_is_obeyed(
    chatgpt: openai.OpenAI, model: str, streamed: bool, choice: object, called: list[str]
) -> None:
    answer = ask(chatgpt, "Hello", model=model, streamed=streamed, tools=[WEATHER, CLOCK], tool_choice=choice)
    assert [call.name for call in calls(answer)] == called


class Parcel(BaseModel):
    sender: str
    kilograms: float
    stamps: list[str]


@every_dialect
def test_an_answer_bound_to_a_schema_parses(chatgpt: openai.OpenAI, model: str) -> None:
    answer = chatgpt.responses.parse(model=model, input="A parcel.", text_format=Parcel)
    assert isinstance(answer.output_parsed, Parcel)


@every_dialect
def test_a_stream_bound_to_a_schema_parses(chatgpt: openai.OpenAI, model: str) -> None:
    with chatgpt.responses.stream(model=model, input="A parcel.", text_format=Parcel) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Parcel)


@every_dialect
@both_ways
def test_a_json_object_is_one(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    answer = ask(chatgpt, "Some json.", model=model, streamed=streamed, text={"format": {"type": "json_object"}})
    assert isinstance(json.loads(answer.output_text), dict)


@every_dialect
@both_ways
def test_a_bound_makes_the_answer_incomplete(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    if streamed:
        last: Any = list(chatgpt.responses.create(model=model, input="Hello", max_output_tokens=5, stream=True))[-1]
        assert last.type == "response.incomplete"
        answer: Any = last.response
    else:
        answer = chatgpt.responses.create(model=model, input="Hello", max_output_tokens=5)
    assert answer.status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.output[0].status == "incomplete"
    assert answer.usage.output_tokens == 5


@both_ways
def test_a_filtered_answer_is_incomplete(chatgpt: openai.OpenAI, streamed: bool) -> None:
    if streamed:
        last: Any = list(chatgpt.responses.create(model=OPENAI, input="#sim filter", stream=True))[-1]
        answer: Any = last.response
    else:
        answer = chatgpt.responses.create(model=OPENAI, input="#sim filter")
    assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "content_filter")


@both_ways
def test_a_refusal_is_a_part_of_its_own(chatgpt: openai.OpenAI, streamed: bool) -> None:
    answer: Any = ask(chatgpt, "#sim refuse", model=OPENAI, streamed=streamed)
    assert answer.status == "completed"
    assert [part.type for part in answer.output[0].content] == ["refusal"]
    assert answer.output[0].content[0].refusal


@every_dialect
@both_ways
def test_effort_makes_the_model_think(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    lazy, eager = (
        ask(chatgpt, "Hello", model=model, streamed=streamed, **more)
        for more in ({}, {"reasoning": {"effort": "low", "summary": "auto"}})
    )
    assert lazy.usage is not None
    assert eager.usage is not None
    assert eager.usage.output_tokens > lazy.usage.output_tokens
    assert eager.output_text == lazy.output_text
    if model != OPENAI:  # which keeps its thoughts to itself
        assert eager.output[0].type == "reasoning"
        assert eager.output[0].summary[0].text


@pytest.mark.parametrize("model", [ANTHROPIC, GEMINI])
@both_ways
def test_thoughts_go_back_to_who_had_them(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    more: dict[str, Any] = {"tools": [WEATHER], "reasoning": {"effort": "low", "summary": "auto"}, "streamed": streamed}
    first: Any = ask(chatgpt, "#sim tool=weather", model=model, **more)
    assert [item.type for item in first.output] == ["reasoning", "function_call"]
    turns: list[Any] = [{"role": "user", "content": "#sim tool=weather"}, *(item.to_dict() for item in first.output)]
    turns.append({"type": "function_call_output", "call_id": calls(first)[0].call_id, "output": "rain"})
    second, third, thoughtless = (
        ask(chatgpt, given, model=model, previous_response_id=previous, tool_choice="none", **more)
        for given, previous in ((turns, None), (turns[-1:], first.id), ([turns[0], *turns[2:]], None))
    )
    # The simulated provider refuses thoughts whose proof is not its own.
    for answer in (second, third):
        assert "rain" in answer.output_text
        assert answer.usage is not None
    assert second.usage == third.usage
    assert second.usage is not None
    assert thoughtless.usage is not None
    if model == ANTHROPIC:  # the other one proves its calls instead
        assert second.usage.input_tokens > thoughtless.usage.input_tokens


def test_thoughts_are_told_as_they_come(chatgpt: openai.OpenAI) -> None:
    stream = chatgpt.responses.create(
        model=GEMINI, input="Hello", reasoning={"effort": "low", "summary": "auto"}, stream=True
    )
    kinds = list(dict.fromkeys(event.type for event in stream))
    assert kinds[2:8] == [
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
    ]


@every_dialect
@both_ways
def test_a_picture_reaches_the_provider(chatgpt: openai.OpenAI, model: str, streamed: bool) -> None:
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
    ]
    answer = ask(chatgpt, [{"role": "user", "content": content}], model=model, streamed=streamed)
    assert answer.usage is not None
    assert answer.usage.input_tokens == tokens("What is this?") + IMAGE_TOKENS


@both_ways
def test_log_probabilities_pass(chatgpt: openai.OpenAI, streamed: bool) -> None:
    answer: Any = ask(
        chatgpt,
        "Hello",
        model=OPENAI,
        streamed=streamed,
        include=["message.output_text.logprobs"],
        top_logprobs=1,
    )
    rows = answer.output[0].content[0].logprobs
    assert "".join(row.token for row in rows) == answer.output_text
    assert all(row.logprob <= 0 and len(row.top_logprobs) == 1 for row in rows)


# What cannot be said


@every_dialect
@pytest.mark.parametrize("tool", ["file_search", "code_interpreter", "mcp", "image_generation"])
def test_a_built_in_tool_is_refused_by_name(world: World, model: str, tool: str) -> None:
    before = world.asked()
    answer = world.post("/v1/responses", {"model": model, "input": "Hi", "tools": [{"type": tool}]})
    assert answer.status == 400
    assert answer.json["error"]["code"] == "unsupported_parameter"
    assert tool in answer.json["error"]["message"]
    assert model.partition("/")[0] in answer.json["error"]["message"]
    assert world.asked() == before


@every_dialect
def test_a_built_in_tool_is_dropped_aloud_when_allowed(world: World, model: str) -> None:
    body = {"model": model, "input": "Hi", "tools": [{"type": "code_interpreter"}], "background": True}
    answer = world.post("/v1/responses", body, x_steelyard_drop_params="true")
    assert answer.status == 200
    dropped = answer.headers["x-steelyard-dropped-params"]
    assert "code_interpreter" in dropped
    assert "background" in dropped


def test_a_search_is_asked_for_where_there_is_one_and_refused_where_there_is_none(world: World) -> None:
    def asked(model: str, **more: Any) -> tuple[int, str]:
        answer = world.post("/v1/responses", {"model": model, "input": "Hi", "tools": [{"type": "web_search", **more}]})
        return answer.status, "" if answer.status == 200 else answer.json["error"]["message"]

    assert [asked(model)[0] for model in (ANTHROPIC, GEMINI)] == [200, 200]
    status, message = asked(OPENAI)
    assert (status, "tools[0] (web_search)" in message) == (400, True)
    status, message = asked(GEMINI, filters={"allowed_domains": ["example.com"]})
    assert (status, "tools[0].filters.allowed_domains" in message) == (400, True)
    assert asked(ANTHROPIC, filters={"allowed_domains": ["example.com"]})[0] == 200
    status, message = asked(ANTHROPIC, search_context_size="low", external_web_access=False)
    assert status == 400
    assert "tools[0].search_context_size" in message
    assert "tools[0].external_web_access" in message


@every_dialect
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("background", True),
        ("conversation", "conv_1"),
        ("prompt", {"id": "pmpt_1"}),
        ("context_management", [{"type": "compaction"}]),
        ("include", ["nothing.known"]),
        ("text", {"format": {"type": "grammar"}}),
        ("tool_choice", {"type": "web_search"}),
        ("reasoning", {"effort": "low", "mode": "deep"}),
        ("surprise", 1),
        ("input", [{"role": "user", "content": [{"type": "input_image", "file_id": "file_1"}]}]),
        (
            "input",
            [{"role": "user", "content": "Hi"}, {"type": "web_search_call", "id": "ws_1", "status": "completed"}],
        ),
    ],
    ids=str,
)
def test_nothing_is_lost_in_silence(world: World, model: str, field: str, value: Any) -> None:
    body = {"model": model, "input": "Hi", field: value}
    answer = world.post("/v1/responses", body)
    assert answer.status == 400
    assert field in answer.json["error"]["param"]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"reasoning": {"effort": "minimal"}}, "reasoning.effort"),
        ({"include": ["message.output_text.logprobs"]}, "include (message.output_text.logprobs)"),
    ],
    ids=str,
)
def test_what_a_provider_lacks_is_named_in_this_apis_words(world: World, more: dict[str, Any], named: str) -> None:
    answer = world.post("/v1/responses", {"model": ANTHROPIC, "input": "Some json.", **more})
    assert (answer.status, answer.json["error"]["param"]) == (400, named)


def test_verbosity_is_said_where_it_can_be(world: World) -> None:
    body = {"input": "Hi", "text": {"verbosity": "low"}}
    assert [world.post("/v1/responses", {**body, "model": one}).status for one in CHAT_MODELS] == [200, 400, 400]


@every_dialect
@pytest.mark.parametrize(
    "asks_for_nothing",
    [
        {"background": False},
        {"text": {"verbosity": "medium", "format": {"type": "text"}}},
        {"max_tool_calls": 3},
        {"include": ["reasoning.encrypted_content", "web_search_call.action.sources"]},
        {"prompt_cache_key": "k", "prompt_cache_retention": "24h"},
        {"truncation": "disabled", "metadata": {"a": "b"}, "stream_options": {"include_obfuscation": False}},
        {"reasoning": {"summary": "auto"}},
    ],
    ids=str,
)
def test_what_asks_for_nothing_is_no_obstacle(world: World, model: str, asks_for_nothing: dict[str, Any]) -> None:
    answer = world.post("/v1/responses", {"model": model, "input": "Hi", **asks_for_nothing})
    assert answer.status == 200, answer.body
    assert "x-steelyard-dropped-params" not in answer.headers


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model"),
        ({"model": OPENAI}, "input"),
        ({"model": OPENAI, "input": 7}, "input"),
        ({"model": OPENAI, "input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
        (
            {"model": OPENAI, "input": [{"role": "user", "content": [{"type": "input_text"}]}]},
            "input[0].content[0].text",
        ),
        ({"model": OPENAI, "input": [{"type": "function_call", "name": "f", "arguments": ""}]}, "input[0].call_id"),
        (
            {"model": OPENAI, "input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
            "input[0].call_id",
        ),
        ({"model": OPENAI, "input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].id"),
        ({"model": OPENAI, "input": "x", "temperature": 3}, "temperature"),
        ({"model": OPENAI, "input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"model": OPENAI, "input": "x", "tools": [{"type": "function", "name": "f", "parameters": 1}]}, "tools[0]"),
        ({"model": OPENAI, "input": "x", "text": {"format": {"type": "json_schema"}}}, "text.format.name"),
        ({"model": OPENAI, "input": "x", "previous_response_id": "resp_none"}, "previous_response_id"),
    ],
    ids=str,
)
def test_a_mistake_is_named_by_its_place(world: World, body: dict[str, Any], param: str) -> None:
    before = world.asked()
    answer = world.post("/v1/responses", body)
    assert answer.status == 400
    assert answer.json["error"]["param"].startswith(param)
    assert world.asked() == before


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model":"m","input":[{"role":"user","content":"\xff"}]}'])
def test_what_is_no_json_is_refused(world: World, body: bytes) -> None:
    assert world.post("/v1/responses", body).status == 400


def test_a_response_takes_posts_only(world: World) -> None:
    assert world.get("/v1/responses").status == 405


@every_dialect
@pytest.mark.parametrize("field", ["content", "never_heard_of"])
def test_broken_text_is_the_callers_wherever_it_is(world: World, model: str, field: str) -> None:
    item = b'{"type":"message","role":"user","content":"x","%s":"\xff"}' % field.encode()
    answer = world.call("POST", "/v1/responses", b'{"model":"%s","input":[%s]}' % (model.encode(), item))
    assert (answer.status, answer.json["error"]["code"]) == (400, "invalid_json")


@both_ways
def test_what_is_found_wanting_late_is_recorded_as_the_callers(world: World, streamed: bool) -> None:
    given = [{"type": "item_reference", "id": "msg_none"}]
    answer = world.post("/v1/responses", {"model": OPENAI, "input": given, "stream": streamed})
    record = world.record(answer.headers["x-steelyard-request-id"])
    assert (answer.status, record["status"], record["error_code"]) == (400, 400, "item_not_found")
