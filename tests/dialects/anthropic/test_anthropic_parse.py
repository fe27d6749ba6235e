"""A caller's body → request → conversation."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from anthropic_recorded import CONVERSATIONS, MODEL, recorded, sent, target

from providers.chat import (
    Conversation,
    Document,
    Effort,
    Image,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from providers.dialect import InvalidRequest
from providers.dialects.anthropic import ANTHROPIC
from providers.dialects.anthropic.blocks import decode

_HI = [{"role": "user", "content": "Hi"}]


def _body(**fields: Any) -> bytes:
    return json.dumps({"model": MODEL, "max_tokens": 16, "messages": _HI} | fields).encode()


def _user(*blocks: Any, role: str = "user") -> bytes:
    return _body(messages=[{"role": role, "content": list(blocks)}])


def _said(body: bytes) -> Conversation:
    return ANTHROPIC.parse(body).conversation()


def test_a_plain_request_is_read() -> None:
    body = _body(stream=True, temperature=0.5, metadata={"user_id": "u", "team": "x"})
    request = ANTHROPIC.parse(body)
    assert (request.dialect, request.body, request.model) == ("anthropic", body, MODEL)
    assert (request.stream, request.include_usage, request.n) == (True, True, 1)
    assert (request.max_tokens, request.temperature, request.user) == (16, 0.5, "u")
    assert request.metadata == {"user_id": "u", "team": "x"}
    assert request.input_tokens == len(body) // 4
    assert request.needs == frozenset()


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"tools": [{"name": "f", "input_schema": {}}]}, {"tools"}),
        ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, {"tools"}),
        ({"tools": []}, set()),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, {"json_schema"}),
        ({"output_config": {"effort": "low"}}, {"reasoning"}),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, {"reasoning"}),
        ({"thinking": {"type": "adaptive"}}, {"reasoning"}),
        ({"thinking": {"type": "disabled"}}, set()),
    ],
)
def test_needs_are_what_the_request_asks_for(fields: dict[str, Any], needs: set[str]) -> None:
    assert ANTHROPIC.parse(_body(**fields)).needs == needs


_PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 4000}}
_PAPER = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 4000}}


@pytest.mark.parametrize(
    ("block", "need"),
    [
        (_PICTURE, "vision"),
        (_PAPER, "documents"),
        ({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "x"}, _PICTURE]}, "vision"),
    ],
)
def test_attachments_are_needs_and_no_text(block: dict[str, Any], need: str) -> None:
    request = ANTHROPIC.parse(_user(block))
    assert request.needs == {need}
    assert request.input_tokens < 100


@pytest.mark.parametrize("content", ['a "source" in a text', {"source": 1}, [{"source": 1}]])
def test_a_tool_result_may_be_anything_to_the_parser(content: Any) -> None:
    assert ANTHROPIC.parse(_user({"type": "tool_result", "tool_use_id": "t", "content": content})).needs == frozenset()


@pytest.mark.parametrize(
    "field",
    ["system", "stream", "temperature", "top_p", "top_k", "stop_sequences", "tools", "thinking", "metadata", "thread"],
)
def test_null_is_absent(field: str) -> None:
    request = ANTHROPIC.parse(_body(**{field: None}))
    assert request.conversation() == _said(_body())
    assert request.stream is False


@pytest.mark.parametrize("thread", [{"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}])
def test_a_thread_is_refused_in_the_words_by_which_sdks_go_on_without(thread: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ANTHROPIC.parse(_body(thread=thread))
    assert (caught.value.param, caught.value.code) == ("thread", "thread_unsupported_request")


@pytest.mark.parametrize("eager", [True, False])
def test_how_finely_a_call_streams_is_nobodys_loss(eager: bool) -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}}
    said = _said(_body(tools=[{**tool, "eager_input_streaming": eager}]))
    assert said == _said(_body(tools=[tool]))
    assert said.extra == {}


def test_unknown_fields_roles_of_blocks_and_tools_are_no_error() -> None:
    ANTHROPIC.parse(_body(unheard_of=1, tools=[{"type": "later"}], system=[{"type": "later"}]))
    ANTHROPIC.parse(_user({"type": "unheard_of", "text": None}))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "model"),
        (_body(messages=[]), "messages"),
        (_body(messages="Hi"), "messages"),
        (_body(messages=[{"role": "tool", "content": "x"}]), "messages[0].role"),
        (_body(messages=[{"role": "user"}]), "messages[0].content"),
        (_body(max_tokens=-1), "max_tokens"),
        (_body(max_tokens=None), "max_tokens"),
        (_body(temperature=1.5), "temperature"),
        (_body(top_p=2), "top_p"),
        (_body(top_k=-1), "top_k"),
        (_body(stop_sequences="END"), "stop_sequences"),
        (_body(thinking={"type": "enabled", "budget_tokens": 5}), "thinking.budget_tokens"),
        (_body(metadata={"user_id": 7}), "metadata.user_id"),
        (_body(tools=[{"name": "f"}]), "tools[0].input_schema"),
        (_body(tools=[{"type": "custom", "input_schema": {}}]), "tools[0].name"),
        (_user({"type": "text"}), "messages[0].content[0].text"),
        (_user({"text": "x"}), "messages[0].content[0].type"),
    ],
)
def test_a_bad_field_is_named(body: bytes, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ANTHROPIC.parse(body)
    assert (caught.value.param or "").replace("[...]", "[0]") == param
    assert param.split("[")[0].split(".")[0] in caught.value.message


def test_a_missing_max_tokens_is_named() -> None:
    with pytest.raises(InvalidRequest, match="max_tokens"):
        ANTHROPIC.parse(json.dumps({"model": MODEL, "messages": _HI}).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"nonsense", b'{"model":'])
def test_no_json_object_is_no_request(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        ANTHROPIC.parse(body)


@pytest.mark.parametrize("case", CONVERSATIONS)
def test_unfolding_and_encoding_give_the_body_back(case: str) -> None:
    body = recorded(f"request_{case}.json")
    said = ANTHROPIC.parse(body).conversation()
    assert said.extra == {}
    assert sent(said, target(case)) == json.loads(body)


def test_a_request_is_unfolded_once() -> None:
    request = ANTHROPIC.parse(_body())
    assert request.conversation() is request.conversation()


def test_system_stands_first_and_later_instructions_where_they_were() -> None:
    said = _said(_body(system="Be brief.", messages=[*_HI, {"role": "system", "content": "Now rhyme."}]))
    assert [(turn.role, turn.parts) for turn in said.turns] == [
        ("system", [Text("Be brief.")]),
        ("user", [Text("Hi")]),
        ("system", [Text("Now rhyme.")]),
    ]


def test_blocks_become_parts() -> None:
    marker = {"type": "ephemeral"}
    said = _said(
        _body(
            messages=[
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "s"},
                        {"type": "redacted_thinking", "data": "d"},
                        {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1.0}, "cache_control": marker},
                        {"type": "tool_use", "id": "u", "name": "g", "input": {}, "caller": {"type": "direct"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "t", "content": "sunny", "cache_control": marker},
                        {"type": "tool_result", "tool_use_id": "u", "is_error": True},
                        {"type": "tool_result", "tool_use_id": "v", "content": [{"type": "text", "text": "x"}]},
                        {"type": "text", "text": "so", "citations": [], "cache_control": marker},
                    ],
                },
            ]
        )
    )
    assert said.turns[0].parts == [
        Reasoning("hm", signature="s"),
        Reasoning(redacted="d"),
        ToolCall("t", "f", '{"x": 1.0}'),
        ToolCall("u", "g", "{}"),
    ]
    assert said.turns[1].parts == [
        ToolResult("t", [Text("sunny")], "f", cache_control=marker),
        ToolResult("u", [], "g", is_error=True),
        ToolResult("v", [Text("x")]),
        Text("so", marker),
    ]
    assert said.extra == {}


def test_attachments_become_parts() -> None:
    said = _said(
        _user(
            {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
            _PICTURE,
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}, "title": "t"},
            {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}, "citations": {"enabled": False}},
        )
    )
    assert said.turns[0].parts == [
        Image(url="https://a/b.png"),
        Image(data="A" * 4000, media_type="image/png"),
        Document(data="aGk=", media_type="text/plain", filename="t"),
        Document(url="https://a/b.pdf", media_type="application/pdf"),
    ]
    assert said.extra == {}


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"container": "c", "speed": "fast"}, ["container", "speed"]),
        ({"container": None, "cache_control": {"type": "ephemeral"}}, []),
        ({"service_tier": "later"}, ["service_tier"]),
        ({"thinking": {"type": "between_tools"}}, ["thinking (between_tools)"]),
        ({"thinking": {"type": "adaptive", "block_binding": {"x": 1}}}, ["thinking.block_binding"]),
        ({"output_config": {"task_budget": {"x": 1}}}, ["output_config.task_budget"]),
        ({"metadata": {"team": "x"}}, ["metadata.team"]),
        ({"tool_choice": {"type": "auto", "later": 1}}, ["tool_choice.later"]),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, ["tools[0] (bash_20250124)"]),
        ({"tools": [{"name": "f", "input_schema": {}, "defer_loading": True}]}, ["tools[0].defer_loading"]),
        ({"tools": [{"name": "f", "input_schema": {}, "defer_loading": False}]}, []),
    ],
)
def test_what_has_no_name_is_kept_aside_by_its_path(fields: dict[str, Any], names: list[str]) -> None:
    assert list(_said(_body(**fields)).extra) == names


@pytest.mark.parametrize(
    ("block", "name"),
    [
        ({"type": "search_result", "source": "x", "title": "y", "content": []}, " (search_result)"),
        ({"type": "text", "text": "x", "citations": [{"type": "char_location"}]}, ".citations"),
        ({"type": "image", "source": {"type": "file", "file_id": "f"}}, ".source (file)"),
        ({"type": "document", "source": {"type": "file", "file_id": "file_1"}}, ".source (file)"),
        ({"type": "document", "source": {"type": "content", "content": "x"}}, ".source (content)"),
        ({**_PAPER, "citations": {"enabled": True}}, ".citations"),
        ({**_PAPER, "context": "x"}, ".context"),
        ({"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "server"}}, ".caller"),
        (
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_result", "tool_use_id": "u"}]},
            ".content[0] (tool_result)",
        ),
    ],
)
def test_what_a_part_cannot_hold_is_kept_aside_by_its_path(block: dict[str, Any], name: str) -> None:
    assert list(_said(_user(block)).extra) == [f"messages[0].content[0]{name}"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (_user({"type": "image"}), "messages[0].content[0].source"),
        (_user({"type": "image", "source": 7}), "messages[0].content[0].source"),
        (_user({"type": "tool_use", "id": "t", "name": "f", "input": []}), "messages[0].content[0].input"),
        (_body(tools=[{"name": "f", "input_schema": {}, "description": 7}]), "tools[0].description"),
        (_body(tool_choice={"type": "later"}), "tool_choice.type"),
        (_user({"type": "tool_result", "tool_use_id": "t", "content": [7]}), "messages[0].content[0].content[0]"),
    ],
)
def test_unfolding_names_a_bad_field_too(body: bytes, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _said(body)
    assert caught.value.param == param


def test_bytes_that_are_not_utf8_are_refused_when_they_must_be_read() -> None:
    body = _user({"type": "tool_use", "id": "t", "name": "f", "input": {"x": "?"}}).replace(b"?", b"\xff")
    with pytest.raises(InvalidRequest, match="UTF-8"):
        _said(body)


def test_a_broken_escape_is_refused_when_it_must_be_read() -> None:
    body = _user({"type": "thinking", "thinking": "?", "signature": "s"}, role="assistant").replace(b"?", b"\\ud800")
    with pytest.raises(InvalidRequest, match="not valid JSON"):
        _said(body)


_DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000


def test_a_piece_nested_too_deeply_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"messages\[0\]"):
        decode(msgspec.json.Decoder(dict[str, Any]), msgspec.Raw(_DEEP), "messages[0]")


def test_json_nested_too_deeply_is_refused() -> None:
    body = _user({"type": "tool_use", "id": "t", "name": "f", "input": "?"}).replace(b'"?"', _DEEP)
    with pytest.raises(InvalidRequest):
        _said(body)


@pytest.mark.parametrize(
    ("fields", "effort"),
    [
        ({}, None),
        ({"output_config": {"effort": "max"}}, Effort("max")),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Effort(show=False)),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "summarized"}},
            Effort(budget=2000, show=True),
        ),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, Effort("low", enabled=False)),
    ],
)
def test_thinking_becomes_effort(fields: dict[str, Any], effort: Effort | None) -> None:
    assert _said(_body(**fields)).effort == effort


def test_options_become_their_canonical_names() -> None:
    schema = {"type": "object"}
    said = _said(
        _body(
            tools=[{"type": "custom", "name": "f", "description": "d", "input_schema": schema, "strict": True}],
            tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True},
            output_config={"format": {"type": "json_schema", "schema": schema}},
            stop_sequences=["a"],
            metadata={"user_id": "u"},
            service_tier="auto",
            top_k=3,
        )
    )
    assert said.tools == [Tool("f", "d", schema, strict=True)]
    assert said.tool_choice == ToolChoice("named", "f")
    assert said.parallel_tool_calls is False
    assert said.response_format == ResponseFormat("json_schema", schema=schema, strict=True)
    assert (said.stop, said.user, said.service_tier, said.top_k) == (["a"], "u", "auto", 3)


@pytest.mark.parametrize(("wire", "mode"), [("auto", "auto"), ("any", "required"), ("none", "none"), ("tool", "named")])
def test_tool_choices_have_canonical_modes(wire: str, mode: str) -> None:
    said = _said(_body(tool_choice={"type": wire}))
    assert said.tool_choice is not None
    assert said.tool_choice.mode == mode
    assert said.parallel_tool_calls is None


def test_geminis_proof_of_a_call_comes_back_with_the_call() -> None:
    use = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    carried = {"type": "thinking", "thinking": "", "signature": "gemini-call:c2ln"}
    said = _said(_user(carried, use, {**use, "id": "u"}, role="assistant"))
    assert said.turns[-1].parts == [ToolCall("t", "f", "{}", "c2ln"), ToolCall("u", "f", "{}")]
