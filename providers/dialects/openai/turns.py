"""The turns of a conversation → messages.

Equivalents that are not letter for letter:
- tool results of a user turn come first, each as its own tool message, because the API wants them right after their
  calls; what else the user said follows in one message;
- tool messages hold text only: images and files of a result follow in the user's message, each after a line of text
  that names the call;
- the API has no mark for a failed tool: its text begins with `Error:`;
- an id that is longer than the API takes is its digest, in a call and its result alike.

Left out without a word: thoughts, which another provider's model had and which are not what the user said; signatures
of calls; and cache markers, which are hints. What no message can hold (a sound in the assistant's mouth, a document
known by address only …) is named in `lost`, as the API would name it.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from providers.chat import Audio, Document, Image, Json, Part, Reasoning, RefusalText, Text, ToolCall, ToolResult, Turn

#: Names of what cannot be said, in the order met.
Lost = list[str]

#: Characters; a longer id of a call is refused with a 400 ("string too long"). Other providers' own are longer.
_LONGEST_ID = 40
_EXTENSIONS = {"application/pdf": ".pdf", "text/plain": ".txt", "text/html": ".html", "text/csv": ".csv"}


def messages(turns: list[Turn], system_role: str, lost: Lost) -> list[Json]:
    """The messages; what they cannot hold is named in `lost`."""
    written: list[Json] = []
    for turn in turns:
        if turn.role == "user":
            written += _user(turn, lost)
        elif turn.role == "assistant":
            written.append(_assistant(turn, lost))
        else:
            written.append(_system(turn, system_role, lost))
    return written


def _message(role: str, content: list[Json], name: str | None) -> Json:
    """A message; a single text needs no list."""
    plain = content[0]["text"] if len(content) == 1 and content[0]["type"] == "text" else content or ""
    message: Json = {"role": role, "content": plain}
    if name is not None:
        message["name"] = name
    return message


def _system(turn: Turn, role: str, lost: Lost) -> Json:
    content: list[Json] = []
    for part in turn.parts:
        if isinstance(part, Text):
            content.append({"type": "text", "text": part.text})
        else:
            lost.append(_name(part))
    return _message(role, content, turn.name)


def _user(turn: Turn, lost: Lost) -> list[Json]:
    results: list[Json] = []
    content: list[Json] = []
    for part in turn.parts:
        if isinstance(part, ToolResult):
            text, media = _result(part, lost)
            results.append({"role": "tool", "tool_call_id": _id(part.id), "content": text})
            content += media
        else:
            content += _content(part, lost)
    if content or not results:
        results.append(_message("user", content, turn.name))
    return results


def _result(result: ToolResult, lost: Lost) -> tuple[str | list[Json], list[Json]]:
    """The text of a tool message, and what must follow in the user's."""
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    media: list[Json] = []
    for part in result.parts:
        if not isinstance(part, Text):
            media += _content(part, lost)
    if media:
        label = f"Content of the result of tool call {_id(result.id)}:"
        media.insert(0, {"type": "text", "text": label})
        texts = texts or ["The content follows in the next user message."]
    if result.is_error:
        texts = ["Error: " + "\n".join(texts)]
    if len(texts) > 1:
        return [{"type": "text", "text": text} for text in texts], media
    return texts[0] if texts else "", media


def _id(given: str) -> str:
    return given if len(given) <= _LONGEST_ID else sha256(given.encode()).hexdigest()[:_LONGEST_ID]


def _assistant(turn: Turn, lost: Lost) -> Json:
    content: list[Json] = []
    calls: list[Json] = []
    for part in turn.parts:
        if isinstance(part, Text):
            content.append({"type": "text", "text": part.text})
        elif isinstance(part, RefusalText):
            content.append({"type": "refusal", "refusal": part.text})
        elif isinstance(part, ToolCall):
            calls.append(
                {"id": _id(part.id), "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
            )
        elif not isinstance(part, Reasoning):
            lost.append(_name(part))
    message = _message("assistant", content, turn.name)
    if calls:
        message["tool_calls"] = calls
        message["content"] = message["content"] or None
    return message


def _content(part: Part, lost: Lost) -> list[Json]:
    """A part of a user's message, or nothing when it cannot be said."""
    write = _PARTS.get(type(part))
    written = write(part) if write else None
    if written is None:
        lost.append(_name(part))
        return []
    return [written]


def _name(part: Part) -> str:
    return f"messages.{_NAMES.get(type(part), 'content')}"


def _text(part: Text) -> Json:
    return {"type": "text", "text": part.text}


def _image(part: Image) -> Json | None:
    if part.data is not None and part.media_type is None:
        return None
    url = part.url if part.data is None else f"data:{part.media_type};base64,{part.data}"
    image: Json = {"url": url}
    if part.detail is not None:
        image["detail"] = part.detail
    return {"type": "image_url", "image_url": image}


def _audio(part: Audio) -> Json:
    return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}


def _document(part: Document) -> Json | None:
    """A file by id or by data. The API wants a name beside the data; its extension says what it is.

    Other dialects' ids never come here: they stay aside when a request is unfolded.
    """
    if part.file_id is not None:
        return {"type": "file", "file": {"file_id": part.file_id}}
    if part.data is None or part.media_type is None:
        return None
    name = part.filename or "document" + _EXTENSIONS.get(part.media_type, "")
    return {
        "type": "file",
        "file": {"file_data": f"data:{part.media_type};base64,{part.data}", "filename": name},
    }


_PARTS: dict[type, Callable[..., Json | None]] = {Text: _text, Image: _image, Audio: _audio, Document: _document}
#: How the API calls what has no place where it stands.
_NAMES: dict[type, str] = {
    Image: "content.image_url",
    Audio: "content.input_audio",
    Document: "content.file",
    ToolCall: "tool_calls",
    RefusalText: "content.refusal",
}
