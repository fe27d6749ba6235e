"""Several streams of one deployment as one: each gives its share of the choices that one request asked for.

Laws: the choices of the second stream are numbered on from those of the first; tokens told are the sum; the stream is
complete when all are. When one breaks the whole is broken, and the others are given up: an answer with fewer choices
than were asked for is none, and one whose stream ends short of its own share has broken.

Each is an attempt with a bill and a ticket of its own. Those of the first are settled by whoever settles the request;
`settle` does the same for the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.amended import Amended, piece
from gateway.metering import Meter
from gateway.racing import Lane, all_over
from providers.chat import Begin, ChatChunk, Finish, Usage, UsageReport
from providers.client import Flow, Piece
from providers.errors import Cut, Fault

#: Batches that wait for the caller, over all streams; beyond, those who speak have to wait.
_AHEAD = 16


class Strand(Struct):
    """One of the streams; `offset` is the number of its first choice."""

    lane: Lane
    flow: Flow | Amended
    offset: int
    meter: Meter
    finished: set[int] = field(default_factory=set[int])
    #: It ended as it should.
    over: bool = False
    fault: Fault | None = None

    @property
    def complete(self) -> bool:
        """All of it was said."""
        return self.over or self.flow.complete


_Found = tuple[Strand, list[Piece] | Exception | None]


class Woven:
    """Like a `Flow`; its pieces have chunks and no bytes. See `sharing.Sharing`, too."""

    def __init__(self, strands: list[Strand], began: float) -> None:
        """Each is past its first content; `began`: when the exchange did, on the clock of `settle`."""
        self._strands = strands
        self._began = began
        self._queue: asyncio.Queue[_Found] = asyncio.Queue(_AHEAD)
        self._tasks: list[asyncio.Task[None]] = []
        self._begun = self._counted = False

    @property
    def headers(self) -> Mapping[str, str]:
        """Those of the last answer to begin."""
        return self._strands[-1].flow.headers

    @property
    def complete(self) -> bool:
        """All was said."""
        return all(strand.complete for strand in self._strands)

    @property
    def lead(self) -> Strand:
        """The one that is settled with the request."""
        return self._strands[0]

    async def batches(self) -> AsyncIterator[list[Piece]]:
        """Every event, as it comes. Raises a fault when one of the streams breaks."""
        self._tasks = [asyncio.create_task(self._read(strand)) for strand in self._strands]
        left = len(self._strands)
        while left:
            strand, found = await self._queue.get()
            if isinstance(found, Exception):
                raise found
            if found is None:
                strand.over = True
                left -= 1
            elif told := [one for batch in found for chunk in batch.chunks for one in self._told(strand, chunk)]:
                yield [piece(*told)]
        if self._counted:
            yield [piece(UsageReport(self.usage()))]

    async def close(self) -> None:
        """Read no more."""
        for task in self._tasks:
            task.cancel()
        await all_over(self._tasks)

    @property
    def lead_broke(self) -> bool:
        """It was the first one's fault."""
        return self.lead.fault is not None

    @property
    def lead_complete(self) -> bool:
        """The first one's part was said."""
        return self.lead.complete

    def own(self, meter: Meter) -> Usage:
        """The first one's tokens: its own meter has read them."""
        return self.lead.meter.usage()

    def total(self, meter: Meter) -> Usage:
        """The tokens of all so far, as their own meters have read them."""
        return self.usage()

    def usage(self) -> Usage:
        """The tokens of all so far."""
        total = Usage()
        for strand in self._strands:
            total = total.plus(strand.meter.usage())
        return total

    def settle(self, now: float) -> None:
        """Bill the streams beside the first, and settle their tickets."""
        for strand in self._strands[1:]:
            ticket, attempt, usage = strand.lane.ticket, strand.lane.attempt, strand.meter.usage()
            attempt.usage, attempt.cost = usage, strand.lane.deployment.price.of(usage)
            attempt.seconds = now - self._began - attempt.started
            if strand.complete:
                ticket.success(usage.input_tokens, usage.output_tokens, attempt.cost, usage.cached_tokens)
            elif strand.fault is not None:
                attempt.outcome, attempt.code = strand.fault.kind, strand.fault.code
                attempt.message = strand.fault.message
                ticket.failure(strand.fault.kind, caller_saw=True)
            else:
                attempt.outcome = "cancelled"
                ticket.cancelled()

    def give_up(self) -> None:
        """Nobody hears them, since another deployment's began first; see `settling.unheard` of a single one."""
        for strand in self._strands[1:]:
            strand.lane.attempt.outcome = "hedged"
            strand.lane.ticket.outrun()

    async def _read(self, strand: Strand) -> None:
        end: Exception | None = None
        try:
            async for batch in strand.flow.batches():
                strand.meter.note(batch)
                ended = (chunk for one in batch for chunk in one.chunks if isinstance(chunk, Finish))
                strand.finished.update(chunk.choice for chunk in ended)
                await self._queue.put((strand, batch))
            if len(strand.finished) < strand.lane.call.choices:
                raise Cut("The provider gave fewer choices than it was asked for.")
        except Fault as fault:
            strand.fault = end = fault
        except Exception as exc:  # noqa: BLE001 - told to the one who reads, where it ends the request
            end = exc
        await self._queue.put((strand, end))

    def _told(self, strand: Strand, chunk: ChatChunk) -> list[ChatChunk]:
        if isinstance(chunk, Begin):
            again, self._begun = self._begun, True
            return [] if again else [chunk]
        if isinstance(chunk, UsageReport):
            self._counted = True
            return []
        return [replace(chunk, choice=chunk.choice + strand.offset)]
