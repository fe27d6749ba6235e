"""What is read of a chat completion request: only the fields that the gateway reads or that can be translated.

Law: a field that is not here is no error. Ranges are those of the API reference. `Raw` fields hold JSON that only a
translation looks into; their absence is `ABSENT`, which is also how a null reads.

Fields of messages that no OpenAI model takes, but that clients of compatible servers send:
- `reasoning_content` (DeepSeek and others) and `reasoning` (vLLM, Ollama): the thoughts of an assistant message;
- `reasoning_details` (OpenRouter's): proofs of thought, here those of other providers that we gave out (`reply`);
- `cache_control` on parts and tools: Anthropic's prompt-cache marker, in the place where routers have long taken it;
- `extra_content` on tool calls: Google's thought signature (https://ai.google.dev/gemini-api/docs/openai).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from providers.chat import MOST_STOPS

NULL = b"null"
ABSENT = Raw(NULL)
#: How a tool call says that it calls a function. The field is required, and yet left out by some clients.
CALLABLE = (None, "", "function")

Penalty = Annotated[float, Meta(ge=-2, le=2)]
Bound = Annotated[int, Meta(ge=1)]


class ImageURL(Struct):
    """An image's address, or the image itself as a data URL."""

    url: str
    detail: str | None = None


class InputAudio(Struct):
    """Sound, in base64."""

    data: str
    format: str


class File(Struct):
    """A file: uploaded before, or here as a data URL."""

    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class Part(Struct):
    """A content part of any type, unknown ones included."""

    type: str
    text: str | None = None
    refusal: str | None = None
    #: A bare address is no documented form, but compatible servers take it.
    image_url: str | ImageURL | None = None
    input_audio: InputAudio | None = None
    file: File | None = None
    cache_control: dict[str, Any] | None = None
    prompt_cache_breakpoint: dict[str, Any] | None = None


class CalledFunction(Struct):
    """A function's name and its arguments as JSON text."""

    name: str
    arguments: str


class Signed(Struct):
    """What Google's server wants back with a call."""

    thought_signature: str | None = None


class ExtraContent(Struct):
    """A tool call's extension."""

    google: Signed | None = None


class Call(Struct):
    """A tool call of the assistant; calls of custom tools have no `function`."""

    id: str
    type: str | None = None
    function: CalledFunction | None = None
    extra_content: ExtraContent | None = None


class Detail(Struct):
    """A thought with its proof, or one that is hidden in its `data`."""

    type: str = ""
    text: str | None = None
    signature: str | None = None
    data: str | None = None


class Message(Struct):
    """One message of any role."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    #: Whoever wrote it: only entries of the known shape are read.
    reasoning_details: Raw = ABSENT
    function_call: Raw = ABSENT


class Function(Struct):
    """A function the model may call."""

    name: str
    description: str | None = None
    parameters: Raw = ABSENT
    strict: bool | None = None


class Tool(Struct):
    """A tool; custom ones have no `function`."""

    type: str
    function: Function | None = None
    cache_control: dict[str, Any] | None = None


class Named(Struct):
    """A function by name."""

    name: str


class NamedTool(Struct):
    """The tool that must be called; other kinds of choice have no `function`."""

    type: str
    function: Named | None = None
    allowed_tools: Raw = ABSENT


class Allowed(Struct):
    """The functions that may be called; `mode` says whether one must be."""

    mode: Literal["auto", "required"]
    tools: list[NamedTool]


class JSONSchema(Struct):
    """The schema of the answer."""

    name: str | None = None
    description: str | None = None
    schema: Raw = ABSENT
    strict: bool | None = None


class Format(Struct):
    """The shape of the answer."""

    type: str
    json_schema: JSONSchema | None = None


class StreamOptions(Struct):
    """What a stream should hold."""

    include_usage: bool | None = None


class Location(Struct):
    """Where the one is who asks."""

    approximate: dict[str, Any] | None = None


class SearchOptions(Struct):
    """That the model searches the web, and how."""

    search_context_size: str | None = None
    user_location: Location | None = None


class Request(Struct, kw_only=True):
    """The body of a chat completion."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[Message], Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: str | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: Bound | None = None
    max_completion_tokens: Bound | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    #: The API takes four, and the gateway looks for the others.
    stop: str | Annotated[list[str], Meta(max_length=MOST_STOPS)] | None = None
    seed: int | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    response_format: Format | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = None
    modalities: list[str] | None = None
    functions: Raw = ABSENT
    service_tier: str | None = None
    store: bool | None = None
    web_search_options: SearchOptions | None = None


_details = msgspec.json.Decoder(list[Detail])


def details(raw: Raw) -> list[Detail]:
    """The entries of `reasoning_details`; none when they are not of the known shape."""
    try:
        return _details.decode(raw) if bytes(raw) != NULL else []
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


request_decoder = msgspec.json.Decoder(Request)
