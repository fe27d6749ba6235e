"""The same question in several processes at once: one asks, the others wait for its answer, and nobody for the dead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from gateway_world import COST, Answer, Asked, World, reply
from paused_time import paused, settle

from cache import Claim, FolderStore, MemoryStore
from gateway.errors import DeadlineExceeded, ProvidersFailed
from gateway.exchange import Preferences
from gateway.failover import RetryPolicy
from providers.errors import Overloaded


def worker(folder: Path) -> World:
    """One of several pipelines that share a folder, as workers do."""
    clock = asyncio.get_running_loop().time
    store = FolderStore(MemoryStore(2**20, clock=clock), folder, max_bytes=2**20, wall=clock)
    return World(store=store, leases=store, policy=RetryPolicy(rounds=0))


def after(seconds: float, answer: Answer) -> Callable[[Asked], Awaitable[Answer]]:
    async def play(_asked: Asked) -> Answer:
        await asyncio.sleep(seconds)
        return answer

    return play


@paused
async def test_one_asks_and_the_callers_of_all_get_its_answer(tmp_path: Path) -> None:
    workers = [worker(tmp_path) for _ in range(3)]
    for one in workers:
        one.upstreams.on("a", after(20.0, reply("from one of us")))
    asked = [one.pipeline.reply(one.ask(temperature=0)) for one in workers for _ in range(4)]
    told = await asyncio.gather(*asked)
    assert len({one.pieces[0] for one in told}) == 1
    assert sum(len(one.upstreams.asked) for one in workers) == 1
    closed = [one for each in workers for one in each.closed]
    assert sorted(one.cache for one in closed) == ["coalesced"] * 11 + ["miss"]
    assert sum(sum(one.booked) for one in workers) == pytest.approx(COST)
    # What was waited for is not the gateway's own time.
    assert all(one.overhead < 0.1 for one in closed)


@paused
async def test_whoever_waited_for_one_that_fails_asks_for_itself(tmp_path: Path) -> None:
    first, second = worker(tmp_path), worker(tmp_path)
    first.upstreams.on("a", fails_after(5.0))
    second.upstreams.on("a", reply("from the second"))
    failing = asyncio.ensure_future(first.pipeline.reply(first.ask(temperature=0)))
    await settle()
    waiting = asyncio.ensure_future(second.pipeline.reply(second.ask(temperature=0)))
    with pytest.raises(ProvidersFailed):
        await failing
    assert b"from the second" in (await waiting).pieces[0]
    assert second.only().cache == "miss"


def fails_after(seconds: float) -> Callable[[Asked], Awaitable[Answer]]:
    async def play(_asked: Asked) -> Answer:
        await asyncio.sleep(seconds)
        raise Overloaded("busy")

    return play


@paused
async def test_when_the_last_caller_of_the_one_that_asks_leaves_another_asks(tmp_path: Path) -> None:
    first, second = worker(tmp_path), worker(tmp_path)
    first.upstreams.on("a", after(500.0, reply("never")))
    second.upstreams.on("a", reply("from the second"))
    leaving = asyncio.ensure_future(first.pipeline.reply(first.ask(temperature=0)))
    await settle()
    waiting = asyncio.ensure_future(second.pipeline.reply(second.ask(temperature=0)))
    await settle()
    leaving.cancel()
    assert b"from the second" in (await waiting).pieces[0]


@paused
async def test_who_waits_keeps_the_deadline_and_leaves_no_claim(tmp_path: Path) -> None:
    first, second = worker(tmp_path), worker(tmp_path)
    first.upstreams.on("a", after(50.0, reply("late")))
    asking = asyncio.ensure_future(first.pipeline.reply(first.ask(temperature=0)))
    await settle()
    with pytest.raises(DeadlineExceeded):
        await second.pipeline.reply(second.ask(temperature=0, wishes=Preferences(timeout=2.0)))
    assert second.only().outcome == "error"
    assert second.upstreams.asked == []
    assert b"late" in (await asking).pieces[0]
    assert list((tmp_path / "claims").iterdir()) == []


@paused
async def test_a_refresh_waits_for_nobody_and_its_answer_is_the_others(tmp_path: Path) -> None:
    first, second = worker(tmp_path), worker(tmp_path)
    first.upstreams.on("a", after(50.0, reply("old")))
    second.upstreams.on("a", reply("new"))
    asking = asyncio.ensure_future(first.pipeline.reply(first.ask(temperature=0)))
    await settle()
    fresh = await second.pipeline.reply(second.ask(temperature=0, wishes=Preferences(cache="refresh")))
    assert b"new" in fresh.pieces[0]
    assert b"old" in (await asking).pieces[0]


@paused
async def test_where_nobody_can_say_whose_it_is_everybody_asks_at_once() -> None:
    class Silent:
        async def claim(self, key: str) -> Claim:
            return Claim.UNKNOWN

        async def release(self, key: str) -> None:
            return

    world = World(leases=Silent())
    world.upstreams.on("a", reply("alone"))
    assert b"alone" in (await world.pipeline.reply(world.ask(temperature=0))).pieces[0]
    assert world.only().cache == "miss"
