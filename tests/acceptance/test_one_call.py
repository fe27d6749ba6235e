"""One tool call at a time from a server that does not hear of it, for callers of every format."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.scripted import MODELS, Heard, Json, Scripted, events, whole
from tests.fidelity.reading import assembled
from tests.fidelity.wire import openai_reply

MODEL = f"ollama/{MODELS['ollama']}"
PARAMETERS: Json = {"type": "object", "properties": {"city": {"type": "string"}}}
BOTH = openai_reply(
    {
        "content": None,
        "tool_calls": [
            {"id": name, "type": "function", "function": {"name": "weather", "arguments": f'{{"city":"{city}"}}'}}
            for name, city in (("call_1", "Paris"), ("call_2", "Rome"))
        ],
    },
    finish="tool_calls",
)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


def ask(played: Scripted, ingress: str, streamed: bool, *, parallel: bool) -> Heard:
    played.script = lambda _name, _body: events("openai", BOTH) if streamed else whole(BOTH)
    asked: list[Json] = [{"role": "user", "content": "Hi"}]
    stream: Json = {"stream": True} if streamed else {}
    match ingress:
        case "anthropic":
            choice = {"type": "auto", "disable_parallel_tool_use": not parallel}
            tools: list[Json] = [{"name": "weather", "input_schema": PARAMETERS}]
            body: Json = {"max_tokens": 99, "messages": asked, "tools": tools, "tool_choice": choice}
            return played.post("/v1/messages", {"model": MODEL, **body, **stream})
        case "responses":
            tools = [{"type": "function", "name": "weather", "parameters": PARAMETERS}]
            body = {"model": MODEL, "input": "Hi", "tools": tools, "parallel_tool_calls": parallel, **stream}
            return played.post("/v1/responses", body)
        case _:
            path = {"openai": "/v1/chat/completions", "orchestrate": "/api/llm/orchestrate"}[ingress]
            tools = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
            body = {"model": MODEL, "messages": asked, "tools": tools, "parallel_tool_calls": parallel, **stream}
            return played.post(path, body)


@pytest.mark.parametrize("ingress", ["openai", "anthropic", "responses", "orchestrate"])
@both_ways
def test_of_several_calls_the_first_is_told(played: Scripted, ingress: str, streamed: bool) -> None:
    heard = ask(played, ingress, streamed, parallel=False)
    assert heard.status == 200, heard.body
    assert b"call_1" in heard.body
    assert b"Paris" in heard.body
    assert b"call_2" not in heard.body
    assert b"Rome" not in heard.body
    both = ask(played, ingress, streamed, parallel=True)
    assert b"call_2" in both.body, "they are told to whoever did not mind"


@both_ways
def test_a_caller_of_the_same_format_gets_a_whole_answer_of_it(played: Scripted, streamed: bool) -> None:
    heard = ask(played, "openai", streamed, parallel=False)
    answer: Any = assembled("openai", heard.body) if streamed else heard.json
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": '{"city":"Paris"}'}
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    # What was said is billed, told or not.
    assert played.record(heard)["output_tokens"] == BOTH["usage"]["completion_tokens"]
