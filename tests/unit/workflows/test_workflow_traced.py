"""What is told to traces of executions: what was kept, by whoever runs them, and no longer."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from plan_world import definition
from workflow_scene import Scene, Shelf, execution

from gateway.metrics import Metrics
from gateway.workflows.kept import Event, Superseded
from gateway.workflows.tallying import Tally
from gateway.workflows.traced import Traced, Traces
from tests.unit.gateway.paused_time import paused
from tests.unit.tracing.tracing_world import Kept, a_tracer


async def _begun_by_nobody(_execution_id: str) -> list[Event]:
    return []


def traced() -> tuple[Scene, Kept]:
    told, wall = Kept(), Scene.wall
    tracer = a_tracer(told)
    traces = Traces(lambda: tracer, wall=wall)
    scene = Scene(
        definition({"a": {"type": "prompt", "prompt": "q"}}),
        shelf=Shelf(execution(started_at=0.0)),
        memory=lambda kept: Traced(kept, Tally(Metrics(), wall=wall), traces, _begun_by_nobody),
    )
    return scene, told


def running(scene: Scene) -> tuple[int, int]:
    """Attempts that are taken to run here: by what counts, and by what traces."""
    memory = cast("Traced", scene.memory)
    return len(memory._running), len(memory._traces._attempts)


@paused
async def test_a_step_and_its_attempt_are_told_once_and_the_attempt_is_let_go_of() -> None:
    scene, told = traced()
    under_way = asyncio.create_task(scene.attempt())
    await asyncio.sleep(0.5)
    assert running(scene) == (1, 1)
    await under_way
    step, attempt = told.spans
    assert (step.name, step.parent, step.facts["steelyard.step.status"]) == ("step a", attempt.span, "succeeded")
    assert attempt.facts["steelyard.execution.status"] == "completed"
    assert running(scene) == (0, 0)


@paused
async def test_whoever_hears_by_looking_that_another_has_taken_over_lets_go_of_it_too() -> None:
    scene, told = traced()
    await scene.memory.begin("wfexec_1", 1)
    assert running(scene) == (1, 1)
    scene.shelf.next_attempt()
    with pytest.raises(Superseded):
        await scene.memory.cancelled("wfexec_1", 1)
    assert running(scene) == (0, 0)
    assert not told.spans
