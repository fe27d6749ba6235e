"""The order of a graph, its circles, and what of it can never run."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_world import KINDS_OF_FORKS, Drive, definition, definitions, plain, ways

from gateway.workflows.graph import Graph, branches
from gateway.workflows.spec import Definition


def edge(source: str, target: str, **more: Any) -> dict[str, Any]:
    return {"source": source, "target": target, **more}


@given(definitions(most=12))
def test_every_node_comes_after_its_sources(made: Definition) -> None:
    order = Graph(made).order()
    assert sorted(order) == sorted(made.nodes)
    assert all(order.index(one.source) < order.index(one.target) for one in made.edges)


@given(definitions(most=12), st.randoms(use_true_random=False))
def test_the_order_follows_the_nodes_as_written_and_not_the_edges(made: Definition, rng: random.Random) -> None:
    order = Graph(made).order()
    independent = definition(plain(*made.nodes))
    assert Graph(independent).order() == list(made.nodes)
    rng.shuffle(made.edges)
    assert Graph(made).order() == order
    assert Graph(definition(plain("a", "b", "c"), "a>c", "a>b")).order() == ["a", "b", "c"]


@given(definitions(most=12))
def test_ancestors_are_all_that_lead_there(made: Definition) -> None:
    graph = Graph(made)

    def before(key: str) -> set[str]:
        direct = {one.source for one in made.edges if one.target == key}
        return direct.union(*map(before, direct))

    assert graph.ancestors() == {key: before(key) for key in made.nodes}


@given(definitions(most=9))
def test_without_a_circle_none_is_told(made: Definition) -> None:
    assert Graph(made).circle() == []


@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_a_circle_that_is_told_is_one(pairs: set[tuple[int, int]]) -> None:
    made = definition(plain(*(f"n{place}" for place in range(8))), *(f"n{one}>n{other}" for one, other in pairs))
    graph = Graph(made)
    circle = graph.circle()
    assert bool(circle) == (len(graph.order()) < 8)
    there = {(one.source, one.target) for one in made.edges}
    assert len(set(circle)) == len(circle)
    assert all(step in there for step in zip(circle, circle[1:] + circle[:1], strict=True))


def test_edges_to_nowhere_are_left_out() -> None:
    graph = Graph(definition(plain("a"), "a>gone", "gone>a"))
    assert graph.order() == ["a"]
    assert graph.into == graph.out_of == {"a": []}


def runs_at_all(made: Definition) -> set[str]:
    """What runs for some choice of branches and failures: the truth, by trying all."""
    return {key for ends in ways(made) for key in _begun(made, ends)}


def _begun(made: Definition, ends: dict[str, str]) -> list[str]:
    drive = Drive(made, ends)
    drive.run(random.Random(0))
    return drive.begun


def closure(made: Definition) -> set[str]:
    """What `never` names, and what can only run after one of those."""
    graph = Graph(made)
    found = set(graph.never())
    for key in graph.order():
        gone = [source in found for source in graph.sources(key)]
        if gone and (any(gone) if made.nodes[key].join == "all" else all(gone)):
            found.add(key)
    return found


@settings(max_examples=150)
@given(definitions(most=5))
def test_what_can_never_run_runs_for_no_choice_of_branches(made: Definition) -> None:
    assert not closure(made) & runs_at_all(made)


@settings(max_examples=150)
@given(definitions(most=5, any_joins=False))
def test_without_joins_of_any_all_that_can_never_run_is_found(made: Definition) -> None:
    assert closure(made) == set(made.nodes) - runs_at_all(made)


@pytest.mark.parametrize("fork", KINDS_OF_FORKS, ids=lambda fork: fork["type"])
def test_a_join_of_all_behind_two_branches_never_runs(fork: dict[str, Any]) -> None:
    one, other = branches(definition({"f": fork}).nodes["f"])[:2]
    nodes = plain("a", "b", "c", "after", f=fork)
    edges = [edge("f", "a", branch=one), edge("f", "b", branch=other), "a>c", "b>c", "c>after"]
    assert Graph(definition(nodes, *edges)).never() == {"c": "f"}
    nodes["c"] = {**nodes["c"], "join": "any"}
    assert Graph(definition(nodes, *edges)).never() == {}


def test_an_edge_without_a_branch_leads_on_from_an_approval_after_a_yes_only() -> None:
    nodes = plain("a", "b", "c", f={"type": "approval", "message": "?"})
    edges = ["f>a", edge("f", "b", branch="rejected"), "a>c", "b>c"]
    assert Graph(definition(nodes, *edges)).never() == {"c": "f"}


def test_two_branches_of_one_fork_to_one_node_are_alternatives() -> None:
    nodes = plain("both", "rest", "c", f={"type": "switch", "cases": {"a": "true", "b": "true"}})
    edges = [edge("f", "both", branch="a"), edge("f", "both", branch="b"), edge("f", "rest", branch="default")]
    assert Graph(definition(nodes, *edges)).never() == {}
    assert Graph(definition(nodes, *edges, "both>c", "rest>c")).never() == {"c": "f"}


def test_success_and_failure_of_one_node_exclude_each_other() -> None:
    nodes = plain("well", "ill", "c", f={"type": "tool", "server": "s", "tool": "t", "on_error": "branch"})
    edges = ["f>well", edge("f", "ill", on="error"), "well>c", "ill>c"]
    assert Graph(definition(nodes, *edges)).never() == {"c": "f"}


def test_behind_a_join_of_any_the_branches_of_its_ways_are_remembered() -> None:
    nodes = plain("a", "b", "rest", "c", f={"type": "switch", "cases": {"a": "true", "b": "true"}})
    nodes["either"] = {"type": "template", "template": "x", "join": "any"}
    edges = [edge("f", key, branch=key) for key in ("a", "b")]
    edges += [edge("f", "rest", branch="default"), "a>either", "b>either", "either>c", "rest>c"]
    assert Graph(definition(nodes, *edges)).never() == {"c": "f"}
