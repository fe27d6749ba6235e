"""Several prompts at once: what was answered before one of them failed is paid for, and nothing is left open."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway_world import COST, PRICE, Answer, Asked, World, deployment, drain, finished, reply, said, streaming
from paused_time import paused

from gateway.api.passing import COMPLETIONS
from gateway.asking import Ask
from gateway.errors import ProvidersFailed, StreamBroken
from gateway.failover import RetryPolicy
from providers.chat import Usage
from providers.errors import Cut, Overloaded


async def _late_failure(_asked: Asked) -> Answer:
    await asyncio.sleep(1)
    raise Overloaded


def ask(world: World, **more: Any) -> Ask:
    prompts: list[Any] = ["one", "two", "three"]
    return world.ask(surface=COMPLETIONS, messages=None, prompt=prompts, **more)


@paused
async def test_what_was_answered_before_one_failed_is_paid_for() -> None:
    world = World([deployment("a/m"), deployment("b/m", priority=1)])
    world.upstreams.on("a", reply(), reply(), _late_failure)
    world.upstreams.on("b", reply())
    await world.pipeline.reply(ask(world))
    closed = world.only()
    assert world.upstreams.hosts() == ["a"] * 3 + ["b"] * 3
    assert [one.usage for one in closed.attempts] == [Usage(20, 10), Usage(30, 15)]
    assert [one.cost for one in closed.attempts] == [pytest.approx(2 * COST), pytest.approx(3 * COST)]
    assert world.booked == [pytest.approx(5 * COST)]
    assert (closed.usage, closed.provider) == (Usage(30, 15), "b")


@paused
async def test_so_is_it_when_nobody_answers_all() -> None:
    world = World([deployment("a/m")], policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", reply(), Answer(b"rubbish"), _late_failure)
    with pytest.raises(ProvidersFailed):
        await world.pipeline.reply(ask(world))
    assert [one.usage for one in world.only().attempts] == [Usage(10, 5)]
    assert world.booked == [pytest.approx(COST)]


@paused
@pytest.mark.parametrize("place", [0, 1, 2])
async def test_so_are_the_others_when_one_is_no_answer(place: int) -> None:
    world = World([deployment("a/m"), deployment("b/m", priority=1)], policy=RetryPolicy(rounds=0))
    answers = [reply(), reply(), reply()]
    answers[place] = Answer(b"rubbish")
    world.upstreams.on("a", *answers)
    world.upstreams.on("b", reply())
    await world.pipeline.reply(ask(world))
    closed = world.only()
    assert [one.usage for one in closed.attempts] == [Usage(20, 10), Usage(30, 15)]
    assert world.booked == [pytest.approx(5 * COST)]


@paused
async def test_streams_follow_one_another_and_each_is_closed_before_the_next() -> None:
    world = World()
    open_at_once: list[int] = []

    async def play(_asked: Asked) -> Answer:
        open_at_once.append(sum(not one.closed for one in world.upstreams.answers))
        return streaming(said("word"), finished())

    world.upstreams.on("a", play)
    streamed = await world.pipeline.stream(ask(world, stream=True))
    assert len(world.upstreams.asked) == 1
    await drain(streamed.pieces())
    assert open_at_once == [0, 0, 0]
    assert all(one.closed for one in world.upstreams.answers)
    assert (world.only().usage, world.only().outcome) == (Usage(30, 15), "ok")
    assert world.balancer.endings()[0][:4] == ("a/m", "success", 30, 15)


@paused
async def test_a_stream_that_breaks_amid_a_later_prompt_is_paid_for_as_far_as_it_came() -> None:
    world = World()
    world.upstreams.on("a", streaming(said("x" * 40), finished()), streaming(said("y" * 400), Cut("gone")))
    streamed = await world.pipeline.stream(ask(world, stream=True))
    with pytest.raises(StreamBroken):
        await drain(streamed.pieces())
    closed = world.only()
    # The first told its tokens; the second is estimated from its characters, like any stream that breaks.
    assert closed.usage == Usage(10, 110)
    assert world.booked == [pytest.approx(PRICE.of(Usage(10, 110)))]
    assert all(one.closed for one in world.upstreams.answers)


@paused
async def test_a_caller_who_leaves_amid_a_later_prompt_leaves_nothing_open() -> None:
    world = World()
    world.upstreams.on("a", streaming(said("one"), finished()), streaming(said("two"), asyncio.Event()))
    streamed = await world.pipeline.stream(ask(world, stream=True))
    pieces = streamed.pieces()
    while b"two" not in await anext(pieces):
        pass
    await streamed.close()
    assert len(world.upstreams.answers) == 2
    assert all(one.closed for one in world.upstreams.answers)
    assert world.only().attempts[0].outcome == "cancelled"
