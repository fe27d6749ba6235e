"""The plan: whatever ends first, the same nodes run, the same are skipped, and it ends alike."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_world import FAILED, Drive, always, definition, definitions, plain, state

from gateway.workflows.graph import branches
from gateway.workflows.plan import Moves, Plan, State
from gateway.workflows.spec import Definition, Edge

seeds = st.integers(0, 2**32)


@st.composite
def told(draw: st.DrawFn) -> tuple[Definition, dict[str, str]]:
    """A definition, and how each of its nodes ends."""
    made = draw(definitions(most=10))
    ends: dict[str, str] = {}
    for key, node in made.nodes.items():
        possible = [*(branches(node) or ("",)), *([FAILED] if node.on_error == "branch" else [])]
        ends[key] = draw(st.sampled_from(possible))
    return made, ends


@given(told(), seeds, seeds)
def test_every_order_of_completion_gives_the_same_states(
    case: tuple[Definition, dict[str, str]], one: int, other: int
) -> None:
    assert Drive(*case).run(random.Random(one)) == Drive(*case).run(random.Random(other))


@given(told(), seeds)
def test_every_node_ends(case: tuple[Definition, dict[str, str]], seed: int) -> None:
    made, ends = case
    drive = Drive(made, ends)
    states = drive.run(random.Random(seed))
    assert set(states) == set(made.nodes)
    assert {one.status for one in states.values()} <= {"succeeded", "failed", "skipped"}
    assert sorted(drive.begun) == sorted(key for key, one in states.items() if one.status != "skipped")
    assert drive.plan.ended(states) == "completed"


@given(told(), seeds)
def test_nothing_runs_before_its_sources_have_led_there(case: tuple[Definition, dict[str, str]], seed: int) -> None:
    made, ends = case
    drive = Drive(made, ends)
    drive.run(random.Random(seed))
    for states in drive.history:
        for key in drive.plan.moves(states, always).ready:
            sources = {one.source for one in made.edges if one.target == key}
            ended = {source for source in sources if states.get(source, State()).status in {"succeeded", "failed"}}
            assert ended == sources if made.nodes[key].join == "all" else bool(ended) == bool(sources)


@given(told(), seeds)
def test_what_has_begun_or_was_skipped_is_never_moved_again(case: tuple[Definition, dict[str, str]], seed: int) -> None:
    drive = Drive(*case)
    final = drive.run(random.Random(seed))
    assert len(set(drive.begun)) == len(drive.begun)
    for states in drive.history:
        moves = drive.plan.moves(states, always)
        assert not {*moves.ready, *moves.skipped} & {key for key, one in states.items() if one.status != "pending"}
        assert all(final[key].status == "skipped" for key in moves.skipped)
        assert all(final[key].status != "skipped" for key in moves.ready)


@given(told(), seeds, seeds)
def test_from_any_moment_a_new_attempt_ends_alike(
    case: tuple[Definition, dict[str, str]], seed: int, other: int
) -> None:
    """A crash leaves what has ended; what ran is pending again, and skips are decided anew."""
    made, ends = case
    drive = Drive(made, ends)
    final = drive.run(random.Random(seed))
    for states in drive.history:
        assert Plan(made).moves(states, always) == drive.plan.moves(states, always)
        again = Drive(made, ends)
        again.states = {key: one for key, one in states.items() if one.status in {"succeeded", "failed"}}
        kept = set(again.states)
        assert again.run(random.Random(other)) == final
        assert not kept & set(again.begun)


@given(told(), seeds)
def test_progress_grows_and_ends_at_a_hundred(case: tuple[Definition, dict[str, str]], seed: int) -> None:
    drive = Drive(*case)
    final = drive.run(random.Random(seed))
    told = [drive.plan.progress(states) for states in [*drive.history, final]]
    assert told == sorted(told)
    assert told[0] == 0.0
    assert told[-1] == 100.0


@given(told(), seeds, st.data())
def test_after_a_failure_nothing_begins(
    case: tuple[Definition, dict[str, str]], seed: int, data: st.DataObject
) -> None:
    made, ends = case
    plan = Plan(made)
    failing = data.draw(st.sampled_from(sorted(made.nodes)))
    made.nodes[failing].on_error = "fail"
    drive = Drive(made, {**ends, failing: FAILED})
    states = drive.run(random.Random(seed))
    if failing in drive.begun:
        assert plan.moves(states, always) == Moves()
        assert plan.ended(states) == "failed"
        place = next(at for at, one in enumerate(drive.history) if one.get(failing) == State(FAILED))
        begun = {key for key, one in drive.history[place].items() if one.status == "running"}
        assert {key for key in drive.begun if key not in drive.history[place]} == set()
        assert all(states[key].status in {"succeeded", "failed"} for key in begun)


def test_a_join_of_any_begins_after_the_first() -> None:
    nodes = plain("a", "b", c={"type": "template", "template": "x", "join": "any"})
    plan = Plan(definition(nodes, "a>c", "b>c"))
    assert plan.moves({"a": state(""), "b": State("running")}, always).ready == ["c"]
    assert plan.moves({"a": State("running"), "b": State("running")}, always).ready == []
    assert plan.moves({"a": State("skipped"), "b": State("running")}, always) == Moves()
    assert plan.moves({"a": State("skipped"), "b": State("skipped")}, always).skipped == ["c"]


def test_a_join_of_all_is_skipped_as_soon_as_one_does_not_lead_there() -> None:
    plan = Plan(definition(plain("a", "b", "c", "d"), "a>c", "b>c", "c>d"))
    assert plan.moves({"a": State("skipped"), "b": State("running")}, always).skipped == ["c", "d"]


def test_what_is_skipped_carries_on_in_one_move() -> None:
    nodes = plain("a", "b", f={"type": "condition", "if": "x"})
    plan = Plan(definition(nodes, {"source": "f", "target": "a", "branch": "true"}, "a>b"))
    assert plan.moves({"f": state("false")}, always).skipped == ["a", "b"]
    assert plan.moves({"f": state("true")}, always) == Moves(ready=["a"])


@pytest.mark.parametrize(
    ("ended", "ready"),
    [
        (State("succeeded", branch="approved"), ["plain", "yes"]),
        (State("succeeded", branch="rejected"), ["no"]),
        (State("failed"), ["late"]),
        (State("waiting"), []),
        (State("cancelled"), ["late"]),
    ],
)
def test_an_approval_leads_where_the_decision_says(ended: State, ready: list[str]) -> None:
    nodes = plain("plain", "yes", "no", "late", ask={"type": "approval", "message": "?", "on_error": "branch"})
    edges: list[Any] = ["ask>plain", {"source": "ask", "target": "yes", "branch": "approved"}]
    edges += [
        {"source": "ask", "target": "no", "branch": "rejected"},
        {"source": "ask", "target": "late", "on": "error"},
    ]
    assert Plan(definition(nodes, *edges)).moves({"ask": ended}, always).ready == ready


def test_a_condition_of_an_edge_is_asked_only_of_one_that_was_chosen() -> None:
    asked: list[str | None] = []

    def holds(edge: Edge) -> bool:
        asked.append(edge.condition)
        return edge.condition == "yes"

    nodes = plain("a", "b", "c", f={"type": "condition", "if": "x"})
    edges = [
        {"source": "f", "target": "a", "branch": "true", "condition": "yes"},
        {"source": "f", "target": "b", "branch": "true", "condition": "no"},
        {"source": "f", "target": "c", "branch": "false", "condition": "never asked"},
    ]
    moves = Plan(definition(nodes, *edges)).moves({"f": state("true")}, holds)
    assert moves == Moves(ready=["a"], skipped=["b", "c"])
    assert sorted(map(str, asked)) == ["no", "yes"]


def test_several_edges_from_one_source_are_alternatives() -> None:
    nodes = plain("a", "b")
    edges = [{"source": "a", "target": "b", "condition": one} for one in ("no", "yes")]
    made = definition(nodes, *edges)
    assert Plan(made).moves({"a": state("")}, lambda edge: edge.condition == "yes").ready == ["b"]
    assert Plan(made).moves({"a": state("")}, lambda _: False).skipped == ["b"]


def test_a_node_that_waits_makes_the_attempt_wait() -> None:
    plan = Plan(definition(plain("a", "b")))
    assert plan.ended({"a": State("waiting"), "b": state("")}) == "waiting"
    assert plan.ended({"a": State("waiting"), "b": State(FAILED)}) == "failed"
    assert plan.progress({"a": State("waiting"), "b": State("failed")}) == 50.0


@given(told())
def test_nodes_are_moved_in_their_order(case: tuple[Definition, dict[str, str]]) -> None:
    drive = Drive(*case)
    drive.run(random.Random(1))
    for states in drive.history:
        moves = drive.plan.moves(states, always)
        for keys in (moves.ready, moves.skipped):
            assert keys == sorted(keys, key=drive.plan.order.index)
