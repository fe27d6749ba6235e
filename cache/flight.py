"""Single-flight: a question that is being answered right now is not asked again.

The work runs in a task of its own, so that the first asker may hang up without taking the answer from the others; when
the last one has gone the work is cancelled, since nobody is left to pay for it. An error reaches everyone who waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Flight(Generic[T]):
    __slots__ = ("task", "waiters")

    def __init__(self, task: asyncio.Task[T]) -> None:
        self.task = task
        self.waiters = 0


class Flights(Generic[T]):
    """Work under way, by key."""

    def __init__(self) -> None:
        """Nothing is under way."""
        self._flights: dict[str, _Flight[T]] = {}

    def __len__(self) -> int:
        return len(self._flights)

    @property
    def joined(self) -> int:
        """How many wait for work that another one has begun."""
        return sum(flight.waiters - 1 for flight in self._flights.values() if flight.waiters)

    async def join(self, key: str, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The result of the work under `key`, and whether somebody else had already begun it."""
        flight = self._flights.get(key)
        joined = flight is not None
        if flight is None:
            flight = _Flight(asyncio.ensure_future(_run(work)))
            self._flights[key] = flight
            flight.task.add_done_callback(lambda _task: self._land(key))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task), joined
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.task.done():
                # Out of the table first: whoever asks now must start anew, not join a flight that is being cancelled.
                self._land(key, flight)
                flight.task.cancel()
                # What the work writes down on its way out must be written before its asker closes the books.
                await asyncio.wait([flight.task])
                if not flight.task.cancelled():
                    flight.task.exception()  # nobody is left to hear of it; asyncio would complain that nobody asked

    def _land(self, key: str, flight: _Flight[T] | None = None) -> None:
        current = self._flights.get(key)
        if current is not None and (flight is current or current.task.done()):
            del self._flights[key]


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


class Abandoned(Exception):
    """The last reader of a stream had left when another came."""


class Broadcast(Generic[T]):
    """One stream read by many: each reader gets every item from the first on, then the end or the error.

    The source is read by a task of its own while there are readers, and closed when the last one leaves.
    """

    def __init__(self, source: AsyncIterator[T]) -> None:
        """Start reading the source at the first reader."""
        self._source = source
        self._items: list[T] = []
        self._error: BaseException | None = None
        self._done = False
        self._readers = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def read(self) -> AsyncGenerator[T]:
        """Every item, in order."""
        if self._task is None:
            self._task = asyncio.create_task(self._pump())
        self._readers += 1
        seen = 0
        try:
            while True:
                while seen < len(self._items):
                    seen += 1
                    yield self._items[seen - 1]
                if self._done:
                    break
                await self._news.wait()
            if self._error is not None:
                raise self._error
        finally:
            self._readers -= 1
            if not self._readers and not self._done:
                self._task.cancel()
                await asyncio.wait([self._task])

    @property
    def joined(self) -> int:
        """How many read along with another one."""
        return max(0, self._readers - 1)

    @property
    def deserted(self) -> bool:
        """Every reader has left: it is being given up, and whoever comes now would fail with it."""
        return self._task is not None and not self._readers

    @property
    def done(self) -> bool:
        """True once the source has ended, well or badly, or was given up."""
        return self._done

    async def _pump(self) -> None:
        try:
            async for item in self._source:
                self._items.append(item)
                self._wake()
        except asyncio.CancelledError:
            self._error = Abandoned()
        except Exception as exc:  # noqa: BLE001 - not swallowed: every reader raises it
            self._error = exc
        finally:
            self._done = True
            self._wake()
            aclose = getattr(self._source, "aclose", None)
            if aclose is not None:
                await aclose()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
