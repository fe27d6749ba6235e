"""Connections are shared out evenly, and none waits for a worker that does not come."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from functools import partial
from pathlib import Path

import pytest

from gateway.accepting import Acceptor, lay_out


class Worker:
    """One of several in this process, each with the socket and the file of all."""

    def __init__(self, listening: socket.socket, folder: Path, slot: int) -> None:
        self.open: set[asyncio.BaseTransport] = set()
        self.listening = listening.dup()
        self.acceptor = Acceptor(
            self.listening, lambda: _Open(self), counts=folder / "counts", slot=slot, has=lambda: len(self.open)
        )
        self.acceptor.start()

    async def leave(self) -> None:
        if self.listening.fileno() < 0:
            return
        self.acceptor.close()
        for one in self.open:
            one.close()
        while self.open:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
        self.listening.close()


class _Open(asyncio.Protocol):
    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._worker.open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker.open.discard(self._transport)


@pytest.fixture
def listening(tmp_path: Path) -> Generator[socket.socket]:
    lay_out(tmp_path / "counts", 3)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one


@pytest.fixture
async def hire(listening: socket.socket, tmp_path: Path) -> AsyncGenerator[Callable[[int], Worker]]:
    """Workers by their slots. Whatever becomes of the test they leave: its sockets would be blamed on a later one."""
    hired: list[Worker] = []

    def one(slot: int) -> Worker:
        hired.append(Worker(listening, tmp_path, slot))
        return hired[-1]

    yield one
    for worker in hired:
        await worker.leave()


class Callers:
    """Who connects, and stays."""

    def __init__(self, listening: socket.socket) -> None:
        self._address = listening.getsockname()
        self.connections: list[socket.socket] = []

    def come(self, number: int) -> None:
        self.connections += [socket.create_connection(self._address, 20) for _ in range(number)]


@pytest.fixture
def callers(listening: socket.socket) -> Generator[Callers]:
    some = Callers(listening)
    yield some
    for one in some.connections:
        one.close()


async def until_open(workers: list[Worker], total: int) -> list[int]:
    async with asyncio.timeout(20):
        while sum(len(one.open) for one in workers) != total:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)
    return [len(one.open) for one in workers]


def even(shares: list[int]) -> bool:
    """The same, but for who was just about to take one all the same."""
    return max(shares) - min(shares) <= 2


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on who leaves a connection to others leaves it to them.

    On a busy machine all of them are still amid their first steps when the usual moment is over.
    """
    return partial(monkeypatch.setattr, "gateway.accepting._HESITATE", 60.0)


async def test_connections_that_come_at_once_are_shared_out_evenly(
    hire: Callable[[int], Worker], callers: Callers, patience: Callable[[], None]
) -> None:
    workers = [hire(0), hire(1)]
    callers.come(40)
    assert even(await until_open(workers, 40))
    # A third that comes later gets the next ones, until it has as many.
    workers.append(hire(2))
    patience()
    callers.come(20)
    assert even(await until_open(workers, 60))


async def test_whoever_lost_its_connections_gets_the_next(
    hire: Callable[[int], Worker], callers: Callers, patience: Callable[[], None]
) -> None:
    workers = [hire(0), hire(1)]
    callers.come(20)
    lost, kept = await until_open(workers, 20)
    for one in list(workers[0].open):
        one.close()
    await until_open(workers, kept)
    patience()
    callers.come(lost)
    assert even(await until_open(workers, 20))


async def test_nobody_waits_for_one_that_is_gone_or_does_not_come(
    hire: Callable[[int], Worker], callers: Callers
) -> None:
    workers = [hire(0), hire(1)]
    # It said that it has none, and never takes one.
    await workers[1].leave()
    callers.come(20)
    assert await until_open(workers, 20) == [20, 0]


async def test_one_without_a_free_descriptor_tries_again(
    hire: Callable[[int], Worker], callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = hire(0)
    refused: list[int] = []

    def full(_self: socket.socket) -> tuple[socket.socket, object]:
        refused.append(1)
        if len(refused) == 3:
            monkeypatch.undo()
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", full)
    callers.come(2)
    assert await until_open([worker], 2) == [2]
    assert len(refused) == 3
