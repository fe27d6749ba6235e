"""Streams decoded and encoded, event by event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic_recorded import chunks, foreign, names, recorded

from providers.chat import (
    Begin,
    ChatChunk,
    Citation,
    Cited,
    Conversation,
    Finish,
    Image,
    ImageDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.dialect import StreamDecoder, StreamEncoder
from providers.dialects.anthropic import ANTHROPIC
from providers.errors import Fault, Garbled, Misconfigured, Overloaded, Rejected, Throttled
from providers.sse import Event, Parser

_START = {
    "type": "message_start",
    "message": {"id": "m", "model": "c", "usage": {"input_tokens": 3, "output_tokens": 1}},
}
_TEXT = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
_HELLO = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}


def _feed(*events: Any) -> list[ChatChunk]:
    decoder: StreamDecoder = ANTHROPIC.stream_decoder()
    return [chunk for event in events for chunk in decoder.feed(Event("", json.dumps(event).encode(), b""))]


def _events(*written: ChatChunk) -> list[dict[str, Any]]:
    encoder: StreamEncoder = ANTHROPIC.stream_encoder(foreign(Conversation([])))
    stream = b"".join(encoder.encode(chunk) for chunk in written) + encoder.end()
    events = Parser().feed(stream)
    assert [event.type for event in events] == [json.loads(event.data)["type"] for event in events]
    return [json.loads(event.data) for event in events]


def _inner(*written: ChatChunk) -> list[dict[str, Any]]:
    """What stands between the start and the end."""
    return _events(Begin("i", "m"), *written)[1:-2]


def test_text_is_decoded() -> None:
    assert chunks(recorded("stream_text.sse")) == [
        Begin("msg_01", "claude-sonnet-5"),
        UsageReport(Usage(25, 1)),
        TextDelta("Hello"),
        TextDelta(", wörld! 🌍\n"),
        Finish("stop"),
        UsageReport(Usage(25, 15)),
    ]


def test_tool_calls_are_counted_and_never_without_arguments() -> None:
    assert chunks(recorded("stream_tools.sse"))[4:] == [
        ToolCallDelta(0, "", "toolu_01", "get_weather"),
        ToolCallDelta(0, '{"city": "Pa'),
        ToolCallDelta(0, 'ris"}'),
        ToolCallDelta(1, "", "toolu_02", "now"),
        ToolCallDelta(1, "{}"),
        Finish("tool_calls"),
        UsageReport(Usage(25, 89)),
    ]


def test_thinking_is_decoded_with_its_signatures() -> None:
    assert chunks(recorded("stream_thinking.sse"))[2:] == [
        ReasoningDelta("Let me "),
        ReasoningDelta("think."),
        ReasoningDelta(signature="anthropic:EqQBCgIYAhIM"),
        ReasoningDelta(redacted="anthropic:EmwKAhgBEgy3"),
        ReasoningDelta("Again."),
        ReasoningDelta(signature="anthropic:EqQBsecond"),
        TextDelta("42"),
        Finish("stop"),
        UsageReport(Usage(1225, 90, 1000, 200, 70)),
    ]


def test_a_later_count_that_is_left_out_leaves_the_earlier_one() -> None:
    delta = {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 9}}
    assert _feed(_START, delta)[-1] == UsageReport(Usage(3, 9))
    assert _feed(_START, {**delta, "usage": None}) == _feed(_START)
    assert _feed(_START, {"type": "message_delta"}) == _feed(_START)


def test_the_api_may_say_why_it_refused() -> None:
    delta = {"stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "no"}}
    assert _feed(_START, {"type": "message_delta", "delta": delta})[2:] == [RefusalDelta("no"), Finish("refusal")]
    assert RefusalDelta not in [type(chunk) for chunk in chunks(recorded("stream_refusal.sse"))]


def test_content_may_stand_in_the_start_of_a_block() -> None:
    def block(index: int, **fields: Any) -> dict[str, Any]:
        return {"type": "content_block_start", "index": index, "content_block": fields}

    assert _feed(
        _START,
        block(0, type="text", text="a"),
        block(1, type="thinking", thinking="b"),
        block(2, type="tool_use", id="t", name="f", input={"x": 1}),
        {"type": "content_block_stop", "index": 2},
    )[2:] == [TextDelta("a"), ReasoningDelta("b"), ToolCallDelta(0, '{"x": 1}', "t", "f")]


@pytest.mark.parametrize("name", [name for name in names("stream_*.sse") if name != "stream_error.sse"])
def test_only_message_stop_completes_a_stream(name: str) -> None:
    decoder = ANTHROPIC.stream_decoder()
    *rest, last = Parser().feed(recorded(name))
    for event in rest:
        decoder.feed(event)
        assert not decoder.complete
        assert not decoder.usage_only(event)
    decoder.feed(last)
    assert decoder.complete


def test_server_tools_and_future_events_pass_by() -> None:
    assert chunks(recorded("stream_server_tools.sse"))[2:] == [
        TextDelta("Found."),
        Cited([Citation("https://example.com", "x", 0, 6)]),
        Finish("stop"),
        UsageReport(Usage(25, 9)),
    ]


def test_an_error_event_is_a_fault() -> None:
    with pytest.raises(Overloaded, match="Overloaded"):
        chunks(recorded("stream_error.sse"))


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("invalid_request_error", Rejected),
        ("request_too_large", Rejected),
        ("authentication_error", Misconfigured),
        ("permission_error", Misconfigured),
        ("billing_error", Misconfigured),
        ("not_found_error", Misconfigured),
        ("rate_limit_error", Throttled),
        ("overloaded_error", Overloaded),
        ("api_error", Overloaded),
        ("timeout_error", Overloaded),
        ("later_error", Overloaded),
    ],
)
def test_an_error_events_type_says_which_fault(kind: str, fault: type[Fault]) -> None:
    with pytest.raises(fault) as caught:
        _feed({"type": "error", "error": {"type": kind, "message": "m"}})
    assert type(caught.value) is fault
    assert (caught.value.code, caught.value.status) == (kind, None)


def test_the_details_of_an_error_event_say_more() -> None:
    error = {"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}}
    with pytest.raises(Misconfigured):
        _feed({"type": "error", "error": error})


@pytest.mark.parametrize(
    "events",
    [
        [{}],
        [{"type": "error"}],
        [{"type": "message_start"}],
        [_START, _START],
        [_TEXT],
        [{"type": "message_stop"}],
        [{"type": "message_delta"}],
        [_START, _HELLO],
        [_START, _TEXT, _TEXT],
        [_START, {**_TEXT, "content_block": None}],
        [_START, _TEXT, {**_HELLO, "delta": None}],
        [_START, _TEXT, {**_HELLO, "delta": {"type": "text_delta"}}],
        [_START, _TEXT, {**_HELLO, "delta": {"type": "thinking_delta"}}],
        [_START, _TEXT, {**_HELLO, "delta": {"type": "signature_delta"}}],
        [_START, _TEXT, {**_HELLO, "delta": {"type": "input_json_delta"}}],
        [_START, {**_TEXT, "content_block": {"type": "tool_use", "id": "t"}}],
        [_START, {**_TEXT, "content_block": {"type": "redacted_thinking"}}],
        [_START, {"type": "content_block_stop", "index": 0}],
    ],
)
def test_what_is_out_of_order_or_empty_is_garbled(events: list[Any]) -> None:
    with pytest.raises(Garbled):
        _feed(*events)


@pytest.mark.parametrize("data", [b"[DONE]", b"", b"[]", b"\xff"])
def test_what_is_no_event_is_garbled(data: bytes) -> None:
    with pytest.raises(Garbled):
        ANTHROPIC.stream_decoder().feed(Event("", data, b""))


def test_a_stream_opens_with_its_id_and_no_tokens_and_closes_with_all() -> None:
    first, *_, delta, last = _events(
        Begin("i", "m"), UsageReport(Usage(9, 1)), Finish("stop"), UsageReport(Usage(9, 5, 4, 3, 2))
    )
    assert (first["message"]["id"], first["message"]["model"]) == ("i", "m")
    assert first["message"]["usage"]["input_tokens"] == 0
    assert delta["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert delta["usage"] == {
        "input_tokens": 2,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
        "output_tokens_details": {"thinking_tokens": 2},
    }
    assert last == {"type": "message_stop"}


def test_a_stream_that_never_began_still_has_a_start() -> None:
    assert [event["type"] for event in _events()] == ["message_start", "message_delta", "message_stop"]
    assert [event["type"] for event in _events(TextDelta("a"))][:2] == ["message_start", "content_block_start"]
    assert _events(TextDelta("a"))[0]["message"]["model"] == "auto"


def test_a_second_beginning_says_nothing() -> None:
    assert _inner(Begin("j", "n")) == []


def test_nothing_said_opens_nothing() -> None:
    silent = [TextDelta(""), RefusalDelta(""), ReasoningDelta(), ToolCallDelta(0, "", "t", "f"), TextDelta("")]
    assert [event["type"] for event in _inner(*silent)] == ["content_block_start", "content_block_stop"]


def test_blocks_follow_one_another() -> None:
    kinds = [
        event["content_block"]["type"] if "content_block" in event else event.get("delta", event)["type"]
        for event in _inner(
            ReasoningDelta("a"),
            ReasoningDelta("b", signature="s"),
            ReasoningDelta("c"),
            ReasoningDelta(redacted="d"),
            ReasoningDelta(signature="t"),
            TextDelta("e"),
            ToolCallDelta(0, '{"a"', "t0", "f"),
            ToolCallDelta(0, ":1}"),
            ToolCallDelta(1, "{}", "t1", "g"),
            TextDelta("f"),
        )
    ]
    stop = "content_block_stop"
    assert kinds == [
        *("thinking", "thinking_delta", "thinking_delta", "signature_delta", stop),
        *("thinking", "thinking_delta", stop),
        *("redacted_thinking", stop),
        *("thinking", "signature_delta", stop),
        *("text", "text_delta", stop),
        *("tool_use", "input_json_delta", "input_json_delta", stop),
        *("tool_use", "input_json_delta", stop),
        *("text", "text_delta", stop),
    ]


def test_more_arguments_for_an_earlier_call_are_garbled() -> None:
    with pytest.raises(Garbled):
        _inner(ToolCallDelta(0, "{", "t", "f"), ToolCallDelta(1, "{}", "u", "g"), ToolCallDelta(0, "}"))


def test_nothing_more_for_an_earlier_call_is_fine() -> None:
    calls = [ToolCallDelta(0, "{}", "t", "f"), ToolCallDelta(1, "{}", "u", "g")]
    assert _inner(*calls, ToolCallDelta(0)) == _inner(*calls)


@pytest.mark.parametrize(
    ("finish", "refused", "reason"),
    [
        (Finish("stop"), False, "end_turn"),
        (Finish("stop"), True, "refusal"),
        (Finish("stop", stop_sequence="END"), False, "stop_sequence"),
        (Finish("length"), False, "max_tokens"),
        (Finish("content_filter"), False, "refusal"),
        (Finish("RECITATION"), False, "RECITATION"),
    ],
)
def test_the_end_says_why(finish: Finish, refused: bool, reason: str) -> None:
    said = RefusalDelta("no") if refused else TextDelta("yes")
    delta = _events(Begin("i", "m"), said, finish)[-2]["delta"]
    assert (delta["stop_reason"], delta["stop_sequence"]) == (reason, finish.stop_sequence)
    assert ("stop_details" in delta) == (reason == "refusal")


def test_line_breaks_stay_inside_their_event() -> None:
    assert _inner(TextDelta("a\n\nb\r\n"))[1]["delta"]["text"] == "a\n\nb\r\n"


def test_the_proof_of_a_call_goes_before_it() -> None:
    written = _inner(
        TextDelta("a"), ToolCallDelta(0, "{}", "t", "f", signature="c2ln"), ToolCallDelta(1, "{}", "u", "f")
    )
    blocks = [event["content_block"] for event in written if event["type"] == "content_block_start"]
    assert [block["type"] for block in blocks] == ["text", "thinking", "tool_use", "tool_use"]
    assert blocks[1] == {"type": "thinking", "thinking": "", "signature": ""}
    proof = {"type": "signature_delta", "signature": "gemini-call:c2ln"}
    assert {"type": "content_block_delta", "index": 1, "delta": proof} in written


def test_a_picture_cannot_be_told_and_is_not_left_out() -> None:
    with pytest.raises(Garbled, match="image"):
        _inner(TextDelta("Here:"), ImageDelta(Image(data="AA", media_type="image/png")))


def test_the_tier_is_told_where_a_stream_begins() -> None:
    start = _events(Begin("i", "m", service_tier="default"), TextDelta("a"))[0]
    assert start["message"]["usage"]["service_tier"] == "standard"
    message = {"id": "m", "model": "c", "usage": {"service_tier": "standard"}}
    begin = _feed({"type": "message_start", "message": message})[0]
    assert begin == Begin("m", "c", service_tier="default")
