"""A caller's body, and what was said before it → `ChatRequest`.

What is asked of the gateway itself (`store`, `metadata`, `previous_response_id`, references, `truncation`) stays in
`Asked` and goes to no provider. Equivalents that are not letter for letter:
- `instructions` are a system turn before everything, those of earlier responses are not repeated, as the API has it;
- `reasoning.summary: auto` is a wish, which a provider without thoughts to show need not grant; the other values are
  not; without an effort the wish alone turns no thinking on;
- `reasoning.effort: none` is thinking switched off, `safety_identifier` has replaced `user`;
- `top_logprobs`, or their being included, asks for probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
from msgspec import Raw, Struct

from providers.chat import ChatRequest, Conversation, Effort, ResponseFormat, Text, ToolChoice, Turn
from providers.chat import Tool as ChatTool
from providers.dialect import InvalidRequest
from providers.dialects import wire
from providers.dialects.openai.parse import SAFETY
from providers.dialects.openai.shapes import ABSENT, NULL
from providers.dialects.openai.unfold import KINDS, mode_of
from providers.dialects.responses import custom, items
from providers.dialects.responses.leftover import LOGPROBS, leftover
from providers.dialects.responses.shapes import (
    SEARCHES,
    Choice,
    Format,
    Item,
    Json,
    ReasoningOptions,
    Reference,
    Request,
    Tool,
    request_decoder,
)
from providers.searching import WebSearch, place, said_size

_object = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()
#: Where recalled items are, as far as the body tells.
_BEFORE = "previous_response_id"
#: How this API calls what others name in the words of chat completions.
_WORDS = {
    "effort.enabled": "reasoning.effort",
    "effort.show": "reasoning.summary",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "response_format.json_schema": "text.format",
    "logprobs": f"include ({LOGPROBS})",
    "messages.content.image_url": "input.content.input_image",
    "messages.content.image_url.detail": "input.content.input_image.detail",
    "messages.content.input_audio": "input.content.input_audio",
    "messages.content.file": "input.content.input_file",
    "messages.tool_calls.arguments": "input.arguments",
    "messages.role.system": "input.role",
    "messages.role.assistant.content": "input.content",
}


class Asked(Struct):
    """A request as far as its own body tells it."""

    request: Request
    body: bytes
    #: The body's own items, as they came.
    given: list[Json]
    #: The same, read; None where no conversation holds one of that type.
    items: list[Item | None]

    @property
    def schema(self) -> Json | None:
        """What the answer is to follow, where a schema says it."""
        wanted = _format(self.request.text.format if self.request.text else None)
        return None if wanted is None else wanted.schema

    @property
    def references(self) -> list[str]:
        """Ids of items of earlier responses."""
        return [item.id for item in self.items if isinstance(item, Reference)]

    def draft(self) -> ChatRequest:
        """The request before anything of its conversation is known: who asks for what, and how."""
        return _made(self, [], {}, items.Scan(_needs(self.request)), len(self.body))

    def chat(self, earlier: Sequence[Json] = (), referenced: Mapping[str, Json] | None = None) -> ChatRequest:
        """The request with what was said before it. Raises `InvalidRequest`."""
        return _chat(self, earlier, referenced or {})


def parse(body: bytes) -> Asked:
    """The typed view of a caller's body. Raises `InvalidRequest`."""
    request = wire.read_request(request_decoder, body)
    if request.input is None and request.previous_response_id is None and bytes(request.prompt) == NULL:
        raise InvalidRequest("Missing required field: 'input'.", param="input", code="missing_required_parameter")
    for at, tool in enumerate(request.tools or ()):
        _check_tool(tool, at)
    choice = request.tool_choice
    if isinstance(choice, Choice) and choice.type in custom.CALLED and choice.name is None:
        raise _missing("tool_choice.name")
    _check_format(request.text.format if request.text else None)
    said = request.input
    if isinstance(said, list):
        read = [items.read(raw, f"input[{at}]") for at, raw in enumerate(said)]
        return Asked(request, body, [wire.read_request(_object, raw) for raw in said], read)
    if said is None:
        return Asked(request, body, [], [])
    return Asked(request, body, [items.text_item(said)], [items.bare(said)])


def _missing(path: str) -> InvalidRequest:
    return InvalidRequest(f"Missing required field: '{path}'.", param=path, code="missing_required_parameter")


def _check_tool(tool: Tool, at: int) -> None:
    if tool.type not in custom.CALLED:
        return
    if tool.name is None:
        raise _missing(f"tools[{at}].name")
    _check_object(tool.parameters, f"tools[{at}].parameters")


def _check_format(wanted: Format | None) -> None:
    if wanted is None or wanted.type != "json_schema":
        return
    if wanted.name is None:
        raise _missing("text.format.name")
    if bytes(wanted.schema) == NULL:
        raise _missing("text.format.schema")
    _check_object(wanted.schema, "text.format.schema")


def _check_object(raw: Raw, path: str) -> None:
    if not bytes(raw).startswith((b"{", NULL)):
        raise InvalidRequest(
            f"Invalid request at '{path}': send a JSON schema, which is an object.", param=path, code="invalid_type"
        )


