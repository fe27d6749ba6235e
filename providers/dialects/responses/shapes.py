"""What is read of a Responses request and its items: only the fields that can be translated, or that are kept.

Law: a field that is not here is no error; `leftover` names it. An item is read by its `type`; one without a type is a
message, as the API has it.

Besides the API's own, `extra_content` on function calls: Google's thought signature, in the place it has in chat
completions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from providers.dialects.openai.shapes import ABSENT, ExtraContent, InputAudio

Json = dict[str, Any]


class Part(Struct):
    """A part of a message or of a tool's output, of any type."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    filename: str | None = None
    input_audio: InputAudio | None = None
    prompt_cache_breakpoint: Json | None = None


class Message(Struct):
    """What somebody said."""

    role: Literal["user", "assistant", "system", "developer"]
    content: str | list[Part]


class FunctionCall(Struct):
    """A call the model asked for; `arguments` is JSON text."""

    call_id: str
    name: str
    arguments: str
    extra_content: ExtraContent | None = None


class CustomCall(Struct):
    """A call of a tool that takes free text."""

    call_id: str
    name: str
    input: str
    extra_content: ExtraContent | None = None


class FunctionOutput(Struct):
    """What the caller's tool answered."""

    call_id: str
    output: str | list[Part]


class Words(Struct):
    """A piece of reasoning."""

    text: str = ""


class Thought(Struct):
    """What the model thought: in words, and sealed."""

    summary: list[Words] = []
    content: list[Words] | None = None
    encrypted_content: str | None = None


class Picture(Struct):
    """What the model drew: base64; `output_format` is `png`, `jpeg` …."""

    result: str | None = None
    output_format: str | None = None


class Reference(Struct):
    """An item of an earlier response, by its id."""

    id: str


class Kind(Struct):
    """What an item is."""

    type: str | None = None
    id: str | None = None


Item = Message | FunctionCall | FunctionOutput | Thought | Picture | Reference


#: The search of the web, by all its names.
SEARCHES = ("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11")


class Filters(Struct):
    """Which sites are searched."""

    allowed_domains: list[str] | None = None


class Tool(Struct):
    """A function the model may call, a tool that takes free text, or a built-in one."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: Raw = ABSENT
    strict: bool | None = None
    search_context_size: str | None = None
    user_location: dict[str, Any] | None = None
    filters: Filters | None = None


class Choice(Struct):
    """The tool that must be called; or with `allowed_tools` those that may be, and by `mode` whether one must."""

    type: str
    name: str | None = None
    mode: Literal["auto", "required"] = "auto"
    tools: list[Tool] = []


class Format(Struct):
    """The shape of the answer."""

    type: str
    name: str | None = None
    description: str | None = None
    schema: Raw = ABSENT
    strict: bool | None = None


class TextOptions(Struct):
    """How the text of the answer should be."""

    format: Format | None = None


class ReasoningOptions(Struct):
    """How long to think, and whether to say what."""

    effort: str | None = None
    summary: str | None = None
    #: The earlier name of `summary`.
    generate_summary: str | None = None


class Request(Struct, kw_only=True):
    """The body of `POST /v1/responses`."""

    model: Annotated[str, Meta(min_length=1)]
    input: str | list[Raw] | None = None
    instructions: str | None = None
    tools: list[Tool] | None = None
    tool_choice: str | Choice | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Json | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    store: bool | None = None
    stream: bool | None = None
    previous_response_id: str | None = None
    prompt: Raw = ABSENT
    include: list[str] | None = None


request_decoder = msgspec.json.Decoder(Request)
kind_decoder = msgspec.json.Decoder(Kind)
ITEMS: dict[str, msgspec.json.Decoder[Any]] = {
    "message": msgspec.json.Decoder(Message),
    "function_call": msgspec.json.Decoder(FunctionCall),
    "function_call_output": msgspec.json.Decoder(FunctionOutput),
    "custom_tool_call": msgspec.json.Decoder(CustomCall),
    "custom_tool_call_output": msgspec.json.Decoder(FunctionOutput),
    "reasoning": msgspec.json.Decoder(Thought),
    "image_generation_call": msgspec.json.Decoder(Picture),
    "item_reference": msgspec.json.Decoder(Reference),
}
