"""Approvals and sub-workflows: what waits without a worker, and goes on once; and what an execution may spend."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_world import Tree, definition
from workflow_scene import Scene, execution

from gateway.workflows.budget import Purse
from gateway.workflows.kept import Execution, Failure, Spent, StepExecution, Tried
from gateway.workflows.running import Context, Result
from gateway.workflows.spec import SubWorkflow
from gateway.workflows.steps.subworkflow import DEEPEST, SubWorkflows
from tests.unit.gateway.paused_time import paused, run


def ask(text: str = "q", **more: Any) -> Tree:
    return {"type": "prompt", "prompt": text, **more}


def one(**node: Any) -> Scene:
    return Scene(definition({"a": node or ask()}))


# ----------------------------------------------------------------------------------------------------------- approvals


def gate(**more: Any) -> Tree:
    return {"type": "approval", "message": "Send {{ input.topic }}?", "payload": {"of": "{{ input.topic }}"}, **more}


def decided(scene: Scene, status: Any, branch: str | None, *, early: bool = False, **facts: Any) -> None:
    """As the store decides: the step is one of the attempt that will see it."""
    step = scene.shelf.of("gate")
    step.status, step.branch = status, branch
    step.attempt = scene.shelf.execution.attempt + 1
    for name, value in facts.items():
        setattr(step, name, value)
    if not early:
        scene.shelf.execution.attempt += 1
        scene.shelf.execution.status = "pending"


YES_NO: list[Any] = ["gate>yes", {"source": "gate", "target": "no", "branch": "rejected"}]


@paused
async def test_an_approval_waits_without_a_worker_and_says_what_for() -> None:
    scene = Scene(definition({"gate": gate(expires_after=60.0), "yes": ask(), "no": ask()}, *YES_NO))
    ended = await scene.attempt()
    assert (ended.status, scene.wall()) == ("waiting", 1000.0)
    data = {"message": "Send tea?", "payload": {"of": "tea"}, "form_schema": None, "expires_at": 1060.0}
    assert scene.shelf.of("gate").data == data
    assert scene.shelf.types("gate") == ["step.started", "step.waiting"]


@pytest.mark.parametrize(("branch", "asked"), [("approved", "yes"), ("rejected", "no")])
def test_after_the_decision_it_goes_on_that_way(branch: str, asked: str) -> None:
    async def decide() -> None:
        scene = Scene(definition({"gate": gate(), "yes": ask(), "no": ask(), "a": ask()}, *YES_NO, "a>gate"))
        await scene.attempt()
        decided(scene, "succeeded", branch, output={"decision": branch})
        assert (await scene.attempt()).status == "completed"
        assert dict(scene.asked.calls) == {("a", -1): 1, (asked, -1): 1}

    run(decide())


@paused
async def test_a_decision_while_another_branch_runs_is_kept_for_the_next_attempt() -> None:
    scene = Scene(definition({"gate": gate(), "yes": ask(), "no": ask(), "slow": ask()}, *YES_NO))
    scene.asked.seconds = lambda _node, _item: 60.0
    running = asyncio.create_task(scene.attempt())
    await asyncio.sleep(5.0)
    decided(scene, "succeeded", "approved", early=True, output={"decision": "approve"})
    assert (await running).status == "waiting"
    assert scene.shelf.of("gate").status == "succeeded"
    scene.shelf.next_attempt()
    assert (await scene.attempt()).status == "completed"
    assert dict(scene.asked.calls) == {("slow", -1): 1, ("yes", -1): 1}


@pytest.mark.parametrize(
    ("more", "edge", "status", "asked"),
    [
        ({}, None, "failed", set[str]()),
        ({"on_error": "default", "default": "rejected"}, None, "completed", {"no"}),
        ({"on_error": "branch"}, {"source": "gate", "target": "late", "on": "error"}, "completed", {"late"}),
    ],
)
def test_what_follows_a_decision_that_did_not_come(more: Tree, edge: Any, status: str, asked: set[str]) -> None:
    async def expire() -> None:
        nodes = {"gate": gate(**more), "yes": ask(), "no": ask(), **({"late": ask()} if edge else {})}
        scene = Scene(definition(nodes, *YES_NO, *([edge] if edge else [])))
        await scene.attempt()
        failure = Failure("timeout_error", "Nobody decided in time.", "approval_expired", node_id="gate")
        decided(scene, "failed", None, error=failure)
        ended = await scene.attempt()
        assert ended.status == status
        assert ended.error == (failure if status == "failed" else None)
        assert {node for node, _ in scene.asked.calls} == asked

    run(expire())


# ------------------------------------------------------------------------------------------------------- sub-workflows


class Nursery:
    """Children as a desk keeps them."""

    def __init__(self) -> None:
        self.born: dict[str, Execution] = {}
        self.resumed: list[str] = []

    async def child(self, parent: Execution, step: StepExecution, node: SubWorkflow) -> Execution:
        identity = step.data.get("execution_id") or f"{step.id}_{step.attempt}"
        if identity not in self.born:
            self.born[identity] = execution(id=identity, slug=node.slug, inputs=node.inputs, parent_id=parent.id)
        return msgspec.convert(msgspec.to_builtins(self.born[identity]), Execution)

    async def go_on(self, child: Execution) -> Execution:
        self.resumed.append(child.id)
        now = self.born[child.id]
        now.attempt, now.status, now.error = now.attempt + 1, "pending", None
        return now

    def only(self) -> Execution:
        (found,) = self.born.values()
        return found


def family(**more: Any) -> tuple[Scene, Nursery]:
    nursery = Nursery()
    child: Tree = {"type": "workflow", "slug": "kid", "inputs": {"x": "{{ input.topic }}"}, **more}
    made = definition({"sub": child, "after": ask("{{ nodes.sub.output.y }}")}, "sub>after")
    return Scene(made, bodies={"workflow": SubWorkflows(nursery)}), nursery


def woken(scene: Scene) -> None:
    scene.shelf.execution.attempt += 1
    scene.shelf.execution.status = "pending"


@paused
async def test_a_child_is_begun_once_and_waited_for() -> None:
    scene, nursery = family()
    assert (await scene.attempt()).status == "waiting"
    assert nursery.only().inputs == {"x": "tea"}
    nursery.only().status, nursery.only().outputs = "completed", {"y": 42}
    nursery.only().spent = Spent(1.5, 10, 20, 1)
    woken(scene)
    ended = await scene.attempt()
    assert ended.status == "completed"
    assert scene.shelf.of("after").output == {"text": 42}
    assert ended.spent == Spent(1.75, 13, 24, 1)
    assert len(nursery.born) == 1


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("place", [0, 1])
def test_a_kill_around_its_birth_begins_no_second_child(place: int, kept: bool) -> None:
    async def kill() -> None:
        scene, nursery = family()
        # Its id follows from the step's, which is told by the database: the second writer is given the first's.
        scene.shelf.kept["sub", -1] = StepExecution("stepexec_9", "wfexec_1", "sub", "workflow")
        await scene.killed_at(place, kept=kept)
        assert (await scene.attempt()).status == "waiting"
        assert len(nursery.born) == 1

    run(kill())


@paused
async def test_what_a_child_has_cost_while_it_was_waited_for_is_counted_once() -> None:
    scene, nursery = family()
    await scene.attempt()
    for cost in (1.0, 3.0):
        nursery.only().spent = Spent(cost, 10 * int(cost), 0)
        woken(scene)
        assert (await scene.attempt()).status == "waiting"
        assert scene.shelf.execution.spent == Spent(cost, 10 * int(cost), 0)
    nursery.only().status = "failed"
    nursery.only().error = Failure("api_error", "Refused.", "why", 502)
    nursery.only().spent = Spent(4.0, 40, 0)
    woken(scene)
    ended = await scene.attempt()
    assert ended.status == "failed"
    assert ended.spent == Spent(4.0, 40, 0)
    identity = nursery.only().id
    told = f"kid ({identity}): Refused."
    tried = [Tried(scene.shelf.of("sub").tries, "why", told, 502)]
    assert ended.error == Failure("api_error", told, "why", 502, node_id="sub", attempts=tried)


@paused
async def test_resuming_the_parent_resumes_the_child() -> None:
    scene, nursery = family()
    await scene.attempt()
    nursery.only().status, nursery.only().spent = "failed", Spent(2.0)
    woken(scene)
    assert (await scene.attempt()).status == "failed"
    scene.shelf.next_attempt()
    assert (await scene.attempt()).status == "waiting"
    assert nursery.resumed == [nursery.only().id]
    nursery.only().status, nursery.only().outputs, nursery.only().spent = "completed", {"y": 1}, Spent(2.5)
    woken(scene)
    ended = await scene.attempt()
    assert (ended.status, ended.spent.cost_usd) == ("completed", 2.75)
    assert len(nursery.born) == 1


@paused
async def test_a_child_that_was_run_anew_is_another() -> None:
    scene, nursery = family()
    await scene.attempt()
    nursery.only().status, nursery.only().outputs = "completed", {"y": 1}
    woken(scene)
    await scene.attempt()
    scene.shelf.next_attempt()
    step = scene.shelf.of("sub")
    step.status, step.output, step.data = "pending", None, {}
    assert (await scene.attempt()).status == "waiting"
    assert len(nursery.born) == 2


@paused
async def test_children_of_a_map_that_failed_are_not_run_again_while_others_are_waited_for() -> None:
    nursery = Nursery()
    child: Tree = {"type": "workflow", "slug": "kid"}
    made = definition({"a": {"type": "map", "over": "[1, 2, 3]", "node": child, "on_item_error": "null"}})
    scene = Scene(made, bodies={"workflow": SubWorkflows(nursery)})
    await scene.attempt()
    first, second, third = nursery.born.values()
    first.status = "failed"
    woken(scene)
    assert (await scene.attempt()).status == "waiting"
    second.status, second.outputs = "completed", {"y": 2}
    woken(scene)
    assert (await scene.attempt()).status == "waiting"
    third.status, third.outputs = "completed", {"y": 3}
    woken(scene)
    assert (await scene.attempt()).status == "completed"
    assert scene.shelf.of("a").output == {"items": [None, {"y": 2}, {"y": 3}], "failed": 1}
    assert nursery.resumed == []


@paused
async def test_a_child_that_was_cancelled_alone_fails_its_parent_as_cancelled() -> None:
    scene, nursery = family()
    await scene.attempt()
    nursery.only().status = "cancelled"
    woken(scene)
    ended = await scene.attempt()
    assert ended.error is not None
    assert ended.error.type == "cancelled"


@pytest.mark.parametrize(("depth", "status"), [(DEEPEST - 1, "waiting"), (DEEPEST, "failed")])
def test_how_deep_workflows_call_each_other(depth: int, status: str) -> None:
    async def go() -> None:
        scene, nursery = family()
        scene.shelf.execution.depth = depth
        ended = await scene.attempt()
        assert ended.status == status
        assert len(nursery.born) == (status == "waiting")

    run(go())


# -------------------------------------------------------------------------------------------------------------- budgets


@paused
async def test_what_a_child_has_cost_leaves_so_much_less_for_prompts() -> None:
    scene, nursery = family()
    scene.shelf.execution.budget_usd = 5.0
    seen: list[float] = []

    async def play(context: Context, _node: Any) -> Any:
        assert context.purse is not None
        seen.append(context.purse.spent)
        return Result({"text": ""})

    scene.asked.plays["after"] = play
    await scene.attempt()
    nursery.only().status, nursery.only().outputs, nursery.only().spent = "completed", {"y": 1}, Spent(2.0)
    woken(scene)
    await scene.attempt()
    assert seen == [2.0]


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.0, 3.0), st.sampled_from("waf")), max_size=12))
def test_a_purse_never_promises_more_than_it_has(prompts: list[tuple[float, float, str]]) -> None:
    purse = Purse(5.0, 1.0)
    paid = 1.0
    opened: list[tuple[Any, Any, float]] = []
    for expected, cost, fate in prompts:
        context = purse.opened()
        cap = context.__enter__()
        cap.expected["p/m"] = expected
        if cap.fits("p/m"):
            assert purse.spent + purse.held + expected <= 5.0 + 1e-9
            cap.take("p/m")
            if fate == "f":
                cap.give_back("p/m")
        else:
            assert purse.spent + purse.held + expected > 5.0
        if fate == "w":
            opened.append((context, cap, cost))
        else:
            purse.settle(cost)
            paid += cost
            context.__exit__(None, None, None)
    for context, _cap, _cost in opened:
        context.__exit__(None, None, None)
    assert purse.held == pytest.approx(0.0, abs=1e-9)
    assert purse.spent == pytest.approx(paid)


def test_a_prompt_that_fits_exactly_fits_whatever_floats_say() -> None:
    purse = Purse(0.3)
    with purse.opened() as first:
        first.expected["p/m"] = 0.1
        first.take("p/m")
        with purse.opened() as second:
            second.expected["p/m"] = 0.2
            assert second.fits("p/m")
