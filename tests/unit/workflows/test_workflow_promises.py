"""What `check` lets pass is filled in without a fault, when inputs and outputs follow their schemas."""

from __future__ import annotations

from typing import Any

from hypothesis import find, given
from hypothesis import strategies as st
from plan_world import Tree, tree

from gateway.workflows.bind import bound, holds, outputs, scope
from gateway.workflows.check import checked
from gateway.workflows.graph import Graph
from gateway.workflows.plan import State
from gateway.workflows.problems import BadDefinition
from gateway.workflows.spec import Condition, Definition, Node, Prompt, Switch
from gateway.workflows.templates import evaluate

SHAPES = (
    "{{ %s }}",
    "x{{ %s }}y",
    "{%% if %s %%}{{ %s }}{%% endif %%}",
    "{%% for q in [%s] %%}{{ q }}{{ loop.index }}{%% endfor %%}",
    "{%% set q = %s %%}{{ q }}",
    "{%% for q in [%s] %%}{%% endfor %%}{{ q }}",
    "{{ [%s] | map('string') | join }}",
    "{{ {'k': %s}['k'] }}",
)


#: Of what comes in and of each output; `items` and `keys` are methods of Python's objects, too.
SCHEMA: Tree = {
    "type": "object",
    "properties": {
        "items": {"type": "string"},
        "keys": {"type": "object", "properties": {"items": {"type": "number"}}, "required": ["items"]},
    },
    "required": ["items", "keys"],
}
VALUE = {"items": "text", "keys": {"items": 1}}
#: Some of them are not there.
PATHS = ["items", "keys", "keys.items", "keys.items.items", "items.keys", "keys.keys", "gone"]


@st.composite
def paths(draw: st.DrawFn, keys: list[str]) -> str:
    """Half of them there, if what they begin with is."""
    root = draw(st.sampled_from(["input", *(f"nodes.{key}.output" for key in keys)]))
    return f"{root}.{draw(st.sampled_from([*PATHS[:3], *PATHS]))}"


@st.composite
def spelled(draw: st.DrawFn) -> Tree:
    keys = ["n0", "n1"]
    nodes: dict[str, Tree] = {}
    for place, key in enumerate(keys):
        read = draw(paths(keys[: place + draw(st.sampled_from((0, 0, 1)))]))
        shape = draw(st.sampled_from(SHAPES))
        text = shape % ((read,) * shape.count("%s"))
        prompt = {"type": "prompt", "prompt": text, "output_schema": SCHEMA}
        nodes[key] = draw(st.sampled_from([prompt, prompt, {"type": "condition", "if": f"{read} == 'x'"}]))
    edge = {"source": "n0", "target": "n1", "condition": draw(paths(["n0"]))}
    outputs = {"o": "{{ " + draw(paths(keys)) + " }}"}
    return tree(nodes, *draw(st.sampled_from([[], ["n0>n1"], [edge]])), input_schema=SCHEMA, outputs=outputs)


def _output(node: Node) -> Any:
    match node:
        case Prompt():
            return VALUE
        case _:
            return {"branch": "true"}


def fill_all(made: Definition) -> None:
    inputs = VALUE
    graph = Graph(made)
    states: dict[str, State] = {}
    for key in graph.order():
        # Of others nothing is known: what a node reads must not depend on who was faster.
        before = graph.ancestors()[key]
        node, known = made.nodes[key], scope(inputs, {one: states[one] for one in before})
        bound(node, known)
        if isinstance(node, Condition):
            evaluate(node.if_, known)
        states[key] = State("succeeded", output=_output(node), branch=None)
        for edge in graph.out_of[key]:
            holds(edge, scope(inputs, {one: states[one] for one in {*before, key}}))
    outputs(made, inputs, states)


def passes(definition: Tree) -> bool:
    try:
        made = checked(definition)
    except BadDefinition:
        return False
    fill_all(made)
    return True


@given(spelled())
def test_what_is_accepted_is_filled_in(definition: Tree) -> None:
    passes(definition)


def test_some_of_them_are_accepted_and_some_are_not() -> None:
    """Otherwise the law above says nothing."""
    assert find(spelled(), passes)
    assert find(spelled(), lambda one: not passes(one))


def test_a_case_of_a_switch_is_read_like_any_expression() -> None:
    made = checked(tree({"s": {"type": "switch", "cases": {"a": "input == 1", "b": "input is defined"}}}))
    node = made.nodes["s"]
    assert isinstance(node, Switch)
    assert [evaluate(one, scope(1, {})) for one in node.cases.values()] == [True, True]
