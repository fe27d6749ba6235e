"""Running an execution again: what its next attempt finds otherwise than the last one left it.

A deadline begins anew, with as many seconds as whoever runs it again gives, or else as were given with the request that
began it, or else as the definition says. Road not taken: what was left of it. Of an execution that failed shortly
before its deadline that is nothing, so that it would fail again at once; and whoever resumes it has waited already.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET

from gateway.errors import NotFound
from gateway.store.engine import Database
from gateway.store.workflows import executions, steps
from gateway.store.workflows.attempts import Rerun
from gateway.workflows.children import least
from gateway.workflows.kept import Execution, Json, StepExecution
from gateway.workflows.library import Found, Library, check_inputs
from gateway.workflows.plan import Plan

_FAILED = ("failed", "cancelled")


async def resumed(
    database: Database, library: Library, execution: Execution, *, deadline: float | None, now: float
) -> Rerun:
    """Go on with what is left. `deadline` in seconds."""
    found = await library.get(execution.slug, execution.version)
    kept = await steps.all_of(database, execution.id)
    return Rerun(**_until(execution, found, deadline, now), over=await _over(database, kept))


async def retried(
    database: Database,
    library: Library,
    execution: Execution,
    *,
    from_step: str | None,
    inputs: Json,
    version: int | None,
    deadline: float | None,
    now: float,
) -> Rerun:
    """Run a step and all behind it anew, or everything. Raises `NotFound` for the step, `Invalid` for the inputs."""
    found = await library.get(execution.slug, version or execution.version)
    # Of another version the old ones may be none.
    check_inputs(found.definition, execution.inputs if inputs is None else inputs)
    nodes = found.definition.nodes
    if from_step is not None and from_step not in nodes:
        raise NotFound(f"There is no step '{from_step:.80}'; there are {', '.join(nodes)}.")
    ancestors = Plan(found.definition).graph.ancestors()
    anew = [key for key in nodes if from_step is None or key == from_step or from_step in ancestors[key]]
    # What a newer version does not have is no longer done.
    kept = await steps.all_of(database, execution.id)
    anew += sorted({one.node_id for one in kept} - nodes.keys())
    return Rerun(
        reset_nodes=anew,
        version=version,
        nodes=len(nodes),
        inputs=UNSET if inputs is None else inputs,
        **_until(execution, found, deadline, now),
        over=await _over(database, kept),
    )


async def gone_on(library: Library, child: Execution, parent: Execution, *, now: float) -> Rerun:
    """A child, for its parent is run again: as long as its definition says, and no longer than the parent may."""
    seconds = (await library.get(child.slug, child.version)).definition.deadline
    return Rerun(deadline_at=least(parent.deadline_at, None if seconds is None else now + seconds))


def _until(execution: Execution, found: Found, deadline: float | None, now: float) -> dict[str, Any]:
    seconds = deadline or execution.deadline_s or found.definition.deadline
    return {"deadline_s": deadline, "deadline_at": None if seconds is None else now + seconds}


async def _over(database: Database, kept: list[StepExecution]) -> dict[str, int]:
    """Children that ended together with their parent, in its deadline or when it was cancelled: no step has seen it."""
    found: dict[str, int] = {}
    for step in kept:
        child_id = step.data.get("execution_id")
        if child_id is None or step.status == "succeeded":
            continue
        child = await executions.facts(database, child_id)
        if child is not None and child.status in _FAILED:
            found[step.id] = child.attempt
    return found
