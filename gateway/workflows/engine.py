"""The only door to DBOS, the durable engine: it queues attempts, runs each once at a time, and again after a crash.

One workflow of the engine is one attempt of one execution, by the id `<execution>:<attempt>`, so that submitting twice
is submitting once, and run by one task of a process. Each node that asks somebody is one of its steps, whose number is
reserved before anything runs, in the plan's order: the engine numbers steps by the order of calls, and of a graph whose
nodes run side by side it would otherwise give one node's result to another after a crash. What a node came to is kept
in our own tables (`memo`); the engine keeps that it ran, beside the nodes, none of which waits for that. Of what asks
nobody the memo says it all, and the engine does not hear of it: taking it down would be two transactions, to save the
doing of nothing.

Choices that matter:
- the executor's id is unique, since the default would run again what another process is running;
- the application's version is fixed, since the default is a hash of the code, and a deploy would strand what runs;
- inputs are portable JSON, since with pickles who can write to the database can run code; and as the engine believes a
  row that says it is a pickle, whatever its own setting, it is kept from reading and making any;
- takeover rests on one private call, `_recover_pending_workflows`: it is wrapped here and held by a test.

There is one engine in a process, as DBOS has one global instance.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from contextvars import Context
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

from dbos import (
    DBOS,
    DBOSClient,
    DBOSConfig,
    DBOSPortableJSONSerializer,
    EnqueueOptions,
    Queue,
    SetWorkflowID,
)
from dbos._serialization import DefaultSerializer

from gateway.store.beside import Cut, leave_the_disk_alone
from gateway.workflows.attempt import Around, Body

_NAME, _WORKFLOW = "steelyard", "attempt"
#: One queue for all: fairness between workflows is their `parallel`, not their place in a queue.
_QUEUE = "steelyard"
#: Of what is kept in the engine's tables. Attempts of another version are not run: raise it when they could not be.
_VERSION = "1"
#: Seconds between two looks for queued attempts. Doubled, an execution starts half a second later; halved, an idle
#: gateway asks its database eight times a second.
_POLL = 0.25
#: Seconds for attempts to be put down at a stop, which is a matter of milliseconds unless a step will not listen; and
#: for the engine to end by itself, which takes longer only while its database is silent.
_LEAVE_WITHIN = 3.0
#: The same where the database is known to be silent: what waits for it will not end by waiting.
_SILENT_WITHIN = 0.5
#: Seconds for which a process may hold an execution of PostgreSQL's without a word. Doubled, what a frozen one held is
#: taken over so much later; halved, a loop that stands still for five seconds loses a transaction, and writes it again.
FROZEN = 10.0
_ENDED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
#: Ended attempts that are dropped at a time. With ten steps each, some ten thousand rows, for which others wait.
_DROPPED = 500
_log = logging.getLogger("steelyard.workflows")


class PickleRefused(Exception):
    """The engine's tables hold a pickle, which is a program, or the engine would write one."""


def _no_pickle(_self: object, _data: object) -> Any:
    raise PickleRefused("The engine's tables hold JSON only.")


for _verb in ("serialize", "deserialize"):
    setattr(DefaultSerializer, _verb, _no_pickle)


class Runner(Protocol):
    """Runs an attempt to its end."""

    async def __call__(self, execution_id: str, attempt: int, around: Around) -> None:
        """Run it; each node's body through `around`."""
        ...


class _Current:
    """Whom the engine's one workflow function calls; none while it stops."""

    runner: Runner | None = None
    #: Who runs them, by the engine's ids.
    attempts: ClassVar[dict[str, asyncio.Task[Any]]] = {}


@DBOS.workflow(name=_WORKFLOW)
async def _attempt(execution_id: str, attempt: int, keys: list[str]) -> None:
    reserved = {key: DBOS.reserve_step() for key in keys}

    async def around(key: str, body: Body) -> None:
        await reserved[key].run_async({"name": f"node:{key}"}, body)

    runner, task = _Current.runner, asyncio.current_task()
    if runner is None or task is None:
        # Fetched while the engine stops. Cancelled, it stays in the engine's eyes what others may adopt.
        raise asyncio.CancelledError
    identity = _identity(execution_id, attempt)
    earlier = _Current.attempts.get(identity)
    _Current.attempts[identity] = task
    try:
        if earlier is not None:
            # This process stood still for so long that it was taken for dead, and has become its own heir. By number
            # and owner the two are the same, so no fence tells them apart.
            earlier.cancel()
            await asyncio.wait({earlier})
        await runner(execution_id, attempt, around)
    finally:
        if _Current.attempts.get(identity) is task:
            del _Current.attempts[identity]


