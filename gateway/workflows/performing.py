"""One step: is it known already? If not, tried until it succeeds, fails for good, waits, or is cancelled.

Law: a step that has succeeded is neither called nor paid again, and what it came to is kept before anything follows
from it. That it was started is kept before anybody is asked, so that whoever finds it knows that somebody may have
answered; of what asks nobody it is kept with what came of it. What a failed try has cost is kept as well. A cancelled
try is kept as cancelled only when somebody cancelled this very step; when the whole attempt is given up, the step is
found as it was and begun again by the next.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Collection
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from gateway.errors import GatewayError
from gateway.records import StoreUnavailable
from gateway.workflows import archive
from gateway.workflows.archive import Archive, Lost
from gateway.workflows.aside import Aside
from gateway.workflows.bind import Scope, bound
from gateway.workflows.budget import Purse
from gateway.workflows.graph import branches
from gateway.workflows.kept import WHOLE, Artifact, Execution, Failure, Spent, StepExecution, Superseded, Tried
from gateway.workflows.memo import Memory
from gateway.workflows.plan import FAILED
from gateway.workflows.retrying import again, pause
from gateway.workflows.running import Bodies, Context, Progress, Result, StepFailed
from gateway.workflows.spec import Approval, Node, keep_as
from gateway.workflows.templates import BadTemplate

_log = logging.getLogger("steelyard.workflows")


#: Attempts that a failed step tells of. They are kept with the step, with its event and with its execution; of all that
#: a hundred tries with failover have done, the last ones say why.
_TOLD = 50


class Limits(Struct, frozen=True):
    """What holds for a node that says nothing: seconds for a try, further tries, and steps at a time."""

    timeout: float
    retries: int
    parallel: int
    #: Least seconds between two events that tell how far a step is.
    progress: float = 2.0


class Running(Struct):
    """An attempt under way: its execution, its steps by node and item, its money, and which steps are to stop."""

    execution: Execution
    steps: dict[tuple[str, int], StepExecution]
    purse: Purse | None = None
    #: When to look for wishes to cancel, on the loop's clock.
    look_at: float = 0.0
    #: Steps, by id, that were started, which is kept together with what comes of them.
    begun: set[str] = field(default_factory=set[str])
    #: Set when somebody has told of such a wish.
    wished: asyncio.Event = field(default_factory=asyncio.Event)
    #: Steps that somebody cancelled, by id, and the tasks that run them.
    cancelled: set[str] = field(default_factory=set[str])
    tasks: dict[str, asyncio.Task[Any]] = field(default_factory=dict[str, "asyncio.Task[Any]"])


class _Course(Struct, frozen=True):
    """How a step is found when it is begun: tries that are over, and whether it had waited."""

    before: int
    woken: bool
    #: A kill cut off its last try, whose call may have been answered.
    cut_off: bool

    def stays(self, item: StepExecution, attempt: int) -> bool:
        """Whether the failure of an item is final: it was tried as often as it may, or somebody has cancelled it.

        A new attempt asks it again, unless it only goes on with what the node waited for.
        """
        return item.status in FAILED and (self.woken or item.attempt == attempt)


class Performer:
    """Performs steps."""

    def __init__(
        self,
        memory: Memory,
        bodies: Bodies,
        limits: Limits,
        archive: Archive,
        *,
        wall: Callable[[], float],
        rng: random.Random,
        new_id: Callable[[], str],
    ) -> None:
        """`bodies` by kind; `archive` takes their files; `new_id` names a step execution."""
        self._memory = memory
        self._archive = archive
        self._bodies = bodies
        self._limits = limits
        self._wall = wall
        self._rng = rng
        self._new_id = new_id
        self._aside = Aside(memory)

    async def perform(self, run: Running, key: str, node: Node, known: Scope, item: int = WHOLE) -> StepExecution:
        """The step as it is in the end: succeeded, failed, waiting or cancelled. Raises `Superseded`."""
        step = self._begun(run, key, node, item)
        await self.restore(step)
        if step.status == "succeeded" or (step.status == "waiting" and isinstance(node, Approval)):
            return step
        cut_off = step.status == "running" and step.error is None and step.tries > 0
        # Cut off, the call goes by the name it had, so that nobody takes it for another.
        course = _Course(step.tries - cut_off, woken=step.status == "waiting", cut_off=cut_off)
        step.attempt = run.execution.attempt
        task = asyncio.current_task()
        assert task is not None
        run.tasks[step.id] = task
        try:
            await self._until_done(run, step, node, known, course)
        except asyncio.CancelledError:
            if step.id not in run.cancelled:
                raise
            task.uncancel()
            failure = Failure("cancelled", "The step was cancelled.", node_id=key)
            await self.fail(run, step, node, failure, status="cancelled")
        finally:
            del run.tasks[step.id]
        return step

    async def skip(self, run: Running, key: str, node: Node) -> None:
        """Keep that no way led there."""
        step = self._begun(run, key, node, WHOLE)
        step.status, step.attempt = "skipped", run.execution.attempt
        await self._keep(run, step, "step.skipped", Spent())

    async def succeed(self, run: Running, step: StepExecution, result: Result) -> None:
        """Keep what it came to."""
        step.status, step.completed_at = "succeeded", self._wall()
        step.data.pop("progress", None)
        step.output, step.branch = result.output, result.branch
        step.provider, step.model = result.provider, result.model
        step.request_ids = [*step.request_ids, *result.request_ids]
        archive.told(step, result)
        await self._keep(run, step, "step.succeeded", result.spent, result.made)

    async def restore(self, step: StepExecution) -> None:
        """Have its whole output, where it was found with a reference to it. Raises `Lost`."""
        file = archive.reference(step)
        if file is not None:
            await self._archive.restore(step, await self._memory.artifact(file))

    async def fail(
        self,
        run: Running,
        step: StepExecution,
        node: Node,
        failure: Failure,
        *,
        spent: Spent | None = None,
        status: Literal["failed", "cancelled"] = "failed",
    ) -> None:
        """Keep that it failed for good, and that its items under way were given up; a `default` may stand in."""
        step.error = replace(failure, node_id=step.node_id)
        if node.on_error == "default":
            branch = node.default if branches(node) else None
            output = node.default if branch is None else {"branch": branch}
            await self.succeed(run, step, Result(output, branch, spent or Spent()))
            return
        step.status, step.completed_at = status, self._wall()
        step.data.pop("progress", None)
        await self._keep(run, step, f"step.{status}", spent or Spent())
        if step.item == WHOLE:
            await self._give_up_items(run, step)

    async def _give_up_items(self, run: Running, whole: StepExecution) -> None:
        items = [one for one in run.steps.values() if one.node_id == whole.node_id and one.item != WHOLE]
        for one in items:
            if one.status == "running":
                one.status, one.completed_at = "cancelled", whole.completed_at
                await self._keep(run, one, "step.cancelled", Spent())

    def _begun(self, run: Running, key: str, node: Node, item: int) -> StepExecution:
        step = run.steps.get((key, item))
        if step is None:
            step = StepExecution(self._new_id(), run.execution.id, key, str(node.__struct_config__.tag), item)
            run.steps[key, item] = step
        return step

    async def _until_done(self, run: Running, step: StepExecution, node: Node, known: Scope, course: _Course) -> None:
        step.tries = course.before
        tried: list[Tried] = []
        while True:
            step.tries += 1
            step.status, step.error, step.started_at = "running", None, self._wall()
            if node.ASKS_NOBODY:
                run.begun.add(step.id)
            elif not await self._keep(run, step, "step.started", Spent()):
                return
            try:
                result = await self._try(run, step, node, known, course)
                if not result.waiting:
                    await self._archive.keep(step, node, result)
                    await self.succeed(run, step, result)
                    return
                step.status, step.data = "waiting", result.data
                await self._keep(run, step, "step.waiting", result.spent)
                return
            except StepFailed as exc:
                fault = exc
                step.data |= fault.data
            failure = _with_attempts(fault.failure, step.tries)
            tried += failure.attempts
            if not self._again(node, fault, step.tries - course.before):
                await self.fail(run, step, node, replace(failure, attempts=tried[-_TOLD:]), spent=fault.spent)
                return
            step.error = failure
            await self._keep(run, step, "step.retrying", fault.spent)
            await asyncio.sleep(pause(step.tries - course.before, self._rng))

    async def _try(self, run: Running, step: StepExecution, node: Node, known: Scope, course: _Course) -> Result:
        seconds = self._limits.timeout if node.timeout is None else node.timeout

        async def inner(within: Node, scope: Scope, item: int) -> StepExecution:
            one = run.steps.get((step.node_id, item))
            if one is not None and step.tries == course.before + 1 and course.stays(one, run.execution.attempt):
                return one
            return await self.perform(run, step.node_id, within, scope, item)

        context = Context(run.execution, step, run.purse, inner, self._progress(run, step))
        try:
            ready = bound(node, known)
            result = await self._called(context, ready, known, course, seconds)
            result.keep = keep_as(ready)
            return result
        except TimeoutError as exc:
            raise StepFailed(Failure("timeout", f"It took longer than {seconds:g} s."), transient=True) from exc
        except BadTemplate as exc:
            raise StepFailed(Failure("template_error", str(exc)), transient=False) from exc
        except GatewayError as exc:
            raise StepFailed(Failure(exc.type, exc.message, exc.code, exc.status), transient=False) from exc
        except StoreUnavailable as exc:
            raise StepFailed(Failure("api_error", str(exc), "store_unavailable"), transient=True) from exc
        except Lost as exc:
            raise StepFailed(exc.failure, transient=False) from exc
        except (StepFailed, Superseded):
            raise
        except Exception as exc:
            # A defect that one node meets must not leave an execution that nobody runs.
            _log.exception("a step has a defect", extra={"execution_id": step.execution_id, "node": step.node_id})
            failure = Failure("api_error", "The gateway has a defect here; its log says which.", "internal_error")
            raise StepFailed(failure, transient=False) from exc

    def _progress(self, run: Running, step: StepExecution) -> Progress:
        loop = asyncio.get_running_loop()
        told_at = loop.time()

        async def tell(done: int, of: int) -> None:
            nonlocal told_at
            if done < of and loop.time() - told_at >= self._limits.progress:
                told_at = loop.time()
                step.data["progress"] = {"done": done, "of": of}
                await self._keep(run, step, "step.progress", Spent())

        return tell

    async def _called(self, context: Context, node: Node, known: Scope, course: _Course, seconds: float) -> Result:
        """What the body comes to, or has come to before a kill."""
        if course.cut_off and context.step.tries == course.before + 1:
            answered = await self._aside.find(context, node)
            if answered is not None:
                return answered
        async with asyncio.timeout(seconds):
            result = await self._bodies[context.step.kind](context, node, known)
        await self._aside.keep(context, node, result)
        return result

    def _again(self, node: Node, fault: StepFailed, tries: int) -> bool:
        try:
            return again(node, fault.failure, tries, transient=fault.transient, default=self._limits.retries)
        except BadTemplate:
            # What cannot be told is no reason to pay again; the failure itself says more than its rule.
            return False

    async def _keep(
        self, run: Running, step: StepExecution, event: str, spent: Spent, made: Collection[Artifact] = ()
    ) -> bool:
        """False: it had succeeded already, and is now as it was kept then."""
        for name in Spent.__struct_fields__:
            setattr(step.spent, name, getattr(step.spent, name) + getattr(spent, name))
        begun = step.id in run.begun
        run.begun.discard(step.id)
        row = archive.in_row(step)
        if await self._memory.put(run.execution.attempt, row, event, spent=spent, made=made, begun=begun):
            return True
        for one in await self._memory.steps(step.execution_id):
            if (one.node_id, one.item) == (step.node_id, step.item):
                for name in StepExecution.__struct_fields__:
                    setattr(step, name, getattr(one, name))
        await self.restore(step)
        return False


def _with_attempts(failure: Failure, tried: int) -> Failure:
    """A failure of this try; one that called no provider is its own only attempt."""
    if failure.attempts:
        return failure
    return replace(failure, attempts=[Tried(tried, failure.code or failure.type, failure.message, failure.status)])
