"""Answers of `/v1/messages` → `ChatReply` and `Glance`; `ChatReply` → an answer of `/v1/messages`.

Decoding: of a web search the pages that a text cites are told, and where; the search itself and all that it found are
left out, as no other format can hold them. Any other block that is not text, thinking or a call of the caller's own
tool is `Garbled`: it comes only when other server tools were asked for, which only a caller of this dialect can do, and
its answers are passed on as bytes without being decoded.

A refusal comes as `stop_reason: refusal`; the API's explanation, when there is one, becomes the words of refusal.

Rendering: reasoning without a signature gets an empty one, since the field must be there, and the signature of a call,
which is Gemini's, stands in an empty thought before it; `encode` knows what to do with them when they come back. What
an Anthropic answer cannot hold (pictures, sound, arguments of a call that are not a JSON object) is `Garbled`: the
provider answered in a form that this caller cannot be told. Two exceptions: sources are left out (`emit`), and so is a
last call that was cut off by the token limit, as `stop_reason: max_tokens` already says that the answer is cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from providers.chat import (
    ChatReply,
    Choice,
    Citation,
    Glance,
    Json,
    Part,
    Reasoning,
    RefusalText,
    Text,
    ToolCall,
    ToolCallDelta,
)
from providers.dialects import proofs
from providers.dialects.anthropic import wire
from providers.dialects.anthropic.signatures import bare, mark
from providers.dialects.anthropic.turns import object_text
from providers.dialects.wire import read_answer
from providers.errors import Garbled

_encoder = msgspec.json.Encoder()
_answer = msgspec.json.Decoder(wire.Answer)
_glance = msgspec.json.Decoder(wire.GlanceAnswer)


def glance(body: bytes) -> Glance:
    """What must be known of an answer that is passed on untouched. Raises `Garbled`."""
    answer = read_answer(_glance, body, "anthropic")
    reason = wire.finish_reason(answer.stop_reason) if answer.stop_reason else None
    return Glance(answer.id, answer.model, answer.usage.usage(), reason)


def decode(body: bytes) -> ChatReply:
    """A complete answer. Raises `Garbled`."""
    answer = read_answer(_answer, body, "anthropic")
    parts: list[Part] = []
    citations: list[Citation] = []
    length = 0
    for block in answer.content:
        if block.of_search:
            continue
        parts.append(part := _part(block))
        if isinstance(part, Text):
            end = length + len(part.text)
            citations += wire.cited(block.citations or [], length, end)
            length = end
    if answer.stop_details and answer.stop_details.explanation:
        parts.append(RefusalText(answer.stop_details.explanation))
    reason = wire.finish_reason(answer.stop_reason) if answer.stop_reason else None
    return ChatReply(
        id=answer.id,
        model=answer.model,
        choices=[Choice(parts, reason, answer.stop_sequence, citations=citations)],
        usage=answer.usage.usage(),
        service_tier=wire.tier_in(answer.usage.service_tier),
    )


def _part(block: wire.Block) -> Part:
    match block.type:
        case "text":
            return Text(wire.need(block.text, "text"))
        case "thinking":
            return Reasoning(wire.need(block.thinking, "thinking"), signature=mark(block.signature))
        case "redacted_thinking":
            return Reasoning(redacted=mark(wire.need(block.data, "data")))
        case "tool_use":
            return ToolCall(wire.need(block.id, "id"), wire.need(block.name, "name"), arguments(block))
        case _:
            raise Garbled(f"The provider answered with a block of type '{block.type[:100]}', which nobody asked for.")


def arguments(block: wire.Block) -> str:
    """The input of a tool call as JSON text, as the model wrote it. Raises `Garbled`."""
    try:
        return bytes(block.input).decode()
    except UnicodeDecodeError as exc:
        raise Garbled("The provider's answer is not in the anthropic format: a tool's input is not UTF-8.") from exc


def render(reply: ChatReply) -> bytes:
    """A complete answer in this dialect. Raises `Garbled` for what it cannot hold."""
    choice = reply.choices[0] if reply.choices else Choice([])
    refused = any(isinstance(part, RefusalText) for part in choice.parts)
    reason = wire.stop_reason(choice.finish_reason, choice.stop_sequence, refused=refused)
    parts = choice.parts
    if choice.finish_reason == "length" and parts and _cut(parts[-1]):
        parts = parts[:-1]
    blocks = [block for part in parts for block in (proof_of(part), _block(part))]
    usage = wire.tokens_out(reply.usage)
    if tier := wire.tier_out(reply.service_tier):
        usage["service_tier"] = tier
    message: Json = {
        "id": reply.id,
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": [block for block in blocks if block is not None],
        "stop_reason": reason,
        "stop_sequence": choice.stop_sequence,
        "usage": usage,
    }
    if details := wire.stop_details(reason):
        message["stop_details"] = details
    return _encoder.encode(message)


def _cut(part: Part) -> bool:
    return isinstance(part, ToolCall) and object_text(part.arguments) is None


def _block(part: Part) -> Json | None:
    write = _WRITERS.get(type(part))
    if write is None:
        kind = type(part).__name__.lower()
        raise Garbled(f"The provider answered with {kind}, which Anthropic's format cannot hold.")
    return write(part)


def proof_of(part: Part | ToolCallDelta) -> Json | None:
    """The block that carries the proof of a call, if it has one."""
    if not isinstance(part, (ToolCall, ToolCallDelta)) or not part.signature:
        return None
    return {"type": "thinking", "thinking": "", "signature": proofs.GEMINI_CALL + part.signature}


def _text(part: Text | RefusalText) -> Json | None:
    return {"type": "text", "text": part.text} if part.text else None


def _reasoning(part: Reasoning) -> Json:
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": bare(part.redacted)}
    return {"type": "thinking", "thinking": part.text, "signature": bare(part.signature or "")}


def _tool_call(part: ToolCall) -> Json:
    arguments = object_text(part.arguments)
    if arguments is None:
        raise Garbled("The model called a tool with arguments that are not a JSON object.")
    return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments}


_WRITERS: dict[type, Callable[[Any], Json | None]] = {
    Text: _text,
    RefusalText: _text,
    Reasoning: _reasoning,
    ToolCall: _tool_call,
}
