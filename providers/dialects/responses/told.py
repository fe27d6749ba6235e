"""What a provider that has the Responses API answers: whole responses and events → the gateway's facts and chunks.

Chunks are for the bill, for the commit point, for the judge and for whoever goes on with a broken stream; the caller
gets the events themselves (`relay`). The call of a built-in tool commits like any other call: it may take minutes, and
nobody else should be asked meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct

from providers.amending import Check
from providers.chat import (
    Begin,
    ChatChunk,
    ChatReply,
    Choice,
    Finish,
    Json,
    Part,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    RefusalText,
    Text,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.dialects.openai.answers import Count
from providers.dialects.openai.faults import fault, fault_in
from providers.dialects.openai.shapes import ABSENT, NULL
from providers.dialects.wire import read_answer
from providers.errors import Fault, Garbled, Misconfigured, Rejected
from providers.sse import Event

#: Codes of failed responses that tell of the request (the API reference's list); the others tell of the server.
_CALLERS = (
    "invalid_prompt",
    "bio_policy",
    "misalignment_policy_violation",
    "invalid_image",
    "invalid_image_format",
    "invalid_base64_image",
    "invalid_image_url",
    "image_too_large",
    "image_too_small",
    "image_parse_error",
    "image_content_policy_violation",
    "invalid_image_mode",
    "image_file_too_large",
    "unsupported_image_media_type",
    "empty_image_file",
    "failed_to_download_image",
    "image_file_not_found",
)
_SERVERS_FAULT = "server_error"
#: All of them.
_CODES = frozenset(
    {*_CALLERS, _SERVERS_FAULT, "rate_limit_exceeded", "vector_store_timeout", "data_residency_mismatch"}
)
_REASONS = {"max_output_tokens": "length"}
#: Items that the caller has to answer before there is more to be said.
_CALLS = frozenset(
    {
        "function_call",
        "custom_tool_call",
        "computer_call",
        "local_shell_call",
        "shell_call",
        "apply_patch_call",
        "mcp_approval_request",
    }
)
#: Phases of messages that are the answer; the others are remarks on the way to it.
_FINAL = (None, "final_answer")
_encoder = msgspec.json.Encoder()


class _Input(Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None


class _Output(Struct):
    reasoning_tokens: Count | None = None


class _Counted(Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: _Input | None = None
    output_tokens_details: _Output | None = None


class _Why(Struct):
    reason: str | None = None


class _Failure(Struct):
    code: str | None = None
    message: str | None = None


class _Item(Struct):
    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    #: Of a call of a `custom` tool a text.
    input: Any = None
    phase: str | None = None
    content: list[dict[str, Any]] | None = None
    summary: list[dict[str, Any]] | None = None


class Response(Struct):
    """A response, as far as the gateway reads it."""

    status: str
    id: str = ""
    model: str = ""
    created_at: float = 0
    output: list[_Item] | None = None
    usage: _Counted | None = None
    error: _Failure | None = None
    incomplete_details: _Why | None = None
    service_tier: str | None = None


class _Failing(Struct):
    error: Raw = ABSENT
    object: str | None = None


class _Told(Struct):
    """An event."""

    type: str | None = None
    response: Response | None = None
    item: _Item | None = None
    output_index: int = 0
    delta: str = ""


class _Ended(Struct):
    type: str | None = None


_response = msgspec.json.Decoder(Response)
_told = msgspec.json.Decoder(_Told)
_ended = msgspec.json.Decoder(_Ended)
_failing = msgspec.json.Decoder(_Failing)
_object = msgspec.json.Decoder(dict[str, Any])


def decode(body: bytes) -> tuple[Json, ChatReply]:
    """A whole answer: as it is, and what it says. Raises `Garbled`, or the fault that came in its place."""
    failing = read_answer(_failing, body, "responses")
    if bytes(failing.error) != NULL and failing.object != "response":
        raise fault_in(body)
    response = read_answer(_response, body, "responses")
    if response.status == "failed":
        raise _failed(response)
    if response.status not in {"completed", "incomplete"}:
        raise Garbled("The provider's response is neither complete nor incomplete.")
    choice = Choice(_parts(response), finish_reason(response))
    reply = ChatReply(response.id, response.model, [choice], usage(response.usage), int(response.created_at))
    return _object.decode(body), reply


def error_code(known: str | None) -> str:
    """How this API calls a failure of which a provider's code is known, or nothing."""
    return known if known in _CODES else _SERVERS_FAULT


def usage(counted: _Counted | None) -> Usage:
    """Tokens in the gateway's convention, which is this API's."""
    if counted is None:
        return Usage()
    read, thought = counted.input_tokens_details or _Input(), counted.output_tokens_details or _Output()
    return Usage(
        counted.input_tokens or 0,
        counted.output_tokens or 0,
        read.cached_tokens or 0,
        read.cache_write_tokens or 0,
        thought.reasoning_tokens or 0,
    )


def finish_reason(response: Response) -> str:
    """Why it ended, in the gateway's words."""
    if response.status == "incomplete":
        reason = (response.incomplete_details and response.incomplete_details.reason) or "incomplete"
        return _REASONS.get(reason, reason)
    items = response.output or ()
    if any(item.type in _CALLS for item in items):
        return "tool_calls"
    refused = any(part.get("type") == "refusal" for item in items for part in item.content or ())
    return "refusal" if refused else "stop"


