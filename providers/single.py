"""One tool call at a time, where the provider cannot be told: of several calls in an answer only the first is kept.

The caller that asked for it answers the one call and asks again; the model, shown its one call and the result, then
calls the next if it still wants to. What it spent on the others stays in its usage: it was said, and is billed.
"""

from __future__ import annotations

from providers.between import Between
from providers.chat import ChatChunk, ChatReply, ToolCall, ToolCallDelta
from providers.dialect import StreamDecoder


def first_call(reply: ChatReply) -> None:
    """Leave the first call of each choice alone, with everything that is no call."""
    for choice in reply.choices:
        calls = [part for part in choice.parts if isinstance(part, ToolCall)]
        choice.parts = [part for part in choice.parts if not isinstance(part, ToolCall) or part is calls[0]]


class FirstCall(Between):
    """A stream's decoder without the calls after the first of each choice."""

    def __init__(self, decoder: StreamDecoder) -> None:
        """Decode with this one."""
        super().__init__(decoder)
        self._first: dict[int, int] = {}

    def changed(self, chunk: ChatChunk) -> ChatChunk | None:
        """The chunk, unless it is of a later call."""
        if isinstance(chunk, ToolCallDelta) and self._first.setdefault(chunk.choice, chunk.index) != chunk.index:
            return None
        return chunk
