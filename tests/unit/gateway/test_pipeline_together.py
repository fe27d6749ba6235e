"""The pipeline with a cache: what is kept, and what happens to callers who ask the same at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from gateway_world import COST, Answer, Asked, World, deployment, drain, finished, reply, said, streaming
from paused_time import paused, settle

from gateway.api.orchestrate import ORCHESTRATE
from gateway.asking import Ask
from gateway.caching import LARGEST, CachePolicy
from gateway.catalog import Route
from gateway.errors import ProvidersFailed
from gateway.exchange import Preferences
from gateway.failover import RetryPolicy
from providers.errors import Overloaded


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


# -------------------------------------------------------------------------------------------------------------- cache


@both
@paused
async def test_a_hit_is_byte_for_byte_the_first_answer_and_costs_nothing(stream: bool) -> None:
    world = World()
    world.upstreams.on("a", answers(stream))
    first = await asked(world, temperature=0, stream=stream)
    again = await asked(world, temperature=0, stream=stream)
    assert again == first
    assert len(world.upstreams.asked) == 1
    assert [one.cache for one in world.closed] == ["miss", "hit"]
    hit = world.closed[1]
    assert (hit.cost, hit.attempts, hit.provider, hit.usage.output_tokens) == (0.0, [], "a", 5)
    assert hit.finish_reason == "stop"
    assert len(world.balancer.endings()) == 1


@both
@pytest.mark.parametrize(
    ("wishes", "temperature", "calls", "caches"),
    [
        (Preferences(), 0, 1, ["miss", "hit"]),
        (Preferences(), 1, 2, ["bypass", "bypass"]),
        (Preferences(), None, 2, ["bypass", "bypass"]),
        (Preferences(cache="on"), 1, 1, ["miss", "hit"]),
        (Preferences(cache="off"), 0, 2, ["bypass", "bypass"]),
        (Preferences(cache="refresh"), 1, 2, ["miss", "miss"]),
        (Preferences(session_id="s"), 0, 1, ["miss", "hit"]),
        (Preferences(cache="on", session_id="s"), 1, 1, ["miss", "hit"]),
    ],
)
@paused
async def test_the_callers_wish_decides_over_the_default(
    stream: bool, wishes: Preferences, temperature: int | None, calls: int, caches: list[str]
) -> None:
    world = World()
    world.upstreams.on("a", answers(stream))
    for _ in range(2):
        await asked(world, temperature=temperature, stream=stream, wishes=wishes)
    assert len(world.upstreams.asked) == calls
    assert [one.cache for one in world.closed] == caches


@both
@pytest.mark.parametrize("wish", [None, "on", "refresh"])
@paused
async def test_a_kept_session_bypasses_the_cache_whatever_anyone_wishes(stream: bool, wish: str | None) -> None:
    # Its earlier turns are part of the question and not of the body.
    world = World()
    world.upstreams.on("a", answers(stream))
    for _ in range(2):
        wishes = Preferences(cache=wish, session_id="s")
        await _read(world, world.ask(surface=ORCHESTRATE, prompt="hi", messages=None, stream=stream, wishes=wishes))
    assert len(world.upstreams.asked) == 2
    assert [one.cache for one in world.closed] == ["bypass", "bypass"]
    assert (world.store.gets, world.store.sets) == (0, 0)


@paused
async def test_headers_that_go_along_to_the_provider_are_part_of_the_question() -> None:
    world = World()
    world.upstreams.on("a", reply())
    for pinned in ((), (("anthropic-beta", "one"),), (("anthropic-beta", "two"),)):
        ask = world.ask(temperature=0)
        ask.exchange.pinned_headers = pinned
        await _read(world, ask)
    assert len(world.upstreams.asked) == 3


@pytest.mark.parametrize(("route", "temperature", "calls"), [(True, 1, 1), (False, 0, 2), (None, 0, 1), (None, 1, 2)])
@paused
async def test_the_route_decides_when_the_caller_does_not(route: bool | None, temperature: int, calls: int) -> None:
    one = deployment("a/m")
    world = World([one], routes=[Route("fast", (one,), cache=route)])
    world.upstreams.on("a", reply())
    for _ in range(2):
        await asked(world, temperature=temperature, model="fast")
    assert len(world.upstreams.asked) == calls


@both
@paused
async def test_refreshing_asks_anew_and_keeps_the_new_answer(stream: bool) -> None:
    world = World()
    world.upstreams.on("a", answers(stream, "old"), answers(stream, "new"))
    await asked(world, temperature=0, stream=stream)
    fresh = await asked(world, temperature=0, stream=stream, wishes=Preferences(cache="refresh"))
    assert b"new" in fresh
    assert await asked(world, temperature=0, stream=stream) == fresh
    assert len(world.upstreams.asked) == 2


@paused
async def test_an_answer_is_kept_for_as_long_as_the_caller_then_the_route_then_the_policy_says() -> None:
    one = deployment("a/m")
    routes = [Route("fast", (one,), cache=True, cache_ttl=5.0)]
    for wishes, model, seconds in (
        (Preferences(cache_ttl=2.0), "fast", 2.0),
        (Preferences(), "fast", 5.0),
        (Preferences(), "m", 600.0),
    ):
        world = World([one], routes=routes)
        world.upstreams.on("a", reply())
        await asked(world, temperature=0, model=model, wishes=wishes)
        await asyncio.sleep(seconds - 0.01)
        await asked(world, temperature=0, model=model, wishes=wishes)
        assert len(world.upstreams.asked) == 1
        await asyncio.sleep(0.01)
        await asked(world, temperature=0, model=model, wishes=wishes)
        assert len(world.upstreams.asked) == 2


@both
@paused
async def test_a_cache_that_is_off_is_never_asked(stream: bool) -> None:
    world = World(cache=CachePolicy(enabled=False, ttl=600.0))
    world.upstreams.on("a", answers(stream))
    await asked(world, temperature=0, stream=stream, wishes=Preferences(cache="on"))
    assert (world.store.gets, world.store.sets, world.closed[0].cache) == (0, 0, "bypass")


@both
@paused
async def test_tenants_do_not_see_each_others_answers(stream: bool) -> None:
    world = World()
    world.upstreams.on("a", answers(stream))
    for tenant in ("one", "two"):
        ask = world.ask(temperature=0, stream=stream)
        ask.exchange.principal = tenant
        await _read(world, ask)
    assert len(world.upstreams.asked) == 2


@pytest.mark.parametrize("wishes", [Preferences(strategy="cost"), Preferences(objective="cheapest")])
@paused
async def test_another_way_of_choosing_is_another_question(wishes: Preferences) -> None:
    world = World()
    world.upstreams.on("a", reply())
    await asked(world, temperature=0)
    await asked(world, temperature=0, wishes=wishes)
    assert len(world.upstreams.asked) == 2


@both
@paused
async def test_what_is_too_large_is_sent_and_not_kept(stream: bool) -> None:
    world = World()
    piece = "x" * (LARGEST // 4)
    large = streaming(*[said(piece)] * 5, finished()) if stream else reply(piece * 5)
    world.upstreams.on("a", large)
    assert len(await asked(world, temperature=0, stream=stream)) > LARGEST
    assert world.store.sets == 0
    assert world.only().outcome == "ok"


@both
@paused
async def test_errors_are_never_kept(stream: bool) -> None:
    world = World(policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", Overloaded(), answers(stream))
    with pytest.raises(ProvidersFailed):
        await asked(world, temperature=0, stream=stream)
    await asked(world, temperature=0, stream=stream)
    assert [one.cache for one in world.closed] == ["miss", "miss"]
    assert world.store.sets == 1


@both
@paused
async def test_what_another_version_wrote_is_a_miss(stream: bool) -> None:
    world = World()
    world.upstreams.on("a", answers(stream))
    ask = world.ask(temperature=0, stream=stream)
    plan = world.cache.plan(ask.body, ask.exchange, None, family="drop_in", deterministic=True)
    await world.store.set(plan.key or "", b"\xc1 not ours", 60.0)
    await _read(world, ask)
    assert len(world.upstreams.asked) == 1


async def _read(world: World, ask: Ask) -> bytes:
    if ask.exchange.stream:
        return b"".join(await drain((await world.pipeline.stream(ask)).pieces()))
    return (await world.pipeline.reply(ask)).pieces[0]


# ----------------------------------------------------------------------------------------------------------- together


@both
@paused
async def test_who_asks_the_same_shares_one_answer_and_pays_nothing(stream: bool) -> None:
    world = World()
    go = asyncio.Event()
    world.upstreams.on("a", when(go, answers(stream)))
    asking = [asyncio.create_task(asked(world, temperature=0, stream=stream)) for _ in range(3)]
    await settle()
    go.set()
    got = await asyncio.gather(*asking)
    assert len(set(got)) == 1
    assert len(world.upstreams.asked) == 1
    assert sorted(one.cache for one in world.closed) == ["coalesced", "coalesced", "miss"]
    assert total(world) == pytest.approx(COST)
    for one in world.closed:
        assert (one.provider, one.outcome, one.usage.output_tokens) == ("a", "ok", 5)
        assert (one.cache == "miss") == bool(one.cost) == bool(one.attempts)
    assert len(world.balancer.endings()) == 1


@both
@paused
async def test_an_error_reaches_everyone_who_waits(stream: bool) -> None:
    world = World(policy=RetryPolicy(rounds=0))
    go = asyncio.Event()

    async def fails(_asked: Asked) -> Answer:
        await go.wait()
        raise Overloaded

    world.upstreams.on("a", fails)
    asking = [asyncio.create_task(asked(world, temperature=0, stream=stream)) for _ in range(2)]
    await settle()
    go.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert [type(one) for one in results] == [ProvidersFailed, ProvidersFailed]
    assert [(one.outcome, one.status) for one in world.closed] == [("error", 503)] * 2
    assert not world.cache.streams
    assert len(world.cache.replies) == 0
