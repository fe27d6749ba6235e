"""What a stream says of its tokens, and what can be told of them where it does not say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from providers.chat import (
    Begin,
    ChatChunk,
    ChatReply,
    Finish,
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
from providers.client import Piece
from providers.dialect import StreamEncoder
from providers.errors import Fault


class Meter:
    """Reads a stream as it passes: its bytes for the caller, its tokens for the bill."""

    def __init__(self, input_estimate: int, created: int, said: list[ChatChunk] | None) -> None:
        """Fall back on these when the stream never says: `input_estimate` tokens of input, `created` in Unix seconds.

        What is said is collected in `said`, when somebody will remember it.
        """
        self._created = created
        self._said = said
        self._input_estimate = input_estimate
        self._usage: Usage | None = None
        self._characters = 0
        self.finish_reason: str | None = None
        #: Nothing was said since somebody said that it was the end.
        self._ended = False

    def read(self, batch: Sequence[Piece], encoder: StreamEncoder | None, *, include_usage: bool) -> Iterator[bytes]:
        """The bytes these events are for the caller, if any.

        Raises the `Fault` of an event that cannot be written, once those before it have been handed out.
        """
        out: list[bytes] = []
        broken: Fault | None = None
        rewrite = encoder.rewrite if encoder is not None else None
        try:
            for piece in batch:
                for chunk in piece.chunks:
                    self._note(chunk)
                    if encoder is not None and rewrite is None:
                        out.append(encoder.encode(chunk))
                if rewrite is not None:
                    out.append(rewrite(piece.event))
                elif encoder is None and (include_usage or not piece.usage_only):
                    out.append(piece.event.raw)
        except Fault as fault:
            broken = fault
        if data := b"".join(out):
            yield data
        if broken is not None:
            raise broken

    def note(self, batch: Sequence[Piece]) -> None:
        """The same of events that somebody else writes."""
        for piece in batch:
            for chunk in piece.chunks:
                self._note(chunk)

    def _note(self, chunk: ChatChunk) -> None:
        if self._said is not None:
            self._said.append(chunk)
        if isinstance(chunk, (TextDelta, ReasoningDelta, RefusalDelta)):
            self._characters += len(chunk.text)
            self._ended = False
        elif isinstance(chunk, ToolCallDelta):
            self._characters += len(chunk.arguments)
            self._ended = False
        elif isinstance(chunk, UsageReport):
            self._usage = chunk.usage
        elif isinstance(chunk, Finish):
            self.finish_reason = chunk.reason
            self._ended = True
        elif isinstance(chunk, Begin) and not chunk.created:
            chunk.created = self._created

    def usage(self) -> Usage:
        """The tokens so far: what the provider said, else a quarter of the characters."""
        written = -(-self._characters // 4)
        if self._usage is None:
            return Usage(self._input_estimate, written)
        if not self._ended and self._usage.output_tokens < written:
            # Broken off before the provider's final count: its first report counts the prompt, and little else.
            usage = self._usage
            return replace(usage, output_tokens=written, reasoning_tokens=0)
        return self._usage


def estimated(input_estimate: int, reply: ChatReply) -> Usage:
    """The tokens of a whole answer that does not say, as of a stream: a quarter of the characters."""
    parts = [part for choice in reply.choices for part in choice.parts]
    written = sum(len(part.text) for part in parts if isinstance(part, (Text, Reasoning, RefusalText)))
    written += sum(len(part.arguments) for part in parts if isinstance(part, ToolCall))
    return Usage(input_estimate, -(-written // 4))
