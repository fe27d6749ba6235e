"""The same question put to several processes at once reaches a provider once, whoever of them dies meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from providers import simulator
from tests.acceptance.bad_days import Told, ask, callers, eventually, four
from tests.acceptance.bad_processes import Program, a_program, broken, configuration
from tests.stores.cache.cache_world import Server

SAME = "What is the same for all?"


@pytest.fixture
def running() -> Generator[simulator.Running]:
    with simulator.start(four()) as started:
        yield started


def seen(running: simulator.Running) -> int:
    """Requests that have reached a provider."""
    return sum(one["counters"]["requests"] for one in running.state().values())


async def the_same(program: Program, number: int) -> list[Told]:
    """So many callers, each on a connection of its own, with one question."""
    async with callers() as session:
        return await asyncio.gather(*(ask(session, program.url, SAME, temperature=0) for _ in range(number)))


def said(told: Sequence[Told]) -> set[str]:
    assert not [(one.status, one.body) for one in told if not one.good]
    return {one.headers["x-steelyard-cache"] for one in told}


def claiming(program: Program) -> list[psutil.Process]:
    """The workers that are finding an answer for the others."""
    found: list[psutil.Process] = []
    for one in program.workers():
        try:
            found += [one] if any("/claims/" in file.path for file in one.open_files()) else []
        except psutil.Error:
            continue
    return found


@asynccontextmanager
async def two_on(redis: Server, running: simulator.Running, folder: Path) -> AsyncGenerator[tuple[Program, Program]]:
    """Replicas with a folder and a database each."""
    config = configuration(running, four())
    with (
        a_program(folder / "first", config, REDIS_URL=redis.url()) as first,
        a_program(folder / "second", config, REDIS_URL=redis.url()) as second,
    ):
        await asyncio.gather(*(asyncio.to_thread(program.start) for program in (first, second)))
        yield first, second


async def test_the_workers_of_one_machine_ask_once_without_redis(running: simulator.Running, tmp_path: Path) -> None:
    with a_program(tmp_path, configuration(running, four()), "--workers", "3") as program:
        program.start()
        await eventually(lambda: len(program.told("a worker is ready")) == 3)
        broken(running, "slow", seconds=2.0)
        told = await the_same(program, 60)
        assert "coalesced" in said(told)
        assert [one.headers["x-steelyard-cache"] for one in told].count("miss") == 1
        assert len({one.body for one in told}) == 1
        assert seen(running) == 1
        # And from now on each has it, without asking.
        assert said(await the_same(program, 60)) == {"hit"}
        assert seen(running) == 1


async def test_when_the_worker_that_asks_is_killed_another_asks(running: simulator.Running, tmp_path: Path) -> None:
    with a_program(tmp_path, configuration(running, four()), "--workers", "2") as program:
        program.start()
        await eventually(lambda: len(program.told("a worker is ready")) == 2)
        broken(running, "hang")
        asked = asyncio.create_task(the_same(program, 40))
        await eventually(lambda: seen(running) == 1 and claiming(program))
        broken(running, "slow", seconds=0.1)
        (holder,) = claiming(program)
        holder.kill()
        told = await asked
        good = [one for one in told if one.good]
        # The dead one's callers were cut off; the living one's have an answer, for which it asked once.
        assert good
        assert {one.status for one in told if not one.good} <= {0}
        assert seen(running) == 2


async def test_replicas_on_one_redis_ask_once_and_one_that_dies_asking_is_succeeded(
    redis: Server, running: simulator.Running, tmp_path: Path
) -> None:
    async with two_on(redis, running, tmp_path) as (first, second):
        broken(running, "slow", seconds=2.0)
        told = [one for each in await asyncio.gather(*(the_same(one, 10) for one in (first, second))) for one in each]
        assert [one.headers["x-steelyard-cache"] for one in told].count("miss") == 1
        assert len({one.body for one in told}) == 1
        assert seen(running) == 1
        assert redis.ask("KEYS", "steelyard:lease:*") == b"*0\r\n"

        broken(running, "hang")
        async with callers() as session:
            cut_off = asyncio.create_task(ask(session, first.url, "And this?", temperature=0))
            await eventually(lambda: seen(running) == 2)
            broken(running, "slow", seconds=0.1)
            waiting = asyncio.create_task(ask(session, second.url, "And this?", temperature=0))
            first.kill()
            assert not (await cut_off).good
            assert (await waiting).good
        assert seen(running) == 3


async def test_a_redis_that_dies_while_others_wait_holds_up_nobody(
    redis: Server, running: simulator.Running, tmp_path: Path
) -> None:
    async with two_on(redis, running, tmp_path) as (first, second):
        broken(running, "hang")
        asking = asyncio.create_task(the_same(first, 5))
        await eventually(lambda: seen(running) == 1)
        broken(running, "slow", seconds=0.1)
        waiting = asyncio.create_task(the_same(second, 5))
        redis.kill()
        # The first is asking yet. The second cannot know that any more, and asks for its own callers.
        assert "miss" in said(await waiting)
        assert seen(running) == 2
        assert not asking.done()
        asking.cancel()
