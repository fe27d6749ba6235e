"""Answers decoded, glanced at, and rendered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic_recorded import recorded

from providers.chat import (
    Audio,
    ChatReply,
    Choice,
    Citation,
    Image,
    Part,
    Reasoning,
    RefusalText,
    Text,
    ToolCall,
    Usage,
)
from providers.dialects.anthropic import ANTHROPIC
from providers.errors import Garbled


def _rendered(*parts: Part, finish: str | None = "stop", **fields: Any) -> dict[str, Any]:
    choice = Choice(list(parts), finish, fields.pop("stop_sequence", None))
    reply = ChatReply("id-1", "gpt", [choice], fields.pop("usage", Usage()), **fields)
    return json.loads(ANTHROPIC.render(reply))


def _decoded(**fields: Any) -> ChatReply:
    return ANTHROPIC.decode(json.dumps(json.loads(recorded("answer_text.json")) | fields).encode())


def test_text_is_decoded() -> None:
    reply = ANTHROPIC.decode(recorded("answer_text.json"))
    assert (reply.id, reply.model, reply.created) == ("msg_01XFDUDYJgAACzvnptvVoYEL", "claude-sonnet-5", 0)
    assert reply.choices == [Choice([Text("Hi! I'm Claude.")], "stop")]
    assert reply.usage == Usage(12, 6)
    assert reply.service_tier == "default"


def test_tool_calls_keep_the_models_own_arguments() -> None:
    body = recorded("answer_tools.json").replace(b'"days": 1.0', b'"days": 1.00')
    choice = ANTHROPIC.decode(body).choices[0]
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    assert [(call.id, call.name) for call in calls] == [("toolu_01", "get_weather"), ("toolu_02", "now")]
    assert '"days": 1.00' in calls[0].arguments
    assert calls[1].arguments == "{}"
    assert choice.finish_reason == "tool_calls"


def test_thinking_keeps_its_signature() -> None:
    assert ANTHROPIC.decode(recorded("answer_thinking.json")).choices[0].parts == [
        Reasoning("Let me think.", signature="anthropic:EqQBCgIYAhIM"),
        Reasoning(redacted="anthropic:EmwKAhgBEgy3"),
        Text("42"),
    ]


def test_our_input_includes_the_cache_and_theirs_does_not() -> None:
    usage = Usage(input_tokens=1220, output_tokens=90, cached_tokens=1000, cache_write_tokens=200, reasoning_tokens=70)
    assert ANTHROPIC.decode(recorded("answer_thinking.json")).usage == usage
    assert ANTHROPIC.glance(recorded("answer_thinking.json")).usage == usage
    assert _rendered(usage=usage)["usage"] == {
        "input_tokens": 20,
        "cache_creation_input_tokens": 200,
        "cache_read_input_tokens": 1000,
        "output_tokens": 90,
        "output_tokens_details": {"thinking_tokens": 70},
    }


def test_tokens_are_never_negative() -> None:
    assert _rendered(usage=Usage(input_tokens=5, cached_tokens=9))["usage"]["input_tokens"] == 0


@pytest.mark.parametrize(
    ("name", "finish", "stopped_by"),
    [
        ("text", "stop", None),
        ("stop_sequence", "stop", "three"),
        ("length", "length", None),
        ("tools", "tool_calls", None),
        ("refusal", "refusal", None),
        ("pause", "pause_turn", None),
        ("window", "model_context_window_exceeded", None),
    ],
)
def test_stop_reasons_become_canonical_or_stay(name: str, finish: str, stopped_by: str | None) -> None:
    body = recorded(f"answer_{name}.json")
    choice = ANTHROPIC.decode(body).choices[0]
    assert (choice.finish_reason, choice.stop_sequence) == (finish, stopped_by)
    glance = ANTHROPIC.glance(body)
    assert (glance.id, glance.model) == ("msg_01XFDUDYJgAACzvnptvVoYEL", "claude-sonnet-5")
    assert glance.finish_reason == finish


def test_an_answer_without_a_stop_reason_has_no_finish_reason() -> None:
    assert _decoded(stop_reason=None).choices[0].finish_reason is None
    assert ANTHROPIC.glance(json.dumps(json.loads(recorded("answer_text.json")) | {"stop_reason": None}).encode())
    assert _rendered(finish=None)["stop_reason"] is None


def test_the_explanation_of_a_refusal_becomes_words_of_refusal() -> None:
    assert ANTHROPIC.decode(recorded("answer_refusal.json")).choices[0].parts == [
        RefusalText("This could enable harm.")
    ]
    assert _decoded(stop_details={"type": "refusal", "explanation": None}).choices[0].parts == [Text("Hi! I'm Claude.")]


def test_a_count_that_is_null_is_none() -> None:
    nothing: dict[str, Any] = {"output_tokens_details": {"thinking_tokens": None}}
    nothing["cache_creation"] = {"ephemeral_5m_input_tokens": None, "ephemeral_1h_input_tokens": None}
    assert _decoded(usage={"input_tokens": 3, "output_tokens": 4, **nothing}).usage == Usage(3, 4)


@pytest.mark.parametrize(("theirs", "ours"), [("standard", "default"), ("priority", "priority"), (None, None)])
def test_service_tiers_are_translated(theirs: str | None, ours: str | None) -> None:
    usage = {"input_tokens": 1, "output_tokens": 1, "service_tier": theirs}
    assert _decoded(usage=usage).service_tier == ours
    assert _rendered(service_tier=ours)["usage"].get("service_tier") == theirs


def test_a_tier_anthropic_does_not_have_is_left_out() -> None:
    assert "service_tier" not in _rendered(service_tier="flex")["usage"]


def test_of_a_search_the_answer_and_its_pages_are_told() -> None:
    told = json.loads(recorded("answer_server_tools.json"))
    assert ANTHROPIC.decode(recorded("answer_server_tools.json")).choices[0].parts == [Text("Found it.")]
    page = {"type": "web_search_result_location", "url": "https://e.com/é", "title": "É", "encrypted_index": "E"}
    other = {**page, "url": "https://e.com/b", "title": None}
    document = {"type": "char_location", "cited_text": "x", "document_index": 0}
    told["content"][2:] = [
        {"type": "text", "text": "Ça: "},
        {"type": "text", "text": "yes", "citations": [page, page, other, document]},
        {"type": "text", "text": "."},
    ]
    choice = ANTHROPIC.decode(json.dumps(told).encode()).choices[0]
    assert choice.parts == [Text("Ça: "), Text("yes"), Text(".")]
    assert choice.citations == [Citation("https://e.com/é", "É", 4, 7), Citation("https://e.com/b", "", 4, 7)]


@pytest.mark.parametrize("name", ["web_fetch", "bash_code_execution"])
def test_another_server_tools_block_is_garbled_when_decoded_and_fine_when_passed_on(name: str) -> None:
    told = json.loads(recorded("answer_server_tools.json"))
    told["content"][0]["name"] = name
    body = json.dumps(told).encode()
    with pytest.raises(Garbled, match="server_tool_use"):
        ANTHROPIC.decode(body)
    assert ANTHROPIC.glance(body).finish_reason == "stop"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text"},
        {"type": "thinking"},
        {"type": "redacted_thinking"},
        {"type": "tool_use", "name": "f", "input": {}},
        {"type": "tool_use", "id": "t", "input": {}},
    ],
)
def test_a_block_without_its_content_is_garbled(block: dict[str, Any]) -> None:
    with pytest.raises(Garbled):
        _decoded(content=[block])


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{}", b"[]", b"\xff", b'{"choices": []}', recorded("error_529_overloaded.json")]
)
def test_what_is_no_message_is_garbled(body: bytes) -> None:
    with pytest.raises(Garbled):
        ANTHROPIC.decode(body)
    with pytest.raises(Garbled):
        ANTHROPIC.glance(body)


def test_input_that_is_not_utf8_is_garbled() -> None:
    body = recorded("answer_tools.json").replace(b"Paris", b"\xff")
    with pytest.raises(Garbled):
        ANTHROPIC.decode(body)


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("content_filter", "refusal"),
        ("refusal", "refusal"),
        ("pause_turn", "pause_turn"),
        ("RECITATION", "RECITATION"),
    ],
)
def test_finish_reasons_become_anthropics_or_stay(finish: str, reason: str) -> None:
    message = _rendered(Text("x"), finish=finish)
    assert message["stop_reason"] == reason
    assert ("stop_details" in message) == (reason == "refusal")


def test_a_stop_with_its_sequence_says_so() -> None:
    message = _rendered(Text("x"), stop_sequence="END")
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "END")


def test_every_part_that_can_be_said_is_rendered() -> None:
    message = _rendered(
        Reasoning("hm", signature="s"),
        Reasoning("unsigned"),
        Reasoning(redacted="d"),
        Text(""),
        Text("x"),
        ToolCall("t", "f", '{"a":1}'),
        ToolCall("u", "g", ""),
        finish="tool_calls",
    )
    assert message["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "thinking", "thinking": "unsigned", "signature": ""},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "text", "text": "x"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "u", "name": "g", "input": {}},
    ]


def test_words_of_refusal_make_a_refusal() -> None:
    message = _rendered(RefusalText("no"))
    assert message["content"] == [{"type": "text", "text": "no"}]
    assert message["stop_reason"] == "refusal"


@pytest.mark.parametrize("part", [Image(url="https://a/b.png"), Audio("AAAA", "wav"), ToolCall("t", "f", "{")])
def test_what_the_format_cannot_hold_is_garbled(part: Part) -> None:
    with pytest.raises(Garbled):
        _rendered(part, finish="tool_calls")


def test_a_last_call_cut_by_the_limit_is_left_out() -> None:
    message = _rendered(Text("x"), ToolCall("t", "f", '{"a'), finish="length")
    assert message["content"] == [{"type": "text", "text": "x"}]
    assert message["stop_reason"] == "max_tokens"
    whole = _rendered(ToolCall("t", "f", "{}"), finish="length")
    assert whole["content"][0]["type"] == "tool_use"
    with pytest.raises(Garbled):
        _rendered(ToolCall("t", "f", '{"a'), ToolCall("t", "f", "{}"), finish="length")


def test_an_answer_without_choices_is_an_empty_message() -> None:
    message = json.loads(ANTHROPIC.render(ChatReply("i", "m", [], Usage())))
    assert (message["content"], message["stop_reason"]) == ([], None)
