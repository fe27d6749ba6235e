"""A stream that the gateway amends as it comes (`providers.amending`), in the place of the flow it comes from.

Law: a caller is told of every token that was made, the discarded ones included. When every choice has met a stop
sequence the call is closed at once; its provider then never counts, and the count told and billed is an estimate from
all that came, with what the provider had said of the prompt.

Such a stream is not continued by another provider when it breaks: what was held back, and what was made of a tool's
arguments, is no text that another could go on from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from gateway.metering import Meter
from providers.amending import Amending
from providers.chat import ChatChunk, UsageReport
from providers.client import Flow, Piece
from providers.errors import Fault, Misshapen
from providers.sse import Event

_NO_EVENT = Event("", b"", b"")


class Amended:
    """Like a `Flow`; its pieces have chunks and no bytes."""

    def __init__(self, flow: Flow, amending: Amending, input_estimate: int) -> None:
        """Read from `flow`, whose first content is there."""
        self._flow = flow
        self._amending = amending
        self._meter = Meter(input_estimate, 0, None)
        self._cut = False

    @property
    def headers(self) -> Mapping[str, str]:
        """The provider's."""
        return self._flow.headers

    @property
    def unread(self) -> Sequence[Piece]:
        """The provider's events that have come and were not looked at yet."""
        return self._flow.unread

    @property
    def complete(self) -> bool:
        """All was said that the caller will be told."""
        return self._cut or self._flow.complete

    async def batches(self) -> AsyncIterator[list[Piece]]:
        """Every event. Raises `Cut` when the stream breaks, `Misshapen` when its text is not what was asked for."""
        try:
            async for batch in self._flow.batches():
                told = self._told(batch)
                if self._amending.stopped and self._amending.over and not self._flow.complete:
                    self._cut = True
                    yield [piece(*told, UsageReport(self._meter.usage()))]
                    return
                if told:
                    yield [piece(*told)]
        except Misshapen:
            raise
        except Fault:
            if held := self._amending.broken():
                yield [piece(*held)]
            raise

    def _told(self, batch: list[Piece]) -> list[ChatChunk]:
        told: list[ChatChunk] = []
        for one in batch:
            self._meter.note([one])
            for chunk in one.chunks:
                told += self._amending.feed(chunk)
        return told


def piece(*chunks: ChatChunk) -> Piece:
    """Chunks that no event stands for."""
    return Piece(_NO_EVENT, list(chunks), usage_only=False)
