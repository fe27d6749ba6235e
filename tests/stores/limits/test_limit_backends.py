"""Counting for limits: one body of tests for every place in which it is done."""

from __future__ import annotations

import asyncio

import pytest
from limits_world import Counting, limiter

from gateway.governance.limits.window import Limiter, Need

ONE_A_MINUTE = limiter(rpm=1)


async def test_no_more_requests_than_the_bound_until_the_minute_is_over(counting: Counting) -> None:
    two = limiter(rpm=2)
    await counting.granted(two)
    await counting.granted(two)
    refused = (await counting.take(two)).refusal
    assert refused is not None
    assert (refused.limiter, refused.bound) == (two, "rpm")
    assert refused.wait is not None
    assert 59 < refused.wait <= 61
    counting.pass_seconds(62)
    await counting.granted(two)


async def test_tokens_are_reserved_and_settled(counting: Counting) -> None:
    hundred = limiter(tpm=100)
    first = await counting.granted(hundred, tokens=80)
    refused = await counting.take(hundred, tokens=30)
    assert refused.refusal is not None
    assert refused.refusal.bound == "tpm"
    assert refused.states[0].tokens == 80
    await counting.settle(first, 10)
    second = await counting.granted(hundred, tokens=90)
    # More than was reserved counts from the end of the request on.
    counting.pass_seconds(55)
    await counting.settle(second, 95)
    counting.pass_seconds(10)
    late = await counting.take(hundred, tokens=96)
    assert late.refusal is not None
    assert late.states[0].tokens == 5
    await counting.granted(hundred, tokens=95)


async def test_so_many_run_at_a_time(counting: Counting) -> None:
    two = limiter(at_a_time=2)
    first = await counting.granted(two)
    await counting.granted(two)
    refused = (await counting.take(two)).refusal
    assert refused is not None
    assert (refused.bound, refused.wait) == ("concurrency", None)
    await counting.settle(first)
    await counting.granted(two)
    assert (await counting.take(two)).refusal is not None


async def test_whoever_asks_again_at_once_finds_its_place_free(counting: Counting) -> None:
    one = limiter(at_a_time=1)
    for _ in range(20):
        grant = await counting.granted(one)
        counting.processes[0].settle(grant, 0)


async def test_all_limiters_count_a_request_or_none_does(counting: Counting) -> None:
    wide = limiter("wide", rpm=10, tpm=1000, at_a_time=10)
    await counting.granted(ONE_A_MINUTE)
    refused = await counting.take(wide, ONE_A_MINUTE, tokens=100)
    assert refused.refusal is not None
    assert refused.refusal.limiter == ONE_A_MINUTE
    state = (await counting.take(wide, tokens=1)).states[0]
    assert (state.requests, state.tokens, state.running) == (0, 0, 0)


async def test_what_is_told_is_what_counts(counting: Counting) -> None:
    wide = limiter("wide", rpm=10, tpm=1000, at_a_time=10)
    verdict = await counting.take(wide, tokens=100)
    assert verdict.states[0][:3] == (0, 0, 0)
    again = await counting.take(wide, tokens=50)
    state = again.states[0]
    assert state[:3] == (1, 100, 1)
    assert state.requests_until == state.tokens_until == int(verdict.now) + 61
    assert (state.opens_requests, state.opens_tokens) == (0, 0)


async def test_limiters_are_counted_apart(counting: Counting) -> None:
    await counting.granted(ONE_A_MINUTE)
    for other in (limiter("bob", rpm=1), Limiter.of("tag", "alice", ONE_A_MINUTE.rates)):
        await counting.granted(other)


async def test_many_at_once_get_no_more_than_the_bound(counting: Counting) -> None:
    ten = limiter(rpm=10)
    processes = 3 if counting.together else 1
    verdicts = await asyncio.gather(*(counting.take(ten, process=number % processes) for number in range(90)))
    assert sum(verdict.grant is not None for verdict in verdicts) == 10


@pytest.mark.parametrize("counting", ["folder", "redis"], indirect=True)
async def test_processes_count_together(counting: Counting) -> None:
    both = limiter(rpm=3, tpm=100, at_a_time=2)
    first = await counting.granted(both, tokens=40)
    second = await counting.granted(both, tokens=40, process=1)
    refused = await counting.take(both, tokens=40, process=2)
    assert refused.states[0][:3] == (2, 80, 2)
    await counting.settle(first, 0)
    third = await counting.granted(both, tokens=40, process=2)
    await counting.settle(second, 40, process=1)
    await counting.settle(third, 0, process=2)
    last = await counting.take(both, tokens=1)
    assert last.refusal is not None
    assert last.refusal.bound == "rpm"
    assert last.states[0][:3] == (3, 40, 0)


async def test_one_that_is_cancelled_while_it_asks_holds_nothing(counting: Counting) -> None:
    one = limiter(at_a_time=1, tpm=100)
    asking = asyncio.create_task(counting.processes[0].take(Need((one,), 100)))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    if not asking.cancelled():
        # It was quicker.
        grant = asking.result().grant
        assert grant is not None
        counting.processes[0].settle(grant, 0)
    await counting.told(0)
    await counting.granted(one, tokens=100)


async def test_nobody_counts_alone_while_all_is_well(counting: Counting) -> None:
    grant = await counting.granted(ONE_A_MINUTE)
    assert not grant.alone
    assert not counting.processes[0].alone
