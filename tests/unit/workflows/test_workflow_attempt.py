"""An attempt: whatever it dies of, the next one ends alike and asks nobody again who has answered."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_world import Tree, definition
from workflow_scene import Scene, refusing

from gateway.workflows.attempt import Body
from gateway.workflows.check import checked
from gateway.workflows.graph import Graph
from gateway.workflows.kept import Failure, Spent, Superseded, Tried
from gateway.workflows.performing import Limits
from gateway.workflows.spec import Definition
from tests.unit.gateway.paused_time import paused, run

FORKS: tuple[Tree, ...] = (
    {"type": "condition", "if": "input.topic == 'tea'"},
    {"type": "switch", "cases": {"a": "false", "b": "true"}},
)
MANY: tuple[Tree, ...] = (
    {"type": "map", "over": "['p', 'q', 'r']", "node": {"type": "prompt", "prompt": "{{ item }} {{ index }}"}},
    {
        "type": "map",
        "over": "[1, 2]",
        "parallel": 1,
        "on_item_error": "null",
        "node": {"type": "prompt", "prompt": "x"},
    },
    {"type": "loop", "until": "iteration == 3", "node": {"type": "prompt", "prompt": "{{ previous }} {{ iteration }}"}},
)
ENDS: dict[str, tuple[Tree, ...]] = {
    "condition": ({"branch": "true"}, {"branch": "false"}),
    "switch": ({"branch": "a"}, {"branch": "b"}, {"branch": "default"}),
}


def ask(text: str = "q", **more: Any) -> Tree:
    return {"type": "prompt", "prompt": text, **more}


@st.composite
def flows(draw: st.DrawFn) -> tuple[Definition, dict[str, str]]:
    """Graphs of all that needs nobody's decision; and how each prompt behaves."""
    keys = [f"n{place}" for place in range(draw(st.integers(1, 6)))]
    nodes: dict[str, Tree] = {}
    edges: list[Tree] = []
    moods: dict[str, str] = {}
    for place, key in enumerate(keys):
        node = dict(draw(st.sampled_from((ask(), ask(), *FORKS, *MANY))))
        on_error = draw(st.sampled_from(("branch", "default")))
        node["on_error"] = on_error
        if on_error == "default":
            node["default"] = {"condition": "false", "switch": "b"}.get(node["type"], {"stands": "in"})
        if draw(st.booleans()):
            node["join"] = "any"
        moods[key] = draw(st.sampled_from(("well", "well", "refuses", "hesitates")))
        nodes[key] = node
        for target in keys[place + 1 :]:
            ways: list[Tree] = [{}, *ENDS.get(node["type"], ())] + ([{"on": "error"}] if on_error == "branch" else [])
            some = draw(st.lists(st.sampled_from(ways), max_size=2))
            edges.extend({"source": key, "target": target, **way} for way in some)
    made = definition(nodes, *edges)
    graph = Graph(made)
    for key, node in made.nodes.items():
        if nodes[key]["type"] == "prompt" and node.join == "all":
            # Whoever is given another's result says so in what it comes to.
            read = " ".join(f"{{{{ nodes.{source}.output }}}}" for source in graph.sources(key))
            nodes[key]["prompt"] = f"{key}: {read}"
    return definition(nodes, *edges), moods


def scene_of(case: tuple[Definition, dict[str, str]], seed: int) -> Scene:
    made, moods = case
    scene = Scene(made)
    for key, mood in moods.items():
        if mood != "well":
            scene.asked.plays[key] = refusing(transient=True, times=10**9 if mood == "refuses" else 2)
    rng = random.Random(seed)
    scene.asked.seconds = lambda _node, _item: rng.choice((0.0, 0.1, 0.7, 3.0))
    return scene


@settings(max_examples=60)
@given(flows(), st.integers(0, 2**32), st.integers(0, 2**32))
def test_every_order_of_answers_ends_alike(case: tuple[Definition, dict[str, str]], one: int, other: int) -> None:
    async def both() -> None:
        first, second = scene_of(case, one), scene_of(case, other)
        await first.attempt()
        await second.attempt()
        assert first.ended() == second.ended()
        assert first.asked.again == second.asked.again == []
        assert first.shelf.execution.status == "completed"

    run(both())


