"""The graph of a definition: an order in which nodes come after their sources, who precedes whom, and what cannot run.

Order: Kahn's algorithm, ties in the order in which the nodes are written, so that the same definition always has the
same order (the engine numbers its steps by it).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from gateway.workflows.spec import Approval, Condition, Definition, Edge, Node, Switch

APPROVED, REJECTED = "approved", "rejected"
DEFAULT = "default"
#: Ends that are no branch: that of a node that is no fork (or of a fork whose `default` stood in), and a failure.
NO_BRANCH, FAILURE = "", "(failure)"
#: By node, how it must end.
_Needs = dict[str, frozenset[str]]


class Graph:
    """Edges by their ends. Those whose ends are no nodes are left out."""

    def __init__(self, definition: Definition) -> None:
        """Of this definition."""
        self.keys = tuple(definition.nodes)
        self.into: dict[str, list[Edge]] = {key: [] for key in self.keys}
        self.out_of: dict[str, list[Edge]] = {key: [] for key in self.keys}
        for edge in definition.edges:
            if edge.source in definition.nodes and edge.target in definition.nodes:
                self.into[edge.target].append(edge)
                self.out_of[edge.source].append(edge)
        self._nodes = definition.nodes

    def order(self) -> list[str]:
        """Every node after its sources; nodes on a circle, and behind one, are missing."""
        waiting = {key: len(self.into[key]) for key in self.keys}
        places = {key: place for place, key in enumerate(self.keys)}
        ready = [place for key, place in places.items() if not waiting[key]]
        found: list[str] = []
        while ready:
            key = self.keys[heappop(ready)]
            found.append(key)
            for edge in self.out_of[key]:
                waiting[edge.target] -= 1
                if not waiting[edge.target]:
                    heappush(ready, places[edge.target])
        return found

    def circle(self) -> list[str]:
        """The nodes of one circle, in their order; empty when there is none."""
        left = set(self.keys) - set(self.order())
        # Everything left has a source that is left: walking backwards must come back.
        walk: list[str] = []
        here = min(left, default=None)
        while here is not None and here not in walk:
            walk.append(here)
            here = next(edge.source for edge in self.into[here] if edge.source in left)
        return list(reversed(walk[walk.index(here) :])) if here is not None else []

    def ancestors(self) -> dict[str, set[str]]:
        """For each node all that precede it. Of a graph without circles."""
        found: dict[str, set[str]] = {}
        for key in self.order():
            sources = {edge.source for edge in self.into[key]}
            found[key] = sources.union(*(found[source] for source in sources))
        return found

    def sources(self, key: str) -> dict[str, list[Edge]]:
        """The edges that lead to a node by where they come from: several from one source are alternatives."""
        found: dict[str, list[Edge]] = {}
        for edge in self.into[key]:
            found.setdefault(edge.source, []).append(edge)
        return found

    def ends(self, edge: Edge) -> frozenset[str]:
        """How its source must end for an edge to be followed: by one of these branches, or by `FAILURE`."""
        if edge.on == "error":
            return frozenset({FAILURE})
        source = self._nodes[edge.source]
        if edge.branch is None:
            return frozenset({APPROVED} if isinstance(source, Approval) else {NO_BRANCH, *branches(source)})
        return frozenset({edge.branch})

    def never(self) -> dict[str, str]:
        """Nodes that can never run, and the fork that forbids it: a join of `all` behind two branches of one fork.

        What a node needs is how each node before it must end: for `all` as all of its sources need, for `any` as one of
        them does. No false alarm; behind joins of `any`, which forget what belongs together, some are not found. A node
        that only waits for such ones is not named.
        """
        needs: dict[str, _Needs] = {}
        found: dict[str, str] = {}
        for key in self.order():
            sources = self.sources(key)
            ways = [self._way(needs[source], edges) for source, edges in sources.items() if source in needs]
            if self._nodes[key].join == "all":
                needed = _both(ways)
                fork = next((source for source, ends in needed.items() if not ends), None)
                if fork is not None:
                    found[key] = fork
                elif len(ways) == len(sources):
                    needs[key] = needed
            elif ways or not sources:
                needs[key] = _either(ways)
        return found

    def _way(self, needs: _Needs, edges: Sequence[Edge]) -> _Needs:
        """What must be for one of these edges of a common source to be followed."""
        return {**needs, edges[0].source: frozenset[str]().union(*map(self.ends, edges))}


def branches(node: Node) -> tuple[str, ...]:
    """The ways on that a fork has; none of a node that is no fork."""
    match node:
        case Condition():
            return ("true", "false")
        case Switch(cases=cases):
            return (*cases, DEFAULT)
        case Approval():
            return (APPROVED, REJECTED)
        case _:
            return ()


def _both(ways: Sequence[_Needs]) -> _Needs:
    found: _Needs = {}
    for way in ways:
        for source, ends in way.items():
            found[source] = found.get(source, ends) & ends
    return found


def _either(ways: Sequence[_Needs]) -> _Needs:
    common = set[str](ways[0] if ways else ()).intersection(*ways)
    return {source: frozenset[str]().union(*(way[source] for way in ways)) for source in sorted(common)}
