"""What a node is given: only what has ended, null for what was skipped, the same for the same states."""

from __future__ import annotations

from typing import Any

import pytest
from plan_world import definition, plain

from gateway.workflows.bind import bound, case, completed, holds, outputs, scope
from gateway.workflows.plan import State
from gateway.workflows.spec import Definition, Edge, Http, Prompt, Switch, Tool
from gateway.workflows.templates import BadTemplate


def done(output: Any = None) -> State:
    return State("succeeded", output=output)


def test_templates_see_the_inputs_and_what_has_ended() -> None:
    states = {
        "a": done(1),
        "b": State("skipped"),
        "c": State("failed", error={"type": "timeout"}),
        "d": State("running"),
        "e": State("waiting"),
    }
    known = scope({"x": 1}, states, item=5)
    assert known == {
        "input": {"x": 1},
        "nodes": {
            "a": {"output": 1, "error": None},
            "b": {"output": None, "error": None},
            "c": {"output": None, "error": {"type": "timeout"}},
        },
        "item": 5,
    }


def test_inputs_that_were_left_out_are_the_schemas_defaults_or_null() -> None:
    schema = {"properties": {"tone": {"default": "dry"}, "length": {"type": "integer"}, "topic": {"default": "x"}}}
    made = Definition(slug="s", name="s", input_schema=schema, nodes={"a": Prompt(prompt="p")})
    assert completed(made, {"topic": "tea"}) == {"tone": "dry", "length": None, "topic": "tea"}
    assert completed(made, [1]) == [1]


def test_a_join_of_any_writes_what_is_there() -> None:
    known = scope({}, {"a": State("skipped"), "b": done("yes")})
    assert bound(Prompt(prompt="{{ nodes.a.output or nodes.b.output }}!"), known).prompt == "yes!"


def test_all_templates_of_a_node_are_filled_in_and_nothing_else() -> None:
    known = scope({"x": [1]}, {})
    node = Http(name="{{ x }}", url="u/{{ input.x }}", headers={"h": "{{ input.x }}"}, query={"q": "{{ input.x }}"})
    made = bound(node, known)
    assert made == Http(name="{{ x }}", url="u/[1]", headers={"h": [1]}, query={"q": [1]})  # pyright: ignore[reportArgumentType] - a value stays a value
    assert node.url == "u/{{ input.x }}"
    tool = bound(Tool(server="s", tool="t", input={"a": {"b": ["{{ input.x }}", 5]}}), known)
    assert tool.input == {"a": {"b": [[1], 5]}}
    prompt = bound(Prompt(messages=[{"role": "user", "content": "{{ input.x }}."}], system="s"), known)
    assert prompt.messages == [{"role": "user", "content": "[1]."}]
    assert prompt.prompt is None


def test_what_cannot_be_filled_in_is_told() -> None:
    with pytest.raises(BadTemplate, match="no 'y' here"):
        bound(Prompt(prompt="{{ input.y }}"), scope({"x": 1}, {}))


@pytest.mark.parametrize(
    ("condition", "held"),
    [(None, True), ("input.n > 1", True), ("input.n > 5", False), ("[]", False), ("nodes.a.output", False)],
)
def test_an_edge_holds_when_its_condition_does(condition: str | None, held: bool) -> None:
    known = scope({"n": 2}, {"a": done("")})
    assert holds(Edge(source="a", target="b", condition=condition), known) is held


def test_a_condition_that_cannot_be_told_is_an_error() -> None:
    with pytest.raises(BadTemplate, match="no 'm' here"):
        holds(Edge(source="a", target="b", condition="input.m"), scope({"n": 2}, {}))


def test_the_first_case_that_holds_is_taken_and_no_later_one_is_tried() -> None:
    known = scope({"n": 2}, {})
    assert case(Switch(cases={"big": "input.n > 5", "mid": "input.n > 1", "any": "true"}), known) == "mid"
    assert case(Switch(cases={"any": "true", "broken": "input.gone"}), known) == "any"
    assert case(Switch(cases={"big": "input.n > 5"}), known) is None
    with pytest.raises(BadTemplate):
        case(Switch(cases={"broken": "input.gone", "any": "true"}), known)


def test_without_outputs_come_those_of_nodes_that_nothing_follows() -> None:
    made = definition(plain("a", "b", "c", "d"), "a>b", "a>c")
    states = {"a": done(1), "b": done(2), "c": State("skipped"), "d": done(None)}
    assert outputs(made, {}, states) == {"b": 2, "d": None}


def test_an_output_that_needs_what_was_skipped_is_null() -> None:
    wanted = {
        "a": "{{ nodes.a.output.text }}",
        "b": "{{ nodes.b.output.text }}",
        "either": "{{ nodes.a.output or nodes.b.output }}",
        "both": ["{{ nodes.a.output.text }}", {"b": "{{ nodes.b.output.text }}"}],
        "fixed": 5,
    }
    made = definition(plain("a", "b"), outputs=wanted)
    found = outputs(made, {}, {"a": State("skipped"), "b": done({"text": "t"})})
    assert found == {"a": None, "b": "t", "either": {"text": "t"}, "both": None, "fixed": 5}
    assert outputs(made, {}, {"b": done({"text": "t"})})["a"] is None


def test_an_output_that_is_wrong_for_another_reason_is_an_error() -> None:
    made = definition(plain("a"), outputs={"a": "{{ nodes.a.output.gone }}"})
    with pytest.raises(BadTemplate, match="no 'gone' here"):
        outputs(made, {}, {"a": done({"text": "t"})})


@pytest.mark.parametrize(
    ("value", "text"), [(5, "5"), (None, ""), (True, "true"), ({"a": [1]}, '{"a":[1]}'), ("as it is", "as it is")]
)
def test_what_is_asked_is_a_text_whatever_it_is_made_of(value: Any, text: str) -> None:
    known = scope({"x": value}, {})
    assert bound(Prompt(prompt="{{ input.x }}", system="<{{ input.x }}>"), known).prompt == text
    assert bound(Prompt(prompt="{{ input.x }}", system="<{{ input.x }}>"), known).system == f"<{text}>"
