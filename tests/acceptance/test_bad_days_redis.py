"""Redis as it is on bad days: answers shared by processes, and nothing lost but answers when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from msgspec.structs import replace

from gateway.settings import SecretUrl, Settings
from gateway.settings.sections import RedisSettings
from providers import simulator
from tests.acceptance.bad_days import (
    Day,
    Told,
    a_crowd,
    a_day,
    a_day_beside,
    ask,
    callers,
    eventually,
    four,
    impatient,
    look,
    question,
    until_seen,
)
from tests.acceptance.bad_processes import a_program, configuration
from tests.chaos.services import Line, a_line
from tests.stores.cache.cache_world import Server


def beside(redis: Server, settings: Settings) -> Settings:
    return replace(impatient(settings), redis=RedisSettings(url=SecretUrl(redis.url())))


async def cacheable(session: aiohttp.ClientSession, day: Day, text: str, *, stream: bool = False) -> Told:
    return await ask(session, day.url, text, stream=stream, temperature=0)


async def test_what_one_process_answered_the_other_has_in_cache(redis: Server, tmp_path: Path) -> None:
    with (
        simulator.start(four()) as running,
        a_program(tmp_path / "one", configuration(running, four()), REDIS_URL=redis.url()) as one,
        a_program(tmp_path / "two", configuration(running, four()), REDIS_URL=redis.url()) as two,
    ):
        await asyncio.gather(asyncio.to_thread(one.start), asyncio.to_thread(two.start))
        async with callers() as session:
            for stream in (False, True):
                first = await ask(session, one.url, "question.", stream=stream, temperature=0)
                assert first.good
                assert first.headers["x-steelyard-cache"] == "miss"
                asked = sum(state["counters"]["requests"] for state in running.state().values())
                again = await ask(session, two.url, "question.", stream=stream, temperature=0)
                assert again.headers["x-steelyard-cache"] == "hit"
                assert again.body == first.body
                assert again.provider == first.provider
                assert again.attempts == 0
                assert sum(state["counters"]["requests"] for state in running.state().values()) == asked


@pytest.mark.parametrize("manner", [Server.kill, Server.freeze], ids=["killed", "frozen"])
async def test_redis_dies_under_load_and_everybody_is_answered(manner: object, redis: Server, tmp_path: Path) -> None:
    assert callable(manner)
    with a_day(tmp_path, change=lambda settings: beside(redis, settings)) as day:
        async with callers() as session, a_crowd(day.url, pace=30, at_most=700) as crowd:
            repeated: list[Told] = []

            async def repeat() -> None:
                for number in range(400):
                    told = await cacheable(session, day, f"again {number % 10}.", stream=number % 20 >= 10)
                    repeated.append(told)

            repeating = asyncio.create_task(repeat())
            try:
                await eventually(lambda: sum(one.headers["x-steelyard-cache"] == "hit" for one in repeated) >= 10)
                health = await look(session, f"{day.url}/api/health")
                assert health["status"] == "healthy"
                assert health["services"]["cache"]["status"] == "healthy"

                manner(redis)
                page = f"{day.url}/api/health"
                sick = await until_seen(session, page, lambda found: found["status"] != "healthy")
                assert sick["status"] == "degraded"
                assert sick["services"]["cache"]["status"] == "degraded"
                assert sick["services"]["cache"]["last_error"]
                assert sick["services"]["database"]["status"] == "healthy"
                await crowd.more(30)

                if manner is Server.freeze:
                    redis.thaw()
                else:
                    redis.start()
                await until_seen(session, page, lambda found: found["status"] == "healthy")
                back = len(repeated)
                await eventually(
                    lambda: (
                        any(one.headers["x-steelyard-cache"] == "hit" for one in repeated[back:]) or repeating.done()
                    )
                )
                if not any(one.headers["x-steelyard-cache"] == "hit" for one in repeated[back:]):
                    assert (await cacheable(session, day, "at last.")).good
                    assert (await cacheable(session, day, "at last.")).headers["x-steelyard-cache"] == "hit"
            finally:
                repeating.cancel()
                await asyncio.wait([repeating])
        assert not crowd.bad
        assert not [(one.status, one.body) for one in repeated if not one.good]


async def _slow(redis: Server, line: Line) -> None:
    line.delay = 0.3


async def _coming_and_going(redis: Server, line: Line) -> None:
    line.come_and_go()


async def _read_only(redis: Server, line: Line) -> None:
    redis.ask("REPLICAOF", "127.0.0.1", "1")


async def _full(redis: Server, line: Line) -> None:
    redis.ask("CONFIG", "SET", "maxmemory", "1")


async def _well(redis: Server, line: Line) -> None:
    redis.ask("REPLICAOF", "NO", "ONE")
    redis.ask("CONFIG", "SET", "maxmemory", "0")
    await line.mend()


@pytest.mark.parametrize("manner", [_slow, _coming_and_going, _read_only, _full], ids=lambda one: one.__name__)
async def test_a_redis_that_is_no_use_costs_nobody_an_answer(
    manner: Callable[[Server, Line], Awaitable[None]], redis: Server, tmp_path: Path
) -> None:
    def by_line(settings: Settings) -> Settings:
        return replace(impatient(settings), redis=RedisSettings(url=SecretUrl(f"redis://127.0.0.1:{line.port}/0")))

    async with (
        a_line(lambda: asyncio.open_connection("127.0.0.1", redis.port)) as line,
        a_day_beside(tmp_path, by_line) as day,
        callers() as session,
    ):
        page = f"{day.url}/api/health"
        assert (await cacheable(session, day, "before.")).good
        assert (await cacheable(session, day, "before.")).headers["x-steelyard-cache"] == "hit"
        before = (await look(session, page))["services"]["cache"]["errors"]
        await manner(redis, line)
        asked = 0
        while (await look(session, page))["services"]["cache"]["errors"] < before + 3:
            asked += 1
            told = await asyncio.gather(*(cacheable(session, day, f"{asked} {number}.") for number in range(3)))
            assert all(one.good for one in told), [one.body for one in told]
            assert asked < 200, "it never failed"
        await _well(redis, line)
        await until_seen(session, page, lambda found: found["status"] == "healthy")
        assert (await cacheable(session, day, "after.")).good
        assert (await cacheable(session, day, "after.")).headers["x-steelyard-cache"] == "hit"


async def test_a_frozen_redis_does_not_hold_up_the_health_page(redis: Server, tmp_path: Path) -> None:
    with a_day(tmp_path, change=lambda settings: beside(redis, settings)) as day:
        redis.freeze()
        async with callers() as session:
            for _ in range(5):
                health = await look(session, f"{day.url}/api/health")
                assert health["services"]["cache"]["status"] == "degraded"
            path, body = question("Hello.", temperature=0)
            async with session.post(day.url + path, json=body, headers={"X-Steelyard-Cache": "refresh"}) as answer:
                assert answer.status == 200
        redis.thaw()


async def test_a_redis_that_is_away_at_the_start_is_found_when_it_comes(redis: Server, tmp_path: Path) -> None:
    redis.kill()
    with a_day(tmp_path, change=lambda settings: beside(redis, settings)) as day:
        async with callers() as session:
            assert (await cacheable(session, day, "question.")).good
            health = await look(session, f"{day.url}/api/health")
            assert (health["status"], health["services"]["cache"]["status"]) == ("degraded", "degraded")
            redis.start()
            await until_seen(session, f"{day.url}/api/health", lambda found: found["status"] == "healthy")
            assert (await cacheable(session, day, "question.")).headers["x-steelyard-cache"] == "miss"
            assert (await cacheable(session, day, "question.")).headers["x-steelyard-cache"] == "hit"
