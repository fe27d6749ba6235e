"""An answer to a caller: its head with the beginning of the body in one write, looked at as a whole.

uvicorn's looks at it name by name and value by value, and writes the head alone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

#: Names of headers that were looked at and found right. There are as many as the code has; beyond, all are looked at.
_NAMES: set[bytes] = set()
_MOST_NAMES = 256
#: ASGI has them in lower case.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
#: Statuses whose answers have no body, and need not say so.
_BODILESS = (204, 304)


class Cycle(RequestResponseCycle):
    """One request and its answer. The head waits for the first of the body, as ASGI allows, and goes out with it."""

    _head = b""
    #: What it runs in.
    task: asyncio.Task[None]

    async def send(self, message: Any) -> None:
        """One message of the application's. Raises `RuntimeError` for one that breaks HTTP, or comes out of turn."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.start" and not self.response_started:
            self._start(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and self.response_started and not self.response_complete:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"The application sent '{kind}' out of turn.")

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        pairs = [*self.default_headers, *headers]
        fields = dict(pairs)
        lines = [b": ".join(pair) for pair in pairs]
        together = b"".join(lines)
        if b"\n" in together or b"\r" in together or b"\0" in together or not _fine(fields):
            raise RuntimeError("A header of the answer would break it.")
        self.response_started, self.waiting_for_100_continue = True, False
        lines.append(b"\r\n")
        if self.more_body:
            # What is left of the request nobody wants: it is not waited for, and not taken for another request.
            self.keep_alive = False
        if b"close" in fields.get(b"connection", b"").lower():
            self.keep_alive = False
        elif not self.keep_alive:
            lines[-1:] = b"connection: close", b"\r\n"
        length = fields.get(b"content-length")
        self.chunked_encoding = length is None and status not in _BODILESS
        if length is not None:
            self.expected_content_length = int(length)
        elif self.chunked_encoding and self.scope["method"] != "HEAD" and b"transfer-encoding" not in fields:
            lines[-1:] = b"transfer-encoding: chunked", b"\r\n"
        self._head = STATUS_LINE[status] + b"\r\n".join(lines)

    def _go_on(self, body: bytes, *, more: bool) -> None:
        head, self._head = self._head, b""
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (self.expected_content_length and not more):
                raise RuntimeError("The body of the answer is not as long as its head says.")
        if head or body:
            self.transport.write(head + body)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not (self.keep_alive or self.more_body):
                self.transport.close()
            self.on_response()


def _fine(names: Iterable[bytes]) -> bool:
    """Whether these are names of headers."""
    if _NAMES.issuperset(names):
        return True
    if not all(map(_NAME.fullmatch, names)):
        return False
    if len(_NAMES) < _MOST_NAMES:
        _NAMES.update(names)
    return True
