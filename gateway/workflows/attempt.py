"""One attempt of one execution: what may run runs, until nothing is left that may.

    begin → [plan → start what may run → wait for the first that ends] … → end

The engine calls it, and again after a crash; it knows no engine itself. Everything it decides follows from what is kept
(`memo`), so the second time it finds what the first had done and goes on. What the engine itself looks up and takes
down of a node goes beside: nothing of the execution follows from it, so no node waits for it, and only the end does.
It ends as

    completed · failed (a node failed for good, the deadline passed, the outputs cannot be made)
    waiting   for a person or another execution: no worker is held; a new attempt goes on when they have decided
    cancelled somebody asked for it
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from functools import partial
from typing import Any

import msgspec

from gateway.workflows import archive, bind
from gateway.workflows.archive import Lost
from gateway.workflows.budget import Purses, purse_of
from gateway.workflows.ears import Ears
from gateway.workflows.kept import WHOLE, Execution, Failure, StepExecution
from gateway.workflows.memo import Memory
from gateway.workflows.performing import Performer, Running
from gateway.workflows.plan import FAILED, Plan, State
from gateway.workflows.spec import Approval, Definition, Json
from gateway.workflows.templates import BadTemplate

#: Seconds between two looks for a wish to cancel, where nobody tells of one. Doubled, a cancelled prompt is paid for
#: half a second longer.
LOOK_EVERY = 0.5
#: Seconds until the next look at least: a deadline that is all but there must not be looked at again and again.
_AT_LEAST = 0.01
OVERDUE = Failure("timeout_error", "The deadline of the execution has passed.", "deadline_exceeded")
#: Runs the body of the node with this key, as the engine's step.
Body = Callable[[], Coroutine[Any, Any, None]]
Around = Callable[[str, Body], Coroutine[Any, Any, None]]


class _Over(Exception):
    """The attempt ends here, however much is under way."""

    def __init__(self, failure: Failure | None) -> None:
        self.failure = failure


class _Notes:
    """What the engine looks up and takes down of nodes, beside what they do.

    It may remember that one ran: of SQLite's two files a power cut can take back one alone, as a backup can. What is
    kept of a node is for the memo to say.
    """

    def __init__(self, around: Around) -> None:
        self._around = around
        self.tasks: list[asyncio.Task[None]] = []

    def take(self, key: str, performing: asyncio.Task[Any]) -> None:
        """Have it know that this task performs the node."""

        async def body() -> None:
            await asyncio.wait({performing})
            performing.result()

        self.tasks.append(asyncio.create_task(self._around(key, body)))


class Attempt:
    """One attempt."""

    def __init__(
        self,
        memory: Memory,
        performer: Performer,
        definition: Definition,
        *,
        parallel: int,
        wall: Callable[[], float],
        ears: Ears | None = None,
        look_every: Callable[[], float] = lambda: LOOK_EVERY,
        purses: Purses = purse_of,
    ) -> None:
        """`parallel` steps at a time, unless the definition says otherwise; `purses` opens that of the execution.

        Wishes to cancel are looked for when one of the `ears` hears of any, and every so many seconds.
        """
        self._purses = purses
        self._memory = memory
        self._performer = performer
        self._definition = definition
        self._plan = Plan(definition)
        self._parallel = definition.parallel or parallel
        self._wall = wall
        self._ears = ears or Ears()
        self._look_every = look_every

    @property
    def order(self) -> tuple[str, ...]:
        """The nodes' keys in the order in which the engine numbers them."""
        return self._plan.order

    async def run(self, execution: Execution, around: Around) -> None:
        """Run it to its end. Raises `Superseded` when another attempt has taken over."""
        kept = await self._memory.steps(execution.id)
        # A newer version of the definition may be without nodes that an older one had.
        nodes = self._definition.nodes
        run = Running(execution, {(one.node_id, one.item): one for one in kept if one.node_id in nodes})
        run.purse = await self._purses(execution, self._definition)
        tasks: dict[asyncio.Task[Any], str] = {}
        notes = _Notes(around)
        status, failure, outputs = "cancelled", None, None
        try:
            with self._ears.listening(execution.id, "wish") as ear:
                run.look_at = self._next_look(run)
                run.wished = ear.rung
                await self._restore(run)
                await self._stand_in(run)
                await self._advance(run, tasks, notes)
                await asyncio.gather(*notes.tasks)
            status = self._plan.ended(_states(run))
            failure = self._failure(run) if status == "failed" else None
            if status == "completed":
                outputs = bind.outputs(self._definition, self._inputs(run), _states(run))
        except _Over as exc:
            status, failure = ("failed", exc.failure) if exc.failure else ("cancelled", None)
        except BadTemplate as exc:
            status, failure = "failed", Failure("template_error", str(exc))
        except Lost as exc:
            status, failure = "failed", exc.failure
        finally:
            await _give_up([*tasks, *notes.tasks])
        await self._memory.end(execution.id, execution.attempt, status, outputs=outputs, error=failure)

    async def _restore(self, run: Running) -> None:
        """Have those outputs whole that may yet be read. Raises `Lost`."""
        apart = [step for step in _nodes(run) if archive.reference(step) is not None]
        if apart:
            done = {step.node_id for step in _nodes(run) if step.status in {"succeeded", "skipped"}}
            needed = bind.still_read(self._definition, done)
            for step in apart:
                if step.node_id in needed:
                    await self._performer.restore(step)

    async def _stand_in(self, run: Running) -> None:
        """Let a default stand in for what failed while it waited: its decision did not come, or it was cancelled."""
        for step in _nodes(run):
            node = self._definition.nodes[step.node_id]
            decided = step.status in FAILED and step.attempt == run.execution.attempt
            if decided and node.on_error == "default" and step.error is not None:
                await self._performer.fail(run, step, node, step.error)

    async def _advance(self, run: Running, tasks: dict[asyncio.Task[Any], str], notes: _Notes) -> None:
        """Until nothing runs and nothing may."""
        while True:
            known = bind.readable(self._definition, self._inputs(run), _states(run))
            try:
                moves = self._plan.moves(self._occupied(run, tasks), partial(bind.holds, known=known))
            except BadTemplate:
                # A failure like any other: what runs ends, and is kept.
                while tasks:
                    await self._wait(run, tasks)
                raise
            for key in moves.skipped:
                await self._performer.skip(run, key, self._definition.nodes[key])
            for key in moves.ready[: self._parallel - len(tasks)]:
                node = self._definition.nodes[key]
                task = asyncio.create_task(self._performer.perform(run, key, node, known))
                tasks[task] = key
                # Of what asks nobody the memo says it all, and the engine does not hear of it.
                if not node.ASKS_NOBODY:
                    notes.take(key, task)
            if not tasks:
                return
            await self._wait(run, tasks)

    def _inputs(self, run: Running) -> Json:
        return bind.completed(self._definition, run.execution.inputs)

    async def _wait(self, run: Running, tasks: dict[asyncio.Task[Any], str]) -> None:
        """For the first that ends, looking for wishes to cancel meanwhile."""
        loop = asyncio.get_running_loop()
        wish = asyncio.create_task(run.wished.wait())
        try:
            while True:
                seconds = max(0.0, run.look_at - loop.time())
                await asyncio.wait({*tasks, wish}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
                done = [task for task in tasks if task.done()]
                for task in done:
                    del tasks[task]
                    task.result()
                # Also when steps follow each other more quickly than that.
                if run.wished.is_set() or loop.time() >= run.look_at:
                    run.wished.clear()
                    await self._look(run)
                    run.look_at = self._next_look(run)
                if done:
                    return
                if wish.done():
                    wish = asyncio.create_task(run.wished.wait())
        finally:
            wish.cancel()

    def _next_look(self, run: Running) -> float:
        """When to look, on the loop's clock: at the deadline at the latest."""
        seconds, deadline = self._look_every(), run.execution.deadline_at
        if deadline is not None:
            seconds = min(seconds, max(_AT_LEAST, deadline - self._wall()))
        return asyncio.get_running_loop().time() + seconds

    async def _look(self, run: Running) -> None:
        execution = run.execution
        if execution.deadline_at is not None and self._wall() >= execution.deadline_at:
            raise _Over(OVERDUE)
        all_of_it, some = await self._memory.cancelled(execution.id, execution.attempt)
        if all_of_it:
            raise _Over(None)
        for step_id in some & run.tasks.keys():
            run.cancelled.add(step_id)
            run.tasks[step_id].cancel()

    def _occupied(self, run: Running, tasks: Mapping[asyncio.Task[Any], str]) -> dict[str, State]:
        """The nodes' states as the plan is to see them."""
        states = _states(run)
        for step in _nodes(run):
            if self._begins_anew(step, run.execution.attempt):
                states[step.node_id] = State("pending")
        # Also those that have not had their turn yet, of which no step is known.
        return states | dict.fromkeys(tasks.values(), State("running"))

    def _begins_anew(self, step: StepExecution, attempt: int) -> bool:
        """What a crash interrupted; and in a new attempt what failed, or waits for what only its body can see."""
        node = self._definition.nodes[step.node_id]
        if step.status in {"pending", "running"}:
            return True
        if step.attempt == attempt:
            return False
        if step.status == "waiting":
            return not isinstance(node, Approval)
        return step.status in FAILED and node.on_error != "branch"

    def _failure(self, run: Running) -> Failure | None:
        """Of the node that failed first."""
        failed = [one for one in _nodes(run) if one.error is not None and one.status in FAILED]
        return min(failed, key=lambda one: one.completed_at or 0.0).error if failed else None


def _nodes(run: Running) -> list[StepExecution]:
    return [step for (_, item), step in run.steps.items() if item == WHOLE]


def _states(run: Running) -> dict[str, State]:
    return {
        step.node_id: State(step.status, step.output, step.branch, msgspec.to_builtins(step.error))
        for step in _nodes(run)
    }


async def _give_up(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
