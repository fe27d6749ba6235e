"""Several gateways in front of the same providers: what one finds out all know, over Redis and among workers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from providers import simulator
from providers.simulator import Knee, Lengths, Model, Provider, Simulation, Speed
from tests.acceptance.bad_days import MODEL, PATIENCE, Crowd, a_crowd, ask, callers, eventually, four, look, until_seen
from tests.acceptance.bad_fleets import Condition, Fleet, a_fleet
from tests.acceptance.bad_processes import a_program, configuration
from tests.stores.cache.cache_world import Server

EIGHT = 8
#: Requests in flight that the second best takes.
ROOM = 10


def best_second_third() -> Simulation:
    """Alike but in speed; the second best serves ROOM at a time, and all the worse the more come."""
    speeds = {"alfa": 0.1, "bravo": 0.3, "charlie": 0.45}
    return Simulation(
        providers=tuple(
            Provider(
                name=name,
                dialect="openai",
                models=(
                    Model(
                        name=MODEL, speed=Speed(first_token_s=seconds, sigma=0.15), lengths=Lengths(median_tokens=16)
                    ),
                ),
                knee=Knee(in_flight=ROOM, slowdown=0.2) if name == "bravo" else None,
            )
            for name, seconds in speeds.items()
        )
    )


async def most_in_flight(fleet: Fleet, provider: str, crowd: Crowd, requests: int) -> int:
    """At a provider, while that many requests come."""
    last, most = crowd.asked + requests, 0
    while crowd.asked < last:
        most = max(most, fleet.running.state()[provider]["counters"]["in_flight"])
        await asyncio.sleep(0.005)
    return most


async def acquainted(fleet: Fleet) -> None:
    """Everybody has asked everyone, as a fleet has that is at work: whole answers and streams."""
    for url in fleet.urls:
        for stream in (False, True):
            names = [provider.name for provider in best_second_third().providers]
            asked = (ask(fleet.session, url, "Hello.", model=f"{name}/{MODEL}", stream=stream) for name in names)
            assert all(one.good for one in await asyncio.gather(*asked))


async def left_for_good(fleet: Fleet, crowd: Crowd, noticed: float) -> None:
    """Whoever comes from now on meets the broken one only as a probe. Prints how long it took to get so far."""
    last = crowd.asked
    await crowd.more(90)
    later = [one for one in crowd.answers if one.number > last]
    assert len(later) > 30
    assert all(one.provider != "alfa" for one in later)
    assert all(one.attempts == 1 for one in later if one.reason != "half_open_probe")
    tried = await fleet.tried("alfa", noticed, {one.id for one in later})
    vain = [at - noticed for at, reason in tried if reason != "half_open_probe"]
    print(
        f"left by all {max(vain, default=0.0):.2f} s after the first had noticed; {len(vain)} more went there in vain"
    )


async def only_the_first_is_asked(fleet: Fleet, crowd: Crowd) -> None:
    """From now on, the others having answered what they were asked."""
    last, crowd.urls = crowd.asked, fleet.urls[:1]
    await eventually(lambda: sum(one.number <= last for one in crowd.answers) == last)


async def test_eight_gateways_leave_together_without_a_stampede_and_outlive_their_redis(
    redis: Server, tmp_path: Path
) -> None:
    async with a_fleet(tmp_path, EIGHT, redis, best_second_third()) as fleet:
        await fleet.health(lambda dwa: dwa["replicas"] == EIGHT and dwa["sharing"])
        await acquainted(fleet)
        async with a_crowd(*fleet.urls, pace=60, at_most=20_000) as crowd:
            await eventually(lambda: sum(one.provider == "alfa" for one in crowd.answers[-100:]) > 90)
            # Each of the eight would have room at the second best for all that it has to send; together they have not.
            noticed, most = await asyncio.gather(fleet.leave("alfa"), most_in_flight(fleet, "bravo", crowd, 100))
            print(f"{most} in flight at the second best, which takes {ROOM}")
            assert 0 < most <= 2 * ROOM
            await left_for_good(fleet, crowd, noticed)
            fleet.running.control("alfa")
            await fleet.health(lambda dwa: "alfa" in dwa["active_providers"])

            redis.kill()
            await fleet.health(lambda dwa: dwa["replicas"] == 1 and not dwa["sharing"] and dwa["status"] == "degraded")
            await crowd.more(100)
            # Alone they find out alone.
            await only_the_first_is_asked(fleet, crowd)
            fleet.running.control("alfa", "down")
            first, *others = [f"{url}/api/health" for url in fleet.urls]
            await until_seen(fleet.session, first, lambda found: "alfa" in found["services"]["dwa"]["excluded"])
            for page in others:
                assert "alfa" not in (await look(fleet.session, page))["services"]["dwa"]["excluded"]
            redis.start()
            await fleet.health(lambda dwa: dwa["replicas"] == EIGHT and dwa["sharing"] and "alfa" in dwa["excluded"])
            fleet.running.control("alfa")
            await fleet.health(lambda dwa: "alfa" in dwa["active_providers"])

            # The seven, whom nobody asks, know by being told.
            noticed = await fleet.leave("alfa")
            await left_for_good(fleet, crowd, noticed)
            for url in fleet.urls[1:]:
                one = await ask(fleet.session, url, "after.")
                assert one.good
                assert one.provider != "alfa"
                page = f"{url}/api/db/requests/{one.id}"
                assert one.attempts == 1 or one.reason == "half_open_probe", await look(fleet.session, page)
        assert not crowd.bad


async def test_who_was_never_asked_knows_the_favourite_all_the_same(redis: Server, tmp_path: Path) -> None:
    def knows(found: Any) -> bool:
        return any(
            row["provider"] == "alfa" and row["requests"] == 0 and row["weight"] > 0.5 for row in found["deployments"]
        )

    async with a_fleet(tmp_path, 3, redis, four()) as fleet:
        await fleet.health(lambda dwa: dwa["replicas"] == 3)
        first, *others = fleet.urls
        async with a_crowd(first, pace=30) as crowd:
            await eventually(lambda: sum(one.provider == "alfa" for one in crowd.answers) >= 20)
            for url in others:
                await until_seen(fleet.session, f"{url}/api/llm/dwa/stats", knows)
        assert not crowd.bad


async def test_a_gateway_that_leaves_is_missed_at_once_and_one_that_is_killed_soon(
    redis: Server, tmp_path: Path
) -> None:
    async with a_fleet(tmp_path, 3, redis, four()) as fleet:
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
