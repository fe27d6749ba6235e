"""The recorded wire files of this folder, the conversations that the recorded requests say, and the official SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import httpx2

from providers.chat import (
    ChatChunk,
    ChatRequest,
    Conversation,
    Document,
    Effort,
    Image,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
)
from providers.dialect import Profile, Target
from providers.dialects.anthropic import ANTHROPIC
from providers.sse import Parser

WIRE = Path(__file__).parent / "wire"
MODEL = "claude-sonnet-5"
TARGET = Target("anthropic", MODEL, Profile())
#: The recorded requests of what newer models refuse.
_OLDER = {"sampling": "anthropic.claude-sonnet-4-20250514-v1:0", "budget": "claude-sonnet-4-6"}
#: Parameters of API version 2023-06-01 that 2026-10-21, and with it this SDK, removed.
UNDECLARED = ("temperature", "top_p", "top_k")

_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
_PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
_EPHEMERAL = {"type": "ephemeral"}


def _user(*parts: Any) -> Turn:
    return Turn("user", list(parts))


CONVERSATIONS: dict[str, Conversation] = {
    "text": Conversation([_user(Text("Hello, Claude"))], max_tokens=256),
    "conversation": Conversation(
        [
            Turn("system", [Text("You are terse.", {"type": "ephemeral", "ttl": "1h"})]),
            Turn("system", [Text("Answer in English.")]),
            _user(Text("Hi")),
            Turn("assistant", [Text("Hello.")]),
            Turn("system", [Text("Be cheerful from now on.")]),
            _user(Text("How are you?")),
        ],
        max_tokens=256,
        stop=["END", "STOP"],
        user="user-7",
        service_tier="default",
    ),
    "sampling": Conversation([_user(Text("Hello, Claude"))], max_tokens=256, temperature=0.5, top_p=0.9, top_k=40),
    "tools": Conversation(
        [
            _user(Text("Weather in Paris and Rome?")),
            Turn(
                "assistant",
                [
                    Text("I will look."),
                    ToolCall("toolu_01", "get_weather", '{"city":"Paris"}'),
                    ToolCall("toolu_02", "get_weather", '{"city":"Rome"}'),
                ],
            ),
            _user(ToolResult("toolu_01", [Text("18.0 °C"), Image(data="iVBORw0KGgo=", media_type="image/png")])),
            _user(ToolResult("toolu_02", [Text("no such station")], is_error=True)),
            _user(Text("And tomorrow?")),
        ],
        tools=[
            Tool("get_weather", "The weather of a city.", _SCHEMA, strict=True, cache_control=_EPHEMERAL),
            Tool("now"),
        ],
        tool_choice=ToolChoice("required"),
        parallel_tool_calls=False,
        max_tokens=512,
    ),
    "named_tool": Conversation(
        [_user(Text("Go"))],
        tools=[Tool("get_weather", "The weather of a city.", _SCHEMA, strict=True)],
        tool_choice=ToolChoice("named", "get_weather"),
        max_tokens=64,
    ),
    "images": Conversation(
        [
            _user(
                Text("What is this?"),
                Image(url="https://example.com/cat.png", detail="high"),
                Image(data="/9j/4AAQ", media_type="image/jpeg", cache_control=_EPHEMERAL),
                Document(data="JVBERi0=", media_type="application/pdf", filename="report.pdf"),
                Document(url="https://example.com/a.pdf"),
                Document(data="cGxhaW4gd29yZHM=", media_type="text/plain", filename="notes.txt"),
            )
        ],
        max_tokens=64,
    ),
    "json_schema": Conversation(
        [_user(Text("Ann, 7"))],
        max_tokens=64,
        response_format=ResponseFormat("json_schema", name="person", schema=_PERSON, strict=True),
    ),
    "effort": Conversation([_user(Text("Prove it."))], max_tokens=4096, effort=Effort("high", show=True)),
    "budget": Conversation([_user(Text("Prove it."))], max_tokens=4096, effort=Effort(budget=2048, show=False)),
    "no_thinking": Conversation([_user(Text("Quick."))], max_tokens=4096, effort=Effort(enabled=False)),
}


def target(case: str) -> Target:
    """The model that a recorded request was made to."""
    return Target("anthropic", _OLDER.get(case, MODEL), Profile())


def recorded(name: str) -> bytes:
    """A recorded file, as bytes."""
    return (WIRE / name).read_bytes()


def names(pattern: str) -> list[str]:
    """The recorded files that match, by name."""
    return sorted(path.name for path in WIRE.glob(pattern))


def foreign(said: Conversation, *, stream: bool = False, dialect: str = "openai") -> ChatRequest:
    """The conversation as a request in another dialect."""
    return ChatRequest(dialect, b"{}", "auto", lambda: said, stream=stream)


def sent(said: Conversation, target: Target = TARGET, *, drop: bool = False) -> dict[str, Any]:
    """The body that goes to Anthropic for it."""
    return json.loads(ANTHROPIC.encode(foreign(said), target, drop=drop).body)


def chunks(stream: bytes) -> list[ChatChunk]:
    """The chunks of a whole stream."""
    decoder = ANTHROPIC.stream_decoder()
    return [chunk for event in Parser().feed(stream) for chunk in decoder.feed(event)]


def sdk(answer: bytes, *, stream: bool = False, status: int = 200, seen: list[httpx2.Request] | None = None) -> Any:
    """The official SDK in front of a provider that always gives this answer, and keeps what it was asked in `seen`."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        kind = "text/event-stream" if stream else "application/json"
        return httpx2.Response(status, headers={"content-type": kind}, content=answer)

    client = httpx2.Client(transport=httpx2.MockTransport(handler))
    return anthropic.Anthropic(api_key="test-key", http_client=client, max_retries=0)
