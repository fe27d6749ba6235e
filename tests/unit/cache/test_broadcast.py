"""The laws of a stream read by many."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

import pytest

from cache import Broadcast


class Source:
    """A stream that gives what it is fed, and keeps count of what happened to it."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[int | Exception | None] = asyncio.Queue()
        self.taken = 0
        self.closed = 0
        self.may_close = asyncio.Event()
        self.may_close.set()

    def feed(self, *items: int | Exception | None) -> None:
        """Numbers, an error, or None for the end."""
        for item in items:
            self._queue.put_nowait(item)

    async def read(self) -> AsyncGenerator[int]:
        try:
            while (item := await self._queue.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                self.taken += 1
                yield item
        finally:
            await self.may_close.wait()
            self.closed += 1


class Reader:
    """A task that reads along and keeps what it saw."""

    def __init__(self, broadcast: Broadcast[int]) -> None:
        self.seen: list[int] = []
        self.task = asyncio.create_task(self._read(broadcast))

    async def _read(self, broadcast: Broadcast[int]) -> None:
        async with aclosing(broadcast.read()) as items:  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue] - a generator
            async for item in items:
                self.seen.append(item)

    async def leave(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def turns(count: int = 8) -> None:
    """Let every task that can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def broadcast(source: Source) -> Broadcast[int]:
    return Broadcast(source.read())


async def test_nothing_is_read_before_somebody_reads(source: Source, broadcast: Broadcast[int]) -> None:
    source.feed(1)
    await turns()
    assert source.taken == 0
    await Reader(broadcast).leave()


async def test_each_reader_sees_everything_from_the_start(source: Source, broadcast: Broadcast[int]) -> None:
    early = Reader(broadcast)
    source.feed(1, 2)
    await turns()
    assert early.seen == [1, 2]
    amid = Reader(broadcast)
    await turns()
    assert amid.seen == [1, 2]
    source.feed(3, None)
    await early.task
    await amid.task
    late = Reader(broadcast)
    await late.task
    assert [early.seen, amid.seen, late.seen] == [[1, 2, 3]] * 3
    assert (source.taken, source.closed, broadcast.done) == (3, 1, True)


async def test_an_empty_stream_ends_for_everyone(source: Source, broadcast: Broadcast[int]) -> None:
    readers = [Reader(broadcast) for _ in range(3)]
    await turns()
    source.feed(None)
    await asyncio.gather(*(reader.task for reader in readers))
    assert [reader.seen for reader in readers] == [[]] * 3


async def test_a_slow_reader_holds_nobody_back_and_misses_nothing(source: Source, broadcast: Broadcast[int]) -> None:
    slow = broadcast.read()
    source.feed(1, 2, 3, None)
    assert await anext(slow) == 1
    quick = Reader(broadcast)
    await quick.task
    assert quick.seen == [1, 2, 3]
    assert [item async for item in slow] == [2, 3]


async def test_a_reader_who_leaves_takes_nothing_from_the_others(source: Source, broadcast: Broadcast[int]) -> None:
    first, second = Reader(broadcast), Reader(broadcast)
    source.feed(1)
    await turns()
    await first.leave()
    assert source.closed == 0
    source.feed(2, None)
    await second.task
    assert second.seen == [1, 2]


async def test_the_last_who_leaves_closes_the_source(source: Source, broadcast: Broadcast[int]) -> None:
    first, second = Reader(broadcast), Reader(broadcast)
    source.feed(1)
    await turns()
    await first.leave()
    await second.leave()
    assert (source.closed, broadcast.done) == (1, True)
    source.feed(2)
    await turns()
    assert source.taken == 1


async def test_the_last_leaver_waits_until_the_source_has_closed(source: Source, broadcast: Broadcast[int]) -> None:
    source.may_close.clear()
    reader = Reader(broadcast)
    source.feed(1)
    await turns()
    reader.task.cancel()
    await turns()
    assert not reader.task.done()
    source.may_close.set()
    with suppress(asyncio.CancelledError):
        await reader.task
    assert source.closed == 1


async def test_a_reader_who_stops_amid_the_stream_closes_the_source(source: Source, broadcast: Broadcast[int]) -> None:
    source.feed(1, 2)
    async with aclosing(broadcast.read()) as items:  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue] - a generator
        assert await anext(items) == 1
    assert source.closed == 1


async def test_a_source_already_at_its_end_is_not_cancelled(source: Source, broadcast: Broadcast[int]) -> None:
    source.feed(1, None)
    reader = broadcast.read()
    assert await anext(reader) == 1
    await turns()
    assert broadcast.done
    await reader.aclose()  # pyright: ignore[reportAttributeAccessIssue] - a generator
    assert source.closed == 1


async def test_an_error_comes_after_every_item_and_to_everyone(source: Source, broadcast: Broadcast[int]) -> None:
    readers = [Reader(broadcast), Reader(broadcast)]
    source.feed(1, 2, LookupError("broke"))
    outcomes = await asyncio.gather(*(reader.task for reader in readers), return_exceptions=True)
    late = Reader(broadcast)
    outcomes += await asyncio.gather(late.task, return_exceptions=True)
    assert [(type(one), str(one)) for one in outcomes] == [(LookupError, "broke")] * 3
    assert [reader.seen for reader in (*readers, late)] == [[1, 2]] * 3
    assert source.closed == 1


async def test_a_source_that_is_no_generator_serves_as_well() -> None:
    class Numbers:
        def __init__(self) -> None:
            self._rest = [1, 2]

        def __aiter__(self) -> Numbers:
            return self

        async def __anext__(self) -> int:
            if not self._rest:
                raise StopAsyncIteration
            return self._rest.pop(0)

    reader = Reader(Broadcast(Numbers()))
    await reader.task
    assert reader.seen == [1, 2]


async def test_a_reader_who_comes_as_the_source_is_given_up_is_not_told_that_it_was_cancelled(
    source: Source, broadcast: Broadcast[int]
) -> None:
    source.may_close.clear()
    leaver = Reader(broadcast)
    source.feed(1)
    await turns()
    leaver.task.cancel()
    await turns()
    newcomer = Reader(broadcast)
    await turns()
    source.may_close.set()
    await asyncio.wait([leaver.task, newcomer.task])
    # A task that is cancelled by nobody must end in an answer or an error that its caller can be told.
    assert not newcomer.task.cancelled()


async def test_those_who_read_along_are_counted() -> None:
    go_on = asyncio.Event()

    async def source() -> AsyncIterator[int]:
        yield 1
        await go_on.wait()

    broadcast = Broadcast(source())
    assert broadcast.joined == 0
    readers = [broadcast.read() for _ in range(3)]
    for reader in readers:
        assert await anext(reader) == 1
    assert broadcast.joined == 2
    go_on.set()
    for reader in readers:
        assert await anext(reader, None) is None
    assert broadcast.joined == 0
