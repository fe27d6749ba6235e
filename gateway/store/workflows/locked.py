"""The lock on an execution: what changes it, and the events that tell of it.

Law: the statement that changes an execution also counts `last_seq` up; on PostgreSQL it waits for, and then holds, the
row's lock, on SQLite the transaction holds the only write lock. So an event is written for each number, by whoever
holds the execution, and a transaction that fails gives its numbers back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, RowMapping, bindparam, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import Table

from gateway.store.engine import tell
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import execution_events, executions, step_executions
from gateway.store.workflows.translating import moment
from gateway.workflows.kept import WHOLE

_E, _S = executions.c, step_executions.c
#: What has not ended.
LIVE = ("pending", "running", "waiting")
#: What has.
ENDED = ("completed", "failed", "cancelled")
#: States in which a node counts as done: nobody waits for it any more.
DONE = ("succeeded", "failed", "skipped", "cancelled")
_BRIEFLY: Sequence[ColumnElement[Any]] = (_E.id, _E.slug, _E.status, _E.attempt, _E.last_seq, _E.woken)
#: Made once, as each step of each execution runs them: made anew each time, a step took twice the processor's time.
_NOTE = insert(execution_events)
_RECOUNT = (
    update(executions)
    .where(_E.id == bindparam("of"))
    .values(
        done=select(func.count())
        .where(_S.execution_id == bindparam("of"), _S.item == WHOLE, _S.status.in_(DONE))
        .scalar_subquery()
    )
)


class Fence(Struct, frozen=True):
    """Who writes: this attempt of this execution, run by `owner` (None: by anybody)."""

    execution_id: str
    attempt: int
    owner: str | None = None

    def open(self) -> list[ColumnElement[bool]]:
        """The conditions under which it may."""
        found = [_E.id == scrubbed(self.execution_id), _E.attempt == self.attempt, _E.status == "running"]
        return found if self.owner is None else [*found, _E.owner == self.owner]

    def parameters(self) -> dict[str, Any]:
        """What a statement made beforehand is told of it."""
        return {"of_execution": scrubbed(self.execution_id), "of_attempt": self.attempt, "of_owner": self.owner}


class Noted(Struct, frozen=True):
    """What an event tells."""

    kind: str
    at: float
    node_id: str | None
    data: dict[str, Any]


async def change(
    connection: AsyncConnection,
    *conditions: ColumnElement[bool],
    returning: Sequence[ColumnElement[Any]] = _BRIEFLY,
    **values: Any,
) -> RowMapping | None:
    """Change the execution for which the conditions hold, and hold it; its row afterwards, None: they do not.

    Whoever gets a row must `note` an event with its number.
    """
    query = update(executions).where(*conditions).values(last_seq=_E.last_seq + 1, **values).returning(*returning)
    return (await connection.execute(query)).mappings().one_or_none()


async def note(
    connection: AsyncConnection,
    changed: RowMapping,
    kind: str,
    *,
    now: float,
    node_id: str | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Write the event that goes with a change; who waits for it is woken after the commit."""
    await note_all(connection, changed, [Noted(kind, now, node_id, data or {})])


async def note_all(connection: AsyncConnection, changed: RowMapping, found: Sequence[Noted]) -> None:
    """Write the events that go with a change that has counted all of them; who waits for them is woken as well."""
    first = changed["last_seq"] - len(found) + 1
    values: list[dict[str, Any]] = [
        {
            "execution_id": changed["id"],
            "seq": first + place,
            "at": moment(one.at),
            "type": one.kind,
            "node_id": one.node_id,
            "data": one.data,
        }
        for place, one in enumerate(found)
    ]
    await connection.execute(_NOTE, values)
    for one in found:
        tell(connection, (changed["id"], one.kind))


async def recount(connection: AsyncConnection, execution_id: str) -> None:
    """Count the nodes that are done, of an execution that is held.

    Counted, not added up: what a node was before is not known to who puts what it is now.
    """
    await connection.execute(_RECOUNT, {"of": execution_id})


def inserting(dialect: str, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that may say what is to be done on conflict: both engines have it, each in a class of its own."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
