"""Another workflow as a step: its execution is begun once, and the step waits for it without holding a worker.

The child's id follows from the step's, so that a crash between beginning it and remembering that begins no second. When
the child ends, the parent's next attempt finds it here.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from gateway.workflows.bind import Scope
from gateway.workflows.kept import Execution, Failure, Spent, StepExecution
from gateway.workflows.running import Context, Result, StepFailed
from gateway.workflows.spec import Json, SubWorkflow

#: Executions within executions. Doubled, a workflow that calls itself by way of another is paid for sixteen times.
DEEPEST = 8
_FAILED = ("failed", "cancelled")


class Children(Protocol):
    """Begins and finds executions within executions."""

    async def child(self, parent: Execution, step: StepExecution, node: SubWorkflow) -> Execution:
        """The execution for this step: begun now, or as it is if it was. Raises a `GatewayError`."""
        ...

    async def go_on(self, child: Execution, parent: Execution) -> Execution:
        """Go on with one that has failed: what had succeeded in it is not paid again."""
        ...


class SubWorkflows:
    """Runs workflows within workflows."""

    def __init__(self, children: Children) -> None:
        """By these."""
        self._children = children

    async def __call__(self, context: Context, node: SubWorkflow, known: Scope) -> Result:
        """Begin it, or see how it ended. Raises `StepFailed`."""
        parent, step = context.execution, context.step
        if parent.depth >= DEEPEST:
            raise StepFailed(
                Failure("invalid_request_error", f"Workflows call each other {DEEPEST} deep.", "too_deep"),
                transient=False,
            )
        child = await self._children.child(parent, step, node)
        if step.data.get("failed_attempt") == child.attempt and child.status in _FAILED:
            # This step is tried again, so what it stands for is.
            child = await self._children.go_on(child, parent)
        counted = msgspec.convert(step.data.get("counted") or {}, Spent)
        spent = _new(child, counted)
        if context.purse is not None:
            context.purse.count(spent.cost_usd)
        data: dict[str, Json] = {"execution_id": child.id, "counted": msgspec.to_builtins(child.spent)}
        if child.status == "completed":
            return Result(child.outputs, spent=spent, data=data)
        if child.status in _FAILED:
            why = child.error or Failure("cancelled", "The execution was cancelled.")
            failure = Failure(why.type, f"{node.slug} ({child.id}): {why.message}", why.code, why.status)
            data["failed_attempt"] = child.attempt
            raise StepFailed(failure, transient=False, spent=spent, data=data)
        return Result(waiting=True, spent=spent, data=data)


def _new(child: Execution, known: Spent) -> Spent:
    """What the child has cost and was not counted yet."""
    return Spent(
        child.spent.cost_usd - known.cost_usd,
        child.spent.input_tokens - known.input_tokens,
        child.spent.output_tokens - known.output_tokens,
        child.spent.cached_steps - known.cached_steps,
        child.spent.saved_usd - known.saved_usd,
    )