def judge(told: Json, check: Check) -> None:
    """Have a complete answer judged as the SDKs read it: each text of it by itself, and none that only leads up to it.

    Raises what `check` raises.
    """
    response = msgspec.convert(told, Response)
    if finish_reason(response) != "stop":
        return
    messages = [item for item in response.output or () if item.type == "message" and item.phase in _FINAL]
    texts = [str(part.get("text", "")) for item in messages for part in item.content or ()]
    for text in texts or [""]:
        check(text)


def _parts(response: Response) -> list[Part]:
    """What was said, as far as a judge reads it, or an estimate of its tokens counts it."""
    parts: list[Part] = []
    for item in response.output or ():
        if item.type == "reasoning":
            thoughts = [*(item.summary or ()), *(item.content or ())]
            parts.append(Reasoning("".join(str(one.get("text", "")) for one in thoughts)))
        elif item.type == "message":
            for part in item.content or ():
                refusal = part.get("refusal")
                parts.append(Text(str(part.get("text", ""))) if refusal is None else RefusalText(str(refusal)))
        else:
            given = item.arguments or (item.input if isinstance(item.input, str) else "")
            parts.append(ToolCall(item.call_id or item.id or "", item.name or item.type, given))
    return parts


def _failed(response: Response) -> Fault:
    error = response.error or _Failure()
    kind = "invalid_request_error" if error.code in _CALLERS else None
    told = {"code": error.code, "message": error.message or "The response failed.", "type": kind}
    return fault_in(_encoder.encode({"error": told}))


class StreamDecoder:
    """See `providers.dialect.StreamDecoder`. Complete after the event that holds the finished response."""

    #: What has no chunk is its composer's to tell.
    opaque = False

    def __init__(self) -> None:
        """Nothing seen yet."""
        self._complete = False

    @property
    def complete(self) -> bool:
        """Whether the terminal event was seen."""
        return self._complete

    def feed(self, event: Event) -> list[ChatChunk]:
        """The chunks of one event. Raises `Garbled`, or the fault that a failure stands for."""
        if self._complete or event.data.strip() == b"[DONE]":
            return []
        kind = read_answer(_ended, event.data, "responses").type or event.type
        if kind in ("error", ""):
            raise fault_in(event.data)
        write = _WRITERS.get(kind)
        if write is None:
            return []
        chunks = write(read_answer(_told, event.data, "responses"))
        self._complete = kind in TERMINAL
        return chunks

    def usage_only(self, event: Event) -> bool:
        """Never: tokens are told with the end."""
        return False


def _begun(told: _Told) -> list[ChatChunk]:
    response = _of(told)
    return [Begin(response.id, response.model, int(response.created_at), response.service_tier)]


def _ended_well(told: _Told) -> list[ChatChunk]:
    response = _of(told)
    # One that is not counted is estimated, like any other stream.
    counted = [] if response.usage is None else [UsageReport(usage(response.usage))]
    return [Finish(finish_reason(response)), *counted]


def _ended_badly(told: _Told) -> list[ChatChunk]:
    raise _failed(_of(told))


def _of(told: _Told) -> Response:
    if told.response is None:
        raise Garbled("The provider's event lacks its response.")
    return told.response


def _added(told: _Told) -> list[ChatChunk]:
    item = told.item or _Item()
    if item.type in ("", "message", "reasoning"):
        return []
    return [ToolCallDelta(told.output_index, id=item.call_id or item.id, name=item.name or item.type)]


def _text(told: _Told) -> list[ChatChunk]:
    return [TextDelta(told.delta)] if told.delta else []


def _thought(told: _Told) -> list[ChatChunk]:
    return [ReasoningDelta(told.delta)] if told.delta else []


def _refusal(told: _Told) -> list[ChatChunk]:
    return [RefusalDelta(told.delta)] if told.delta else []


def _arguments(told: _Told) -> list[ChatChunk]:
    return [ToolCallDelta(told.output_index, told.delta)] if told.delta else []


#: The events that end a stream.
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})
_WRITERS: dict[str, Callable[[_Told], list[ChatChunk]]] = {
    "response.created": _begun,
    "response.completed": _ended_well,
    "response.incomplete": _ended_well,
    "response.failed": _ended_badly,
    "response.output_item.added": _added,
    "response.output_text.delta": _text,
    "response.refusal.delta": _refusal,
    "response.reasoning_text.delta": _thought,
    "response.reasoning_summary_text.delta": _thought,
    "response.function_call_arguments.delta": _arguments,
    "response.custom_tool_call_input.delta": _arguments,
    "response.mcp_call_arguments.delta": _arguments,
    "response.code_interpreter_call_code.delta": _arguments,
}


class Native:
    """The API as `client` needs it; see `providers.client.Speaks`."""

    def stream_decoder(self) -> StreamDecoder:
        """A decoder for one stream."""
        return StreamDecoder()

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """What an answer with an error status means. Never raises.

        OpenAI says it as elsewhere, but for 404: here it may be a file, a prompt or a store that the caller named, and
        no caller's mistake may take a server out of service for all. Without a field it is the path that is not there.
        """
        found = fault(status, headers, body)
        about_model = found.param == "model" or found.code == "model_not_found"
        if status != 404 or not isinstance(found, Misconfigured) or about_model:
            return found
        if found.param is not None:
            return Rejected(found.message, status=status, code=found.code, param=found.param)
        hint = "If this server has no /responses, say 'responses: false' in its profile."
        return Misconfigured(f"{found.message} {hint}", status=status, code=found.code)


NATIVE = Native()
