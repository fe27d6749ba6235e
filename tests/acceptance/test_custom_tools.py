"""Tools that take free text, of callers of `/v1/responses`, with providers whose functions take JSON objects."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.acceptance.scripted import MODELS, Heard, Json, Scripted, events, whole
from tests.acceptance.test_shapes import both_ways
from tests.fidelity.wire import anthropic_reply, gemini_reply, openai_reply

SQL: Json = {"type": "custom", "name": "sql", "description": "Runs SQL."}
QUERY = 'SELECT "a" FROM b -- ü'
_event: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
#: Provider → its dialect; `ollama` has chat completions alone.
PROVIDERS = {"ollama": "openai", "anthropic": "anthropic", "gemini": "gemini"}
every_provider = pytest.mark.parametrize("provider", PROVIDERS)


def calling(dialect: str, arguments: Json) -> Json:
    """An answer that calls the function."""
    if dialect == "anthropic":
        return anthropic_reply({"type": "tool_use", "id": "call_1", "name": "sql", "input": arguments}, stop="tool_use")
    if dialect == "gemini":
        return gemini_reply({"functionCall": {"id": "call_1", "name": "sql", "args": arguments}})
    function = {"name": "sql", "arguments": json.dumps(arguments)}
    call = {"id": "call_1", "type": "function", "function": function}
    return openai_reply({"content": None, "tool_calls": [call]}, finish="tool_calls")


def plain(dialect: str) -> Json:
    return {"openai": openai_reply, "anthropic": anthropic_reply, "gemini": gemini_reply}[dialect]()


def ask(played: Scripted, provider: str, reply: Json, streamed: bool, **more: Any) -> Heard:
    said = events(PROVIDERS[provider], reply) if streamed else whole(reply)
    played.script = lambda _name, _body: said
    asked = {"model": f"{provider}/{MODELS[provider]}", "input": "Hi", "tools": [SQL], "stream": streamed, **more}
    return played.post("/v1/responses", asked)


def response_of(heard: Heard, streamed: bool) -> Json:
    """The response, which the official SDK reads."""
    told = heard.events[-1]["response"] if streamed else heard.json
    Response.model_validate(told)
    return told


@every_provider
@both_ways
def test_a_call_is_told_as_text(played: Scripted, provider: str, streamed: bool) -> None:
    heard = ask(played, provider, calling(PROVIDERS[provider], {"input": QUERY}), streamed)
    sent = json.dumps(played.sent[-1].body)
    assert "Runs SQL." in sent
    assert '"input"' in sent
    (item,) = response_of(heard, streamed)["output"]
    assert (item["type"], item["status"], item["name"], item["input"]) == (
        "custom_tool_call",
        "completed",
        "sql",
        QUERY,
    )
    assert "arguments" not in item
    if streamed:
        grown = [_event.validate_python(one) for one in heard.events]
        kinds = [one.type.removeprefix("response.") for one in grown]
        assert kinds[2:-1] == [
            *("output_item.added", "custom_tool_call_input.delta", "custom_tool_call_input.done"),
            "output_item.done",
        ]
        assert (grown[3].delta, grown[4].input, grown[2].item.input) == (QUERY, QUERY, "")
        assert {one.item_id for one in grown[3:5]} == {item["id"]}


@every_provider
@pytest.mark.parametrize("stored", [True, False], ids=["by its id", "by items"])
def test_the_result_goes_back_as_a_functions(played: Scripted, provider: str, stored: bool) -> None:
    dialect = PROVIDERS[provider]
    first = response_of(ask(played, provider, calling(dialect, {"input": QUERY}), False), False)
    (call,) = first["output"]
    result = {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "7 rows"}
    history: Json = {"input": [result], "previous_response_id": first["id"]}
    if not stored:
        history = {"input": [{"role": "user", "content": "Hi"}, call, result]}
    for other, kind in PROVIDERS.items():
        heard = ask(played, other, plain(kind), False, **history)
        assert heard.status == 200, heard.body
        sent = json.dumps(played.sent[-1].body, ensure_ascii=False)
        assert "7 rows" in sent
        # Chat completions have arguments as text in text.
        assert QUERY.replace('"', '\\"') in sent.replace('\\\\\\"', '\\"')
        assert heard.json["previous_response_id"] == (first["id"] if stored else None)


def test_what_is_no_such_object_is_told_as_it_was_written(played: Scripted) -> None:
    heard = ask(played, "anthropic", calling("anthropic", {"input": "a", "why": "b"}), False)
    (item,) = response_of(heard, False)["output"]
    assert json.loads(item["input"]) == {"input": "a", "why": "b"}


def test_a_call_that_was_cut_off_is_told_as_none(played: Scripted) -> None:
    played.script = lambda _name, _body: events(
        "anthropic", calling("anthropic", {"input": QUERY}), upto=b"input_json_delta", ends="cut"
    )
    asked = {"model": f"anthropic/{MODELS['anthropic']}", "input": "Hi", "tools": [SQL], "stream": True}
    heard = played.post("/v1/responses", asked)
    last = heard.events[-1]
    assert last["type"] == "response.failed"
    assert [(one["status"], one["input"]) for one in last["response"]["output"]] == [("incomplete", "")]


def test_it_can_be_demanded(played: Scripted) -> None:
    named: Json = {"type": "custom", "name": "sql"}
    for choice in (named, {"type": "allowed_tools", "mode": "required", "tools": [named]}):
        assert ask(played, "anthropic", plain("anthropic"), False, tool_choice=choice).status == 200
        assert played.sent[-1].body["tool_choice"]["type"] in ("tool", "any")
    assert ask(played, "anthropic", plain("anthropic"), False, tool_choice={"type": "custom"}).status == 400
    assert ask(played, "anthropic", plain("anthropic"), False, tools=[{"type": "custom"}]).status == 400


def test_a_grammar_is_named_and_not_forgotten(played: Scripted) -> None:
    grammar = {"type": "grammar", "syntax": "regex", "definition": "a+"}
    heard = ask(played, "anthropic", plain("anthropic"), False, tools=[{**SQL, "format": grammar}])
    assert heard.status == 400
    assert "tools[0].format" in heard.json["error"]["message"]
    free = ask(played, "anthropic", plain("anthropic"), False, tools=[{**SQL, "format": {"type": "text"}}])
    assert free.status == 200
