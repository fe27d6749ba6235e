"""What may run now, what is skipped, and how it all ends: pure, from the graph and the nodes' states alone.

    source succeeded   its edges are followed whose branch it chose and whose condition holds
    source failed      with `on_error: branch` its edges `on: error` are followed; else no node begins any more
    source cancelled   by itself, not with the whole execution: as failed
    source skipped     none of its edges is followed

    join all           runs when every source leads here, is skipped when one does not
    join any           runs when one source leads here, is skipped when none does

Law: the same states give the same moves, so that a crash in between changes nothing; a node's state never goes back
within an attempt, hence its followers' do not either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct, field

from gateway.workflows.graph import FAILURE, NO_BRANCH, Graph
from gateway.workflows.kept import ExecutionStatus, Json, Status
from gateway.workflows.spec import Definition, Edge

FAILED: tuple[Status, ...] = ("failed", "cancelled")
#: Whether an edge's condition holds.
Holds = Callable[[Edge], bool]


class State(Struct, frozen=True):
    """What is known of a node: its output when it has succeeded, its branch when it is a fork, why it failed."""

    status: Status = "pending"
    output: Json = None
    branch: str | None = None
    error: Json = None


class Moves(Struct, frozen=True):
    """What follows from the states, nodes in their order."""

    ready: list[str] = field(default_factory=list[str])
    skipped: list[str] = field(default_factory=list[str])


class Plan:
    """The plan of one definition."""

    def __init__(self, definition: Definition) -> None:
        """Of a definition that `check` has passed."""
        self._definition = definition
        self.graph = Graph(definition)
        self.order = tuple(self.graph.order())

    def moves(self, states: Mapping[str, State], holds: Holds) -> Moves:
        """Which pending nodes may run now, and which never will. Raises what `holds` raises."""
        if self.doomed(states):
            return Moves()
        now = dict(states)
        found = Moves()
        for key in self.order:
            if now.get(key, State()).status != "pending":
                continue
            verdict = self._verdict(key, now, holds)
            if verdict is True:
                found.ready.append(key)
            elif verdict is False:
                # In this order a skipped node's followers come later and see it.
                now[key] = State("skipped")
                found.skipped.append(key)
        return found

    def doomed(self, states: Mapping[str, State]) -> bool:
        """A node has failed for good: what runs may end, and nothing more begins."""
        nodes = self._definition.nodes
        return any(one.status in FAILED and nodes[key].on_error != "branch" for key, one in states.items())

    def ended(self, states: Mapping[str, State]) -> ExecutionStatus:
        """How an attempt ends in which nothing runs and nothing can begin."""
        if self.doomed(states):
            return "failed"
        return "waiting" if any(one.status == "waiting" for one in states.values()) else "completed"

    def progress(self, states: Mapping[str, State]) -> float:
        """How much is done, in percent; what was skipped counts, as nobody waits for it."""
        done = sum(one.status in {"succeeded", "skipped", *FAILED} for one in states.values())
        return 100.0 * done / len(self.order)

    def _verdict(self, key: str, states: Mapping[str, State], holds: Holds) -> bool | None:
        """Whether it runs; None: not decided yet."""
        found = [self._leads(edges, states, holds) for edges in self.graph.sources(key).values()]
        if not found:
            return True
        first, last = (False, True) if self._definition.nodes[key].join == "all" else (True, False)
        if first in found:
            return first
        return None if None in found else last

    def _leads(self, edges: list[Edge], states: Mapping[str, State], holds: Holds) -> bool | None:
        """Whether the common source of these edges leads to their target; None: not decided yet."""
        state = states.get(edges[0].source, State())
        match state.status:
            case "succeeded":
                end = state.branch or NO_BRANCH
            case "failed" | "cancelled":
                end = FAILURE
            case "skipped":
                return False
            case _:
                return None
        chosen = (edge for edge in edges if end in self.graph.ends(edge))
        return any(edge.condition is None or holds(edge) for edge in chosen)
