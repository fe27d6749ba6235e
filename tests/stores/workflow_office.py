"""One process without an engine, over a real database: attempts are queued in a list, and run when the test says so."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from store_faults import DAY

from gateway.governance.keys import Principal
from gateway.identity import new_id
from gateway.remembering import Remembering
from gateway.store.engine import Database
from gateway.store.workflows import executions, steps
from gateway.store.workflows.memory import WorkflowStore
from gateway.workflows.archive import Archive, Bounds
from gateway.workflows.bind import Scope
from gateway.workflows.desk import Desk
from gateway.workflows.files import Folder
from gateway.workflows.keeper import Keeper
from gateway.workflows.kept import Execution, Failure, Spent
from gateway.workflows.ledger import Ledgers
from gateway.workflows.library import Library
from gateway.workflows.memo import Memory
from gateway.workflows.performing import Limits, Performer
from gateway.workflows.runner import Runner
from gateway.workflows.running import Context, Result, StepFailed
from gateway.workflows.spec import Definition
from gateway.workflows.steps.approval import Approvals
from gateway.workflows.steps.fanning import map_items
from gateway.workflows.steps.plain import template
from gateway.workflows.steps.subworkflow import SubWorkflows

ME = Principal(name="app", admin=False)
ASK: dict[str, Any] = {"type": "prompt", "prompt": "q"}
LIMITS = Limits(timeout=60.0, retries=0, parallel=5)


class Office:
    """One process without an engine: attempts are queued in a list, and run when the test says so."""

    def __init__(self, database: Database, folder: Path, *, tracking: bool = True) -> None:
        self.database = database
        self.folder, self.files = folder, Folder(folder, "tests")
        self.now = DAY
        self.queue: list[tuple[str, int]] = []
        self.asked: list[str] = []
        self.refuse: set[str] = set()
        self.adopted: list[str] = []
        self.dropped: list[float] = []
        self.keep_days: int | None = 7
        rng = random.Random(1)
        self.library = Library(database, wall=self.wall)
        name_file = lambda: new_id("artifact", self.now, rng)  # noqa: E731 - as below
        self.archive = Archive(self.files, Bounds(inline=200, most=10_000), wall=self.wall, new_id=name_file)
        self.desk = Desk(database, self.library, self._queue, self.archive, wall=self.wall, rng=rng)
        bodies = {
            "prompt": self.ask,
            "map": map_items,
            "template": template,
            "approval": Approvals(self.wall),
            "workflow": SubWorkflows(self.desk),
        }

        def performer(memory: Memory) -> Performer:
            name = lambda: new_id("stepexec", self.now, rng)  # noqa: E731 - said where it is needed
            return Performer(memory, bodies, LIMITS, self.archive, wall=self.wall, rng=rng, new_id=name)

        async def definition(slug: str, version: int) -> Definition:
            return (await self.library.get(slug, version)).definition

        store = WorkflowStore(database, self.wall, "me", tracking=tracking)
        purses = Ledgers(database, lambda: new_id("hold", self.now, rng))
        self.runner = Runner(
            store, definition, performer, limits=LIMITS, wall=self.wall, ended=self.desk.ended, purses=purses
        )
        # Its clock is the only one: it has never jumped.
        self.remembering = Remembering(database, wall=self.wall, monotonic=self.wall)
        self.keeper = self.keeper_of("me")

    def keeper_of(self, who: str) -> Keeper:
        return Keeper(
            self.database,
            self.desk,
            self.files,
            executor_id=who,
            lease=30.0,
            keep_days=self.keep_days,
            adopt=self._adopt,
            drop=self._drop,
            wall=self.wall,
            remembering=self.remembering,
        )

    def wall(self) -> float:
        """The clock."""
        return self.now

    async def save(self, slug: str, nodes: dict[str, Any], *edges: Any, **more: Any) -> None:
        tree = {"slug": slug, "name": slug, "nodes": nodes, "edges": list(edges), **more}
        await self.library.save(tree, by="app")

    async def run(self) -> None:
        """Every attempt that is queued, until none is."""
        while self.queue:
            await self._attempt(*self.queue.pop(0))

    async def run_side_by_side(self) -> None:
        """The same, all at a time."""
        under_way = set[asyncio.Task[None]]()
        while self.queue or under_way:
            under_way |= {asyncio.create_task(self._attempt(*one)) for one in self.queue}
            self.queue.clear()
            done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()

    async def _attempt(self, execution_id: str, attempt: int) -> None:
        async def around(_key: str, body: Any) -> None:
            await body()

        await self.runner(execution_id, attempt, around)

    async def begun(self, slug: str, **more: Any) -> Execution:
        execution = await self.desk.begin(slug, {}, ME, **more)
        await self.run()
        return await self.get(execution.id)

    async def get(self, execution_id: str) -> Execution:
        found = await executions.get(self.database, execution_id)
        assert found is not None
        return found

    async def child(self, parent: Execution) -> Execution:
        step = next(one for one in await steps.all_of(self.database, parent.id) if "execution_id" in one.data)
        return await self.get(step.data["execution_id"])

    async def _queue(self, execution_id: str, attempt: int, _keys: list[str]) -> None:
        self.queue.append((execution_id, attempt))

    async def _drop(self, before: float) -> None:
        self.dropped.append(before)

    async def _adopt(self, dead: list[str]) -> None:
        self.adopted += dead

    async def ask(self, context: Context, _node: Any, _known: Scope) -> Result:
        """The body of prompts."""
        key = f"{context.execution.slug}/{context.step.node_id}"
        self.asked.append(key)
        if key in self.refuse:
            raise StepFailed(Failure("api_error", "Refused.", "no"), transient=False, spent=Spent(0.5))
        return Result({"text": key}, spent=Spent(1.0, 2, 3), request_ids=["req_1"])
