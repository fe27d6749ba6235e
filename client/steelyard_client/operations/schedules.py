"""Workflows that run by the clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steelyard_client.answers.schedules import RunNowAnswer, ScheduleAnswer, SchedulePage
from steelyard_client.asking import Ask, given
from steelyard_client.operation import Operation

_ALL, _ONE = "/api/schedules", "/api/schedules/{schedule_id}"


class Schedules:
    """`/api/schedules`."""

    @Operation
    @staticmethod
    def list_schedules(
        workflow: str | None = None, *, after: str | None = None, limit: int | None = None
    ) -> Ask[SchedulePage]:
        """A page of schedules, newest first; `after` is the last page's `next_after`."""
        query = {"workflow": workflow, "after": after, "limit": limit}
        return Ask(method="GET", address=_ALL, query=query, answer=SchedulePage)

    @Operation
    @staticmethod
    def create_schedule(
        workflow: str,
        cron: str,
        *,
        timezone: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        version: int | None = None,
        misfire_grace_seconds: float | None = None,
        enabled: bool | None = None,
    ) -> Ask[ScheduleAnswer]:
        """Run a workflow at the times of a line of crontab, read in `timezone`."""
        body = given(
            workflow=workflow,
            cron=cron,
            timezone=timezone,
            inputs=inputs,
            version=version,
            misfire_grace_seconds=misfire_grace_seconds,
            enabled=enabled,
        )
        return Ask(method="POST", address=_ALL, body=body, answer=ScheduleAnswer)

    @Operation
    @staticmethod
    def get_schedule(schedule_id: str) -> Ask[ScheduleAnswer]:
        """One schedule with its next times."""
        return Ask(method="GET", address=_ONE, place={"schedule_id": schedule_id}, answer=ScheduleAnswer)

    @Operation
    @staticmethod
    def update_schedule(schedule_id: str, **changes: Any) -> Ask[ScheduleAnswer]:
        """Change `cron`, `timezone`, `inputs`, `version`, `misfire_grace_seconds` or `enabled`; the rest stays.

        `enabled=False` pauses it, `version=None` takes the newest again.
        """
        place = {"schedule_id": schedule_id}
        return Ask(method="PATCH", address=_ONE, place=place, body=changes, answer=ScheduleAnswer, repeatable=True)

    @Operation
    @staticmethod
    def delete_schedule(schedule_id: str) -> Ask[None]:
        """What it has begun goes on."""
        return Ask(method="DELETE", address=_ONE, place={"schedule_id": schedule_id}, answer=type(None))

    @Operation
    @staticmethod
    def run_schedule_now(schedule_id: str) -> Ask[RunNowAnswer]:
        """Begin an execution besides its times, which stay as they are."""
        place = {"schedule_id": schedule_id}
        return Ask(method="POST", address=f"{_ONE}/run-now", place=place, answer=RunNowAnswer)
