"""An execution and its place in the engine's queue: on PostgreSQL there is not one without the other."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from store_faults import DAY
from workflow_world import no_archive

from gateway.governance.keys import Principal
from gateway.store import migrate
from gateway.store.beside import engine_url
from gateway.store.engine import Database
from gateway.store.workflows import executions, schedules
from gateway.workflows.attempt import Around
from gateway.workflows.desk import Desk
from gateway.workflows.engine import Client, Engine
from gateway.workflows.kept import Execution, Schedule
from gateway.workflows.library import Library
from gateway.workflows.scheduler import Scheduler

Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
ME = Principal(name="app", admin=False)


class Crash(BaseException):
    """As a kill: nobody cleans up."""


class Front:
    """A process that takes executions, and queues none that it has kept: only what is enlisted is queued."""

    def __init__(self, url: str) -> None:
        self.database = Database(url)
        self.client = Client(engine_url(url))
        self.queued: list[str] = []
        wall = lambda: DAY  # noqa: E731 - said where it is needed
        rng = random.Random()
        self.library = Library(self.database, wall=wall)
        self.desk = Desk(
            self.database, self.library, self._queue, no_archive(), wall=wall, rng=rng, enlist=self.client.enlist
        )
        self.scheduler = Scheduler(self.database, self.library, self.desk, wall=wall)

    async def _queue(self, execution_id: str, _attempt: int, _keys: list[str]) -> None:
        self.queued.append(execution_id)

    async def save(self) -> None:
        nodes = {key: {"type": "template", "template": key} for key in ("a", "b")}
        await self.library.save({"slug": "s", "name": "s", "nodes": nodes}, by="app")


@asynccontextmanager
async def a_front(url: str) -> AsyncGenerator[Front]:
    front = Front(url)
    try:
        await front.save()
        yield front
    finally:
        await front.client.stop()
        await front.database.dispose()


@asynccontextmanager
async def an_engine(url: str) -> AsyncGenerator[list[tuple[str, int, list[str]]]]:
    """What it runs."""
    ran: list[tuple[str, int, list[str]]] = []

    async def run(execution_id: str, attempt: int, around: Around) -> None:
        done: list[str] = []
        for key in ("a", "b"):

            async def body(key: str = key) -> None:
                done.append(key)

            await around(key, body)
        ran.append((execution_id, attempt, done))

    engine = Engine(engine_url(url), executor_id="me", concurrency=4, runner=run)
    await engine.launch()
    try:
        yield ran
    finally:
        await engine.stop()


async def test_what_is_kept_is_queued_with_it_and_by_nothing_else(postgres_url: str, eventually: Eventually) -> None:
    async with an_engine(postgres_url) as ran, a_front(postgres_url) as front:
        begun = await front.desk.begin("s", {}, ME, idempotency_key="once")
        await eventually(lambda: ran)
        assert ran == [(begun.id, 1, ["a", "b"])]
        assert front.queued == []  # nobody need live on to queue it
        assert (await front.desk.begin("s", {}, ME, idempotency_key="once")).id == begun.id
        assert len(ran) == 1


async def test_what_is_not_kept_is_not_queued(postgres_url: str, eventually: Eventually) -> None:
    async with an_engine(postgres_url) as ran, a_front(postgres_url) as front:
        await front.desk.begin("s", {}, ME)
        await eventually(lambda: ran)

        async def enlisted_then_dead(connection: Any, *which: Any) -> bool:
            assert await front.client.enlist(connection, *which)
            raise Crash

        front.desk._enlist = enlisted_then_dead
        with pytest.raises(Crash):
            await front.desk.begin("s", {}, ME, idempotency_key="lost")
        front.desk._enlist = front.client.enlist
        page = await executions.listed(front.database, executions.Filters())
        assert len(page.items) == 1
        again = await front.desk.begin("s", {}, ME, idempotency_key="lost")
        await eventually(lambda: len(ran) == 2)
        # Queued in their order: had the lost one been, it would be here.
        assert ran[1][0] == again.id


async def test_a_schedule_and_its_execution_and_its_place_are_one(postgres_url: str, eventually: Eventually) -> None:
    async with an_engine(postgres_url) as ran, a_front(postgres_url) as front:
        seen = Schedule(
            id="sch_1", slug="s", cron="* * * * *", timezone="UTC", inputs={}, misfire_grace_s=60.0, next_at=DAY,
            created_at=DAY, created_by="app",
        )  # fmt: skip
        await schedules.put(front.database, seen)

        async def dead(execution: Execution) -> None:
            raise Crash

        front.desk.enqueue = dead
        with pytest.raises(Crash):
            await front.scheduler.hold(seen, DAY)
        await eventually(lambda: ran)
        held = await schedules.get(front.database, "sch_1")
        assert held is not None
        assert (ran[0][0], held.next_at) == (held.last_execution_id, DAY + 60)


async def test_where_no_engine_has_ever_been_it_is_kept_and_queued_later(
    empty_postgres_url: str, eventually: Eventually
) -> None:
    await migrate.upgrade(empty_postgres_url)
    async with a_front(empty_postgres_url) as front:
        begun = await front.desk.begin("s", {}, ME)
        assert front.queued == [begun.id]  # as ever: which may fail, too
        found = await executions.get(front.database, begun.id)
        assert found is not None
        assert found.status == "pending"
        async with an_engine(empty_postgres_url) as ran:
            other = await front.desk.begin("s", {}, ME)
            await eventually(lambda: ran)
            assert [one[0] for one in ran] == [other.id]
            assert await front.desk.queue_stale(DAY + 60) == 2  # which is a keeper's to do
            assert sorted(front.queued[1:]) == sorted([begun.id, other.id])
