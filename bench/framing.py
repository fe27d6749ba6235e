"""Just enough of HTTP/1.1 for a caller that must cost less than the server it measures: one answer at a time.

Law: an answer is over when its framing says so, wherever the pieces were cut; of its body only the end is kept.
"""

from __future__ import annotations

#: Bytes of a body's end that are remembered: a stream's terminal event fits.
TAIL = 64
_HEAD, _LENGTH, _SIZE, _CHUNK, _TRAILER, _UNTIL_CLOSED, _OVER = range(7)


class Garbled(Exception):
    """This is not an answer in HTTP/1.1."""


def post(port: int, path: str, length: int, headers: dict[str, str]) -> bytes:
    """The head of a request whose body has `length` bytes."""
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Content-Type: application/json"]
    lines += [f"Content-Length: {length}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


class Reading:
    """One answer as it comes in."""

    __slots__ = ("_buffer", "_left", "_state", "begun", "keeps", "size", "status", "tail")

    def __init__(self) -> None:
        self.status = 0
        #: The first byte of the body is here.
        self.begun = False
        #: The server will take another request on this connection.
        self.keeps = True
        #: Bytes of the body so far.
        self.size = 0
        #: The last bytes of the body.
        self.tail = b""
        self._buffer = b""
        self._state = _HEAD
        self._left = 0

    @property
    def over(self) -> bool:
        """All of it is here."""
        return self._state == _OVER

    def feed(self, data: bytes) -> None:
        """Take what arrived. Raises `Garbled`, also for bytes beyond the end: nothing more was asked for."""
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        at, end = 0, len(data)
        while at < end:
            before = at
            at = self._step(data, at)
            if at == before:
                self._buffer = data[at:]
                return

    def closed(self) -> bool:
        """The connection ended; was that the end of the answer?"""
        if self._state == _UNTIL_CLOSED:
            self._state = _OVER
        return self.over

    def _step(self, data: bytes, at: int) -> int:
        """Take one part; the place of the next, or `at` again when this one is not all here."""
        state = self._state
        if state in (_LENGTH, _CHUNK, _UNTIL_CLOSED):
            return self._body(data, at)
        if state == _SIZE:
            return self._chunk_size(data, at)
        if state == _HEAD:
            return self._head(data, at)
        if state == _TRAILER:
            return self._trailer(data, at)
        raise Garbled("bytes after the end of the answer")

    def _body(self, data: bytes, at: int) -> int:
        end = len(data) if self._state == _UNTIL_CLOSED else min(len(data), at + self._left)
        # The line break that ends a chunk is counted in `_left`, and is no part of the body.
        mark = 2 if self._state == _CHUNK else 0
        content = end - max(0, mark - (self._left - (end - at))) if mark else end
        if content > at:
            self.begun = True
            self.size += content - at
            self.tail = (self.tail + data[max(at, content - TAIL) : content])[-TAIL:]
        if self._state != _UNTIL_CLOSED:
            self._left -= end - at
            if self._left == 0:
                self._state = _SIZE if mark else _OVER
        return end

    def _chunk_size(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at)
        if end < 0:
            return at
        try:
            size = int(data[at:end].split(b";", 1)[0], 16)
        except ValueError as exc:
            raise Garbled("a chunk without a size") from exc
        self._state, self._left = (_CHUNK, size + 2) if size else (_TRAILER, 0)
        return end + 2

    def _trailer(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at)
        if end < 0:
            return at
        if end == at:
            self._state = _OVER
        return end + 2

    def _head(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            return at
        lines = data[at:end].lower().split(b"\r\n")
        first = lines[0].split(b" ", 2)
        if len(first) < 2 or not first[0].startswith(b"http/1.") or not first[1].isdigit():
            raise Garbled("no status line")
        self.status = int(first[1])
        fields = {name.strip(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        self.keeps = fields.get(b"connection") != b"close"
        if fields.get(b"transfer-encoding") == b"chunked":
            self._state = _SIZE
        elif b"content-length" in fields:
            self._left = int(fields[b"content-length"])
            self._state = _LENGTH if self._left else _OVER
        else:
            self._state = _UNTIL_CLOSED
        return end + 4
