"""What was answered before a kill: it counts once, for the same try of the same question."""

from __future__ import annotations

from typing import Any

import pytest
from plan_world import definition
from workflow_scene import Scene, Shelf, refusing

from gateway.workflows.kept import Json, Spent, StepExecution
from gateway.workflows.running import Context, Result
from tests.unit.gateway.paused_time import paused

ASK = {"type": "prompt", "prompt": "q {{ input.topic }}"}
BILL = Spent(0.25, 3, 4)


async def paid(_context: Context, node: Any) -> Result:
    return Result({"text": node.prompt}, spent=BILL, request_ids=["req_1"])


async def from_the_cache(_context: Context, node: Any) -> Result:
    return Result({"text": node.prompt}, spent=Spent(cached_steps=1), request_ids=["req_1"])


def a_scene(play: Any = paid, **more: Any) -> Scene:
    """An execution about tea that asks one question."""
    scene = Scene(definition({"a": ASK}), **more)
    scene.shelf.execution.inputs = {"topic": "tea"}
    scene.shelf.execution.budget_usd = 1.0
    scene.asked.plays["a"] = play
    return scene


@paused
async def test_an_answer_that_was_here_when_a_kill_came_is_neither_asked_nor_paid_again() -> None:
    scene = a_scene()
    assert await scene.killed_at(1, kept=False)  # the success is lost
    assert scene.shelf.execution.spent == Spent()
    done = await scene.attempt()
    assert done.status == "completed"
    assert scene.asked.keys == ["wfexec_1/a/-1/1"]
    kept = scene.shelf.of("a")
    assert (kept.output, kept.request_ids, kept.tries, kept.spent) == ({"text": "q tea"}, ["req_1"], 1, BILL)
    assert done.spent == BILL
    assert scene.shelf.aside_of == {}


@paused
async def test_it_is_spent_of_the_budget_once() -> None:
    scene = a_scene()
    left: list[float] = []

    async def after(context: Context, _node: Any) -> Result:
        assert context.purse is not None
        left.append(context.purse.spent)
        return Result({"text": "b"})

    scene.definition = definition({"a": ASK, "b": {**ASK, "prompt": "then"}}, "a>b")
    scene.asked.plays["b"] = after
    scene.shelf.execution.nodes = 2
    assert await scene.killed_at(1, kept=False)
    await scene.attempt()
    assert left == [0.25]


@paused
async def test_killed_when_the_success_was_kept_nothing_is_left_to_find() -> None:
    scene = a_scene()
    assert await scene.killed_at(1, kept=True)
    assert (await scene.attempt()).spent == BILL
    assert scene.asked.keys == ["wfexec_1/a/-1/1"]


@pytest.mark.parametrize("change", ["name", "question", "form"])
@paused
async def test_what_answers_another_call_or_question_is_no_answer(change: str) -> None:
    scene = a_scene()
    assert await scene.killed_at(1, kept=False)
    found = scene.shelf.aside_of["a", -1]
    scene.shelf.aside_of["a", -1] = {"other": 1} if change == "form" else {**found, change: "other"}
    assert (await scene.attempt()).status == "completed"
    assert len(scene.asked.keys) == 2


@paused
async def test_another_question_under_the_same_name_is_asked() -> None:
    scene = a_scene()
    assert await scene.killed_at(1, kept=False)
    scene.shelf.execution.inputs = {"topic": "beer"}
    done = await scene.attempt()
    assert (done.outputs, len(scene.asked.keys)) == ({"a": {"text": "q beer"}}, 2)


@paused
async def test_what_cost_nothing_is_not_set_aside() -> None:
    scene = a_scene(from_the_cache)
    assert await scene.killed_at(1, kept=False)
    assert scene.shelf.aside_of == {}


@paused
async def test_nobody_looks_for_an_answer_but_after_a_crash() -> None:
    class Asked(Shelf):
        async def aside(self, step: StepExecution) -> Json:
            raise AssertionError("a query for each step, for nothing")

    scene = a_scene(refusing(transient=True, times=1), shelf=Asked())
    assert (await scene.attempt()).status == "completed"
    assert len(scene.asked.keys) == 2
