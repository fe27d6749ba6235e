"""What can be read of executions beyond one of them: steps of all, figures, pictures, and how the engine is doing.

Law: as at the desk, a key reads of its own executions alone; the administrator of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from gateway.governance.keys import Principal
from gateway.store.engine import Database
from gateway.store.workflows import analytics, executions, executors, steps
from gateway.store.workflows.analytics import Figures
from gateway.store.workflows.steps import Filters
from gateway.workflows.desk import Desk
from gateway.workflows.drawing import kind, mermaid, svg
from gateway.workflows.kept import WHOLE, StepExecution
from gateway.workflows.library import Library
from gateway.workflows.plan import Plan, State
from gateway.workflows.spec import Node

_ACTIVE = ("pending", "running", "waiting")


class NodeInOrder(Struct, frozen=True):
    """A node of a definition: its number from 1 in the plan's order, and the nodes whose edges lead to it."""

    number: int
    key: str
    kind: str
    after: list[str]
    node: Node


class Going(Struct, frozen=True):
    """How many processes run executions, and how many executions wait for one, run, or wait for somebody else."""

    executors: int
    pending: int
    running: int
    waiting: int


class Reading:
    """Reads."""

    def __init__(self, database: Database, library: Library, desk: Desk) -> None:
        """Of what is kept there."""
        self._database = database
        self._library = library
        self._desk = desk

    async def nodes(self, slug: str, version: int | None) -> list[NodeInOrder]:
        """The nodes of a definition in an order in which they may run. Raises `NotFound`."""
        definition = (await self._library.get(slug, version)).definition
        plan = Plan(definition)
        return [
            NodeInOrder(number, key, kind(definition.nodes[key]), list(plan.graph.sources(key)), definition.nodes[key])
            for number, key in enumerate(plan.order, 1)
        ]

    async def picture(
        self,
        slug: str,
        version: int | None,
        by: Principal,
        *,
        form: Literal["mermaid", "svg"],
        execution_id: str | None,
    ) -> str:
        """A definition drawn; with an execution that one's version, coloured by its states. Raises `NotFound`."""
        states: dict[str, State] | None = None
        if execution_id is not None:
            execution = await self._desk.get(execution_id, by)
            slug, version = execution.slug, execution.version
            known = await steps.all_of(self._database, execution_id)
            states = {one.node_id: State(one.status) for one in known if one.item == WHOLE}
        definition = (await self._library.get(slug, version)).definition
        if states is not None:
            states = {key: states.get(key, State()) for key in definition.nodes}
        return (mermaid if form == "mermaid" else svg)(definition, states)

    async def figures(self, slug: str, by: Principal, *, since: float, until: float) -> Figures:
        """What their executions of a workflow were like. Raises `NotFound` when there never was such a workflow."""
        await self._library.versions(slug)
        return await analytics.figures(self._database, since=since, until=until, slug=slug, key_name=_of(by))

    async def active(self, by: Principal, *, after: str | None, limit: int) -> list[StepExecution]:
        """Steps that have not ended, newest first, from behind that id on."""
        return await self._steps(by, _ACTIVE, None, after, limit)

    async def checkpoints(
        self, by: Principal, *, slug: str | None, after: str | None, limit: int
    ) -> list[StepExecution]:
        """Steps that have succeeded, newest first: what going on would not pay again."""
        return await self._steps(by, ("succeeded",), slug, after, limit)

    async def step_counts(self, by: Principal) -> dict[str, int]:
        """How many of their steps are in which state."""
        return await analytics.step_counts(self._database, key_name=_of(by))

    async def going(self, lease: float) -> Going:
        """How it goes; a process that was silent for a lease counts no more. Raises `StoreUnavailable`."""
        live = await executions.live(self._database)
        alive = await executors.alive(self._database, lease)
        return Going(alive, *(live.get(status, 0) for status in _ACTIVE))

    async def _steps(
        self, by: Principal, statuses: Sequence[str], slug: str | None, after: str | None, limit: int
    ) -> list[StepExecution]:
        wanted = Filters(statuses=tuple(statuses), slug=slug, key_name=_of(by))
        return await steps.listed(self._database, wanted, after=after, limit=limit)


def _of(by: Principal) -> str | None:
    """The key whose executions they may read; None: all."""
    return None if by.admin else by.name
