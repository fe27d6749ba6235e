"""The bell: who waits for what befalls an execution is woken at once, in whichever process, and misses nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from store_faults import DAY, Proxy
from workflow_world import done, execution, no_archive, running, step

from gateway.governance.keys import Principal
from gateway.store import line
from gateway.store.engine import Database
from gateway.store.workflows import attempts, events, executions, steps, stopping
from gateway.workflows import bell as bells
from gateway.workflows.bell import Bell
from gateway.workflows.desk import Desk
from gateway.workflows.ears import Ear
from gateway.workflows.library import Library

Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
NEVER = 3_600.0
#: Longest that a test waits for what comes at once.
SOON = 20.0
ONE, OTHER = "wfexec_0001", "wfexec_0002"
ME = Principal(name="app", admin=False)


@pytest.fixture
def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by himself, but the first time: what is heard was said."""
    monkeypatch.setattr(bells, "LOOK_DEAF", NEVER)
    monkeypatch.setattr(bells, "_LOOK_HEARING", NEVER)


@asynccontextmanager
async def a_process(url: str, number: int = 1) -> AsyncGenerator[tuple[Database, Bell]]:
    """What a process has: a database, and a bell that is run."""
    database = Database(url)
    bell = Bell(database, rng=random.Random(number))
    task = asyncio.create_task(bell.run())
    try:
        yield database, bell
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await database.dispose()


async def settled(ear: Ear, bell: Bell) -> None:
    """After the look that every new ear is due."""
    await asyncio.wait_for(ear.wait(), SOON)
    assert not ear.rung.is_set()


async def each_hears_the_other(*bells_: Bell) -> None:
    async with asyncio.timeout(SOON):
        while not all(one.hearing and one._others for one in bells_):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("no_looks")
async def test_what_a_process_keeps_is_heard_in_it_at_once(url: str, eventually: Eventually) -> None:
    async with a_process(url) as (database, bell):
        # A line that opens later has its process look once more, and ring for whatever it finds.
        await eventually(lambda: bell.hearing or database.dialect == "sqlite")
        with (
            bell.ears.listening(ONE, "event") as anything,
            bell.ears.listening(ONE, "wish") as wish,
            bell.ears.listening(ONE, "end") as end,
            bell.ears.listening(OTHER, "event") as other,
        ):
            for ear in (anything, wish, end, other):
                await settled(ear, bell)
            fence = await running(database)
            assert (anything.rung.is_set(), wish.rung.is_set(), end.rung.is_set()) == (True, True, False)
            assert await anything.wait(0)
            assert await wish.wait(0)
            await steps.put(database, fence, step(), "step.started", now=DAY)
            assert (anything.rung.is_set(), wish.rung.is_set(), end.rung.is_set()) == (True, False, False)
            await stopping.request_cancel(database, ONE, now=DAY)
            assert (wish.rung.is_set(), end.rung.is_set()) == (True, False)
            await attempts.end(database, fence, "cancelled", now=DAY)
            assert end.rung.is_set()
            assert not other.rung.is_set()


@pytest.mark.usefixtures("no_looks")
async def test_what_was_taken_back_is_not_told(url: str) -> None:
    async with a_process(url) as (database, bell):
        fence = await running(database)
        await steps.put(database, fence, done(), "step.succeeded", now=DAY)
        with bell.ears.listening(ONE, "event") as ear:
            await settled(ear, bell)
            # It had succeeded already; and there is no such step to stop.
            assert not await steps.put(database, fence, done(), "step.succeeded", now=DAY)
            assert await stopping.request_step_cancel(database, "stepexec_0001_draft_0", now=DAY) is None
            assert not ear.rung.is_set()


@pytest.mark.usefixtures("no_looks")
async def test_other_processes_hear_over_postgresql(postgres_url: str) -> None:
    async with a_process(postgres_url, 1) as (database, one), a_process(postgres_url, 2) as (_, two):
        await each_hears_the_other(one, two)
        with two.ears.listening(ONE, "event") as anything, two.ears.listening(ONE, "wish") as wish:
            await settled(anything, two)
            await settled(wish, two)
            await executions.submit(database, execution())
            assert await anything.wait(SOON)
            assert not wish.rung.is_set()
            await stopping.request_cancel(database, ONE, now=DAY)  # it is pending: that ends it
            assert await anything.wait(SOON)
            with two.ears.listening(OTHER, "wish") as asked:
                await running(database, 2)
                assert await asked.wait(SOON)  # somebody else runs it now


