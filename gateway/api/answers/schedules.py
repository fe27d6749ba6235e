"""What `/api/schedules` answers."""

from datetime import datetime
from typing import Any

from msgspec import Struct


class ScheduleAnswer(Struct):
    """When a workflow runs by itself.

    `version` null: the newest at each time. `next_times`: of its times that have not come the first few, none while it
    is paused. `missed`: times that were not held. `misfire_grace_seconds`: how late one may be held.
    """

    schedule_id: str
    workflow_id: str
    version: int | None
    cron: str
    timezone: str
    inputs: Any
    misfire_grace_seconds: float
    enabled: bool
    next_at: datetime | None
    next_times: list[datetime]
    last_at: datetime | None
    last_execution_id: str | None
    missed: int
    created_at: datetime
    created_by: str


class SchedulePage(Struct):
    """Schedules, newest first; `next_after` leads to the next page, and is null on the last."""

    items: list[ScheduleAnswer]
    next_after: str | None


class RunNowAnswer(Struct):
    """The execution that was begun."""

    execution_id: str
    workflow_id: str
    version: int
    status: str
    started_at: datetime
