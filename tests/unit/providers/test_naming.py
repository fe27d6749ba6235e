"""Functions whose names a provider refuses are called by others there, and by their own at home."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.calls import Chat
from providers.chat import Begin, ChatChunk, ChatRequest, TextDelta, ToolCallDelta
from providers.dialect import Call, Dialect, Profile, Target
from providers.dialects import ANTHROPIC, GEMINI, OPENAI
from providers.dialects.gemini import parse_call
from providers.fitting import fitted
from providers.naming import GivenBack, plain, plainly
from providers.sse import Event

_TAKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
ODD = "files.read/all:1"


@given(name=st.text(min_size=1, max_size=200))
def test_what_stands_for_a_name_is_taken_by_everybody(name: str) -> None:
    assert _TAKEN.fullmatch(plain(name))


@given(names=st.sets(st.text(alphabet="a.:/", min_size=60, max_size=80), min_size=2))
def test_different_names_stay_different(names: set[str]) -> None:
    assert len({plain(name) for name in names}) == len(names)


def from_google(**more: Any) -> ChatRequest:
    declared = [{"name": ODD, "description": "d"}, {"name": "plain"}]
    call = {"functionCall": {"id": "c", "name": ODD, "args": {}}}
    answer = {"functionResponse": {"id": "c", "name": ODD, "response": {"output": "x"}}}
    contents = [
        {"role": "user", "parts": [{"text": "Hi"}]},
        {"role": "model", "parts": [call]},
        {"role": "user", "parts": [answer]},
    ]
    body = {"contents": contents, "tools": [{"functionDeclarations": declared}], **more}
    return parse_call(json.dumps(body).encode(), "m", stream=False)


def fit(request: ChatRequest, dialect: Dialect) -> Call:
    return fitted(request, dialect, Target("p", "m", Profile()), drop=False)


def chosen(mode: str, *names: str) -> dict[str, Any]:
    return {"toolConfig": {"functionCallingConfig": {"mode": mode, "allowedFunctionNames": names}}}


def test_every_place_of_a_name_is_changed_alike() -> None:
    told = plain(ODD)
    call = fit(from_google(**chosen("ANY", ODD)), OPENAI)
    body = json.loads(call.body)
    assert [tool["function"]["name"] for tool in body["tools"]] == [told, "plain"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": told}}
    assert body["messages"][1]["tool_calls"][0]["function"]["name"] == told
    assert ODD not in call.body.decode()
    assert call.names == {told: ODD}
    some = json.loads(fit(from_google(**chosen("VALIDATED", ODD)), OPENAI).body)["tool_choice"]["allowed_tools"]
    assert [tool["function"]["name"] for tool in some["tools"]] == [told]
    assert ODD not in fit(from_google(), ANTHROPIC).body.decode()


def test_the_results_of_a_function_are_its_own() -> None:
    asked = {
        "model": "m",
        "tools": [{"type": "function", "function": {"name": "2nd"}}],
        "messages": [
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "2nd", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "x"},
        ],
    }
    body = json.loads(fit(OPENAI.parse(json.dumps(asked).encode()), GEMINI).body)
    names = [part.get("functionCall", part.get("functionResponse", {})).get("name") for part in _parts(body)]
    assert names == [None, plain("2nd"), plain("2nd")]


def _parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for content in body["contents"] for part in content["parts"]]


def test_the_request_itself_stays_as_it_was() -> None:
    request = from_google()
    before = request.conversation()
    _, names = plainly(request, "openai")
    assert names
    assert request.conversation() is before
    assert [tool.name for tool in before.tools] == [ODD, "plain"]


@pytest.mark.parametrize("dialect", [GEMINI, OPENAI])
def test_names_that_are_taken_and_own_requests_keep_their_words(dialect: Dialect) -> None:
    request = from_google()
    if dialect is GEMINI:
        call = fit(request, GEMINI)
        assert call.body == request.body
    else:
        plainly_named = [{"functionDeclarations": [{"name": "plain"}]}]
        request = from_google(tools=plainly_named, contents=[{"parts": [{"text": "x"}]}])
        call = fit(request, OPENAI)
        assert json.loads(call.body)["tools"][0]["function"]["name"] == "plain"
    assert call.names == {}


def test_every_one_of_several_calls_gives_the_names_back() -> None:
    call = fit(from_google(generationConfig={"candidateCount": 2}), ANTHROPIC)
    assert [one.names for one in (call, *call.more)] == [{plain(ODD): ODD}] * 2


def test_an_answer_calls_functions_by_the_callers_names() -> None:
    request = from_google()
    call = fit(request, OPENAI)
    called = [{"id": name, "function": {"name": name, "arguments": "{}"}} for name in (plain(ODD), "plain")]
    body = json.dumps({"choices": [{"message": {"tool_calls": called}, "finish_reason": "tool_calls"}]}).encode()
    reply = Chat(request=request, form=GEMINI, drop=False).decoded(OPENAI, call, body)
    assert [part.name for part in reply.choices[0].parts] == [ODD, "plain"]  # pyright: ignore[reportAttributeAccessIssue]


class _Decoder:
    complete = opaque = False

    def __init__(self, *chunks: ChatChunk) -> None:
        self._chunks = list(chunks)

    def feed(self, event: Event) -> list[ChatChunk]:
        return self._chunks

    def usage_only(self, event: Event) -> bool:
        return False


def test_a_stream_calls_functions_by_the_callers_names() -> None:
    calls = [ToolCallDelta(0, name="f_1"), ToolCallDelta(0, "{}"), ToolCallDelta(1, name="g")]
    told = GivenBack(_Decoder(Begin("i", "m"), *calls, TextDelta("f_1")), {"f_1": "1"}).feed(Event("", b"", b""))
    assert [chunk.name for chunk in told if isinstance(chunk, ToolCallDelta)] == ["1", None, "g"]
    assert told[-1] == TextDelta("f_1")
