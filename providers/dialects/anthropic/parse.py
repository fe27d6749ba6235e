"""A caller's `/v1/messages` body → `ChatRequest`: what every request pays, so one typed decode and one pass.

Checked here is what the gateway reads and what the API documents as ranges. Everything else is left to the API on
same-dialect calls, and to `unfold` on all others. Unknown fields and block types are never an error.

`temperature`, `top_p` and `top_k` are read although API version 2026-10-21, and with it the official SDK 2, removed
them: under 2023-06-01 older models keep them, newer ones refuse them, and which is which is the API's to say.

Threads, conversations that the API holds between turns, are refused whoever is to answer: the next turn, which brings
only what is new, may be anybody's. `NO_THREADS` is the API's own code for a request it cannot thread; the official
SDKs, whose tool runners ask for a thread unless told not to, then go on without one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from providers.chat import ChatRequest
from providers.dialect import InvalidRequest
from providers.dialects.anthropic.unfold import WORDS, unfold
from providers.dialects.wire import read_request

NO_THREADS = "thread_unsupported_request"
_NEEDS = {"image": "vision", "document": "documents"}


class _Block(Struct):
    type: str
    text: str | None = None
    source: Raw = Raw(b"")
    content: Raw = Raw(b"")


class _Message(Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


class _Tool(Struct):
    type: str | None = None
    name: str | None = None
    input_schema: dict[str, Raw] | None = None


class _Thinking(Struct):
    type: str
    budget_tokens: Annotated[int, Meta(ge=1024)] | None = None


class _OutputConfig(Struct):
    effort: str | None = None
    format: dict[str, Raw] | None = None


class _Request(Struct):
    model: str
    messages: Annotated[list[_Message], Meta(min_length=1)]
    max_tokens: Annotated[int, Meta(ge=0)]
    system: str | list[_Block] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    tools: list[_Tool] | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    metadata: dict[str, Any] | None = None
    thread: Any = None


_decoder = msgspec.json.Decoder(_Request)
_nested = msgspec.json.Decoder(list[_Block])


def parse(body: bytes) -> ChatRequest:
    """The typed view of a caller's body. Raises `InvalidRequest`."""
    request = read_request(_decoder, body)
    if request.thread is not None:
        raise InvalidRequest(
            "No thread is kept here: send every turn with all messages, without 'thread'.",
            param="thread",
            code=NO_THREADS,
        )
    needs: set[str] = set()
    attached = 0
    for number, message in enumerate(request.messages):
        if type(message.content) is list:
            attached += _scan(message.content, needs, number)
    if request.tools:
        needs.add("tools")
        _check_tools(request.tools)
    config = request.output_config
    if config and config.format:
        needs.add("json_schema")
    if (config and config.effort) or (request.thinking and request.thinking.type in ("enabled", "adaptive")):
        needs.add("reasoning")
    return ChatRequest(
        dialect="anthropic",
        body=body,
        model=request.model,
        unfold=partial(unfold, body),
        stream=bool(request.stream),
        input_tokens=(len(body) - attached) // 4,
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        stop=request.stop_sequences or [],
        needs=frozenset(needs),
        user=_user(request.metadata),
        metadata=request.metadata,
        words=WORDS,
    )


def _scan(blocks: Iterable[_Block], needs: set[str], number: int) -> int:
    """Add the capabilities the blocks need; the bytes of attachments among them, which are not text to be counted."""
    attached = 0
    for at, block in enumerate(blocks):
        kind = block.type
        if kind == "text":
            if block.text is None:
                path = f"messages[{number}].content[{at}].text"
                raise InvalidRequest(
                    f"Missing required field: '{path}'.", param=path, code="missing_required_parameter"
                )
        elif kind in _NEEDS:
            needs.add(_NEEDS[kind])
            attached += len(bytes(block.source))
        elif kind == "tool_result" and b'"source"' in (content := bytes(block.content)):
            attached += _scan_result(content, needs)
    return attached


def _scan_result(content: bytes, needs: set[str]) -> int:
    """The same for a tool's result, one level deep, as results do not nest; what is not blocks attaches nothing."""
    try:
        blocks = _nested.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0
    found = [block for block in blocks if block.type in _NEEDS]
    needs.update(_NEEDS[block.type] for block in found)
    return sum(len(bytes(block.source)) for block in found)


def _check_tools(tools: list[_Tool]) -> None:
    """Custom tools have a name and a schema; server tools, known by their type, are the API's to judge."""
    for number, tool in enumerate(tools):
        if tool.type is None or tool.type == "custom":
            for name, value in (("name", tool.name), ("input_schema", tool.input_schema)):
                if value is None:
                    path = f"tools[{number}].{name}"
                    raise InvalidRequest(
                        f"Missing required field: '{path}'.", param=path, code="missing_required_parameter"
                    )


def _user(metadata: dict[str, Any] | None) -> str | None:
    user = metadata.get("user_id") if metadata else None
    if user is not None and not isinstance(user, str):
        raise InvalidRequest(
            "Invalid request at 'metadata.user_id': send a string.", param="metadata.user_id", code="invalid_type"
        )
    return user
