"""What is counted of executions, and when: once, and only what was kept."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from plan_world import Tree, definition
from workflow_scene import Limits, Scene, Shelf, execution, refusing

from gateway.metrics import Metrics
from gateway.workflows.desk import Desk
from gateway.workflows.keeper import Keeper
from gateway.workflows.kept import Failure, StepExecution, Superseded
from gateway.workflows.tallying import Counted, Tally
from tests.unit.gateway.metric_samples import sampled
from tests.unit.gateway.paused_time import paused, run

ASK: Tree = {"type": "prompt", "prompt": "q"}
WAYS = (("yes", "true"), ("no", "false"))
#: Executions that ended, when none has: alerts watch them from the beginning.
NONE = {("completed",): 0.0, ("failed",): 0.0, ("cancelled",): 0.0}


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for line in metrics.render().decode().splitlines():
        if match := re.fullmatch(rf"steelyard_workflow_{name}(?:{{(.*)}})? (\S+)", line):
            found[tuple(re.findall(r'"([^"]*)"', match[1] or ""))] = float(match[2])
    return found


def counted(nodes: dict[str, Any], *edges: Tree, limits: Limits | None = None) -> tuple[Scene, Metrics]:
    metrics = Metrics()
    tally = Tally(metrics, wall=Scene.wall)
    made = definition(nodes, *edges)
    shelf = Shelf(execution(started_at=0.0))
    more: Any = {} if limits is None else {"limits": limits}
    return Scene(made, shelf=shelf, memory=lambda kept: Counted(kept, tally), **more), metrics


@paused
async def test_steps_are_counted_by_kind_and_outcome() -> None:
    nodes: dict[str, Any] = {
        "fork": {"type": "condition", "if": "true"},
        "yes": {"type": "map", "over": "[1, 2, 3]", "node": ASK},
        "no": ASK,
        "bad": ASK | {"retries": 2},
    }
    scene, metrics = counted(nodes, *({"source": "fork", "target": to, "branch": way} for to, way in WAYS))
    scene.asked.plays["bad"] = refusing(transient=True)
    await scene.attempt()
    assert samples(metrics, "steps_total") == {
        ("condition", "succeeded"): 1.0,
        ("prompt", "succeeded"): 3.0,
        ("map", "succeeded"): 1.0,
        ("prompt", "skipped"): 1.0,
        ("prompt", "retried"): 2.0,
        ("prompt", "failed"): 1.0,
    }
    assert samples(metrics, "executions_total") == {**NONE, ("failed",): 1.0}
    took = samples(metrics, "step_duration_seconds_sum")
    assert took["map",] == pytest.approx(1.0)
    assert samples(metrics, "step_duration_seconds_count") == {("condition",): 1.0, ("map",): 1.0, ("prompt",): 4.0}
    (seconds,) = samples(metrics, "execution_duration_seconds_sum").values()
    assert seconds == pytest.approx(asyncio.get_running_loop().time())


@paused
async def test_an_attempt_that_waits_has_ended_nothing() -> None:
    scene, metrics = counted({"gate": {"type": "approval", "message": "?"}})
    await scene.attempt()
    assert scene.shelf.execution.status == "waiting"
    assert samples(metrics, "executions_total") == NONE


@paused
async def test_what_another_has_taken_over_is_not_counted() -> None:
    scene, metrics = counted({"a": ASK})
    running = asyncio.create_task(scene.attempt())
    await asyncio.sleep(0.5)
    scene.shelf.execution.attempt += 1
    with pytest.raises(Superseded):
        await running
    assert (samples(metrics, "steps_total"), samples(metrics, "executions_total")) == ({}, NONE)
    assert scene.memory._running == {}  # pyright: ignore[reportAttributeAccessIssue]


def test_what_had_succeeded_already_is_not_counted_again() -> None:
    async def twice() -> Metrics:
        scene, metrics = counted({"a": ASK})
        await scene.memory.begin("wfexec_1", 1)
        for _ in range(2):
            await scene.memory.put(
                1, StepExecution("s", "wfexec_1", "a", "prompt", status="succeeded"), "step.succeeded"
            )
        return metrics

    assert samples(run(twice()), "steps_total") == {("prompt", "succeeded"): 1.0}


def test_the_rest_is_counted_where_it_happens() -> None:
    metrics = Metrics()
    tally = Tally(metrics, wall=lambda: 100.0)
    tally.times(held=1, missed=0)
    tally.times(held=0, missed=3)
    tally.taken_over(processes=2)
    tally.taken_over(attempts=5)
    tally.cancelled(2)
    tally.live({"pending": 4, "waiting": 1}, {"pending": 60.0, "waiting": 99.0})
    tally.live({"running": 2}, {"running": 30.0})
    tally.ended(execution(started_at=90.0, completed_at=97.5, error=Failure("x", "y")), "failed")
    assert samples(metrics, "schedule_times_total") == {("held",): 1.0, ("missed",): 3.0}
    assert samples(metrics, "takeovers_total") == {("process",): 2.0, ("attempt",): 5.0}
    assert samples(metrics, "executions_total") == {**NONE, ("cancelled",): 2.0, ("failed",): 1.0}
    assert samples(metrics, "live_executions") == {("pending",): 0.0, ("running",): 2.0, ("waiting",): 0.0}
    assert samples(metrics, "execution_duration_seconds_sum") == {("failed",): 7.5}
    assert samples(metrics, "oldest_seconds") == {("pending",): 0.0, ("running",): 70.0, ("waiting",): 0.0}
    tally.ended(execution(started_at=90.0, completed_at=92.0), "completed")
    told = sampled(metrics, "gen_ai_workflow_duration_seconds_sum", "error_type")
    assert told == {("failed",): 7.5, ("",): 2.0}


# -------------------------------------------------------------------------------------------------- how far, how often


@pytest.mark.parametrize(("every", "told"), [(2.0, [2, 4, 6, 8]), (3.0, [3, 6, 9]), (60.0, [])])
def test_a_map_tells_how_far_it_is_no_more_often_than_the_settings_say(every: float, told: list[int]) -> None:
    async def go() -> None:
        node: Tree = {"type": "map", "over": str(list(range(10))), "node": ASK, "parallel": 1}
        scene, _ = counted({"m": node}, limits=Limits(timeout=60.0, retries=0, parallel=5, progress=every))
        seen: list[Any] = []
        put = scene.shelf.put

        async def noting(attempt: int, step: StepExecution, event: str, **more: Any) -> bool:
            if event == "step.progress":
                seen.append((step.status, step.data["progress"]["done"], step.data["progress"]["of"]))
            return await put(attempt, step, event, **more)

        scene.shelf.put = noting
        await scene.attempt()
        assert seen == [("running", done, 10) for done in told]
        assert scene.shelf.types("m").count("step.progress") == len(told)
        assert "progress" not in scene.shelf.of("m").data
        assert scene.shelf.execution.status == "completed"

    run(go())


class Looking(Keeper):
    """A keeper that only notes when it looks."""

    async def _nothing(self) -> None: ...

    _adopt_orphans = _sweep = _expire = _tidy = _nothing

    async def _forget(self) -> None:
        self.looked = [*getattr(self, "looked", []), asyncio.get_running_loop().time()]


@pytest.mark.parametrize(("lease", "interval", "seconds"), [(30.0, 5.0, 5.0), (60.0, 1.5, 1.5), (3.0, 5.0, 0.5)])
def test_a_keeper_looks_as_often_as_the_settings_say(lease: float, interval: float, seconds: float) -> None:
    async def go() -> None:
        nobody: Any = None
        desk: Desk = nobody
        keeper = Looking(
            nobody,
            desk,
            nobody,
            executor_id="me",
            lease=lease,
            keep_days=None,
            adopt=nobody,
            drop=nobody,
            wall=Scene.wall,
            interval=interval,
            remembering=nobody,
        )
        looking = asyncio.create_task(keeper.look_after())
        await asyncio.sleep(3.5 * seconds)
        looking.cancel()
        assert [at - keeper.looked[0] for at in keeper.looked] == pytest.approx([n * seconds for n in range(4)])

    run(go())
