"""Several prompts at once: what was answered before one of them failed is paid for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway_world import COST, Answer, Asked, World, deployment, reply
from paused_time import paused

from gateway.api.passing import COMPLETIONS
from gateway.asking import Ask
from gateway.errors import ProvidersFailed
from gateway.failover import RetryPolicy
from providers.chat import Usage
from providers.errors import Overloaded


async def _late_failure(_asked: Asked) -> Answer:
    await asyncio.sleep(1)
    raise Overloaded


def ask(world: World) -> Ask:
    prompts: list[Any] = ["one", "two", "three"]
    return world.ask(surface=COMPLETIONS, messages=None, prompt=prompts)


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
