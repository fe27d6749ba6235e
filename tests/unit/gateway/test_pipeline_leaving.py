"""Callers who share an answer: who pays when somebody leaves, whose deadline counts, whose time is whose."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway_world import COST, Answer, Asked, Reader, World, drain, finished, opened, reply, said, streaming
from paused_time import paused, settle

from gateway.errors import DeadlineExceeded, ProvidersFailed, StreamBroken
from gateway.exchange import Preferences
from gateway.failover import RetryPolicy
from providers.errors import Cut, Overloaded, TimedOut


def when(event: asyncio.Event, answer: Answer) -> Callable[[Asked], Awaitable[Answer]]:
    async def play(_asked: Asked) -> Answer:
        await event.wait()
        return answer

    return play


async def asked(world: World, **fields: Any) -> bytes:
    """Ask, whole or streamed, and read everything."""
    if fields.get("stream"):
        return b"".join(await drain((await world.pipeline.stream(world.ask(**fields))).pieces()))
    return (await world.pipeline.reply(world.ask(**fields))).pieces[0]


def answers(stream: bool, text: str = "hello") -> Answer:
    return streaming(said(text), finished()) if stream else reply(text)


def total(world: World) -> float:
    """What the books say was spent."""
    return sum(world.booked)


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@paused
async def test_when_the_leader_hangs_up_the_follower_gets_the_answer_and_its_cost() -> None:
    world = World()
    go = asyncio.Event()
    world.upstreams.on("a", when(go, reply()))
    leader = asyncio.create_task(asked(world, temperature=0))
    await settle()
    followers = [asyncio.create_task(asked(world, temperature=0)) for _ in range(2)]
    await settle()
    await _hang_up(leader)
    go.set()
    assert len({*await asyncio.gather(*followers)}) == 1
    assert [one.outcome for one in world.closed] == ["cancelled", "ok", "ok"]
    assert sorted(one.cache for one in world.closed[1:]) == ["coalesced", "miss"]
    assert total(world) == pytest.approx(COST)
    (heir,) = (one for one in world.closed[1:] if one.cache == "miss")
    assert [one.outcome for one in heir.attempts] == ["ok"]
    assert world.balancer.endings()[0][1] == "success"


async def _hang_up(task: asyncio.Task[bytes]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _reader(world: World, *, pieces: int = 0) -> Reader:
    """One who reads the stream, past so many pieces."""
    one = Reader(await world.pipeline.stream(world.ask(temperature=0, stream=True)))
    for _ in range(pieces):
        await anext(one)
    return one


async def _two(world: World) -> tuple[Reader, Reader]:
    """A leader and a follower of one stream, both past the first piece."""
    return await _reader(world, pieces=1), await _reader(world, pieces=1)


@paused
async def test_a_follower_reads_a_stream_from_its_beginning() -> None:
    world = World()
    go = asyncio.Event()
    world.upstreams.on("a", streaming(said("one"), said("two"), go, said("three"), finished()))
    leader = await _reader(world)
    first = [await anext(leader), await anext(leader)]
    late = asyncio.create_task(asked(world, temperature=0, stream=True))
    await settle()
    go.set()
    assert b"".join([*first, *await drain(leader)]) == await late
    assert len(world.upstreams.asked) == 1
    assert total(world) == pytest.approx(COST)


@paused
async def test_when_the_leader_leaves_amid_a_stream_the_follower_reads_on_and_takes_over_the_cost() -> None:
    world = World()
    go = asyncio.Event()
    world.upstreams.on("a", streaming(said("one"), go, said("two"), finished()))
    leader, follower = await _two(world)
    await leader.leave()
    go.set()
    rest = b"".join(await drain(follower))
    assert said("two") in rest
    assert [(one.outcome, one.cache) for one in world.closed] == [("cancelled", "miss"), ("ok", "miss")]
    assert total(world) == pytest.approx(COST)
    assert world.balancer.endings()[0][1] == "success"


@paused
async def test_when_the_leader_leaves_before_the_first_content_the_follower_takes_over_the_cost() -> None:
    world = World()
    go, more = asyncio.Event(), asyncio.Event()
    world.upstreams.on("a", streaming(opened(), go, said("one"), more, said("two"), finished()))
    leader = asyncio.create_task(asked(world, temperature=0, stream=True))
    await settle()
    follower = asyncio.create_task(asked(world, temperature=0, stream=True))
    await settle()
    await _hang_up(leader)
    go.set()
    await settle()
    more.set()
    assert said("two") in await follower
    assert total(world) == pytest.approx(COST)
    assert world.closed[1].cache == "miss"


@paused
async def test_the_cost_goes_to_a_follower_that_reads_to_the_end() -> None:
    world = World()
    go = asyncio.Event()
    world.upstreams.on("a", streaming(said("one"), go, said("two"), finished()))
    leader, first = await _two(world)
    second = await _reader(world, pieces=1)
    for one in (leader, first):
        await one.leave()
    go.set()
    await drain(second)
    assert total(world) == pytest.approx(COST)
    assert [one.cache for one in world.closed] == ["miss", "coalesced", "miss"]


@paused
async def test_when_everyone_has_left_a_stream_what_came_is_billed_once() -> None:
    world = World()
    world.upstreams.on("a", streaming(said("x" * 40), asyncio.Event()))
    leader, follower = await _two(world)
    for one in (leader, follower):
        await one.leave()
    assert world.balancer.endings() == [("a/m", "cancelled")]
    assert total(world) > 0


@paused
async def test_a_stream_that_breaks_after_its_leader_left_is_billed_to_the_follower() -> None:
    world = World()
    go = asyncio.Event()
    world.upstreams.on("a", streaming(said("x" * 40), go, Cut("gone")))
    leader, follower = await _two(world)
    await leader.leave()
    go.set()
    with pytest.raises(StreamBroken):
        await drain(follower)
    assert total(world) > 0


@paused
async def test_attempts_that_fail_after_the_leader_left_are_the_followers() -> None:
    world = World(policy=RetryPolicy(rounds=0))
    go = asyncio.Event()

    async def fails(_asked: Asked) -> Answer:
        await go.wait()
        raise Overloaded

    world.upstreams.on("a", fails)
    leader = asyncio.create_task(asked(world, temperature=0))
    await settle()
    follower = asyncio.create_task(asked(world, temperature=0))
    await settle()
    await _hang_up(leader)
    go.set()
    with pytest.raises(ProvidersFailed):
        await follower
    assert [one.outcome for one in world.closed[1].attempts] == ["overloaded"]


@paused
async def test_nobody_joins_a_stream_that_is_being_given_up() -> None:
    world = World()
    leaving = asyncio.Event()
    world.upstreams.on("a", streaming(opened(), asyncio.Event(), leaving=leaving), answers(stream=True))
    leader = asyncio.create_task(asked(world, temperature=0, stream=True))
    await settle()
    leader.cancel()
    await settle()
    late = asyncio.create_task(asked(world, temperature=0, stream=True))
    await settle()
    leaving.set()
    await asyncio.gather(leader, return_exceptions=True)
    (got,) = await asyncio.gather(late, return_exceptions=True)
    assert isinstance(got, bytes), repr(got)
    assert got.startswith(said("hello"))


@both
@paused
async def test_when_everyone_has_left_the_call_is_cancelled_and_the_next_asks_anew(stream: bool) -> None:
    world = World()
    world.upstreams.on("a", when(asyncio.Event(), answers(stream)), answers(stream))
    asking = [asyncio.create_task(asked(world, temperature=0, stream=stream)) for _ in range(2)]
    await settle()
    for one in asking:
        await _hang_up(one)
    assert world.balancer.endings() == [("a/m", "cancelled")]
    assert not world.cache.streams
    assert len(world.cache.replies) == 0
    await asked(world, temperature=0, stream=stream)
    assert world.closed[-1].outcome == "ok"


# ---------------------------------------------------------------------------------------------- deadlines, time, blame


def keeps_deadline(world: World, answer_after: float) -> Callable[[Asked], Awaitable[Answer]]:
    """A provider that takes its time, under a transport that keeps the call's deadline."""

    async def play(asked: Asked) -> Answer:
        try:
            async with asyncio.timeout_at(asked.deadline):
                await asyncio.sleep(answer_after)
        except TimeoutError as exc:
            raise TimedOut("total", 1.0) from exc
        return reply()

    return play


