"""Workflows put together: library and desk, and in a process that runs executions their engine and their keeper."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from gateway import logs
from gateway.errors import GatewayError
from gateway.governance.keys import Principal
from gateway.identity import new_id
from gateway.inventory import objectives_of
from gateway.metrics import Metrics
from gateway.remembering import Remembering
from gateway.store.beside import engine_url, name_of
from gateway.store.engine import Database, PoolSettings
from gateway.store.workflows import events, executions
from gateway.store.workflows.memory import WorkflowStore
from gateway.workflows.archive import Archive, Bounds
from gateway.workflows.bell import Bell
from gateway.workflows.bind import Scope
from gateway.workflows.callers import caller_of
from gateway.workflows.desk import Desk
from gateway.workflows.downloads import Downloads
from gateway.workflows.drafting import Drafts
from gateway.workflows.engine import FROZEN, Client, Engine
from gateway.workflows.files import Folder
from gateway.workflows.keeper import Keeper, guarded
from gateway.workflows.kept import Execution, Failure
from gateway.workflows.ledger import Ledgers
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
from gateway.workflows.surroundings import Around, around
from gateway.workflows.tallying import Tally
from gateway.workflows.templates import BadTemplate
from gateway.workflows.timetable import Timetable
from gateway.workflows.traced import Traced, Traces, placed

_log = logging.getLogger("steelyard.workflows")
#: Seconds between two tries to reach the engine's database.
_AGAIN = 2.0
#: Seconds that what looks after executions has to end.
_LEAVE_WITHIN = 2.0


class Service:
    """All of it, for one process."""

    def __init__(
        self,
        means: Means,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
        metrics: Metrics | None = None,
    ) -> None:
        """Nothing runs before `start`."""
        metrics = metrics or Metrics()
        self._tally = Tally(metrics, wall=wall)
        self._traces = Traces(lambda: self.means.tracer, wall=wall)
        settings = means.settings
        self.means = means
        self._wall, self._monotonic, self._rng = wall, monotonic, rng
        url = settings.database.url.reveal()
        # Of its own: executions go on over a reload of the settings, which closes the other.
        pool = PoolSettings(pool_recycle=settings.database.pool_recycle, idle_transaction_timeout=FROZEN)
        self.database = database = Database(url, pool)
        database.pooled.waited = metrics.pool_waited
        self.library = Library(
            database, wall=wall, objectives=lambda: objectives_of(self.means.settings), look=self._look
        )
        kept = settings.artifacts
        self._files = Folder(kept.dir, name_of(url))
        bounds = Bounds(inline=kept.inline_max, most=kept.max_size)
        self._archive = Archive(self._files, bounds, wall=wall, new_id=lambda: self._named("artifact"))
        self.bell = Bell(database, rng=rng)
        self._url = engine_url(url)
        #: Nothing is opened by it before it queues.
        self._client = Client(self._url)
        self.desk = Desk(
            database,
            self.library,
            self._queue,
            self._archive,
            wall=wall,
            rng=rng,
            ears=self.bell.ears,
            enlist=self._client.enlist if database.dialect == "postgresql" else None,
            tally=self._tally,
        )
        self.downloads = Downloads(database, self.desk, self._files)
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
        self._spawn(self._count())
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
            self._files,
            executor_id=me,
            lease=settings.workflows.lease,
            keep_days=settings.workflows.retention_days,
            adopt=engine.adopt,
            drop=engine.forget,
            wall=self._wall,
            remembering=Remembering(self.database, wall=self._wall, monotonic=self._monotonic),
            interval=settings.workflows.monitoring,
            tally=self._tally,
        )
        self._spawn(self._keeper.beat())
        self._spawn(self._launch(engine, self._keeper))

    async def going(self) -> Going:
        """How executions go. Raises `StoreUnavailable`."""
        return await self.reading.going(self.means.settings.workflows.lease)

    def _look(self, definition: Definition) -> Around:
        return around(definition, self.means.mcp, self.means.pipeline)

    async def stop(self) -> None:
        """Run nothing more; others take over at once what was under way."""
        for task in self._tasks:
            task.cancel()
        queueing, self._queueing = self._queueing, None
        answers = True
        if isinstance(queueing, Engine):
            answers = await self._handed_over(queueing)
            await queueing.stop(silent=not answers)
        # What waits for a silent database ends when its connection is cut, below.
        await asyncio.wait([*self._tasks, asyncio.create_task(self._client.stop())], timeout=_LEAVE_WITHIN)
        if self._keeper is not None and answers:
            # Last, so that nobody takes over what is still being put down. Without a database there is nobody to tell.
            await self._keeper.leave()
        await self.database.dispose()

    async def _handed_over(self, engine: Engine) -> bool:
        """Let others have at once what runs here; False: the database is silent, and they find it when it is back."""
        try:
            # First, as the engine itself waits for its database for as long as it takes.
            await self.database.ping(within=_LEAVE_WITHIN / 2)
            async with asyncio.timeout(_LEAVE_WITHIN):
                await engine.hand_over()
        except Exception as exc:  # noqa: BLE001 - whatever the engine's driver raises
            _log.warning("what runs could not be handed over: it will be found", extra={"error": str(exc)[:300]})
            return False
        return True

    async def _launch(self, engine: Engine, keeper: Keeper) -> None:
        while True:
            try:
                # Its launch holds the whole process while a database is silent; ours can be asked without that.
                await self.database.ping()
                await engine.launch()
            except Exception as exc:  # noqa: BLE001 - whatever its driver raises for a database that is away
                _log.warning("executions wait for the engine's database", extra={"error": str(exc)[:300]})
                await asyncio.sleep(_AGAIN)
            else:
                break
        self._queueing = engine
        self.running.set()
        self._spawn(Scheduler(self.database, self.library, self.desk, wall=self._wall, tally=self._tally).run())
        self._spawn(keeper.tidy())
        await keeper.look_after()

    async def _count(self) -> None:
        """Tell how many executions there are, whoever runs them: else nobody does when all workers are gone."""

        async def count() -> None:
            self._tally.live(await executions.live(self.database), await executions.oldest(self.database))

        while True:
            await guarded(count)
            await asyncio.sleep(self.means.settings.workflows.monitoring)

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
        limits = Limits(timeout=steps.timeout, retries=steps.retries, parallel=steps.parallel, progress=steps.progress)

        def performer(memory: Memory) -> Performer:
            return Performer(
                memory,
                self._bodies(memory),
                limits,
                self._archive,
                wall=self._wall,
                rng=self._rng,
                new_id=lambda: self._named("stepexec"),
            )

        async def definition(slug: str, version: int) -> Definition:
            return (await self.library.get(slug, version)).definition

        kept = WorkflowStore(self.database, self._wall, me, tracking=steps.tracking)
        store = Traced(kept, self._tally, self._traces, lambda one: events.after(self.database, one, limit=1))
        return Runner(
            store,
            definition,
            performer,
            limits=limits,
            wall=self._wall,
            ended=self.desk.ended,
            ears=self.bell.ears,
            look_every=self.bell.patience,
            purses=Ledgers(self.database, lambda: self._named("hold")),
        )

    def _bodies(self, memory: Memory) -> Bodies:
        bodies: dict[str, Body] = {
            "prompt": self._lent(
                Prompts(
                    lambda: self.means.pipeline,
                    self._caller,
                    wall=self._wall,
                    monotonic=self._monotonic,
                    rng=self._rng,
                )
            ),
            "http": self._lent(Requests(lambda: self.means.outward, self._hosts, self._archive)),
            "tool": self._lent(Tools(lambda: self.means.mcp, self._caller)),
            "condition": condition,
            "switch": switch,
            "template": template,
            "map": map_items,
            "loop": repeat,
            "approval": Approvals(self._wall),
            "vote": self._lent(Voting(lambda: self.means.feedback, memory.steps)),
            "workflow": SubWorkflows(self.desk),
        }
        return {kind: placed(body, self._traces) for kind, body in bodies.items()}

    def _lent(self, body: Body) -> Body:
        """The same, among the users of what it runs with; what a reload cuts off is tried again with the new."""

        async def using(context: Context, node: Any, known: Scope) -> Result:
            means, task = self.means, asyncio.current_task()
            assert task is not None
            means.users.add(task)
            try:
                self._caller(context.execution)
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

    def _caller(self, execution: Execution) -> Principal:
        return caller_of(execution, self.means.principals)

    def _hosts(self) -> list[str]:
        return self.means.settings.workflows.hosts

    def _named(self, prefix: str) -> str:
        return new_id(prefix, self._wall(), self._rng)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(logs.of_task)
        self._tasks.append(task)
