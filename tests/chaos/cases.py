"""What befalls the gateway, and how it ends: one entry per row of the table."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import psutil

from tests.chaos.world import Layout, World

Step = Callable[[World], Awaitable[None]]
Sign = Callable[[World], Awaitable[object]]
#: What most cases befall; it keeps its log for thirty days, as no clock must make it forget.
_USUAL = Layout(wayward=True, environ={"STEELYARD_LOG_RETENTION_DAYS": "30"})
_SQLITE = Layout(database="sqlite", redis=False)
#: Seconds by which the clock jumps: a few hours as a wrong time zone would, and more than the log is kept.
_HOURS, _YEAR = 3 * 3600.0, 400 * 86_400.0


@dataclass(frozen=True)
class Case:
    """One case. `sign` is how it shows that it is happening; `unanswered`, why some callers may be cut off."""

    name: str
    befall: Step
    mend: Step
    sign: Sign
    layout: Layout = _USUAL
    unanswered: str = ""
    seconds: float = 3.0


# Redis


async def _redis_dies(world: World) -> None:
    assert world.redis is not None
    world.redis.kill()


async def _redis_returns(world: World) -> None:
    assert world.redis is not None
    await asyncio.to_thread(world.redis.start)


async def _redis_freezes(world: World) -> None:
    assert world.redis is not None
    world.redis.freeze()


async def _redis_thaws(world: World) -> None:
    assert world.redis is not None
    world.redis.thaw()


def _redis_slows(seconds: float) -> Step:
    async def slow(world: World) -> None:
        assert world.to_redis is not None
        world.to_redis.delay = seconds

    return slow


async def _redis_flaps(world: World) -> None:
    assert world.to_redis is not None
    world.to_redis.come_and_go()


async def _redis_line_is_mended(world: World) -> None:
    assert world.to_redis is not None
    await world.to_redis.mend()


def _redis_is_told(*words: str) -> Step:
    async def tell(world: World) -> None:
        assert world.redis is not None
        assert world.redis.ask(*words).startswith(b"+OK")

    return tell


# PostgreSQL


async def _postgres_dies(world: World) -> None:
    assert world.postgres is not None
    await asyncio.to_thread(world.postgres.kill)


async def _postgres_returns(world: World) -> None:
    assert world.postgres is not None
    await asyncio.to_thread(world.postgres.start)


async def _postgres_freezes(world: World) -> None:
    assert world.postgres is not None
    world.postgres.freeze()


async def _postgres_thaws(world: World) -> None:
    assert world.postgres is not None
    world.postgres.thaw()


def _postgres_slows(seconds: float) -> Step:
    async def slow(world: World) -> None:
        assert world.to_postgres is not None
        world.to_postgres.delay = seconds

    return slow


async def _postgres_flaps(world: World) -> None:
    assert world.to_postgres is not None
    world.to_postgres.come_and_go()


async def _postgres_line_is_mended(world: World) -> None:
    assert world.to_postgres is not None
    await world.to_postgres.mend()


def _postgres_read_only(word: str) -> Step:
    async def tell(world: World) -> None:
        assert world.postgres is not None
        say = f"ALTER SYSTEM SET default_transaction_read_only = {word}"
        # Of an operator's own session, else it could not be undone.
        await world.postgres.execute("SET default_transaction_read_only = off", say, "SELECT pg_reload_conf()")

    return tell


async def _somebody_locks_the_log(world: World) -> None:
    assert world.postgres is not None
    other = await world.postgres.connect(world.url)
    await other.execute("BEGIN; LOCK TABLE exchanges IN ACCESS EXCLUSIVE MODE")
    world.kept.append(other)


async def _and_lets_go(world: World) -> None:
    await world.kept.pop().close()


async def _both_die(world: World) -> None:
    await _redis_dies(world)
    await _postgres_dies(world)


async def _both_return(world: World) -> None:
    await _redis_returns(world)
    await _postgres_returns(world)


# Disks


async def _disk_fills(world: World) -> None:
    assert world.disk is not None
    await asyncio.to_thread(world.disk.fill)


async def _disk_has_room(world: World) -> None:
    assert world.disk is not None
    world.disk.empty()
    if world.postgres is not None:
        # What ran out of room for its own log has stopped, and is started again by whoever looks after it.
        await asyncio.to_thread(world.postgres.start)


async def _somebody_locks_the_file(world: World) -> None:
    other = sqlite3.connect(world.url.partition(":///")[2], isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    world.kept.append(other)


async def _and_closes_it(world: World) -> None:
    world.kept.pop().close()


# The gateway itself


async def _it_is_killed(world: World) -> None:
    await asyncio.to_thread(world.program.kill)


async def _it_is_started(world: World) -> None:
    await asyncio.to_thread(world.program.start)


async def _a_worker_is_killed(world: World) -> None:
    world.program.workers()[0].kill()


async def _a_worker_freezes(world: World) -> None:
    worker = world.program.workers()[0]
    world.kept.append(worker)
    worker.send_signal(signal.SIGSTOP)


async def _and_thaws(world: World) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        world.kept.pop().send_signal(signal.SIGCONT)


async def _nothing(world: World) -> None:
    """It mends itself."""


# Clocks and names


def _clock(ahead: float) -> Step:
    async def jump(world: World) -> None:
        world.set_clock(ahead)

    return jump


async def _it_starts_in_another_year(world: World) -> None:
    world.set_clock(_YEAR)
    await _it_is_renewed(world)


async def _the_year_is_right_again(world: World) -> None:
    world.set_clock(0.0)
    await _it_is_renewed(world)


async def _it_is_renewed(world: World) -> None:
    world.program.terminate()
    await world.program.ended()
    await asyncio.to_thread(world.program.start)


def _names(manner: str) -> Step:
    async def befall(world: World) -> None:
        assert world.to_provider is not None
        world.set_names(manner)
        world.kept.append(asyncio.create_task(_keep_shedding(world.to_provider)))

    return befall


async def _keep_shedding(line: Any) -> None:
    """Connections that are kept alive need no name: lose them, so that there is something to look up."""
    while True:
        line.shed()
        await asyncio.sleep(0.2)


async def _names_are_well(world: World) -> None:
    world.set_names("well")
    shedding = world.kept.pop()
    shedding.cancel()
    await asyncio.wait([shedding])


# How it shows


def _degraded(service: str) -> Sign:
    async def look(world: World) -> bool:
        return (await world.health()).get(service, {}).get("status") == "degraded"

    return look


def _last_error(service: str, words: str) -> Sign:
    async def look(world: World) -> bool:
        return words in str((await world.health()).get(service, {}).get("last_error"))

    return look


async def _log_is_away(world: World) -> bool:
    return (await world.health())["log"]["database"] == "away"


async def _rows_wait_in_memory(world: World) -> bool:
    return (await world.health())["log"]["queue"] > 50


async def _redis_is_late(world: World) -> bool:
    return world.to_redis is not None and world.to_redis.delayed > 0


async def _postgres_is_late(world: World) -> bool:
    return world.to_postgres is not None and world.to_postgres.delayed > 0


async def _it_says_nothing(world: World) -> bool:
    return not await world.health()


async def _a_worker_has_died(world: World) -> object:
    return world.program.told("a worker died and is replaced")


async def _a_worker_stands_still(world: World) -> bool:
    return world.kept[-1].status() == psutil.STATUS_STOPPED


def _is_ahead(seconds: float) -> Sign:
    async def look(world: World) -> bool:
        return abs(await world.clock() - time.time() - seconds) < 60

    return look


async def _names_were_looked_up(world: World) -> object:
    return world.befallen()


_SMALL_SPILL = Layout(environ={"STEELYARD_LOG_SPILL_MAX": "64KiB"})
_ONE_DISK = Layout(database="sqlite", redis=False, disk=16, spill_on_disk=True)
_RESTARTS = "whoever comes while it is started again"
CASES = (
    Case("Redis is killed, and started again", _redis_dies, _redis_returns, _degraded("cache")),
    Case("Redis is frozen (SIGSTOP)", _redis_freezes, _redis_thaws, _degraded("cache")),
    Case("Redis takes 0.2 s for everything", _redis_slows(0.1), _redis_line_is_mended, _redis_is_late),
    Case("Redis takes 1 s for everything", _redis_slows(0.5), _redis_line_is_mended, _degraded("cache")),
    Case("Redis comes and goes once a second", _redis_flaps, _redis_line_is_mended, _degraded("cache")),
    Case(
        "Redis is read-only (a replica)",
        _redis_is_told("REPLICAOF", "127.0.0.1", "1"),
        _redis_is_told("REPLICAOF", "NO", "ONE"),
        _last_error("cache", "ReadOnly"),
    ),
    Case(
        "Redis has no memory left",
        _redis_is_told("CONFIG", "SET", "maxmemory", "1"),
        _redis_is_told("CONFIG", "SET", "maxmemory", "0"),
        _last_error("cache", "OutOfMemory"),
    ),
    Case("PostgreSQL is killed, and started again", _postgres_dies, _postgres_returns, _log_is_away),
    Case("PostgreSQL is frozen (SIGSTOP)", _postgres_freezes, _postgres_thaws, _log_is_away),
    Case("PostgreSQL takes 0.2 s for everything", _postgres_slows(0.1), _postgres_line_is_mended, _postgres_is_late),
    Case("PostgreSQL takes 2 s for everything", _postgres_slows(1.0), _postgres_line_is_mended, _log_is_away),
    Case("PostgreSQL comes and goes once a second", _postgres_flaps, _postgres_line_is_mended, _log_is_away),
    Case("PostgreSQL is read-only", _postgres_read_only("on"), _postgres_read_only("off"), _log_is_away),
    Case("the log's table is locked by somebody", _somebody_locks_the_log, _and_lets_go, _log_is_away),
    Case("Redis and PostgreSQL are killed together", _both_die, _both_return, _log_is_away),
    Case("one provider's name is not resolved", _names("fail alfa"), _names_are_well, _names_were_looked_up),
    Case("no provider's name is resolved", _names("fail"), _names_are_well, _names_were_looked_up),
    Case("the resolver hangs", _names("hang"), _names_are_well, _names_were_looked_up),
    Case("the clock jumps three hours ahead, and back", _clock(_HOURS), _clock(0.0), _is_ahead(_HOURS)),
    Case("the clock jumps three hours back, and on again", _clock(-_HOURS), _clock(0.0), _is_ahead(-_HOURS)),
    Case(
        "the gateway starts with its clock 400 days ahead, and 30 days of retention",
        _it_starts_in_another_year,
        _the_year_is_right_again,
        _is_ahead(_YEAR),
        unanswered=_RESTARTS,
        seconds=2.0,
    ),
    Case(
        "the gateway is killed (kill -9), and started again",
        _it_is_killed,
        _it_is_started,
        _it_says_nothing,
        unanswered=_RESTARTS,
        seconds=1.0,
    ),
    Case(
        "one of two workers is frozen (SIGSTOP)",
        _a_worker_freezes,
        _and_thaws,
        _a_worker_stands_still,
        Layout(workers=2),
    ),
    Case(
        "one of two workers is killed (kill -9)",
        _a_worker_is_killed,
        _nothing,
        _a_worker_has_died,
        Layout(workers=2),
        "whom that worker was answering",
        1.0,
    ),
    Case(
        "PostgreSQL is killed, and the spill is full",
        _postgres_dies,
        _postgres_returns,
        _rows_wait_in_memory,
        _SMALL_SPILL,
    ),
    Case("PostgreSQL's disk is full", _disk_fills, _disk_has_room, _log_is_away, Layout(disk=160)),
    Case("SQLite's file is locked by somebody", _somebody_locks_the_file, _and_closes_it, _log_is_away, _SQLITE),
    Case(
        "SQLite's disk is full, and the spill is elsewhere",
        _disk_fills,
        _disk_has_room,
        _log_is_away,
        Layout(database="sqlite", redis=False, disk=16),
    ),
    Case(
        "the only disk is full: SQLite's and the spill's", _disk_fills, _disk_has_room, _rows_wait_in_memory, _ONE_DISK
    ),
)