@settings(max_examples=80)
@given(flows(), st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 25), st.booleans()), min_size=1, max_size=4))
def test_an_attempt_begun_again_ends_alike_and_asks_nobody_twice(
    case: tuple[Definition, dict[str, str]], seed: int, kills: list[tuple[int, bool]]
) -> None:
    async def both() -> None:
        calm, hunted = scene_of(case, seed), scene_of(case, seed)
        await calm.attempt()
        for place, kept in kills:
            await hunted.killed_at(place, kept=kept)
        await hunted.attempt()
        assert hunted.ended() == calm.ended()
        assert hunted.asked.again == []

    run(both())


RICH: Definition = checked(
    {
        "slug": "rich",
        "name": "n",
        "input_schema": {"type": "object", "properties": {"topic": {"type": "string"}}},
        "nodes": {
            "draft": ask("Write of {{ input.topic }}"),
            "way": {"type": "switch", "cases": {"long": "nodes.draft.output.text | length > 5"}},
            "each": {"type": "map", "over": "['a', 'b', 'c']", "parallel": 2, "node": ask("{{ item }}{{ index }}")},
            "until": {"type": "loop", "until": "iteration == 2", "node": ask("round {{ iteration }}")},
            "short": ask("never"),
            "broken": ask("no", on_error="default", default={"text": "instead"}),
            "end": ask("{{ nodes.each.output['items'] | length }} {{ nodes.broken.output.text }}"),
        },
        "edges": [
            {"source": "draft", "target": "way"},
            {"source": "way", "target": "each", "branch": "long"},
            {"source": "way", "target": "short", "branch": "default"},
            {"source": "draft", "target": "until"},
            {"source": "draft", "target": "broken"},
            {"source": "each", "target": "end"},
            {"source": "broken", "target": "end"},
        ],
    }
)


@pytest.mark.parametrize("kept", [True, False])
def test_at_whatever_write_it_dies_it_ends_alike(kept: bool) -> None:
    async def everywhere() -> None:
        calm = Scene(RICH)
        calm.asked.plays["broken"] = refusing()
        assert (await calm.attempt()).status == "completed"
        once = dict(calm.asked.calls)
        for place in range(calm.shelf.puts):
            scene = Scene(RICH)
            scene.asked.plays["broken"] = refusing()
            assert await scene.killed_at(place, kept=kept)
            succeeded = {where for where, step in scene.shelf.kept.items() if step.status == "succeeded"}
            before = dict(scene.asked.calls)
            await scene.attempt()
            assert scene.ended() == calm.ended()
            assert scene.asked.again == []
            for where, calls in scene.asked.calls.items():
                assert calls <= once[where] + 1
                assert where not in succeeded or calls == before[where]

    run(everywhere())


@paused
async def test_a_call_in_flight_at_a_kill_is_made_under_the_same_name_again() -> None:
    scene = Scene(definition({"a": ask()}))
    scene.asked.plays["a"] = refusing(transient=True, times=1)
    assert await scene.killed_at(3, kept=False)  # started, retrying, started, and the success is lost
    await scene.attempt()
    assert scene.asked.keys == ["wfexec_1/a/-1/1", "wfexec_1/a/-1/2", "wfexec_1/a/-1/2"]
    assert scene.shelf.of("a").tries == 2


@paused
async def test_a_kill_while_it_pauses_makes_the_next_try() -> None:
    scene = Scene(definition({"a": ask()}))
    scene.asked.plays["a"] = refusing(transient=True, times=1)
    assert await scene.killed_at(1, kept=True)
    await scene.attempt()
    assert scene.asked.keys == ["wfexec_1/a/-1/1", "wfexec_1/a/-1/2"]


@paused
async def test_after_a_failure_nothing_begins_and_what_runs_ends_and_is_kept() -> None:
    nodes = {"bad": ask(), "slow": ask(), "after": ask(), "later": ask()}
    scene = Scene(definition(nodes, "slow>after", "bad>later"))
    scene.asked.plays["bad"] = refusing("broken")
    scene.asked.seconds = lambda node, _item: {"bad": 1.0, "slow": 60.0}[node]
    ended = await scene.attempt()
    attempts = [Tried(1, "broken", "Refused.")]
    assert ended.status == "failed"
    assert ended.error == Failure("api_error", "Refused.", "broken", node_id="bad", attempts=attempts)
    assert scene.shelf.of("slow").status == "succeeded"
    assert sorted(scene.began) == ["bad", "slow"]


@paused
async def test_the_failure_of_an_execution_is_that_of_the_node_that_failed_first() -> None:
    scene = Scene(definition({"a": ask(), "b": ask()}))
    scene.asked.plays |= {"a": refusing("second"), "b": refusing("first")}
    scene.asked.seconds = lambda node, _item: {"a": 2.0, "b": 1.0}[node]
    ended = await scene.attempt()
    assert ended.error is not None
    assert ended.error.code == "first"


