"""What a finished exchange moves: hedges, fallbacks, exclusions, tags, and what OpenTelemetry calls by other names."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from failover_scene import Scene, takes
from gateway_world import COST, Answer, World, deployment, exchange, finished, reply, said, streaming
from metric_samples import sampled
from paused_time import paused

from gateway.api.chat import EMBEDDINGS
from gateway.caching import CachePolicy
from gateway.capping import Cap
from gateway.errors import GatewayError
from gateway.exchange import Attempt, Exchange, Preferences
from gateway.failover import RetryPolicy
from gateway.governance.keys import Principal
from gateway.metrics import Metrics
from gateway.metrics.observing import OTHER
from providers.chat import Usage
from providers.dialect import Inexpressible
from providers.errors import Cut, Overloaded, Throttled

ONE, TWO = ("provider", "outcome"), ("provider", "reason")
CALL = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model")


def hedges(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return sampled(metrics, "steelyard_hedges_total", *ONE)


def excluded(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return sampled(metrics, "steelyard_dwa_excluded_total", *TWO)


async def played(*tiers: Any, **more: Any) -> Metrics:
    """The metrics of one request over these."""
    metrics = Metrics()
    scene = Scene(*tiers, **more)
    with suppress(GatewayError):
        await scene.run()
    metrics.observe(scene.exchange)
    return metrics


# Hedges


@paused
async def test_a_second_call_that_comes_first_has_won() -> None:
    metrics = await played({"a": takes(90.0), "b": takes(0.2)}, hedge=True)
    assert hedges(metrics) == {("b", "won"): 1.0}
    assert sampled(metrics, "steelyard_attempts_total", *ONE) == {("a", "hedged"): 1.0, ("b", "ok"): 1.0}
    assert sampled(metrics, "steelyard_fallbacks_total") == {}


@paused
async def test_a_second_call_that_comes_later_has_lost() -> None:
    metrics = await played({"a": takes(2.0), "b": takes(90.0)}, hedge=True)
    assert hedges(metrics) == {("b", "lost"): 1.0}


@paused
async def test_a_second_call_that_fails_has_failed() -> None:
    metrics = await played({"a": takes(5.0), "b": Overloaded()}, hedge=True)
    assert hedges(metrics) == {("b", "failed"): 1.0}


@paused
async def test_a_second_call_whose_caller_leaves_is_cancelled() -> None:
    metrics = Metrics()
    scene = Scene({"a": takes(90.0), "b": takes(90.0)}, hedge=True)
    with suppress(TimeoutError):
        async with asyncio.timeout(10.0):
            await scene.run()
    metrics.observe(scene.exchange)
    assert hedges(metrics) == {("b", "cancelled"): 1.0}


@paused
async def test_a_call_that_is_in_time_is_no_hedge() -> None:
    assert hedges(await played({"a": takes(0.1), "b": "never asked"}, hedge=True)) == {}


# Fallbacks


@paused
async def test_a_failure_after_which_another_is_asked_is_a_fallback() -> None:
    metrics = await played({"a": Overloaded(), "b": Throttled(), "c": "here"})
    assert sampled(metrics, "steelyard_fallbacks_total", *TWO) == {("a", "overloaded"): 1.0, ("b", "throttled"): 1.0}


@paused
async def test_asking_the_same_again_is_no_fallback() -> None:
    metrics = await played({"a": [Overloaded(), "here"]}, policy=RetryPolicy(rounds=1))
    assert sampled(metrics, "steelyard_attempts_total", *ONE) == {("a", "overloaded"): 1.0, ("a", "ok"): 1.0}
    assert sampled(metrics, "steelyard_fallbacks_total") == {}


@paused
async def test_the_last_failure_of_all_is_no_fallback() -> None:
    metrics = await played({"a": Overloaded(), "b": Overloaded()})
    assert sampled(metrics, "steelyard_fallbacks_total", *TWO) == {("a", "overloaded"): 1.0}


@paused
async def test_a_broken_stream_that_another_goes_on_with_is_a_fallback() -> None:
    metrics = Metrics()
    world = World([deployment("a/m"), deployment("b/m", priority=1)], sink=metrics.observe)
    world.upstreams.on("a", streaming(said("The load"), Cut("It broke.")))
    world.upstreams.on("b", streaming(said(" rests."), finished()))
    streamed = await world.pipeline.stream(world.ask(stream=True, wishes=Preferences(continue_streams=True)))
    assert b" rests." in b"".join([piece async for piece in streamed.pieces()])
    assert sampled(metrics, "steelyard_fallbacks_total", *TWO) == {("a", "cut"): 1.0}


# Exclusions


@paused
async def test_who_must_not_be_asked_yet_is_excluded_by_why() -> None:
    metrics = Metrics()
    world = World([deployment("a/m"), deployment("b/m", priority=1)], sink=metrics.observe)
    world.upstreams.on("a", Throttled(retry_after=30.0))
    world.upstreams.on("b", reply())
    for _ in range(3):
        await world.pipeline.reply(world.ask(temperature=1))
    # Of the first request it was known only when it had been asked.
    assert excluded(metrics) == {("a", "rate_limited"): 2.0}
    assert sampled(metrics, "steelyard_fallbacks_total", *TWO) == {("a", "throttled"): 1.0}


@paused
async def test_a_deployment_whose_breaker_is_open_is_excluded() -> None:
    metrics = Metrics()
    world = World(
        [deployment("a/m"), deployment("b/m", priority=1)], sink=metrics.observe, policy=RetryPolicy(rounds=0)
    )
    world.upstreams.on("a", Overloaded())
    world.upstreams.on("b", reply())
    for _ in range(8):
        await world.pipeline.reply(world.ask(temperature=1))
    calls = sampled(metrics, "steelyard_attempts_total", *ONE)[("a", "overloaded")]
    assert excluded(metrics)[("a", "breaker_open")] == 8.0 - calls > 0


@paused
async def test_whose_budget_is_spent_and_who_cannot_say_it_are_excluded() -> None:
    metrics = Metrics()
    scene = Scene({"a": "never asked", "b": Inexpressible(("n",), "b"), "c": "here"})
    scene.exchange.barred = frozenset({"a"})
    await scene.run()
    metrics.observe(scene.exchange)
    assert excluded(metrics) == {("a", "budget_spent"): 1.0, ("b", "inexpressible"): 1.0}


@paused
async def test_who_is_too_dear_is_excluded() -> None:
    metrics = Metrics()
    scene = Scene({"a": "never asked"})
    scene.exchange.cap = Cap(1e-12)
    await scene.fails()
    metrics.observe(scene.exchange)
    assert excluded(metrics) == {("a", "too_dear"): 1.0}


# Tokens, tags and OpenTelemetry


@paused
async def test_a_call_is_told_as_opentelemetry_has_it() -> None:
    metrics = Metrics()
    metrics.know({("a", "m"): ("well.known", "upstream-name")}, ())
    world = World(sink=metrics.observe)
    world.upstreams.on("a", reply())
    await world.pipeline.reply(world.ask())
    call = ("chat", "well.known", "upstream-name", "m")
    seconds = "gen_ai_client_operation_duration_seconds_count"
    assert sampled(metrics, seconds, *CALL, "error_type") == {(*call, ""): 1.0}
    tokens = sampled(metrics, "gen_ai_client_token_usage_sum", *CALL, "gen_ai_token_type")
    assert tokens == {(*call, "input"): 10.0, (*call, "output"): 5.0}
    assert sampled(metrics, "gen_ai_client_operation_time_to_first_chunk_seconds_count") == {}


@paused
async def test_a_stream_tells_its_first_chunk_and_its_model() -> None:
    metrics = Metrics()
    world = World(sink=metrics.observe)
    world.upstreams.on("a", streaming(said("hello"), finished()))
    streamed = await world.pipeline.stream(world.ask(stream=True))
    assert [piece async for piece in streamed.pieces()]
    first = sampled(metrics, "gen_ai_client_operation_time_to_first_chunk_seconds_count", *CALL)
    assert first == {("chat", "a", "m", "m"): 1.0}


@paused
async def test_a_failed_call_is_timed_by_its_error() -> None:
    metrics = await played({"a": Overloaded(), "b": "here"})
    told = sampled(metrics, "gen_ai_client_operation_duration_seconds_count", "gen_ai_provider_name", "error_type")
    assert told == {("a", "overloaded"): 1.0, ("b", ""): 1.0}


@paused
async def test_what_is_asked_for_is_the_operation() -> None:
    metrics = Metrics()
    world = World(sink=metrics.observe)
    answer = {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}]}
    body = msgspec.json.encode({**answer, "usage": {"prompt_tokens": 3, "total_tokens": 3}})
    world.upstreams.on("a", Answer(body))
    await world.pipeline.reply(world.ask(surface=EMBEDDINGS, messages=None, input="word"))
    told = sampled(metrics, "gen_ai_client_operation_duration_seconds_count", "gen_ai_operation_name")
    assert told == {("embeddings",): 1.0}


def test_a_model_that_answers_by_ever_new_names_makes_no_new_series() -> None:
    metrics = Metrics()
    for number in range(40):
        metrics.observe(answered(response_model=f"m-{number}\ud800"))
    models = sampled(metrics, "gen_ai_client_token_usage_count", "gen_ai_response_model")
    assert len(models) == 9
    # Input and output of each that was not one of the first eight.
    assert models[("_OTHER",)] == 2 * 32


def answered(caller: Principal | None = None, **facts: Any) -> Exchange:
    """An exchange with one call that was answered."""
    done = asyncio.run(_exchange())
    done.caller = caller
    done.attempts = [Attempt("a", "m", 0.0, "ok", 1.0, usage=Usage(10, 5), cost=COST, **facts)]
    return done


async def _exchange() -> Exchange:
    return exchange()


def test_tokens_that_the_provider_had_in_its_own_cache_are_a_hit_there() -> None:
    metrics = Metrics()
    done = answered()
    done.attempts[0].usage = Usage(10, 5, cached_tokens=4)
    metrics.observe(done)
    metrics.observe(answered())
    assert sampled(metrics, "steelyard_cache_hits_total", "tier") == {("provider",): 1.0}


def test_what_a_key_spends_is_told_of_each_of_its_tags() -> None:
    metrics = Metrics()
    metrics.observe(answered(Principal("alice", tags=("red", "blue"))))
    metrics.observe(answered(Principal("bob", tags=("red",))))
    metrics.observe(answered(Principal("carol")))
    joined = answered(Principal("dave", tags=("red",)))
    joined.cache = "coalesced"
    metrics.observe(joined)
    assert sampled(metrics, "steelyard_tag_requests_total", "tag") == {("red",): 3.0, ("blue",): 1.0}
    spent = sampled(metrics, "steelyard_tag_cost_usd_total", "tag", "provider")
    assert spent == {("red", "a"): pytest.approx(2 * COST), ("blue", "a"): pytest.approx(COST)}


def test_tags_beyond_a_number_are_one_and_those_of_the_configuration_always_their_own() -> None:
    metrics = Metrics()
    for number in range(150):
        metrics.observe(answered(Principal("key", tags=(f"tag-{number}", f"tag-{number}-too"))))
    metrics.know({}, ["configured"])
    metrics.observe(answered(Principal("key", tags=("configured",))))
    tags = sampled(metrics, "steelyard_tag_requests_total", "tag")
    # A hundred, the one of the configuration, and the others; two others of one key are one.
    assert len(tags) == 102
    assert tags[("configured",)] == 1.0
    assert tags[(OTHER,)] == 100.0


@paused
async def test_who_waits_for_anothers_answer_is_counted_while_it_does() -> None:
    world = World(cache=CachePolicy(enabled=True, ttl=600.0, drop_in="always"))
    go = asyncio.Event()

    async def play(_asked: object) -> Any:
        await go.wait()
        return reply()

    world.upstreams.on("a", play)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(world.pipeline.reply(world.ask()))
        await asyncio.sleep(1.0)
        assert world.cache.waiting == 2
        go.set()
    assert world.cache.waiting == 0
