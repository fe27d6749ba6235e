"""Small definitions, random ones, and an engine that has no clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any

import msgspec
from hypothesis import strategies as st

from gateway.workflows.graph import NO_BRANCH, branches
from gateway.workflows.plan import Plan, State
from gateway.workflows.spec import Definition, Edge

Tree = dict[str, Any]
KINDS_OF_FORKS: tuple[Tree, ...] = (
    {"type": "condition", "if": "true"},
    {"type": "switch", "cases": {"a": "true", "b": "true"}},
    {"type": "approval", "message": "Go on?"},
)
PLAIN: Tree = {"type": "template", "template": "done"}
FAILED = "failed"


def tree(nodes: Mapping[str, Tree], *edges: str | Tree, **more: Any) -> Tree:
    """A definition, its edges as `"a>b"` or as objects."""
    spelled = [
        dict(zip(("source", "target"), one.split(">"), strict=True)) if isinstance(one, str) else one for one in edges
    ]
    return {"slug": "s", "name": "n", "nodes": dict(nodes), "edges": spelled, **more}


def definition(nodes: Mapping[str, Tree], *edges: str | Tree, **more: Any) -> Definition:
    return msgspec.convert(tree(nodes, *edges, **more), Definition)


def plain(*keys: str, **more: Tree) -> dict[str, Tree]:
    return {**{key: PLAIN for key in keys}, **more}


@st.composite
def definitions(draw: st.DrawFn, *, most: int = 7, any_joins: bool = True, errors: bool = True) -> Definition:
    """Without circles: edges lead to nodes drawn later, the nodes are written in another order."""
    keys = [f"n{place}" for place in range(draw(st.integers(1, most)))]
    nodes: dict[str, Tree] = {}
    edges: list[Tree] = []
    for place, key in enumerate(keys):
        node = dict(draw(st.sampled_from((PLAIN, *KINDS_OF_FORKS))))
        if any_joins and draw(st.booleans()):
            node["join"] = "any"
        if errors and draw(st.booleans()):
            node["on_error"] = "branch"
        nodes[key] = node
        for target in keys[place + 1 :]:
            many = draw(st.sampled_from((0, 0, 1, 1, 2)))
            edges.extend(_edge(draw, key, target, node) for _ in range(many))
    order = draw(st.permutations(keys))
    return definition({key: nodes[key] for key in order}, *draw(st.permutations(edges)))


def _edge(draw: st.DrawFn, source: str, target: str, node: Tree) -> Tree:
    ways: list[Tree] = [{}]
    if node["type"] == "condition":
        ways += [{"branch": "true"}, {"branch": "false"}]
    if node["type"] == "switch":
        ways += [{"branch": "a"}, {"branch": "b"}, {"branch": "default"}]
    if node["type"] == "approval":
        ways += [{"branch": "approved"}, {"branch": "rejected"}]
    if node.get("on_error") == "branch":
        ways.append({"on": "error"})
    return {"source": source, "target": target, **draw(st.sampled_from(ways))}


def ways(made: Definition) -> Iterator[dict[str, str]]:
    """Every combination of how the nodes may end if they run: by a branch, or `FAILED` where that branches."""
    ends = [
        [*(branches(node) or (NO_BRANCH,)), *([FAILED] if node.on_error == "branch" else [])]
        for node in made.nodes.values()
    ]
    for chosen in product(*ends):
        yield dict(zip(made.nodes, chosen, strict=True))


def state(end: str) -> State:
    return State(FAILED) if end == FAILED else State("succeeded", output={"end": end}, branch=end or None)


def always(_edge: Edge) -> bool:
    return True


class Drive:
    """Runs a plan to its end. `pick` says which of those that run ends next; `watch` sees each turn."""

    def __init__(self, made: Definition, ends: Mapping[str, str], *, holds: Callable[[Edge], bool] = always) -> None:
        self.plan = Plan(made)
        self.made = made
        self.ends = ends
        self.holds = holds
        self.states: dict[str, State] = {}
        self.begun: list[str] = []
        self.history: list[dict[str, State]] = []

    def run(self, rng: random.Random) -> dict[str, State]:
        running: list[str] = []
        while True:
            self.history.append(dict(self.states))
            moves = self.plan.moves(self.states, self.holds)
            self.states.update((key, State("skipped")) for key in moves.skipped)
            self.states.update((key, State("running")) for key in moves.ready)
            self.begun += moves.ready
            running += moves.ready
            if not running:
                return self.states
            key = running.pop(rng.randrange(len(running)))
            self.states[key] = state(self.ends[key])