def _identity(execution_id: str, attempt: int) -> str:
    return f"{execution_id}:{attempt}"


class Engine:
    """The engine of this process."""

    def __init__(self, database_url: str, *, executor_id: str, concurrency: int, runner: Runner) -> None:
        """Over this database (SQLAlchemy's synchronous address), so many attempts at a time."""
        self._url = database_url
        self._executor_id = executor_id
        self._concurrency = concurrency
        self._runner = runner
        self._cut: Cut | None = None
        self._engine: DBOS

    async def launch(self) -> None:
        """Begin to run what is queued, on this loop. Raises what the database raises when it is away."""
        config = DBOSConfig(
            name=_NAME,
            system_database_url=self._url,
            executor_id=self._executor_id,
            application_version=_VERSION,
            serializer=DBOSPortableJSONSerializer(),
            enable_otlp=False,
            log_level="ERROR",
            max_executor_threads=4,
            sys_db_pool_size=4,
            # Nobody is told anything by way of the engine: its thread for that would wake a hundred times a second.
            notification_coalesce_sec=_POLL,
            sys_db_idle_transaction_timeout_sec=FROZEN,
        )
        if self._url.startswith("sqlite"):
            await asyncio.to_thread(_write_ahead, self._url)
        # Here and not by the launch, which would hold the whole process for as long: seconds, for a new database.
        await asyncio.to_thread(DBOS.migrate, self._url)
        if _Current.runner is not None:
            raise RuntimeError("another gateway in this process runs executions: there is one engine in a process")
        _Current.runner = self._runner
        try:
            engine = self._engine = DBOS(config=config)
            DBOS.launch()
            if not self._url.startswith("sqlite"):
                connections = engine._sys_db.engine  # pyright: ignore[reportPrivateUsage] - it has no other name
                self._cut = Cut(connections)
                leave_the_disk_alone(connections)
            _keep_threads_of_our_own(engine)
            _keep_concurrency_of_our_own(engine, self._concurrency)
            await DBOS.register_queue_async(
                _QUEUE,
                worker_concurrency=self._concurrency,
                polling_interval_sec=_POLL,
                on_conflict="always_update",
            )
        except BaseException:
            # A stop amid the launch as much as its failure: what the engine has begun, threads and all, would live on.
            await self.stop()
            raise

    async def submit(self, execution_id: str, attempt: int, keys: Sequence[str]) -> None:
        """Queue an attempt; `keys` are its nodes in the plan's order. A second time does nothing."""

        async def enqueue() -> None:
            with SetWorkflowID(_identity(execution_id, attempt)):
                await DBOS.enqueue_workflow_async(_QUEUE, _attempt, execution_id, attempt, list(keys))

        # A step that begins another workflow is no parent of it in the engine's eyes: who asks is left behind.
        await asyncio.create_task(enqueue(), context=Context())

    async def adopt(self, dead: Sequence[str]) -> None:
        """Queue anew what these executors were running."""
        # Its public name is an endpoint of DBOS's own server, which we do not run.
        await asyncio.to_thread(DBOS._recover_pending_workflows, list(dead))  # pyright: ignore[reportPrivateUsage]

    async def forget(self, before: float) -> None:
        """Drop what the engine keeps of attempts that ended before that moment: what they came to is kept in ours."""
        moment = datetime.fromtimestamp(before, UTC).isoformat()
        found = True
        while found:
            found = await DBOS.list_workflows_async(
                status=list(_ENDED), completed_before=moment, limit=_DROPPED, load_input=False, load_output=False
            )
            # Its public name is a method of its client, which would open connections of its own.
            drop = self._engine._sys_db.delete_workflows  # pyright: ignore[reportPrivateUsage]
            await asyncio.to_thread(drop, [one.workflow_id for one in found])

    async def hand_over(self) -> None:
        """Give up what is under way, and queue it anew for others. Before `stop`, while the database answers."""
        for event in self._engine.background_thread_stop_events:
            event.set()
        # Lest this process fetches what it gives away.
        for thread in [one for one in threading.enumerate() if one.name == f"queue-worker-{_QUEUE}"]:
            await asyncio.to_thread(thread.join, _LEAVE_WITHIN)
        await self._give_up(_LEAVE_WITHIN)
        await self.adopt([self._executor_id])

    async def stop(self, *, silent: bool = False) -> None:
        """Run nothing more; what is under way is given up, and left to whoever adopts it.

        A database that is known to be `silent` is not waited for.
        """
        within = _SILENT_WITHIN if silent else _LEAVE_WITHIN
        await self._give_up(within)
        ending = asyncio.create_task(asyncio.to_thread(DBOS.destroy))
        await asyncio.wait({ending}, timeout=within)
        if not ending.done() and self._cut is not None:
            self._cut.make()
        await ending

    async def _give_up(self, within: float) -> None:
        _Current.runner = None
        loop = asyncio.get_running_loop()
        attempts = [one for one in _Current.attempts.values() if one.get_loop() is loop]
        for attempt in attempts:
            attempt.cancel()
        if attempts:
            # Before the engine ends: what they still ask of it would find nobody.
            await asyncio.wait(attempts, timeout=within)


