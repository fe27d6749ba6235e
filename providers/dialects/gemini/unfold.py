"""A caller's `contents` → `Conversation`, for providers of another dialect.

- A text with a thought signature becomes the text and, behind it, empty reasoning that holds the signature: a form the
  API itself uses in streams.
- Calls without ids get `call_<n>`, the same in every turn of a conversation, since they are counted from its start. A
  response is matched by its id, or else to the first call of its name that has none yet.
- `{"output": …}` and `{"error": …}` are the API's own words for a function's result; anything else is the result whole.
- What has no name in `Conversation` (files that only Google can read, sound by address, video) is listed in `extra`,
  as are all fields that are not in the tree of `names`.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw

from providers.chat import (
    Audio,
    Conversation,
    Document,
    Image,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Turn,
)
from providers.dialects.gemini import media, wire
from providers.dialects.gemini.settings import settings
from providers.dialects.gemini.signatures import mark, thought_of, unmark

#: `function` is the older name of the role that answers calls.
ROLES: dict[str, Role] = {"user": "user", "model": "assistant", "function": "user"}
_DETAILS = {"MEDIA_RESOLUTION_LOW": "low", "MEDIA_RESOLUTION_HIGH": "high"}
_encoder = msgspec.json.Encoder()
Extra = dict[str, Raw]


def unfold(ask: wire.Ask, strangers: Extra) -> Conversation:
    """Everything the body says; `strangers` are its fields without a name, which `extra` begins with."""
    extra = dict(strangers)
    turns: list[Turn] = []
    if instruction := ask.system_instruction:
        parts = [part for part in instruction.parts or () if _is_text(part, extra)]
        turns.append(Turn("system", [Text(part.text or "") for part in parts]))
    ids = _Ids(ask.contents)
    for content in ask.contents:
        found = [piece for part in content.parts or () for piece in _pieces(part, ids, extra)]
        turns.append(Turn(ROLES[content.role or "user"], _joined(found)))
    conversation = Conversation(turns=turns, extra=extra)
    _resolution(conversation)
    settings(ask, conversation)
    return conversation


class _Ids:
    """The ids of a conversation's calls."""

    def __init__(self, contents: list[wire.Content]) -> None:
        calls = [part.function_call for content in contents for part in content.parts or ()]
        self._given = {call.id for call in calls if call and call.id}
        self._waiting: list[tuple[str, str]] = []
        self._count = 0

    def new(self) -> str:
        while (name := f"call_{self._count}") in self._given:
            self._count += 1
        self._count += 1
        return name

    def of_call(self, call: wire.FunctionCall) -> str:
        name = call.id or self.new()
        self._waiting.append((name, call.name))
        return name

    def of_response(self, response: wire.FunctionResponse) -> str:
        """The id of the call that it answers; a new one when there was none."""
        for index, (name, function) in enumerate(self._waiting):
            if response.id == name or (response.id not in self._given and response.name == function):
                del self._waiting[index]
                return name
        return response.id or self.new()


def _is_text(part: wire.Part, extra: Extra) -> bool:
    if part.text is None:
        extra["systemInstruction.parts"] = Raw(_encoder.encode(part))
    return part.text is not None


def _pieces(part: wire.Part, ids: _Ids, extra: Extra) -> list[Part]:
    signature = part.thought_signature
    if part.function_call is not None:
        call = part.function_call
        arguments = _encoder.encode(call.args or {}).decode()
        return [ToolCall(ids.of_call(call), call.name, arguments, signature)]
    if part.function_response is not None:
        return [_result(part.function_response, ids, extra)]
    if part.thought:
        return [thought_of(part.text or "", signature)]
    pieces: list[Part] = []
    if part.text is not None and (part.text or signature is None):
        pieces.append(Text(part.text))
    elif (piece := _media(part, "contents.parts", extra)) is not None:
        pieces.append(piece)
    if signature is not None:
        pieces.append(Reasoning(signature=mark(signature)))
    return pieces


def _resolution(said: Conversation) -> None:
    """How closely to look: here for the whole request, elsewhere for each picture, and for no document."""
    name = "generationConfig.mediaResolution"
    detail = _DETAILS.get(bytes(said.extra.get(name, b"")).decode().strip('"'))
    parts = [part for turn in said.turns for part in turn.parts]
    parts += [inner for part in parts if isinstance(part, ToolResult) for inner in part.parts]
    if detail is not None and not any(isinstance(part, Document) for part in parts):
        del said.extra[name]
        for part in parts:
            if isinstance(part, Image):
                part.detail = detail


def _joined(parts: list[Part]) -> list[Part]:
    """Claude's proof came behind its thought, in a stream behind the pieces of it: it is one with them."""
    joined: list[Part] = []
    for part in parts:
        if isinstance(part, Reasoning) and part.signature and not part.text and unmark(part.signature) is None:
            while joined and isinstance(before := joined[-1], Reasoning) and before.text and not before.signature:
                part = Reasoning(before.text + part.text, part.signature)
                joined.pop()
        joined.append(part)
    return joined


def _result(response: wire.FunctionResponse, ids: _Ids, extra: Extra) -> ToolResult:
    said = response.response or {}
    key = next(iter(said)) if len(said) == 1 else ""
    parts: list[Text | Image | Document] = []
    if said:
        parts.append(Text(_words(said[key] if key in ("output", "error") else Raw(_encoder.encode(said)))))
    where = "contents.parts.functionResponse.parts"
    for inner in response.parts or ():
        piece = _media(inner, where, extra)
        if isinstance(piece, (Image, Document)):
            parts.append(piece)
        elif piece is not None:
            extra[where] = Raw(_encoder.encode(inner))
    return ToolResult(ids.of_response(response), parts, response.name, is_error=key == "error")


def _words(raw: Raw) -> str:
    """A JSON string's text; any other value as JSON."""
    value: object = msgspec.json.decode(raw)
    return value if isinstance(value, str) else bytes(raw).decode()


def _media(part: wire.Part | wire.ResponsePart, where: str, extra: Extra) -> Audio | Image | Document | None:
    if part.inline_data is not None:
        piece = _inline(part.inline_data)
        name = "inlineData"
    elif part.file_data is not None:
        piece = _by_url(part.file_data)
        name = "fileData"
    else:
        return None
    if piece is None:
        extra[f"{where}.{name}"] = Raw(_encoder.encode(part))
    return piece


def _inline(blob: wire.Blob) -> Audio | Image | Document | None:
    kind = blob.mime_type.partition("/")[0]
    if kind == "image":
        return Image(data=blob.data, media_type=blob.mime_type)
    if kind == "audio":
        return Audio(blob.data, media.audio_format(blob.mime_type))
    if kind == "video":
        return None
    return Document(data=blob.data, media_type=blob.mime_type, filename=blob.display_name)


def _by_url(file: wire.FileData) -> Image | Document | None:
    media_type = file.mime_type or media.of_url(file.file_uri)
    kind = media_type.partition("/")[0] if media_type else None
    if not media.is_public(file.file_uri) or kind in (None, "audio", "video"):
        return None
    if kind == "image":
        return Image(url=file.file_uri, media_type=media_type)
    return Document(url=file.file_uri, media_type=media_type, filename=file.display_name)
