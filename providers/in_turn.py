"""Several calls of one provider as one stream: each is begun when the one before it has ended.

Law: the commit point is the first one's; what goes wrong after it, be it the beginning of another, breaks the stream.
Choices count up through all of them, and tokens are told as their sum.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from providers.chat import Begin, ChatChunk, Usage, UsageReport, total
from providers.client import Piece
from providers.dialect import Call


class Flow(Protocol):
    """What is read in turn: a `client.Flow`, or one that is amended as it comes."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The provider's."""
        ...

    def batches(self) -> AsyncIterator[list[Piece]]:
        """Every event. Raises a `Fault` when the stream breaks."""
        ...


class InTurn:
    """Reads as a `client.Flow` does; what it says nobody else can go on with."""

    def __init__(self, first: Flow, calls: Sequence[Call], begin: Callable[[Call], Awaitable[Flow]]) -> None:
        """The stream of the first of these calls has begun; behind it come those of the others.

        `begin` closes the stream before it, and raises a `Fault`.
        """
        self.headers = first.headers
        self.complete = False
        self._first = first
        self._calls = calls
        self._begin = begin
        self._told = Usage()

    async def batches(self) -> AsyncIterator[list[Piece]]:
        """Every event of every stream. Raises a `Fault` when one breaks, or does not begin."""
        flow = self._first
        offset = 0
        for call in self._calls:
            if offset:
                flow = await self._begin(call)
            before = self._told
            async for batch in flow.batches():
                for piece in batch:
                    piece.chunks = self._placed(piece.chunks, offset, before)
                yield batch
            offset += call.choices
        self.complete = True

    def _placed(self, chunks: list[ChatChunk], offset: int, before: Usage) -> list[ChatChunk]:
        """The chunks of a stream, whose first choice has the number `offset`."""
        placed: list[ChatChunk] = []
        for chunk in chunks:
            if isinstance(chunk, UsageReport):
                self._told = chunk.usage = total([before, chunk.usage])
            elif not isinstance(chunk, Begin):
                chunk.choice += offset
            elif offset:
                continue  # the stream has its name already
            placed.append(chunk)
        return placed
