"""The Responses API towards callers: what is understood of a request, and how answers grow and end."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from providers.chat import (
    Audio,
    Begin,
    ChatChunk,
    ChatReply,
    Choice,
    Citation,
    Cited,
    Conversation,
    Document,
    Effort,
    Finish,
    Image,
    ImageDelta,
    Part,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    RefusalText,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
    UsageReport,
)
from providers.dialect import Inexpressible, InvalidRequest, Profile, Target
from providers.dialects import DIALECTS
from providers.dialects.responses import Form, kept, parse, response_of
from providers.errors import Garbled

NAME = "01M7ZGJM0KY4BDBZESW26J1SAA"


def body(given: Any = "Hi", **fields: Any) -> bytes:
    return json.dumps({"model": "m", "input": given, **fields}).encode()


def said(given: Any = "Hi", **fields: Any) -> Conversation:
    return parse(body(given, **fields)).chat().conversation()


def form(**fields: Any) -> Form:
    return Form(parse(body(**fields)), NAME, 1_700_000_000)


# Requests


def test_items_of_one_answer_are_one_turn_and_outputs_are_another() -> None:
    items = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "input_text", "text": "Compare."}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me see."}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "g", "arguments": '{"x":1}'},
        {"type": "function_call_output", "call_id": "a", "output": "one"},
        {"type": "function_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "two"}]},
        {"role": "user", "content": "And?"},
    ]
    assert said(items, instructions="You weigh.").turns == [
        Turn("system", [Text("You weigh.")]),
        Turn("system", [Text("Be brief.")]),
        Turn("user", [Text("Compare.")]),
        Turn(
            "assistant",
            [Reasoning("Hm."), Text("Let me see."), ToolCall("a", "f", "{}"), ToolCall("b", "g", '{"x":1}')],
        ),
        Turn("user", [ToolResult("a", [Text("one")], "f"), ToolResult("b", [Text("two")], "g")]),
        Turn("user", [Text("And?")]),
    ]


def test_parts_of_every_kind_are_read() -> None:
    parts = [
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_file", "file_data": "data:application/pdf;base64,BB==", "filename": "a.pdf"},
        {"type": "input_file", "file_url": "https://x/y.pdf"},
        {"type": "input_audio", "input_audio": {"data": "CC==", "format": "wav"}},
        {"type": "input_text", "text": "t", "prompt_cache_breakpoint": {"mode": "explicit"}},
    ]
    request = parse(body([{"role": "user", "content": parts}])).chat()
    assert request.needs == {"vision", "documents", "audio"}
    assert request.conversation().turns[0].parts == [
        Image(url="https://x/y.png", detail="low"),
        Image(data="AA==", media_type="image/png"),
        Document(data="BB==", media_type="application/pdf", filename="a.pdf"),
        Document(url="https://x/y.pdf"),
        Audio("CC==", "wav"),
        Text("t", {"type": "ephemeral"}),
    ]
    assert request.conversation().extra == {}


@pytest.mark.parametrize(
    ("reasoning", "effort"),
    [
        (None, None),
        ({"effort": "high"}, Effort("high", show_if_any=True)),
        ({"effort": "low", "summary": "auto"}, Effort("low", show=True, show_if_any=True)),
        ({"effort": "low", "summary": "detailed"}, Effort("low", show=True)),
        ({"generate_summary": "concise"}, Effort(None, show=True)),
        ({"summary": "auto"}, None),
        ({"effort": "none", "summary": "detailed"}, Effort(enabled=False)),
    ],
    ids=str,
)
def test_effort_is_read(reasoning: Any, effort: Effort | None) -> None:
    request = parse(body(reasoning=reasoning)).chat()
    assert request.conversation().effort == effort
    assert ("reasoning" in request.needs) == (effort is not None and effort.enabled)


@pytest.mark.parametrize(("summary", "refused"), [("auto", False), ("detailed", True)])
def test_only_a_demand_for_thoughts_is_refused_by_who_has_none_to_show(summary: str, refused: bool) -> None:
    request = parse(body(reasoning={"effort": "low", "summary": summary})).chat()
    target = Target("p", "m", Profile())
    if refused:
        with pytest.raises(Inexpressible, match=r"reasoning\.summary"):
            DIALECTS["openai"].encode(request, target, drop=False)
    else:
        assert json.loads(DIALECTS["openai"].encode(request, target, drop=False).body)["reasoning_effort"] == "low"


@pytest.mark.parametrize("mode", ["auto", "required"])
def test_a_choice_of_some_of_the_tools_is_read(mode: str) -> None:
    choice = {"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": "f"}]}
    conversation = said(tool_choice=choice)
    assert conversation.tool_choice == ToolChoice(mode, allowed=["f"])  # pyright: ignore[reportArgumentType]
    assert conversation.extra == {}


def test_a_built_in_tool_among_the_allowed_is_named() -> None:
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}
    assert [*said(tool_choice=choice).extra] == ["tool_choice.tools[0] (web_search)"]


@pytest.mark.parametrize(("knows", "sent"), [(True, "k"), (False, None)])
def test_the_cache_key_goes_to_whoever_knows_it(knows: bool, sent: str | None) -> None:
    request = parse(body(prompt_cache_key="k")).chat()
    call = DIALECTS["openai"].encode(request, Target("p", "m", Profile(prompt_cache_key=knows)), drop=False)
    assert json.loads(call.body).get("prompt_cache_key") == sent
    assert call.dropped == ()


def test_what_is_asked_of_the_gateway_goes_to_no_provider() -> None:
    request = parse(body(store=True, metadata={"a": "b"}, truncation="auto", include=[], max_tool_calls=2)).chat()
    for name, dialect in DIALECTS.items():
        call = dialect.encode(request, Target("p", "m", Profile()), drop=False)
        assert call.dropped == ()
        assert not json.loads(call.body).keys() & {"store", "metadata", "labels", "truncation", "include"}, name


def test_earlier_items_come_first_and_count() -> None:
    asked = parse(
        body([{"type": "function_call_output", "call_id": "a", "output": "x"}], previous_response_id="resp_1")
    )
    earlier = [{"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", "id": "fc_1"}]
    request = asked.chat(earlier)
    assert request.conversation().turns[1].parts == [ToolResult("a", [Text("x")], "f")]
    assert request.input_tokens > asked.draft().input_tokens
    with pytest.raises(InvalidRequest):
        asked.chat()


def test_recalled_items_that_no_conversation_holds_are_named() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    asked = parse(body([{"type": "item_reference", "id": "ws_2"}], previous_response_id="resp_1"))
    request = asked.chat([search], {"ws_2": {**search, "id": "ws_2"}})
    lost = ("previous_response_id (web_search_call)", "input[0] (web_search_call)")
    for name, dialect in DIALECTS.items():
        with pytest.raises(Inexpressible) as caught:
            dialect.encode(request, Target("p", "m", Profile()), drop=False)
        assert caught.value.fields == lost, name
        assert dialect.encode(request, Target("p", "m", Profile()), drop=True).dropped == lost


def test_pictures_and_seals_are_not_counted_as_text() -> None:
    asked = parse(body(previous_response_id="resp_1"))
    short, long = (
        asked.chat(
            [
                {"type": "image_generation_call", "id": "ig_1", "result": "A" * size},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "A" * size},
            ]
        )
        for size in (4, 400_000)
    )
    assert short.input_tokens == long.input_tokens


@pytest.mark.parametrize("recalled", [True, False])
def test_a_drawn_picture_comes_back_to_who_can_see_it_and_is_named_to_others(recalled: bool) -> None:
    parts: list[Part] = [Image(data="AA==", media_type="image/webp")]
    drawn = json.loads(form().render(ChatReply("x", "m", [Choice(parts, "stop")], Usage())))["output"]
    more = {"role": "user", "content": "Brighter."}
    if recalled:
        request = parse(body([more], previous_response_id="resp_1")).chat(drawn)
    else:
        request = parse(body([*drawn, more])).chat()
    assert request.conversation().turns[0] == Turn("assistant", parts)
    target = Target("p", "m", Profile(), 100)
    seen = json.loads(DIALECTS["gemini"].encode(request, target, drop=False).body)["contents"][0]
    assert seen == {"role": "model", "parts": [{"inlineData": {"mimeType": "image/webp", "data": "AA=="}}]}
    for name, lost in (("openai", "input.content.input_image"), ("anthropic", "input.content")):
        with pytest.raises(Inexpressible) as caught:
            DIALECTS[name].encode(request, target, drop=False)
        assert caught.value.fields == (lost,)


def test_items_are_kept_with_ids_and_in_one_form() -> None:
    given: list[Any] = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Ho", "id": "msg_own"},
        {"type": "item_reference", "id": "msg_other"},
        {"type": "function_call_output", "call_id": "a", "output": "x"},
    ]
    other = {"type": "message", "id": "msg_other", "role": "user", "content": [{"type": "input_text", "text": "Hu"}]}
    assert kept(given, NAME, {"msg_other": other}) == [
        {"type": "message", "id": f"msg_{NAME}_i0", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {
            "type": "message",
            "id": "msg_own",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Ho", "annotations": []}],
        },
        other,
        {"type": "function_call_output", "id": f"fco_{NAME}_i3", "call_id": "a", "output": "x"},
    ]
    assert response_of(f"msg_{NAME}_i0") == response_of(f"fc_{NAME}_3") == f"resp_{NAME}"
    assert response_of("nothing") is None


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
items = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["message", "function_call", "function_call_output", "reasoning", "x"]) | anything,
            "role": st.sampled_from(["user", "assistant", "system"]) | anything,
            "content": st.text(max_size=5)
            | st.lists(
                st.fixed_dictionaries(
                    {"type": st.sampled_from(["input_text", "output_text", "input_image", "input_file", "x"])},
                    optional={"text": st.text(max_size=3), "image_url": st.text(max_size=3) | anything},
                ),
                max_size=3,
            )
            | anything,
            "call_id": st.sampled_from(["a", "b"]) | anything,
            "name": st.just("f") | anything,
            "arguments": st.just("{}") | anything,
            "output": st.text(max_size=3) | anything,
            "encrypted_content": st.text(max_size=5).map("steelyard.".__add__) | anything,
        },
    ),
    max_size=4,
)


@given(items | anything, st.dictionaries(st.sampled_from(["tools", "text", "tool_choice", "include", "x"]), anything))
def test_any_request_is_understood_or_refused(given: Any, more: dict[str, Any]) -> None:
    # Any other exception would be a defect, and fails the test.
    with suppress(InvalidRequest):
        request = parse(body(given, **more)).chat()
        for dialect in DIALECTS.values():
            dialect.encode(request, Target("p", "m", Profile()), drop=True)


# Answers


def streamed(chunks: list[ChatChunk], **fields: Any) -> tuple[list[Any], dict[str, Any]]:
    """The events, and the response at their end."""
    written = form(**fields)
    encoder = written.stream_encoder(parse(body()).chat())
    data = b"".join(encoder.encode(chunk) for chunk in chunks) + encoder.end()
    final = written.final()
    data += written.end(final)
    events = [json.loads(block.split("\ndata: ")[1]) for block in data.decode().split("\n\n") if block]
    return events, final


def pieces(part: Part, number: int) -> list[ChatChunk]:
    """A part as it streams, in pieces."""
    if isinstance(part, Text):
        return [TextDelta(one) for one in halves(part.text)]
    if isinstance(part, RefusalText):
        return [RefusalDelta(one) for one in halves(part.text)]
    if isinstance(part, Reasoning):
        proof = [ReasoningDelta(signature=part.signature, redacted=part.redacted)]
        return [
            *(ReasoningDelta(one) for one in halves(part.text)),
            *(proof if part.signature or part.redacted else []),
        ]
    if isinstance(part, Image):
        return [ImageDelta(part)]
    assert isinstance(part, ToolCall)
    first = ToolCallDelta(number, "", part.id, part.name, signature=part.signature)
    return [first, *(ToolCallDelta(number, one) for one in halves(part.arguments))]


def halves(text: str) -> list[str]:
    return [text[: len(text) // 2], text[len(text) // 2 :]]


words = st.text(min_size=1, max_size=6)
parts = st.lists(
    st.builds(Text, words)
    | st.builds(RefusalText, words)
    | st.builds(Reasoning, words, signature=st.none() | words)
    | st.builds(Reasoning, st.just(""), redacted=words)
    | st.builds(Image, data=words, media_type=st.just("image/png"))
    | st.builds(ToolCall, words, words, st.just('{"a":1}') | st.just(""), st.none() | words),
    max_size=6,
)
reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "refusal", "pause_turn"])


@given(parts, reasons)
def test_a_stream_ends_as_the_whole_answer(said: list[Part], reason: str) -> None:
    usage = Usage(7, 5, 2, 1, 3)
    chunks = [chunk for at, part in enumerate(said) for chunk in pieces(part, at)]
    _, final = streamed([Begin("x", "upstream"), *chunks, Finish(reason), UsageReport(usage)])
    whole = form().render(ChatReply("x", "upstream", [Choice(said, reason)], usage))
    assert final == json.loads(whole)


@given(parts, reasons.filter("pause_turn".__ne__))  # which no type of the SDK has
def test_the_sdk_builds_from_the_events_what_their_end_says(said: list[Part], reason: str) -> None:
    chunks = [chunk for at, part in enumerate(said) for chunk in pieces(part, at)]
    events, final = streamed([Begin("x", "upstream"), *chunks, Finish(reason)])
    # The SDK knows a call by its `call_id`, and takes two with the same for a conflict.
    ids = [item["call_id"] for item in final["output"] if item["type"] == "function_call"]
    state: Any = ResponseStreamState(input_tools=[], text_format=omit)
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    if len(set(ids)) < len(ids):
        return
    for event in events[:-1]:
        state.handle_event(adapter.validate_python(event))
    snapshot = state.accumulate_event(adapter.validate_python(events[-1]))
    assert [item.id for item in snapshot.output] == [item["id"] for item in final["output"]]


def test_one_item_is_open_at_a_time_and_indices_count() -> None:
    chunks: list[ChatChunk] = [
        ReasoningDelta("Hm."),
        TextDelta("See: "),
        ToolCallDelta(0, "{}", "a", "f"),
        ToolCallDelta(1, "{}", "b", "g"),
        TextDelta("Done."),
        Finish("tool_calls"),
    ]
    events, final = streamed([Begin("x", "m"), *chunks])
    open_item: int | None = None
    for event in events[2:-1]:
        if event["type"] == "response.output_item.added":
            assert open_item is None
            open_item = event["output_index"]
        assert event["output_index"] == open_item
        if event["type"] == "response.output_item.done":
            open_item = None
    assert [item["type"] for item in final["output"]] == [
        *("reasoning", "message", "function_call", "function_call", "message")
    ]


def test_a_call_that_goes_on_after_another_began_is_garbled() -> None:
    with pytest.raises(Garbled):
        streamed([ToolCallDelta(0, "{", "a", "f"), ToolCallDelta(1, "{}", "b", "g"), ToolCallDelta(0, "}")])


@pytest.mark.parametrize(
    ("reason", "said", "status", "why"),
    [
        ("stop", [Text("x")], "completed", None),
        ("tool_calls", [ToolCall("a", "f", "{}")], "completed", None),
        (None, [Text("x")], "completed", None),
        ("refusal", [RefusalText("No.")], "completed", None),
        ("refusal", [], "incomplete", "content_filter"),
        ("content_filter", [Text("x")], "incomplete", "content_filter"),
        ("length", [Text("x")], "incomplete", "max_output_tokens"),
        ("pause_turn", [Text("x")], "incomplete", "pause_turn"),
    ],
)
def test_a_finish_reason_is_never_laundered(reason: str | None, said: list[Part], status: str, why: str | None) -> None:
    response = json.loads(form().render(ChatReply("x", "m", [Choice(said, reason)], Usage())))
    assert response["status"] == status
    assert response["incomplete_details"] == (why and {"reason": why})
    assert all(item["status"] == status for item in response["output"])


def test_thoughts_come_back_with_their_proof() -> None:
    thought, hidden = Reasoning("Hm.", "gemini:sig"), Reasoning(redacted="opaque")
    response = json.loads(form().render(ChatReply("x", "m", [Choice([thought, hidden, Text("x")], "stop")], Usage())))
    assert said([*response["output"], {"role": "user", "content": "And?"}]).turns[0].parts == [
        thought,
        hidden,
        Text("x"),
    ]


def test_foreign_sealed_thoughts_open_nothing() -> None:
    for sealed in ("gAAAAABo", "steelyard.???", "steelyard.AAAA"):
        item = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed}
        assert said([{"role": "user", "content": "Hi"}, item]).turns[1].parts == [Reasoning("")]


def test_a_picture_is_an_image_generation_call() -> None:
    parts: list[Part] = [Text("Look:"), Image(data="AA==", media_type="image/png")]
    response = json.loads(form().render(ChatReply("x", "m", [Choice(parts, "stop")], Usage())))
    assert [item["type"] for item in response["output"]] == ["message", "image_generation_call"]
    assert response["output"][1]["result"] == "AA=="


def test_a_picture_passes_through_every_stage() -> None:
    events, final = streamed([Begin("x", "m"), ImageDelta(Image(data="AA==")), Finish("stop")])
    assert [event["type"].removeprefix("response.") for event in events[2:-1]] == [
        "output_item.added",
        *(f"image_generation_call.{stage}" for stage in ("in_progress", "generating", "completed")),
        "output_item.done",
    ]
    (item,) = final["output"]
    assert {event["item_id"] for event in events[3:6]} == {item["id"]}
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in events:
        adapter.validate_python(event)


def test_probabilities_are_told_with_the_text() -> None:
    rows = [{"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}]
    raw = Raw(json.dumps({"content": rows, "refusal": None}).encode())
    _, final = streamed([TextDelta("x", logprobs=raw), Finish("stop")])
    whole = json.loads(form().render(ChatReply("x", "m", [Choice([Text("x")], "stop", None, raw)], Usage())))
    assert final["output"][0]["content"][0]["logprobs"] == rows == whole["output"][0]["content"][0]["logprobs"]


def test_other_choices_are_not_heard() -> None:
    _, final = streamed([TextDelta("one"), TextDelta("two", choice=1), Finish("stop"), Finish("length", 1)])
    assert final["status"] == "completed"
    assert [part["text"] for part in final["output"][0]["content"]] == ["one"]


def test_what_was_asked_is_echoed() -> None:
    asked: dict[str, Any] = {
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}],
        "tool_choice": {"type": "function", "name": "f"},
        "temperature": 0.10,
        "metadata": {"a": "b"},
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "reasoning": {"effort": "low"},
        "parallel_tool_calls": False,
        "truncation": "auto",
    }
    response = json.loads(form(**asked).render(ChatReply("x", "upstream", [], Usage())))
    assert {name: response[name] for name in asked} == asked
    assert (response["model"], response["id"]) == ("upstream", f"resp_{NAME}")


def test_sources_stand_with_the_text_that_they_are_of() -> None:
    cited = [Citation("https://x/a", "A", 0, 9), Citation("https://x/b", "B", 3, 5)]
    events, final = streamed([Begin("x", "m"), TextDelta("It is so."), Cited(cited), Finish("stop")])
    notes = final["output"][0]["content"][0]["annotations"]
    assert notes[0] == {"type": "url_citation", "url": "https://x/a", "title": "A", "start_index": 0, "end_index": 9}
    told = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert [(event["annotation_index"], event["annotation"]) for event in told] == list(enumerate(notes))
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in events:
        adapter.validate_python(event)
    whole = ChatReply("x", "m", [Choice([Text("It is so.")], "stop", citations=cited)], Usage())
    assert json.loads(form().render(whole))["output"][0]["content"][0]["annotations"] == notes


def test_sources_that_come_after_a_call_stand_with_the_text_all_the_same() -> None:
    cited = [Citation("https://x/a", "A", 0, 9)]
    call = ToolCall("c", "f", "{}")
    chunks: list[ChatChunk] = [
        Begin("x", "m"),
        TextDelta("It is so."),
        ToolCallDelta(0, "{}", "c", "f"),
        Cited(cited),
        Finish("stop"),
    ]
    events, final = streamed(chunks)
    (note,) = final["output"][0]["content"][0]["annotations"]
    (told,) = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert (told["item_id"], told["content_index"], told["annotation"]) == (final["output"][0]["id"], 0, note)
    whole = ChatReply("x", "m", [Choice([Text("It is so."), call], "stop", citations=cited)], Usage())
    assert json.loads(form().render(whole))["output"] == final["output"]


def test_what_begins_is_shown_as_it_begins() -> None:
    rows = Raw(b'{"content":[{"token":"a","logprob":-0.5}]}')
    said: list[ChatChunk] = [ReasoningDelta("Hm.", signature="s"), TextDelta("a", logprobs=rows), Finish("stop")]
    events, final = streamed([Begin("x", "m"), *said])
    shown = {event["type"]: event for event in events if event["type"].endswith("added")}
    items = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    assert [item.get("summary", item.get("content")) for item in items] == [[], []]
    assert shown["response.content_part.added"]["part"]["logprobs"] == []
    assert final["output"][1]["content"][0]["logprobs"] == json.loads(bytes(rows))["content"]


def test_a_stream_says_the_tier_it_was_served_in() -> None:
    _, final = streamed([Begin("x", "m", service_tier="priority"), TextDelta("a"), Finish("stop")])
    assert final["service_tier"] == "priority"