class Client:
    """Queues attempts: from a process that runs none, and within transactions of ours."""

    def __init__(self, database_url: str) -> None:
        """Over the same database; nothing is opened yet."""
        # Where it is launched its configuration says so.
        logging.getLogger("dbos").setLevel(logging.ERROR)
        self._client = DBOSClient(
            system_database_url=database_url,
            serializer=DBOSPortableJSONSerializer(),
            application_name=_NAME,
            system_database_pool_size=2,
            lazy=True,
            retry_connection_errors=False,
        )

    async def submit(self, execution_id: str, attempt: int, keys: Sequence[str]) -> None:
        """Queue an attempt. A second time does nothing. Raises what the database raises when it is away, or new."""
        await self._client.enqueue_async(self._options(execution_id, attempt), execution_id, attempt, list(keys))

    def _options(self, execution_id: str, attempt: int) -> EnqueueOptions:
        return EnqueueOptions(
            workflow_name=_WORKFLOW,
            queue_name=_QUEUE,
            workflow_id=_identity(execution_id, attempt),
            app_version=_VERSION,
        )

    async def enlist(self, connection: Any, execution_id: str, attempt: int, keys: Sequence[str]) -> bool:
        """Queue an attempt in the transaction of this connection to the same PostgreSQL; False: the engine could not.

        Then the transaction is as it was. On SQLite nothing can: the engine's tables are in another file.
        """
        options = self._options(execution_id, attempt)

        def enqueue(sync: Any) -> None:
            self._client.enqueue_in_transaction(sync, options, execution_id, attempt, list(keys))

        try:
            # A part of its own, since what fails within a transaction would spoil all of it: the engine's tables may
            # not be there yet, until the first process that runs executions has made them.
            async with connection.begin_nested():
                await connection.run_sync(enqueue)
        except Exception as exc:  # noqa: BLE001 - whatever the driver raises; a lost connection fails the commit, too
            _log.warning("an attempt is queued later", extra={"execution_id": execution_id, "error": str(exc)[:300]})
            return False
        return True

    async def stop(self) -> None:
        """Close its connections."""
        await asyncio.to_thread(self._client.destroy)


class _Threads(ThreadPoolExecutor):
    """Threads for everything in this process, in the shape in which the engine would share its own."""

    executor: ThreadPoolExecutor

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Not when a loop ends that was given them: there may be others, and idle ones end with the process."""


_THREADS = _Threads(thread_name_prefix="steelyard")


def _keep_threads_of_our_own(engine: DBOS) -> None:
    """The engine gives its few threads to the whole loop, and takes them away when it stops: files then stay open."""
    _THREADS.executor = engine._executor  # pyright: ignore[reportPrivateUsage] - no setting keeps it from that
    engine._shared_executor_field = _THREADS  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]


def _keep_concurrency_of_our_own(engine: DBOS, concurrency: int) -> None:
    """The engine keeps a queue's limit in its database: for all processes, as whoever started last has it."""
    database = engine._sys_db  # pyright: ignore[reportPrivateUsage] - no setting is of one process alone
    shared = database.get_queue

    def ours(name: str, **more: Any) -> Queue | None:
        queue = shared(name, **more)
        if queue is not None:
            queue._worker_concurrency = concurrency  # pyright: ignore[reportPrivateUsage] - its setter writes it down
        return queue

    database.get_queue = ours  # pyright: ignore[reportAttributeAccessIssue]


def _write_ahead(url: str) -> None:
    """A file that is written ahead is 1.7 times faster here; DBOS leaves the mode as it finds it."""
    path = Path(url.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
