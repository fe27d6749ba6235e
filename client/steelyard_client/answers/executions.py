"""Answers: executions. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal


@dataclass(kw_only=True)
class TriedAnswer:
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


@dataclass(kw_only=True)
class FailureAnswer:
    """Why it failed; `node_id` is null where no node did, `status` that of an answer, if any.

    `attempts` are those of the step, in their order, at most the last 50.
    """

    type: str
    message: str
    code: str | None
    status: int | None
    node_id: str | None
    attempts: list[TriedAnswer]


@dataclass(kw_only=True)
class StepAnswer:
    """One step execution. `item` is that of a map or the round of a loop, from 0; null for the node itself.

    `attempt` is the execution's that touched it last, `tries` counts its own, `request_ids` lead to the request log.
    """

    step_execution_id: str
    execution_id: str
    node_id: str
    item: int | None
    type: str
    status: Literal["pending", "running", "waiting", "succeeded", "failed", "skipped", "cancelled"]
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


@dataclass(kw_only=True)
class StepPage:
    """Some step executions, newest first; `next_after` leads to the next page, and is null on the last."""

    steps: list[StepAnswer]
    next_after: str | None


@dataclass(kw_only=True)
class ExecutionSummary:
    """An execution in brief. Nodes that were skipped count as completed, as nobody waits for them."""

    execution_id: str
    workflow_id: str
    version: int
    status: Literal["pending", "running", "waiting", "completed", "failed", "cancelled"]
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


@dataclass(kw_only=True)
class ExecutionPage:
    """Some executions, newest first; `next_cursor` leads to the next page, and is null on the last."""

    executions: list[ExecutionSummary]
    next_cursor: str | None


@dataclass(kw_only=True)
class ItemsAnswer:
    """The items of a map, or the rounds of a loop, that have begun."""

    begun: int
    succeeded: int
    failed: int


@dataclass(kw_only=True)
class NodeState:
    """A node of an execution; one that has not begun is `pending`.

    `attempt_count` counts its tries over all attempts of the execution. `cached`: its answer came from the cache.
    `waits_for` is what an approval shows to whoever decides, or the execution of a sub-workflow.
    """

    node_id: str
    type: str
    status: Literal["pending", "running", "waiting", "succeeded", "failed", "skipped", "cancelled"]
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


@dataclass(kw_only=True)
class ExecutionAnswer:
    """An execution with its nodes in the order in which they may run. `attempt` counts runs of it, resumed ones too."""

    execution_id: str
    workflow_id: str
    version: int
    status: Literal["pending", "running", "waiting", "completed", "failed", "cancelled"]
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
    inputs: dict[str, Any]
    outputs: dict[str, Any] | None
    node_states: list[NodeState]


@dataclass(kw_only=True)
class ArtifactAnswer:
    """A file that a step has made, in that attempt of its execution. `size` in bytes, `sha256` in hexadecimal digits.

    `item` is that of a map or the round of a loop, from 0; null for the node itself. `download` is where its bytes
    are.
    """

    artifact_id: str
    execution_id: str
    node_id: str
    item: int | None
    attempt: int
    name: str
    media_type: str
    size: int
    sha256: str
    created_at: datetime
    download: str


@dataclass(kw_only=True)
class ArtifactPage:
    """Some files in the order in which they were made; `next_after` leads to the next page, and is null on the last."""

    artifacts: list[ArtifactAnswer]
    next_after: str | None


@dataclass(kw_only=True)
class EventAnswer:
    """Something that befell an execution; `seq` counts from 1 within it, without gaps."""

    execution_id: str
    seq: int
    at: datetime
    type: str
    node_id: str | None
    data: dict[str, Any]


@dataclass(kw_only=True)
class EventPage:
    """Some events in their order; `next_after` is where to go on, now or when more have come."""

    events: list[EventAnswer]
    next_after: int


@dataclass(kw_only=True)
class StepsAnswer:
    """The step executions of one execution that have begun."""

    execution_id: str
    steps: list[StepAnswer]


@dataclass(kw_only=True)
class ExecutionResumed:
    """An execution that goes on. `saved_calls`: steps that had asked a model, succeeded, and are not paid again."""

    execution_id: str
    workflow_id: str
    version: int
    status: Literal["pending", "running", "waiting", "completed", "failed", "cancelled"]
    attempt: int
    saved_calls: int


@dataclass(kw_only=True)
class StepMetrics:
    """How many step executions are in which state; `success_rate` (0..1) of those that succeeded or failed."""

    total: int
    statuses: dict[str, int]
    success_rate: float | None


@dataclass(kw_only=True)
class ExecutionBegun:
    """An execution that was accepted. `started_at` is when that was, until a worker has begun it."""

    execution_id: str
    workflow_id: str
    version: int
    status: Literal["pending", "running", "waiting", "completed", "failed", "cancelled"]
    started_at: datetime
