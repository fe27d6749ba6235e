"""Items of a conversation: read by their type, checked, and put into turns.

A model's answer is several items in a row (thoughts, a message, calls) and one turn; so are the outputs of parallel
calls. Items of types that no conversation holds are passed over here: `leftover` has named those of the body, `parse`
those that are recalled.

`encrypted_content` of thoughts is ours: what proves them to the provider that wrote them, in a sealed-looking coat.
One that another gateway or OpenAI wrote opens nothing here, and is left out as the thoughts of another's model are.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import Raw, Struct

from providers import chat
from providers.chat import Turn
from providers.dialect import InvalidRequest
from providers.dialects import wire
from providers.dialects.openai.unfold import call_signature, data_url, document
from providers.dialects.responses import custom
from providers.dialects.responses.shapes import (
    ITEMS,
    CustomCall,
    FunctionCall,
    FunctionOutput,
    Item,
    Json,
    Message,
    Part,
    Picture,
    Reference,
    Thought,
    kind_decoder,
)

_encoder = msgspec.json.Encoder()
#: Characters of an id that are repeated in a message.
_LONGEST_ID = 200
#: How sealed thoughts begin, so that ours are told from anybody else's.
SEAL = "steelyard."
#: How ids of given items begin.
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "reasoning": "rs",
}


class Sealed(Struct, array_like=True):
    """What a provider wants back with thoughts: see `providers.chat.Reasoning`."""

    signature: str | None = None
    redacted: str | None = None


_sealed = msgspec.json.Decoder(Sealed)
#: Part type → the fields of which one must be there, and the capability a model needs for it.
_PARTS: dict[str, tuple[tuple[str, ...], str | None]] = {
    "input_text": (("text",), None),
    "output_text": (("text",), None),
    "refusal": (("refusal",), None),
    "input_image": (("image_url", "file_id"), "vision"),
    "input_audio": (("input_audio",), "audio"),
    "input_file": (("file_data", "file_url", "file_id"), "documents"),
}


class Scan(Struct):
    """What the items need of a model, and the bytes of their attachments, which are not text to be counted."""

    needs: set[str]
    attached: int = 0


def seal(signature: str | None, redacted: str | None) -> str | None:
    """`encrypted_content` for a proof or opaque thoughts, if there are any."""
    if signature is None and redacted is None:
        return None
    return SEAL + b64encode(_encoder.encode(Sealed(signature, redacted))).decode()


def unseal(content: str | None) -> Sealed:
    """What is inside; nothing when it is not ours."""
    if content is None or not content.startswith(SEAL):
        return Sealed()
    try:
        return _sealed.decode(b64decode(content.removeprefix(SEAL)))
    except (binascii.Error, msgspec.DecodeError, UnicodeDecodeError):
        return Sealed()


def text_item(text: str) -> Json:
    """The item that a bare text stands for."""
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def in_place(given: Iterable[Json], referenced: Mapping[str, Json]) -> list[Json]:
    """The items, and what references refer to in their place."""
    return [referenced.get(str(one.get("id"))) or one if one.get("type") == "item_reference" else one for one in given]


def kept(given: list[Json], identity: str, referenced: Mapping[str, Json]) -> list[Json]:
    """The items as they are stored: in place, with ids, contents as lists."""
    found: list[Json] = []
    for at, item in enumerate(in_place(given, referenced)):
        kind = item.get("type") or "message"
        named = item.get("id") or f"{_PREFIXES.get(kind, 'item')}_{identity}_i{at}"
        item = {**item, "id": named, "type": kind}
        content = item.get("content")
        if isinstance(content, str):
            text = "output_text" if item.get("role") == "assistant" else "input_text"
            item["content"] = [{"type": text, "text": content, **({"annotations": []} if text[0] == "o" else {})}]
        found.append(item)
    return found


def response_of(identity: str) -> str | None:
    """The id of the response that an item belongs to, told by the item's own; None when it is none of ours."""
    prefix, _, rest = identity.partition("_")
    name = rest.rpartition("_")[0]
    return f"resp_{name}" if prefix and name else None


def bare(text: str) -> Message:
    """The same, read."""
    return Message("user", text)


def read(raw: Raw, path: str) -> Item | None:
    """The item, or None when it is of a type that no conversation holds. Raises `InvalidRequest`."""
    try:
        kind = kind_decoder.decode(raw).type or "message"
        decoder = ITEMS.get(kind)
        item: Item | CustomCall | None = decoder.decode(raw) if decoder else None
    except msgspec.ValidationError as exc:
        raise _placed(wire.invalid(exc), path) from exc
    except UnicodeDecodeError as exc:
        raise InvalidRequest(f"The request body is not valid JSON: {exc}.", code="invalid_json") from exc
    return custom.call(item) if isinstance(item, CustomCall) else item


def _placed(error: InvalidRequest, path: str) -> InvalidRequest:
    """The same complaint, seen from the body."""
    param = f"{path}.{error.param}" if error.param else path
    told = error.message.replace(f"'{error.param}'", f"'{param}'") if error.param else f"{path}: {error.message}"
    return InvalidRequest(told, param=param, code=error.code)


