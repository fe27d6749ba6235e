"""A scripted provider for the client's tests: a transport without a network, and a dialect of one word per event."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from providers.chat import Begin, ChatChunk, Finish, TextDelta, Usage, UsageReport
from providers.errors import Fault, Garbled, Overloaded, Throttled
from providers.sse import Event
from providers.transport import Timeouts

Script = Sequence[bytes | Fault]


class Answer:
    """What the provider says: a body, and a stream whose pieces may be faults."""

    def __init__(
        self,
        status: int = 200,
        *,
        body: bytes | Fault = b"",
        script: Script = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.headers = dict(headers or {})
        self._body = body
        self._script = script
        #: Pieces of the stream that were asked for.
        self.taken = 0

    async def read(self) -> bytes:
        if isinstance(self._body, Fault):
            raise self._body
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self._script:
            self.taken += 1
            if isinstance(piece, Fault):
                raise piece
            yield piece


class Wire:
    """A transport that gives one answer, or a fault, and keeps what it was asked."""

    def __init__(self, answer: Answer | Fault) -> None:
        self._answer = answer
        self.asked: list[tuple[str, str, tuple[tuple[str, str], ...], bytes | None]] = []
        self.deadlines: list[float | None] = []
        self.open_now = 0

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        headers: tuple[tuple[str, str], ...],
        body: bytes | None,
        timeouts: Timeouts,
        *,
        deadline: float | None,
    ) -> AsyncGenerator[Answer]:
        self.asked.append((method, url, headers, body))
        self.deadlines.append(deadline)
        if isinstance(self._answer, Fault):
            raise self._answer
        self.open_now += 1
        try:
            yield self._answer
        finally:
            self.open_now -= 1


class Decoder:
    """`open`, `usage`, `end` are no content; `error` is a fault, `mess` is not the dialect, all else is text."""

    opaque = False

    def __init__(self) -> None:
        self.complete = False

    def feed(self, event: Event) -> list[ChatChunk]:
        said = event.data.decode()
        self.complete = self.complete or said == "end"
        if said == "error":
            raise Overloaded("It is overloaded.", status=529, code="overloaded_error")
        if said == "mess":
            raise Garbled("Not the dialect.")
        quiet: dict[str, list[ChatChunk]] = {
            "open": [Begin("id", "m")],
            "usage": [UsageReport(Usage(1, 2))],
            "ping": [],
            "end": [],
            "finish": [Finish("stop")],
        }
        return quiet.get(said, [TextDelta(said)])

    def usage_only(self, event: Event) -> bool:
        return event.data == b"usage"


class Plain:
    """A dialect of one word per event."""

    name = "plain"

    def __init__(self) -> None:
        self.judged: list[tuple[int, Mapping[str, str], bytes]] = []

    def stream_decoder(self) -> Decoder:
        return Decoder()

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        self.judged.append((status, headers, body))
        return Throttled("Slow down.", status=status, retry_after=7.0)
