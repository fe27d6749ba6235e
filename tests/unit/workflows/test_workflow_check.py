"""What a definition means is checked before anything is paid, and all faults are told at once."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_world import Tree, definitions, plain, tree
from test_workflow_shape import told

from gateway.workflows.check import checked
from gateway.workflows.problems import BadDefinition, Problem
from gateway.workflows.spec import Definition


def prompt(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "prompt", "prompt": text, **more}


def accepted(*spelled: Any, **more: Any) -> bool:
    return bool(checked(tree(*spelled, **more)))


TOPIC = {"type": "object", "properties": {"topic": {"type": "string"}, "deep": {"properties": {"er": {}}}}}


def test_all_faults_of_meaning_are_told_at_once_with_the_nearest_names() -> None:
    nodes = {
        "draft": prompt("{{ input.topc }}", output_schema={"properties": {"title": {}}}),
        "risks": prompt("{{ nodes.draft.output.titel }} {{ nodes.drat.output }}"),
        "none": {"type": "prompt"},
        "both": {"type": "prompt", "prompt": "x", "messages": []},
        "fork": {"type": "switch", "cases": {"a": "nodes.risks.output.text ==", "default": "true"}},
        "late": prompt("{{ nodes.fork.output.branch }}", mode="fallback"),
        "alone": prompt("x", default=1),
        "stuck": prompt("x", on_error="branch"),
        "each": {"type": "map", "over": "[]", "node": prompt("{{ itm }}", on_error="branch")},
        "asks": {"type": "approval", "message": "?", "form_schema": {"type": "strin"}},
    }
    edges: list[Any] = ["draft>risks", "risks>fork", "risks>fork", "risks>rsks", "draft>draft"]
    edges += [
        {"source": "fork", "target": "alone", "branch": "b"},
        {"source": "risks", "target": "asks", "branch": "x"},
    ]
    edges += [
        {"source": "risks", "target": "stuck", "on": "error"},
        {"source": "fork", "target": "each", "condition": "%"},
    ]
    said = told(tree(nodes, *edges, input_schema=TOPIC, outputs={"o": ["{{ nodes.late.outpt }}", "{{ item }}"]}))
    # With a circle what comes before what is not known, and what is read is not looked at.
    assert said["$.edges[2]"] == ["This edge is there twice."]
    assert said["$.edges[3].target"] == ["There is no node 'rsks'; did you mean 'risks'?"]
    assert said["$.edges[4]"] == ["An edge leads to another node; to repeat one, use a 'loop'."]
    assert said["$.edges[5].branch"] == ["There is no branch 'b'. There are a, default, default."]
    assert said["$.edges[6].branch"] == ["There is no branch 'x'. Node 'risks' is no fork."]
    assert said["$.edges[7].on"] == ['Node \'risks\' needs "on_error": "branch" for this edge.']
    assert (
        said["$.nodes.none.prompt"] == said["$.nodes.both.prompt"] == ["Give exactly one of 'prompt' and 'messages'."]
    )
    assert said["$.nodes.late.providers"] == ["Mode 'fallback' needs 'providers', in the order to try them."]
    assert said["$.nodes.alone.default"] == ['A default is used with "on_error": "default" only.']
    assert said["$.nodes.stuck.on_error"] == ["No edge with 'on': 'error' leads away from this node."]
    assert said["$.nodes.each.node.on_error"] == ["No edge leads away from within a map or a loop."]
    assert said["$.nodes.asks.form_schema"][0].startswith("This is no JSON Schema: ")
    assert said["$.nodes.fork.cases.default"] == ["'default' is what is followed when no case holds."]
    assert said["$.edges"] == ["These nodes wait for each other: draft → draft."]
    del edges[4]
    said = told(tree(nodes, *edges, input_schema=TOPIC, outputs={"o": ["{{ nodes.late.outpt }}", "{{ item }}"]}))
    assert said["$.nodes.draft.prompt"] == ["'input' has no 'topc'; there are deep, topic."]
    assert said["$.nodes.risks.prompt"] == [
        "'nodes.draft.output' has no 'titel'; there are title.",
        "There is no node 'drat'; did you mean 'draft'?",
    ]
    assert said["$.nodes.fork.cases.a"][0].startswith("This cannot be read: ")
    assert said["$.nodes.late.prompt"] == ["Node 'fork' does not come before this: no edges lead from there to here."]
    assert said["$.nodes.each.node.prompt"] == ["There is no 'itm' here; there are index, input, item, nodes."]
    assert said["$.edges[7].condition"][0].startswith("This cannot be read: ")
    assert said["$.outputs.o[0]"] == ["A node has 'output' and 'error', not 'outpt': nodes.late.output."]
    assert said["$.outputs.o[1]"] == ["There is no 'item' here; there are input, nodes."]


def test_a_circle_is_told_in_its_order() -> None:
    said = told(tree(plain("a", "b", "c"), "a>b", "b>c", "c>a"))["$.edges"][0]
    assert said.split(": ")[1] in {"a → b → c → a.", "b → c → a → b.", "c → a → b → c."}


def test_a_join_that_can_never_run_is_told_with_the_way_out() -> None:
    nodes = plain("a", "b", "c", f={"type": "condition", "if": "true"})
    edges = [{"source": "f", "target": key, "branch": branch} for key, branch in (("a", "true"), ("b", "false"))]
    said = told(tree(nodes, *edges, "a>c", "b>c"))
    assert said == {
        "$.nodes.c.join": [
            'This node can never run: it joins ways of \'f\' that exclude each other; use "join": "any".'
        ]
    }


def test_by_what_a_provider_is_chosen_must_be_there() -> None:
    nodes = {
        "a": prompt("x", strategy="luck"),
        "b": prompt("x", objective={"speed": 1, "cost": 1}),
        "c": {"type": "map", "over": "[]", "node": prompt("x", objective={"cost": -1})},
        "d": prompt("x", strategy="least_busy", objective={"quality": 1}),
    }
    said = told(tree(nodes))
    assert said.keys() == {"$.nodes.a.strategy", "$.nodes.b.objective.speed", "$.nodes.c.node.objective"}
    assert "load_balanced" in said["$.nodes.a.strategy"][0]
    assert "quality" in said["$.nodes.b.objective.speed"][0]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{{ input.topic }}", None),
        ("{{ input.deep.er.and.deeper }}", None),
        ("{{ input.topic.upper() }}{{ input.topic[0] }}", None),
        ("{{ input.topic.text }}", "'input.topic' is of type string and has no 'text'."),
        ("{{ input }}", None),
        ("{{ input.deep.wider }}", "'input.deep' has no 'wider'; there are er."),
        ("{{ nodes.a.output }}", None),
        ("{{ nodes['a'].output.text }}", None),
        ("{{ nodes.a.output.txt }}", "'nodes.a.output' has no 'txt'"),
        ("{{ nodes.a }}", "Say what of 'a': nodes.a.output."),
        ("{{ nodes }}", "Say which node, by its name"),
        ("{{ nodes[input.topic].output }}", "Say which node, by its name"),
        ("{{ nodes.b.output.text }}", "Node 'b' does not come before this"),
        ("{{ now() }}", "There is no 'now' here"),
        ("{{ loop }}", "There is no 'loop' here"),
        ("{{ item }}", "There is no 'item' here"),
        ("{{ self }}", "There is no 'self' here"),
        ("{% for x in input.deep %}{{ loop.index }} {{ x }}{% endfor %}", None),
        ("{% for x in input.deep %}{% endfor %}{{ x }}", "There is no 'x' here"),
        ("{% if input.topic %}{% set y = 1 %}{% endif %}{{ y }}", "There is no 'y' here"),
        ("{% set y = input.topic %}{{ y }}", None),
        ("{% raw %}{{ nowhere }}{% endraw %}{# {{ nowhere }} #}", None),
        ("{% for nodes in nodes.b.output.items %}{% endfor %}", "Node 'b' does not come before this"),
        ("{{ input.topic | nothing }}", "This cannot be read: No filter named 'nothing'."),
        ("{{ input.topic is nothing }}", "This cannot be read: No test named 'nothing'."),
        ("{% include 'x' %}", "This cannot be read: There is no 'include' here"),
        ("{{ input.topic", "This cannot be read: "),
    ],
)
def test_what_a_template_reads_must_be_there(text: str, fault: str | None) -> None:
    spelled = tree({"a": prompt("x"), "b": prompt(text)}, "a>b", input_schema=TOPIC)
    if fault is None:
        assert checked(spelled)
    else:
        assert any(message.startswith(fault) for message in told(spelled)["$.nodes.b.prompt"])


@pytest.mark.parametrize("word", ["additionalProperties", "patternProperties", "allOf", "$ref"])
def test_a_schema_that_leaves_fields_open_is_taken_at_its_word(word: str) -> None:
    opened: dict[str, Any] = {"additionalProperties": {}, "patternProperties": {"^x": {}}, "allOf": [{}], "$ref": "#"}
    schema = {"properties": {"topic": {}}, word: opened[word]}
    assert accepted({"a": prompt("{{ input.other }}")}, input_schema=schema)


def test_a_schema_that_is_closed_in_words_is_closed() -> None:
    schema = {"properties": {"topic": {}}, "additionalProperties": False}
    assert told(tree({"a": prompt("{{ input.other }}")}, input_schema=schema))


@pytest.mark.parametrize(
    ("node", "place", "fault"),
    [
        ({"type": "map", "over": "item", "node": prompt("x")}, "over", "There is no 'item' here"),
        ({"type": "map", "over": "[1]", "node": prompt("{{ item }} {{ index }}")}, None, None),
        (
            {"type": "map", "over": "[1]", "node": prompt("{{ previous }}")},
            "node.prompt",
            "There is no 'previous' here",
        ),
        (
            {"type": "loop", "until": "output or iteration > 2", "node": prompt("{{ previous }}")},
            None,
            None,
        ),
        ({"type": "loop", "until": "previous", "node": prompt("x")}, "until", "There is no 'previous' here"),
        ({"type": "loop", "until": "true", "node": prompt("{{ output }}")}, "node.prompt", "There is no 'output' here"),
        (prompt("x", retry_if="error.status == 503"), None, None),
        (prompt("x", retry_if="input"), "retry_if", "There is no 'input' here; there are error."),
        ({"type": "condition", "if": "{{ true }}"}, "if", "This cannot be read: "),
        ({"type": "http", "url": "u", "headers": {"a": "{{ x }}"}}, "headers.a", "There is no 'x' here"),
        ({"type": "http", "url": "u", "body": [{"a": "{{ x }}"}]}, "body[0].a", "There is no 'x' here"),
        ({"type": "tool", "server": "s", "tool": "t", "input": {"a": "{{ x }}"}}, "input.a", "There is no 'x' here"),
        ({"type": "workflow", "slug": "o", "inputs": {"a": "{{ x }}"}}, "inputs.a", "There is no 'x' here"),
        ({"type": "approval", "message": "{{ x }}"}, "message", "There is no 'x' here"),
        ({"type": "template", "output": {"a": "{{ x }}"}}, "output.a", "There is no 'x' here"),
        ({"type": "template"}, "template", "Give exactly one of"),
        (
            prompt("x", output_schema={"type": "strin"}),
            "output_schema",
            "This is no JSON Schema",
        ),
    ],
)
def test_every_kind_reads_what_is_known_where_it_stands(
    node: dict[str, Any], place: str | None, fault: str | None
) -> None:
    if place is None or fault is None:
        assert accepted({"n": node})
    else:
        assert told(tree({"n": node}))[f"$.nodes.n.{place}"][0].startswith(fault)


def test_a_condition_of_an_edge_reads_the_output_of_its_source() -> None:
    nodes = {"a": prompt("x"), "b": prompt("x")}
    edge = {"source": "a", "target": "b", "condition": "nodes.a.output.text == 'yes'"}
    assert accepted(nodes, edge)
    edge["condition"] = "nodes.b.output.text == 'yes'"
    assert told(tree(nodes, edge))["$.edges[0].condition"][0].startswith("Node 'b' does not come before this")


def test_the_default_of_a_fork_is_one_of_its_branches() -> None:
    fork = {"type": "condition", "if": "true", "on_error": "default"}
    said = told(tree({"f": {**fork, "default": "maybe"}, "a": prompt("x")}, "f>a"))
    assert said["$.nodes.f.default"] == ["The default of a fork is one of its branches: true, false."]
    assert accepted({"f": {**fork, "default": "false"}, "a": prompt("x")}, "f>a")


def test_why_a_node_failed_may_be_read_behind_it() -> None:
    edge = {"source": "a", "target": "b", "on": "error"}
    nodes = {"a": prompt("x", on_error="branch"), "b": prompt("{{ nodes.a.error.message }}")}
    assert accepted(nodes, edge)
    nodes["b"] = prompt("{{ nodes.a.error.mesage }}")
    assert "'nodes.a.error' has no 'mesage'" in told(tree(nodes, edge))["$.nodes.b.prompt"][0]


def test_what_can_be_read_is_checked_although_something_cannot() -> None:
    nodes = {
        "a": {"type": "promt", "prompt": "{{ x }}"},
        "b": prompt("{{ y }} {{ nodes.a.output.anything }}"),
        "c": {"type": "vote", "of": "a", "score": 1},
    }
    edges = [{"source": "a", "target": "b", "branch": "some"}, {"source": "b", "target": "zz"}]
    said = told({"slug": "s", "name": "n", "nodes": nodes, "edges": edges, "outputs": {"o": "{{ nodes.q.output }}"}})
    assert said.keys() == {"$.nodes.a.type", "$.nodes.b.prompt", "$.edges[1].target", "$.outputs.o"}
    assert said["$.nodes.b.prompt"] == ["There is no 'y' here; there are input, nodes."]


def test_where_an_edge_cannot_be_read_nothing_is_said_of_the_order() -> None:
    nodes = {"a": prompt("x"), "b": prompt("{{ nodes.a.output.text }} {{ nodes.q.output }}")}
    said = told({"slug": "s", "name": "n", "nodes": nodes, "edges": [{"source": "a", "traget": "b"}]})
    assert said.keys() == {"$.edges[0].traget", "$.edges[0]", "$.nodes.b.prompt"}
    assert said["$.nodes.b.prompt"] == ["There is no node 'q'."]


def faults(spelled: Tree) -> set[Problem]:
    try:
        checked(spelled)
    except BadDefinition as refused:
        return set(refused.problems)
    return set()


@given(definitions(), st.data())
def test_a_fault_of_shape_brings_no_others_to_light_that_are_none(made: Definition, data: st.DataObject) -> None:
    spelled = msgspec.to_builtins(made)
    before = faults(spelled)
    edges = spelled.get("edges", [])
    place = data.draw(st.sampled_from([*spelled["nodes"], *range(len(edges))]))
    spelt = edges[place] if isinstance(place, int) else spelled["nodes"][place]
    spelt["misspelt"] = 1
    more = faults(spelled) - before
    assert {one.path.rpartition(".")[2] for one in more} == {"misspelt"}


def test_thousands_of_faults_are_told_without_comparing_each_with_each() -> None:
    edges = [{"source": "a", "target": "b", "colour": "red"}] * 20_000
    nodes = {key: {"type": "template", "template": "x"} for key in "ab"}
    with pytest.raises(BadDefinition) as caught:
        checked({"slug": "s", "name": "s", "nodes": nodes, "edges": edges})
    assert len(caught.value.problems) == 20_000


def test_a_whole_number_with_a_point_is_told_and_is_no_defect() -> None:
    # JSON Schema takes 1.0 for an integer; found by `make fuzz`.
    node = {"type": "http", "url": "https://a.example/", "retries": 1.0}
    for spelled in ({"type": "map", "over": "{{ input.a }}", "node": node}, node):
        with pytest.raises(BadDefinition) as caught:
            checked({"slug": "a", "name": "a", "nodes": {"n": spelled}})
        assert caught.value.problems
        assert "$" in caught.value.problems[0].path
