"""The recorded wire files of this folder, the conversations that the recorded requests say, and the official SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
from google import genai
from google.genai import types

from providers.chat import (
    Audio,
    ChatChunk,
    ChatRequest,
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
    Turn,
)
from providers.dialect import Call, Profile, Target
from providers.dialects.gemini import GEMINI
from providers.sse import Parser

WIRE = Path(__file__).parent / "wire"
MODEL = "gemini-3-flash"
TARGET = Target("gemini", MODEL, Profile())
PNG = "iVBORw0KGgoAAAANSUhEUg=="

_WEATHER = {
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
_TOOLS = [Tool("get_weather", "The weather now", _WEATHER), Tool("get_time")]
_MARKER = {"type": "ephemeral"}


def user(*parts: Any) -> Turn:
    return Turn("user", list(parts))


def model(*parts: Any) -> Turn:
    return Turn("assistant", list(parts))


CONVERSATIONS: dict[str, Conversation] = {
    "text": Conversation([user(Text("Hello, Gemini"))], max_tokens=256),
    "conversation": Conversation(
        [
            Turn("system", [Text("You are terse.", _MARKER)]),
            user(Text("Hello"), Text("")),
            user(Text("there")),
            model(Reasoning("They greet me.", "signed by another"), Text("Hi. How can I help?")),
            model(Text("")),
            user(Text("Tell me a joke.")),
            Turn("system", [Text("Answer in English.")]),
        ],
        parallel_tool_calls=True,
        tool_choice=ToolChoice("none"),
        service_tier="auto",
    ),
    "tools": Conversation(
        [
            user(Text("Weather in Paris and Rome, and the time?")),
            model(
                Text("I will look."),
                ToolCall("call_1", "get_weather", '{"city": "Paris"}', "c2lnbmVkMQ=="),
                ToolCall("call_2", "get_weather", '{"city": "Rome"}'),
                ToolCall("call_3", "get_time", ""),
            ),
            user(
                Text("Go on."),
                ToolResult("call_1", [Text("Sunny, 21.50 °C"), Image(data=PNG, media_type="image/png")]),
                ToolResult("call_2", [Text("No such station")], is_error=True),
                ToolResult("call_3", [Text("12:00"), Text("UTC")]),
            ),
        ],
        tools=_TOOLS,
        tool_choice=ToolChoice("auto"),
    ),
    "foreign_call": Conversation(
        [
            user(Text("Weather?")),
            model(ToolCall("toolu_1", "get_weather", '{"city": "Paris"}')),
            user(ToolResult("toolu_1", [Text("Rain")], "get_weather")),
        ],
        tools=_TOOLS,
    ),
    "named_tool": Conversation(
        [user(Text("Weather in Paris"))], tools=_TOOLS, tool_choice=ToolChoice("named", "get_weather")
    ),
    "required_tool": Conversation([user(Text("Weather in Paris"))], tools=_TOOLS, tool_choice=ToolChoice("required")),
    "no_tool": Conversation([user(Text("Weather in Paris"))], tools=_TOOLS, tool_choice=ToolChoice("none")),
    "strict_tool": Conversation(
        [user(Text("Weather in Paris"))], tools=[Tool("get_weather", parameters=_WEATHER, strict=True)]
    ),
    "media": Conversation(
        [
            user(
                Text("What is this?"),
                Image(data=PNG, media_type="image/png", detail="auto"),
                Image(url="https://example.com/a/cat.JPG?size=1"),
                Image(url="https://example.com/picture"),
                Audio("UklGRiQAAABXQVZF", "wav"),
                Document(data="JVBERi0xLjQK", filename="paper.pdf"),
                Document(url="https://example.com/paper.pdf", filename="other.pdf"),
            )
        ]
    ),
    "detail": Conversation([user(Image(data=PNG, media_type="image/png", detail="low"))]),
    "json_object": Conversation(
        [user(Text("A person as JSON"))], response_format=ResponseFormat("json_object", any_json=True)
    ),
    "json_schema": Conversation(
        [user(Text("Ada, 36"))],
        response_format=ResponseFormat("json_schema", "person", "A person", _PERSON, strict=True),
    ),
    "sampling": Conversation(
        [user(Text("Hi"))],
        max_tokens=64,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=["END", "STOP"],
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=-0.2,
        n=2,
        logprobs=True,
        top_logprobs=3,
        metadata={"team": "search"},
        service_tier="flex",
        response_format=ResponseFormat("text"),
    ),
    "effort": Conversation([user(Text("Think"))], effort=Effort("high", show=True)),
    "budget": Conversation([user(Text("Think"))], effort=Effort(budget=2048)),
    "no_thinking": Conversation([user(Text("Do not think"))], effort=Effort("none", show=True)),
}


def names(pattern: str) -> list[str]:
    return sorted(path.name for path in WIRE.glob(pattern))


def recorded(name: str) -> bytes:
    return (WIRE / name).read_bytes()


def foreign(said: Conversation, *, stream: bool = False) -> ChatRequest:
    return ChatRequest("openai", b"{}", "m", lambda: said, stream=stream)


def call(said: Conversation, *, upstream: str = MODEL, drop: bool = False) -> Call:
    return GEMINI.encode(foreign(said), Target("gemini", upstream, Profile()), drop=drop)


def sent(said: Conversation, **how: Any) -> dict[str, Any]:
    return json.loads(call(said, **how).body)


def chunks(data: bytes) -> list[ChatChunk]:
    decoder = GEMINI.stream_decoder()
    found = [chunk for event in Parser().feed(data) for chunk in decoder.feed(event)]
    assert decoder.complete
    return found


def sdk(body: bytes, *, seen: list[httpx2.Request] | None = None, status: int = 200) -> genai.Client:
    """The official SDK on a server that answers everything with `body`."""
    kind = "text/event-stream" if body.startswith(b"data:") else "application/json"

    def answer(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        return httpx2.Response(status, content=body, headers={"content-type": kind})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    options = types.HttpOptions(httpx_client=http, api_version="v1beta")
    return genai.Client(api_key="test-key", http_options=options)


def config_of(body: dict[str, Any]) -> types.GenerateContentConfig:
    """The SDK's configuration that asks for what a body says."""
    fields = {name: value for name, value in body.items() if name not in ("contents", "generationConfig")}
    return types.GenerateContentConfig.model_validate(
        {**fields, **body.get("generationConfig", {}), "automaticFunctionCalling": {"disable": True}}
    )
