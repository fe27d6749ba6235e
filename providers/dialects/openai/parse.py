"""A caller's body → `ChatRequest`: what every request pays, so one typed decode and one pass over the messages.

Checked here is everything `unfold` relies on, so that a request accepted once can be translated for any provider.
What only a translation cares about (whether a schema is an object, what unknown fields there are) waits for it.
"""

from __future__ import annotations

from functools import partial

from msgspec import Raw

from providers.chat import ChatRequest
from providers.dialect import InvalidRequest
from providers.dialects.openai.shapes import CALLABLE, NULL, Format, Message, Part, Request, Tool, request_decoder
from providers.dialects.openai.unfold import unfold
from providers.dialects.wire import read_request

#: Who asks has two fields, of which the newer one counts.
SAFETY = {"user": "safety_identifier"}
#: What others have another name for, and this dialect the same for both.
_WORDS = {"effort.enabled": "reasoning_effort"}
#: Part type → the field that holds it, and the capability a model needs for it.
_PARTS: dict[str, tuple[str, str | None]] = {
    "text": ("text", None),
    "refusal": ("refusal", None),
    "image_url": ("image_url", "vision"),
    "input_audio": ("input_audio", "audio"),
    "file": ("file", "documents"),
}


def parse(body: bytes) -> ChatRequest:
    """The typed view of a caller's body. Raises `InvalidRequest`."""
    request = read_request(request_decoder, body)
    needs: set[str] = set()
    attached = 0
    for at, message in enumerate(request.messages):
        attached += _scan(message, at, needs)
    _needs(request, needs)
    options = request.stream_options
    bound = request.max_completion_tokens
    return ChatRequest(
        dialect="openai",
        body=body,
        model=request.model,
        unfold=partial(unfold, request, body),
        stream=bool(request.stream),
        include_usage=options is not None and bool(options.include_usage),
        input_tokens=(len(body) - attached) // 4,
        max_tokens=request.max_tokens if bound is None else bound,
        temperature=request.temperature,
        n=request.n or 1,
        stop=[request.stop] if isinstance(request.stop, str) else request.stop or [],
        needs=frozenset(needs),
        user=request.safety_identifier or request.user,
        metadata=request.metadata,
        words=_WORDS | SAFETY if request.safety_identifier else _WORDS,
    )


def _missing(path: str, why: str = "") -> InvalidRequest:
    """A required field is not there."""
    return InvalidRequest(f"Missing required field: '{path}'{why}.", param=path, code="missing_required_parameter")


def _scan(message: Message, at: int, needs: set[str]) -> int:
    """Check one message; the bytes of its attachments, which are not text to be counted."""
    if message.role == "tool" and message.tool_call_id is None:
        raise _missing(f"messages[{at}].tool_call_id", ", the id of the call that the message answers")
    content = message.content
    if content is None and message.role not in ("assistant", "function"):
        raise _missing(f"messages[{at}].content")
    for number, call in enumerate(message.tool_calls or ()):
        if call.function is None and call.type in CALLABLE:
            raise _missing(f"messages[{at}].tool_calls[{number}].function")
    if type(content) is not list:
        return 0
    attached = 0
    for number, part in enumerate(content):
        known = _PARTS.get(part.type)
        if known is not None:
            if getattr(part, known[0]) is None:
                raise _missing(f"messages[{at}].content[{number}].{known[0]}")
            if known[1] is not None:
                needs.add(known[1])
                attached += _size(part)
    return attached


def _size(part: Part) -> int:
    """The bytes of data a part carries. An address is short enough to count as text."""
    if part.image_url is not None:
        url = part.image_url if isinstance(part.image_url, str) else part.image_url.url
        return len(url) if url.startswith("data:") else 0
    if part.input_audio is not None:
        return len(part.input_audio.data)
    return len(part.file.file_data or "") if part.file else 0


def _needs(request: Request, needs: set[str]) -> None:
    """Check tools and format; add the capabilities that fields other than messages need."""
    if request.tools:
        needs.add("tools")
        for at, tool in enumerate(request.tools):
            _check_tool(tool, at)
    choice = request.tool_choice
    if choice is not None and not isinstance(choice, str) and choice.type == "function" and choice.function is None:
        raise _missing("tool_choice.function")
    if bytes(request.functions) != NULL:
        needs.add("tools")
    if request.response_format is not None:
        _check_format(request.response_format, needs)
    if request.reasoning_effort not in (None, "none"):
        needs.add("reasoning")
    if request.modalities and "audio" in request.modalities:
        needs.add("audio")


def _check_tool(tool: Tool, at: int) -> None:
    if tool.type != "function":
        return
    if tool.function is None:
        raise _missing(f"tools[{at}].function")
    _check_object(tool.function.parameters, f"tools[{at}].function.parameters")


def _check_format(wanted: Format, needs: set[str]) -> None:
    if wanted.type != "json_schema":
        return
    needs.add("json_schema")
    if wanted.json_schema is None:
        raise _missing("response_format.json_schema")
    _check_object(wanted.json_schema.schema, "response_format.json_schema.schema")


def _check_object(raw: Raw, path: str) -> None:
    if not bytes(raw).startswith((b"{", NULL)):
        raise InvalidRequest(
            f"Invalid request at '{path}': send a JSON schema, which is an object.", param=path, code="invalid_type"
        )
