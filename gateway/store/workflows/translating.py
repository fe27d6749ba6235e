"""Rows as Structs, and Structs as values of rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import RowMapping

from gateway.store.tables import MONEY_PLACES
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import executions, step_executions
from gateway.workflows.kept import WHOLE, Event, Execution, Failure, Spent, StepExecution

_SPENT = ("cost_usd", "input_tokens", "output_tokens", "cached_steps", "saved_usd")
_USD = ("cost_usd", "saved_usd")
_PLACE = Decimal(1).scaleb(-MONEY_PLACES)
#: The columns of an execution's and a step's Struct.
EXECUTION = [executions.c[name] for name in (*Execution.__struct_fields__, *_SPENT) if name in executions.c]
STEP = [step_executions.c[name] for name in (*StepExecution.__struct_fields__, *_SPENT) if name in step_executions.c]


def moment(seconds: float) -> datetime:
    """Unix seconds as the tables have them."""
    return datetime.fromtimestamp(seconds, UTC)


def moment_or_none(seconds: float | None) -> datetime | None:
    """The same, of a moment that may not have come."""
    return None if seconds is None else moment(seconds)


def seconds_or_none(found: datetime | None) -> float | None:
    """A time of the tables as Unix seconds."""
    return None if found is None else found.timestamp()


def money(usd: float) -> Decimal:
    """USD as the tables have it."""
    return Decimal(repr(usd)).quantize(_PLACE)


def text_or_none(text: str | None) -> str | None:
    """Text that any engine takes."""
    return None if text is None else scrubbed(text)


def failure_values(error: Failure | None) -> dict[str, Any] | None:
    """A failure as JSON."""
    return None if error is None else msgspec.to_builtins(error)


def execution_of(row: RowMapping | Mapping[str, Any]) -> Execution:
    """The execution of a row; what was not selected has its default."""
    values: dict[str, Any] = {"inputs": None, **row}
    values["spent"] = _spent(values)
    values["error"] = _failure(values.get("error"))
    values["budget_usd"] = None if row["budget_usd"] is None else float(row["budget_usd"])
    for name in ("created_at", "started_at", "completed_at", "deadline_at"):
        values[name] = seconds_or_none(row[name])
    return Execution(**values)


def step_of(row: RowMapping) -> StepExecution:
    """The step execution of a row."""
    values: dict[str, Any] = dict(row)
    values["spent"] = _spent(values)
    values["error"] = _failure(values["error"])
    for name in ("started_at", "completed_at"):
        values[name] = seconds_or_none(row[name])
    return StepExecution(**values)


def step_values(step: StepExecution) -> dict[str, Any]:
    """The values of a step's row, but for those of its execution."""
    took = None if step.started_at is None or step.completed_at is None else step.completed_at - step.started_at
    return {
        "id": step.id,
        "execution_id": step.execution_id,
        "node_id": step.node_id,
        "item": step.item,
        "kind": step.kind,
        "status": step.status,
        "tries": step.tries,
        "output": step.output,
        "branch": step.branch,
        "error": failure_values(step.error),
        "provider": text_or_none(step.provider),
        "model": text_or_none(step.model),
        "request_ids": step.request_ids,
        "started_at": moment_or_none(step.started_at),
        "completed_at": moment_or_none(step.completed_at),
        "seconds": took,
        "expires_at": moment_or_none(step.data.get("expires_at")),
        "cancel_requested": step.cancel_requested,
        "data": step.data,
        **spent_values(step.spent),
    }


def spent_values(spent: Spent) -> dict[str, Any]:
    """What was spent, as values of a row."""
    found = {name: getattr(spent, name) for name in _SPENT}
    return found | {name: money(found[name]) for name in _USD}


def told(step: StepExecution) -> dict[str, Any]:
    """What an event tells of a step: enough to draw it, without its output."""
    facts: dict[str, Any] = {
        "step_id": step.id,
        "kind": step.kind,
        "item": None if step.item == WHOLE else step.item,
        "status": step.status,
        "attempt": step.attempt,
        "tries": step.tries,
        "branch": step.branch,
        "error": failure_values(step.error),
        "provider": step.provider,
        "model": step.model,
        "progress": step.data.get("progress"),
        "cost_usd": step.spent.cost_usd or None,
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def event_of(row: RowMapping) -> Event:
    """The event of a row."""
    values: dict[str, Any] = {**row, "at": row["at"].timestamp()}
    return Event(**values)


def _spent(values: dict[str, Any]) -> Spent:
    found: dict[str, Any] = {name: values.pop(name) for name in _SPENT}
    found |= {name: float(found[name]) for name in _USD}
    return Spent(**found)


def _failure(found: Mapping[str, Any] | None) -> Failure | None:
    return None if found is None else msgspec.convert(found, Failure)
