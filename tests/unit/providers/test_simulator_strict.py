"""What one real API refuses and another takes, the simulator refuses, too; and what we translate, it takes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from providers.dialect import Dialect, Profile, Target
from providers.dialects import ANTHROPIC, OPENAI
from providers.dialects.gemini import parse_call
from providers.fitting import fitted
from providers.simulator import anthropic_ask, gemini_ask, openai_ask
from providers.simulator.wire import Complaint, Operation
from providers.simulator.writing import Ask

LONG = "c" * 60
TOOL = "files.read"
Json = dict[str, Any]


def read(dialect: str, body: bytes) -> Ask:
    match dialect:
        case "openai":
            return openai_ask.chat(body, strict=True)
        case "anthropic":
            return anthropic_ask.messages(body, {b"anthropic-version": b"2023-06-01"}, count=False)
        case _:
            return gemini_ask.generate(body, Operation("chat", "m"))


def claude(*blocks: Json, tools: list[Json] | None = None) -> Json:
    said = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": list(blocks)}]}
    return said | ({"tools": tools} if tools else {})


@pytest.mark.parametrize(
    ("dialect", "body", "said"),
    [
        ("anthropic", claude({"type": "text", "text": " \n"}), "non-whitespace"),
        (
            "anthropic",
            claude({"type": "text", "text": "x"}, tools=[{"name": TOOL, "input_schema": {}}]),
            "tools.0.name",
        ),
        (
            "gemini",
            {"contents": [{"parts": [{"text": "x"}]}], "tools": [{"functionDeclarations": [{"name": "2nd"}]}]},
            "name",
        ),
        (
            "openai",
            {
                "model": "m",
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": LONG, "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                    },
                    {"role": "tool", "tool_call_id": LONG, "content": "x"},
                ],
            },
            "length <= 40",
        ),
    ],
)
def test_what_the_real_one_refuses_is_refused(dialect: str, body: Json, said: str) -> None:
    with pytest.raises(Complaint) as caught:
        read(dialect, json.dumps(body).encode())
    assert caught.value.reply.status == 400
    assert said in caught.value.reply.body.decode()


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
def test_what_came_from_another_is_taken(dialect: Dialect) -> None:
    call = {"functionCall": {"id": LONG, "name": TOOL, "args": {}}}
    answer = {"functionResponse": {"id": LONG, "name": TOOL, "response": {"output": " "}}}
    asked = {
        "contents": [
            {"role": "user", "parts": [{"text": "x"}, {"text": "\n"}]},
            {"role": "model", "parts": [{"text": "\n\n"}, call]},
            {"role": "user", "parts": [answer]},
        ],
        "tools": [{"functionDeclarations": [{"name": TOOL}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [TOOL]}},
    }
    request = parse_call(json.dumps(asked).encode(), "m", stream=False)
    sent = fitted(request, dialect, Target("p", "m", Profile()), drop=False)
    ask = read(dialect.name, sent.body)
    assert [sent.names[tool.name] for tool in ask.tools] == [TOOL]
