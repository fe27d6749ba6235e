"""A fixed fast upstream: answers every POST at once in OpenAI's format, whole or as 60 events.

An asyncio protocol on uvloop, which measures some 40,000 answers a second on one core: several times what the gateway
can ask of it. It runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import cast

import uvloop

EVENTS = 60
_REPLY = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1_760_000_000,
    "model": "bench",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "The steelyard finds its level again. " * 12},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 40, "completion_tokens": 110, "total_tokens": 150},
}


def _event(data: object) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
    return _event({**head, "choices": [choice]})


def _whole() -> bytes:
    body = json.dumps(_REPLY).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _stream() -> bytes:
    usage: dict[str, object] = {
        "id": "chatcmpl-bench",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "bench",
        "choices": [],
    }
    events = [_chunk({"role": "assistant", "content": ""})]
    events += [_chunk({"content": f"word{number} "}) for number in range(EVENTS)]
    events += [_chunk({}, "stop"), _event({**usage, "usage": _REPLY["usage"]}), b"data: [DONE]\n\n"]
    parts = b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in events)
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + parts + b"0\r\n\r\n"


WHOLE, STREAM = _whole(), _stream()


class Answering(asyncio.Protocol):
    """Answers each complete request."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = int(self._buffer[:end].lower().split(b"content-length:")[1].split(b"\r\n")[0])
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            streamed = b'"stream":true' in body or b'"stream": true' in body
            self._transport.write(STREAM if streamed else WHOLE)


async def serve() -> None:
    """Listen on a free port, tell it on standard output, and answer until killed."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
