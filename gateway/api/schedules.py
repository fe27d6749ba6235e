"""`/api/schedules`: workflows that run by the clock, of the key that made them."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Controller, Request, delete, get, patch, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_202_ACCEPTED
from msgspec import UNSET, Meta, Struct, UnsetType, field

from gateway.api.access import Gateway, acting, caller, named, principal_of
from gateway.api.answers.schedules import RunNowAnswer, ScheduleAnswer, SchedulePage
from gateway.errors import BadRequest
from gateway.parts import Parts
from gateway.workflows.kept import Schedule, ScheduleChanges
from gateway.workflows.spec import Version

_Request = Request[object, object, State]
#: A line with every minute of the hour and every day of the month by number has less.
_Line = Annotated[str, Meta(min_length=1, max_length=400)]
_Zone = Annotated[str, Meta(min_length=1, max_length=64)]
#: Up to a day: what is later than that is the next day's.
_Grace = Annotated[float, Meta(gt=0, le=86_400)]


class ScheduleRequest(Struct, forbid_unknown_fields=True):
    """A schedule to be made: `workflow` is a slug, `cron` a line of crontab, read in `timezone`.

    Without `version` each time runs the newest; without `timezone` and `misfire_grace_seconds` the gateway's hold.
    """

    workflow: str
    cron: _Line
    timezone: _Zone | None = None
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    version: Version | None = None
    misfire_grace_seconds: _Grace | None = None
    enabled: bool = True


class ScheduleChange(Struct, forbid_unknown_fields=True):
    """What is to be different; `enabled: false` pauses it, `version: null` takes the newest again."""

    cron: _Line | UnsetType = UNSET
    timezone: _Zone | UnsetType = UNSET
    inputs: dict[str, Any] | UnsetType = UNSET
    version: Version | UnsetType | None = UNSET
    misfire_grace_seconds: _Grace | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class Schedules(Controller):
    """Workflows that run by themselves."""

    path = "/api/schedules"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Workflows"]  # noqa: RUF012 - as above

    @get(summary="List schedules, newest first", guards=[named])
    async def list_schedules(
        self,
        gateway: Gateway,
        request: _Request,
        workflow: FromQuery[str | None] = None,
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> SchedulePage:
        """A page of your own schedules, or with the admin key of everybody's."""
        table = (await gateway.workflows.open()).timetable
        found, following = await table.listed(principal_of(request), slug=workflow, after=after, limit=limit)
        # In a thread: of five hundred the next times take a second.
        answers = await asyncio.to_thread(lambda: [_answer(one, table.upcoming(one)) for one in found])
        return SchedulePage(answers, following)

    @post(summary="Make a schedule")
    async def make_schedule(
        self, gateway: Gateway, request: _Request, data: JSONBody[ScheduleRequest]
    ) -> ScheduleAnswer:
        """422 with all that is wrong of the line, the zone or the inputs; 404 for a workflow that is not there."""
        ours = gateway.settings.workflows
        table = (await gateway.workflows.open()).timetable
        grace = data.misfire_grace_seconds
        made = await table.make(
            data.workflow,
            data.cron,
            data.timezone or _zone(gateway),
            principal_of(request),
            inputs=data.inputs,
            version=data.version,
            misfire_grace_s=ours.misfire_grace if grace is None else grace,
            enabled=data.enabled,
            act=acting(request, "schedule.create"),
        )
        return _answer(made, table.upcoming(made))

    @get("/{schedule_id:str}", summary="One schedule with its next times")
    async def get_schedule(self, gateway: Gateway, request: _Request, schedule_id: FromPath[str]) -> ScheduleAnswer:
        """404 unless it is yours."""
        table = (await gateway.workflows.open()).timetable
        found = await table.get(schedule_id, principal_of(request))
        return _answer(found, table.upcoming(found))

    @patch("/{schedule_id:str}", summary="Change, pause or resume a schedule")
    async def change_schedule(
        self, gateway: Gateway, request: _Request, schedule_id: FromPath[str], data: JSONBody[ScheduleChange]
    ) -> ScheduleAnswer:
        """What is left out stays. What was paused goes on with its first time from now, and makes up for none."""
        if all(value is UNSET for value in (getattr(data, name) for name in data.__struct_fields__)):
            raise BadRequest(f"Name what to change: {', '.join(data.__struct_fields__)}.")
        table = (await gateway.workflows.open()).timetable
        changes = ScheduleChanges(
            version=data.version,
            cron=data.cron,
            timezone=data.timezone,
            inputs=data.inputs,
            misfire_grace_s=data.misfire_grace_seconds,
            enabled=data.enabled,
        )
        found = await table.change(schedule_id, changes, principal_of(request), acting(request, "schedule.update"))
        return _answer(found, table.upcoming(found))

    @delete("/{schedule_id:str}", summary="Delete a schedule")
    async def delete_schedule(self, gateway: Gateway, request: _Request, schedule_id: FromPath[str]) -> None:
        """What it has begun goes on."""
        table = (await gateway.workflows.open()).timetable
        await table.remove(schedule_id, principal_of(request), acting(request, "schedule.delete"))

    @post("/{schedule_id:str}/run-now", summary="Begin a schedule's execution now", status_code=HTTP_202_ACCEPTED)
    async def run_now(self, gateway: Gateway, request: _Request, schedule_id: FromPath[str]) -> RunNowAnswer:
        """Besides its times, which stay as they are; paused or not. The execution is of the key that made it."""
        service = await gateway.workflows.open()
        begun = await service.timetable.run_now(schedule_id, principal_of(request), acting(request, "schedule.run"))
        return RunNowAnswer(begun.id, begun.slug, begun.version, begun.status, _time(begun.created_at))


def _zone(gateway: Parts) -> str:
    # POSIX writes names of files in the variable with a colon.
    return gateway.settings.workflows.timezone.removeprefix(":")


def _answer(one: Schedule, upcoming: list[float]) -> ScheduleAnswer:
    return ScheduleAnswer(
        schedule_id=one.id,
        workflow_id=one.slug,
        version=one.version,
        cron=one.cron,
        timezone=one.timezone,
        inputs=one.inputs,
        misfire_grace_seconds=one.misfire_grace_s,
        enabled=one.enabled,
        # A paused one keeps the time at which it was paused, which will not be held.
        next_at=_time(one.next_at) if one.enabled and one.next_at is not None else None,
        next_times=[_time(tick) for tick in upcoming],
        last_at=None if one.last_at is None else _time(one.last_at),
        last_execution_id=one.last_execution_id,
        missed=one.missed,
        created_at=_time(one.created_at),
        created_by=one.created_by,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
