"""A caller's chat completion request → `Conversation`, made only when another dialect must be spoken.

Law: every field ends up in the conversation or, under its path, in `Conversation.extra` (see `leftover`). There go the
deprecated `functions` and `function_call`, messages with the role `function`, and custom tools.

Equivalents that are not letter for letter:
- tool messages that follow each other become the results of one user turn, as other dialects want them;
- `safety_identifier` has replaced `user` and stands for it when both are sent;
- `reasoning_effort: none` is thinking switched off;
- `prompt_cache_breakpoint` is the marker that other dialects call ephemeral; how long it lives is theirs to say.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

import msgspec
from msgspec import Raw

from providers import chat
from providers.chat import Conversation, Effort, Json, ResponseFormat, ToolCall, ToolChoice, ToolResult, Turn
from providers.dialects import proofs
from providers.dialects.openai.leftover import leftover
from providers.dialects.openai.shapes import (
    CALLABLE,
    NULL,
    Allowed,
    ExtraContent,
    Format,
    Message,
    NamedTool,
    Part,
    Request,
    SearchOptions,
    Tool,
    details,
)
from providers.searching import WebSearch, place, said_size

_some = msgspec.json.Decoder(Allowed)
_object = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()
_MODES: dict[str, Literal["auto", "none", "required"]] = {"auto": "auto", "none": "none", "required": "required"}
#: The shapes that an answer may be asked to have.
KINDS: dict[str, Literal["text", "json_object", "json_schema"]] = {
    "text": "text",
    "json_object": "json_object",
    "json_schema": "json_schema",
}


def unfold(request: Request, body: bytes) -> Conversation:
    """Everything the body says. Raises `InvalidRequest` for broken UTF-8 in fields that `parse` did not look at."""
    extra = leftover(body)
    stop = request.stop
    bound = request.max_completion_tokens
    effort = request.reasoning_effort
    return Conversation(
        turns=_turns(request.messages),
        tools=[one for tool in request.tools or () if (one := _tool(tool)) is not None],
        tool_choice=_choice(request.tool_choice, extra),
        parallel_tool_calls=request.parallel_tool_calls,
        max_tokens=request.max_tokens if bound is None else bound,
        temperature=request.temperature,
        top_p=request.top_p,
        stop=[stop] if isinstance(stop, str) else stop or [],
        seed=request.seed,
        frequency_penalty=request.frequency_penalty,
        presence_penalty=request.presence_penalty,
        response_format=_format(request.response_format),
        n=request.n or 1,
        logprobs=bool(request.logprobs),
        top_logprobs=request.top_logprobs,
        effort=None if effort is None else Effort(enabled=False) if effort == "none" else Effort(effort),
        user=request.safety_identifier or request.user,
        metadata=_metadata(request.metadata, extra),
        service_tier=request.service_tier,
        store=request.store,
        search=_search(request.web_search_options),
        extra=extra,
    )


def _search(wanted: SearchOptions | None) -> WebSearch | None:
    if wanted is None:
        return None
    path = "web_search_options"
    located = wanted.user_location.approximate if wanted.user_location else None
    return WebSearch(
        path,
        size=said_size(wanted.search_context_size),
        location=place(dict(located)) if located else None,
        paths={"size": f"{path}.search_context_size", "location": f"{path}.user_location"},
    )


def _turns(messages: list[Message]) -> list[Turn]:
    turns: list[Turn] = []
    names: dict[str, str] = {}
    after_tool = False
    for message in messages:
        is_tool = message.role == "tool"
        if is_tool:
            result = _result(message, names)
            if after_tool:
                turns[-1].parts.append(result)
            else:
                turns.append(Turn("user", [result]))
        elif message.role == "assistant":
            turns.append(Turn("assistant", _said(message, names), message.name))
        elif message.role != "function":
            role = "user" if message.role == "user" else "system"
            turns.append(Turn(role, _parts(message.content), message.name))
        after_tool = is_tool
    return turns


def _result(message: Message, names: dict[str, str]) -> ToolResult:
    call = message.tool_call_id or ""
    # The API takes text alone here. Compatible servers take images as well, and so do other dialects.
    parts = [part for part in _parts(message.content) if isinstance(part, chat.Text | chat.Image | chat.Document)]
    return ToolResult(call, parts, names.get(call, message.name))


def _said(message: Message, names: dict[str, str]) -> list[chat.Part]:
    """The parts of an assistant message, in the order in which a model writes them."""
    parts = _thoughts(message)
    parts += _parts(message.content)
    # A proof without a thought is that of the text before it.
    parts += [one for one in _proven(message) if not _is_thought(one)]
    if message.refusal:
        parts.append(chat.RefusalText(message.refusal))
    for call in message.tool_calls or ():
        if call.function is not None and call.type in CALLABLE:
            names[call.id] = call.function.name
            parts.append(
                ToolCall(call.id, call.function.name, call.function.arguments, call_signature(call.extra_content))
            )
    return parts


def _thoughts(message: Message) -> list[chat.Part]:
    """The proven ones, which are all there are; else what was thought in clear."""
    proven: list[chat.Part] = [one for one in _proven(message) if _is_thought(one)]
    clear = message.reasoning_content or message.reasoning
    return proven or ([chat.Reasoning(clear)] if clear else [])


def _proven(message: Message) -> list[chat.Reasoning]:
    """The thoughts with proofs of which it is known whose they are."""
    found: list[chat.Reasoning] = []
    for detail in details(message.reasoning_details):
        if (proof := proofs.proof_in(detail.signature)) is not None:
            found.append(chat.Reasoning(detail.text or "", proof))
        elif (hidden := proofs.proof_in(detail.data)) is not None:
            found.append(chat.Reasoning(redacted=hidden))
    return found


def _is_thought(part: chat.Reasoning) -> bool:
    """Gemini signs texts, too: such a proof stands behind its text."""
    return bool(part.text) or not (part.signature or "").startswith(proofs.GEMINI)


def call_signature(extension: ExtraContent | None) -> str | None:
    """Google's signature of a call, with our label or without."""
    given = extension.google.thought_signature if extension and extension.google else None
    return given and given.removeprefix(proofs.GEMINI)


