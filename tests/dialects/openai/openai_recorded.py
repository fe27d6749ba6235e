"""The recorded wire files of this folder, the conversations that the recorded requests say, and the official SDK."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import openai

from providers.chat import (
    Audio,
    ChatChunk,
    ChatRequest,
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
from providers.dialect import Profile, Target
from providers.dialects.openai import OPENAI
from providers.sse import Event, Parser

WIRE = Path(__file__).parent / "wire"
MODEL = "gpt-5.2"
TARGET = Target("openai", MODEL, Profile())

SCHEMA = {
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
_WEATHER = Tool("get_weather", "The weather of a city.", SCHEMA, strict=True, cache_control=_EPHEMERAL)


def user(*parts: Any) -> Turn:
    """A user turn."""
    return Turn("user", list(parts))


CONVERSATIONS: dict[str, Conversation] = {
    "text": Conversation([user(Text("Hello"))], max_tokens=256),
    "conversation": Conversation(
        [
            Turn("system", [Text("You are terse.", _EPHEMERAL), Text("Answer in English.")]),
            Turn("user", [Text("Hi")], "ann"),
            Turn("assistant", [Reasoning("A greeting.", "c2ln"), Text("Hello.")]),
            Turn("system", [Text("Be cheerful from now on.")]),
            user(Text("How are you?")),
        ],
        max_tokens=256,
        temperature=0.5,
        top_p=0.9,
        stop=["END", "STOP"],
        seed=7,
        frequency_penalty=0.5,
        presence_penalty=-0.5,
        n=2,
        logprobs=True,
        top_logprobs=2,
        user="user-7",
        metadata={"team": "blue"},
        service_tier="flex",
    ),
    "tools": Conversation(
        [
            user(Text("Weather in Paris and Rome?")),
            Turn(
                "assistant",
                [
                    Text("I will look."),
                    ToolCall("call_1", "get_weather", '{"city":"Paris"}', "c2ln"),
                    ToolCall("call_2", "get_weather", '{"city":"Rome"}'),
                ],
            ),
            user(
                ToolResult("call_1", [Text("18.0 °C"), Image(data="iVBORw0KGgo=", media_type="image/png")]),
                ToolResult("call_2", [Text("no such station")], is_error=True),
                Text("And tomorrow?"),
            ),
        ],
        tools=[_WEATHER, Tool("now")],
        tool_choice=ToolChoice("required"),
        parallel_tool_calls=False,
    ),
    "named_tool": Conversation([user(Text("Go"))], tools=[_WEATHER], tool_choice=ToolChoice("named", "get_weather")),
    "media": Conversation(
        [
            user(
                Text("What is this?"),
                Image(url="https://example.com/cat.png", detail="high"),
                Image(data="/9j/4AAQ", media_type="image/jpeg", cache_control=_EPHEMERAL),
                Audio("UklGRg==", "wav"),
                Document(data="JVBERi0=", media_type="application/pdf", filename="report.pdf"),
                Document(data="JVBERi0=", media_type="application/pdf"),
                Document(file_id="file-abc"),
            )
        ]
    ),
    "json_mode": Conversation([user(Text("JSON, please: Ann, 7"))], response_format=ResponseFormat("json_object")),
    "json_schema": Conversation(
        [user(Text("Ann, 7"))],
        response_format=ResponseFormat("json_schema", "person", "A person.", _PERSON, strict=True),
    ),
    "effort": Conversation([user(Text("Prove it."))], effort=Effort("high")),
    "no_thinking": Conversation([user(Text("Quick."))], effort=Effort(enabled=False)),
    "refused": Conversation(
        [
            user(Text("A poison?")),
            Turn("assistant", [RefusalText("I can't help with that.")]),
            user(Text("Why?")),
        ]
    ),
}


def recorded(name: str) -> bytes:
    """A recorded file, as bytes."""
    return (WIRE / name).read_bytes()


def names(pattern: str) -> list[str]:
    """The recorded files that match, by name."""
    return sorted(path.name for path in WIRE.glob(pattern))


def foreign(said: Conversation, *, stream: bool = False, include_usage: bool = True) -> ChatRequest:
    """The conversation as a request in another dialect."""
    return ChatRequest("anthropic", b"{}", "auto", lambda: said, stream=stream, include_usage=include_usage)


def sent(said: Conversation, target: Target = TARGET, *, drop: bool = False, stream: bool = False) -> dict[str, Any]:
    """The body that goes to the provider for it."""
    return json.loads(OPENAI.encode(foreign(said, stream=stream), target, drop=drop).body)


def events(stream: bytes) -> list[Event]:
    """The events of a whole stream."""
    return Parser().feed(stream)


def chunks(stream: bytes) -> list[ChatChunk]:
    """The chunks of a whole stream."""
    decoder = OPENAI.stream_decoder()
    return [chunk for event in events(stream) for chunk in decoder.feed(event)]


def reencoded(stream: bytes, *, include_usage: bool = True) -> bytes:
    """The stream decoded and written again for a caller."""
    request = foreign(CONVERSATIONS["text"], stream=True, include_usage=include_usage)
    encoder = OPENAI.stream_encoder(request)
    return b"".join(encoder.encode(chunk) for chunk in chunks(stream)) + encoder.end()


def sdk(answer: bytes, *, stream: bool = False, status: int = 200, seen: list[httpx2.Request] | None = None) -> Any:
    """The official SDK in front of a provider that always gives this answer, and keeps what it was asked in `seen`."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        if seen is not None:
            seen.append(request)
        kind = "text/event-stream" if stream else "application/json"
        return httpx2.Response(status, headers={"content-type": kind}, content=answer)

    client = httpx2.Client(transport=httpx2.MockTransport(handler))
    return openai.OpenAI(api_key="test-key", base_url="https://api.example/v1", http_client=client, max_retries=0)
