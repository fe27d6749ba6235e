"""Comparisons: whoever leaves takes all calls along, a slow reader slows all, and a defect of one is not hidden."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from front_door import Door
from gateway_world import COST, Answer, Asked, Reader, World, deployment, finished, reply, said, streaming
from paused_time import paused, settle

from gateway.api import native
from gateway.api.orchestrate import ORCHESTRATE
from gateway.asking import Ask
from gateway.comparing import Comparing
from gateway.failover import RetryPolicy
from providers.errors import Cut, Overloaded

KEY = "key-0123456789"
AUTHORISED = [(b"authorization", f"Bearer {KEY}".encode())]


def world_of(*names: str) -> World:
    return World([deployment(f"{name}/m", priority=n) for n, name in enumerate(names)], policy=RetryPolicy(rounds=0))


def comparing(world: World) -> Comparing:
    return Comparing(world.pipeline, tagged=native.tagged, failed=native.failed)


def question(world: World, **more: Any) -> Ask:
    return world.ask(surface=ORCHESTRATE, messages=None, prompt="hi", mode="compare", **more)


def after(seconds: float, answer: Answer) -> Callable[[Asked], Awaitable[Answer]]:
    async def play(_asked: Asked) -> Answer:
        await asyncio.sleep(seconds)
        return answer

    return play


def alone() -> bool:
    return asyncio.all_tasks() == {asyncio.current_task()}


async def post(world: World, **body: Any) -> Any:
    door = Door(world.pipeline, keys=[("tenant", KEY)])
    return await door.post(
        {"prompt": "hi", "model": "m", "mode": "compare", **body}, surface=ORCHESTRATE, headers=AUTHORISED
    )


@paused
async def test_all_are_asked_at_the_same_time() -> None:
    world = world_of("a", "b", "c")
    for name in "abc":
        world.upstreams.on(name, after(3.0, reply(name)))
    ask = question(world)
    await comparing(world).reply(ask)
    exchange = ask.exchange
    assert asyncio.get_running_loop().time() - exchange.began == 3.0
    assert [one.started for one in exchange.attempts] == [0.0, 0.0, 0.0]
    assert exchange.cost == pytest.approx(3 * COST)
    assert exchange.cost == pytest.approx(sum(world.booked))
    assert {one.id for one in world.closed} == {f"{exchange.id}-{n}" for n in (1, 2, 3)}


@pytest.mark.parametrize("stream", [False, True])
@paused
async def test_a_caller_who_leaves_takes_all_calls_along(stream: bool) -> None:
    world = world_of("a", "b")
    never = asyncio.Event()
    for name in "ab":
        held = streaming(said("x"), never, finished())

        async def hang(_asked: Asked, held: Answer = held) -> Answer:
            if not stream:
                await never.wait()
            return held

        world.upstreams.on(name, hang)
    ask = question(world, stream=stream)
    if stream:
        reader = Reader(await comparing(world).stream(ask))
        await anext(reader)
        await reader.leave()
    else:
        work = asyncio.create_task(comparing(world).reply(ask))
        await settle()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    assert [one.outcome for one in world.closed] == ["cancelled", "cancelled"]
    assert {ending[1] for ending in world.balancer.endings()} == {"cancelled"}
    assert all(answer.closed for answer in world.upstreams.answers)
    assert alone()


@paused
async def test_who_reads_slowly_slows_all_of_them_down() -> None:
    world = world_of("a", "b")
    taken = dict.fromkeys("ab", 0)
    for name in "ab":
        answer = streaming(*(said(f"{n} ") for n in range(100)), finished())
        plain = answer.chunks

        async def counted(name: str = name, plain: Any = plain) -> Any:
            async for chunk in plain():
                taken[name] += 1
                yield chunk

        answer.chunks = counted  # pyright: ignore[reportAttributeAccessIssue] - the same, and it counts
        world.upstreams.on(name, answer)
    reader = Reader(await comparing(world).stream(question(world, stream=True, cache=False)))
    await anext(reader)
    await settle(500)
    assert sum(taken.values()) < 40
    assert len([piece async for piece in reader]) > 150
    assert taken == {"a": 101, "b": 101}


@paused
async def test_an_early_failure_waits_for_the_first_words_of_another() -> None:
    world = world_of("a", "b")
    world.upstreams.on("a", Overloaded())
    world.upstreams.on("b", after(2.0, streaming(said("hello"), finished())))
    answered = await post(world, stream=True)
    names = [line[7:] for line in answered.body.decode().splitlines() if line.startswith("event: ")]
    assert (answered.status, names) == (200, ["error", "result.delta", "result.done", "metadata"])


@paused
async def test_a_defect_in_one_ends_the_request_and_the_others() -> None:
    async def defect(_asked: Asked) -> Answer:
        raise ZeroDivisionError("a mistake of ours")

    for stream in (False, True):
        world = world_of("a", "b")
        world.upstreams.on("a", defect)
        world.upstreams.on("b", after(5.0, streaming(said("x"), finished()) if stream else reply()))
        answered = await post(world, stream=stream)
        assert (answered.status, msgspec.json.decode(answered.body)["error"]["code"]) == (500, "internal_error")
        assert sorted(one.outcome for one in world.closed) == ["cancelled", "error"]
        assert alone()


@paused
async def test_a_stream_that_breaks_is_not_continued_by_another() -> None:
    world = world_of("a", "b")
    world.upstreams.on("a", streaming(said("x"), Cut("gone")))
    world.upstreams.on("b", streaming(said("y"), finished()))
    ask = question(world, stream=True)
    ask.exchange.preferences.continue_streams = True
    _ = [piece async for piece in Reader(await comparing(world).stream(ask))]
    assert len(world.upstreams.asked) == 2
    assert [one.error is None for one in ask.exchange.compared or []] == [False, True]


@paused
async def test_text_that_looks_like_an_event_is_no_place_for_a_name() -> None:
    world = world_of("a")
    text = 'event: result.done\ndata: {"finish_reason":"stop"}\n\n'
    world.upstreams.on("a", streaming(said(text), finished()))
    pieces = b"".join([piece async for piece in Reader(await comparing(world).stream(question(world, stream=True)))])
    (delta,) = [
        msgspec.json.decode(block.split(b"data: ", 1)[1])
        for block in pieces.split(b"\n\n")
        if block.startswith(b"event: result.delta")
    ]
    assert (delta["text"], delta["provider"], delta["model"]) == (text, "a", "m")


@paused
async def test_a_bound_takes_the_models_that_fit_and_names_who_does_not() -> None:
    dear, cheap = deployment("a/dear", priority=0), deployment("a/cheap", priority=1)
    dear = msgspec.structs.replace(dear, candidate=_priced(dear, 1.0))
    other = deployment("b/m")
    other = msgspec.structs.replace(other, candidate=_priced(other, 1.0))
    world = World([dear, cheap, other], policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", reply())
    ask = question(world, model="auto", max_cost_usd=0.01)
    await comparing(world).reply(ask)
    assert [(one.provider, one.model) for one in ask.exchange.compared or []] == [("a", "cheap")]
    assert ask.exchange.cap is not None
    assert [(one.provider, one.model, one.why) for one in ask.exchange.cap.unstarted()] == [("b", "m", "max_cost_usd")]


def _priced(one: Any, price: float) -> Any:
    return type(one.candidate)(one.key, price, price)
