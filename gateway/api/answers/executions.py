"""What executions and their steps are shown as."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from gateway.api.answers.workflows import date
from gateway.workflows.kept import WHOLE, Event, Execution, ExecutionStatus, Failure, Status, StepExecution
from gateway.workflows.spec import Definition


class ExecutionBegun(Struct):
    """An execution that was accepted. `started_at` is when that was, until a worker has begun it."""

    execution_id: str
    workflow_id: str
    version: int
    status: ExecutionStatus
    started_at: datetime


class TriedAnswer(Struct):
    """One call of a step that failed, or one try of a step that calls no provider: what came of it.

    `tried` is the number of the step's try, of which a prompt may call several providers; `request_id` names their
    record.
    """

    tried: int
    outcome: str
    message: str | None
    status: int | None
    provider: str | None
    model: str | None
    seconds: float | None
    request_id: str | None


class FailureAnswer(Struct):
    """Why it failed; `node_id` is null where no node did, `status` that of an answer, if any.

    `attempts` are those of the step, in their order, at most the last 50.
    """

    type: str
    message: str
    code: str | None
    status: int | None
    node_id: str | None
    attempts: list[TriedAnswer]


class ItemsAnswer(Struct):
    """The items of a map, or the rounds of a loop, that have begun."""

    begun: int
    succeeded: int
    failed: int


class NodeState(Struct):
    """A node of an execution; one that has not begun is `pending`.

    `attempt_count` counts its tries over all attempts of the execution. `cached`: its answer came from the cache.
    `waits_for` is what an approval shows to whoever decides, or the execution of a sub-workflow.
    """

    node_id: str
    type: str
    status: Status
    attempt_count: int
    started_at: datetime | None
    completed_at: datetime | None
    duration_seconds: float | None
    cost_usd: float
    input_tokens: int
    output_tokens: int
    cached: bool
    provider: str | None
    model: str | None
    branch: str | None
    error: FailureAnswer | None
    step_execution_id: str | None
    items: ItemsAnswer | None
    waits_for: dict[str, Any] | None


class ExecutionSummary(Struct):
    """An execution in brief. Nodes that were skipped count as completed, as nobody waits for them."""

    execution_id: str
    workflow_id: str
    version: int
    status: ExecutionStatus
    attempt: int
    progress_percent: float
    completed_nodes: int
    total_nodes: int
    cost_usd: float
    input_tokens: int
    output_tokens: int
    cached_steps: int
    budget_usd: float | None
    error: FailureAnswer | None
    key_name: str
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    deadline_at: datetime | None
    cancel_requested: bool
    parent_execution_id: str | None
    parent_node: str | None


class ExecutionAnswer(ExecutionSummary):
    """An execution with its nodes in the order in which they may run. `attempt` counts runs of it, resumed ones too."""

    inputs: dict[str, Any]
    outputs: dict[str, Any] | None
    node_states: list[NodeState]


class ExecutionPage(Struct):
    """Some executions, newest first; `next_cursor` leads to the next page, and is null on the last."""

    executions: list[ExecutionSummary]
    next_cursor: str | None


class ExecutionResumed(Struct):
    """An execution that goes on. `saved_calls`: steps that had asked a model, succeeded, and are not paid again."""

    execution_id: str
    workflow_id: str
    version: int
    status: ExecutionStatus
    attempt: int
    saved_calls: int


class StepAnswer(Struct):
    """One step execution. `item` is that of a map or the round of a loop, from 0; null for the node itself.

    `attempt` is the execution's that touched it last, `tries` counts its own, `request_ids` lead to the request log.
    """

    step_execution_id: str
    execution_id: str
    node_id: str
    item: int | None
    type: str
    status: Status
    attempt: int
    tries: int
    output: Any
    branch: str | None
    error: FailureAnswer | None
    cost_usd: float
    input_tokens: int
    output_tokens: int
    cached: bool
    provider: str | None
    model: str | None
    request_ids: list[str]
    started_at: datetime | None
    completed_at: datetime | None
    duration_seconds: float | None
    cancel_requested: bool
    data: dict[str, Any]


class StepsAnswer(Struct):
    """The step executions of one execution that have begun."""

    execution_id: str
    steps: list[StepAnswer]


class StepPage(Struct):
    """Some step executions, newest first; `next_after` leads to the next page, and is null on the last."""

    steps: list[StepAnswer]
    next_after: str | None


class StepMetrics(Struct):
    """How many step executions are in which state; `success_rate` (0..1) of those that succeeded or failed."""

    total: int
    statuses: dict[str, int]
    success_rate: float | None


class EventAnswer(Struct):
    """Something that befell an execution; `seq` counts from 1 within it, without gaps."""

    execution_id: str
    seq: int
    at: datetime
    type: str
    node_id: str | None
    data: dict[str, Any]


class EventPage(Struct):
    """Some events in their order; `next_after` is where to go on, now or when more have come."""

    events: list[EventAnswer]
    next_after: int


def begun(one: Execution) -> ExecutionBegun:
    """An execution that was just accepted."""
    return ExecutionBegun(one.id, one.slug, one.version, one.status, date(one.started_at or one.created_at))


def resumed(one: Execution, saved: int) -> ExecutionResumed:
    """An execution that goes on."""
    return ExecutionResumed(one.id, one.slug, one.version, one.status, one.attempt, saved)


def brief(one: Execution) -> ExecutionSummary:
    """An execution in a list."""
    return ExecutionSummary(**_facts(one))


def execution(
    one: Execution, steps: Sequence[StepExecution], definition: Definition, order: list[str]
) -> ExecutionAnswer:
    """An execution with its nodes, in this order."""
    nodes = {step.node_id: step for step in steps if step.item == WHOLE}
    items: dict[str, list[StepExecution]] = {}
    for step in steps:
        if step.item != WHOLE:
            items.setdefault(step.node_id, []).append(step)
    states = [
        _state(key, str(definition.nodes[key].__struct_config__.tag), nodes.get(key), items.get(key)) for key in order
    ]
    return ExecutionAnswer(**_facts(one), inputs=one.inputs, outputs=one.outputs, node_states=states)


def step(one: StepExecution) -> StepAnswer:
    """A step execution."""
    return StepAnswer(
        step_execution_id=one.id,
        execution_id=one.execution_id,
        node_id=one.node_id,
        item=None if one.item == WHOLE else one.item,
        type=one.kind,
        status=one.status,
        attempt=one.attempt,
        tries=one.tries,
        output=one.output,
        branch=one.branch,
        error=_failure(one.error),
        **_spent(one),
        provider=one.provider,
        model=one.model,
        request_ids=one.request_ids,
        **_times(one),
        cancel_requested=one.cancel_requested,
        data=one.data,
    )


def steps_page(found: list[StepExecution], limit: int) -> StepPage:
    """A page of `limit` of them, for which one more was asked."""
    page = found[:limit]
    return StepPage([step(one) for one in page], page[-1].id if len(found) > limit else None)


def event(one: Event) -> EventAnswer:
    """An event, its time as a date."""
    return EventAnswer(one.execution_id, one.seq, date(one.at), one.type, one.node_id, one.data)


def metrics(counts: dict[str, int]) -> StepMetrics:
    """Counts of step executions."""
    succeeded, failed = counts.get("succeeded", 0), counts.get("failed", 0)
    rate = succeeded / (succeeded + failed) if succeeded + failed else None
    return StepMetrics(sum(counts.values()), counts, rate)


def _facts(one: Execution) -> dict[str, Any]:
    return {
        "execution_id": one.id,
        "workflow_id": one.slug,
        "version": one.version,
        "status": one.status,
        "attempt": one.attempt,
        "progress_percent": round(one.progress, 2),
        "completed_nodes": one.done,
        "total_nodes": one.nodes,
        "cost_usd": one.spent.cost_usd,
        "input_tokens": one.spent.input_tokens,
        "output_tokens": one.spent.output_tokens,
        "cached_steps": one.spent.cached_steps,
        "budget_usd": one.budget_usd,
        "error": _failure(one.error),
        "key_name": one.key_name,
        "created_at": date(one.created_at),
        "started_at": _date(one.started_at),
        "completed_at": _date(one.completed_at),
        "deadline_at": _date(one.deadline_at),
        "cancel_requested": one.cancel_requested,
        "parent_execution_id": one.parent_id,
        "parent_node": one.parent_node,
    }


def _state(key: str, kind: str, one: StepExecution | None, items: list[StepExecution] | None) -> NodeState:
    one = one or StepExecution("", "", key, kind, attempt=0)
    return NodeState(
        node_id=key,
        type=kind,
        status=one.status,
        attempt_count=one.tries,
        **_times(one),
        **_spent(one),
        provider=one.provider,
        model=one.model,
        branch=one.branch,
        error=_failure(one.error),
        step_execution_id=one.id or None,
        items=None if items is None else _items(items),
        waits_for=one.data if one.status == "waiting" else None,
    )


def _items(items: list[StepExecution]) -> ItemsAnswer:
    statuses = [one.status for one in items]
    return ItemsAnswer(len(items), statuses.count("succeeded"), statuses.count("failed") + statuses.count("cancelled"))


def _spent(one: StepExecution) -> dict[str, Any]:
    spent = one.spent
    return {
        "cost_usd": spent.cost_usd,
        "input_tokens": spent.input_tokens,
        "output_tokens": spent.output_tokens,
        "cached": spent.cached_steps > 0,
    }


def _times(one: StepExecution) -> dict[str, Any]:
    took = None if one.started_at is None or one.completed_at is None else one.completed_at - one.started_at
    return {
        "started_at": _date(one.started_at),
        "completed_at": _date(one.completed_at),
        "duration_seconds": took,
    }


def _failure(one: Failure | None) -> FailureAnswer | None:
    if one is None:
        return None
    tried = [TriedAnswer(*astuple(each)) for each in one.attempts]
    return FailureAnswer(one.type, one.message, one.code, one.status, one.node_id, tried)


def _date(seconds: float | None) -> datetime | None:
    return None if seconds is None else date(seconds)
