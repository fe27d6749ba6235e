"""Events of one `/v1/messages` stream → chunks.

A stream is `message_start`, then each content block as start, deltas and stop, then `message_delta` with the stop
reason and the cumulative tokens, then `message_stop`, which alone makes it complete. `ping` may come at any time, and
so may event types that do not exist yet: the API's versioning rules allow them, so they mean nothing here. The same
goes for unknown blocks and deltas, because this decoder also reads streams that are passed on untouched, where a caller
of this dialect may well have asked for server tools. In a translated stream only those of a web search come, whose
pages are told when the text that cites them is complete (see `reply`).

A tool without parameters may be called without a single byte of arguments; its call then gets `{}` when it closes, as
everyone else expects JSON.
"""

from __future__ import annotations

import msgspec

from providers.chat import (
    Begin,
    ChatChunk,
    Cited,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    UsageReport,
)
from providers.dialects.anthropic import wire
from providers.dialects.anthropic.faults import of_event
from providers.dialects.anthropic.reply import arguments
from providers.dialects.anthropic.signatures import mark
from providers.dialects.wire import read_answer
from providers.errors import Garbled
from providers.sse import Event

_event = msgspec.json.Decoder(wire.StreamEvent)
_KNOWN = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})


class StreamDecoder:
    """One stream, read in order."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._complete = False
        self._tokens: wire.Tokens | None = None
        #: Open blocks by index; for tool calls the number of the call and whether arguments came.
        self._open: dict[int, _Call | None] = {}
        #: The characters of all texts, of those before the open one, and what that one cites.
        self._length = self._start_of_text = 0
        self._cited: list[wire.Source] = []
        self._calls = 0
        #: How many blocks were opened.
        self.blocks = 0
        #: A block of a kind that has no chunks was opened: a server tool's, or one that does not exist yet.
        self.opaque = False

    @property
    def complete(self) -> bool:
        """True after `message_stop`."""
        return self._complete

    @property
    def is_open(self) -> bool:
        """Whether a block is open."""
        return bool(self._open)

    def usage_only(self, event: Event) -> bool:
        """Never: this dialect's usage travels with the stop reason, which every caller wants."""
        return False

    def feed(self, event: Event) -> list[ChatChunk]:
        """The chunks one event stands for. Raises `Garbled`, or the fault an `error` event stands for."""
        read = read_answer(_event, event.data, "anthropic")
        match read.type:
            case "content_block_delta":
                return self._delta(read)
            case "content_block_start":
                return self._start(read)
            case "content_block_stop":
                return self._stop(read)
            case "message_start":
                return self._begin(read)
            case "message_delta":
                return self._finish(read)
            case "message_stop":
                self._begun()
                self._complete = True
            case "error":
                raise of_event(read.error)
            case _:
                pass
        return []

    def _begun(self) -> wire.Tokens:
        if self._tokens is None:
            raise Garbled("The provider's stream did not begin with message_start.")
        return self._tokens

    def _begin(self, read: wire.StreamEvent) -> list[ChatChunk]:
        message = read.message
        if message is None or self._tokens is not None:
            raise Garbled("The provider's stream does not have one message_start with a message.")
        self._tokens = message.usage
        tier = wire.tier_in(message.usage.service_tier)
        return [Begin(message.id, message.model, service_tier=tier), UsageReport(message.usage.usage())]

    def _start(self, read: wire.StreamEvent) -> list[ChatChunk]:
        self._begun()
        block = read.content_block
        if block is None or read.index in self._open:
            raise Garbled("The provider's stream opened a content block without content, or twice.")
        self._open[read.index] = None
        self.blocks += 1
        self.opaque = self.opaque or block.type not in _KNOWN
        match block.type:
            case "text":
                self._start_of_text, self._cited = self._length, list(block.citations or ())
                return self._text(block.text) if block.text else []
            case "thinking" if block.thinking:
                return [ReasoningDelta(block.thinking)]
            case "redacted_thinking":
                return [ReasoningDelta(redacted=mark(wire.need(block.data, "data")))]
            case "tool_use":
                return [self._call(read.index, block)]
            case _:
                return []

    def _call(self, index: int, block: wire.Block) -> ToolCallDelta:
        call = self._open[index] = _Call(self._calls)
        self._calls += 1
        said = arguments(block)
        if said == "{}":
            said = ""  # a placeholder: the arguments follow in deltas
        call.said = bool(said)
        return ToolCallDelta(call.number, said, wire.need(block.id, "id"), wire.need(block.name, "name"))

    def _delta(self, read: wire.StreamEvent) -> list[ChatChunk]:
        delta = read.delta
        if delta is None or read.index not in self._open:
            raise Garbled("The provider's stream added to a content block that is not open.")
        match delta.type:
            case "text_delta":
                return self._text(wire.need(delta.text, "text"))
            case "citations_delta" if delta.citation is not None:
                self._cited.append(delta.citation)
                return []
            case "thinking_delta":
                return [ReasoningDelta(wire.need(delta.thinking, "thinking"))]
            case "signature_delta":
                return [ReasoningDelta(signature=mark(wire.need(delta.signature, "signature")))]
            case "input_json_delta":
                return self._arguments(read.index, wire.need(delta.partial_json, "partial_json"))
            case _:
                return []

    def _text(self, said: str) -> list[ChatChunk]:
        self._length += len(said)
        return [TextDelta(said)]

    def _arguments(self, index: int, said: str) -> list[ChatChunk]:
        call = self._open[index]
        if call is None or not said:
            return []
        call.said = True
        return [ToolCallDelta(call.number, said)]

    def _stop(self, read: wire.StreamEvent) -> list[ChatChunk]:
        if read.index not in self._open:
            raise Garbled("The provider's stream closed a content block that is not open.")
        call = self._open.pop(read.index)
        chunks: list[ChatChunk] = [ToolCallDelta(call.number, "{}")] if call and not call.said else []
        if cited := wire.cited(self._cited, self._start_of_text, self._length):
            chunks.append(Cited(cited))
        self._cited = []
        return chunks

    def _finish(self, read: wire.StreamEvent) -> list[ChatChunk]:
        tokens = self._begun()
        chunks: list[ChatChunk] = []
        if (delta := read.delta) and delta.stop_reason:
            if delta.stop_details and delta.stop_details.explanation:
                chunks.append(RefusalDelta(delta.stop_details.explanation))
            chunks.append(Finish(wire.finish_reason(delta.stop_reason), stop_sequence=delta.stop_sequence))
        if read.usage:
            tokens.update(read.usage)
            chunks.append(UsageReport(tokens.usage()))
        return chunks


class _Call(msgspec.Struct):
    """A tool call in the making: its number among the calls, and whether arguments came."""

    number: int
    said: bool = False
