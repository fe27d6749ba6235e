"""Workflows put together: library and desk, and in a process that runs executions their engine and their keeper."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.errors import GatewayError
from gateway.identity import new_id
from gateway.store.beside import engine_url
from gateway.store.engine import Database, PoolSettings
from gateway.store.workflows.memory import WorkflowStore
from gateway.workflows.bell import Bell
from gateway.workflows.bind import Scope
from gateway.workflows.desk import Desk
from gateway.workflows.drafting import Drafts
from gateway.workflows.engine import Client, Engine
from gateway.workflows.keeper import Keeper
from gateway.workflows.kept import Failure
from gateway.workflows.library import Library
from gateway.workflows.means import Means
from gateway.workflows.memo import Memory
from gateway.workflows.performing import Limits, Performer
from gateway.workflows.reading import Going, Reading
from gateway.workflows.runner import Runner
from gateway.workflows.running import Bodies, Body, Context, Result, StepFailed
from gateway.workflows.scheduler import Scheduler
from gateway.workflows.spec import Definition
from gateway.workflows.steps.approval import Approvals
from gateway.workflows.steps.fanning import map_items, repeat
from gateway.workflows.steps.http import Requests
from gateway.workflows.steps.plain import condition, switch, template
from gateway.workflows.steps.prompt import Prompts
from gateway.workflows.steps.subworkflow import SubWorkflows
from gateway.workflows.steps.tool import Tools
from gateway.workflows.steps.vote import Voting
from gateway.workflows.templates import BadTemplate
from gateway.workflows.timetable import Timetable

_log = logging.getLogger("steelyard.workflows")
#: Seconds between two tries to reach the engine's database.
_AGAIN = 2.0


class Service:
    """All of it, for one process."""

    def __init__(
        self,
        means: Means,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        """Nothing runs before `start`."""
        settings = means.settings
        self.means = means
        self._wall, self._monotonic, self._rng = wall, monotonic, rng
        url = settings.database.url.reveal()
        # Of its own: executions go on over a reload of the settings, which closes the other.
        self.database = database = Database(url, PoolSettings(pool_recycle=settings.database.pool_recycle))
        self.library = Library(database, wall=wall)
        self.bell = Bell(database, rng=rng)
        self._url = engine_url(url)
        #: Nothing is opened by it before it queues.
        self._client = Client(self._url)
        self.desk = Desk(
            database,
            self.library,
            self._queue,
            wall=wall,
            rng=rng,
            ears=self.bell.ears,
            enlist=self._client.enlist if database.dialect == "postgresql" else None,
        )
        self.timetable = Timetable(database, self.library, self.desk, wall=wall, rng=rng)
        self.reading = Reading(database, self.library, self.desk)
        self.drafts = Drafts(lambda: self.means.pipeline, wall=wall, monotonic=monotonic, rng=rng)
        self._engine: Engine | None = None
        self._queueing: Engine | Client | None = None
        self._keeper: Keeper | None = None
        self._tasks: list[asyncio.Task[None]] = []
        #: Whether executions are run here by now.
        self.running = asyncio.Event()

    async def start(self) -> None:
        """Begin to run executions where the settings say so; a database that is away is tried again."""
        self._spawn(self.bell.run())
        if not self.means.settings.workflows.run:
            self._queueing = self._client
            return
        me = f"{socket.gethostname()}:{os.getpid()}:{self._rng.getrandbits(32):08x}"
        settings = self.means.settings
        engine = Engine(self._url, executor_id=me, concurrency=settings.workflows.concurrency, runner=self._runner(me))
        self._engine = engine
        self._keeper = Keeper(
            self.database,
            self.desk,
            executor_id=me,
            lease=settings.workflows.lease,
            keep_days=settings.workflows.retention_days,
            adopt=engine.adopt,
            drop=engine.forget,
            wall=self._wall,
        )
        self._spawn(self._keeper.beat())
        self._spawn(self._launch(engine, self._keeper))

    async def going(self) -> Going:
        """How executions go. Raises `StoreUnavailable`."""
        return await self.reading.going(self.means.settings.workflows.lease)

    async def stop(self) -> None:
        """Run nothing more; others take over at once what was under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        queueing, self._queueing = self._queueing, None
        if queueing is not None:
            await queueing.stop()
        if queueing is not self._client:
            await self._client.stop()
        if self._keeper is not None:
            # Last, so that nobody takes over what is still being put down.
            await self._keeper.leave()
        await self.database.dispose()

    async def _launch(self, engine: Engine, keeper: Keeper) -> None:
        while True:
            try:
                await engine.launch()
            except Exception as exc:  # noqa: BLE001 - whatever its driver raises for a database that is away
                _log.warning("executions wait for the engine's database", extra={"error": str(exc)[:300]})
                await asyncio.sleep(_AGAIN)
            else:
                break
        self._queueing = engine
        self.running.set()
        self._spawn(Scheduler(self.database, self.library, self.desk, wall=self._wall).run())
        await keeper.look_after()

    async def _queue(self, execution_id: str, attempt: int, keys: list[str]) -> None:
        """Queue an attempt. What cannot be queued now is found by a keeper: it is kept already."""
        if self._queueing is None:
            return
        try:
            await self._queueing.submit(execution_id, attempt, keys)
        except Exception as exc:  # noqa: BLE001 - whatever the engine's driver raises
            _log.warning("an attempt was not queued yet", extra={"execution_id": execution_id, "error": str(exc)[:300]})

    def _runner(self, me: str) -> Runner:
        steps = self.means.settings.steps
        limits = Limits(timeout=steps.timeout, retries=steps.retries, parallel=steps.parallel)

        def performer(memory: Memory) -> Performer:
            return Performer(
                memory,
                self._bodies(memory),
                limits,
                wall=self._wall,
                rng=self._rng,
                new_id=lambda: self._named("stepexec"),
            )

        async def definition(slug: str, version: int) -> Definition:
            return (await self.library.get(slug, version)).definition

        store = WorkflowStore(self.database, self._wall, me)
        return Runner(
            store,
            definition,
            performer,
            limits=limits,
            wall=self._wall,
            ended=self.desk.ended,
            ears=self.bell.ears,
            look_every=self.bell.patience,
        )

    def _bodies(self, memory: Memory) -> Bodies:
        return {
            "prompt": self._lent(
                Prompts(lambda: self.means.pipeline, wall=self._wall, monotonic=self._monotonic, rng=self._rng)
            ),
            "http": self._lent(Requests(lambda: self.means.transport, self._hosts)),
            "tool": self._lent(Tools(lambda: self.means.mcp)),
            "condition": condition,
            "switch": switch,
            "template": template,
            "map": map_items,
            "loop": repeat,
            "approval": Approvals(self._wall),
            "vote": self._lent(Voting(lambda: self.means.feedback, memory.steps)),
            "workflow": SubWorkflows(self.desk),
        }

    def _lent(self, body: Body) -> Body:
        """The same, among the users of what it runs with; what a reload cuts off is tried again with the new."""

        async def using(context: Context, node: Any, known: Scope) -> Result:
            means, task = self.means, asyncio.current_task()
            assert task is not None
            means.users.add(task)
            try:
                return await body(context, node, known)
            except (StepFailed, GatewayError, BadTemplate, TimeoutError):
                raise
            except Exception as exc:
                if means is self.means:
                    raise
                failure = Failure("api_error", "The settings were reloaded, and the grace was over.", "reloaded")
                raise StepFailed(failure, transient=True) from exc
            finally:
                means.users.discard(task)

        return using

    def _hosts(self) -> list[str]:
        return [host.strip() for host in self.means.settings.workflows.http_hosts.split(",") if host.strip()]

    def _named(self, prefix: str) -> str:
        return new_id(prefix, self._wall(), self._rng)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))
