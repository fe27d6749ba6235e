"""Answers: schedules. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(kw_only=True)
class ScheduleAnswer:
    """When a workflow runs by itself.

    `version` null: the newest at each time. `next_times`: of its times that have not come the first few, none while
    it is paused. `missed`: times that were not held. `misfire_grace_seconds`: how late one may be held.
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


@dataclass(kw_only=True)
class SchedulePage:
    """Schedules, newest first; `next_after` leads to the next page, and is null on the last."""

    items: list[ScheduleAnswer]
    next_after: str | None


@dataclass(kw_only=True)
class RunNowAnswer:
    """The execution that was begun."""

    execution_id: str
    workflow_id: str
    version: int
    status: str
    started_at: datetime
