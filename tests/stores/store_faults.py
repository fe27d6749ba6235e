"""What can happen to a database on the way: a TCP proxy that can cut its connections, or hold every byte back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.store.record import AttemptRecord, ExchangeRecord

Upstream = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]

#: 2026-11-21T00:00:00Z
DAY = 1_795_219_200.0


class Proxy:
    """Stands before a server; `cut` refuses and resets, `hang` accepts and says nothing, `heal` lets all through."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        self._drop()

    def hang(self) -> None:
        self._flowing.clear()

    async def heal(self) -> None:
        if not self._flowing.is_set():
            self._drop()  # what hung is gone: its other end has long given up
            self._flowing.set()
        if self._server is None or not self._server.is_serving():
            await self.listen()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._drop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        await self._flowing.wait()
        try:
            up_reader, up_writer = await self._upstream()
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(up_writer)
        for source, sink in ((reader, up_writer), (up_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            pass  # cut: the other end learns of it below
        sink.close()


def exchange(number: int, **facts: Any) -> ExchangeRecord:
    """An exchange with one attempt, created `number` seconds after `DAY`."""
    values: dict[str, Any] = {
        "id": f"req_{number:08d}",
        "created_at": DAY + number,
        "surface": "chat",
        "dialect": "openai",
        "requested_model": "gpt-4o-mini",
        "tenant": "acme",
        "key_name": "app",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "cache": "miss",
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_usd": 0.0000123456,
        "duration_s": 0.5,
        "attempts": [AttemptRecord(seq=0, provider="openai", model="gpt-4o-mini", outcome="ok", cost_usd=0.0000123456)],
    }
    return ExchangeRecord(**(values | facts))
