"""Schedules held by three processes, of which two are killed amid their work."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

from store_faults import DAY
from workflow_world import no_archive

from gateway.governance.keys import Principal
from gateway.store.engine import Database
from gateway.store.workflows import executions, schedules
from gateway.store.workflows.executions import Filters
from gateway.workflows.desk import Desk
from gateway.workflows.library import Library
from gateway.workflows.timetable import Timetable

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCHEDULES = 12
ME = Principal("app")


@contextlib.contextmanager
def process(url: str, start: float) -> Generator[subprocess.Popen[str]]:
    """One more process that holds schedules, begun."""
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}:{HERE}"}
    command = [sys.executable, str(HERE / "scheduling_process.py"), url, str(start)]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) as begun:
        try:
            assert begun.stdout is not None
            assert begun.stdout.readline() == "begun\n"
            yield begun
        finally:
            begun.kill()


async def held(database: Database, at_least: int) -> None:
    """Wait until so many executions have been begun."""
    async with asyncio.timeout(60):
        while len((await executions.listed(database, Filters(), limit=1_000)).items) < at_least:  # noqa: ASYNC110 - see below
            await asyncio.sleep(0.05)  # other processes tell nobody


async def test_no_time_is_held_twice_by_three_processes_of_which_two_are_killed(database: Database, url: str) -> None:
    start = time.time()
    rng = random.Random(1)

    async def queue(*_attempt: object) -> None:
        raise AssertionError("nothing is queued here")

    library = Library(database, wall=lambda: DAY)
    await library.save(
        {"slug": "tick", "name": "Tick", "nodes": {"say": {"type": "template", "template": "{{ input.whose }}"}}},
        by="app",
    )
    desk = Desk(database, library, queue, no_archive(), wall=lambda: DAY, rng=rng)
    table = Timetable(database, library, desk, wall=lambda: DAY, rng=rng)
    facts: dict[str, Any] = {"by": ME, "version": None, "misfire_grace_s": 86_400.0, "enabled": True}
    for number in range(SCHEDULES):
        await table.make("tick", "* * * * *", "UTC", inputs={"whose": number}, **facts)
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(await asyncio.to_thread(process, url, start)) for _ in range(3)]
        for number, one in enumerate(crowd[:2], start=2):
            await held(database, number * SCHEDULES)
            one.kill()
        await held(database, 5 * SCHEDULES)
    begun = (await executions.listed(database, Filters(), limit=1_000)).items
    whose = [(await desk.get(one.id, ME)).inputs["whose"] for one in begun]
    counts = Counter(whose)
    kept, _ = await table.listed(ME, slug=None, after=None, limit=SCHEDULES)
    assert len(kept) == SCHEDULES
    for one in kept:
        # Each time that has passed was held, or counted as missed when a slow machine let several pass at once.
        assert one.next_at is not None
        assert counts[one.inputs["whose"]] + one.missed == (one.next_at - DAY) / 60 - 1
    assert not await schedules.due(database, now=DAY)
