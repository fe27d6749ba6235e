"""Schedules as their callers see them: made, found, changed, paused, run at once.

Law: a schedule belongs to the key that made it, and so do the executions it begins; to another key it is not there. The
administrator sees all. `next_at` is always the first time after now, so what was paused, or got another line, goes on
from here and makes up for nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from msgspec import UNSET
from msgspec.structs import asdict, replace

from gateway.errors import Forbidden, Invalid, NotFound
from gateway.governance.keys import Principal
from gateway.identity import new_id
from gateway.settings.shared import TOKENS
from gateway.store.audit import Act
from gateway.store.engine import Database
from gateway.store.workflows import schedules
from gateway.workflows.desk import Desk
from gateway.workflows.kept import Execution, Json, Schedule, ScheduleChanges
from gateway.workflows.library import Library, check_inputs
from gateway.workflows.ticks import Unclear, cron, zone_of

#: Of the times that are shown of a schedule, how many: a working week and the first of the next.
_SHOWN = 6
#: What the audit log tells of a schedule.
_IN_THE_LOG = ("slug", "version", "cron", "timezone", "misfire_grace_s", "enabled", "created_by")


class Timetable:
    """All schedules."""

    def __init__(
        self, database: Database, library: Library, desk: Desk, *, wall: Callable[[], float], rng: random.Random
    ) -> None:
        """Kept in this database; what they begin goes over this desk."""
        self._database = database
        self._library = library
        self._desk = desk
        self._wall = wall
        self._rng = rng

    async def make(
        self,
        slug: str,
        line: str,
        zone: str,
        by: Principal,
        *,
        inputs: Json,
        version: int | None,
        misfire_grace_s: float,
        enabled: bool,
        act: Act | None = None,
    ) -> Schedule:
        """Keep a new one. Raises `NotFound` for the workflow, `Invalid` for what means nothing."""
        if by.name.startswith(TOKENS):
            # Nobody could take it away again: a token ends, and a schedule does not.
            raise Forbidden(
                "A schedule outlives any token: make it with a key of the gateway's.", code="token_not_lasting"
            )
        await self._check_start(slug, version, inputs)
        now = self._wall()
        schedule = Schedule(
            id=new_id("sched", now, self._rng),
            slug=slug,
            version=version,
            cron=line,
            timezone=zone,
            inputs=inputs,
            misfire_grace_s=misfire_grace_s,
            enabled=enabled,
            next_at=_next(line, zone, now),
            created_at=now,
            created_by=by.name,
        )
        await schedules.put(self._database, schedule, _told(act, None, schedule))
        return schedule

    async def get(self, identity: str, by: Principal) -> Schedule:
        """One of theirs. Raises `NotFound`."""
        found = await schedules.get(self._database, identity)
        if found is None or not (by.admin or found.created_by == by.name):
            raise NotFound(f"There is no schedule '{identity:.80}'. GET /api/schedules lists them.")
        return found

    async def listed(
        self, by: Principal, *, slug: str | None, after: str | None, limit: int
    ) -> tuple[list[Schedule], str | None]:
        """A page of theirs, newest first, and behind which id the next begins."""
        whose = None if by.admin else by.name
        found = await schedules.listed(self._database, slug=slug, created_by=whose, after=after, limit=limit + 1)
        return found[:limit], (found[limit - 1].id if len(found) > limit else None)

    async def change(self, identity: str, changes: ScheduleChanges, by: Principal, act: Act | None = None) -> Schedule:
        """Change one of theirs; what is set is changed. Raises `NotFound`, and `Invalid` as `make` does."""
        found = await self.get(identity, by)
        if changes.version is not UNSET or changes.inputs is not UNSET:
            version = found.version if changes.version is UNSET else changes.version
            await self._check_start(found.slug, version, found.inputs if changes.inputs is UNSET else changes.inputs)
        line = found.cron if changes.cron is UNSET else changes.cron
        zone = found.timezone if changes.timezone is UNSET else changes.timezone
        if changes.enabled is True or (line, zone) != (found.cron, found.timezone):
            changes = replace(changes, next_at=_next(line, zone, self._wall()))
        after = replace(found, **{name: value for name, value in asdict(changes).items() if value is not UNSET})
        changed = await schedules.change(self._database, identity, changes, _told(act, found, after))
        if changed is None:
            raise NotFound(f"The schedule '{identity:.80}' has just been deleted.")
        return changed

    async def remove(self, identity: str, by: Principal, act: Act | None = None) -> None:
        """Delete one of theirs; what it has begun goes on. Raises `NotFound`."""
        found = await self.get(identity, by)
        await schedules.remove(self._database, identity, _told(act, found, None))

    async def run_now(self, identity: str, by: Principal, act: Act | None = None) -> Execution:
        """Begin an execution besides, paused or not. Raises `NotFound`, and `Invalid` for inputs that fit no more."""
        found = await self.get(identity, by)
        owner = Principal(found.created_by)
        begun = await self._desk.begin(found.slug, found.inputs, owner, version=found.version)
        changes = ScheduleChanges(last_at=begun.created_at, last_execution_id=begun.id)
        told = None if act is None else replace(act, target=identity, after={"execution_id": begun.id})
        await schedules.change(self._database, identity, changes, told)
        return begun

    def upcoming(self, schedule: Schedule) -> list[float]:
        """The times it will be held next; none while it is paused."""
        if not schedule.enabled:
            return []
        return cron(schedule.cron, schedule.timezone).first(self._wall(), _SHOWN)

    async def _check_start(self, slug: str, version: int | None, inputs: Json) -> None:
        # First without a version, which finds nothing of an archived workflow.
        found = await self._library.get(slug)
        if version is not None:
            found = await self._library.get(slug, version)
        check_inputs(found.definition, inputs)


def _told(act: Act | None, before: Schedule | None, after: Schedule | None) -> Act | None:
    """The act with what it changes. Inputs may hold what only their workflow should see: of them only that they do."""
    if act is None:
        return None
    one = after or before
    assert one is not None, "something was there, or is there now"
    was, now = (_shown(before), _shown(after))
    if was is not None and now is not None:
        changed = [name for name in now if was[name] != now[name]]
        was, now = {name: was[name] for name in changed}, {name: now[name] for name in changed}
        if before is not None and before.inputs != one.inputs:
            now["inputs"] = "changed"
    return replace(act, target=one.id, before=was, after=now)


def _shown(schedule: Schedule | None) -> dict[str, Any] | None:
    return None if schedule is None else {name: getattr(schedule, name) for name in _IN_THE_LOG}


def _next(line: str, zone: str, now: float) -> float:
    """The first time after now. Raises `Invalid` with what is wrong of both."""
    problems: list[tuple[str, str]] = []
    try:
        zone_of(zone)
    except Unclear as exc:
        problems.append(("$.timezone", str(exc)))
    try:
        # In a zone that there is, to say all that is wrong at once.
        cron(line, "UTC")
    except Unclear as exc:
        problems.append(("$.cron", str(exc)))
    if problems:
        param = problems[0][0].removeprefix("$.")
        raise Invalid("The schedule's times mean nothing.", problems, param=param, code="invalid_schedule")
    return cron(line, zone).next(now)
