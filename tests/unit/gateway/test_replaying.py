"""A replay in a process of its own: one at a time, and gone when nobody waits for it."""

from __future__ import annotations

import asyncio
import multiprocessing
from pathlib import Path

import pytest
from paused_time import PausedLoop, paused

from dwa import PRESETS, Slo
from dwa.simulate.recorded import Asked
from gateway.errors import AlreadyReplaying, DeadlineExceeded
from gateway.inventory import catalog_of
from gateway.replaying import Period, Question, Replays, question_of
from gateway.settings import Settings, shared
from gateway.store import migrate
from gateway.store.errors import StoreUnavailable

QUESTION = Question(Period(0.0, 100.0, 10), Asked("cost"), {}, dict(PRESETS))


async def nothing() -> None:
    """Nothing waits to be logged."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    address = f"sqlite+aiosqlite:///{tmp_path}/log.db"
    asyncio.run(migrate.upgrade(address))
    return address


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    assert multiprocessing.active_children() == []


def test_the_objectives_of_the_settings_come_along_with_their_promises() -> None:
    own = {"prompt": shared.Objective(slo=shared.Slo(seconds=5.0)), "thrifty": shared.Objective(cost=1.0)}
    settings = Settings(objectives=own)
    known = question_of(settings, catalog_of(settings, {}), Period(0.0, 1.0, 10), Asked("cost")).objectives
    assert known.keys() == {*PRESETS, "prompt", "thrifty"}
    assert known["prompt"].slo == Slo(5.0)
    assert (known["thrifty"].cost, known["thrifty"].slo) == (1.0, None)


async def test_an_empty_log_has_no_answer(url: str) -> None:
    assert await Replays(url, nothing).ask(QUESTION, 60.0) is None


async def test_a_database_without_tables_is_away(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await Replays(f"sqlite+aiosqlite:///{tmp_path}/none.db", nothing).ask(QUESTION, 60.0)


@paused
async def test_a_deadline_counts_though_the_log_is_written_at_that_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, PausedLoop)

    async def written() -> None:
        await asyncio.sleep(0)
        loop.now += 1.0

    async def beside(*_: object) -> None:
        await asyncio.sleep(60.0)

    monkeypatch.setattr(Replays, "_beside", beside)
    with pytest.raises(DeadlineExceeded):
        await Replays("nonsense://", written).ask(QUESTION, 1.0)


async def test_a_process_that_dies_is_told() -> None:
    with pytest.raises(RuntimeError, match="the process of a replay died"):
        await Replays("nonsense://", nothing).ask(QUESTION, 60.0)


async def test_a_second_one_is_turned_away_until_the_first_has_ended(url: str) -> None:
    replays = Replays(url, nothing)
    first = asyncio.create_task(replays.ask(QUESTION, 60.0))
    await asyncio.sleep(0)
    with pytest.raises(AlreadyReplaying):
        await replays.ask(QUESTION, 60.0)
    assert await first is None
    assert await replays.ask(QUESTION, 60.0) is None


async def test_who_cancels_leaves_no_process_behind(url: str) -> None:
    replays = Replays(url, nothing)
    asking = asyncio.create_task(replays.ask(QUESTION, 60.0))
    while not multiprocessing.active_children():  # noqa: ASYNC110 - a process has no event to give
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert multiprocessing.active_children() == []
    assert await replays.ask(QUESTION, 60.0) is None


async def test_a_deadline_is_kept_even_while_the_log_is_flushed(url: str) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlineExceeded):
        await Replays(url, never).ask(QUESTION, 0.01)
