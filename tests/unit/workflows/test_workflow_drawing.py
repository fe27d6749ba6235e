"""Pictures of definitions: whatever people call their nodes, they are well-formed, and what a name says stays one."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_world import definition, definitions

from gateway.workflows.drawing import mermaid, svg
from gateway.workflows.plan import State
from gateway.workflows.spec import Definition

SVG = "{http://www.w3.org/2000/svg}"
NASTY = [
    '<script>alert("1")</script>',
    "a & b &amp; c",
    '"]; click a "javascript:x"',
    "]]>",
    "two\nlines",
    "|pipe|",
    "ünï→",
]


def named(name: str, condition: str | None = None) -> Definition:
    nodes: Any = {"a": {"type": "prompt", "prompt": "q", "name": name}, "b": {"type": "approval", "message": "?"}}
    return definition(nodes, {"source": "a", "target": "b", "condition": condition}, name=name)


def texts(drawn: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(drawn).iter() if one.tag in {f"{SVG}text", f"{SVG}title"}]


@pytest.mark.parametrize("name", NASTY)
def test_a_name_is_text_and_nothing_else(name: str) -> None:
    made = named(name, condition=name)
    drawn = svg(made, {"a": State("failed"), "b": State("waiting")})
    tree = ElementTree.fromstring(drawn)
    assert {one.tag.removeprefix(SVG) for one in tree.iter()} == {
        "svg",
        "title",
        "defs",
        "marker",
        "path",
        "g",
        "rect",
        "text",
    }
    assert texts(drawn)[0] == name.replace("\n", " ")
    assert "<script" not in drawn
    lines = mermaid(made).splitlines()
    assert len(lines) == 4
    for line in lines[1:]:
        assert line.count('"') in {0, 2}
        assert "<" not in line


@given(st.text(min_size=1, max_size=60))
def test_whatever_a_name_is_the_drawing_is_well_formed(name: str) -> None:
    made = named(name, condition=name)
    ElementTree.fromstring(svg(made))
    lines = mermaid(made).splitlines()
    assert len(lines) == 4
    assert all(line.count('"') in {0, 2} for line in lines)


@given(definitions())
def test_every_node_and_edge_is_drawn_and_edges_lead_downwards(made: Definition) -> None:
    tree = ElementTree.fromstring(svg(made))
    boxes = {
        (one.findtext(f"{SVG}title") or "").partition(":")[0]: one.find(f"{SVG}rect") for one in tree.iter(f"{SVG}g")
    }
    assert set(boxes) == set(made.nodes)
    places = {(one.get("x"), one.get("y")) for one in boxes.values() if one is not None}
    assert len(places) == len(made.nodes)
    for edge in made.edges:
        above, below = boxes[edge.source], boxes[edge.target]
        assert above is not None
        assert below is not None
        assert int(above.get("y", "0")) < int(below.get("y", "0"))
    assert len(tree.findall(f"{SVG}path")) == len(made.edges)
    assert mermaid(made).count("-->") == len(made.edges)


def test_states_have_colours_and_forks_shapes() -> None:
    fork: Any = {"type": "condition", "if": "true"}
    made = definition(
        {"f": fork, "t": {"type": "template", "template": "x"}}, {"source": "f", "target": "t", "branch": "true"}
    )
    drawn = mermaid(made, {"f": State("succeeded"), "t": State("running")})
    assert drawn.splitlines() == [
        "flowchart TD",
        '    f{"f"}',
        '    t["t"]',
        '    f -->|"true"| t',
        "    style f fill:#bbf7d0",
        "    style t fill:#bfdbfe",
    ]
    assert svg(made, {"f": State("succeeded")}).count("#bbf7d0") == 1
