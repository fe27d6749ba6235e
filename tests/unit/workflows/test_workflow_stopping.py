"""Wishes to cancel and deadlines: seen within half a second, and what runs is given up at once."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from plan_world import Tree, definition
from workflow_scene import Scene, Shelf, execution

from gateway.workflows.kept import Failure
from tests.unit.gateway.paused_time import paused, run


def ask(text: str = "q", **more: Any) -> Tree:
    return {"type": "prompt", "prompt": text, **more}


@paused
async def test_a_cancelled_execution_gives_up_what_runs_at_once_and_does_not_call_it_done() -> None:
    scene = Scene(definition({"a": ask(), "b": ask()}, "a>b"))
    scene.asked.seconds = lambda _node, _item: 3600.0
    began = scene.wall()
    running = asyncio.create_task(scene.attempt())
    await asyncio.sleep(5.0)
    scene.shelf.stop_all = True
    ended = await running
    assert (ended.status, ended.error) == ("cancelled", None)
    assert scene.wall() - began <= 5.5
    assert scene.asked.under_way == 0
    assert scene.shelf.types("a") == ["step.started"]


@paused
async def test_a_wish_to_cancel_is_seen_however_quickly_steps_follow_each_other() -> None:
    keys = [f"n{place}" for place in range(200)]
    chain = [f"{one}>{two}" for one, two in pairwise(keys)]
    scene = Scene(definition({key: ask() for key in keys}, *chain))
    scene.asked.seconds = lambda _node, _item: 0.1
    running = asyncio.create_task(scene.attempt())
    await asyncio.sleep(2.0)
    scene.shelf.stop_all = True
    assert (await running).status == "cancelled"
    assert len(scene.began) <= 26


@paused
async def test_looking_for_wishes_costs_two_questions_a_second_at_most() -> None:
    scene = Scene(definition({f"n{place}": ask() for place in range(100)}))
    scene.asked.seconds = lambda _node, _item: 0.1
    await scene.attempt()
    assert scene.shelf.looks <= 4


@paused
async def test_a_cancelled_step_is_given_up_and_fails_so() -> None:
    scene = Scene(definition({"a": ask(), "b": ask(), "c": ask()}, "a>c"))
    scene.asked.seconds = lambda node, _item: 3600.0 if node == "a" else 10.0
    running = asyncio.create_task(scene.attempt())
    await asyncio.sleep(5.0)
    scene.shelf.stop_steps.add(scene.shelf.of("a").id)
    ended = await running
    assert ended.status == "failed"
    assert ended.error == Failure("cancelled", "The step was cancelled.", node_id="a")
    assert (scene.shelf.of("a").status, scene.shelf.of("b").status) == ("cancelled", "succeeded")
    assert scene.wall() < 1000.0 + 60.0


@pytest.mark.parametrize(
    ("more", "edges", "status"),
    [
        ({"on_error": "default", "default": {"text": "in its place"}}, ["a>c"], "succeeded"),
        ({"on_error": "branch"}, [{"source": "a", "target": "c", "on": "error"}], "cancelled"),
    ],
)
def test_what_follows_a_cancelled_step_is_what_follows_a_failure(more: Tree, edges: list[Any], status: str) -> None:
    async def cancel() -> None:
        scene = Scene(definition({"a": ask(**more), "c": ask("{{ nodes.a.error.type }}")}, *edges))
        scene.asked.seconds = lambda node, _item: 3600.0 if node == "a" else 1.0
        running = asyncio.create_task(scene.attempt())
        await asyncio.sleep(5.0)
        scene.shelf.stop_steps.add(scene.shelf.of("a").id)
        assert (await running).status == "completed"
        assert scene.shelf.of("a").status == status
        assert scene.shelf.of("c").output == {"text": "cancelled"}

    run(cancel())


@paused
async def test_one_item_of_a_map_can_be_cancelled_alone() -> None:
    each = {"type": "map", "over": "[1, 2, 3]", "on_item_error": "null", "node": ask("{{ item }}")}
    scene = Scene(definition({"each": each}))
    scene.asked.seconds = lambda _node, item: 3600.0 if item == 1 else 1.0
    running = asyncio.create_task(scene.attempt())
    await asyncio.sleep(5.0)
    scene.shelf.stop_steps.add(scene.shelf.of("each", 1).id)
    assert (await running).status == "completed"
    assert scene.shelf.of("each").output == {"items": [{"text": "1"}, None, {"text": "3"}], "failed": 1}
    assert scene.shelf.of("each", 1).status == "cancelled"


@pytest.mark.parametrize("kind", ["map", "loop"])
def test_cancelling_a_node_of_many_steps_gives_up_all_of_them(kind: str) -> None:
    many: Tree = {"map": {"over": "[1, 2]"}, "loop": {"until": "false"}}[kind]

    async def cancel() -> None:
        scene = Scene(definition({"many": {"type": kind, "node": ask(), **many}}))
        scene.asked.seconds = lambda _node, _item: 3600.0
        running = asyncio.create_task(scene.attempt())
        await asyncio.sleep(5.0)
        scene.shelf.stop_steps.add(scene.shelf.of("many").id)
        assert (await running).status == "failed"
        assert scene.asked.under_way == 0
        assert scene.shelf.of("many").status == "cancelled"

    run(cancel())


@paused
async def test_a_deadline_gives_up_what_runs() -> None:
    shelf = Shelf(execution(deadline_at=1000.0 + 30.0))
    keys = [f"n{place}" for place in range(200)]
    chain = [f"{one}>{two}" for one, two in pairwise(keys)]
    scene = Scene(definition({key: ask() for key in keys}, *chain), shelf=shelf)
    scene.asked.seconds = lambda _node, _item: 0.4
    ended = await scene.attempt()
    assert ended.status == "failed"
    assert ended.error is not None
    assert (ended.error.type, ended.error.code) == ("timeout_error", "deadline_exceeded")
    assert 1030.0 <= scene.wall() <= 1030.5
