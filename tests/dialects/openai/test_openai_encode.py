"""What goes to the provider: untouched bytes of its own dialect, and translations that lose nothing in silence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw
from openai_recorded import CONVERSATIONS, MODEL, TARGET, foreign, sent, user

from providers.chat import (
    Audio,
    Conversation,
    Document,
    Effort,
    EmbeddingRequest,
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
from providers.dialect import Inexpressible, Profile, Target
from providers.dialects.openai import OPENAI

_HI = user(Text("Hi"))


def _target(**quirks: Any) -> Target:
    return Target("x", MODEL, Profile(**quirks))


def _lost(said: Conversation, target: Target = TARGET) -> tuple[str, ...]:
    """What is refused; when dropping is allowed, exactly that is reported."""
    with pytest.raises(Inexpressible) as caught:
        OPENAI.encode(foreign(said), target, drop=False)
    assert caught.value.dialect == "openai"
    assert OPENAI.encode(foreign(said), target, drop=True).dropped == caught.value.fields
    return caught.value.fields


# The same dialect


def test_own_bytes_pass_untouched() -> None:
    body = b'{ "model":"gpt-5.2", "messages":[{"role":"user","content":"x"}], "temperature": 1.0, "later": 1e0}'
    request = OPENAI.parse(body)
    request.headers = (("openai-beta", "x"),)
    call = OPENAI.encode(request, TARGET, drop=False)
    assert call.body is body
    assert (call.path, call.headers, call.dropped) == ("/chat/completions", (("openai-beta", "x"),), ())


def test_only_the_model_changes() -> None:
    body = b'{"seed": 12345678901234567890123, "model":"auto", "messages":[{"role":"user","content":"x"}],"top_p": 1.0}'
    sent = OPENAI.encode(OPENAI.parse(body), TARGET, drop=False).body
    assert b"12345678901234567890123" in sent
    assert b"1.0" in sent
    assert json.loads(sent) == {**json.loads(body), "model": MODEL}


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        (None, {"include_usage": True}),
        ({"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}),
        ({"include_usage": False}, {"include_usage": True}),
    ],
)
def test_a_stream_always_asks_for_usage(given: Any, asked: dict[str, Any]) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True, "stream_options": given}
    request = OPENAI.parse(json.dumps(body).encode())
    assert not request.include_usage
    assert json.loads(OPENAI.encode(request, TARGET, drop=False).body) == {**body, "stream_options": asked}
    untouched = OPENAI.encode(request, _target(stream_usage=False), drop=False)
    assert untouched.body is request.body


def test_a_stream_that_asks_for_usage_passes_untouched() -> None:
    body = b'{"model":"gpt-5.2","messages":[{"role":"user","content":"x"}],"stream":true,'
    request = OPENAI.parse(body + b'"stream_options":{"include_usage":true}}')
    assert OPENAI.encode(request, TARGET, drop=False).body is request.body


def test_a_profile_does_not_touch_its_own_dialect() -> None:
    profile = {"json_schema": False, "parallel_tool_calls": False, "reasoning_effort": False, "developer_role": True}
    body = json.dumps(
        {
            "model": MODEL,
            "messages": [{"role": "system", "content": "x"}],
            "parallel_tool_calls": True,
            "reasoning_effort": "low",
            "max_completion_tokens": 5,
            "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}},
        }
    ).encode()
    assert OPENAI.encode(OPENAI.parse(body), _target(**profile), drop=False).body is body


# Another dialect


def test_a_translated_stream_asks_for_usage_where_the_server_takes_it() -> None:
    assert sent(CONVERSATIONS["text"], stream=True)["stream_options"] == {"include_usage": True}
    body = sent(CONVERSATIONS["text"], _target(stream_usage=False), stream=True)
    assert body["stream"] is True
    assert "stream_options" not in body


def test_the_bound_has_the_name_that_the_profile_says() -> None:
    body = sent(CONVERSATIONS["text"], _target(max_tokens_field="max_completion_tokens"))
    assert body["max_completion_tokens"] == 256
    assert "max_tokens" not in body


def test_system_text_has_the_role_that_the_profile_says() -> None:
    said = Conversation([Turn("system", [Text("Be terse.")]), _HI])
    assert sent(said, _target(developer_role=True))["messages"][0] == {"role": "developer", "content": "Be terse."}


def test_what_the_profile_lacks_is_refused_by_name() -> None:
    said = Conversation(
        [_HI],
        tools=[Tool("f")],
        parallel_tool_calls=False,
        response_format=ResponseFormat("json_schema", schema={}),
        effort=Effort("low"),
    )
    target = _target(json_schema=False, parallel_tool_calls=False, reasoning_effort=False)
    assert _lost(said, target) == ("response_format.json_schema", "reasoning_effort")
    assert OPENAI.encode(foreign(said), TARGET, drop=False).dropped == ()


@pytest.mark.parametrize(("wanted", "first_only"), [(None, False), (True, False), (False, True)])
def test_one_call_at_a_time_is_kept_on_the_way_back_where_it_cannot_be_said(
    wanted: bool | None, first_only: bool
) -> None:
    said = Conversation([_HI], tools=[Tool("f")], parallel_tool_calls=wanted)
    deaf = _target(parallel_tool_calls=False)
    call = OPENAI.encode(foreign(said), deaf, drop=False)
    assert "parallel_tool_calls" not in json.loads(call.body)
    assert (call.first_call_only, call.answers_as_asked) == (first_only, not first_only)
    assert not OPENAI.encode(foreign(said), TARGET, drop=False).first_call_only, "it is said there"
    told = {} if wanted is None else {"parallel_tool_calls": wanted}
    own = OPENAI.parse(json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "x"}], **told}).encode())
    assert OPENAI.encode(own, deaf, drop=False).first_call_only == first_only
    assert not OPENAI.encode(own, TARGET, drop=False).first_call_only


@pytest.mark.parametrize(
    ("budget", "word"),
    [(512, "minimal"), (1024, "low"), (8191, "low"), (8192, "medium"), (24575, "medium"), (24576, "high")],
)
def test_a_budget_is_the_longest_thinking_within_it(budget: int, word: str) -> None:
    assert sent(Conversation([_HI], effort=Effort(budget=budget)))["reasoning_effort"] == word


@pytest.mark.parametrize(("store", "sent_on"), [(True, True), (False, None), (None, None)])
def test_an_exchange_is_stored_where_that_is_asked(store: bool | None, sent_on: bool | None) -> None:
    assert sent(Conversation([_HI], store=store)).get("store") is sent_on


def test_everything_that_cannot_be_said_is_named_at_once() -> None:
    said = Conversation(
        [
            Turn("system", [Image(url="https://x/y.png")]),
            Turn("assistant", [Image(url="https://x/y.png"), Text("There.")]),
            user(
                Document(url="https://x/y.pdf"),
                Document(data="QUE="),
                Image(data="QUE="),
                ToolCall("c", "f", "{}"),
                ToolResult("c", [Document(url="https://x/y.pdf")]),
            ),
        ],
        top_k=5,
        effort=Effort("high", budget=2048, show=True),
        extra={"thinking.later": Raw(b"1")},
    )
    assert _lost(said) == (
        "messages.content.image_url",
        "messages.content.file",
        "messages.tool_calls",
        "effort.budget",
        "effort.show",
        "top_k",
        "thinking.later",
    )
    dropped = sent(said, drop=True)
    assert dropped.keys() == {"model", "messages", "reasoning_effort"}
    assert dropped["messages"][1] == {"role": "assistant", "content": "There."}


@pytest.mark.parametrize(
    ("turn", "name"),
    [
        (Turn("system", [Image(url="https://x/y.png")]), "messages.content.image_url"),
        (Turn("assistant", [Image(url="https://x/y.png")]), "messages.content.image_url"),
        (Turn("assistant", [Audio("QUE=", "wav")]), "messages.content.input_audio"),
        (Turn("assistant", [ToolResult("c", [])]), "messages.content"),
        (user(Image(data="QUE=")), "messages.content.image_url"),
        (user(Document(data="QUE=")), "messages.content.file"),
        (user(RefusalText("No.")), "messages.content.refusal"),
        (user(ToolResult("c", [Document(url="https://x/y.pdf")])), "messages.content.file"),
    ],
)
def test_a_part_without_a_place_is_named_as_the_api_names_it(turn: Turn, name: str) -> None:
    assert _lost(Conversation([turn])) == (name,)


def test_some_of_the_tools_may_be_all_that_is_allowed() -> None:
    tools = [Tool("f"), Tool("g"), Tool("h")]
    said = Conversation([_HI], tools=tools, tool_choice=ToolChoice("auto", allowed=["f", "h"]))
    some = [{"type": "function", "function": {"name": name}} for name in ("f", "h")]
    assert sent(said)["tool_choice"] == {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": some}}


def test_more_stop_sequences_than_the_api_takes_are_refused() -> None:
    assert sent(Conversation([_HI], stop=list("abcd")))["stop"] == list("abcd")
    many = Conversation([_HI], stop=list("abcde"))
    assert _lost(many) == ("stop",)
    assert "stop" not in json.loads(OPENAI.encode(foreign(many), TARGET, drop=True).body)


def test_own_requests_lose_the_proofs_of_others() -> None:
    google = {"google": {"thought_signature": "c2ln"}}
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": "anthropic:"}'}}
    theirs: dict[str, Any] = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln", "later": 1}
    ours = [
        {"type": "reasoning.text", "text": "Hm.", "signature": "anthropic:c2ln"},
        {"type": "reasoning.encrypted", "data": "gemini:c2ln"},
    ]
    seal = {"google": {"thought_signature": "gemini:c2ln"}}

    def asked(*messages: dict[str, Any]) -> list[Any]:
        body = {"model": MODEL, "messages": messages}
        return json.loads(OPENAI.encode(OPENAI.parse(json.dumps(body).encode()), TARGET, drop=False).body)["messages"]

    said = {"role": "assistant", "content": "anthropic:", "reasoning_details": [theirs, *ours]}
    called = {"role": "assistant", "tool_calls": [{**call, "extra_content": seal}, {**call, "extra_content": google}]}
    other = {"role": "assistant", "content": "a", "reasoning_details": "gemini: in a shape of its own"}
    assert asked(said, called, other, {**said, "reasoning_details": ours}) == [
        {**said, "reasoning_details": [theirs]},
        {"role": "assistant", "tool_calls": [call, {**call, "extra_content": google}]},
        other,
        {"role": "assistant", "content": "anthropic:"},
    ]


def test_thoughts_and_foreign_signatures_are_left_out() -> None:
    said = Conversation([_HI, Turn("assistant", [Reasoning("hm", "c2ln"), ToolCall("c", "f", "{}", "c2ln")])])
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert sent(said)["messages"][1] == {"role": "assistant", "content": None, "tool_calls": [call]}


@pytest.mark.parametrize(
    ("turn", "message"),
    [
        (Turn("user", []), {"role": "user", "content": ""}),
        (Turn("assistant", [Reasoning("hm")]), {"role": "assistant", "content": ""}),
        (
            Turn("assistant", [Text("a"), RefusalText("b")], "bot"),
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}],
                "name": "bot",
            },
        ),
        (
            user(Audio("QUE=", "mp3")),
            {
                "role": "user",
                "content": [{"type": "input_audio", "input_audio": {"data": "QUE=", "format": "mp3"}}],
            },
        ),
    ],
)
def test_single_messages(turn: Turn, message: dict[str, Any]) -> None:
    assert sent(Conversation([turn]))["messages"] == [message]


@pytest.mark.parametrize(
    ("result", "content"),
    [
        (ToolResult("c", []), ""),
        (ToolResult("c", [], is_error=True), "Error: "),
        (ToolResult("c", [Text("a"), Text("b")]), [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        (ToolResult("c", [Text("a"), Text("b")], is_error=True), "Error: a\nb"),
        (ToolResult("c", [Image(url="https://x")]), "The content follows in the next user message."),
    ],
)
def test_tool_messages_hold_text(result: ToolResult, content: Any) -> None:
    assert sent(Conversation([user(result)]))["messages"][0] == {
        "role": "tool",
        "tool_call_id": "c",
        "content": content,
    }


def test_results_stand_before_what_else_the_user_said() -> None:
    said = Conversation([user(Text("Look:"), ToolResult("c", [Text("1")]), ToolResult("d", [Text("2")]))])
    assert [message["role"] for message in sent(said)["messages"]] == ["tool", "tool", "user"]


def test_a_file_has_the_name_that_its_type_suggests() -> None:
    said = Conversation([user(Document(data="QUE=", media_type="application/x-odd"))])
    assert sent(said)["messages"][0]["content"][0]["file"]["filename"] == "document"


@pytest.mark.parametrize("mode", ["auto", "none"])
def test_without_tools_there_is_nothing_to_choose(mode: Any) -> None:
    body = sent(Conversation([_HI], tool_choice=ToolChoice(mode), parallel_tool_calls=False))
    assert body.keys() == {"model", "messages"}


def test_a_demand_for_a_missing_tool_is_the_providers_to_refuse() -> None:
    assert sent(Conversation([_HI], tool_choice=ToolChoice("required")))["tool_choice"] == "required"


def test_a_choice_without_further_wishes_is_sent_as_it_is() -> None:
    body = sent(Conversation([_HI], tools=[Tool("f")], tool_choice=ToolChoice("auto")))
    assert body["tool_choice"] == "auto"
    assert "parallel_tool_calls" not in body


def test_a_schema_without_a_name_gets_one() -> None:
    assert sent(Conversation([_HI], response_format=ResponseFormat("json_schema")))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "response"},
    }


@pytest.mark.parametrize(
    ("effort", "level"),
    [
        (Effort("minimal"), "minimal"),
        (Effort("max"), "max"),
        (Effort(enabled=False), "none"),
        (Effort("high", 2048, enabled=False, show=True), "none"),
        (Effort(), None),
        (Effort(show=False), None),
    ],
)
def test_effort_is_said_in_words(effort: Effort, level: str | None) -> None:
    assert sent(Conversation([_HI], effort=effort)).get("reasoning_effort") == level


# Embeddings


def test_own_embedding_bytes_pass_untouched() -> None:
    request = OPENAI.parse_embedding(b'{"model":"gpt-5.2","input":"x", "later": 1.0}')
    call = OPENAI.encode_embedding(request, TARGET, drop=False)
    assert call.body is request.body
    assert call.path == "/embeddings"


def test_an_embedding_field_without_a_name_is_refused_or_named() -> None:
    request = EmbeddingRequest("gemini", b"{}", "m", ["x"], extra={"taskType": Raw(b'"X"')})
    with pytest.raises(Inexpressible, match="taskType"):
        OPENAI.encode_embedding(request, TARGET, drop=False)
    call = OPENAI.encode_embedding(request, TARGET, drop=True)
    assert call.dropped == ("taskType",)
    assert json.loads(call.body) == {"model": MODEL, "input": ["x"]}


def test_an_id_is_never_longer_than_the_api_takes() -> None:
    ids = ["c" * 40, "c" * 41, "d" * 200]
    calls: list[Any] = [ToolCall(one, "f", "{}") for one in ids]
    picture = Image(data="AA==", media_type="image/png")
    answers: list[Any] = [ToolResult(one, [Text("x"), picture]) for one in ids]
    said = sent(Conversation([_HI, Turn("assistant", calls), Turn("user", answers)]))
    _, asked, *answered, beside = said["messages"]
    written = [call["id"] for call in asked["tool_calls"]]
    assert written[0] == ids[0]
    assert len(set(written)) == 3
    assert all(len(one) == 40 for one in written)
    assert [message["tool_call_id"] for message in answered] == written
    assert [one for one in written if one in json.dumps(beside)] == written


def test_objects_and_arrays_of_a_function_say_what_they_hold() -> None:
    given: dict[str, Any] = {
        "type": "object",
        "properties": {
            "type": {"type": ["array", "null"]},
            "b": {"type": "object", "additionalProperties": {"type": "object"}},
        },
    }
    empty = {"type": "object", "properties": {}}
    told = {
        "type": "object",
        "properties": {"type": {"type": ["array", "null"], "items": {}}, "b": {**empty, "additionalProperties": empty}},
    }
    body = sent(Conversation([_HI], tools=[Tool("f", None, given), Tool("g", None, {"type": "object"})]))
    assert [tool["function"]["parameters"] for tool in body["tools"]] == [told, empty]
