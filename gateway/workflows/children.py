"""Executions within executions: what one is born with, and which ones a step waits for. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.tracing.places import begun_in
from gateway.workflows.kept import WHOLE, Execution, Json, StepExecution
from gateway.workflows.library import Found


def born(identity: str, parent: Execution, step: StepExecution, found: Found, inputs: Json, *, now: float) -> Execution:
    """A child: it may take as long and spend as much as its parent has left, and no more than its definition says."""
    definition = found.definition
    left = None if parent.budget_usd is None else max(parent.budget_usd - parent.spent.cost_usd, 0.0)
    ends = None if definition.deadline is None else now + definition.deadline
    return Execution(
        id=identity,
        slug=definition.slug,
        version=found.kept.version,
        status="pending",
        attempt=1,
        inputs=inputs,
        key_name=parent.key_name,
        created_at=now,
        nodes=len(definition.nodes),
        parent_id=parent.id,
        parent_node=step.node_id,
        depth=parent.depth + 1,
        budget_usd=least(definition.budget_usd, left),
        deadline_at=least(parent.deadline_at, ends),
        begun_in=begun_in(),
    )


def awaited(step: StepExecution, known: Iterable[StepExecution]) -> list[str]:
    """The executions that a step has waited for, by its items those of all of them; `known` are all steps."""
    mine = (one for one in known if one.node_id == step.node_id and step.item in {WHOLE, one.item})
    return [str(one.data["execution_id"]) for one in mine if "execution_id" in one.data]


def least(*bounds: float | None) -> float | None:
    """Of those that there are."""
    return min((one for one in bounds if one is not None), default=None)
