"""Turns → `system` and `messages`.

Anthropic's rules and what is made of them:
- Leading system turns become the blocks of `system`. Later ones become messages with the role `system`, which the API
  takes since Claude Opus 4.8 and the official SDK 2.11 declares. They must follow a user message and come last or
  before an assistant message, so one that a user turn follows slides past it: the model speaks only after both, with
  the same authority, hence nothing is lost. One that follows an assistant turn with no user turn in between has no
  legal place and is inexpressible, as all of them are with older models (`encode`). A user message would take its
  authority away, and a move to the top would apply it to what was said before it.
- A conversation of nothing but system turns is a user's message: the API demands one.
- Consecutive turns of one role are one message; tool results come first in theirs.
- Empty text, white space alone included, says nothing and is refused by the API, so it is left out, with its message
  when nothing else is in it.
- Reasoning that this provider did not prove is left out: another's signature proves nothing here, and thoughts are not
  the user's content; so are thoughts that nothing follows, which the API refuses at the end of a message. Whatever
  stays in this dialect keeps its bytes and its signatures.
- Refusals are text: those are the words that were said. A tool call's foreign signature is left out like reasoning.
- `detail: high` is what Claude always does; `low` is inexpressible.
- An id may hold only letters, digits, `_` and `-`; other characters are written as their code, in a call and its
  result alike.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from providers.chat import (
    Audio,
    Document,
    Image,
    Json,
    Part,
    Reasoning,
    RefusalText,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from providers.dialects.anthropic.signatures import unmark

Lost = list[str]
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")
#: What each role may say: an assistant message with a picture or a document is refused.
_THOUGHTS = ("thinking", "redacted_thinking")
_ALLOWED = {
    "system": ("text",),
    "user": ("text", "image", "document", "tool_result"),
    "assistant": ("text", "tool_use", *_THOUGHTS),
}
_ODD = re.compile(r"[^A-Za-z0-9_-]")
_object = msgspec.json.Decoder(dict[str, Raw])


class Messages(Struct):
    """The two fields of the body that turns become."""

    system: list[Json]
    messages: list[Json]


def messages(turns: list[Turn], lost: Lost, *, instructs: bool) -> Messages:
    """Place every turn; what has no place or no equivalent is named in `lost`.

    `instructs`: the model takes instructions amid the conversation.
    """
    built = Messages([], [])
    waiting: list[Json] = []
    spoken = False
    for turn in turns:
        blocks = _blocks(turn, lost)
        if not blocks:
            continue
        if turn.role == "system":
            (waiting if spoken else built.system).extend(blocks)
            continue
        spoken = True
        if turn.role == "assistant" and waiting:
            _instruct(built.messages, waiting, lost, instructs)
            waiting = []
        _append(built.messages, turn.role, blocks)
    if waiting:
        _instruct(built.messages, waiting, lost, instructs)
    if built.system and not built.messages:
        built = Messages([], [{"role": "user", "content": built.system}])
    for message in built.messages:
        # Stable: within results and within the rest the order stays.
        message["content"].sort(key=_is_not_result)
    return built


def _is_not_result(block: Json) -> bool:
    return block["type"] != "tool_result"


def _append(built: list[Json], role: str, blocks: list[Json]) -> None:
    if built and built[-1]["role"] == role:
        built[-1]["content"].extend(blocks)
    else:
        built.append({"role": role, "content": blocks})


def _instruct(built: list[Json], blocks: list[Json], lost: Lost, instructs: bool) -> None:
    if instructs and built and built[-1]["role"] == "user":
        built.append({"role": "system", "content": blocks})
    else:
        lost.append("messages.role.system")


def _blocks(turn: Turn, lost: Lost) -> list[Json]:
    if turn.name is not None:
        lost.append("messages.name")
    blocks = [_block(part, lost) for part in turn.parts]
    kept = [block for block in blocks if block is not None and block["type"] in _ALLOWED[turn.role]]
    if len(kept) < len(blocks) - blocks.count(None):
        lost.append(f"messages.role.{turn.role}.content")
    while kept and kept[-1]["type"] in _THOUGHTS:
        kept.pop()
    return kept


def _block(part: Part, lost: Lost) -> Json | None:
    return _WRITERS[type(part)](part, lost)


def _marked(block: Json, marker: Json | None) -> Json:
    if marker is not None:
        block["cache_control"] = marker
    return block


def _text(part: Text, lost: Lost) -> Json | None:
    return _marked({"type": "text", "text": part.text}, part.cache_control) if part.text.strip() else None


def _refusal(part: RefusalText, lost: Lost) -> Json | None:
    return {"type": "text", "text": part.text} if part.text.strip() else None


def _reasoning(part: Reasoning, lost: Lost) -> Json | None:
    if redacted := unmark(part.redacted):
        return {"type": "redacted_thinking", "data": redacted}
    signature = unmark(part.signature)
    return None if signature is None else {"type": "thinking", "thinking": part.text, "signature": signature}


def _audio(part: Audio, lost: Lost) -> None:
    lost.append("messages.content.input_audio")


def _image(part: Image, lost: Lost) -> Json | None:
    if part.detail not in (None, "auto", "high"):
        lost.append("messages.content.image_url.detail")
    if part.data is not None and part.media_type in _IMAGES:
        source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    elif part.url is not None and part.url.startswith(("https://", "http://")):
        source = {"type": "url", "url": part.url}
    else:
        lost.append("messages.content.image_url")
        return None
    return _marked({"type": "image", "source": source}, part.cache_control)


def _document(part: Document, lost: Lost) -> Json | None:
    """Documents are PDF, by data or URL, or plain text. A `file_id` is another provider's, so nothing here."""
    source: Json | None = None
    if part.data is not None:
        source = _document_data(part.data, part.media_type)
    elif part.url is not None and part.media_type in (None, "application/pdf"):
        source = {"type": "url", "url": part.url}
    if source is None:
        lost.append("messages.content.file")
        return None
    block: Json = {"type": "document", "source": source}
    if part.filename:
        block["title"] = part.filename
    return _marked(block, part.cache_control)


def _document_data(data: str, media_type: str | None) -> Json | None:
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": data}
    if media_type != "text/plain":
        return None
    try:
        return {"type": "text", "media_type": media_type, "data": b64decode(data, validate=True).decode()}
    except (binascii.Error, ValueError):
        return None


def _tool_call(part: ToolCall, lost: Lost) -> Json:
    arguments = object_text(part.arguments)
    if arguments is None:
        lost.append("messages.tool_calls.arguments")
        arguments = Raw(b"{}")
    return {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": arguments}


def object_text(arguments: str) -> Raw | None:
    """The arguments of a call as the JSON object they are; None when they are none. Nothing at all is `{}`."""
    text = arguments.strip() or "{}"
    try:
        _object.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return Raw(text)


def _tool_result(part: ToolResult, lost: Lost) -> Json:
    block: Json = {"type": "tool_result", "tool_use_id": _id(part.id)}
    content = [_block(inner, lost) for inner in part.parts]
    if kept := [inner for inner in content if inner is not None]:
        block["content"] = kept
    if part.is_error:
        block["is_error"] = True
    return _marked(block, part.cache_control)


def _id(given: str) -> str:
    return _ODD.sub(lambda odd: f"_{ord(odd[0]):x}_", given)


_WRITERS: dict[type, Callable[[Any, Lost], Json | None]] = {
    Text: _text,
    RefusalText: _refusal,
    Reasoning: _reasoning,
    Audio: _audio,
    Image: _image,
    Document: _document,
    ToolCall: _tool_call,
    ToolResult: _tool_result,
}
