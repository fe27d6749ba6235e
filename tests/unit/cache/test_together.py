"""The laws of reading together: one trip per turn, to each the answer to his question, and nobody waits in vain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from cache.together import Together


class Shelf:
    """Values by key; writes down the trips, and holds each until it is let go."""

    def __init__(self) -> None:
        self.trips: list[list[str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.broken: Exception | None = None
        self.came = asyncio.Semaphore(0)

    async def read(self, keys: Sequence[str]) -> list[str | None] | None:
        self.trips.append([*keys])
        self.came.release()
        await self.open.wait()
        if self.broken is not None:
            raise self.broken
        return [None if key == "absent" else f"value of {key}" for key in keys]


async def test_what_is_asked_for_in_one_turn_is_one_trip_and_each_gets_his_own() -> None:
    shelf = Shelf()
    together = Together(shelf.read, most=10)
    found = await asyncio.gather(*(together.get(key) for key in ("a", "absent", "b", "a")))
    assert found == ["value of a", None, "value of b", "value of a"]
    assert shelf.trips == [["a", "absent", "b"]]


async def test_nobody_waits_for_the_trip_before() -> None:
    shelf = Shelf()
    together = Together(shelf.read, most=10)
    shelf.open.clear()
    first = asyncio.create_task(together.get("a"))
    await shelf.came.acquire()
    second = asyncio.create_task(together.get("a"))
    await shelf.came.acquire()
    shelf.open.set()
    assert await asyncio.gather(first, second) == ["value of a"] * 2
    assert shelf.trips == [["a"], ["a"]]


async def test_more_than_one_trip_takes_are_several() -> None:
    shelf = Shelf()
    together = Together(shelf.read, most=2)
    keys = ["a", "b", "c", "d", "e"]
    assert await asyncio.gather(*map(together.get, keys)) == [f"value of {key}" for key in keys]
    assert shelf.trips == [["a", "b"], ["c", "d"], ["e"]]


async def test_one_that_is_cancelled_takes_the_answer_from_nobody() -> None:
    shelf = Shelf()
    together = Together(shelf.read, most=10)
    shelf.open.clear()
    leaves, stays = (asyncio.create_task(together.get("a")) for _ in range(2))
    await shelf.came.acquire()
    leaves.cancel()
    await asyncio.sleep(0)
    shelf.open.set()
    assert await stays == "value of a"
    assert leaves.cancelled()


async def test_a_trip_that_brings_nothing_is_a_miss_for_all_of_it() -> None:
    async def away(_keys: Sequence[str]) -> None:
        return None

    together = Together[str](away, most=10)
    assert await asyncio.gather(together.get("a"), together.get("b")) == [None, None]


async def test_a_defect_leaves_nobody_waiting_and_is_told() -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    shelf = Shelf()
    shelf.broken = RuntimeError("a defect")
    together = Together(shelf.read, most=10)
    assert await together.get("a") is None
    await together.close()
    for _ in range(3):
        await asyncio.sleep(0)
    assert [context.get("exception") for context in told] == [shelf.broken]


async def test_closing_waits_for_what_is_under_way() -> None:
    shelf = Shelf()
    together = Together(shelf.read, most=10)
    shelf.open.clear()
    asking = asyncio.create_task(together.get("a"))
    await shelf.came.acquire()
    closing = asyncio.create_task(together.close())
    await asyncio.sleep(0)
    assert not closing.done()
    shelf.open.set()
    await closing
    assert await asking == "value of a"


@pytest.mark.parametrize("most", [1, 3])
async def test_who_asks_again_is_read_again(most: int) -> None:
    shelf = Shelf()
    together = Together(shelf.read, most=most)
    for _ in range(3):
        await together.get("a")
    assert shelf.trips == [["a"]] * 3
