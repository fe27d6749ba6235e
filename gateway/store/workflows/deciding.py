"""Decisions of people on steps that wait for them.

Law: the first decision wins, and so does an expiry against a decision. A decision and the attempt that goes on from it
are one transaction: nobody who crashes in between leaves an execution waiting for what has come.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import select, update

from gateway.store import audit
from gateway.store.audit import Act
from gateway.store.engine import Database
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import executions, step_executions
from gateway.store.workflows import artifacts
from gateway.store.workflows.attempts import Queued, wake_within
from gateway.store.workflows.locked import LIVE, change, note, recount
from gateway.store.workflows.translating import STEP, step_of, step_values, told
from gateway.workflows.kept import WHOLE, Artifact, Failure, Json, StepExecution

_E, _S = executions.c, step_executions.c
_DECIDED = ("status", "output", "branch", "error", "completed_at", "seconds", "data")


class Verdict(Struct, frozen=True, kw_only=True):
    """What a step that waits becomes; `data` is added to its own, `made` are files that it has then."""

    status: Literal["succeeded", "failed", "cancelled"]
    output: Json = None
    branch: str | None = None
    error: Failure | None = None
    data: dict[str, Any] = {}
    made: tuple[Artifact, ...] = ()


class Decided(Struct, frozen=True):
    """The step as it is now; `queued`: the attempt for a worker to run, None while one still runs."""

    step: StepExecution
    queued: Queued | None


async def decide(
    database: Database,
    execution_id: str,
    node_id: str,
    verdict: Verdict,
    *,
    now: float,
    item: int = WHOLE,
    act: Act | None = None,
) -> Decided | None:
    """Decide on a node that waits, and keep the act; None: it does not, or no more, or its execution has ended.

    The step is then one of the attempt that will see it: a failure is not tried again, but counts.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    execution_id, node_id = scrubbed(execution_id), scrubbed(node_id)
    where = (_S.execution_id == execution_id, _S.node_id == node_id, _S.item == item, _S.status == "waiting")
    async with database.write() as connection:
        held = await change(connection, _E.id == execution_id, _E.status.in_(LIVE))
        if held is None:
            return None
        row = (await connection.execute(select(*STEP).where(*where))).mappings().one_or_none()
        if row is None:
            await connection.rollback()  # the event's number with it
            return None
        step = _decided(step_of(row), verdict, now)
        step.attempt = held["attempt"] + (held["status"] != "pending")
        values = {name: value for name, value in step_values(step).items() if name in _DECIDED}
        values |= {"attempt": step.attempt, "expires_at": None}
        await connection.execute(update(step_executions).where(*where).values(values))
        await artifacts.add(connection, verdict.made)
        await recount(connection, execution_id)
        await note(connection, held, f"step.{verdict.status}", now=now, node_id=node_id, data=told(step))
        await audit.write(connection, act)
        return Decided(step, await wake_within(connection, execution_id, now))


def _decided(step: StepExecution, verdict: Verdict, now: float) -> StepExecution:
    step.status, step.output, step.branch = verdict.status, verdict.output, verdict.branch
    step.error, step.completed_at = verdict.error, now
    step.data = {**step.data, **verdict.data}
    return step
