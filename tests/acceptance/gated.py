"""A provider that answers when it is told to, so that a test decides what happens before and what after an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from tests.acceptance.bad_days import MODEL

_TEXT = "Here it is."
_PIECE: dict[str, Any] = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}


class Gate:
    """One OpenAI-like provider. Streams begin at once, and end when the gate opens."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self.waiting = 0
        self.port = 0

    def open(self) -> None:
        self._open.set()

    @property
    def configuration(self) -> dict[str, Any]:
        """What a `steelyard.yaml` says when this is the only provider."""
        models = [{"name": MODEL, "price": {"input": 1, "output": 4}}]
        url = f"http://127.0.0.1:{self.port}/v1"
        return {"providers": {"gate": {"dialect": "openai", "base_url": url, "models": models}}}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        stream = json.loads(await reader.readexactly(length)).get("stream", False)
        kind = b"text/event-stream" if stream else b"application/json"
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: " + kind + b"\r\n\r\n")
        if stream:
            writer.write(_event({"role": "assistant", "content": _TEXT}, None))
        await writer.drain()
        self.waiting += 1
        await self._open.wait()
        writer.write(_event({}, "stop") + b"data: [DONE]\n\n" if stream else _whole())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def a_gate() -> AsyncGenerator[Gate]:
    """A closed gate."""
    gate = Gate()
    server = await asyncio.start_server(gate.serve, "127.0.0.1", 0)
    gate.port = server.sockets[0].getsockname()[1]
    try:
        yield gate
    finally:
        gate.open()
        server.close()
        await server.wait_closed()


def _event(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({**_PIECE, "choices": [choice]}).encode() + b"\n\n"


def _whole() -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": _TEXT}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    whole = {**_PIECE, "object": "chat.completion", "choices": [choice], "usage": usage}
    return json.dumps(whole).encode()


def whole(answer: Any) -> bool:
    """It is all that a gate says, with a clean end."""
    return answer.status == 200 and answer.text == _TEXT and (not answer.stream or answer.clean_end)
