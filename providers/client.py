"""One call of a provider: transport → dialect. The same code for every provider.

Law of streams: the commit point is the first decoded content event. `stream` hands out a flow only once that event is
in hand, so whatever goes wrong before it is an ordinary fault that another provider may mend; whatever goes wrong
after it is a `Cut`, and a stream that ends without its dialect's terminal event was cut, however politely.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

from msgspec import Struct

from providers.chat import CONTENT, ChatChunk
from providers.dialect import Call, Headers, StreamDecoder
from providers.errors import Cut, Fault, Garbled, Unreachable
from providers.naming import GivenBack
from providers.single import FirstCall
from providers.sse import Event, Parser, TooLong
from providers.transport import Answer, Timeouts, Transport

#: Characters. Shorter header values are versions and switches.
_SHORTEST_SECRET = 12
#: Seconds to wait, after the terminal event, for what may still come (a late usage event, the connection's end).
_AFTER_THE_END = 0.05
_JSON, _SSE = "application/json", "text/event-stream"
_Text = TypeVar("_Text", str, str | None)


class Speaks(Protocol):
    """What a call needs of a dialect; every one has it."""

    def stream_decoder(self) -> StreamDecoder:
        """A decoder for one stream."""
        ...

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
        """What an answer with an error status means. Never raises."""
        ...


class Endpoint(Struct, frozen=True):
    """Where a provider is reached: `headers` carry its own credentials, and go to no other endpoint."""

    base_url: str
    headers: Headers
    timeouts: Timeouts

    def __repr__(self) -> str:
        """The URL only: the headers hold a key."""
        return f"Endpoint({self.base_url!r})"


class Received(Struct):
    """A complete answer with status 2xx."""

    headers: Mapping[str, str]
    body: bytes


class Piece(Struct):
    """One event of a stream: as it came, what it means, and whether it holds only usage nobody asked for."""

    event: Event
    chunks: list[ChatChunk]
    usage_only: bool


async def send(
    transport: Transport, endpoint: Endpoint, dialect: Speaks, call: Call, *, deadline: float | None
) -> Received:
    """Ask and wait for the whole answer. Raises a `Fault`."""
    headers = headers_of(call, endpoint, _JSON)
    url = endpoint.base_url + call.path
    async with transport.open("POST", url, headers, call.body, endpoint.timeouts, deadline=deadline) as answer:
        if not 200 <= answer.status < 300:
            raise await fault_of(dialect, endpoint, answer)
        return Received(answer.headers, await answer.read())


@asynccontextmanager
async def stream(
    transport: Transport, endpoint: Endpoint, dialect: Speaks, call: Call, *, deadline: float | None
) -> AsyncGenerator[Flow]:
    """Ask and wait for the first content. Leaving closes the upstream call. Raises a `Fault`."""
    headers = headers_of(call, endpoint, _SSE)
    url = endpoint.base_url + call.path
    async with transport.open("POST", url, headers, call.body, endpoint.timeouts, deadline=deadline) as answer:
        if not 200 <= answer.status < 300:
            raise await fault_of(dialect, endpoint, answer)
        decoder = dialect.stream_decoder()
        if call.first_call_only:
            decoder = FirstCall(decoder)
        if call.names:
            decoder = GivenBack(decoder, call.names)
        flow = Flow(answer, decoder)
        await flow.prime()
        yield flow


def headers_of(call: Call, endpoint: Endpoint, accept: str) -> Headers:
    """The headers of a call whose answer is to be of the type `accept`."""
    return (("content-type", call.content_type), ("accept", accept), *endpoint.headers, *call.headers)


async def fault_of(dialect: Speaks, endpoint: Endpoint, answer: Answer) -> Fault:
    """What an error status means; it means that even when the body that explains it is lost."""
    try:
        body = await answer.read()
    except Fault:
        body = b""
    fault = dialect.fault(answer.status, answer.headers, body)
    fault.args = (_masked(fault.message, endpoint),)
    fault.code, fault.param = _masked(fault.code, endpoint), _masked(fault.param, endpoint)
    return fault


def _masked(text: _Text, endpoint: Endpoint) -> _Text:
    """A provider that repeats our key in its complaint must not have it passed on."""
    for _, value in endpoint.headers:
        secret = value.removeprefix("Bearer ")
        if text is not None and len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "********")
    return text


class Flow:
    """An upstream stream past its commit point."""

    def __init__(self, answer: Answer, decoder: StreamDecoder) -> None:
        """Read nothing yet: `prime` does."""
        self.headers = answer.headers
        self._chunks = aiter(answer.chunks())
        self._parser = Parser()
        self.decoder = decoder
        self._ready: list[Piece] = []
        #: A fault met in the same read as earlier events: it is raised once those have been handed on.
        self._broken: Fault | None = None
        #: An event came, whatever it meant.
        self._heard = False

    async def prime(self) -> None:
        """Read up to the first content. Raises the fault that prevented it, never a `Cut`."""
        try:
            while not (content := await self._more()):
                if content is None:
                    raise Garbled("The provider's stream ended without any content.")
        except Cut as cut:
            raise Unreachable(cut.message) from cut

    async def batches(self) -> AsyncIterator[list[Piece]]:
        """Every event from the first on, as many at a time as came together. Raises `Cut` when the stream breaks."""
        try:
            while True:
                if self._ready:
                    batch, self._ready = self._ready, []
                    yield batch
                if await self._more() is None:
                    return
        except Cut:
            raise
        except Fault as fault:
            raise Cut(fault.message, status=fault.status, code=fault.code) from fault

    async def _more(self) -> bool | None:
        """Read once; True when content came, None at the end of the stream."""
        if self._broken is not None:
            raise self._broken
        try:
            data = await self._next()
        except TimeoutError:
            return None
        except Fault:
            if self.decoder.complete:
                # All was said; how the connection ended afterwards is nobody's loss.
                return None
            raise
        if data is None:
            if not self._heard:
                raise Garbled("The provider's answer is not an event stream.")
            if not self.decoder.complete:
                raise Cut("The stream ended without its terminal event.")
            return None
        try:
            events = self._parser.feed(data)
        except TooLong as exc:
            raise Garbled("The provider sent an event larger than the gateway accepts.") from exc
        self._heard = self._heard or bool(events)
        return self._decode(events)

    async def _next(self) -> bytes | None:
        if not self.decoder.complete:
            return await anext(self._chunks, None)
        # Some servers keep the connection open after the last word; nobody should wait for them.
        async with asyncio.timeout(_AFTER_THE_END):
            return await anext(self._chunks, None)

    @property
    def unread(self) -> Sequence[Piece]:
        """The events that have come and were not handed on yet."""
        return self._ready

    @property
    def complete(self) -> bool:
        """The terminal event was seen."""
        return self.decoder.complete

    @property
    def opaque(self) -> bool:
        """Something came for which there is no chunk."""
        return self.decoder.opaque

    def _decode(self, events: list[Event]) -> bool:
        content = False
        for event in events:
            try:
                chunks = self.decoder.feed(event)
            except Fault as fault:
                if not self._ready:
                    raise
                self._broken = fault
                break
            content = content or any(isinstance(chunk, CONTENT) for chunk in chunks)
            self._ready.append(Piece(event, chunks, self.decoder.usage_only(event)))
        return content