@pytest.mark.parametrize(("gateways", "definitions", "most"), [(5, None, 5), (2, None, 2), (5, 3, 3), (2, 9, 9)])
def test_no_more_run_at_a_time_than_allowed(gateways: int, definitions: int | None, most: int) -> None:
    async def crowd() -> None:
        made = definition({f"n{place}": ask() for place in range(20)})
        made.parallel = definitions
        scene = Scene(made)
        scene.limits = Limits(timeout=60.0, retries=0, parallel=gateways)
        rng = random.Random(4)
        scene.asked.seconds = lambda _node, _item: rng.random()
        await scene.attempt()
        assert scene.asked.most == most

    run(crowd())


@paused
async def test_only_the_end_waits_for_what_the_engine_looks_up_and_takes_down() -> None:
    scene = Scene(definition({"a": ask(), "b": ask(), "after": ask()}, "a>after"))
    scene.asked.seconds = lambda node, _item: {"a": 1.0, "b": 1.1, "after": 1.0}[node]
    scene.lag = 0.5
    began = scene.wall()
    assert (await scene.attempt()).status == "completed"
    assert sorted(scene.began) == ["a", "after", "b"]
    assert scene.shelf.of("after").started_at == pytest.approx(began + 1.0)
    assert scene.wall() == pytest.approx(began + 2.5)


@paused
async def test_the_memo_and_not_the_engine_says_what_has_succeeded() -> None:
    scene = Scene(definition({"a": ask(), "b": ask()}, "a>b"))
    scene.remembered = {"a"}
    assert (await scene.attempt()).status == "completed"
    assert scene.asked.calls == {("a", -1): 1, ("b", -1): 1}


@paused
async def test_a_new_attempt_asks_what_failed_again_and_nothing_else() -> None:
    scene = Scene(definition({"a": ask(), "b": ask(), "c": ask()}, "a>b", "b>c"))
    scene.asked.plays["b"] = refusing(times=1)
    assert (await scene.attempt()).status == "failed"
    scene.shelf.next_attempt()
    ended = await scene.attempt()
    assert ended.status == "completed"
    assert dict(scene.asked.calls) == {("a", -1): 1, ("b", -1): 2, ("c", -1): 1}
    assert scene.shelf.of("b").attempt == 2


@paused
async def test_what_failed_and_branches_is_not_asked_again_by_a_new_attempt() -> None:
    nodes = {"a": ask(on_error="branch"), "b": ask(), "c": ask()}
    scene = Scene(definition(nodes, {"source": "a", "target": "b", "on": "error"}, "b>c"))
    scene.asked.plays |= {"a": refusing(), "c": refusing(times=1)}
    await scene.attempt()
    scene.shelf.next_attempt()
    assert (await scene.attempt()).status == "completed"
    assert dict(scene.asked.calls) == {("a", -1): 1, ("b", -1): 1, ("c", -1): 2}


@paused
async def test_a_condition_that_cannot_be_told_lets_what_runs_end() -> None:
    nodes = {"a": ask(), "slow": ask(), "b": ask()}
    scene = Scene(definition(nodes, {"source": "a", "target": "b", "condition": "nodes.a.output.number > 3"}))
    scene.asked.seconds = lambda node, _item: 60.0 if node == "slow" else 1.0
    ended = await scene.attempt()
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error.type == "template_error"
    assert scene.shelf.of("slow").status == "succeeded"


@paused
async def test_a_writer_that_was_superseded_keeps_nothing() -> None:
    scene = Scene(definition({"a": ask(), "b": ask(), "c": ask()}, "a>c"))
    scene.asked.seconds = lambda node, _item: 1.0 if node == "a" else 3600.0
    running = asyncio.create_task(scene.attempt())
    await asyncio.sleep(0.6)
    before = scene.ended()
    scene.shelf.execution.attempt, scene.shelf.execution.status = 2, "running"
    with pytest.raises(Superseded):
        await running
    assert scene.ended()[3] == before[3]
    assert scene.shelf.execution.status == "running"
    assert scene.asked.under_way == 0


