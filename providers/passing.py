"""One call of a provider whose answer is passed on as it comes: sound, or events that nobody here needs to understand.

Law: the commit point is the first byte of the body; of an event stream, its first event. What goes wrong before it
another provider may mend; what goes wrong after it is a `Cut`. Of an event stream the tokens are noted in passing, when
an event tells them; one that tells of an error is not passed on, for whoever reads the `Cut` tells of it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

from providers import client
from providers.chat import ChatChunk, Usage, UsageReport
from providers.client import Endpoint, Piece
from providers.dialect import Call, Dialect
from providers.errors import Cut, Fault, Garbled, Unreachable
from providers.sse import Event, Parser, TooLong
from providers.transport import Answer, Transport

#: The tokens that an event or a body tells; raises a `Fault` when it tells of none, or of an error.
Tell = Callable[[bytes], Usage]


@asynccontextmanager
async def opened(
    transport: Transport, endpoint: Endpoint, dialect: Dialect, call: Call, tell: Tell, *, deadline: float | None
) -> AsyncGenerator[Passage]:
    """Ask and wait for the first bytes. Leaving closes the upstream call. Raises a `Fault`."""
    headers = client.headers_of(call, endpoint, "*/*")
    url = endpoint.base_url + call.path
    async with transport.open("POST", url, headers, call.body, endpoint.timeouts, deadline=deadline) as answer:
        if not 200 <= answer.status < 300:
            raise await client.fault_of(dialect, endpoint, answer)
        passage = Passage(answer, tell)
        await passage.prime()
        yield passage


class Passage:
    """An answer past its commit point; it reads as a `client.Flow` does."""

    def __init__(self, answer: Answer, tell: Tell) -> None:
        """Read nothing yet: `prime` does."""
        self.headers = answer.headers
        self.complete = False
        self._chunks = aiter(answer.chunks())
        self._tell = tell
        events = answer.headers.get("content-type", "").startswith("text/event-stream")
        self._parser = Parser() if events else None
        #: Read and not passed on yet: the beginning of an event, which no other may be put behind.
        self._held = bytearray()
        self._ready: Piece | None = None
        #: Met behind events that are ready: it is raised once those have been handed on.
        self._fault: Fault | None = None

    async def prime(self) -> None:
        """Wait for the first bytes. Raises the fault that prevented them, never a `Cut`."""
        if self.headers.get("content-type", "").startswith("text/html"):
            raise Garbled("The provider answered with a web page.")
        try:
            self._ready = await self._next()
        except Cut as cut:
            raise Unreachable(cut.message) from cut
        if self._ready is None:
            raise Garbled("The provider's answer is empty.")

    async def batches(self) -> AsyncIterator[list[Piece]]:
        """Every piece of the body. Raises `Cut` when it breaks."""
        piece = self._ready
        try:
            while piece is not None:
                yield [piece]
                piece = await self._next()
        except Cut:
            raise
        except Fault as fault:
            raise Cut(fault.message, status=fault.status, code=fault.code) from fault
        self.complete = True

    async def _next(self) -> Piece | None:
        """Bytes that may be passed on, and the tokens they tell of; None at the end. Raises a `Fault`."""
        while True:
            if self._fault is not None:
                raise self._fault
            data = await anext(self._chunks, b"")
            if not data:
                data, self._held = bytes(self._held), bytearray()
                return _piece(data, []) if data else None
            data, told = self._read(data)
            if data:
                return _piece(data, told)

    def _read(self, data: bytes) -> tuple[bytes, list[ChatChunk]]:
        """What of these bytes ends an event; all of them, where there are none."""
        self._held += data
        left, told = 0, list[ChatChunk]()
        if self._parser is not None:
            try:
                events = self._parser.feed(data)
                left = self._parser.waiting
            except TooLong:
                self._parser, events = None, []  # passed on all the same: only its count is lost
            for event in events:
                try:
                    usage = self._tell(event.data)
                except Garbled:
                    continue  # `[DONE]`, or what else is no JSON
                except Fault as fault:
                    self._fault, left = fault, len(self._held) - self._held.index(event.raw)
                    break
                if usage.input_tokens or usage.output_tokens:
                    told.append(UsageReport(usage))
        end = len(self._held) - left
        whole = bytes(self._held[:end])
        del self._held[:end]
        return whole, told


def _piece(data: bytes, told: list[ChatChunk]) -> Piece:
    return Piece(Event("", b"", data), told, usage_only=False)