def resolved(item: Item | None, referenced: Mapping[str, Json], path: str) -> Item | None:
    """What a reference refers to; any other item as it is. Raises `InvalidRequest`."""
    if not isinstance(item, Reference):
        return item
    found = referenced.get(item.id)
    if found is None:
        raise InvalidRequest(
            f"Item with id '{item.id[:_LONGEST_ID]}' not found: it is not stored here for you.",
            param=f"{path}.id",
            code="item_not_found",
        )
    return read(Raw(_encoder.encode(found)), path)


def check(item: Item, path: str, calls: dict[str, str], scan: Scan) -> None:
    """Everything `turns` relies on. `calls` collects call id → function name. Raises `InvalidRequest`."""
    if isinstance(item, FunctionCall):
        calls[item.call_id] = item.name
    elif isinstance(item, FunctionOutput):
        if item.call_id not in calls:
            raise InvalidRequest(
                f"No tool call found for function call output with call_id {item.call_id[:_LONGEST_ID]}.",
                param=f"{path}.call_id",
                code="invalid_value",
            )
        _check_parts(item.output, f"{path}.output", scan)
    elif isinstance(item, Thought):
        scan.attached += len(item.encrypted_content or "")
    elif isinstance(item, Picture):
        scan.attached += len(item.result or "")
    elif isinstance(item, Message):
        _check_parts(item.content, f"{path}.content", scan)


def _check_parts(content: str | list[Part], path: str, scan: Scan) -> None:
    if isinstance(content, str):
        return
    for at, part in enumerate(content):
        fields, need = _PARTS.get(part.type, ((), None))
        if fields and all(getattr(part, name) is None for name in fields):
            where = f"{path}[{at}].{fields[0]}"
            raise InvalidRequest(f"Missing required field: '{where}'.", param=where, code="missing_required_parameter")
        if need is not None:
            scan.needs.add(need)
            scan.attached += _size(part)


def _size(part: Part) -> int:
    """The bytes of data a part carries; an address is short enough to count as text."""
    if part.input_audio is not None:
        return len(part.input_audio.data)
    url = part.image_url or ""
    return len(part.file_data or "") + (len(url) if url.startswith("data:") else 0)


def turns(items: list[Item], calls: Mapping[str, str]) -> list[Turn]:
    """The conversation that the items are."""
    said: list[Turn] = []
    for item in items:
        if isinstance(item, FunctionOutput):
            parts = [one for one in _parts(item.output) if isinstance(one, chat.Text | chat.Image | chat.Document)]
            _join(said, "user", [chat.ToolResult(item.call_id, parts, calls.get(item.call_id))], chat.ToolResult)
        elif isinstance(item, FunctionCall):
            call = chat.ToolCall(item.call_id, item.name, item.arguments, call_signature(item.extra_content))
            _join(said, "assistant", [call])
        elif isinstance(item, Thought):
            _join(said, "assistant", [_thought(item)])
        elif isinstance(item, Picture):
            _join(said, "assistant", _drawn(item))
        elif isinstance(item, Message) and item.role == "assistant":
            _join(said, "assistant", _parts(item.content))
        elif isinstance(item, Message):
            said.append(Turn("user" if item.role == "user" else "system", _parts(item.content)))
    return said


def _join(said: list[Turn], role: chat.Role, parts: list[chat.Part], only: type = object) -> None:
    """Add to the last turn when it is of this role and holds nothing but `only`, else begin one."""
    if said and said[-1].role == role and all(isinstance(part, only) for part in said[-1].parts):
        said[-1].parts.extend(parts)
    else:
        said.append(Turn(role, parts))


def _thought(item: Thought) -> chat.Part:
    words = item.content or item.summary
    sealed = unseal(item.encrypted_content)
    return chat.Reasoning("\n\n".join(one.text for one in words), sealed.signature, sealed.redacted)


def _drawn(item: Picture) -> list[chat.Part]:
    if item.result is None:
        return []
    # The API draws PNG unless it is told otherwise, and says so then.
    return [chat.Image(data=item.result, media_type=f"image/{item.output_format or 'png'}")]


def _parts(content: str | list[Part]) -> list[chat.Part]:
    if isinstance(content, str):
        return [chat.Text(content)] if content else []
    return [made for part in content if (write := _MAKERS.get(part.type)) and (made := write(part)) is not None]


def _marker(part: Part) -> Json | None:
    return None if part.prompt_cache_breakpoint is None else {"type": "ephemeral"}


def _text(part: Part) -> chat.Part:
    return chat.Text(part.text or "", _marker(part))


def _refusal(part: Part) -> chat.Part:
    return chat.RefusalText(part.refusal or "")


def _image(part: Part) -> chat.Part | None:
    if part.image_url is None:
        return None
    media_type, data = data_url(part.image_url)
    url = part.image_url if data is None else None
    return chat.Image(url=url, data=data, media_type=media_type, detail=part.detail, cache_control=_marker(part))


def _audio(part: Part) -> chat.Part:
    sound = part.input_audio
    return chat.Audio(sound.data, sound.format) if sound else chat.Audio("", "")


def _file(part: Part) -> chat.Part:
    if part.file_data is None:
        return chat.Document(url=part.file_url, file_id=part.file_id, filename=part.filename)
    return document(part.file_data, part.filename, _marker(part))


_MAKERS: dict[str, Callable[[Part], chat.Part | None]] = {
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
    "input_image": _image,
    "input_audio": _audio,
    "input_file": _file,
}
