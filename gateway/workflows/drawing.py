"""A definition as a picture: Mermaid text, and SVG. With the states of an execution its nodes are coloured by them.

The SVG is a layered drawing: a node stands one layer below the last of its sources, within a layer in the order of the
plan. That is Sugiyama's first step without his others: with the tens of nodes a workflow has, crossings are few.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape

from gateway.workflows.graph import Graph
from gateway.workflows.plan import State
from gateway.workflows.spec import Definition, Edge, Node

_WIDE, _HIGH, _ACROSS, _DOWN, _MARGIN = 180, 46, 40, 54, 20
_INK = "#52525b"
_COLOURS = {
    "pending": "#f4f4f5",
    "running": "#bfdbfe",
    "waiting": "#fde68a",
    "succeeded": "#bbf7d0",
    "failed": "#fecaca",
    "skipped": "#e4e4e7",
    "cancelled": "#fed7aa",
}
#: Mermaid's brackets by kind: forks are rhombs, people are stadiums.
_SHAPES = {"condition": ("{", "}"), "switch": ("{", "}"), "approval": ("([", "])"), "workflow": ("[[", "]]")}

#: What XML forbids, and what ends a line for somebody.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
#: Mermaid's own, of which `#` begins one, and a backtick after a quote begins Markdown.
_ENTITIES = str.maketrans({"#": "#35;", "&": "#amp;", '"': "#quot;", "<": "#lt;", "`": "#96;"})


def mermaid(definition: Definition, states: Mapping[str, State] | None = None) -> str:
    """As a Mermaid flowchart."""
    lines = ["flowchart TD"]
    for key, node in definition.nodes.items():
        left, right = _SHAPES.get(kind(node), ("[", "]"))
        lines.append(f'    {key}{left}"{_quoted(node.name or key)}"{right}')
    for edge in definition.edges:
        label = _label(edge)
        lines.append(f"    {edge.source} -->" + (f'|"{_quoted(label)}"| ' if label else " ") + edge.target)
    for key, state in (states or {}).items():
        lines.append(f"    style {key} fill:{_COLOURS[state.status]}")
    return "\n".join(lines) + "\n"


def svg(definition: Definition, states: Mapping[str, State] | None = None) -> str:
    """As an SVG document."""
    places = _places(definition)
    wide = max(x for x, _ in places.values()) + _WIDE + _MARGIN
    high = max(y for _, y in places.values()) + _HIGH + _MARGIN
    size = f'width="{wide}" height="{high}" viewBox="0 0 {wide} {high}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f"<title>{_escaped(definition.name)}</title>",
        '<defs><marker id="end" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{_INK}"/></marker></defs>',
    ]
    parts += [_line(edge, places) for edge in definition.edges]
    for key, node in definition.nodes.items():
        status = (states or {}).get(key, State()).status
        parts.append(_box(key, node, places[key], status))
    return "\n".join([*parts, "</svg>"]) + "\n"


def kind(node: Node) -> str:
    """Its `type`."""
    return str(node.__struct_config__.tag)


def _places(definition: Definition) -> dict[str, tuple[int, int]]:
    """The upper left corner of each node."""
    graph = Graph(definition)
    layer: dict[str, int] = {}
    taken: dict[int, int] = {}
    places: dict[str, tuple[int, int]] = {}
    for key in graph.order():
        layer[key] = max((layer[edge.source] + 1 for edge in graph.into[key]), default=0)
        column = taken.get(layer[key], 0)
        taken[layer[key]] = column + 1
        places[key] = (_MARGIN + column * (_WIDE + _ACROSS), _MARGIN + layer[key] * (_HIGH + _DOWN))
    return places


def _box(key: str, node: Node, place: tuple[int, int], status: str) -> str:
    x, y = place
    middle = x + _WIDE // 2
    name = _escaped(_short(node.name or key))
    at = f'x="{middle}" text-anchor="middle"'
    return (
        f'<g><title>{escape(key)}: {status}</title><rect x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}" rx="6" '
        f'fill="{_COLOURS[status]}" stroke="{_INK}"/><text {at} y="{y + 20}">{name}</text>'
        f'<text {at} y="{y + 36}" fill="{_INK}" font-size="10">{kind(node)}</text></g>'
    )


def _line(edge: Edge, places: Mapping[str, tuple[int, int]]) -> str:
    x1, y1 = places[edge.source][0] + _WIDE // 2, places[edge.source][1] + _HIGH
    x2, y2 = places[edge.target][0] + _WIDE // 2, places[edge.target][1]
    half = (y1 + y2) // 2
    path = (
        f'<path d="M{x1},{y1} C{x1},{half} {x2},{half} {x2},{y2}" fill="none" stroke="#52525b" marker-end="url(#end)"/>'
    )
    label = _escaped(_short(_label(edge)))
    at = f'x="{(x1 + x2) // 2 + 4}" y="{half}"'
    return path + (f'<text {at} fill="{_INK}" font-size="10">{label}</text>' if label else "")


def _label(edge: Edge) -> str:
    return ", ".join(filter(None, ("error" if edge.on == "error" else "", edge.branch, edge.condition)))


def _short(text: str) -> str:
    return text if len(text) <= 26 else text[:25] + "…"


def _quoted(text: str) -> str:
    """As Mermaid takes it within quotes."""
    return _CONTROLS.sub(" ", text).translate(_ENTITIES)


def _escaped(text: str) -> str:
    """As XML takes it, which has no controls."""
    return escape(_CONTROLS.sub(" ", text))
