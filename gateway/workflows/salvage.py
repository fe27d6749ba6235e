"""What is left of a definition that has not the shape it should: enough to check what the rest of it means.

So that whoever writes one is told of a misspelt field and of an edge to nowhere at once, not of one after the other.
Law: nothing is told that would not be told once the shape is right. So a node that cannot be read is taken for one of
which nothing is known, and where an edge cannot be read nothing is said of what comes before what.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import Struct

from gateway.workflows.problems import Problem, at
from gateway.workflows.spec import Definition, Json, elements, members

#: Its output may be anything.
_STAND_IN: Json = {"type": "template", "output": {}}
_NO_EDGE: Json = {"source": "", "target": ""}
#: What of a definition is read by the check of its meaning, beside nodes and edges.
_READ = ("input_schema", "outputs")


class Salvage(Struct):
    """`definition` says what could be read; `in_order`: all edges could."""

    definition: Definition
    in_order: bool
    #: Places of which nothing is known, and those whose faults may come of that.
    unread: set[str]
    doubtful: set[str]

    def told(self, problems: Iterable[Problem]) -> list[Problem]:
        """Those of them that are there for certain."""
        return [one for one in problems if one.path not in self.doubtful and self.unread.isdisjoint(_places(one))]


def salvaged(tree: Json, problems: Sequence[Problem]) -> Salvage | None:
    """What is left of a tree with these faults of shape; None: nothing that could be checked."""
    fields = members(tree) or {}
    nodes = members(fields.get("nodes"))
    if not nodes:
        return None

    faulty = {place for one in problems for place in _places(one)}

    def is_odd(*where: str | int) -> bool:
        return at(*where) in faulty

    odd = {key for key in nodes if is_odd("nodes", key)}
    unread, doubtful = {at("nodes", key) for key in odd}, set[str]()
    for key in nodes.keys() - odd:
        if (members(nodes[key]) or {}).get("of") in odd:  # a vote on its answer
            doubtful.add(at("nodes", key, "of"))
    edges: list[Json] = []
    for place, edge in enumerate(elements(fields.get("edges")) or []):
        if is_odd("edges", place):
            unread.add(at("edges", place))
            edge = _NO_EDGE
        elif edge["source"] in odd:
            doubtful.add(at("edges", place))
            edge = {"source": edge["source"], "target": edge["target"]}
        edges.append(edge)
    left = {name: fields[name] for name in _READ if name in fields and not is_odd(name)}
    kept = {key: _STAND_IN if key in odd else node for key, node in nodes.items()}
    try:
        definition = msgspec.convert({"slug": "s", "name": "n", "nodes": kept, "edges": edges, **left}, Definition)
    except msgspec.ValidationError:
        return None  # keys of nodes that are none
    return Salvage(definition, not is_odd("edges"), unread, doubtful)


def _places(problem: Problem) -> Iterator[str]:
    """The place of a problem and all that it lies within."""
    path = problem.path
    yield path
    for end, sign in enumerate(path):
        if sign in ".[":
            yield path[:end]
