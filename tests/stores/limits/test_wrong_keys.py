"""Wrong keys that several processes hear: as many are mistakes as if one had heard them all."""

from __future__ import annotations

import asyncio
import fcntl
import os
import uuid
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from gateway.errors import TooManyWrongKeys
from gateway.governance.guessing import Guesses
from gateway.governance.guessing_together import Away, FolderGuesses, RedisGuesses, Together
from tests.stores.cache.cache_world import Server

MOST = 20
Making = Callable[[], Guesses]


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture(params=["folder", "redis"])
async def making(request: pytest.FixtureRequest, tmp_path: Path, time: Time) -> AsyncGenerator[Making]:
    """Makes processes that count together."""
    made: list[Guesses] = []
    namespace = f"{uuid.uuid4()}:"

    def make() -> Guesses:
        together: Together
        if request.param == "redis":
            url = request.getfixturevalue("shared_redis").url()
            together = RedisGuesses(url, clock=time, namespace=namespace)
        else:
            together = FolderGuesses(tmp_path, clock=time)
        made.append(Guesses(MOST, monotonic=time, counted=lambda _: None, together=[together]))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def mistakes(guesses: Guesses, tries: int, address: str = "10.0.0.1") -> int:
    """How many of so many wrong keys were taken for mistakes."""
    taken = 0
    for _ in range(tries):
        try:
            await guesses.heard(address)
        except TooManyWrongKeys:
            continue
        taken += 1
    return taken


async def test_of_all_together_no_more_are_mistakes_than_of_one(making: Making) -> None:
    told = await asyncio.gather(*(mistakes(making(), 30) for _ in range(4)))
    assert sum(told) == MOST
    assert await mistakes(making(), 5) == 0, "who has just come knows it, too"
    assert await mistakes(making(), 5, "10.0.0.2") == 5


async def test_what_is_said_of_the_wait_is_true_of_all(making: Making, time: Time) -> None:
    one, other = making(), making()
    assert await mistakes(one, 30) == MOST
    with pytest.raises(TooManyWrongKeys) as told:
        await other.heard("10.0.0.1")
    assert told.value.retry_after == pytest.approx(3.0, abs=0.5)


async def test_after_a_quiet_minute_all_is_forgiven(tmp_path: Path, time: Time) -> None:
    guesses = [
        Guesses(MOST, monotonic=time, counted=lambda _: None, together=[FolderGuesses(tmp_path, clock=time)])
        for _ in range(2)
    ]
    assert await mistakes(guesses[0], 30) == MOST
    time.now += 61
    assert await mistakes(guesses[1], 30) == MOST
    for one in guesses:
        await one.close()


async def test_no_number_of_addresses_makes_guesses_be_forgotten(tmp_path: Path, time: Time) -> None:
    table = FolderGuesses(tmp_path, clock=time)

    async def taken() -> int:
        return sum([not await table.wrong(f"2001:db8:0:{number:x}::/64", 1) for number in range(6_000)])

    assert 3_000 < await taken() <= 4_096
    assert await taken() == 0, "neither is anybody forgotten, nor is there a place for others"
    await table.close()


async def test_who_is_late_writes_into_no_file_that_was_opened_since(tmp_path: Path, time: Time) -> None:
    closed = FolderGuesses(tmp_path, clock=time)
    await closed.close()
    others = tmp_path / "other"
    with others.open("w+b") as other:  # by the lowest number that is free
        with pytest.raises(Away):
            await closed.wrong("10.0.0.1", MOST)
        assert not other.read()


async def test_who_is_stopped_with_the_lock_in_hand_costs_the_others_nothing_but_their_company(
    tmp_path: Path, time: Time
) -> None:
    guesses = Guesses(3, monotonic=time, counted=lambda _: None, together=[FolderGuesses(tmp_path, clock=time)])
    frozen = os.open(tmp_path / "wrong-keys", os.O_RDWR)
    fcntl.flock(frozen, fcntl.LOCK_EX)
    assert await mistakes(guesses, 5) == 3
    os.close(frozen)
    await guesses.close()


async def test_without_redis_the_machine_counts_and_what_is_known_here_stays_known(
    redis: Server, tmp_path: Path, time: Time
) -> None:
    def make() -> Guesses:
        together = [RedisGuesses(redis.url(), clock=time), FolderGuesses(tmp_path, clock=time)]
        return Guesses(MOST, monotonic=time, counted=lambda _: None, together=together)

    one, other = make(), make()
    assert await mistakes(one, 15) == 15
    redis.kill()
    assert await mistakes(one, 30) == 5
    assert await mistakes(other, 30) == 15, "the machine's, which heard the last five"
    for guesses in (one, other):
        await guesses.close()
