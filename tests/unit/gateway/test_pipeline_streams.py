"""The pipeline, streaming: nothing before the commit point, never a silent end, and what came is paid for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
from gateway_world import (
    COST,
    Answer,
    Asked,
    World,
    deployment,
    drain,
    finished,
    opened,
    said,
    streaming,
)
from paused_time import paused, settle

from gateway.api import native
from gateway.errors import DeadlineExceeded, ProvidersFailed, StreamBroken
from gateway.failover import RetryPolicy
from providers.errors import Cut, TimedOut, Unreachable


def after(seconds: float, answer: Answer) -> Callable[[Asked], Any]:
    async def play(_asked: Asked) -> Answer:
        await asyncio.sleep(seconds)
        return answer

    return play


async def read_into(got: list[bytes], pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        got.append(piece)  # noqa: PERF401 - a comprehension would lose what came before the error


@paused
async def test_a_stream_closes_the_exchange_once_when_it_has_ended() -> None:
    world = World()
    chunks = [opened(), said("hel"), said("lo"), finished()]
    world.upstreams.on("a", after(2.0, streaming(*chunks)))
    streamed = await world.pipeline.stream(world.ask(stream=True, stream_options={"include_usage": True}))
    assert world.closed == []
    assert (streamed.exchange.ttft, streamed.exchange.provider) == (2.0, "a")
    assert b"".join(await drain(streamed.pieces())) == b"".join(chunks)
    closed = world.only()
    assert (closed.outcome, closed.status, closed.finish_reason) == ("ok", 200, "stop")
    assert closed.cost == pytest.approx(COST)
    assert world.balancer.endings() == [("a/m", "success", 10, 5, closed.cost, 0)]
    assert world.balancer.tickets[0].first_tokens == 1
    assert world.upstreams.answers[0].closed


@paused
async def test_usage_that_the_caller_did_not_ask_for_is_billed_and_not_sent() -> None:
    world = World()
    world.upstreams.on("a", streaming(said("hello"), finished()))
    streamed = await world.pipeline.stream(world.ask(stream=True))
    assert b"usage" not in b"".join(await drain(streamed.pieces()))
    assert msgspec.json.decode(world.upstreams.asked[0].body)["stream_options"] == {"include_usage": True}
    assert world.only().cost == pytest.approx(COST)


@paused
async def test_nothing_is_sent_before_the_commit_point_and_another_may_take_over_until_then() -> None:
    world = World([deployment("a/m"), deployment("b/m", priority=1)], policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", streaming(opened(), Cut("gone")))
    world.upstreams.on("b", streaming(opened(), said("hello"), finished()))
    streamed = await world.pipeline.stream(world.ask(stream=True))
    text = b"".join(await drain(streamed.pieces()))
    assert text.count(b'"role"') == 1
    assert [(one.provider, one.outcome) for one in world.only().attempts] == [("a", "unreachable"), ("b", "ok")]
    assert all(answer.closed for answer in world.upstreams.answers)


@paused
async def test_an_error_before_the_commit_point_keeps_its_status() -> None:
    world = World(policy=RetryPolicy(rounds=0))
    world.upstreams.on("a", Answer(b'{"error":{"message":"slow down"}}', status=429, headers={"retry-after": "9"}))
    with pytest.raises(ProvidersFailed) as caught:
        await world.pipeline.stream(world.ask(stream=True))
    assert (caught.value.status, caught.value.retry_after) == (429, 9.0)
    assert (world.only().status, world.only().ttft) == (429, None)


@paused
async def test_a_broken_stream_raises_after_its_earlier_pieces_and_is_paid_for() -> None:
    world = World()
    world.upstreams.on("a", streaming(said("x" * 40), said("y" * 40), Cut("gone")))
    streamed = await world.pipeline.stream(world.ask(stream=True, temperature=0))
    got: list[bytes] = []
    with pytest.raises(StreamBroken, match="a/m: gone"):
        await read_into(got, streamed.pieces())
    assert b"".join(got) == said("x" * 40) + said("y" * 40)
    closed = world.only()
    assert (closed.outcome, closed.status, closed.error_code) == ("error", 502, "stream_broken")
    assert (closed.attempts[0].outcome, closed.attempts[0].message) == ("cut", "gone")
    assert closed.usage.output_tokens == 20
    assert closed.cost > 0
    assert world.balancer.endings() == [("a/m", "failure", "cut", True)]
    assert world.upstreams.answers[0].closed
    assert world.store.sets == 0


@paused
async def test_a_stream_without_its_terminal_event_is_broken() -> None:
    world = World()
    world.upstreams.on("a", streaming(said("hello")))
    streamed = await world.pipeline.stream(world.ask(stream=True))
    with pytest.raises(StreamBroken):
        await drain(streamed.pieces())
    assert world.only().status == 502


@pytest.mark.parametrize("temperature", [0, 1], ids=["cacheable", "not"])
@paused
async def test_hanging_up_amid_a_stream_bills_what_came_and_blames_nobody(temperature: int) -> None:
    world = World()
    world.upstreams.on("a", streaming(said("x" * 40), asyncio.Event()))
    streamed = await world.pipeline.stream(world.ask(stream=True, temperature=temperature))
    assert await anext(streamed.pieces()) == said("x" * 40)
    await streamed.close()
    closed = world.only()
    assert (closed.outcome, closed.status) == ("cancelled", 499)
    assert closed.attempts[0].outcome == "cancelled"
    assert closed.usage.output_tokens == 10
    assert world.booked[0] == closed.cost > 0
    assert world.balancer.endings() == [("a/m", "cancelled")]
    assert world.upstreams.answers[0].closed
    assert world.store.sets == 0


@pytest.mark.parametrize("temperature", [0, 1], ids=["cacheable", "not"])
@paused
async def test_hanging_up_before_the_first_content_blames_nobody(temperature: int) -> None:
    world = World()
    world.upstreams.on("a", streaming(opened(), asyncio.Event()))
    work = asyncio.create_task(world.pipeline.stream(world.ask(stream=True, temperature=temperature)))
    await settle()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert (world.only().outcome, world.only().cost) == ("cancelled", 0.0)
    assert world.balancer.endings() == [("a/m", "cancelled")]
    assert world.upstreams.answers[0].closed


@paused
async def test_hanging_up_before_the_first_piece_is_read_closes_everything() -> None:
    world = World()
    world.upstreams.on("a", streaming(said("hello"), asyncio.Event()))
    streamed = await world.pipeline.stream(world.ask(stream=True))
    await streamed.close()
    try:
        assert len(world.closed) == 1
        assert world.upstreams.answers[0].closed
        assert world.balancer.endings() == [("a/m", "cancelled")]
    finally:
        del streamed
        await settle()  # what was left behind is closed by the garbage collector, in a task of its own


@paused
async def test_unsaid_usage_is_estimated_from_the_text() -> None:
    world = World()
    end = finished().replace(b'"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}', b'"usage":null')
    world.upstreams.on("a", streaming(said("x" * 41), end))
    ask = world.ask(stream=True)
    await drain((await world.pipeline.stream(ask)).pieces())
    assert world.only().usage.output_tokens == 11
    assert world.only().usage.input_tokens == ask.wanted.asked.input_tokens


@paused
async def test_the_text_of_a_stream_is_collected_for_its_session() -> None:
    world = World()
    world.upstreams.on("a", streaming(said("hel"), said("lo"), finished()))
    ask = world.ask(stream=True)
    ask.exchange.said = []
    await drain((await world.pipeline.stream(ask)).pieces())
    assert native.said(ask.exchange, None) == {"role": "assistant", "content": "hello"}


@paused
async def test_a_deadline_before_the_first_content_is_408() -> None:
    world = World(timeout=5.0)

    async def hangs(asked: Asked) -> Answer:
        await asyncio.sleep((asked.deadline or 0.0) - asyncio.get_running_loop().time())
        raise TimedOut("total", 5.0)

    world.upstreams.on("a", hangs)
    with pytest.raises(DeadlineExceeded):
        await world.pipeline.stream(world.ask(stream=True))
    assert world.only().status == 408


@paused
async def test_unreachable_is_tried_again_for_streams_too() -> None:
    world = World(policy=RetryPolicy(rounds=1))
    world.upstreams.on("a", Unreachable(), streaming(said("hello"), finished()))
    await drain((await world.pipeline.stream(world.ask(stream=True))).pieces())
    assert world.upstreams.hosts() == ["a", "a"]
    assert world.only().cost == pytest.approx(COST)
