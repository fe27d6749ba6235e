"""A fixed fast upstream in Python: an asyncio protocol on uvloop, in a process of its own.

It answers every POST by the first part of its path (`bench.answers`), at once or after a while, whole or each event as
a chunk of its own, and can be told to fail or to cut a share. Where nginx is installed, nginx gives the whole answers
instead (`bench.nginx`): it cannot wait, and a file it streams is one chunk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
from random import Random
from typing import NamedTuple, cast

import uvloop

from bench.answers import ANSWERS, FAILURE, Answer


class Manner(NamedTuple):
    """How it answers. Seconds, and shares of all requests."""

    delay: float = 0.0
    event: float = 0.0
    fail: float = 0.0
    cut: float = 0.0


def whole(status: str, body: bytes, content_type: str = "application/json") -> bytes:
    """An answer with its length."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chunks(answer: Answer) -> list[bytes]:
    """A streamed answer, each event a chunk; the head comes with the first."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {answer.content_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    parts = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in answer.pieces]
    return [head + parts[0], *parts[1:-1], parts[-1] + b"0\r\n\r\n"]


WRITES = {
    name: chunks(answer) if len(answer.pieces) > 1 else [whole("200 OK", answer.body)]
    for name, answer in ANSWERS.items()
}
TOGETHER = {name: b"".join(writes) for name, writes in WRITES.items()}
FAILED = whole("500 Internal Server Error", FAILURE)
UNKNOWN = whole("404 Not Found", FAILURE)


class Answering(asyncio.Protocol):
    """Answers each complete request."""

    def __init__(self, manner: Manner, random: Random) -> None:
        self._manner = manner
        self._random = random
        self._head = b""
        #: Bytes of the body still to come; -1 while it is the head that is read.
        self._left = -1
        self._name = ""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        while data or self._left == 0:
            if self._left < 0:
                data = self._begin(self._head + data)
                if self._left < 0:
                    return
            taken = min(self._left, len(data))
            self._left -= taken
            data = data[taken:]
            if self._left:
                return
            self._left = -1
            self._answer()

    def _begin(self, data: bytes) -> bytes:
        """Read a head; what lies behind it."""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._head = data
            return b""
        head, self._head = data[:end], b""
        found = head.lower().partition(b"content-length:")[2]
        self._left = int(found.split(b"\r\n", 1)[0]) if found else 0
        self._name = head.split(b" ", 2)[1].split(b"/", 2)[1].decode()
        return data[end + 4 :]

    def _answer(self) -> None:
        manner = self._manner
        if manner.delay:
            asyncio.get_running_loop().call_later(manner.delay, self._write, self._name)
        else:
            self._write(self._name)

    def _write(self, name: str) -> None:
        if self._transport.is_closing():
            return
        manner, chance = self._manner, self._random.random()
        if chance < manner.fail:
            self._transport.write(FAILED)
        elif name not in TOGETHER:
            self._transport.write(UNKNOWN)
        elif chance < manner.fail + manner.cut:
            self._transport.write(TOGETHER[name][: len(TOGETHER[name]) // 2])
            self._transport.close()
        elif manner.event and len(WRITES[name]) > 1:
            self._next(WRITES[name], 0)
        else:
            self._transport.write(TOGETHER[name])

    def _next(self, writes: list[bytes], number: int) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(writes[number])
        if number + 1 < len(writes):
            asyncio.get_running_loop().call_later(self._manner.event, self._next, writes, number + 1)


async def serve(manner: Manner, certificate: str | None, key: str | None) -> None:
    """Listen on a free port, and on another over TLS; tell both on standard output, and answer until killed."""
    loop = asyncio.get_running_loop()
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    random = Random(1)
    # Kept: uvloop closes a server that nobody refers to.
    servers = [
        await loop.create_server(lambda: Answering(manner, random), "127.0.0.1", 0, ssl=tls, backlog=1024)
        for tls in ((None, context) if context else (None,))
    ]
    sys.stdout.write(json.dumps([server.sockets[0].getsockname()[1] for server in servers]) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def main() -> None:
    """Serve as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="before each answer")
    parser.add_argument("--event-ms", type=float, default=0.0, help="between the events of a stream")
    parser.add_argument("--fail", type=float, default=0.0, help="share answered with 500")
    parser.add_argument("--cut", type=float, default=0.0, help="share whose connection is closed in mid-answer")
    parser.add_argument("--certificate", help="PEM file, for a second port with TLS")
    parser.add_argument("--key", help="its key")
    options = parser.parse_args()
    manner = Manner(options.delay_ms / 1000, options.event_ms / 1000, options.fail, options.cut)
    uvloop.run(serve(manner, options.certificate, options.key))


if __name__ == "__main__":
    main()