@pytest.mark.usefixtures("no_looks")
async def test_a_process_that_is_alone_says_nothing(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    said: list[str] = []
    say = line.Line.say

    async def noted(self: line.Line, text: str) -> None:
        said.append(text)
        await say(self, text)

    monkeypatch.setattr(line.Line, "say", noted)
    async with a_process(postgres_url, 1) as (database, one):
        await eventually(lambda: one.hearing)
        await running(database)
        assert one._unsaid == {}
        async with a_process(postgres_url, 2):
            await eventually(lambda: one._others)
            await running(database, 2)
            await eventually(lambda: any(OTHER in text for text in said))
    assert not any(ONE in text for text in said)


async def test_a_broken_line_is_opened_again_and_nothing_is_missed(
    postgres_url: str, proxied_url: str, proxy: Proxy, eventually: Eventually
) -> None:
    async with a_process(postgres_url, 1) as (database, one), a_process(proxied_url, 2) as (_, two):
        await each_hears_the_other(one, two)
        with two.ears.listening(ONE, "event") as ear:
            await settled(ear, two)
            await proxy.cut()
            await eventually(lambda: not two.hearing)
            await executions.submit(database, execution())
            await proxy.heal()
            assert await ear.wait(SOON)
            await eventually(lambda: two.hearing)


@pytest.mark.usefixtures("no_looks")
async def test_what_was_unsaid_when_the_line_broke_is_said_on_the_next(
    postgres_url: str, proxied_url: str, proxy: Proxy, eventually: Eventually
) -> None:
    async with a_process(postgres_url, 1) as (_, one), a_process(proxied_url, 2) as (_, two):
        await each_hears_the_other(one, two)
        with one.ears.listening(ONE, "event") as ear:
            await settled(ear, one)
            await proxy.cut()
            await eventually(lambda: not two.hearing)
            two._committed([(ONE, "step.started")])  # by a connection of the pool that was still good
            await proxy.heal()
            assert await ear.wait(SOON)


async def test_where_no_line_comes_about_nothing_is_kept_for_those_who_have_gone(
    postgres_url: str, proxied_url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(bells, "_LONGEST_PAUSE", 0.05)
    async with a_process(proxied_url, 2) as (_, two):
        async with a_process(postgres_url, 1) as (_, one):
            await each_hears_the_other(one, two)
        await proxy.cut()
        two._committed([(ONE, "step.started")])
        assert two._unsaid == {ONE: ""}
        monkeypatch.setattr(bells, "_GONE_AFTER", 0.0)
        await eventually(lambda: two._unsaid == {})
        two._committed([(ONE, "step.started")])
        assert two._unsaid == {}


async def test_a_pooler_that_swallows_what_is_said_leaves_it_to_the_looks(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    said: list[str] = []

    async def swallowed(self: line.Line, text: str) -> None:
        said.append(text)

    monkeypatch.setattr(line.Line, "say", swallowed)
    monkeypatch.setattr(bells, "_HEARD_WITHIN", 0.01)
    monkeypatch.setattr(bells, "_FIRST_PAUSE", 0.01)
    other = Database(postgres_url)
    async with a_process(postgres_url) as (_, bell):
        await eventually(lambda: len(said) > 2)
        with bell.ears.listening(ONE, "event") as ear:
            await settled(ear, bell)
            await executions.submit(other, execution())
            assert await ear.wait(SOON)
        assert not bell.hearing
        assert bell.patience() == bells.LOOK_DEAF
    await other.dispose()


async def _deaf(_self: Bell) -> None:
    await asyncio.sleep(NEVER)


async def test_what_other_processes_do_is_seen_without_any_line(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bell, "_listen", _deaf)
    other = Database(url)
    async with a_process(url) as (_, bell):
        with bell.ears.listening(ONE, "end") as ear:
            await settled(ear, bell)
            await executions.submit(other, execution())
            assert await ear.wait(SOON)
    await other.dispose()


async def test_however_many_wait_one_look_is_for_all_and_none_when_nobody_does(
    url: str, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    asked: list[int] = []
    newest = events.newest

    async def counted(database: Database, identities: list[str]) -> dict[str, int]:
        asked.append(len(identities))
        return await newest(database, identities)

    monkeypatch.setattr(events, "newest", counted)
    async with a_process(url) as (_, bell):
        ears = [bell.ears.listening(f"wfexec_{number}", "event") for number in range(2_500)]
        opened = [one.__enter__() for one in ears]
        await eventually(lambda: 2_500 in asked)
        before = len(asked)
        await eventually(lambda: len(asked) > before)
        assert set(asked[before:]) == {2_500}
        await eventually(lambda: all(ear.rung.is_set() for ear in opened))
        for one in ears:
            one.__exit__(None, None, None)
        assert bell.ears.watched() == []
        assert not bell.ears.open.is_set()


async def test_a_silent_database_keeps_no_bell_from_ending(proxied_url: str, proxy: Proxy) -> None:
    async with a_process(proxied_url) as (database, bell):
        await asyncio.wait_for(_hears(bell), SOON)
        with bell.ears.listening(ONE, "event"):
            proxy.hang()
            bell._look_now.set()
            await asyncio.sleep(0.05)
        # Left while a look and the line wait for the server: the block ends, or this test takes its time limit.
    assert database is not None


async def _hears(bell: Bell) -> None:
    while not bell.hearing:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("no_looks")
async def test_whoever_watches_misses_nothing_that_comes_while_he_is_busy(url: str) -> None:
    async with a_process(url) as (database, bell):

        async def queue(_id: str, _attempt: int, _keys: list[str]) -> None:
            raise AssertionError

        rng = random.Random(1)
        wall = lambda: DAY  # noqa: E731 - said where it is needed
        desk = Desk(database, Library(database, wall=wall), queue, no_archive(), wall=wall, rng=rng, ears=bell.ears)
        fence = await running(database)
        seen: list[int] = []
        waiting = asyncio.create_task(desk.ended_within(ONE, ME, NEVER))
        async for found in desk.watch(ONE, ME):
            seen += [one.seq for one in found]
            match seen[-1]:
                case 2 | 3 | 4:  # it comes before anybody waits for it
                    await steps.put(database, fence, step(), "step.started", now=DAY)
                case 5:
                    await attempts.end(database, fence, "completed", outputs={}, now=DAY)
                case _:
                    pass
        assert seen == [1, 2, 3, 4, 5, 6]
        assert (await asyncio.wait_for(waiting, SOON)).status == "completed"
        assert bell.ears.watched() == []
