"""Maps and loops, by what they keep and come to."""

from __future__ import annotations

from typing import Any

import pytest
from plan_world import Tree, definition
from workflow_scene import Scene, refusing

from gateway.workflows.kept import Failure, Tried
from gateway.workflows.running import Context, StepFailed
from tests.unit.gateway.paused_time import paused, run


def ask(text: str = "q", **more: Any) -> Tree:
    return {"type": "prompt", "prompt": text, **more}


def one(**node: Any) -> Scene:
    return Scene(definition({"a": node or ask()}))


# ------------------------------------------------------------------------------------------------------ maps and loops


def each(over: str = "[3, 1, 2]", **more: Any) -> Tree:
    return {"type": "map", "over": over, "node": more.pop("node", ask("{{ item }}/{{ index }}")), **more}


def listed(many: int, **more: Any) -> Scene:
    """A map over so many items."""
    scene = one(**each("input.many", **more))
    scene.shelf.execution.inputs = {"many": list(range(many))}
    return scene


@paused
async def test_items_come_out_in_their_order_whoever_is_first() -> None:
    scene = one(**each())
    scene.asked.seconds = lambda _node, item: 10.0 - item
    assert (await scene.attempt()).status == "completed"
    assert [one["text"] for one in scene.shelf.of("a").output["items"]] == ["3/0", "1/1", "2/2"]
    assert scene.shelf.of("a").output["failed"] == 0


@pytest.mark.parametrize("parallel", [1, 2, 7])
def test_no_more_items_at_a_time_than_the_map_allows(parallel: int) -> None:
    async def crowd() -> None:
        scene = listed(20, parallel=parallel)
        await scene.attempt()
        assert scene.asked.most == parallel

    run(crowd())


@pytest.mark.parametrize(
    ("policy", "items", "failed"),
    [("null", [{"text": 3}, None, {"text": 2}], 1), ("drop", [{"text": 3}, {"text": 2}], 1)],
)
def test_an_item_that_fails_is_null_or_dropped(policy: str, items: list[Any], failed: int) -> None:
    async def partly() -> None:
        scene = one(**each(on_item_error=policy, node=ask("{{ item }}")))

        async def play(context: Context, node: Any) -> Any:
            if context.step.item == 1:
                raise StepFailed(Failure("api_error", "Refused."), transient=False)
            return {"text": node.prompt}

        scene.asked.plays["a"] = play
        assert (await scene.attempt()).status == "completed"
        assert scene.shelf.of("a").output == {"items": items, "failed": failed}

    run(partly())


@paused
async def test_an_item_that_fails_stops_the_map_and_gives_the_others_up() -> None:
    scene = one(**each(retries=3))
    scene.asked.seconds = lambda _node, item: 1.0 if item == 1 else 3600.0
    scene.asked.plays["a"] = refusing("why")
    ended = await scene.attempt()
    assert ended.error == Failure(
        "api_error", "Item 1: Refused.", "why", node_id="a", attempts=[Tried(1, "why", "Item 1: Refused.")]
    )
    assert scene.wall() < 1010.0
    assert scene.asked.under_way == 0
    assert [scene.shelf.of("a", item).status for item in range(3)] == ["cancelled", "failed", "cancelled"]
    assert scene.shelf.of("a").tries == 1


@pytest.mark.parametrize(
    ("many", "code"), [(list(range(101)), "too_many_items"), ("text", "invalid_input"), ({"a": 1}, "invalid_input")]
)
def test_a_list_that_is_none_or_too_long_fails_before_anybody_is_asked(many: Any, code: str) -> None:
    async def refuse() -> None:
        scene = listed(0)
        scene.shelf.execution.inputs = {"many": many}
        ended = await scene.attempt()
        assert ended.error is not None
        assert ended.error.type == code
        assert not scene.asked.calls

    run(refuse())


@paused
async def test_an_empty_list_and_a_full_one_are_no_failures() -> None:
    empty, full = one(**each("[]")), listed(100)
    await empty.attempt()
    await full.attempt()
    assert empty.shelf.of("a").output == {"items": [], "failed": 0}
    assert len(full.shelf.of("a").output["items"]) == 100


@paused
async def test_a_loop_ends_when_it_is_content() -> None:
    scene = one(type="loop", node=ask("{{ iteration }}{{ previous is none }}"), until="output.text == '3false'")
    await scene.attempt()
    assert scene.shelf.of("a").output == {"output": {"text": "3false"}, "iterations": 3, "done": True}
    assert scene.asked.most == 1


@paused
async def test_a_loop_that_is_never_content_says_so() -> None:
    scene = one(type="loop", node=ask("{{ iteration }}"), until="false", max_iterations=4)
    await scene.attempt()
    assert scene.shelf.of("a").output == {"output": {"text": 4}, "iterations": 4, "done": False}


@paused
async def test_a_round_that_fails_fails_the_loop_and_a_new_attempt_goes_on_after_the_last() -> None:
    scene = one(type="loop", node=ask("{{ iteration }}"), until="iteration == 3")

    async def play(context: Context, node: Any) -> Any:
        if context.step.item == 1 and context.execution.attempt == 1:
            raise StepFailed(Failure("api_error", "Refused."), transient=False)
        return {"text": node.prompt}

    scene.asked.plays["a"] = play
    assert (await scene.attempt()).status == "failed"
    scene.shelf.next_attempt()
    assert (await scene.attempt()).status == "completed"
    assert dict(scene.asked.calls) == {("a", 0): 1, ("a", 1): 2, ("a", 2): 1}