def _parts(content: str | list[Part] | None) -> list[chat.Part]:
    if isinstance(content, str):
        return [chat.Text(content)] if content else []
    return [_PARTS[part.type](part) for part in content or () if part.type in _PARTS]


def _text(part: Part) -> chat.Part:
    return chat.Text(part.text or "", _marker(part))


def _refusal(part: Part) -> chat.Part:
    return chat.RefusalText(part.refusal or "")


def _image(part: Part) -> chat.Part:
    given = part.image_url
    url, detail = (given.url, given.detail) if given and not isinstance(given, str) else (given or "", None)
    media_type, data = data_url(url)
    if data is None:
        return chat.Image(url=url, detail=detail, cache_control=_marker(part))
    return chat.Image(data=data, media_type=media_type, detail=detail, cache_control=_marker(part))


def _audio(part: Part) -> chat.Part:
    sound = part.input_audio
    return chat.Audio(sound.data, sound.format) if sound else chat.Audio("", "")


def _file(part: Part) -> chat.Part:
    file = part.file
    if file is None or file.file_data is None:
        return chat.Document(file_id=file and file.file_id, filename=file and file.filename)
    return document(file.file_data, file.filename, _marker(part))


_PARTS: dict[str, Callable[[Part], chat.Part]] = {
    "text": _text,
    "refusal": _refusal,
    "image_url": _image,
    "input_audio": _audio,
    "file": _file,
}


def document(given: str, filename: str | None, marker: Json | None) -> chat.Document:
    """A file by its data: a data URL, or bare base64, of which only the name tells what it is."""
    media_type, data = data_url(given)
    if data is None:
        data = given
        media_type = "application/pdf" if (filename or "").lower().endswith(".pdf") else None
    return chat.Document(data=data, media_type=media_type, filename=filename, cache_control=marker)


def data_url(url: str) -> tuple[str | None, str | None]:
    """The media type and the base64 data of a data URL; no data for any other address."""
    if not url.startswith("data:"):
        return None, None
    head, _, data = url[5:].partition(",")
    media_type, *parameters = head.split(";")
    return (media_type or None, data) if "base64" in parameters else (None, None)


def _marker(part: Part) -> Json | None:
    if part.cache_control is not None:
        return part.cache_control
    return None if part.prompt_cache_breakpoint is None else {"type": "ephemeral"}


def _tool(tool: Tool) -> chat.Tool | None:
    function = tool.function
    if tool.type != "function" or function is None:
        return None
    return chat.Tool(
        function.name, function.description, _schema(function.parameters), function.strict, tool.cache_control
    )


def _choice(choice: str | NamedTool | None, extra: dict[str, Raw]) -> ToolChoice | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        return mode_of(choice, extra)
    if choice.type == "allowed_tools":
        return _allowed(choice, extra)
    return ToolChoice("named", choice.function.name) if choice.function else None


def mode_of(choice: str, extra: dict[str, Raw]) -> ToolChoice | None:
    """A choice that names no tool; one that is none stays aside."""
    mode = _MODES.get(choice)
    if mode is None:
        extra["tool_choice"] = Raw(_encoder.encode(choice))
        return None
    return ToolChoice(mode)


def _allowed(choice: NamedTool, extra: dict[str, Raw]) -> ToolChoice | None:
    """Some of the functions; what is of another kind stays aside (`leftover`), and so does what is no such choice."""
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        given = _some.decode(choice.allowed_tools)
        if names := [tool.function.name for tool in given.tools if tool.function is not None]:
            return ToolChoice(given.mode, allowed=names)
    extra["tool_choice.allowed_tools"] = choice.allowed_tools
    return None


def _format(wanted: Format | None) -> ResponseFormat | None:
    kind = KINDS.get(wanted.type) if wanted else None
    if wanted is None or kind is None:
        return None
    schema = wanted.json_schema
    if kind != "json_schema" or schema is None:
        return ResponseFormat(kind)
    return ResponseFormat(kind, schema.name, schema.description, _schema(schema.schema), schema.strict)


def _schema(raw: Raw) -> Json | None:
    return None if bytes(raw) == NULL else _object.decode(raw)


def _metadata(given: Json | None, extra: dict[str, Raw]) -> dict[str, str] | None:
    if not given:
        return None
    if all(isinstance(value, str) for value in given.values()):
        return given
    extra["metadata"] = Raw(_encoder.encode(given))
    return None