def _chat(asked: Asked, earlier: Sequence[Json], referenced: Mapping[str, Json]) -> ChatRequest:
    request = asked.request
    scan = items.Scan(_needs(request))
    calls: dict[str, str] = {}
    said: list[Item] = []
    unsaid: list[str] = []
    size = len(asked.body)
    before: list[Item | None] = []
    for item in earlier:
        raw = Raw(_encoder.encode(item))
        size += len(bytes(raw))
        before.append(items.read(raw, _BEFORE))
        if before[-1] is None:
            unsaid.append(f"{_BEFORE} ({item.get('type')})")
    for at, item in enumerate([*before, *asked.items]):
        path = _BEFORE if at < len(before) else f"input[{at - len(before)}]"
        read = items.resolved(item, referenced, path)
        if read is not None:
            items.check(read, path, calls, scan)
            said.append(read)
        elif isinstance(item, Reference):
            unsaid.append(f"{path} ({referenced[item.id].get('type')})")
    return _made(asked, said, calls, scan, size, unsaid)


def _made(
    asked: Asked,
    said: list[Item],
    calls: Mapping[str, str],
    scan: items.Scan,
    size: int,
    unsaid: Sequence[str] = (),
) -> ChatRequest:
    request = asked.request
    return ChatRequest(
        dialect="responses",
        body=asked.body,
        model=request.model,
        unfold=partial(_unfold, asked, said, calls, unsaid),
        stream=bool(request.stream),
        input_tokens=(size - scan.attached) // 4,
        max_tokens=request.max_output_tokens,
        temperature=request.temperature,
        needs=frozenset(scan.needs),
        user=request.safety_identifier or request.user,
        metadata=request.metadata,
        words=_WORDS | SAFETY if request.safety_identifier else _WORDS,
    )


def _needs(request: Request) -> set[str]:
    needs: set[str] = set()
    if any(tool.type in custom.CALLED for tool in request.tools or ()):
        needs.add("tools")
    if request.text and request.text.format and request.text.format.type == "json_schema":
        needs.add("json_schema")
    effort = _effort(request.reasoning)
    if effort is not None and effort.enabled:
        needs.add("reasoning")
    return needs


def _unfold(asked: Asked, said: list[Item], calls: Mapping[str, str], unsaid: Sequence[str]) -> Conversation:
    request = asked.request
    # What was recalled and no conversation holds is no field of the body, and would be lost in silence.
    extra = leftover(asked.body) | dict.fromkeys(unsaid, ABSENT)
    turns = items.turns(said, calls)
    if request.instructions:
        turns.insert(0, Turn("system", [Text(request.instructions)]))
    wants_logprobs = LOGPROBS in (request.include or ()) or bool(request.top_logprobs)
    return Conversation(
        turns=turns,
        tools=[_tool(tool) for tool in request.tools or () if tool.type in custom.CALLED],
        search=_search(request.tools or (), extra),
        tool_choice=_choice(request.tool_choice, extra),
        parallel_tool_calls=request.parallel_tool_calls,
        max_tokens=request.max_output_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        response_format=_format(request.text.format if request.text else None),
        logprobs=wants_logprobs,
        top_logprobs=request.top_logprobs or None,
        effort=_effort(request.reasoning),
        user=request.safety_identifier or request.user,
        service_tier=request.service_tier,
        cache_key=request.prompt_cache_key,
        extra=extra,
    )


def _effort(wanted: ReasoningOptions | None) -> Effort | None:
    if wanted is None:
        return None
    summary = wanted.summary or wanted.generate_summary
    demanded = summary is not None and summary != "auto"
    if wanted.effort is None and not demanded:
        return None
    if wanted.effort == "none":
        return Effort(enabled=False)
    return Effort(wanted.effort, show=True if summary else None, show_if_any=not demanded)


def _search(tools: Sequence[Tool], extra: dict[str, Raw]) -> WebSearch | None:
    """The first search; there is one."""
    found = [(at, tool) for at, tool in enumerate(tools) if tool.type in SEARCHES]
    extra.update((f"tools[{at}] ({tool.type})", ABSENT) for at, tool in found[1:])
    if not found:
        return None
    at, tool = found[0]
    path = f"tools[{at}]"
    return WebSearch(
        f"{path} ({tool.type})",
        size=said_size(tool.search_context_size),
        location=place(tool.user_location),
        allowed=tool.filters.allowed_domains if tool.filters else None,
        paths={
            "size": f"{path}.search_context_size",
            "location": f"{path}.user_location",
            "allowed": f"{path}.filters.allowed_domains",
        },
    )


def _tool(tool: Tool) -> ChatTool:
    if tool.type == "custom":
        return custom.function(tool)
    parameters = None if bytes(tool.parameters) == NULL else _object.decode(tool.parameters)
    return ChatTool(tool.name or "", tool.description, parameters, tool.strict)


def _choice(choice: str | Choice | None, extra: dict[str, Raw]) -> ToolChoice | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        return mode_of(choice, extra)
    if choice.type == "allowed_tools":
        # Those of another kind are in `extra`.
        return ToolChoice(choice.mode, allowed=[tool.name for tool in choice.tools if tool.name is not None])
    return ToolChoice("named", choice.name) if choice.type in custom.CALLED else None


def _format(wanted: Format | None) -> ResponseFormat | None:
    kind = KINDS.get(wanted.type) if wanted else None
    if wanted is None or kind is None:
        return None
    if kind != "json_schema":
        return ResponseFormat(kind)
    return ResponseFormat(kind, wanted.name, wanted.description, _object.decode(wanted.schema), wanted.strict)
