"""The executions as their callers see them: begun, found, stopped, taken up again, decided upon, watched.

Law: an execution belongs to the key that began it; to another it is not there. The administrator sees all.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from gateway.errors import BadRequest, Conflict, NotFound
from gateway.governance.keys import Principal, require_lasting
from gateway.identity import new_id
from gateway.metrics import Metrics
from gateway.store.audit import Act
from gateway.store.engine import Database
from gateway.store.workflows import attempts, deciding, events, executions, steps, stopping
from gateway.store.workflows.attempts import Rerun
from gateway.store.workflows.executions import Filters, Page, Submitted, Within
from gateway.workflows import again, children
from gateway.workflows.archive import Archive
from gateway.workflows.beginning import drafted, must_be_the_same
from gateway.workflows.callers import require_to_go_on
from gateway.workflows.ears import Ears
from gateway.workflows.graph import APPROVED, REJECTED
from gateway.workflows.kept import Event, Execution, Failure, Json, StepExecution
from gateway.workflows.library import Library, check_form, check_inputs
from gateway.workflows.looks import Looks
from gateway.workflows.plan import Plan
from gateway.workflows.spec import SubWorkflow
from gateway.workflows.tallying import Tally

#: Told of an attempt that is to be run: execution, its number, its nodes in the plan's order.
Queue = Callable[[str, int, list[str]], Awaitable[None]]
#: Queues an attempt in the transaction of a connection; whether it could.
Enlist = Callable[[Any, str, int, list[str]], Awaitable[bool]]
ENDED = ("completed", "failed", "cancelled")
#: Seconds without events after which whoever watches is given none, and may say that it is still there. Proxies close
#: what is silent for a minute, some for half of one.
_QUIET = 15.0
#: Events that are read at once.
_BATCH = 1_000


class Desk:
    """Everything that can be asked of executions."""

    def __init__(
        self,
        database: Database,
        library: Library,
        queue: Queue,
        archive: Archive,
        *,
        wall: Callable[[], float],
        rng: random.Random,
        ears: Ears | None = None,
        enlist: Enlist | None = None,
        tally: Tally | None = None,
    ) -> None:
        """Over this database; `queue` is told of attempts that are to be run, `ears` hear of what befalls executions.

        Without ears nobody is told of anything: only what was there before is ever seen. `enlist` queues the first
        attempt of an execution in the transaction that keeps it, so that there is not one without the other. `archive`
        takes the files of decisions, `tally` counts what ends here.
        """
        self._tally = tally or Tally(Metrics(), wall=wall)
        self._database = database
        self._library = library
        self._queue = queue
        self._archive = archive
        self._wall = wall
        self._rng = rng
        self._ears = ears or Ears()
        self._enlist = enlist
        self._looks = Looks()

    async def begin(
        self,
        slug: str,
        inputs: Json,
        by: Principal,
        *,
        version: int | None = None,
        idempotency_key: str | None = None,
        budget_usd: float | None = None,
        deadline: float | None = None,
    ) -> Execution:
        """Begin an execution; with an idempotency key that is known, the one it began. `deadline` in seconds.

        Raises `NotFound`, `Invalid` for inputs that do not follow the schema, and `Conflict` for an idempotency key
        under which something else was begun.
        """
        require_lasting(by, "An execution")
        now = self._wall()
        execution = await drafted(
            self._library,
            slug,
            inputs,
            by.name,
            identity=new_id("wfexec", now, self._rng),
            now=now,
            version=version,
            idempotency_key=idempotency_key,
            budget_usd=budget_usd,
            deadline=deadline,
        )
        submitted = await self._submit(execution)
        if not submitted.created:
            must_be_the_same(submitted.execution, slug, inputs, version)
        return submitted.execution

    async def within(self, execution: Execution) -> Within | None:
        """What queues it in the transaction that keeps it; None where nothing can: `enqueue` it afterwards."""
        enlist = self._enlist
        if enlist is None:
            return None
        keys = await self._keys(execution)
        return lambda connection: enlist(connection, execution.id, execution.attempt, keys)

    async def enqueue(self, execution: Execution) -> None:
        """Have an execution run that somebody else has kept."""
        await self._run(execution)

    async def child(self, parent: Execution, step: StepExecution, node: SubWorkflow) -> Execution:
        """See `steps.subworkflow.Children`.

        Its id follows from the step's and the attempt that began it, so that there is one; run anew, it is another.
        """
        identity = step.data.get("execution_id") or f"{step.id.replace('stepexec', 'wfexec')}_{step.attempt}"
        known = await executions.get(self._database, identity)
        if known is not None:
            return known
        found = await self._library.get(node.slug, node.version)
        check_inputs(found.definition, node.inputs)
        now = await executions.get(self._database, parent.id) or parent
        born = children.born(identity, now, step, found, node.inputs, now=self._wall())
        return (await self._submit(born)).execution

    async def go_on(self, child: Execution, parent: Execution) -> Execution:
        """See `steps.subworkflow.Children`."""
        return (await self._again(child, await again.gone_on(self._library, child, parent, now=self._wall())))[0]

    async def get(self, execution_id: str, by: Principal) -> Execution:
        """An execution of theirs. Raises `NotFound`."""
        return _theirs(await executions.get(self._database, execution_id), execution_id, by)

    async def _facts(self, execution_id: str, by: Principal) -> Execution:
        """The same without its inputs and outputs."""
        return _theirs(await executions.facts(self._database, execution_id), execution_id, by)

    async def check(self, slug: str, inputs: Json, version: int | None) -> None:
        """Whether an execution would begin with these inputs. Raises `NotFound`, and `Invalid` when none would."""
        check_inputs((await self._library.get(slug, version)).definition, inputs)

    async def listed(
        self,
        by: Principal,
        *,
        slug: str | None = None,
        status: str | None = None,
        parent_id: str | None = None,
        since: float | None = None,
        cursor: str | None = None,
        limit: int,
    ) -> Page:
        """A page of theirs, newest first. Raises `BadRequest` for a cursor that no page gave."""
        whose = None if by.admin else by.name
        filters = Filters(slug=slug, status=status, key_name=whose, parent_id=parent_id, since=since)
        try:
            return await executions.listed(self._database, filters, cursor=cursor, limit=limit)
        except ValueError as exc:
            raise BadRequest("Use 'next_cursor' of an earlier page.", param="cursor") from exc

    async def steps(self, execution_id: str, by: Principal) -> list[StepExecution]:
        """All its step executions."""
        await self._facts(execution_id, by)
        return await steps.all_of(self._database, execution_id)

    async def cancel(self, execution_id: str, by: Principal) -> Execution:
        """Stop it and its children; one that has ended stays as it is."""
        found = await self._facts(execution_id, by)
        stopped = await stopping.request_cancel(self._database, execution_id, now=self._wall())
        self._tally.cancelled(len(stopped.cancelled))
        # One that runs tells it when it ends.
        if found.parent_id is not None and found.id in stopped.cancelled:
            await self.wake(found.parent_id)
        return await self.get(execution_id, by)

    async def resume(self, execution_id: str, by: Principal, *, deadline: float | None = None) -> tuple[Execution, int]:
        """Go on with one that failed or was cancelled; and how many steps, hence calls, that saves.

        `deadline` in seconds from now; None: as many as it had. Raises `Conflict` when it is neither.
        """
        execution = await self.get(execution_id, by)
        require_to_go_on(execution, by)
        if execution.status == "completed":
            raise Conflict("The execution is completed: there is nothing left to do. POST …/retry runs it anew.")
        rerun = await again.resumed(self._database, self._library, execution, deadline=deadline, now=self._wall())
        return await self._again(execution, rerun)

    async def retry(
        self,
        execution_id: str,
        by: Principal,
        *,
        from_step: str | None,
        inputs: Json,
        version: int | None,
        deadline: float | None = None,
    ) -> tuple[Execution, int]:
        """Run a step and all that comes after it anew; without a step everything. `inputs` replace the old ones.

        Raises `NotFound` for the step, `Invalid` for the inputs, `Conflict` while it runs.
        """
        execution = await self.get(execution_id, by)
        require_to_go_on(execution, by)
        rerun = await again.retried(
            self._database,
            self._library,
            execution,
            from_step=from_step,
            inputs=inputs,
            version=version,
            deadline=deadline,
            now=self._wall(),
        )
        return await self._again(execution, rerun)

    async def approve(
        self,
        execution_id: str,
        node_id: str | None,
        decision: str,
        data: Json,
        by: Principal,
        act: Act | None = None,
    ) -> StepExecution:
        """Decide on a step that waits for it; the only one, when none is named. Raises `Conflict` when none waits."""
        execution = await self._facts(execution_id, by)
        if execution.status in ENDED:
            raise Conflict(f"The execution is {execution.status}: nothing of it waits for a decision.")
        waiting = [
            one
            for one in await steps.all_of(self._database, execution_id)
            if one.kind == "approval" and one.status == "waiting" and node_id in {None, one.node_id}
        ]
        if len(waiting) != 1:
            names = ", ".join(one.node_id for one in waiting)
            raise Conflict(
                f"Name the step: {names} wait." if waiting else "No such step waits for a decision.", param="node"
            )
        check_form(waiting[0].data.get("form_schema"), data)
        output = {"decision": decision, "data": data, "decided_by": by.name, "decided_at": self._wall()}
        branch = APPROVED if decision == "approve" else REJECTED
        made, told = await self._archive.decided(waiting[0], output)
        verdict = deciding.Verdict(status="succeeded", output=output, branch=branch, data=told, made=made)
        if act is not None:
            told = {"node": waiting[0].node_id, "decision": decision}
            act = replace(act, target=execution_id, after=told)
        return await self.decide(execution, waiting[0].node_id, verdict, act)

    async def decide(
        self, execution: Execution, node_id: str, verdict: deciding.Verdict, act: Act | None = None
    ) -> StepExecution:
        """End a step that waits. Raises `Conflict` when it does no more."""
        decided = await deciding.decide(self._database, execution.id, node_id, verdict, now=self._wall(), act=act)
        if decided is None:
            raise Conflict(f"The step '{node_id}' waits no more: somebody else has decided.")
        if decided.queued is not None:
            await self._run_id(decided.queued.execution_id)
        return decided.step

    async def step(self, step_id: str, by: Principal) -> StepExecution:
        """A step execution of theirs. Raises `NotFound`."""
        found = await steps.get(self._database, step_id)
        if found is not None:
            with suppress(NotFound):
                await self._facts(found.execution_id, by)
                return found
        raise NotFound(f"There is no step execution '{step_id:.80}'.")

    async def cancel_step(self, step_id: str, by: Principal) -> StepExecution:
        """Stop one step: it fails as cancelled, and its `on_error` says what follows. Raises `Conflict`."""
        await self.step(step_id, by)
        asked = await stopping.request_step_cancel(self._database, step_id, now=self._wall())
        if asked is None:
            raise Conflict("This step has ended.")
        if asked.queued is not None:
            await self._run_id(asked.queued.execution_id)
            for child in children.awaited(asked.step, await steps.all_of(self._database, asked.step.execution_id)):
                await self.cancel(child, by)
        return await self.step(step_id, by)

    async def events(self, execution_id: str, by: Principal, *, after: int, limit: int) -> list[Event]:
        """Its events behind that number."""
        await self._facts(execution_id, by)
        return await events.after(self._database, execution_id, after, limit=limit)

    async def ended_within(self, execution_id: str, by: Principal, seconds: float) -> Execution:
        """The execution as it is when it has ended, or after so many seconds."""
        with self._ears.listening(execution_id, "end") as ear, suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while (await self._looks.unbroken(self._facts(execution_id, by))).status not in ENDED:
                    await ear.wait()
        return await self.get(execution_id, by)

    async def watch(self, execution_id: str, by: Principal, *, after: int = 0) -> AsyncGenerator[list[Event]]:
        """Every event behind that number, those to come too, until the execution has ended; now and then none."""
        with self._ears.listening(execution_id, "event") as ear:
            while True:
                ended, found = await self._looks.unbroken(self._seen(execution_id, by, after))
                if found:
                    after = found[-1].seq
                    yield found
                if len(found) == _BATCH:
                    continue
                if ended:
                    return
                while not await ear.wait(_QUIET):
                    yield []

    async def _seen(self, execution_id: str, by: Principal, after: int) -> tuple[bool, list[Event]]:
        """Whether it has ended, and then what befell it: all of it, if it has."""
        execution = await self._facts(execution_id, by)
        return execution.status in ENDED, await events.after(self._database, execution_id, after, limit=_BATCH)

    async def ended(self, execution: Execution) -> None:
        """An attempt is over: whoever waits for it goes on, and itself if what it waits for has come meanwhile."""
        now = await executions.facts(self._database, execution.id)
        if now is None:
            return
        if now.status == "pending":
            await self._run(now)
        elif now.status in ENDED and now.parent_id is not None:
            await self.wake(now.parent_id)

    async def wake(self, execution_id: str) -> None:
        """What an execution waits for may have come: have it look, if it waits."""
        queued = await attempts.wake(self._database, execution_id, now=self._wall())
        if queued is not None:
            await self._run_id(execution_id)

    async def expire(self, step: StepExecution) -> None:
        """Nobody has decided in time."""
        execution = await executions.facts(self._database, step.execution_id)
        assert execution is not None, "its steps go with it"
        failure = Failure("timeout_error", "Nobody decided in time.", "approval_expired", node_id=step.node_id)
        with suppress(Conflict):
            await self.decide(execution, step.node_id, deciding.Verdict(status="failed", error=failure))

    async def queue_stale(self, before: float) -> int:
        """Queue the attempts that nobody has begun since; how many."""
        found = await attempts.stale(self._database, before, now=self._wall())
        for one in found:
            await self._run_id(one.execution_id)
        return len(found)

    async def _again(self, execution: Execution, rerun: Rerun) -> tuple[Execution, int]:
        number = await attempts.next_attempt(
            self._database, execution.id, ("failed", "cancelled", "completed"), now=self._wall(), rerun=rerun
        )
        if number is None:
            raise Conflict(f"The execution is {execution.status}; only one that has ended can be run again.")
        kept = [one for one in await steps.all_of(self._database, execution.id) if one.status == "succeeded"]
        now = await executions.facts(self._database, execution.id)
        assert now is not None, "it was just changed"
        await self._run(now)
        return now, sum(bool(one.request_ids) for one in kept)

    async def _run_id(self, execution_id: str) -> None:
        found = await executions.facts(self._database, execution_id)
        if found is not None:
            await self._run(found)

    async def _submit(self, execution: Execution) -> Submitted:
        submitted = await executions.submit(self._database, execution, await self.within(execution))
        if submitted.created and not submitted.within:
            await self._run(submitted.execution)
        return submitted

    async def _run(self, execution: Execution) -> None:
        await self._queue(execution.id, execution.attempt, await self._keys(execution))

    async def _keys(self, execution: Execution) -> list[str]:
        definition = (await self._library.get(execution.slug, execution.version)).definition
        return list(Plan(definition).order)


def _theirs(found: Execution | None, execution_id: str, by: Principal) -> Execution:
    if found is None or not (by.admin or found.key_name == by.name):
        raise NotFound(f"There is no execution '{execution_id:.80}'. GET /api/executions lists them.")
    return found
