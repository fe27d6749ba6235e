"""Chunks → bytes of one `/v1/messages` stream.

Law: exactly one content block is open at a time; indices count up from 0; the stop reason and the tokens go out
together, when the upstream stream is complete. The tokens are not known when a stream begins, so `message_start` says 0
and `message_delta`, whose counts are cumulative and replace the earlier ones, says all of them.

Sources of another provider's answer are left out: Anthropic's own name a page by a token of its own search.

A signature ends its thinking block. Empty pieces open nothing. Tool calls follow one another: more arguments for a call
after another one began could not be said without two open blocks, so that is `Garbled`; no provider is known to do so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

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
from providers.dialects.anthropic import wire
from providers.dialects.anthropic.reply import proof_of
from providers.dialects.anthropic.signatures import bare
from providers.dialects.anthropic.stream import StreamDecoder
from providers.errors import Garbled

_encoder = msgspec.json.Encoder()


class StreamEncoder:
    """One stream, written in order."""

    #: It writes anew what chunks say.
    rewrite = None

    def __init__(self, request: ChatRequest) -> None:
        """Write an answer to this request, whose model stands in until the provider names its own."""
        self._model = request.model
        self._begun = False
        self._index = -1
        #: What the open block is: `text`, `thinking`, or the number of a tool call; None when none is open.
        self._open: str | int | None = None
        self._calls = -1
        self._finish = Finish("")
        self._refused = False
        self._usage = Usage()
        self._writers: dict[type, Callable[[Any], bytes]] = {
            Begin: self._begin,
            TextDelta: self._text,
            ReasoningDelta: self._reasoning,
            RefusalDelta: self._refusal,
            ToolCallDelta: self._tool_call,
            ImageDelta: self._image,
            Cited: self._cited,
            Finish: self._finished,
            UsageReport: self._counted,
        }

    def encode(self, chunk: ChatChunk) -> bytes:
        """The events one chunk stands for, possibly none. Raises `Garbled`."""
        written = self._writers[type(chunk)](chunk)
        if written and not self._begun:
            self._begun = True
            return self._opening("", self._model) + written
        return written

    def end(self) -> bytes:
        """Close what is open; the stop reason, the tokens, and the end."""
        start = b"" if self._begun else self._opening("", self._model)
        reason = wire.stop_reason(self._finish.reason or None, self._finish.stop_sequence, refused=self._refused)
        delta: Json = {"stop_reason": reason, "stop_sequence": self._finish.stop_sequence}
        if details := wire.stop_details(reason):
            delta["stop_details"] = details
        closing = _event("message_delta", {"delta": delta, "usage": wire.tokens_out(self._usage)})
        return start + self._close() + closing + _event("message_stop", {})

    def follow(self, seen: object) -> None:
        """Go on after the blocks that a caller saw as they came, those included that held nothing and so were no chunk.

        Raises nothing: another dialect's stream was written by this encoder, which knows its blocks.
        """
        if isinstance(seen, StreamDecoder) and (self._index + 1, self._open is not None) != (seen.blocks, seen.is_open):
            self._index = seen.blocks - 1
            self._open = "passed on" if seen.is_open else None

    def continued(self, told: Json) -> bytes:
        """A `ping`, which every SDK passes over."""
        return _event("ping", {"steelyard": {"continued": told}})

    def _opening(self, given_id: str, model: str, tier: str | None = None) -> bytes:
        message: Json = {
            "id": given_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": wire.tokens_out(Usage()) | ({"service_tier": tier} if tier else {}),
        }
        return _event("message_start", {"message": message})

    def _begin(self, chunk: Begin) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._opening(chunk.id, chunk.model, wire.tier_out(chunk.service_tier))

    def _text(self, chunk: TextDelta | RefusalDelta) -> bytes:
        if not chunk.text:
            return b""
        return self._opened("text", {"type": "text", "text": ""}) + self._delta("text_delta", "text", chunk.text)

    def _refusal(self, chunk: RefusalDelta) -> bytes:
        self._refused = True
        return self._text(chunk)

    def _reasoning(self, chunk: ReasoningDelta) -> bytes:
        written = b""
        if chunk.redacted is not None:
            written = (
                self._opened("redacted", {"type": "redacted_thinking", "data": bare(chunk.redacted)}) + self._close()
            )
        if chunk.text or chunk.signature:
            written += self._opened("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if chunk.text:
            written += self._delta("thinking_delta", "thinking", chunk.text)
        if chunk.signature:
            written += self._delta("signature_delta", "signature", bare(chunk.signature)) + self._close()
        return written

    def _tool_call(self, chunk: ToolCallDelta) -> bytes:
        written = b""
        if chunk.index > self._calls:
            self._calls = chunk.index
            if proof := proof_of(chunk):
                written = self._opened("proof", {**proof, "signature": ""})
                written += self._delta("signature_delta", "signature", proof["signature"]) + self._close()
            block: Json = {"type": "tool_use", "id": chunk.id or "", "name": chunk.name or "", "input": {}}
            written += self._opened(chunk.index, block)
        if chunk.arguments:
            if self._open != chunk.index:
                raise Garbled("The provider's stream added to a tool call after it had gone on to something else.")
            written += self._delta("input_json_delta", "partial_json", chunk.arguments)
        return written

    def _image(self, chunk: ImageDelta) -> bytes:
        raise Garbled("The provider answered with image, which Anthropic's format cannot hold.")

    def _cited(self, chunk: Cited) -> bytes:
        return b""

    def _finished(self, chunk: Finish) -> bytes:
        self._finish = chunk
        return b""

    def _counted(self, chunk: UsageReport) -> bytes:
        self._usage = chunk.usage
        return b""

    def _opened(self, kind: str | int, block: Json) -> bytes:
        """What it takes for this block to be the open one."""
        if self._open == kind:
            return b""
        closed = self._close()
        self._index += 1
        self._open = kind
        return closed + _event("content_block_start", {"index": self._index, "content_block": block})

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        return _event("content_block_stop", {"index": self._index})

    def _delta(self, kind: str, name: str, piece: str) -> bytes:
        return _event("content_block_delta", {"index": self._index, "delta": {"type": kind, name: piece}})


def _event(kind: str, rest: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), _encoder.encode({"type": kind, **rest}))
