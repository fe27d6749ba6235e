"""A caller's `/v1/messages` body → `Conversation`, made only when another dialect must be spoken.

Law: every field ends up in the conversation or, under its path, in `Conversation.extra`. Left out without a word are
fields at their empty value and the top-level `cache_control`, a hint that changes what an answer costs and never what
it says.

Equivalents that are not letter for letter:
- `service_tier: standard_only` is OpenAI's `default` (standard capacity at the standard price); `auto` is `auto`;
- `stop_sequences` is `stop`, `metadata.user_id` is `user`;
- `output_config.format` always binds, which is `strict`;
- `thinking: {"type": "between_tools"}` has no equivalent and stays aside.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Raw, Struct

from providers.chat import Conversation, Effort, Json, ResponseFormat, Tool, ToolChoice, Turn
from providers.dialect import InvalidRequest
from providers.dialects import wire
from providers.dialects.anthropic.blocks import Left, Reader, decode, leftover
from providers.searching import PLACE, WebSearch, place


class _Message(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Raw]


class _Tool(Struct):
    name: str
    input_schema: Json
    type: Literal["custom"] | None = None
    description: str | None = None
    strict: bool | None = None
    cache_control: Json | None = None
    #: How finely a call's input streams, which no answer differs by: others stream as they do. Clients set it unasked.
    eager_input_streaming: bool | None = None


class _Search(Struct):
    type: str
    name: str | None = None
    max_uses: int | None = None
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None
    user_location: dict[str, str | None] | None = None
    cache_control: Json | None = None


class _Choice(Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(Struct):
    type: str
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class _Format(Struct):
    type: Literal["json_schema"]
    schema: Json


class _OutputConfig(Struct):
    effort: str | None = None
    format: _Format | None = None


class _Metadata(Struct):
    user_id: str | None = None


class _Request(Struct):
    model: str
    messages: list[_Message]
    max_tokens: int
    system: str | list[Raw] | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None
    tools: list[Raw] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    metadata: _Metadata | None = None
    service_tier: str | None = None
    cache_control: Json | None = None


_decoder = msgspec.json.Decoder(_Request)
_search = msgspec.json.Decoder(_Search)
_tool = msgspec.json.Decoder(_Tool)
_fields = msgspec.json.Decoder(dict[str, Raw])
#: The versions of the search whose further fields, if any, are refused by name.
_SEARCHES = ("web_search_20250305", "web_search_20260209", "web_search_20260318")
_PARTS = {"location": "user_location", "allowed": "allowed_domains", "blocked": "blocked_domains", "uses": "max_uses"}
_MODES: dict[str, Literal["auto", "none", "required", "named"]] = {
    "auto": "auto",
    "none": "none",
    "any": "required",
    "tool": "named",
}
#: What others call differently.
WORDS = {
    "stop": "stop_sequences",
    "user": "metadata.user_id",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "response_format": "output_config.format",
    "response_format.json_schema": "output_config.format",
    "reasoning_effort": "output_config.effort",
    "effort.enabled": "thinking.type",
    "effort.budget": "thinking.budget_tokens",
    "effort.show": "thinking.display",
    "messages.role.system.content": "system",
    "messages.content.image_url": "messages.content.source",
    "messages.content.file": "messages.content.source",
    "messages.tool_calls.arguments": "messages.content.input",
}
_TIERS = {"auto": "auto", "standard_only": "default"}


def unfold(body: bytes) -> Conversation:
    """Everything the body says. Raises `InvalidRequest` for what `parse` did not look at."""
    try:
        body.decode()  # fields kept as bytes below would carry broken UTF-8 along
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"The request body is not valid UTF-8: {exc}.", code="invalid_json") from exc
    request = wire.read_request(_decoder, body)
    left: Left = {}
    fields = wire.fields(body)
    leftover(fields, request.__struct_fields__, "", left)
    choice = request.tool_choice
    config = request.output_config
    for name, value in (("output_config", config), ("metadata", request.metadata), ("tool_choice", choice)):
        if value is not None:
            leftover(decode(_fields, fields[name], name), value.__struct_fields__, name, left)
    if request.service_tier and request.service_tier not in _TIERS:
        left["service_tier"] = fields["service_tier"]
    tools, search = _tools(request.tools or [], left)
    return Conversation(
        turns=_turns(request, left),
        tools=tools,
        search=search,
        tool_choice=ToolChoice(_MODES[choice.type], choice.name) if choice else None,
        parallel_tool_calls=False if choice and choice.disable_parallel_tool_use else None,
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        stop=request.stop_sequences or [],
        response_format=_format(config),
        effort=_effort(request, fields, left),
        user=request.metadata.user_id if request.metadata else None,
        service_tier=_TIERS.get(request.service_tier or ""),
        extra=left,
    )


def _turns(request: _Request, left: Left) -> list[Turn]:
    reader = Reader(left)
    turns: list[Turn] = []
    if request.system:
        turns.append(Turn("system", reader.parts(request.system, "system")))
    for number, message in enumerate(request.messages):
        turns.append(Turn(message.role, reader.parts(message.content, f"messages[{number}].content")))
    return turns


def _tools(raws: list[Raw], left: Left) -> tuple[list[Tool], WebSearch | None]:
    tools: list[Tool] = []
    search: WebSearch | None = None
    for number, raw in enumerate(raws):
        path = f"tools[{number}]"
        fields = decode(_fields, raw, path)
        kind = bytes(fields.get("type", b"null")).decode().strip('"')
        if kind in _SEARCHES and search is None:
            search = _searched(raw, fields, path, left)
            continue
        if kind not in ("null", "custom"):
            left[f"{path} ({kind})"] = raw
            continue
        tool = decode(_tool, raw, path)
        leftover(fields, tool.__struct_fields__, path, left)
        tools.append(Tool(tool.name, tool.description, tool.input_schema, tool.strict, tool.cache_control))
    return tools, search


def _searched(raw: Raw, fields: dict[str, Raw], path: str, left: Left) -> WebSearch:
    search = decode(_search, raw, path)
    leftover(fields, search.__struct_fields__, path, left)
    if search.user_location:
        known = ("type", *PLACE)
        leftover(decode(_fields, fields["user_location"], path), known, f"{path}.user_location", left)
    return WebSearch(
        f"{path} ({search.type})",
        location=place(dict(search.user_location)) if search.user_location else None,
        allowed=search.allowed_domains,
        blocked=search.blocked_domains,
        uses=search.max_uses,
        paths={part: f"{path}.{name}" for part, name in _PARTS.items()},
    )


def _format(config: _OutputConfig | None) -> ResponseFormat | None:
    if config is None or config.format is None:
        return None
    return ResponseFormat("json_schema", schema=config.format.schema, strict=True)


def _effort(request: _Request, fields: dict[str, Raw], left: Left) -> Effort | None:
    """`output_config.effort` says how hard, `thinking` says whether, how long at most, and whether to show it."""
    level = request.output_config.effort if request.output_config else None
    thinking = request.thinking
    if thinking and thinking.type not in ("enabled", "adaptive", "disabled"):
        left[f"thinking ({thinking.type})"] = fields["thinking"]
        thinking = None
    if thinking is None:
        return Effort(level) if level else None
    leftover(decode(_fields, fields["thinking"], "thinking"), thinking.__struct_fields__, "thinking", left)
    show = None if thinking.display is None else thinking.display == "summarized"
    return Effort(level, thinking.budget_tokens, thinking.type != "disabled", show)
