"""Server-sent events: bytes in any split → events, incremental, no I/O.

Source: WHATWG HTML, "Server-sent events", §9.2.6. Lines end with CR, LF or CRLF; an event ends with an empty line;
`data` lines are joined by LF; a leading byte order mark is dropped; comments and unknown fields are ignored.
Difference to the browser's algorithm: each event keeps its raw bytes, so that a relay can pass it on as it came.

Limit: one event may hold at most `max_event` bytes; a hostile upstream cannot make the gateway buffer more.
"""

from __future__ import annotations

import re

from msgspec import Struct

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r|\r\n\n|\n\r\n|\n\r(?!\n)|\r\r\n")
_BOM = b"\xef\xbb\xbf"


class Event(Struct):
    """One event: its type (`""` when unnamed), its data, and its bytes with the empty line that ended it."""

    type: str
    data: bytes
    raw: bytes


class TooLong(Exception):
    """A server-sent event is longer than the bound."""


class Parser:
    """Feed bytes, get events."""

    __slots__ = ("_buffer", "_max_event", "_searched", "_started")

    def __init__(self, max_event: int = 16 * 1024 * 1024) -> None:
        """Bound one event to `max_event` bytes."""
        self._buffer = b""
        self._max_event = max_event
        #: Bytes at the head of the buffer that hold no end of event: a long event is searched once, not per chunk.
        self._searched = 0
        self._started = False

    @property
    def pending(self) -> bytes:
        """Bytes of an event that has not ended yet."""
        return self._buffer

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete, in order. Raises `TooLong`."""
        buffer = self._buffer + data if self._buffer else data
        if not self._started and buffer:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._buffer = buffer
                return []
            self._started = True
            buffer = buffer.removeprefix(_BOM)
            self._searched = 0
        events: list[Event] = []
        start = 0
        for match in _END.finditer(buffer, self._searched):
            end = match.end()
            # A CR that closes the buffer may be half of a CRLF: wait for the next byte.
            if end == len(buffer) and buffer[end - 1] == 13:
                break
            raw = buffer[start:end]
            start = end
            event = _event(raw)
            if event is not None:
                events.append(event)
        self._buffer = buffer[start:]
        self._searched = max(0, len(self._buffer) - 3)
        if len(self._buffer) > self._max_event:
            raise TooLong
        return events


def _event(raw: bytes) -> Event | None:
    """The event in these bytes; None for comments and blank padding."""
    kind = ""
    data: list[bytes] = []
    for line in raw.splitlines():
        if line.startswith(b"data:"):
            data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line.startswith(b"event:"):
            kind = line[6:].strip().decode("utf-8", "replace")
        elif line == b"data":
            data.append(b"")
    if not data:
        return None
    return Event(kind, b"\n".join(data) if len(data) > 1 else data[0], raw)
