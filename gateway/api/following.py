"""Following an execution: its events as server-sent events, or over a WebSocket.

An event's id is its `seq`, so whoever reconnects with the last one it has seen misses none and sees none twice.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing

import msgspec
from litestar.response import Stream

from gateway.api.answers import executions
from gateway.errors import BadRequest
from gateway.workflows.kept import Event

#: The largest number that an event may be said to have: a digit less than the column takes.
MOST_SEQ = 10**18 - 1
MEDIA = "text/event-stream"
#: As the desk watches: what came, again and again, until the end; nothing when all is silent for a while.
Watched = AsyncGenerator[list[Event]]


def stream(watched: Watched, stays: Callable[[], bool]) -> Stream:
    """An answer that lasts until the execution has ended, or whoever asked may follow it no more.

    Proxies must neither keep nor collect it.
    """
    return Stream(
        _pieces(watched, stays),
        media_type=MEDIA,
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        status_code=200,
    )


def wanted(headers: Mapping[str, str]) -> bool:
    """Whether a caller asks for a stream of events."""
    return MEDIA in headers.get("accept", "")


def seen(headers: Mapping[str, str], after: int = 0) -> int:
    """The last event a caller has seen, by `Last-Event-ID` if it says so. Raises `BadRequest`."""
    last = headers.get("last-event-id")
    if last is None:
        return after
    return number(last, "Last-Event-ID")


def number(text: str, param: str) -> int:
    """The number of an event, as a caller spells it. Raises `BadRequest`."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MOST_SEQ))):
        raise BadRequest(f"'{param}' is the 'seq' of an event: a number.", param=param)
    return int(text)


def text(event: Event) -> bytes:
    """An event as JSON."""
    return msgspec.json.encode(executions.event(event))


async def _pieces(watched: Watched, stays: Callable[[], bool]) -> AsyncIterator[bytes]:
    async with aclosing(watched):
        async for events in watched:
            if not stays():
                return
            for event in events:
                yield b"id: %d\nevent: %b\ndata: %b\n\n" % (event.seq, event.type.encode(), text(event))
            if not events:
                yield b": waiting\n\n"
