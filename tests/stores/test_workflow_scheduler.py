"""Schedules held by several processes over one database, at times that are handed in."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from store_faults import DAY
from workflow_world import no_archive

from gateway.errors import Conflict, Invalid, NotFound
from gateway.governance.keys import Principal
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.workflows import executions, schedules
from gateway.store.workflows.executions import Filters
from gateway.workflows.desk import Desk
from gateway.workflows.kept import Execution, Schedule, ScheduleChanges
from gateway.workflows.library import Library
from gateway.workflows.scheduler import Scheduler
from gateway.workflows.timetable import Timetable

ME, OTHER, ADMIN = Principal("app"), Principal("ops"), Principal("admin", admin=True)
DIGEST: dict[str, Any] = {
    "slug": "digest",
    "name": "Digest",
    "input_schema": {"type": "object", "required": ["topic"], "properties": {"topic": {"type": "string"}}},
    "nodes": {"say": {"type": "template", "template": "{{ input.topic }}"}},
}


class Office:
    """What one process has of workflows, but for an engine: what it queues is noted."""

    def __init__(self, database: Database, clock: Callable[[], float], seed: int = 1) -> None:
        rng = random.Random(seed)
        self.queued: list[str] = []
        self.database = database
        self.library = Library(database, wall=clock)
        self.desk = Desk(database, self.library, self._queue, no_archive(), wall=clock, rng=rng)
        self.table = Timetable(database, self.library, self.desk, wall=clock, rng=rng)
        self.scheduler = Scheduler(database, self.library, self.desk, wall=clock)

    async def make(self, **facts: Any) -> Schedule:
        values: dict[str, Any] = {
            "slug": "digest",
            "line": "*/10 * * * *",
            "zone": "UTC",
            "by": ME,
            "inputs": {"topic": "news"},
            "version": None,
            "misfire_grace_s": 300.0,
            "enabled": True,
        }
        return await self.table.make(**(values | facts))

    async def begun(self) -> list[Execution]:
        """All executions there are, oldest first."""
        return (await executions.listed(self.database, Filters(), limit=1_000)).items[::-1]

    async def _queue(self, execution_id: str, _attempt: int, _keys: list[str]) -> None:
        self.queued.append(execution_id)


class Clock:
    """Stands still unless it is set."""

    def __init__(self) -> None:
        self.now = DAY + 30.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def office(database: Database, clock: Clock) -> Office:
    found = Office(database, clock)
    await found.library.save(DIGEST, by="app")
    return found


async def test_a_time_that_has_come_begins_an_execution_of_who_made_it(office: Office, clock: Clock) -> None:
    made = await office.make(version=1)
    assert made.next_at == DAY + 600
    clock.now = DAY + 599
    assert 0.2 <= await office.scheduler.look() <= 1.0
    assert await office.begun() == []
    clock.now = DAY + 601
    assert await office.scheduler.look() == 5.0
    (one,) = await office.begun()
    assert (one.slug, one.version, one.key_name, one.nodes) == ("digest", 1, "app", 1)
    assert (await office.desk.get(one.id, ME)).inputs == {"topic": "news"}
    assert office.queued == [one.id]
    found = await office.table.get(made.id, ME)
    assert (found.next_at, found.last_at, found.last_execution_id, found.missed) == (DAY + 1_200, DAY + 601, one.id, 0)


async def test_after_a_suspend_the_last_time_runs_and_the_others_are_missed(office: Office, clock: Clock) -> None:
    made = await office.make()
    clock.now = DAY + 3_600 + 250
    await office.scheduler.look()
    found = await office.table.get(made.id, ME)
    assert len(await office.begun()) == 1
    assert (found.missed, found.next_at) == (5, DAY + 4_200)


async def test_what_is_too_late_is_missed(office: Office, clock: Clock) -> None:
    made = await office.make()
    clock.now = DAY + 600 + 300.5
    await office.scheduler.look()
    found = await office.table.get(made.id, ME)
    assert await office.begun() == []
    assert (found.missed, found.next_at, found.last_at) == (1, DAY + 1_200, None)


async def test_a_month_away_is_one_execution(office: Office, clock: Clock) -> None:
    made = await office.make(line="* * * * *")
    clock.now = DAY + 30 * 86_400 + 7
    await office.scheduler.look()
    found = await office.table.get(made.id, ME)
    assert len(await office.begun()) == 1
    assert (found.missed, found.next_at) == (10_079, DAY + 30 * 86_400 + 60)  # as many as are counted


async def test_summer_time_is_kept_by_the_zone_of_the_schedule(office: Office, clock: Clock) -> None:
    autumn = datetime.fromisoformat("2026-10-24T12:00+02:00").timestamp()
    clock.now = autumn
    made = await office.make(line="30 2 * * *", zone="Europe/Berlin")
    for hour in range(48):
        clock.now = autumn + hour * 3_600 + 1_800
        await office.scheduler.look()
    found = await office.table.get(made.id, ME)
    assert [one.created_at for one in await office.begun()] == [
        datetime.fromisoformat(text).timestamp() for text in ("2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00")
    ]
    assert found.missed == 0


async def test_no_time_is_held_twice_by_three_processes_of_which_one_dies(
    office: Office, clock: Clock, url: str
) -> None:
    others = [Office(Database(url), clock, seed) for seed in (2, 3)]
    crowd = [office, *others]
    made = [await office.make(line=line) for line in ("*/1 * * * *", "*/1 * * * *", "*/2 * * * *")]
    try:
        for minute in range(1, 21):
            clock.now = DAY + 60.0 * minute + 1
            looking = [asyncio.create_task(one.scheduler.look()) for one in crowd]
            if minute == 10:
                await asyncio.sleep(0.002)
                looking[1].cancel()  # amid whatever it does: it looks no more
                crowd.pop(1)
            await asyncio.gather(*looking, return_exceptions=True)
            await asyncio.gather(*(one.scheduler.look() for one in crowd))  # what the dead one held by halves
    finally:
        for one in others:
            await one.database.dispose()
    begun = await office.begun()
    assert len(begun) == len({one.id for one in begun}) == 20 + 20 + 10
    for schedule, count in zip(made, (20, 20, 10), strict=True):
        found = await office.table.get(schedule.id, ME)
        assert (found.missed, found.next_at) == (0, DAY + 60.0 * (21 if count == 20 else 22))


async def test_the_execution_of_a_time_has_the_same_name_in_every_process(office: Office, clock: Clock) -> None:
    made = await office.make()
    clock.now = DAY + 601
    await office.scheduler.look()
    # As if what a backup brought back had been held already.
    await schedules.change(office.database, made.id, ScheduleChanges(next_at=made.next_at))
    clock.now = DAY + 650
    await Office(office.database, clock, 9).scheduler.look()
    assert len(await office.begun()) == 1


async def test_a_workflow_that_is_gone_or_takes_the_inputs_no_more_misses_its_times(
    office: Office, clock: Clock
) -> None:
    pinned = await office.make(version=1)
    newest = await office.make()
    await office.library.save({**DIGEST, "input_schema": {"type": "object", "required": ["other"]}}, by="app")
    clock.now = DAY + 601
    await office.scheduler.look()
    assert [one.version for one in await office.begun()] == [1]
    await office.library.archive("digest", force=True)
    clock.now = DAY + 1_201
    await office.scheduler.look()
    assert len(await office.begun()) == 1
    assert (await office.table.get(pinned.id, ME)).missed == 1
    assert (await office.table.get(newest.id, ME)).missed == 2


async def test_a_pause_makes_up_for_nothing(office: Office, clock: Clock) -> None:
    made = await office.make()
    await office.table.change(made.id, ScheduleChanges(enabled=False), ME)
    assert office.table.upcoming(await office.table.get(made.id, ME)) == []
    clock.now = DAY + 3_000
    await office.scheduler.look()
    changed = await office.table.change(made.id, ScheduleChanges(enabled=True), ME)
    assert (changed.next_at, changed.missed) == (DAY + 3_600, 0)
    assert office.table.upcoming(changed)[:2] == [DAY + 3_600, DAY + 4_200]
    assert await office.begun() == []


async def test_a_change_of_the_line_or_the_zone_counts_from_now(office: Office, clock: Clock) -> None:
    made = await office.make(line="0 6 * * *")
    assert made.next_at == DAY + 6 * 3_600
    moved = await office.table.change(made.id, ScheduleChanges(timezone="Asia/Tokyo"), ME)
    assert moved.next_at == DAY + 21 * 3_600
    assert (await office.table.change(made.id, ScheduleChanges(cron="30 6 * * *"), ME)).next_at == DAY + 21.5 * 3_600
    clock.now = DAY + 7_200
    kept = await office.table.change(made.id, ScheduleChanges(misfire_grace_s=9.0), ME)
    assert (kept.next_at, kept.misfire_grace_s) == (DAY + 21.5 * 3_600, 9.0)


async def test_run_now_runs_besides(office: Office, clock: Clock) -> None:
    made = await office.make(enabled=False)
    one, two = [await office.table.run_now(made.id, ADMIN) for _ in range(2)]
    assert one.id != two.id
    assert {one.key_name, two.key_name} == {"app"}
    assert office.queued == [one.id, two.id]
    found = await office.table.get(made.id, ME)
    assert (found.last_execution_id, found.last_at, found.next_at) == (two.id, clock.now, made.next_at)


async def test_what_means_nothing_is_refused_all_at_once(office: Office) -> None:
    with pytest.raises(Invalid) as refused:
        await office.make(line="nonsense", zone="Europe/Atlantis")
    assert [one["path"] for one in refused.value.problems] == ["$.timezone", "$.cron"]
    with pytest.raises(Invalid) as refused:
        await office.make(inputs={})
    assert refused.value.param == "inputs"
    with pytest.raises(NotFound):
        await office.make(slug="nothing")
    with pytest.raises(NotFound):
        await office.make(version=7)
    made = await office.make()
    for bad in (
        ScheduleChanges(cron="61 * * * *"),
        ScheduleChanges(timezone="x"),
        ScheduleChanges(inputs={"topic": 1}),
    ):
        with pytest.raises(Invalid):
            await office.table.change(made.id, bad, ME)
    with pytest.raises(NotFound):
        await office.table.change(made.id, ScheduleChanges(version=2), ME)
    assert await office.table.get(made.id, ME) == made


async def test_a_schedule_is_there_for_its_owner_and_the_administrator(office: Office) -> None:
    made = [await office.make(), await office.make(by=OTHER)]
    for work in (
        office.table.get(made[0].id, OTHER),
        office.table.change(made[0].id, ScheduleChanges(enabled=False), OTHER),
        office.table.remove(made[0].id, OTHER),
        office.table.run_now(made[0].id, OTHER),
    ):
        with pytest.raises(NotFound):
            await work
    assert await office.table.listed(OTHER, slug=None, after=None, limit=9) == ([made[1]], None)
    page, following = await office.table.listed(ADMIN, slug="digest", after=None, limit=1)
    rest = await office.table.listed(ADMIN, slug="digest", after=following, limit=1)
    assert {one.id for one in (*page, *rest[0])} == {one.id for one in made}
    assert rest[1] is None
    await office.table.remove(made[0].id, ADMIN)
    with pytest.raises(NotFound):
        await office.table.get(made[0].id, ME)


async def test_a_defect_with_one_schedule_keeps_no_other_from_being_held(office: Office, clock: Clock) -> None:
    broken = await office.make()
    fine = await office.make()
    await schedules.change(office.database, broken.id, ScheduleChanges(cron="nonsense"))
    clock.now = DAY + 601
    await office.scheduler.look()
    assert (await office.table.get(fine.id, ME)).last_execution_id == office.queued[0]
    assert len(await office.begun()) == 1


@pytest.mark.parametrize("what", [StoreUnavailable("away"), ZeroDivisionError("a defect")], ids=repr)
async def test_a_look_that_fails_is_not_the_last(
    office: Office, clock: Clock, monkeypatch: pytest.MonkeyPatch, what: Exception
) -> None:
    looks: list[float] = []

    async def away(_database: Database, **_facts: Any) -> list[Schedule]:
        looks.append(clock.now)
        raise what

    async def no_time(_seconds: float) -> None:
        if len(looks) == 3:
            raise Conflict("enough")

    monkeypatch.setattr(schedules, "due", away)
    monkeypatch.setattr(asyncio, "sleep", no_time)
    with pytest.raises(Conflict, match="enough"):
        await office.scheduler.run()