@paused
async def test_costs_and_tokens_are_summed_once_also_of_tries_that_failed() -> None:
    scene = Scene(definition({"a": ask(), "b": ask()}))
    scene.asked.plays["a"] = refusing(transient=True, times=2, spent=Spent(0.5, 10, 1))
    scene.asked.plays["b"] = refusing(spent=Spent(1.0, 7, 7))
    ended = await scene.attempt()
    assert ended.status == "failed"
    assert scene.shelf.of("a").spent == Spent(2 * 0.5 + 0.25, 23, 6)
    assert ended.spent == Spent(1.25 + 1.0, 30, 13)


@paused
async def test_what_succeeded_after_a_failed_try_has_no_error() -> None:
    scene = Scene(definition({"a": ask(), "b": ask("{{ nodes.a.error is none }}")}, "a>b"))
    scene.asked.plays["a"] = refusing(transient=True, times=1)
    assert (await scene.attempt()).status == "completed"
    assert scene.shelf.of("a").error is None
    assert scene.shelf.of("b").output == {"text": "true"}


@paused
async def test_nodes_that_a_newer_definition_does_not_have_are_left_alone() -> None:
    scene = Scene(definition({"a": ask(), "gone": ask()}))
    scene.asked.plays["gone"] = refusing()
    assert (await scene.attempt()).status == "failed"
    scene.shelf.next_attempt()
    scene.definition = definition({"a": ask(), "new": ask()}, "a>new")
    assert (await scene.attempt()).status == "completed"
    assert dict(scene.asked.calls) == {("a", -1): 1, ("gone", -1): 1, ("new", -1): 1}


FORK: tuple[str | Tree, ...] = (
    {"source": "f", "target": "join", "branch": "true"},
    {"source": "f", "target": "other", "branch": "false"},
    "other>join",
)


@paused
async def test_a_join_reads_null_of_the_way_that_was_not_taken() -> None:
    nodes = {
        "f": {"type": "condition", "if": "input.topic == 'tea'"},
        "other": ask(),
        "join": ask("{{ nodes.other.output or 'nothing' }}", join="any"),
    }
    scene = Scene(definition(nodes, *FORK))
    assert (await scene.attempt()).status == "completed"
    assert scene.shelf.of("other").status == "skipped"
    assert scene.shelf.of("join").output == {"text": "nothing"}


@paused
async def test_a_join_reads_null_of_what_it_did_not_wait_for() -> None:
    nodes = {"quick": ask("q"), "slow": ask(), "join": ask("{{ nodes.slow.output or nodes.quick.output }}", join="any")}
    scene = Scene(definition(nodes, "quick>join", "slow>join"))
    scene.asked.seconds = lambda node, _item: 60.0 if node == "slow" else 1.0
    assert (await scene.attempt()).status == "completed"
    assert scene.shelf.of("join").output == {"text": '{"text":"q"}'}


@paused
async def test_what_the_engine_is_slow_to_begin_is_not_begun_twice() -> None:
    scene = Scene(
        definition({"a": ask(), "quick": ask(), "tardy": ask(), "after": ask()}, "a>quick", "a>tardy", "quick>after")
    )

    async def around(key: str, body: Body) -> None:
        scene.began.append(key)
        await asyncio.sleep(30.0 if key == "tardy" else 0.0)
        await body()

    scene.around = around
    assert (await scene.attempt()).status == "completed"
    assert sorted(scene.began) == ["a", "after", "quick", "tardy"]


@paused
async def test_what_asks_nobody_is_kept_in_one_write_and_the_engine_does_not_hear_of_it() -> None:
    nodes: dict[str, Tree] = {
        "made": {"type": "template", "template": "x"},
        "asked": ask(),
        "way": {"type": "condition", "if": "true"},
        "broken": {"type": "template", "template": "{{ nodes.made.output.none }}"},
    }
    scene = Scene(definition(nodes, "made>asked", "asked>way", "way>broken"))
    assert (await scene.attempt()).status == "failed"
    assert scene.began == ["asked"]
    for key, end in (("made", "succeeded"), ("asked", "succeeded"), ("way", "succeeded"), ("broken", "failed")):
        assert scene.shelf.types(key) == ["step.started", f"step.{end}"]
    assert scene.shelf.puts == 1 + 2 + 1 + 1


@paused
async def test_a_second_try_of_what_asks_nobody_is_told_of_as_well() -> None:
    node: Tree = {"type": "template", "template": "{{ 1 / 0 }}", "retries": 1, "retry_if": "true"}
    scene = Scene(definition({"made": node}))
    assert (await scene.attempt()).status == "failed"
    assert scene.shelf.types("made") == ["step.started", "step.retrying", "step.started", "step.failed"]
