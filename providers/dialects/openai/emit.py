"""Chunks → the bytes of a stream for a caller.

Order, as the API has it: per choice a first event with the role, then its pieces, then an event with the finish reason;
at the end one event with the usage, if the caller asked for it, and `data: [DONE]`. What never changes within a stream
is encoded once. Usage that the provider never reported is not made up: its event is left out.

For what has no place in this dialect see `reply`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from providers.chat import (
    Begin,
    ChatChunk,
    ChatRequest,
    Cited,
    Finish,
    ImageDelta,
    Json,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReport,
)
from providers.dialects.openai.reply import (
    rendered_citations,
    rendered_finish,
    rendered_image,
    rendered_signature,
    rendered_usage,
)
from providers.dialects.openai.thinking import Thinking

_encoder = msgspec.json.Encoder()
_ROLE: Json = {"role": "assistant", "content": "", "refusal": None}


class StreamEncoder:
    """See `providers.dialect.StreamEncoder`."""

    #: It writes anew what chunks say.
    rewrite = None

    def __init__(self, request: ChatRequest) -> None:
        """Ready for the first chunk of the answer to this request."""
        self._include_usage = request.include_usage
        self._usage: Usage | None = None
        self._opened: set[int] = set()
        self._refused: set[int] = set()
        self._thinking = Thinking()
        self._head = _head(Begin("", request.model))
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"

    def encode(self, chunk: ChatChunk) -> bytes:
        """The events one chunk stands for, possibly none."""
        return _WRITERS[type(chunk)](self, chunk)

    def end(self) -> bytes:
        """The usage, if it was asked for, and the terminal event."""
        if self._usage is None or not self._include_usage:
            return b"data: [DONE]\n\n"
        usage = _encoder.encode(rendered_usage(self._usage))
        return self._head + b'[],"usage":' + usage + b"}\n\ndata: [DONE]\n\n"

    def continued(self, told: Json) -> bytes:
        """A chunk that says nothing, with a field that SDKs keep and callers need not know."""
        option: Json = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None}
        mark = b',"steelyard":' + _encoder.encode({"continued": told})
        return self._head + b"[" + _encoder.encode(option) + b"]" + mark + self._tail

    def begin(self, chunk: Begin) -> bytes:
        """The stream's name. Nothing is written before there is something to say."""
        self._head = _head(chunk)
        return b""

    def text(self, chunk: TextDelta) -> bytes:
        """A piece of text."""
        return self._piece(chunk.choice, {"content": chunk.text}, logprobs=chunk.logprobs)

    def reasoning(self, chunk: ReasoningDelta) -> bytes:
        """A piece of thought, and what proves it."""
        delta: Json = {"reasoning_content": chunk.text} if chunk.text else {}
        if detail := self._thinking.proof(chunk):
            delta["reasoning_details"] = [detail]
        return self._piece(chunk.choice, delta) if delta else b""

    def refusal(self, chunk: RefusalDelta) -> bytes:
        """A piece of a refusal."""
        self._refused.add(chunk.choice)
        return self._piece(chunk.choice, {"refusal": chunk.text})

    def call(self, chunk: ToolCallDelta) -> bytes:
        """A piece of a tool call; its first one says what it is."""
        call: Json = {"index": chunk.index}
        function: Json = {"arguments": chunk.arguments}
        if chunk.id is not None:
            call |= {"id": chunk.id, "type": "function"}
        if chunk.name is not None:
            function = {"name": chunk.name, **function}
        call["function"] = function
        return self._piece(chunk.choice, {"tool_calls": [call | rendered_signature(chunk.signature)]})

    def image(self, chunk: ImageDelta) -> bytes:
        """A picture, whole."""
        return self._piece(chunk.choice, {"images": [rendered_image(chunk.image)]})

    def cited(self, chunk: Cited) -> bytes:
        """Sources of what was said."""
        return self._piece(chunk.choice, {"annotations": rendered_citations(chunk.citations)})

    def finish(self, chunk: Finish) -> bytes:
        """The end of a choice."""
        reason = rendered_finish(chunk.reason, refused=chunk.choice in self._refused)
        return self._piece(chunk.choice, {}, reason)

    def report(self, chunk: UsageReport) -> bytes:
        """The tokens so far; the last word on them is written at the end."""
        self._usage = chunk.usage
        return b""

    def _piece(self, choice: int, delta: Json, reason: str | None = None, logprobs: Raw | None = None) -> bytes:
        event = self._event(choice, delta, reason, logprobs)
        if choice in self._opened:
            return event
        self._opened.add(choice)
        return self._event(choice, _ROLE, None, None) + event

    def _event(self, choice: int, delta: Json, reason: str | None, logprobs: Raw | None) -> bytes:
        option: Json = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return self._head + b"[" + _encoder.encode(option) + b"]" + self._tail


def _head(begin: Begin) -> bytes:
    """What stands before the choices in every event."""
    fields: Json = {
        "id": begin.id,
        "object": "chat.completion.chunk",
        "created": begin.created,
        "model": begin.model,
    }
    if begin.service_tier is not None:
        fields["service_tier"] = begin.service_tier
    return b"data: " + _encoder.encode(fields)[:-1] + b',"choices":'


_WRITERS: dict[type, Callable[[StreamEncoder, Any], bytes]] = {
    Begin: StreamEncoder.begin,
    TextDelta: StreamEncoder.text,
    ReasoningDelta: StreamEncoder.reasoning,
    RefusalDelta: StreamEncoder.refusal,
    ToolCallDelta: StreamEncoder.call,
    ImageDelta: StreamEncoder.image,
    Cited: StreamEncoder.cited,
    Finish: StreamEncoder.finish,
    UsageReport: StreamEncoder.report,
}
