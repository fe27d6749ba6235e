"""Turns → `systemInstruction` and `contents`.

Gemini's rules and what is made of them:
- System text has one place only, before everything; all system turns go there, in their order. A later one thereby
  keeps its authority and loses its position. A conversation of nothing but system turns is asked as the user's, since
  the API wants contents.
- Consecutive turns of one role are one content; functions' answers come first in theirs.
- Empty text says nothing and is left out, with its turn when nothing else is in it.
- Reasoning that this provider did not sign is left out: thoughts are not the user's content, and another's signature
  proves nothing here. Refusals are text: those are the words that were said.
- Markers of prompt caches have no effect: Gemini caches by itself.
- Pictures and documents by URL are fetched by Google, from https addresses only ("File input methods" in the API's
  documentation). `detail` is a setting of the whole request here (`options`), a picture's own is not.
- A function's answer is `{"output": …}`, or `{"error": …}` for a failure: the API's own words. Several texts become a
  list. Its media stand beside it, in `parts`.
"""

from __future__ import annotations

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
from providers.dialects.gemini import media
from providers.dialects.gemini.signatures import sign_first_call, unmark

Lost = list[str]
_object = msgspec.json.Decoder(dict[str, Raw])


class Contents(Struct):
    """The two fields of the body that turns become."""

    system: list[Json]
    contents: list[Json]


class _Writing(Struct):
    """What is known while the parts are written: the functions' names by call, and what was lost."""

    names: dict[str, str]
    lost: Lost


def contents(turns: list[Turn], lost: Lost, *, sign: bool) -> Contents:
    """Place every turn; `sign` the calls that other models made. What has no equivalent is named in `lost`."""
    built = Contents([], [])
    writing = _Writing({}, lost)
    for turn in turns:
        parts = _parts(turn, writing)
        if turn.role == "system":
            built.system.extend(part for part in parts if "text" in part)
            if any("text" not in part for part in parts):
                lost.append("messages.role.system.content")
        elif parts:
            _append(built.contents, "model" if turn.role == "assistant" else "user", parts)
    if built.system and not built.contents:
        built = Contents([], [{"role": "user", "parts": built.system}])
    for content in built.contents:
        if content["role"] == "user":
            # Stable: within answers and within the rest the order stays. A model's own stays behind its call.
            content["parts"].sort(key=_is_not_answer)
        elif sign:
            sign_first_call(content["parts"])
    return built


def arguments(text: str) -> Raw | None:
    """The arguments of a call as the JSON object they are; None when they are none. Nothing at all is `{}`."""
    text = text.strip() or "{}"
    try:
        _object.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return Raw(text)


def _is_not_answer(part: Json) -> bool:
    return "functionResponse" not in part


def _append(built: list[Json], role: str, parts: list[Json]) -> None:
    if built and built[-1]["role"] == role:
        built[-1]["parts"].extend(parts)
    else:
        built.append({"role": role, "parts": parts})


def _parts(turn: Turn, writing: _Writing) -> list[Json]:
    if turn.name is not None:
        writing.lost.append("messages.name")
    parts = [_part(part, writing) for part in turn.parts]
    return [part for part in parts if part is not None]


def _part(part: Part, writing: _Writing) -> Json | None:
    return _WRITERS[type(part)](part, writing)


def _text(part: Text | RefusalText, writing: _Writing) -> Json | None:
    return {"text": part.text} if part.text else None


def _reasoning(part: Reasoning, writing: _Writing) -> Json | None:
    signature = unmark(part.signature)
    if signature is None:
        return None
    written: Json = {"text": part.text, "thoughtSignature": signature}
    return {**written, "thought": True} if part.text else written


def _audio(part: Audio, writing: _Writing) -> Json | None:
    media_type = media.AUDIO.get(part.format)
    if media_type is None:
        writing.lost.append("messages.content.input_audio.format")
        return None
    return {"inlineData": {"mimeType": media_type, "data": part.data}}


def _image(part: Image, writing: _Writing) -> Json | None:
    if part.data is not None and part.media_type is not None:
        return {"inlineData": {"mimeType": part.media_type, "data": part.data}}
    if part.url is not None and part.url.startswith("https://"):
        return _file(part.url, part.media_type, None)
    writing.lost.append("messages.content.image_url")
    return None


def _document(part: Document, writing: _Writing) -> Json | None:
    """A `file_id` is another provider's, so nothing here."""
    media_type = part.media_type or media.of_name(part.filename)
    if part.data is not None and media_type is not None:
        blob = {"mimeType": media_type, "data": part.data}
        return {"inlineData": {**blob, "displayName": part.filename} if part.filename else blob}
    if part.url is not None and part.url.startswith("https://"):
        return _file(part.url, media_type, part.filename)
    writing.lost.append("messages.content.file")
    return None


def _file(url: str, media_type: str | None, name: str | None) -> Json:
    file = {"fileUri": url, "mimeType": media_type or media.of_url(url), "displayName": name}
    return {"fileData": {key: value for key, value in file.items() if value}}


def _tool_call(part: ToolCall, writing: _Writing) -> Json:
    writing.names[part.id] = part.name
    args = arguments(part.arguments)
    if args is None:
        writing.lost.append("messages.tool_calls.arguments")
        args = Raw(b"{}")
    written: Json = {"functionCall": {"id": part.id, "name": part.name, "args": args}}
    if part.signature:
        written["thoughtSignature"] = part.signature
    return written


def _tool_result(part: ToolResult, writing: _Writing) -> Json | None:
    name = part.name or writing.names.get(part.id)
    if name is None:
        # The API knows answers by the function's name, and there was no call to take it from.
        writing.lost.append("messages.tool_call_id")
        return None
    texts = [inner.text for inner in part.parts if isinstance(inner, Text)]
    said = texts if len(texts) > 1 else "".join(texts)
    answer: Json = {"id": part.id, "name": name, "response": {"error" if part.is_error else "output": said}}
    beside = [_part(inner, writing) for inner in part.parts if not isinstance(inner, Text)]
    if kept := [inner for inner in beside if inner is not None]:
        answer["parts"] = kept
    return {"functionResponse": answer}


_WRITERS: dict[type, Callable[[Any, _Writing], Json | None]] = {
    Text: _text,
    RefusalText: _text,
    Reasoning: _reasoning,
    Audio: _audio,
    Image: _image,
    Document: _document,
    ToolCall: _tool_call,
    ToolResult: _tool_result,
}
