"""Workflows by the clock, and the processes that run them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import UNSET
from sqlalchemy import update
from store_faults import DAY
from workflow_world import execution

from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.workflow_tables import executors as table
from gateway.store.workflows import executions, executors, schedules
from gateway.store.workflows.executions import Filters
from gateway.store.workflows.translating import moment
from gateway.workflows.kept import Schedule, ScheduleChanges


def schedule(number: int = 1, **facts: Any) -> Schedule:
    values: dict[str, Any] = {
        "id": f"sched_{number}",
        "slug": "digest",
        "cron": "0 6 * * *",
        "timezone": "Europe/Berlin",
        "inputs": {"a": [1]},
        "misfire_grace_s": 60.0,
        "next_at": DAY + 100,
        "created_at": DAY,
        "created_by": "app",
    }
    return Schedule(**(values | facts))


async def test_a_schedule_comes_back_as_it_was_kept_and_changed(database: Database) -> None:
    await schedules.put(database, schedule(version=2))
    assert await schedules.get(database, "sched_1") == schedule(version=2)
    changed = await schedules.change(
        database, "sched_1", ScheduleChanges(version=None, cron="* * * * *", enabled=False, inputs=None, next_at=None)
    )
    assert changed == schedule(cron="* * * * *", enabled=False, inputs=None, next_at=None)
    assert await schedules.get(database, "sched_1") == changed
    assert await schedules.change(database, "sched_1", ScheduleChanges(version=UNSET)) == changed
    assert await schedules.change(database, "sched_9", ScheduleChanges(enabled=True)) is None
    assert await schedules.remove(database, "sched_1")
    assert not await schedules.remove(database, "sched_1")
    assert await schedules.get(database, "sched_1") is None


async def test_schedules_are_listed_newest_first(database: Database) -> None:
    for number in range(4):
        await schedules.put(database, schedule(number, slug="ab"[number % 2]))
    assert [one.id for one in await schedules.listed(database, limit=3)] == ["sched_3", "sched_2", "sched_1"]
    assert [one.id for one in await schedules.listed(database, slug="a", after="sched_2")] == ["sched_0"]


async def test_schedules_are_listed_by_who_made_them(database: Database) -> None:
    for number in range(4):
        await schedules.put(database, schedule(number, created_by=["app", "ops"][number % 2]))
    assert [one.id for one in await schedules.listed(database, created_by="ops")] == ["sched_3", "sched_1"]
    assert await schedules.listed(database, created_by="nobody") == []


async def test_due_is_what_is_enabled_and_whose_time_has_come(database: Database) -> None:
    await schedules.put(database, schedule(1, next_at=DAY + 30))
    await schedules.put(database, schedule(2, next_at=DAY + 20))
    await schedules.put(database, schedule(3, next_at=DAY + 31))
    await schedules.put(database, schedule(4, next_at=None))
    await schedules.put(database, schedule(5, next_at=DAY + 10, enabled=False))
    assert [one.id for one in await schedules.due(database, now=DAY + 30)] == ["sched_2", "sched_1"]
    assert [one.id for one in await schedules.due(database, now=DAY + 30, limit=1)] == ["sched_2"]


async def test_each_time_is_held_once_with_its_execution(database: Database) -> None:
    await schedules.put(database, schedule())
    seen = [(await schedules.due(database, now=DAY + 100))[0] for _ in range(5)]
    held = await asyncio.gather(
        *(
            schedules.advance(database, one, next_at=DAY + 200, now=DAY + 101, execution=execution(number))
            for number, one in enumerate(seen)
        )
    )
    assert sorted(held) == [False, False, False, False, True]
    (one,) = (await executions.listed(database, Filters())).items
    found = await schedules.get(database, "sched_1")
    assert found == schedule(next_at=DAY + 200, last_at=DAY + 101, last_execution_id=one.id)
    assert one.id == execution(held.index(True)).id
    assert await schedules.due(database, now=DAY + 150) == []


async def test_a_time_that_was_missed_is_counted_and_runs_nothing(database: Database) -> None:
    await schedules.put(database, schedule())
    assert await schedules.advance(database, schedule(), next_at=None, now=DAY + 900, missed=3)
    assert not await schedules.advance(database, schedule(next_at=None), next_at=DAY + 1_000, now=DAY + 900)
    assert await schedules.get(database, "sched_1") == schedule(next_at=None, missed=3)
    assert (await executions.listed(database, Filters())).items == []


async def test_a_schedule_that_was_paused_or_moved_since_is_not_held(database: Database) -> None:
    await schedules.put(database, schedule(1))
    await schedules.put(database, schedule(2))
    await schedules.change(database, "sched_1", ScheduleChanges(enabled=False))
    await schedules.change(database, "sched_2", ScheduleChanges(next_at=DAY + 500))
    for number in (1, 2):
        assert not await schedules.advance(
            database, schedule(number), next_at=DAY + 200, now=DAY + 100, execution=execution(number)
        )
    assert (await executions.listed(database, Filters())).items == []


async def beat(database: Database, *names: str, age: float = 0.0) -> None:
    """Beats of these processes, that old."""
    for name in names:
        await executors.beat(database, name, host="h", pid=7)
        if age:
            async with database.write() as connection:
                (one,) = [one for one in await executors.listed(database) if one.id == name]
                moved = update(table).where(table.c.id == name).values(beat_at=moment(one.beat_at - age))
                await connection.execute(moved)


async def test_who_does_not_beat_is_dead_and_told_of_once(database: Database) -> None:
    await beat(database, "a", "b", age=31)
    await beat(database, "c", age=20)
    await beat(database, "d")
    told = await asyncio.gather(*(executors.dead(database, 30) for _ in range(3)))
    assert sorted(name for found in told for name in found) == ["a", "b"]
    assert await executors.dead(database, 30) == []
    await executors.remove(database, ["a", "b", "d"])
    assert sorted(one.id for one in await executors.listed(database)) == ["c", "d"]


async def test_a_dead_process_is_told_of_again_when_its_heir_is_silent(database: Database) -> None:
    await beat(database, "a", age=31)
    assert await executors.dead(database, 30) == ["a"]
    async with database.write() as connection:
        (one,) = await executors.listed(database)
        await connection.execute(update(table).values(claimed_at=moment(one.beat_at)))
    assert await executors.dead(database, 30) == ["a"]


async def test_a_process_that_beats_again_is_alive(database: Database) -> None:
    await beat(database, "a", age=31)
    started = (await executors.listed(database))[0].started_at
    assert await executors.dead(database, 30) == ["a"]
    await beat(database, "a")
    await executors.remove(database, ["a"])
    (one,) = await executors.listed(database)
    assert (one.id, one.host, one.pid, one.started_at) == ("a", "h", 7, started)
    assert one.beat_at >= started
    assert await executors.dead(database, 30) == []


async def test_nobody_declares_itself_dead_and_who_leaves_is_dead_at_once(database: Database) -> None:
    await beat(database, "me", age=31)
    await beat(database, "other")
    assert await executors.dead(database, 30, me="me") == []
    await executors.leave(database, "other")
    assert await executors.dead(database, 30, me="me") == ["other"]


async def test_a_database_that_is_away_says_so(tmp_path: Any) -> None:
    empty = Database(f"sqlite+aiosqlite:///{tmp_path}/none.db")
    for work in (
        schedules.put(empty, schedule()),
        schedules.due(empty, now=DAY),
        schedules.advance(empty, schedule(), next_at=None, now=DAY),
        executors.beat(empty, "a", host="h", pid=1),
        executors.dead(empty, 30),
        executors.leave(empty, "a"),
    ):
        with pytest.raises(StoreUnavailable):
            await work
    await empty.dispose()
