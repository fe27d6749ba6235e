"""A caller's body: what is read, what is refused, and what a translation finds in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai_recorded import SCHEMA, TARGET

from providers.chat import (
    Audio,
    Conversation,
    Document,
    Effort,
    Image,
    Reasoning,
    RefusalText,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from providers.dialect import InvalidRequest
from providers.dialects.openai import OPENAI

_HI: dict[str, Any] = {"role": "user", "content": "Hi"}


def _body(*messages: Any, **fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": list(messages) or [_HI], **fields}).encode()


def _said(*messages: Any, **fields: Any) -> Conversation:
    return OPENAI.parse(_body(*messages, **fields)).conversation()


def _part(**part: Any) -> dict[str, Any]:
    return {"role": "user", "content": [part]}


def test_the_view_holds_what_the_gateway_reads() -> None:
    body = _body(
        stream=True, stream_options={"include_usage": True}, max_tokens=5, temperature=1, n=2, user="u",
        metadata={"team": "blue", "tags": ["a"]}, later={"x": 1},
    )  # fmt: skip
    request = OPENAI.parse(body)
    assert request.body is body
    assert (request.dialect, request.model, request.stream, request.include_usage) == ("openai", "m", True, True)
    assert (request.max_tokens, request.temperature, request.n, request.user) == (5, 1.0, 2, "u")
    assert request.metadata == {"team": "blue", "tags": ["a"]}
    assert request.needs == frozenset()
    assert request.input_tokens == len(body) // 4


def test_null_is_the_same_as_absent() -> None:
    fields = ["stream", "stream_options", "tools", "tool_choice", "max_tokens", "temperature", "stop", "n", "user"]
    fields += ["functions", "function_call", "response_format", "reasoning_effort", "metadata", "store", "later"]
    request = OPENAI.parse(_body(**dict.fromkeys(fields)))
    assert request.needs == frozenset()
    assert not request.include_usage
    assert request.conversation() == Conversation([Turn("user", [Text("Hi")])])


def test_the_newer_bound_and_the_newer_name_of_the_user_count() -> None:
    request = OPENAI.parse(_body(max_tokens=5, max_completion_tokens=7, user="old", safety_identifier="new"))
    assert (request.max_tokens, request.user) == (7, "new")
    assert (request.conversation().max_tokens, request.conversation().user) == (7, "new")


@pytest.mark.parametrize(
    ("fields", "need"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "tools"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}, "json_schema"),
        ({"reasoning_effort": "minimal"}, "reasoning"),
        ({"modalities": ["text", "audio"]}, "audio"),
        ({"messages": [_part(type="image_url", image_url={"url": "https://x/y.png"})]}, "vision"),
        ({"messages": [_part(type="input_audio", input_audio={"data": "", "format": "wav"})]}, "audio"),
        ({"messages": [_part(type="file", file={"file_id": "f"})]}, "documents"),
    ],
)
def test_a_request_says_what_its_model_must_be_able_to(fields: dict[str, Any], need: str) -> None:
    assert OPENAI.parse(_body(**fields)).needs == {need}


def test_thinking_switched_off_needs_no_thinker() -> None:
    request = OPENAI.parse(_body(reasoning_effort="none", modalities=["text"], response_format={"type": "text"}))
    assert request.needs == frozenset()


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}},
        {"type": "image_url", "image_url": "data:image/png;base64," + "A" * 4000},
        {"type": "input_audio", "input_audio": {"data": "A" * 4000, "format": "wav"}},
        {"type": "file", "file": {"file_data": "A" * 4000}},
    ],
)
def test_attached_bytes_are_not_counted_as_text(part: dict[str, Any]) -> None:
    assert OPENAI.parse(_body(_part(**part))).input_tokens < 60


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"{", None, "invalid_json"),
        (b"[]", None, "invalid_type"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "model", "missing_required_parameter"),
        (b'{"model": "m"}', "messages", "missing_required_parameter"),
        (b'{"model": "m", "messages": []}', "messages", "invalid_value"),
        (b'{"model": "", "messages": [{"role": "user", "content": "x"}]}', "model", "invalid_value"),
        (_body({"role": "user"}), "messages[0].content", "missing_required_parameter"),
        (_body({"role": "tool", "content": "x"}), "messages[0].tool_call_id", "missing_required_parameter"),
        (_body({"role": "robot", "content": "x"}), "messages[0].role", "invalid_value"),
        (_body(_part(type="text")), "messages[0].content[0].text", "missing_required_parameter"),
        (_body(_part(type="image_url")), "messages[0].content[0].image_url", "missing_required_parameter"),
        (
            _body({"role": "assistant", "tool_calls": [{"id": "c", "type": "function"}]}),
            "messages[0].tool_calls[0].function",
            "missing_required_parameter",
        ),
        (_body(tools=[{"type": "function"}]), "tools[0].function", "missing_required_parameter"),
        (
            _body(tools=[{"type": "function", "function": {"name": "f", "parameters": [1]}}]),
            "tools[0].function.parameters",
            "invalid_type",
        ),
        (_body(tool_choice={"type": "function"}), "tool_choice.function", "missing_required_parameter"),
        (
            _body(response_format={"type": "json_schema"}),
            "response_format.json_schema",
            "missing_required_parameter",
        ),
        (
            _body(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": "y"}}),
            "response_format.json_schema.schema",
            "invalid_type",
        ),
        *[
            (_body(**{name: value}), name, "invalid_type" if isinstance(value, (str, dict)) else "invalid_value")
            for name, value in [
                ("temperature", 2.1), ("temperature", "hot"), ("top_p", 1.1), ("frequency_penalty", -2.1),
                ("presence_penalty", 3), ("n", 0), ("n", 129), ("top_logprobs", 21), ("max_tokens", 0),
                ("max_completion_tokens", 0), ("stop", [""] * 65), ("stream", "yes"), ("tools", {}),
            ]
        ],
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place(body: bytes, param: str | None, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        OPENAI.parse(body)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_broken_text_that_parse_does_not_read_is_refused_by_a_translation() -> None:
    request = OPENAI.parse(_body(later="?").replace(b"?", b"\xff"))
    assert OPENAI.encode(request, TARGET, drop=False).path == "/chat/completions"
    with pytest.raises(InvalidRequest, match="JSON"):
        request.conversation()


def test_a_conversation_with_tools_is_unfolded() -> None:
    call: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    signed = {**call, "id": "c2", "extra_content": {"google": {"thought_signature": "c2ln"}}}
    del signed["type"]
    said = _said(
        {"role": "developer", "content": "Be terse.", "name": "boss"},
        {"role": "system", "content": [{"type": "text", "text": "Really.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": [{"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}]},
        {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": [call, signed]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {
            "role": "tool",
            "tool_call_id": "c2",
            "content": [
                {"type": "text", "text": "2"},
                {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
            ],
        },
        {"role": "user", "content": "And?"},
        {"role": "tool", "tool_call_id": "c9", "content": "", "name": "g"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}], "name": "bot", "reasoning": "bad"},
        {"role": "assistant", "content": None, "refusal": "Never."},
    )  # fmt: skip
    ephemeral = {"type": "ephemeral"}
    assert said.turns == [
        Turn("system", [Text("Be terse.")], "boss"),
        Turn("system", [Text("Really.", ephemeral)]),
        Turn("user", [Text("x", ephemeral)]),
        Turn("assistant", [Reasoning("hm"), ToolCall("c1", "f", '{"a": 1}'), ToolCall("c2", "f", '{"a": 1}', "c2ln")]),
        Turn("user", [ToolResult("c1", [Text("1")], "f"), ToolResult("c2", [Text("2")], "f")]),
        Turn("user", [Text("And?")]),
        Turn("user", [ToolResult("c9", [], "g")]),
        Turn("assistant", [Reasoning("bad"), RefusalText("No.")], "bot"),
        Turn("assistant", [RefusalText("Never.")]),
    ]
    assert list(said.extra) == ["messages[5].content[1] (input_audio)"]


@pytest.mark.parametrize(
    ("part", "meaning"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            Image(url="https://x/y.png", detail="low"),
        ),
        ({"type": "image_url", "image_url": "https://x/y.png"}, Image(url="https://x/y.png")),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUE="}},
            Image(data="QUE=", media_type="image/png"),
        ),
        ({"type": "image_url", "image_url": {"url": "data:,A%20brief"}}, Image(url="data:,A%20brief")),
        ({"type": "input_audio", "input_audio": {"data": "QUE=", "format": "mp3"}}, Audio("QUE=", "mp3")),
        (
            {"type": "file", "file": {"file_data": "data:text/plain;charset=utf-8;base64,QUE=", "filename": "a.txt"}},
            Document(data="QUE=", media_type="text/plain", filename="a.txt"),
        ),
        (
            {"type": "file", "file": {"file_data": "QUE=", "filename": "A.PDF"}},
            Document(data="QUE=", media_type="application/pdf", filename="A.PDF"),
        ),
        ({"type": "file", "file": {"file_data": "QUE="}}, Document(data="QUE=")),
        ({"type": "file", "file": {"file_id": "f-1"}}, Document(file_id="f-1")),
    ],
)
def test_parts_of_a_user_message_are_unfolded(part: dict[str, Any], meaning: Any) -> None:
    said = _said(_part(**part))
    assert said.turns == [Turn("user", [meaning])]
    assert said.extra == {}


def test_fields_are_unfolded() -> None:
    said = _said(
        tools=[
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}},
            {"type": "function", "function": {"name": "g", "parameters": None}, "cache_control": {"type": "ephemeral"}},
        ],
        tool_choice={"type": "function", "function": {"name": "f"}}, parallel_tool_calls=False, top_p=0.5, stop="END",
        seed=3, frequency_penalty=1, presence_penalty=-1, n=2, logprobs=True, top_logprobs=4, reasoning_effort="xhigh",
        metadata={"a": "b"}, service_tier="flex", temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}},
    )  # fmt: skip
    assert said == Conversation(
        [Turn("user", [Text("Hi")])],
        tools=[Tool("f", "d", SCHEMA, strict=True), Tool("g", cache_control={"type": "ephemeral"})],
        tool_choice=ToolChoice("named", "f"), parallel_tool_calls=False, temperature=0.0, top_p=0.5, stop=["END"],
        seed=3, frequency_penalty=1, presence_penalty=-1, n=2, logprobs=True, top_logprobs=4, effort=Effort("xhigh"),
        metadata={"a": "b"}, service_tier="flex",
        response_format=ResponseFormat("json_schema", "x", None, SCHEMA, strict=True),
    )  # fmt: skip


def test_short_forms_are_unfolded() -> None:
    said = _said(
        tool_choice="required", stop=["a"], reasoning_effort="none", response_format={"type": "json_object"}, tools=[]
    )
    assert (said.tool_choice, said.stop) == (ToolChoice("required"), ["a"])
    assert said.effort == Effort(enabled=False)
    assert said.response_format == ResponseFormat("json_object")
    bare = _said(response_format={"type": "json_schema", "json_schema": {"name": "x"}}).response_format
    assert bare == ResponseFormat("json_schema", "x")


def test_a_conversation_is_unfolded_once() -> None:
    request = OPENAI.parse(_body())
    assert request.conversation() is request.conversation()


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"verbosity": "low"}, ["verbosity"]),
        ({"logit_bias": {"50256": -100}}, ["logit_bias"]),
        ({"modalities": ["text", "audio"], "audio": {"voice": "x", "format": "wav"}}, ["modalities", "audio"]),
        ({"functions": [{"name": "f"}], "function_call": "auto"}, ["functions", "function_call"]),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, ["tools[0] (custom)"]),
        ({"tools": [{"type": "function", "function": {"name": "f"}, "later": 1}]}, ["tools[0].later"]),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, ["tool_choice.allowed_tools"]),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}},
            ["tool_choice.allowed_tools"],
        ),
        ({"tool_choice": "any"}, ["tool_choice"]),
        ({"response_format": {"type": "grammar", "grammar": "x"}}, ["response_format (grammar)"]),
        ({"stream_options": {"later": 1}}, ["stream_options.later"]),
        ({"metadata": {"a": 1}}, ["metadata"]),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, ["messages[0] (function)"]),
        (
            {"messages": [{"role": "assistant", "function_call": {"name": "f", "arguments": ""}}]},
            ["messages[0].function_call"],
        ),
        ({"messages": [{"role": "assistant", "content": "x", "audio": {"id": "a"}}]}, ["messages[0].audio"]),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"id": "c", "type": "custom", "custom": {}}]}]},
            ["messages[0].tool_calls[0] (custom)"],
        ),
        ({"messages": [_part(type="video_url", video_url={})]}, ["messages[0].content[0] (video_url)"]),
        (
            {"messages": [_part(type="image_url", image_url={"url": "x", "later": 1})]},
            ["messages[0].content[0].image_url.later"],
        ),
        # What asks for nothing is not missed.
        ({"store": True, "modalities": ["text"], "verbosity": "medium", "logit_bias": {}, "functions": []}, []),
        ({"prompt_cache_key": "k", "prompt_cache_retention": "24h", "prompt_cache_options": {"mode": "explicit"}}, []),
        ({"messages": [{"role": "assistant", "content": "x", "annotations": [{"type": "url_citation"}]}]}, []),
        ({"stream_options": {"include_obfuscation": False}}, []),
    ],
)
def test_what_has_no_name_is_left_over(fields: dict[str, Any], left: list[str]) -> None:
    assert list(_said(**fields).extra) == left


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({}, []),
        ({"refusal": None, "citations": None}, []),
        ({"refusal": None, "citations": ["x"]}, ["messages[1].provider_specific_fields"]),
    ],
)
def test_an_object_of_nulls_beside_an_answer_says_nothing(fields: dict[str, Any], left: list[str]) -> None:
    # As LiteLLM gives its answers back.
    answer = {"role": "assistant", "content": "Hello.", "provider_specific_fields": fields}
    turns = [{"role": "user", "content": "Hi"}, answer, {"role": "user", "content": "Go on."}]
    assert list(_said(messages=turns).extra) == left


def test_an_empty_object_at_the_top_may_switch_something_on() -> None:
    assert list(_said(from_the_future={"size": None}).extra) == ["from_the_future"]
    asked = _said(web_search_options={"search_context_size": None})
    assert (asked.extra, asked.search and asked.search.path) == ({}, "web_search_options")


def test_a_search_is_read_with_its_parts_and_their_places() -> None:
    place = {"city": "Paris", "country": "FR"}
    location = {"type": "approximate", "approximate": {**place, "timezone": None}}
    asked = _said(web_search_options={"search_context_size": "high", "user_location": location, "novel": 1})
    assert list(asked.extra) == ["web_search_options.novel"]
    assert asked.search is not None
    assert (asked.search.size, asked.search.location) == ("high", place)
    assert asked.search.lost() == ["web_search_options.search_context_size", "web_search_options.user_location"]
    assert asked.search.lost("size", "location") == []
    usual = _said(web_search_options={"search_context_size": "medium"}).search
    assert usual is not None
    assert usual.lost() == [], "the default asks for nothing"


def test_leftovers_keep_their_json() -> None:
    assert bytes(_said(verbosity="low").extra["verbosity"]) == b'"low"'
    assert bytes(_said(tool_choice="any").extra["tool_choice"]) == b'"any"'


def test_proofs_come_back_as_what_they_prove() -> None:
    details = [
        {"type": "reasoning.text", "text": "Let me see.", "signature": "anthropic:EqQB"},
        {"type": "reasoning.encrypted", "data": "anthropic:ZGF0YQ=="},
        {"type": "reasoning.text", "text": "", "signature": "gemini:c2Vh"},
        {"type": "reasoning.text", "text": "Somebody's.", "signature": "EqQB"},
    ]
    said = _said(
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes.", "reasoning_content": "Let me see.", "reasoning_details": details},
        {"role": "assistant", "content": "No.", "reasoning_content": "Hm.", "reasoning_details": {"odd": 1}},
    )
    assert [turn.parts for turn in said.turns[1:]] == [
        [
            Reasoning("Let me see.", "anthropic:EqQB"),
            Reasoning(redacted="anthropic:ZGF0YQ=="),
            Text("Yes."),
            Reasoning(signature="gemini:c2Vh"),
        ],
        [Reasoning("Hm."), Text("No.")],
    ]
    assert said.extra == {}


def test_some_of_the_tools_may_be_all_that_is_allowed() -> None:
    def asked(*tools: dict[str, Any]) -> Conversation:
        choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": list(tools)}}
        return _said(tool_choice=choice)

    named = {"type": "function", "function": {"name": "f"}}
    assert asked(named).tool_choice == ToolChoice("required", allowed=["f"])
    assert asked(named).extra == {}
    assert list(asked(named, {"type": "custom", "name": "x"}).extra) == ["tool_choice.allowed_tools.tools[1] (custom)"]
