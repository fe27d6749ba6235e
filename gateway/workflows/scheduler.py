"""Begins executions when their schedules' times have come, in every process that runs executions.

    due → the last of its times that have passed → within its grace: an execution · else: missed → first time after now

Law: of several processes one holds a time. Moving a schedule on from the time it was seen with succeeds once, in the
transaction that keeps the execution, whose id moreover follows from the schedule and the time. Who is killed before has
held nothing, and another does; who is killed after leaves an execution that a keeper finds and queues.

After a suspend, or with nobody there for a while, the times that have passed are one: the last of them runs when it is
not too late for it, and the others are counted as missed. A schedule whose workflow is gone, or takes its inputs no
more, misses its times, and the log says why.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from itertools import takewhile

from gateway.errors import GatewayError
from gateway.identity import new_id
from gateway.metrics import Metrics
from gateway.records import StoreUnavailable
from gateway.store.engine import Database
from gateway.store.workflows import schedules
from gateway.workflows.beginning import drafted
from gateway.workflows.desk import Desk
from gateway.workflows.kept import Execution, Schedule
from gateway.workflows.library import Library
from gateway.workflows.tallying import Tally
from gateway.workflows.ticks import cron

_log = logging.getLogger("steelyard.workflows")
#: Longest sleep, in seconds. A schedule that another process has made, or a clock that was set, is seen by then: hence
#: less than the minute that a schedule can ask for, and at a twelfth of it the database hears little of us.
_LOOK_EVERY = 5.0
#: Shortest sleep, so that a schedule which cannot be moved on, for a defect, does not keep us busy.
_AT_LEAST = 0.2
#: Missed times that are counted at most, at 75 µs each: a week of one that is due every minute.
_MOST_MISSED = 10_080


class Scheduler:
    """Holds the times of all schedules, for as long as `run` does."""

    def __init__(
        self, database: Database, library: Library, desk: Desk, *, wall: Callable[[], float], tally: Tally | None = None
    ) -> None:
        """Over this database; what is begun goes over this desk."""
        self._tally = tally or Tally(Metrics(), wall=wall)
        self._database = database
        self._library = library
        self._desk = desk
        self._wall = wall

    async def run(self) -> None:
        """Until cancelled. A database that is away is looked for again."""
        while True:
            try:
                pause = await self.look()
            except StoreUnavailable as exc:
                _log.warning("schedules are not looked after", extra={"error": str(exc)})
                pause = _LOOK_EVERY
            except Exception:  # noqa: BLE001 - a defect of one look must not be the last of all
                _log.exception("schedules are not looked after")
                pause = _LOOK_EVERY
            await asyncio.sleep(pause)

    async def look(self) -> float:
        """Hold what is due; seconds until the next look. Raises `StoreUnavailable`."""
        now = self._wall()
        until = now + _LOOK_EVERY
        for one in await schedules.due(self._database, now=until):
            if one.next_at is None or one.next_at > now:
                until = min(until, one.next_at or until)
                continue
            try:
                await self.hold(one, now)
            except StoreUnavailable:
                raise
            except Exception:  # noqa: BLE001 - a defect with one schedule must not keep the others from being held
                _log.exception("a schedule was not held", extra={"schedule_id": one.id})
        return max(until - self._wall(), _AT_LEAST)

    async def hold(self, seen: Schedule, now: float) -> bool:
        """Hold the time that a schedule was seen with; False: another process has. Raises `StoreUnavailable`."""
        last, passed, following = await asyncio.to_thread(_passed, seen, now)
        execution = await self._begun(seen, last) if now - last <= seen.misfire_grace_s else None
        missed = passed if execution is None else passed - 1
        within = None if execution is None else await self._desk.within(execution)
        held = await schedules.advance(
            self._database, seen, next_at=following, now=now, execution=execution, missed=missed, within=within
        )
        if held:
            self._tally.times(held=int(execution is not None), missed=missed)
        if held and missed:
            _log.warning("a schedule has missed times", extra={"schedule_id": seen.id, "missed": missed})
        if held and execution is not None:
            await self._desk.enqueue(execution)
        return held

    async def _begun(self, schedule: Schedule, tick: float) -> Execution | None:
        """The execution of that time, not kept yet; None: there can be none."""
        # The same in every process, and in the order of time among the other ids.
        identity = new_id("wfexec", tick, random.Random(f"{schedule.id} {tick:.0f}"))
        try:
            # Of an archived workflow nothing begins, though a version of it could still be had.
            await self._library.get(schedule.slug)
            return await drafted(
                self._library,
                schedule.slug,
                schedule.inputs,
                schedule.created_by,
                identity=identity,
                now=self._wall(),
                version=schedule.version,
            )
        except GatewayError as exc:
            _log.error("a schedule cannot begin its workflow", extra={"schedule_id": schedule.id, "error": str(exc)})
            return None


def _passed(schedule: Schedule, now: float) -> tuple[float, int, float]:
    """Of the times that have passed the last, and how many they are; and the first that has not."""
    assert schedule.next_at is not None
    ticks = cron(schedule.cron, schedule.timezone)
    last, count = schedule.next_at, 1
    for tick in ticks.after(schedule.next_at):
        if tick > now:
            return last, count, tick
        if count == _MOST_MISSED:
            break
        last, count = tick, count + 1
    # So many that no more are counted; but the last of them may have come just now.
    recent = takewhile(lambda tick: tick <= now, ticks.after(now - schedule.misfire_grace_s))
    return max([last, *recent]), count, ticks.next(now)