@paused
async def test_a_follower_has_its_own_deadline() -> None:
    world = World(policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", keeps_deadline(world, 3.0))
    hurried = asyncio.create_task(asked(world, temperature=0, wishes=Preferences(timeout=1.0)))
    await settle()
    patient = asyncio.create_task(asked(world, temperature=0, wishes=Preferences(timeout=60.0)))
    first, second = await asyncio.gather(hurried, patient, return_exceptions=True)
    assert isinstance(first, DeadlineExceeded)
    assert isinstance(second, bytes)


@both
@paused
async def test_work_that_others_may_join_has_the_gateways_deadline_or_a_longer_one_of_its_own(stream: bool) -> None:
    for allowed, shared in ((1.0, 60.0), (90.0, 90.0)):
        world = World(timeout=60.0)
        begun = asyncio.get_running_loop().time()
        world.upstreams.on("a", answers(stream))
        for temperature in (0, 1):
            await asked(world, temperature=temperature, stream=stream, wishes=Preferences(timeout=allowed))
        assert [one.deadline for one in world.upstreams.asked] == [begun + shared, begun + allowed]


@both
@paused
async def test_a_follower_in_a_hurry_leaves_at_its_deadline(stream: bool) -> None:
    world = World()
    go = asyncio.Event()
    world.upstreams.on("a", when(go, answers(stream)))
    leader = asyncio.create_task(asked(world, temperature=0, stream=stream))
    await settle()
    follower = asyncio.create_task(asked(world, temperature=0, stream=stream, wishes=Preferences(timeout=1.0)))
    await asyncio.sleep(5.0)
    left = follower.done()
    go.set()
    await asyncio.gather(leader, follower, return_exceptions=True)
    assert left
    assert isinstance(follower.exception(), DeadlineExceeded)
    assert isinstance(leader.result(), bytes)
    late = world.closed[0]
    assert (late.status, late.seconds) == (408, pytest.approx(1.1))


@pytest.mark.parametrize("temperature", [0, 1], ids=["cacheable", "not"])
@paused
async def test_a_deployment_that_hung_through_a_fair_deadline_is_blamed(temperature: int) -> None:
    world = World(timeout=30.0)
    world.upstreams.on("a", keeps_deadline(world, 100.0))
    with pytest.raises(DeadlineExceeded):
        await asked(world, temperature=temperature)
    assert world.balancer.endings() == [("a/m", "failure", "timed_out", False)]


@both
@paused
async def test_waiting_for_anothers_answer_is_no_overhead_of_ours(stream: bool) -> None:
    world = World()

    async def slow(_asked: Asked) -> Answer:
        await asyncio.sleep(8.0)
        return answers(stream)

    world.upstreams.on("a", slow)
    await asyncio.gather(*(asked(world, temperature=0, stream=stream) for _ in range(2)))
    assert [one.overhead for one in world.closed] == [0.0, 0.0]


@paused
async def test_a_slow_reader_is_no_overhead_of_ours() -> None:
    world = World()
    world.upstreams.on("a", answers(stream=True))
    await asked(world, temperature=0, stream=True)
    async for _ in await _reader(world):
        await asyncio.sleep(5.0)
    assert [one.overhead for one in world.closed] == [0.0, 0.0]
