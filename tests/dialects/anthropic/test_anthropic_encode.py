"""Requests → the call: bytes kept in the same dialect, everything said or refused by name in another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest
from anthropic_recorded import MODEL, TARGET, foreign, recorded, sent
from msgspec import Raw
from msgspec.structs import replace

from providers.chat import (
    Audio,
    Conversation,
    Document,
    Effort,
    Image,
    Part,
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
from providers.dialect import Amends, Dialect, Inexpressible, InvalidRequest, Profile, Target
from providers.dialects.anthropic import ANTHROPIC


@dataclass
class _Kept:
    """What a same-dialect request goes out as."""

    body: bytes
    headers: tuple[tuple[str, str], ...]


def _hi(**fields: Any) -> Conversation:
    return Conversation([Turn("user", [Text("Hi")])], max_tokens=fields.pop("max_tokens", 64), **fields)


def _user(*parts: Part) -> Conversation:
    return Conversation([Turn("user", list(parts))], max_tokens=64)


def _lost(said: Conversation, target: Target = TARGET) -> tuple[str, ...]:
    with pytest.raises(Inexpressible) as caught:
        ANTHROPIC.encode(foreign(said), target, drop=False)
    assert caught.value.dialect == "anthropic"
    call = ANTHROPIC.encode(foreign(said), target, drop=True)
    assert call.dropped == caught.value.fields
    json.loads(call.body)
    return call.dropped


def _own(body: bytes, upstream: str = MODEL) -> _Kept:
    request = ANTHROPIC.parse(body)
    request.headers = (("anthropic-beta", "x-2026"),)
    call = ANTHROPIC.encode(request, Target("p", upstream, Profile()), drop=False)
    assert call.path == "/v1/messages"
    return _Kept(call.body, call.headers)


def test_it_is_a_dialect() -> None:
    dialect: Dialect = ANTHROPIC
    assert dialect.name == "anthropic"


def test_the_key_and_the_version_are_headers() -> None:
    version = ("anthropic-version", "2023-06-01")
    assert ANTHROPIC.authorise("k", Profile()) == (("x-api-key", "k"), version)
    assert ANTHROPIC.authorise(None, Profile()) == (version,)


@pytest.mark.parametrize(
    ("model", "does"),
    [
        ("claude-3-haiku-20240307", True),
        ("claude-3-5-sonnet-latest", True),
        ("claude-haiku-4-5", True),
        ("claude-sonnet-4-5-20250929", True),
        ("claude-opus-4-20250514", True),
        ("claude-opus-4-1", True),
        ("anthropic.claude-sonnet-4-20250514-v1:0", True),
        ("claude-sonnet-4@20250514", True),
        ("claude-opus-4-6", False),
        ("claude-sonnet-4-6-20260219", False),
        ("claude-opus-4-7", False),
        ("claude-opus-4-10", False),
        ("claude-sonnet-5-5", False),
        ("another-vendors-model", False),
    ],
)
def test_models_before_4_6_go_on_from_a_message_of_their_own(model: str, does: bool) -> None:
    assert ANTHROPIC.prefills(Target("p", model, Profile())) is does


def test_own_requests_keep_their_bytes_and_headers() -> None:
    body = b'{ "messages":[{"role":"user","content":"Hi"}],"later":1.0, "max_tokens":5,"model":"%s"}' % MODEL.encode()
    kept = _own(body)
    assert kept.body is body
    assert kept.headers == (("anthropic-beta", "x-2026"),)


def test_own_requests_change_the_models_name_only() -> None:
    body = b'{"model":"fast","max_tokens":5,"later":1.00,"messages":[{"role":"user","content":"Hi"}]}'
    assert _own(body).body == body.replace(b"fast", MODEL.encode())


def test_own_requests_lose_thinking_that_nobody_signed() -> None:
    def said(*blocks: dict[str, Any], string: Any = "Hi") -> bytes:
        messages = [
            {"role": "user", "content": string},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "a", "signature": ""}]},
            {"role": "assistant", "content": list(blocks), "later": 1},
        ]
        return json.dumps({"model": MODEL, "max_tokens": 5, "messages": messages}).encode()

    signed = {"type": "thinking", "thinking": "b", "signature": "s"}
    odd = {"type": "tool_use", "id": "t", "name": "f", "input": {"signature": "", "x": 1.0}}
    kept = _own(said({"type": "thinking", "thinking": "a", "signature": ""}, signed, odd)).body
    assert json.loads(kept)["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [signed, odd], "later": 1},
    ]
    assert b'"x": 1.0' in kept


def test_a_conversation_that_cannot_be_searched_for_signatures_is_invalid() -> None:
    block = b'{"type":"thinking","thinking":"a","signature":""}'
    for message in (
        b'{"role":"user","content":[%b],"\xff":1}',
        b'{"role":"user","content":[%b,{"type":"x","signature":7}]}',
    ):
        body = b'{"model":"m","max_tokens":5,"messages":[%b]}' % (message % block)
        with pytest.raises(InvalidRequest):
            _own(body)


def test_text_that_quotes_an_empty_signature_keeps_its_bytes() -> None:
    body = json.dumps(
        {"model": MODEL, "max_tokens": 5, "messages": [{"role": "user", "content": '"signature":""'}]}
    ).encode()
    assert _own(body).body is body


def test_a_stream_is_asked_for() -> None:
    call = ANTHROPIC.encode(foreign(_hi(), stream=True), TARGET, drop=False)
    assert json.loads(call.body)["stream"] is True
    assert "stream" not in sent(_hi())
    assert call.headers == ()


@pytest.mark.parametrize(
    ("said", "max_output", "bound"),
    [
        (_hi(max_tokens=7), 100, 7),
        (_hi(max_tokens=None), 100, 100),
        (_hi(max_tokens=None), None, 4096),
        (_hi(max_tokens=None, effort=Effort(budget=8000)), None, 12096),
        (_hi(max_tokens=None, effort=Effort("low")), None, 4096),
    ],
)
def test_max_tokens_is_the_callers_then_the_models_then_a_constant(
    said: Conversation, max_output: int | None, bound: int
) -> None:
    assert sent(said, replace(TARGET, max_output=max_output))["max_tokens"] == bound


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (_hi(temperature=1.2), ("temperature",)),
        (_hi(seed=1), ("seed",)),
        (_hi(frequency_penalty=0.1, presence_penalty=-1), ("frequency_penalty", "presence_penalty")),
        (_hi(logprobs=True, top_logprobs=2), ("logprobs", "top_logprobs")),
        (_hi(n=2), ("n",)),
        (_hi(metadata={"a": "b"}), ("metadata",)),
        (_hi(service_tier="flex"), ("service_tier",)),
        (_hi(response_format=ResponseFormat("json_schema")), ("response_format.json_schema",)),
        (_hi(effort=Effort("minimal")), ("reasoning_effort",)),
        (_hi(effort=Effort(budget=1023), max_tokens=2048), ("effort.budget",)),
        (_hi(effort=Effort("low", 2048), max_tokens=4096), ("effort.budget",)),
        (_hi(store=True, extra={"logit_bias": Raw(b"{}")}), ("store", "logit_bias")),
        (_hi(seed=1, n=3, temperature=2), ("temperature", "seed", "n")),
    ],
)
def test_what_cannot_be_said_is_named_in_full(said: Conversation, names: tuple[str, ...]) -> None:
    assert _lost(said) == names


def test_any_json_object_is_asked_for_in_words_and_seen_to_by_the_gateway() -> None:
    turns = [Turn("system", [Text("Be brief.")]), Turn("user", [Text("Hi")]), Turn("system", [Text("Rhyme.")])]
    said = Conversation(turns, max_tokens=64, response_format=ResponseFormat("json_object"))
    call = ANTHROPIC.encode(foreign(said), TARGET, drop=False)
    body = json.loads(call.body)
    brief, told = body["system"]
    assert brief == {"type": "text", "text": "Be brief."}
    assert "one JSON object" in told["text"]
    assert body["messages"][-1] == {"role": "system", "content": [{"type": "text", "text": "Rhyme."}]}
    assert "output_config" not in body
    assert call.amends == Amends(schema={"type": "object"}, bare=True)
    assert ANTHROPIC.encode(foreign(_hi()), TARGET, drop=False).amends is None
    # It is part of the prompt, and counted with it.
    counted = json.loads(ANTHROPIC.encode_count(foreign(said), TARGET, drop=False).body)
    assert counted["system"] == body["system"]


def test_whoever_takes_any_json_gets_any() -> None:
    said = _hi(response_format=ResponseFormat("json_object", any_json=True))
    call = ANTHROPIC.encode(foreign(said), TARGET, drop=False)
    assert "one JSON value" in json.loads(call.body)["system"][0]["text"]
    assert call.amends == Amends(schema={}, bare=True)


def test_what_asks_for_nothing_is_left_out() -> None:
    said = _hi(frequency_penalty=0.0, presence_penalty=0, logprobs=False, response_format=ResponseFormat("text"))
    assert sent(said) == sent(_hi())


def test_the_api_version_decides_on_sampling() -> None:
    older = replace(TARGET, upstream="claude-sonnet-4-0")
    newer = replace(older, profile=Profile(anthropic_version="2026-10-21"))
    said = _hi(temperature=0.0, top_p=0.5, top_k=1)
    assert _lost(said, newer) == ("temperature", "top_p", "top_k")
    assert sent(said, older)["temperature"] == 0
    assert sent(_hi(), newer) == sent(_hi(), older)


@pytest.mark.parametrize(
    ("effort", "thinking", "config"),
    [
        (Effort(), {"type": "adaptive"}, None),
        (Effort("max"), {"type": "adaptive"}, {"effort": "max"}),
        (Effort("low", enabled=False), {"type": "disabled"}, {"effort": "low"}),
        (Effort(budget=1024), {"type": "adaptive"}, {"effort": "low"}),
        (Effort(budget=24575, show=True), {"type": "adaptive", "display": "summarized"}, {"effort": "medium"}),
        (Effort(show=True), {"type": "adaptive", "display": "summarized"}, None),
        (Effort(enabled=False, show=True), {"type": "disabled"}, None),
    ],
)
def test_effort_becomes_thinking(effort: Effort, thinking: Any, config: Any) -> None:
    body = sent(_hi(effort=effort, max_tokens=2048))
    assert (body.get("thinking"), body.get("output_config")) == (thinking, config)


def test_a_model_that_takes_both_is_given_a_word_and_a_budget() -> None:
    to = Target("anthropic", "claude-opus-4-6", Profile())
    body = sent(_hi(effort=Effort("low", 1024), max_tokens=2048), to)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    assert body["output_config"] == {"effort": "low"}
    assert _lost(_hi(effort=Effort(budget=2048), max_tokens=2048), to) == ("effort.budget",)


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-4-20250514", "claude-3-7-sonnet-20250219"])
def test_older_models_are_told_a_word_in_tokens(model: str) -> None:
    to = Target("anthropic", model, Profile())
    body = sent(_hi(effort=Effort("medium", show=False), max_tokens=None), to)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 8192, "display": "omitted"}
    assert body["max_tokens"] > 8192
    assert "output_config" not in body
    assert _lost(_hi(effort=Effort("medium"), max_tokens=8192), to) == ("reasoning_effort",)
    assert sent(_hi(effort=Effort("low", enabled=False)), to)["thinking"] == {"type": "disabled"}


def test_a_level_that_was_dropped_switches_no_thinking_on() -> None:
    assert sent(_hi(effort=Effort("minimal", show=True)), drop=True) == sent(_hi())


@pytest.mark.parametrize(
    ("fields", "choice"),
    [
        ({"tool_choice": ToolChoice("auto")}, {"type": "auto"}),
        ({"tool_choice": ToolChoice("none"), "parallel_tool_calls": False}, {"type": "none"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
        ({"parallel_tool_calls": True}, None),
        ({"tool_choice": ToolChoice("required"), "parallel_tool_calls": True}, {"type": "any"}),
        ({"tools": [], "tool_choice": ToolChoice("auto")}, None),
        ({"tools": [], "parallel_tool_calls": False}, None),
        ({"tools": [], "tool_choice": ToolChoice("required")}, {"type": "any"}),
    ],
)
def test_tool_choice_is_said_only_when_there_is_a_choice(fields: dict[str, Any], choice: Any) -> None:
    assert sent(_hi(**{"tools": [Tool("f")], **fields})).get("tool_choice") == choice


def test_the_description_of_a_schema_goes_into_it() -> None:
    shape = ResponseFormat("json_schema", "n", "A person.", {"type": "object"})
    wanted = {"type": "json_schema", "schema": {"type": "object", "description": "A person."}}
    assert sent(_hi(response_format=shape))["output_config"]["format"] == wanted
    shape.schema = {"type": "object", "description": "Its own."}
    assert sent(_hi(response_format=shape))["output_config"]["format"]["schema"] == shape.schema


def _roles(*turns: Turn) -> list[tuple[str, str]]:
    body = sent(Conversation(list(turns), max_tokens=5))
    return [
        (one["role"], " ".join(block.get("text", block["type"]) for block in one["content"]))
        for one in body["messages"]
    ]


def _turn(role: Any, *texts: str) -> Turn:
    return Turn(role, [Text(text) for text in texts])


def test_turns_of_one_role_are_one_message() -> None:
    assert _roles(_turn("user", "a"), _turn("user", "b"), _turn("assistant", "c"), _turn("assistant", "d")) == [
        ("user", "a b"),
        ("assistant", "c d"),
    ]


def test_instructions_keep_their_place_or_slide_past_a_user_turn() -> None:
    assert _roles(
        _turn("system", "top"),
        _turn("user", "a"),
        _turn("system", "1"),
        _turn("assistant", "b"),
        _turn("system", "2"),
        _turn("system", "3"),
        _turn("user", "c"),
    ) == [("user", "a"), ("system", "1"), ("assistant", "b"), ("user", "c"), ("system", "2 3")]


@pytest.mark.parametrize("after", [[], [_turn("assistant", "c")]])
def test_an_instruction_after_an_answer_with_no_user_turn_has_no_place(after: list[Turn]) -> None:
    said = Conversation([_turn("user", "a"), _turn("assistant", "b"), _turn("system", "1"), *after], max_tokens=5)
    assert _lost(said) == ("messages.role.system",)


@pytest.mark.parametrize(
    ("model", "instructs"),
    [
        ("claude-sonnet-5", True),
        ("claude-opus-4-8-20260528", True),
        ("claude-haiku-5-5", True),
        ("somebody-elses", True),
        ("claude-opus-4-7", False),
        ("claude-opus-4-20250514", False),
        ("claude-haiku-4-5", False),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", False),
    ],
)
def test_older_models_take_no_instruction_amid_the_conversation(model: str, instructs: bool) -> None:
    said = Conversation([_turn("system", "top"), _turn("user", "a"), _turn("system", "1")], max_tokens=5)
    to = Target("anthropic", model, Profile())
    if instructs:
        assert [one["role"] for one in sent(said, to)["messages"]] == ["user", "system"]
    else:
        assert _lost(said, to) == ("messages.role.system",)
        assert [one["role"] for one in sent(said, to, drop=True)["messages"]] == ["user"]


def test_empty_text_and_messages_of_nothing_else_are_left_out() -> None:
    assert _roles(
        _turn("system", ""),
        _turn("user", "a"),
        _turn("system", "1"),
        Turn(
            "assistant",
            [Text(""), RefusalText(""), Reasoning("thought", signature="gemini:Zm9y"), Reasoning("unsigned")],
        ),
        _turn("user", "", "b"),
    ) == [("user", "a b"), ("system", "1")]


def test_its_own_thoughts_come_back_with_their_proof() -> None:
    own: list[Part] = [Reasoning("hm", signature="anthropic:s"), Reasoning(redacted="anthropic:d")]
    foreign: list[Part] = [Reasoning("hm", signature="gemini:s"), Reasoning(redacted="d"), Reasoning("unsigned")]
    said = Conversation([_turn("user", "a"), Turn("assistant", [*own, *foreign, Text("b"), *own])], max_tokens=5)
    assert sent(said)["messages"][1]["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "text", "text": "b"},
    ]
    only = Conversation([_turn("user", "a"), Turn("assistant", own), _turn("user", "b")], max_tokens=5)
    assert [message["role"] for message in sent(only)["messages"]] == ["user"]


def test_tool_results_come_first_in_their_message() -> None:
    said = Conversation(
        [
            Turn("assistant", [ToolCall("functions.f:0", "f", " ", signature="foreign")]),
            Turn("user", [Text("a"), ToolResult("functions.f:0", [Text(""), Document(file_id="x")])]),
            Turn("user", [ToolResult("2", [])]),
        ],
        max_tokens=5,
    )
    body = sent(said, drop=True)
    call = body["messages"][0]["content"][0]
    assert call == {"type": "tool_use", "id": "functions_2e_f_3a_0", "name": "f", "input": {}}
    assert body["messages"][1]["content"] == [
        {"type": "tool_result", "tool_use_id": call["id"]},
        {"type": "tool_result", "tool_use_id": "2"},
        {"type": "text", "text": "a"},
    ]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (Audio("AAAA", "wav"), "messages.content.input_audio"),
        (Image(url="https://a/b.png", detail="low"), "messages.content.image_url.detail"),
        (Image(url="gs://a/b.png"), "messages.content.image_url"),
        (Image(data="AAAA", media_type="image/bmp"), "messages.content.image_url"),
        (Image(data="AAAA"), "messages.content.image_url"),
        (Document(file_id="file-1"), "messages.content.file"),
        (Document(data="AAAA", media_type="application/zip"), "messages.content.file"),
        (Document(data="!", media_type="text/plain"), "messages.content.file"),
        (Document(data="/w==", media_type="text/plain"), "messages.content.file"),
        (Document(url="https://a/b.txt", media_type="text/plain"), "messages.content.file"),
        (ToolResult("t", [Image(url="ftp://a")]), "messages.content.image_url"),
        (ToolCall("t", "f", "{}"), "messages.role.user.content"),
    ],
)
def test_content_that_cannot_be_said_is_named(part: Part, name: str) -> None:
    assert _lost(_user(Text("a"), part)) == (name,)


@pytest.mark.parametrize("arguments", ["[]", "{", "7", '{"a": tru}'])
def test_arguments_that_are_no_object_are_named(arguments: str) -> None:
    said = Conversation([Turn("assistant", [ToolCall("t", "f", arguments)])], max_tokens=5)
    assert _lost(said) == ("messages.tool_calls.arguments",)
    assert sent(said, drop=True)["messages"][0]["content"][0]["input"] == {}


def test_arguments_keep_their_digits() -> None:
    said = Conversation(
        [Turn("assistant", [ToolCall("t", "f", '{"a": 1.0, "b": 123456789012345678901}')])], max_tokens=5
    )
    body = ANTHROPIC.encode(foreign(said), TARGET, drop=False).body
    assert b'{"a": 1.0, "b": 123456789012345678901}' in body


def test_roles_say_only_what_they_may() -> None:
    picture = Image(url="https://a/b.png")
    said = Conversation([_turn("user", "a"), Turn("assistant", [picture, Text("b")])], max_tokens=5)
    assert _lost(said) == ("messages.role.assistant.content",)
    said = Conversation([Turn("system", [picture, Text("b")]), _turn("user", "a")], max_tokens=5)
    assert _lost(said) == ("messages.role.system.content",)


def test_a_participants_name_is_named() -> None:
    assert _lost(Conversation([Turn("user", [Text("a")], name="ann")], max_tokens=5)) == ("messages.name",)


def test_words_of_refusal_are_text() -> None:
    said = Conversation([_turn("user", "a"), Turn("assistant", [RefusalText("no")])], max_tokens=5)
    assert sent(said)["messages"][1]["content"] == [{"type": "text", "text": "no"}]


def test_own_thinking_round_trips_by_its_bytes() -> None:
    answer = json.loads(recorded("answer_thinking.json"))["content"]
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer}]
    body = json.dumps({"model": MODEL, "max_tokens": 5, "messages": messages}).encode()
    assert _own(body).body is body


def test_what_claude_thought_comes_home_and_nothing_else() -> None:
    turn = Turn(
        "assistant",
        [
            Reasoning("Hm.", signature="anthropic:EqQB"),
            Reasoning(redacted="anthropic:ZGF0YQ=="),
            Reasoning("Gemini's.", signature="gemini:c2ln"),
            Reasoning("Nobody's."),
            ToolCall("t", "f", "{}", signature="c2ln"),
        ],
    )
    assert sent(Conversation([turn], max_tokens=5))["messages"][0]["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "ZGF0YQ=="},
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]


def test_own_requests_lose_the_proofs_of_gemini() -> None:
    kept = {"type": "tool_use", "id": "t", "name": "f", "input": {"signature": "gemini:c2ln"}}
    blocks = [
        {"type": "thinking", "thinking": "", "signature": "gemini-call:c2ln"},
        {"type": "thinking", "thinking": "Hm.", "signature": "gemini:c2ln"},
        kept,
    ]
    body = {"model": MODEL, "max_tokens": 5, "messages": [{"role": "assistant", "content": blocks}]}
    assert json.loads(_own(json.dumps(body).encode()).body)["messages"][0]["content"] == [kept]


def test_only_the_allowed_tools_are_declared() -> None:
    tools = [Tool("f"), Tool("g"), Tool("h")]
    body = sent(_hi(tools=tools, tool_choice=ToolChoice("required", allowed=["f", "h"])))
    assert [tool["name"] for tool in body["tools"]] == ["f", "h"]
    assert body["tool_choice"] == {"type": "any"}


def test_instructions_and_nothing_else_are_the_users_message() -> None:
    told = sent(Conversation([Turn("system", [Text("Greet me.")])]))
    assert "system" not in told
    assert told["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Greet me."}]}]


def test_white_space_says_no_more_than_nothing() -> None:
    assert _roles(_turn("user", "a", " \n"), _turn("assistant", "\n\n"), _turn("user", "\t", "b")) == [("user", "a b")]


def test_the_arguments_of_a_function_are_an_object() -> None:
    (tool,) = sent(_hi(tools=[Tool("f", None, {"properties": {"a": {"type": "string"}}})]))["tools"]
    assert tool["input_schema"] == {"type": "object", "properties": {"a": {"type": "string"}}}
