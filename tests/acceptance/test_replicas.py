"""Several gateways in front of the same providers: what one finds out all know, over Redis and among workers.

Only one of them gets the traffic by which a fault is noticed, so whatever the others know they were told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from providers import simulator
from tests.acceptance.bad_days import PATIENCE, a_crowd, ask, callers, eventually, four, look, until_seen
from tests.acceptance.bad_processes import Program, a_program, configuration
from tests.stores.cache.cache_world import Server

EIGHT = 8
Condition = Callable[[Any], object]


class Fleet:
    """Processes, and the providers they share."""

    def __init__(self, programs: Sequence[Program], running: simulator.Running, session: aiohttp.ClientSession) -> None:
        self.programs = programs
        self.running = running
        self.session = session

    async def health(self, wanted: Condition) -> None:
        """Wait until every process says so of its DWA."""
        pages = [f"{program.url}/api/health" for program in self.programs]
        await asyncio.gather(
            *(until_seen(self.session, page, lambda found: wanted(found["services"]["dwa"])) for page in pages)
        )

    async def knows(self, program: Program, wanted: Condition, provider: str = "alfa") -> None:
        """Wait until the statistics of one process say so of a provider."""

        def told(found: Any) -> bool:
            return any(row["provider"] == provider and wanted(row) for row in found["deployments"])

        await until_seen(self.session, f"{program.url}/api/llm/dwa/stats", told)


@asynccontextmanager
async def a_fleet(folder: Path, count: int, redis: Server) -> AsyncGenerator[Fleet]:
    """Gateways with a configuration and a database each, and one Redis."""
    with ExitStack() as stack:
        running = stack.enter_context(simulator.start(four()))
        programs = [
            stack.enter_context(a_program(folder / str(number), configuration(running, four()), REDIS_URL=redis.url()))
            for number in range(count)
        ]
        await asyncio.gather(*(asyncio.to_thread(program.start) for program in programs))
        async with callers() as session:
            yield Fleet(programs, running, session)


async def test_eight_gateways_leave_what_one_found_broken_and_return_with_it(redis: Server, tmp_path: Path) -> None:
    async with a_fleet(tmp_path, EIGHT, redis) as fleet:
        await fleet.health(lambda dwa: dwa["replicas"] == EIGHT and dwa["sharing"])
        async with a_crowd(fleet.programs[0].url, pace=30) as crowd:
            await eventually(lambda: sum(one.provider == "alfa" for one in crowd.answers) >= 20)
            # The seven never had a request, and know the favourite all the same.
            for program in fleet.programs[1:]:
                await fleet.knows(program, lambda row: row["requests"] == 0 and row["weight"] > 0.5)
            fleet.running.control("alfa", "down")
            await fleet.health(lambda dwa: "alfa" in dwa["excluded"])
            first = [await ask(fleet.session, program.url, "after.") for program in fleet.programs[1:]]
            assert all(one.good and one.provider != "alfa" and one.attempts == 1 for one in first)
            fleet.running.control("alfa")
            await fleet.health(lambda dwa: "alfa" in dwa["active_providers"])
        assert not crowd.bad


async def test_redis_dies_and_comes_back_and_everybody_goes_on(redis: Server, tmp_path: Path) -> None:
    async with a_fleet(tmp_path, 3, redis) as fleet:
        await fleet.health(lambda dwa: dwa["replicas"] == 3 and dwa["sharing"])
        async with a_crowd(fleet.programs[0].url, pace=30) as crowd:
            redis.kill()
            await fleet.health(lambda dwa: dwa["replicas"] == 1 and not dwa["sharing"] and dwa["status"] == "degraded")
            await crowd.more(20)
            # Alone they find out alone.
            fleet.running.control("alfa", "down")
            page = f"{fleet.programs[0].url}/api/health"
            await until_seen(fleet.session, page, lambda found: "alfa" in found["services"]["dwa"]["excluded"])
            other = await look(fleet.session, f"{fleet.programs[1].url}/api/health")
            assert "alfa" not in other["services"]["dwa"]["excluded"]
            redis.start()
            await fleet.health(lambda dwa: dwa["replicas"] == 3 and dwa["sharing"] and "alfa" in dwa["excluded"])
        assert not crowd.bad


async def test_a_gateway_that_leaves_is_missed_at_once_and_one_that_is_killed_soon(
    redis: Server, tmp_path: Path
) -> None:
    async with a_fleet(tmp_path, 3, redis) as fleet:
        await fleet.health(lambda dwa: dwa["replicas"] == 3)
        fleet.programs[2].terminate()
        assert await fleet.programs[2].ended() == 0
        fleet.programs = fleet.programs[:2]
        await fleet.health(lambda dwa: dwa["replicas"] == 2)
        fleet.programs[1].kill()
        fleet.programs = fleet.programs[:1]
        await fleet.health(lambda dwa: dwa["replicas"] == 1 and dwa["sharing"])


async def test_a_reset_and_a_cleared_cache_reach_every_worker_of_a_machine_without_redis(tmp_path: Path) -> None:
    with (
        simulator.start(four()) as running,
        a_program(tmp_path, configuration(running, four()), "--workers", "3") as program,
    ):
        await asyncio.to_thread(program.start)

        async def everyone(path: str, told: Condition, *, times: int = 25) -> None:
            """Ask on so many new connections that every worker is met; go on until all say so."""
            async with asyncio.timeout(PATIENCE):
                while True:
                    seen: list[bool] = []
                    for _ in range(times):
                        async with callers() as session:
                            seen.append(bool(told(await look(session, program.url + path))))
                    if all(seen):
                        return

        await everyone("/api/health", lambda found: found["services"]["dwa"]["replicas"] == 3)
        async with callers(at_once=1) as session:
            for number in range(30):
                assert (await ask(session, program.url, f"{number}.")).good
            running.control("alfa", "down")
            while "alfa" not in (await look(session, f"{program.url}/api/health"))["services"]["dwa"]["excluded"]:
                assert (await ask(session, program.url, "again.")).good
            # One worker has seen it fail, by one connection.
            await everyone("/api/health", lambda found: "alfa" in found["services"]["dwa"]["excluded"])
            running.control("alfa")
            async with session.post(f"{program.url}/api/llm/dwa/reset") as answer:
                assert answer.status == 200
            await everyone("/api/health", lambda found: not found["services"]["dwa"]["excluded"])

        for _ in range(25):
            async with callers() as session:
                assert (await ask(session, program.url, "kept.", temperature=0)).good
        await everyone("/api/db/cache/stats", lambda found: found["entries"] == 1)
        async with callers() as session, session.delete(f"{program.url}/api/db/cache/clear") as answer:
            assert answer.status == 200
        await everyone("/api/db/cache/stats", lambda found: found["entries"] == 0)
