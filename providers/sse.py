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
_CR = 13


class Event(Struct):
    """One event: its type (`""` when unnamed), its data, and its bytes with the empty line that ended it."""

    type: str
    data: bytes
    raw: bytes


class TooLong(Exception):
    """A server-sent event is longer than the bound."""


class Parser:
    """Feed bytes, get events."""

    __slots__ = ("_after_cr", "_buffer", "_max_event", "_searched", "_started", "_too_long")

    def __init__(self, max_event: int = 16 * 1024 * 1024) -> None:
        """Bound one event to `max_event` bytes."""
        #: The event that has not ended yet. It grows in place: a long event is neither copied nor searched per chunk.
        self._buffer = bytearray()
        self._searched = 0
        self._max_event = max_event
        self._started = False
        #: The last event ended with a CR, which may be half of a CRLF: an LF that comes next belongs to it.
        self._after_cr = False
        self._too_long = False

    @property
    def pending(self) -> bytes:
        """Bytes of an event that has not ended yet."""
        return bytes(self._buffer)

    @property
    def waiting(self) -> int:
        """How many bytes they are."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Event]:
        """The events that these bytes complete, in order.

        Raises:
            TooLong: one is larger than the bound; those before it were handed out first.
        """
        if self._too_long:
            raise TooLong
        if not self._started and not self._start(data):
            return []
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if not self._buffer:
            return self._take(data)
        self._buffer += data
        return self._take(self._buffer)

    def _start(self, data: bytes) -> bool:
        """Drop a byte order mark; False while it may still be coming."""
        head = bytes(self._buffer[:3]) + data[:3]
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._buffer += data
            return False
        return True

    def _take(self, buffer: bytes | bytearray) -> list[Event]:
        events: list[Event] = []
        start = 0
        if not self._started:
            self._started = True
            start = len(_BOM) if buffer.startswith(_BOM) else 0
        for match in _END.finditer(buffer, max(self._searched, start)):
            end = match.end()
            if end - start > self._max_event:
                return self._stop(events)
            self._after_cr = end == len(buffer) and buffer[end - 1] == _CR
            event = _event(bytes(buffer[start:end]))
            start = end
            if event is not None:
                events.append(event)
        if buffer is self._buffer:
            del self._buffer[:start]
        else:
            self._buffer += buffer[start:]
        self._searched = max(0, len(self._buffer) - 3)
        return self._stop(events) if len(self._buffer) > self._max_event else events

    def _stop(self, events: list[Event]) -> list[Event]:
        """What came before an event too long is still good; nothing after it is."""
        self._too_long = True
        # A new one: the search that found it still holds the old, and Python forbids to empty that.
        self._buffer = bytearray()
        if not events:
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
            kind = (line[7:] if line[6:7] == b" " else line[6:]).decode("utf-8", "replace")
        elif line == b"data":
            data.append(b"")
    if not data:
        return None
    return Event(kind, b"\n".join(data) if len(data) > 1 else data[0], raw)
