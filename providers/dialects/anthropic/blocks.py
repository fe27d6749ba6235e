"""Content blocks of a caller's messages → parts.

Law: what a part cannot hold is kept aside under its path (`messages[2].content[0].citations`), so that the target
dialect can refuse it by name. Only three things are left out without a word: a field at its empty value (`null`,
`false`, `[]`, `{}`), the cache marker of a tool call, and a tool call's caller when it is the model itself. Cache
markers are hints: they change what an answer costs, never what it says.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from providers.chat import Document, Image, Json, Part, Reasoning, Text, ToolCall, ToolResult
from providers.dialect import InvalidRequest
from providers.dialects import proofs
from providers.dialects.wire import invalid

Fields = dict[str, Raw]
Left = dict[str, Raw]
#: What the result of a tool may be made of: results do not nest.
_NESTED = ("text", "image", "document")
_EMPTY = (b"null", b"false", b"[]", b"{}")


class _Head(Struct):
    type: str


class _Text(Struct):
    type: str
    text: str
    cache_control: Json | None = None


class _Source(Struct):
    type: str
    data: str = ""
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None


class _Image(Struct):
    type: str
    source: _Source
    cache_control: Json | None = None


class _Document(Struct):
    type: str
    source: _Source
    title: str | None = None
    cache_control: Json | None = None


class _Thinking(Struct):
    type: str
    thinking: str
    signature: str


class _Redacted(Struct):
    type: str
    data: str


class _Caller(Struct):
    type: str


class _ToolUse(Struct):
    type: str
    id: str
    name: str
    input: Raw
    caller: _Caller | None = None
    cache_control: Json | None = None


class _ToolResult(Struct):
    type: str
    tool_use_id: str
    content: str | list[Raw] | None = None
    is_error: bool | None = None
    cache_control: Json | None = None


_head = msgspec.json.Decoder(_Head)
_fields = msgspec.json.Decoder(dict[str, Raw])


def leftover(fields: dict[str, Raw], known: tuple[str, ...], path: str, left: Left) -> None:
    """Keep aside the fields that are not known and say something."""
    for name, value in fields.items():
        if name not in known and bytes(value) not in _EMPTY:
            left[f"{path}.{name}" if path else name] = value


def decode(decoder: msgspec.json.Decoder[Any], raw: Raw, path: str) -> Any:
    """This piece of the body as the decoder's type. Raises `InvalidRequest` with the whole path."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as exc:
        found = invalid(exc)
        param = f"{path}.{found.param}" if found.param else path
        raise InvalidRequest(f"Invalid request at '{param}': {exc}.", param=param, code=found.code) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise InvalidRequest(f"The request body is not valid JSON at '{path}': {exc}.", code="invalid_json") from exc


class Reader:
    """Reads the blocks of one request; remembers what each tool call was named, for results that do not say."""

    def __init__(self, left: Left) -> None:
        """Keep aside in `left` what parts cannot hold."""
        self._left = left
        self._names: dict[str, str] = {}
        #: Gemini's proof of the call that comes next: `reply` had no other place for it.
        self._proof: str | None = None
        self._kinds: dict[str, tuple[msgspec.json.Decoder[Any], Callable[[Any, str, Fields], Part | None]]] = {
            "text": (_text, self._of_text),
            "image": (_image, self._of_image),
            "document": (_document, self._of_document),
            "thinking": (_thinking, self._of_thinking),
            "redacted_thinking": (_redacted, self._of_redacted),
            "tool_use": (_tool_use, self._of_tool_use),
            "tool_result": (_tool_result, self._of_tool_result),
        }

    def parts(self, content: str | list[Raw], path: str, *, nested: bool = False) -> list[Part]:
        """The parts of one message, of `system`, or (`nested`) of a tool's result."""
        if isinstance(content, str):
            return [Text(content)]
        read = [self._part(raw, f"{path}[{number}]", nested) for number, raw in enumerate(content)]
        return [part for part in read if part is not None]

    def _part(self, raw: Raw, path: str, nested: bool) -> Part | None:
        kind = decode(_head, raw, path).type
        entry = self._kinds.get(kind)
        if entry is None or (nested and kind not in _NESTED):
            self._left[f"{path} ({kind})"] = raw
            return None
        decoder, make = entry
        block = decode(decoder, raw, path)
        fields = decode(_fields, raw, path)
        if kind == "document" and bytes(fields.get("citations", b"")).replace(b" ", b"") == b'{"enabled":false}':
            del fields["citations"]  # the default, said aloud
        leftover(fields, block.__struct_fields__, path, self._left)
        return make(block, path, fields)

    def _of_text(self, block: _Text, path: str, fields: Fields) -> Part:
        return Text(block.text, block.cache_control)

    def _of_image(self, block: _Image, path: str, fields: Fields) -> Part | None:
        source = block.source
        match source.type:
            case "base64":
                return Image(data=source.data, media_type=source.media_type, cache_control=block.cache_control)
            case "url" if source.url:
                return Image(url=source.url, cache_control=block.cache_control)
            case _:
                return self._aside(path, source, fields)

    def _of_document(self, block: _Document, path: str, fields: Fields) -> Part | None:
        source, title, marker = block.source, block.title, block.cache_control
        match source.type:
            case "base64":
                return Document(data=source.data, media_type=source.media_type, filename=title, cache_control=marker)
            case "text":
                data = b64encode(source.data.encode()).decode()
                return Document(data=data, media_type="text/plain", filename=title, cache_control=marker)
            case "url" if source.url:
                return Document(url=source.url, media_type="application/pdf", filename=title, cache_control=marker)
            case _:  # among them `file`: no other provider can read what was uploaded to Anthropic
                return self._aside(path, source, fields)

    def _aside(self, path: str, source: _Source, fields: Fields) -> None:
        self._left[f"{path}.source ({source.type})"] = fields["source"]

    def _of_thinking(self, block: _Thinking, path: str, fields: Fields) -> Part | None:
        if block.signature.startswith(proofs.GEMINI_CALL):
            self._proof = block.signature.removeprefix(proofs.GEMINI_CALL)
            return None
        return Reasoning(block.thinking, signature=block.signature)

    def _of_redacted(self, block: _Redacted, path: str, fields: Fields) -> Part:
        return Reasoning(redacted=block.data)

    def _of_tool_use(self, block: _ToolUse, path: str, fields: Fields) -> Part:
        self._names[block.id] = block.name
        arguments = bytes(block.input).decode()
        if not arguments.startswith("{"):
            raise InvalidRequest(
                f"Invalid request at '{path}.input': send an object.", param=f"{path}.input", code="invalid_type"
            )
        if block.caller and block.caller.type != "direct":
            self._left[f"{path}.caller"] = fields["caller"]
        proof, self._proof = self._proof, None
        return ToolCall(block.id, block.name, arguments, proof)

    def _of_tool_result(self, block: _ToolResult, path: str, fields: Fields) -> Part:
        parts = self.parts(block.content or [], f"{path}.content", nested=True)
        kept = [part for part in parts if isinstance(part, Text | Image | Document)]
        name = self._names.get(block.tool_use_id)
        return ToolResult(block.tool_use_id, kept, name, bool(block.is_error), block.cache_control)


_text = msgspec.json.Decoder(_Text)
_image = msgspec.json.Decoder(_Image)
_document = msgspec.json.Decoder(_Document)
_thinking = msgspec.json.Decoder(_Thinking)
_redacted = msgspec.json.Decoder(_Redacted)
_tool_use = msgspec.json.Decoder(_ToolUse)
_tool_result = msgspec.json.Decoder(_ToolResult)
