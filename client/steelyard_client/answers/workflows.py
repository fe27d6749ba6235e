"""Answers: workflows. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(kw_only=True)
class WorkflowSummary:
    """The newest version of a workflow, without its definition."""

    slug: str
    name: str
    description: str
    version: int
    nodes: int
    tags: dict[str, str]
    created_at: datetime
    created_by: str


@dataclass(kw_only=True)
class WorkflowPage:
    """Some workflows by slug; `next_after` leads to the next page, and is null on the last."""

    workflows: list[WorkflowSummary]
    next_after: str | None


@dataclass(kw_only=True)
class Problem:
    """One thing that must be mended; `path` as `$.nodes.draft.prompt`."""

    path: str
    message: str


@dataclass(kw_only=True)
class WorkflowAnswer:
    """One version of a workflow; `latest` is the newest there is, `changed` false where nothing had to be saved.

    `warnings`: what this gateway does not have of it when it is saved, and may have after a reload of its settings.
    Values of headers in the definition are shown to administrators only.
    """

    slug: str
    version: int
    latest: int
    archived: bool
    definition: dict[str, Any]
    created_at: datetime
    created_by: str
    changed: bool | None = None
    warnings: list[Problem] | None = None


@dataclass(kw_only=True)
class DraftAnswer:
    """A definition that can be saved as it is, and what it took; `tries` counts the model's answers."""

    definition: dict[str, Any]
    tries: int
    cost_usd: float
    provider: str | None
    model: str | None
    request_ids: list[str]


@dataclass(kw_only=True)
class Seconds:
    """Percentiles in seconds, of the newest 10,000; null when there is nothing to rank."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(kw_only=True)
class SpentAnswer:
    """What was paid in USD, tokens, how many answers came from the cache and cost nothing, and what those had cost."""

    cost_usd: float
    input_tokens: int
    output_tokens: int
    cached_steps: int
    saved_usd: float


@dataclass(kw_only=True)
class NodeFiguresAnswer:
    """One node over all executions; seconds are those of its successes, `spent` counts the items of a map, too."""

    node_id: str
    kind: str
    succeeded: int
    failed: int
    skipped: int
    tries: int
    mean_s: float | None
    longest_s: float | None
    spent: SpentAnswer


@dataclass(kw_only=True)
class AnalyticsAnswer:
    """The executions of a workflow begun from `start_date` until before `end_date`; of your own key, or of all.

    `success_rate` (0..1) is that of those that completed or failed, null when none did. `duration_s` runs from an
    execution's start to its end, waiting included.
    """

    slug: str
    start_date: datetime
    end_date: datetime
    runs: int
    statuses: dict[str, int]
    success_rate: float | None
    duration_s: Seconds
    spent: SpentAnswer
    steps: list[NodeFiguresAnswer]
    slowest_steps: list[str]
    most_failing_steps: list[str]


@dataclass(kw_only=True)
class NodeAnswer:
    """A node; `number` counts from 1 in an order in which they may run, `after` are the nodes that lead to it."""

    number: int
    key: str
    type: str
    after: list[str]
    node: dict[str, Any]


@dataclass(kw_only=True)
class NodesAnswer:
    """The nodes of one version of a workflow."""

    slug: str
    steps: list[NodeAnswer]


@dataclass(kw_only=True)
class InputsChecked:
    """Whether an execution would begin with these inputs, and all that keeps it from it."""

    valid: bool
    problems: list[Problem]


@dataclass(kw_only=True)
class WorkflowVersion:
    """A version, without its definition."""

    version: int
    created_at: datetime
    created_by: str


@dataclass(kw_only=True)
class WorkflowVersions:
    """All versions of a workflow, newest first."""

    slug: str
    versions: list[WorkflowVersion]
