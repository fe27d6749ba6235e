"""Streams: what is content, what is complete, and what compatible servers get wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw
from openai_recorded import CONVERSATIONS, chunks, events, foreign, names, recorded, reencoded

from providers.chat import (
    CONTENT,
    Begin,
    ChatChunk,
    Citation,
    Cited,
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
from providers.dialects.openai import OPENAI
from providers.errors import Fault, Garbled, Overloaded, Rejected, Throttled
from providers.sse import Event


def _event(data: Any, kind: str = "") -> Event:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Event(kind, raw, b"data: " + raw + b"\n\n")


def _written(*given: ChatChunk, include_usage: bool = True) -> list[Any]:
    encoder = OPENAI.stream_encoder(foreign(CONVERSATIONS["text"], include_usage=include_usage))
    stream = b"".join(encoder.encode(chunk) for chunk in given) + encoder.end()
    lines = [event.data for event in events(stream)]
    assert lines.pop() == b"[DONE]"
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("name", names("stream_*.sse"))
def test_a_stream_is_complete_after_its_terminal_event_only(name: str) -> None:
    decoder = OPENAI.stream_decoder()
    *said, last = events(recorded(name))
    for event in said:
        decoder.feed(event)
        assert not decoder.complete
    assert decoder.feed(last) == []
    assert decoder.complete
    assert decoder.feed(_event(b"whatever")) == []
    assert not decoder.usage_only(last)


def test_text_is_decoded() -> None:
    begin, *said, finish, report = chunks(recorded("stream_text.sse"))
    assert begin == Begin("chatcmpl-text", "gpt-5.2-2025-12-11", 1767225600, "default")
    assert said == [TextDelta(piece) for piece in ("Hello", "!", " Grüße", ", 世界", " 🎉")]
    assert finish == Finish("stop")
    assert report == UsageReport(Usage(9, 12))


def test_parallel_calls_are_decoded() -> None:
    assert [chunk for chunk in chunks(recorded("stream_tools.sse")) if isinstance(chunk, ToolCallDelta | Finish)] == [
        ToolCallDelta(0, "", "call_1", "get_weather"),
        ToolCallDelta(0, '{"ci'),
        ToolCallDelta(0, 'ty":"Paris"}'),
        ToolCallDelta(1, "", "call_2", "get_weather"),
        ToolCallDelta(1, '{"city":"Rome"}'),
        Finish("tool_calls"),
    ]


def test_a_refusal_ends_as_one() -> None:
    assert chunks(recorded("stream_refusal.sse"))[1:4] == [
        RefusalDelta("I'm"),
        RefusalDelta(" sorry."),
        Finish("refusal"),
    ]


def test_choices_and_logprobs_are_kept_apart() -> None:
    said = chunks(recorded("stream_choices.sse"))
    first, second = [chunk for chunk in said if isinstance(chunk, TextDelta)]
    assert (first.text, first.choice, second.text, second.choice) == ("Hi", 0, "Hey", 1)
    assert first.logprobs is not None
    assert json.loads(bytes(first.logprobs))["content"][0]["token"] == "Hi"
    assert second.logprobs is None
    assert [chunk for chunk in said if isinstance(chunk, Finish)] == [Finish("stop"), Finish("length", 1)]


def test_thoughts_come_before_the_text() -> None:
    assert chunks(recorded("stream_reasoning_content.sse"))[1:5] == [
        ReasoningDelta("2 and 2"),
        ReasoningDelta(" is 4."),
        TextDelta("4"),
        Finish("stop"),
    ]


def test_the_role_alone_commits_nobody() -> None:
    decoder = OPENAI.stream_decoder()
    first, second, *_ = events(recorded("stream_text.sse"))
    assert not any(isinstance(chunk, CONTENT) for chunk in decoder.feed(first))
    assert any(isinstance(chunk, CONTENT) for chunk in decoder.feed(second))


def test_azures_report_on_its_filter_is_not_the_beginning() -> None:
    said = chunks(recorded("loose_azure.sse"))
    assert said[0] == Begin("chatcmpl-azure", "gpt-5.2-2025-12-11", 1767225600, "default")
    assert said[1:] == [TextDelta("Hi"), Finish("stop"), UsageReport(Usage(9, 12))]


def test_repetitions_of_compatible_servers_are_passed_on_once() -> None:
    assert chunks(recorded("loose_calls.sse"))[1:] == [
        ToolCallDelta(0, '{"city":', "a", "get_weather", signature="c2ln"),
        ToolCallDelta(0, '"Paris"}'),
        ToolCallDelta(1, '{"city":"Rome"}', "b", "get_weather"),
        ToolCallDelta(2, "{", "g-0-2", "now"),
        ToolCallDelta(2, "}"),
        ToolCallDelta(3, "", "g-0-3"),
        Finish("tool_calls"),
        UsageReport(Usage(5, 6)),
        UsageReport(Usage(5, 7)),
    ]


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    decoder = OPENAI.stream_decoder()
    calls = [{"id": one, "function": {"name": "f", "arguments": "{}"}} for one in ("a", "b")]
    assert decoder.feed(_event({"choices": [{"delta": {"tool_calls": calls}}]}))[1:] == [
        ToolCallDelta(0, "{}", "a", "f"),
        ToolCallDelta(1, "{}", "b", "f"),
    ]


def test_only_the_event_with_usage_and_nothing_else_is_usage_only() -> None:
    decoder = OPENAI.stream_decoder()
    alone: list[bool] = []
    for event in events(recorded("stream_text.sse")):
        decoder.feed(event)
        alone.append(decoder.usage_only(event))
    assert alone == [False] * (len(alone) - 2) + [True, False]
    decoder = OPENAI.stream_decoder()
    for event in events(recorded("stream_reasoning_content.sse")):
        decoder.feed(event)
        assert not decoder.usage_only(event)


@pytest.mark.parametrize("data", [{"type": "ping"}, b"", b"not JSON"])
def test_a_servers_own_event_passes_by(data: Any) -> None:
    decoder = OPENAI.stream_decoder()
    assert decoder.feed(_event(data, "ping")) == []
    assert not decoder.complete
    with pytest.raises(Garbled):
        decoder.feed(_event(data))


def test_a_chunk_may_have_a_name() -> None:
    chunk = {"id": "x", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}}]}
    assert TextDelta("a") in OPENAI.stream_decoder().feed(_event(chunk, "chunk"))


def test_an_error_event_is_its_fault() -> None:
    decoder = OPENAI.stream_decoder()
    *said, failed = events(recorded("error_event.sse"))
    for event in said:
        decoder.feed(event)
    with pytest.raises(Overloaded, match="had an error"):
        decoder.feed(failed)
    assert not decoder.complete


@pytest.mark.parametrize(
    ("data", "kind", "fault"),
    [
        ({"error": {"message": "x", "type": "invalid_request_error"}}, "", Rejected),
        ({"error": {"message": "x", "code": "rate_limit_exceeded"}}, "", Throttled),
        ({"error": {"message": "x", "code": 502}}, "", Overloaded),
        ({"error": {"message": "x", "code": 422}}, "", Rejected),
        ({"error": {"message": "x", "code": "odd"}}, "", Overloaded),
        ({"object": "error", "message": "x", "code": 429}, "", Throttled),
        ({"message": "x", "type": "server_error"}, "error", Overloaded),
        ({"choices": None}, "", Garbled),
        ({"id": "x"}, "", Garbled),
        ([], "", Garbled),
        (b"", "", Garbled),
        (b"{", "", Garbled),
    ],
)
def test_what_is_no_chunk_is_a_fault(data: Any, kind: str, fault: type[Fault]) -> None:
    with pytest.raises(Fault) as caught:
        OPENAI.stream_decoder().feed(_event(data, kind))
    assert type(caught.value) is fault


def test_a_stream_opens_each_choice_with_its_role() -> None:
    written = _written(TextDelta("a", 1), TextDelta("b", 0), TextDelta("c", 1))
    assert [(event["choices"][0]["index"], event["choices"][0]["delta"]) for event in written] == [
        (1, {"role": "assistant", "content": "", "refusal": None}),
        (1, {"content": "a"}),
        (0, {"role": "assistant", "content": "", "refusal": None}),
        (0, {"content": "b"}),
        (1, {"content": "c"}),
    ]


def test_the_name_of_a_stream_stands_in_every_event() -> None:
    written = _written(Begin("r", "m", 7), TextDelta("a", logprobs=Raw(b'{"content":[]}')), UsageReport(Usage(1, 2)))
    assert {(event["id"], event["model"], event["created"], event["object"]) for event in written} == {
        ("r", "m", 7, "chat.completion.chunk")
    }
    assert written[1]["choices"][0]["logprobs"] == {"content": []}


@pytest.mark.parametrize("include_usage", [True, False])
def test_usage_is_the_last_event_and_only_for_who_asked(include_usage: bool) -> None:
    written = _written(UsageReport(Usage(1)), TextDelta("a"), UsageReport(Usage(1, 2)), include_usage=include_usage)
    *said, last = written
    if include_usage:
        assert last["choices"] == []
        assert last["usage"]["total_tokens"] == 3
        assert all(event["usage"] is None for event in said)
    else:
        assert all("usage" not in event for event in written)


def test_usage_that_nobody_reported_is_not_made_up() -> None:
    assert all(event["choices"] for event in _written(TextDelta("a")))


def test_a_call_says_once_what_it_is() -> None:
    written = _written(ToolCallDelta(0, "", "c", "f", signature="c2ln"), ToolCallDelta(0, "{}"))
    assert [event["choices"][0]["delta"].get("tool_calls") for event in written[1:]] == [
        [
            {
                "index": 0,
                "id": "c",
                "type": "function",
                "function": {"name": "f", "arguments": ""},
                "extra_content": {"google": {"thought_signature": "gemini:c2ln"}},
            }
        ],
        [{"index": 0, "function": {"arguments": "{}"}}],
    ]


def test_a_proof_goes_out_once_with_all_that_it_proves() -> None:
    written = _written(
        ReasoningDelta("Let me"),
        ReasoningDelta(" see."),
        ReasoningDelta(signature="anthropic:c2ln"),
        ReasoningDelta("Again."),
        ReasoningDelta(signature="anthropic:dHdv"),
        ReasoningDelta(redacted="anthropic:ZGF0YQ=="),
        ReasoningDelta("Hm."),
        ReasoningDelta(signature="gemini:c2Vh"),
    )
    deltas = [event["choices"][0]["delta"] for event in written]
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "Let me see.Again.Hm."
    assert [detail for delta in deltas for detail in delta.get("reasoning_details", ())] == [
        {"type": "reasoning.text", "text": "Let me see.", "signature": "anthropic:c2ln"},
        {"type": "reasoning.text", "text": "Again.", "signature": "anthropic:dHdv"},
        {"type": "reasoning.encrypted", "data": "anthropic:ZGF0YQ=="},
        {"type": "reasoning.text", "text": "", "signature": "gemini:c2Vh"},
    ]


def test_sources_and_pictures_go_out_as_clients_look_for_them() -> None:
    written = _written(
        TextDelta("It is so."),
        Cited([Citation("https://x/a", "A", 0, 9)]),
        ImageDelta(Image(data="QUE=", media_type="image/png")),
    )
    source = {"url": "https://x/a", "title": "A", "start_index": 0, "end_index": 9}
    assert [event["choices"][0]["delta"] for event in written[2:]] == [
        {"annotations": [{"type": "url_citation", "url_citation": source}]},
        {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QUE="}}]},
    ]
    assert _written(ReasoningDelta("hm"))[1]["choices"][0]["delta"] == {"reasoning_content": "hm"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([RefusalDelta("No."), Finish("refusal")], "stop"),
        ([TextDelta("The poi"), Finish("refusal")], "content_filter"),
        ([TextDelta("x"), Finish("pause_turn")], "pause_turn"),
    ],
)
def test_the_end_of_a_choice_says_why(given: list[ChatChunk], reason: str) -> None:
    assert _written(*given)[-1]["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("name", [name for name in names("stream_*.sse") if name != "stream_choices.sse"])
def test_decoding_what_was_encoded_changes_nothing(name: str) -> None:
    assert chunks(reencoded(recorded(name))) == chunks(recorded(name))


def test_decoding_what_was_encoded_keeps_logprobs() -> None:
    def tokens(stream: bytes) -> list[bytes]:
        return [bytes(one.logprobs) for one in chunks(stream) if isinstance(one, TextDelta) and one.logprobs]

    assert tokens(reencoded(recorded("stream_choices.sse"))) == tokens(recorded("stream_choices.sse"))
