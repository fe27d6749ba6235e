"""What the definitions of workflows are shown as, and what is told of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

from msgspec import Struct, convert

#: What stands for the values of headers, which may be keys, for callers who are not administrators.
_MASK = "***"


class Problem(Struct):
    """One thing that must be mended; `path` as `$.nodes.draft.prompt`."""

    path: str
    message: str


class WorkflowSummary(Struct):
    """The newest version of a workflow, without its definition."""

    slug: str
    name: str
    description: str
    version: int
    nodes: int
    tags: dict[str, str]
    created_at: datetime
    created_by: str


class WorkflowPage(Struct):
    """Some workflows by slug; `next_after` leads to the next page, and is null on the last."""

    workflows: list[WorkflowSummary]
    next_after: str | None


class WorkflowAnswer(Struct):
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
    changed: bool = False
    warnings: list[Problem] = []


class WorkflowVersion(Struct):
    """A version, without its definition."""

    version: int
    created_at: datetime
    created_by: str


class WorkflowVersions(Struct):
    """All versions of a workflow, newest first."""

    slug: str
    versions: list[WorkflowVersion]


class InputsChecked(Struct):
    """Whether an execution would begin with these inputs, and all that keeps it from it."""

    valid: bool
    problems: list[Problem]


class NodeAnswer(Struct):
    """A node; `number` counts from 1 in an order in which they may run, `after` are the nodes that lead to it."""

    number: int
    key: str
    type: str
    after: list[str]
    node: dict[str, Any]


class NodesAnswer(Struct):
    """The nodes of one version of a workflow."""

    slug: str
    steps: list[NodeAnswer]


class Seconds(Struct):
    """Percentiles in seconds, of the newest 10,000; null when there is nothing to rank."""

    p50: float | None
    p95: float | None
    p99: float | None


class SpentAnswer(Struct):
    """What was paid in USD, tokens, how many answers came from the cache and cost nothing, and what those had cost."""

    cost_usd: float
    input_tokens: int
    output_tokens: int
    cached_steps: int
    saved_usd: float


class NodeFiguresAnswer(Struct):
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


class AnalyticsAnswer(Struct):
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


class DraftAnswer(Struct):
    """A definition that can be saved as it is, and what it took; `tries` counts the model's answers."""

    definition: dict[str, Any]
    tries: int
    cost_usd: float
    provider: str | None
    model: str | None
    request_ids: list[str]


def date(seconds: float) -> datetime:
    """Unix seconds as a date."""
    return datetime.fromtimestamp(seconds, UTC)


def summary(kept: Any) -> WorkflowSummary:
    """What is kept of a workflow, in brief."""
    definition = kept.definition
    return WorkflowSummary(
        slug=kept.slug,
        name=definition["name"],
        description=definition.get("description", ""),
        version=kept.version,
        nodes=len(definition["nodes"]),
        tags=definition.get("tags", {}),
        created_at=date(kept.created_at),
        created_by=kept.created_by,
    )


def workflow(kept: Any, *, whole: bool, changed: bool = False, warnings: Sequence[Any] = ()) -> WorkflowAnswer:
    """What is kept of a workflow; `whole` with the values of headers."""
    return WorkflowAnswer(
        slug=kept.slug,
        version=kept.version,
        latest=kept.latest,
        archived=kept.archived,
        definition=kept.definition if whole else masked(kept.definition),
        created_at=date(kept.created_at),
        created_by=kept.created_by,
        changed=changed,
        warnings=[Problem(one.path, one.message) for one in warnings],
    )


def masked(tree: Any) -> Any:
    """A definition or a node of one without the values of headers."""
    if isinstance(tree, list):
        return [masked(one) for one in cast("list[Any]", tree)]
    if not isinstance(tree, dict):
        return tree
    fields = cast("dict[str, Any]", tree)
    hidden = {name: masked(value) for name, value in fields.items()}
    if fields.get("type") == "http" and isinstance(fields.get("headers"), dict):
        hidden["headers"] = dict.fromkeys(fields["headers"], _MASK)
    return hidden


def figures(slug: str, found: Any, *, since: float, until: float) -> AnalyticsAnswer:
    """Figures for people."""
    return AnalyticsAnswer(
        slug=slug,
        start_date=date(since),
        end_date=date(until),
        runs=found.runs,
        statuses=found.statuses,
        success_rate=found.success_rate,
        duration_s=convert(found.duration_s, Seconds, from_attributes=True),
        spent=convert(found.spent, SpentAnswer, from_attributes=True),
        steps=[convert(one, NodeFiguresAnswer, from_attributes=True) for one in found.nodes],
        slowest_steps=found.slowest(),
        most_failing_steps=found.most_failing(),
    )
