"""One tool call at a time, where the provider cannot be told: of several calls in an answer only the first is kept.

The caller that asked for it answers the one call and asks again; the model, shown its one call and the result, then
calls the next if it still wants to. What it spent on the others stays in its usage: it was said, and is billed.
"""

from __future__ import annotations

from providers.chat import ChatChunk, ChatReply, ToolCall, ToolCallDelta
from providers.dialect import StreamDecoder
from providers.sse import Event


def first_call(reply: ChatReply) -> None:
    """Leave the first call of each choice alone, with everything that is no call."""
    for choice in reply.choices:
        calls = [part for part in choice.parts if isinstance(part, ToolCall)]
        choice.parts = [part for part in choice.parts if not isinstance(part, ToolCall) or part is calls[0]]


class FirstCall:
    """A stream's decoder without the calls after the first of each choice."""

    def __init__(self, decoder: StreamDecoder) -> None:
        """Decode with this one."""
        self._decoder = decoder
        self._first: dict[int, int] = {}

    @property
    def complete(self) -> bool:
        """See `StreamDecoder`."""
        return self._decoder.complete

    @property
    def opaque(self) -> bool:
        """Something came for which there is no chunk."""
        return self._decoder.opaque

    def feed(self, event: Event) -> list[ChatChunk]:
        """See `StreamDecoder`."""
        return [chunk for chunk in self._decoder.feed(event) if self._kept(chunk)]

    def usage_only(self, event: Event) -> bool:
        """See `StreamDecoder`."""
        return self._decoder.usage_only(event)

    def _kept(self, chunk: ChatChunk) -> bool:
        return not isinstance(chunk, ToolCallDelta) or self._first.setdefault(chunk.choice, chunk.index) == chunk.index
