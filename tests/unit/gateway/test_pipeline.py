"""The pipeline: every exchange is opened once, closed once, and its books are right whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from gateway_world import (
    COST,
    Answer,
    Asked,
    World,
    deployment,
    reply,
)
from paused_time import START, paused

from dwa import Shape
from gateway.api.chat import EMBEDDINGS, MESSAGES
from gateway.catalog import Price, Route
from gateway.errors import BadRequest, GatewayError, ProvidersFailed, UnknownModel
from gateway.exchange import Exchange, Preferences
from gateway.failover import RetryPolicy
from providers.dialects import ANTHROPIC
from providers.errors import Overloaded, Rejected

BELOW_ZERO = {"latency": -1.0, "cost": 0.0, "errors": 0.0, "quality": 0.0}


def after(seconds: float, answer: Answer) -> Callable[[Asked], Any]:
    async def play(_asked: Asked) -> Answer:
        await asyncio.sleep(seconds)
        return answer

    return play


# ------------------------------------------------------------------------------------------------------- whole answers


@paused
async def test_an_answer_closes_the_exchange_once_with_all_its_facts() -> None:
    world = World()
    world.upstreams.on("a", after(2.0, reply(cached=4)))
    ask = world.ask()
    kept = await world.pipeline.reply(ask)
    assert kept.pieces == [world.upstreams.answers[0].body]
    closed = world.only()
    assert closed is ask.exchange
    assert closed.closed
    assert (closed.outcome, closed.status, closed.cache) == ("ok", 200, "bypass")
    assert (closed.provider, closed.model, closed.finish_reason) == ("a", "m", "stop")
    assert (closed.usage.input_tokens, closed.usage.output_tokens, closed.usage.cached_tokens) == (10, 5, 4)
    assert (closed.seconds, closed.upstream_seconds, closed.overhead) == (2.0, 2.0, 0.0)
    assert closed.cost == pytest.approx(COST)
    assert (closed.strategy, closed.objective, closed.reason) == ("priority", "balanced", "strategy:priority")
    assert world.balancer.endings() == [("a/m", "success", 10, 5, closed.cost, 4)]
    assert world.upstreams.answers[0].closed


@paused
async def test_an_error_closes_the_exchange_once_and_says_whose() -> None:
    world = World(policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", Overloaded("busy", status=529))
    with pytest.raises(ProvidersFailed):
        await world.pipeline.reply(world.ask())
    closed = world.only()
    assert (closed.outcome, closed.status, closed.error_type) == ("error", 503, "overloaded_error")
    assert (closed.error_code, closed.error_source) == ("no_healthy_provider", "provider")
    assert "busy" in (closed.error_message or "")
    assert [one.outcome for one in closed.attempts] == ["overloaded"]
    assert (closed.provider, closed.cost) == (None, 0.0)


@pytest.mark.parametrize(
    ("wishes", "fields", "error", "param"),
    [
        (Preferences(strategy="cleverest"), {}, BadRequest, "strategy"),
        (Preferences(objective="happiness"), {}, BadRequest, "objective"),
        (
            Preferences(objective="custom", weights=BELOW_ZERO),
            {},
            BadRequest,
            "objective",
        ),
        (Preferences(providers=("nobody",)), {}, BadRequest, "providers"),
        (Preferences(), {"model": "nothing"}, UnknownModel, "model"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
@paused
async def test_what_is_refused_before_anyone_is_asked_is_recorded_too(
    wishes: Preferences, fields: dict[str, Any], error: type[GatewayError], param: str, stream: bool
) -> None:
    world = World()
    ask = world.ask(wishes=wishes, stream=stream, **fields)
    with pytest.raises(error) as caught:
        await (world.pipeline.stream(ask) if stream else world.pipeline.reply(ask))
    assert caught.value.param == param
    assert (world.only().outcome, world.only().status) == ("error", caught.value.status)
    assert world.upstreams.asked == []


@paused
async def test_a_defect_of_ours_is_recorded_by_its_kind_only() -> None:
    async def broken(_asked: Asked) -> Answer:
        raise ZeroDivisionError("secret")

    world = World()
    world.upstreams.on("a", broken)
    with pytest.raises(ZeroDivisionError):
        await world.pipeline.reply(world.ask())
    closed = world.only()
    assert (closed.outcome, closed.status, closed.error_source) == ("error", 500, "gateway")
    assert closed.error_message == "ZeroDivisionError"
    assert world.balancer.endings() == [("a/m", "cancelled")]


@pytest.mark.parametrize("temperature", [0, 1], ids=["cacheable", "not"])
@paused
async def test_a_caller_that_hangs_up_cancels_the_call_and_blames_nobody(temperature: int) -> None:
    world = World()
    world.upstreams.on("a", after(9.0, reply()))
    work = asyncio.create_task(world.pipeline.reply(world.ask(temperature=temperature)))
    await asyncio.sleep(1.0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    closed = world.only()
    assert (closed.outcome, closed.status, closed.seconds) == ("cancelled", 499, 1.0)
    assert [one.outcome for one in closed.attempts] == ["cancelled"]
    assert world.balancer.endings() == [("a/m", "cancelled")]


@paused
async def test_a_sink_that_raises_fails_nobody() -> None:
    def broken(_exchange: Exchange) -> None:
        raise OSError

    world = World(sink=broken)
    world.upstreams.on("a", reply())
    await world.pipeline.reply(world.ask())
    assert world.only().outcome == "ok"
    assert world.sink_failures == ["sink"]


@paused
async def test_the_cost_is_that_of_the_deployment_that_answered_by_its_own_price() -> None:
    dear = deployment("b/m", price=Price(1e-3, 1e-2), priority=1)
    world = World([deployment("a/m"), dear], policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", Overloaded())
    world.upstreams.on("b", reply())
    await world.pipeline.reply(world.ask())
    closed = world.only()
    assert [(one.provider, one.cost) for one in closed.attempts] == [("a", 0.0), ("b", pytest.approx(0.06))]
    assert closed.cost == sum(one.cost for one in closed.attempts)


@pytest.mark.parametrize(
    "wishes",
    [
        Preferences(),
        Preferences(providers=("a", "a/m", "b"), ordered=True),
    ],
    ids=["ranked", "ordered"],
)
@paused
async def test_a_deployment_that_is_named_twice_is_asked_once_per_round(wishes: Preferences) -> None:
    one, other = deployment("a/m"), deployment("b/m", priority=1)
    world = World([one, other], routes=[Route("fast", (one,), fallback=("m",))], policy=RetryPolicy(rounds=1))
    for name in "ab":
        world.upstreams.on(name, Overloaded())
    with pytest.raises(ProvidersFailed):
        await world.pipeline.reply(world.ask(model="fast", wishes=wishes))
    assert world.upstreams.hosts() == ["a", "b", "a", "b"]


@paused
async def test_a_request_that_the_provider_rejects_goes_to_nobody_else() -> None:
    world = World([deployment("a/m"), deployment("b/m", priority=1)])
    world.upstreams.on("a", Rejected("no", status=422))
    with pytest.raises(GatewayError):
        await world.pipeline.reply(world.ask())
    assert (world.only().status, world.upstreams.hosts()) == (422, ["a"])


@paused
async def test_an_answer_in_another_dialect_is_rendered_in_the_callers() -> None:
    world = World()
    world.upstreams.on("a", reply("bonjour"))
    kept = await world.pipeline.reply(world.ask(surface=MESSAGES, max_tokens=9))
    body = msgspec.json.decode(kept.pieces[0])
    assert body["content"] == [{"type": "text", "text": "bonjour"}]
    assert body["usage"]["output_tokens"] == 5


@paused
async def test_what_one_dialect_cannot_express_is_left_to_another_or_refused_or_dropped() -> None:
    foreign = deployment("a/m", dialect=ANTHROPIC)
    world = World([foreign, deployment("b/m", priority=1)])
    world.upstreams.on("b", reply())
    await world.pipeline.reply(world.ask(seed=7, max_tokens=5))
    assert world.upstreams.hosts() == ["b"]
    alone = World([foreign])
    with pytest.raises(BadRequest) as caught:
        await alone.pipeline.reply(alone.ask(seed=7, max_tokens=5))
    assert (caught.value.param, alone.upstreams.asked) == ("seed", [])
    route = Route("loose", (foreign,), drop_params=True)
    for wishes, model in ((Preferences(drop_params=True), "m"), (Preferences(), "loose")):
        dropping = World([foreign], routes=[route])
        dropping.upstreams.on("a", Overloaded())
        with pytest.raises(ProvidersFailed):
            await dropping.pipeline.reply(dropping.ask(wishes=wishes, seed=7, max_tokens=5, model=model))
        assert b"seed" not in dropping.upstreams.asked[0].body


@paused
async def test_a_caller_may_forbid_what_the_route_allows() -> None:
    foreign = deployment("a/m", dialect=ANTHROPIC)
    world = World([foreign], routes=[Route("loose", (foreign,), drop_params=True)])
    with pytest.raises(BadRequest):
        await world.pipeline.reply(world.ask(wishes=Preferences(drop_params=False), seed=7, model="loose"))


@paused
async def test_the_callers_timeout_is_the_deadline_of_every_call() -> None:
    world = World(timeout=60.0)
    world.upstreams.on("a", reply())
    await world.pipeline.reply(world.ask())
    await world.pipeline.reply(world.ask(wishes=Preferences(timeout=1.5)))
    assert [asked.deadline for asked in world.upstreams.asked] == [START + 60.0, START + 1.5]


@paused
async def test_embeddings_pass_through_the_same_stages() -> None:
    world = World()
    data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    body = msgspec.json.encode({"object": "list", "model": "m", "data": data, "usage": usage})
    world.upstreams.on("a", Answer(body))
    first = await world.pipeline.reply(world.ask(surface=EMBEDDINGS, input="hi", messages=None))
    again = await world.pipeline.reply(world.ask(surface=EMBEDDINGS, input="hi", messages=None))
    assert first.pieces == again.pieces == [body]
    assert [one.cache for one in world.closed] == ["miss", "hit"]
    assert world.booked == [pytest.approx(4e-6), 0.0]


@paused
async def test_a_preview_asks_nobody_and_spends_nothing() -> None:
    world = World([deployment("a/m"), deployment("b/m")])
    ask = world.ask()
    ranking = world.pipeline.preview("m", ask.wanted.asked, Shape(100), None, None)
    assert {one.key for one in ranking.candidates} == {"a/m", "b/m"}
    assert (world.closed, world.balancer.tickets, world.upstreams.asked) == ([], [], [])


@paused
async def test_rate_limit_headers_reach_the_dwa() -> None:
    world = World()
    answer = reply()
    answer.headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9s"}
    world.upstreams.on("a", answer)
    await world.pipeline.reply(world.ask())
    (row,) = world.balancer.stats()
    assert row.state == "rate_limited" or row.quota["remaining_requests"] == 0


@paused
async def test_a_broken_deployment_is_asked_before_the_caller_is_failed() -> None:
    world = World([deployment("a/m"), deployment("b/m", priority=1)], policy=RetryPolicy(rounds=0))
    while {row.key: row.state for row in world.balancer.stats()}.get("a/m") != "open":
        world.upstreams.on("a", Overloaded())
        world.upstreams.on("b", reply())
        await world.pipeline.reply(world.ask())
    world.upstreams.on("a", reply())
    world.upstreams.on("b", Overloaded())
    await world.pipeline.reply(world.ask())
    assert [(one.provider, one.outcome) for one in world.closed[-1].attempts] == [("b", "overloaded"), ("a", "ok")]
