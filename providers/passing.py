"""One call of a provider whose answer is passed on as it comes: sound, or events that nobody here needs to understand.

Law: the commit point is the first byte of the body. What goes wrong before it another provider may mend; what goes
wrong after it is a `Cut`. Of an event stream the tokens are noted in passing, when an event tells them.
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
        self._first = b""
        self._tell = tell
        events = answer.headers.get("content-type", "").startswith("text/event-stream")
        self._parser = Parser() if events else None

    async def prime(self) -> None:
        """Wait for the first bytes. Raises the fault that prevented them, never a `Cut`."""
        if self.headers.get("content-type", "").startswith("text/html"):
            raise Garbled("The provider answered with a web page.")
        try:
            self._first = await anext(self._chunks, b"")
        except Cut as cut:
            raise Unreachable(cut.message) from cut
        if not self._first:
            raise Garbled("The provider's answer is empty.")

    async def batches(self) -> AsyncIterator[list[Piece]]:
        """Every piece of the body. Raises `Cut` when it breaks."""
        data = self._first
        try:
            while data:
                yield [Piece(Event("", b"", data), self._told(data), usage_only=False)]
                data = await anext(self._chunks, b"")
        except Cut:
            raise
        except Fault as fault:
            raise Cut(fault.message, status=fault.status, code=fault.code) from fault
        self.complete = True

    def _told(self, data: bytes) -> list[ChatChunk]:
        """The tokens that these bytes tell of."""
        if self._parser is None:
            return []
        try:
            events = self._parser.feed(data)
        except TooLong:
            self._parser = None  # passed on all the same: only its count is lost
            return []
        return [UsageReport(usage) for event in events if (usage := self._usage(event)) is not None]

    def _usage(self, event: Event) -> Usage | None:
        try:
            usage = self._tell(event.data)
        except Fault:
            return None
        return usage if usage.input_tokens or usage.output_tokens else None
