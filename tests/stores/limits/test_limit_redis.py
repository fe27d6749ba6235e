"""Counting in Redis: its program computes as the window does; Redis away, slow or back, and processes that die."""

from __future__ import annotations

import asyncio
import time
import uuid

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits_world import PassingRedis, limiter, until_so

from gateway.governance.limits.backend import Grant
from gateway.governance.limits.memory import MemoryBackend
from gateway.governance.limits.redis import RedisBackend
from gateway.governance.limits.window import Need
from tests.stores.cache.cache_world import Server

BOTH = (limiter("one", rpm=4, tpm=100, at_a_time=3), limiter("two", rpm=6, at_a_time=2))
#: Seconds that pass, which limiters a request has, its tokens; or the end of one, and the tokens it took.
EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from([0, 0, 0, 1, 20, 59, 61]), st.sampled_from([BOTH, BOTH[:1], BOTH[1:]]), st.integers(0, 60)
        ),
        st.integers(0, 120),
    ),
    max_size=25,
)


@given(events=EVENTS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_program_computes_as_the_window_does(shared_redis: Server, events: list[object]) -> None:
    # Without renewals, which would tell what has ended too early.
    counting = PassingRedis(shared_redis.url(), f"steelyard-test:{uuid.uuid4().hex}:", lease=600.0)
    now = 0.0
    memory = MemoryBackend(clock=lambda: now)
    running: list[tuple[Grant, Grant]] = []
    ended: list[tuple[Grant, int]] = []
    for event in events:
        if isinstance(event, int):
            if running:
                there, here = running.pop(0)
                counting.processes[0].settle(there, event)
                ended.append((here, event))
            continue
        assert isinstance(event, tuple)
        seconds, limiters, tokens = event
        counting.pass_seconds(seconds)
        # What has ended is told in the trip that asks, and so at the same time.
        verdict = await counting.take(*limiters, tokens=tokens)
        now = verdict.now
        for grant, used in ended:
            memory.settle(grant, used)
        ended.clear()
        expected = memory.judge(Need(limiters, tokens))
        told = [
            (state if one.rates.tpm else state._replace(tokens=0, tokens_until=0))
            for one, state in zip(limiters, expected.states, strict=True)
        ]
        assert list(verdict.states) == told
        assert verdict.refusal == expected.refusal
        if verdict.grant is not None and expected.grant is not None:
            running.append((verdict.grant, expected.grant))
    await counting.close()


async def test_requests_of_one_moment_make_one_trip(shared_redis: Server) -> None:
    counting = PassingRedis(shared_redis.url(), f"steelyard-test:{uuid.uuid4().hex}:")
    await counting.granted(limiter(rpm=100))
    before = shared_redis.ask("INFO", "commandstats")
    await asyncio.gather(*(counting.take(limiter(rpm=100)) for _ in range(20)))
    after = shared_redis.ask("INFO", "commandstats")
    assert calls_of(after, b"evalsha") - calls_of(before, b"evalsha") == 1
    await counting.close()


def calls_of(told: bytes, command: bytes) -> int:
    line = next(line for line in told.split(b"\r\n") if line.startswith(b"cmdstat_" + command + b":"))
    return int(line.partition(b"calls=")[2].partition(b",")[0])


async def test_what_ran_in_a_process_that_died_does_not_count(shared_redis: Server) -> None:
    namespace = f"steelyard-test:{uuid.uuid4().hex}:"
    one = limiter(at_a_time=1)
    counting = PassingRedis(shared_redis.url(), namespace, lease=60.0)
    dying = RedisBackend(shared_redis.url(), clock=time.monotonic, timeout=10, namespace=namespace, lease=60.0)
    assert (await dying.take(Need((one,), 0))).grant is not None
    refused = (await counting.take(one)).refusal
    assert refused is not None
    assert refused.bound == "concurrency"
    await dying.close()
    assert (await counting.take(one)).refusal is not None
    # Its lease runs out.
    alive = next(name for name in keys(shared_redis, namespace + "alive:*") if not name.endswith(name_of(counting)))
    assert shared_redis.ask("DEL", alive) == b":1\r\n"
    await counting.granted(one)
    await counting.close()


async def test_a_lease_is_renewed_as_long_as_something_runs(shared_redis: Server) -> None:
    namespace = f"steelyard-test:{uuid.uuid4().hex}:"
    counting = PassingRedis(shared_redis.url(), namespace, lease=1.0)
    grant = await counting.granted(limiter(at_a_time=1))
    before = calls_of(shared_redis.ask("INFO", "commandstats"), b"evalsha")
    await until_so(lambda: calls_of(shared_redis.ask("INFO", "commandstats"), b"evalsha") > before + 2)
    await counting.settle(grant)
    assert (await counting.take(limiter(at_a_time=1), process=1)).states[0].running == 0
    await counting.close()


def keys(server: Server, pattern: str) -> list[str]:
    return [word.decode() for word in server.ask("KEYS", pattern).split(b"\r\n") if word.startswith(b"steelyard")]


def name_of(counting: PassingRedis) -> str:
    backend = counting.processes[0]
    assert isinstance(backend, RedisBackend)
    return backend.process


async def test_without_redis_each_counts_alone_and_together_again_when_it_is_back(redis: Server) -> None:
    counting = PassingRedis(redis.url(), "steelyard-test:", timeout=0.25)
    two = limiter(rpm=2, at_a_time=2)
    running = await counting.granted(two)
    redis.kill()
    # What it let through before is not forgotten.
    alone = await counting.granted(two)
    assert alone.alone
    assert counting.processes[0].alone
    refused = (await counting.take(two)).refusal
    assert refused is not None
    assert refused.bound == "rpm"
    redis.start()
    # By itself: nobody has to ask.
    await until_so(lambda: not counting.processes[0].alone)
    await counting.told(0)
    # Redis has lost the minute, and has heard what runs.
    state = (await counting.take(two, process=1)).states[0]
    assert (state.requests, state.running) == (0, 2)
    await counting.settle(running)
    await counting.settle(alone)
    assert (await counting.take(limiter(rpm=9, at_a_time=2), process=1)).states[0].running == 0
    await counting.close()


async def test_a_redis_that_says_nothing_holds_up_a_moment_and_then_nobody(redis: Server) -> None:
    counting = PassingRedis(redis.url(), "steelyard-test:", timeout=0.05)
    await counting.granted(limiter("warm", rpm=1))
    redis.freeze()
    grants = await asyncio.gather(*(counting.granted(limiter(rpm=50)) for _ in range(50)))
    assert all(grant.alone for grant in grants)
    assert (await counting.take(limiter(rpm=50))).refusal is not None
    redis.thaw()
    await until_so(lambda: not counting.processes[0].alone)
    await counting.close()
