"""Administrative acts: who did what to what, when, from where.

Law: an entry is never changed, nor deleted before the operator's configuration says so; and the act stands in the
transaction of what it changed wherever there is one: neither is there without the other.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import ColumnElement, RowMapping, insert, literal, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.audit_table import audit_log
from gateway.store.engine import Database
from gateway.store.paging import cursor_of, position
from gateway.store.record import Json
from gateway.store.tables import UtcDateTime
from gateway.store.text import scrubbed

_A = audit_log.c
_TEXTS = ("actor", "key_id", "action", "target", "request_id", "address")
#: Characters of a text: a target may be what a caller wrote.
_LONGEST = 300


class Act(Struct, frozen=True, kw_only=True):
    """One act; time in Unix seconds. `before` and `after` are what it changed, without secrets.

    `actor` is the name of whoever did it, `key_id` its key's, where that was made by the API.
    """

    id: str
    at: float
    actor: str
    action: str
    target: str | None = None
    before: Json | None = None
    after: Json | None = None
    key_id: str | None = None
    request_id: str | None = None
    address: str | None = None


class Wanted(Struct, frozen=True):
    """Which acts; an `action` that ends in a dot stands for all that begin so. Times in Unix seconds."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: float | None = None
    until: float | None = None


class Acts(Struct, frozen=True):
    """A page, newest first; `next` leads to the next."""

    items: list[Act]
    next: str | None


async def write(connection: AsyncConnection, act: Act | None) -> None:
    """Keep an act within the transaction of what it did; None: nobody did it."""
    if act is not None:
        await connection.execute(insert(audit_log).values(_values(act)))


async def add(database: Database, acts: list[Act]) -> None:
    """Keep acts that had no transaction; one that is kept already stays as it is.

    Raises:
        StoreUnavailable: the database is away; nothing was kept.
    """
    async with database.write() as connection:
        made = postgresql.insert(audit_log) if connection.dialect.name == "postgresql" else sqlite.insert(audit_log)
        await connection.execute(made.on_conflict_do_nothing(), [_values(act) for act in acts])


async def listed(database: Database, wanted: Wanted, *, cursor: str | None, limit: int) -> Acts:
    """A page of acts.

    Raises:
        ValueError: `cursor` is not one that a page gave.
        StoreUnavailable: the database is away.
    """
    query = select(audit_log).where(*_conditions(wanted, cursor)).order_by(_A.at.desc(), _A.id.desc()).limit(limit + 1)
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
    more = cursor_of(rows[limit - 1]["at"], rows[limit - 1]["id"]) if len(rows) > limit else None
    return Acts([_act(row) for row in rows[:limit]], more)


def _conditions(wanted: Wanted, cursor: str | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, value in ((_A.actor, wanted.actor), (_A.target, wanted.target)):
        if value is not None:
            found.append(column == scrubbed(value))
    if wanted.action is not None:
        action = scrubbed(wanted.action)
        found.append(_A.action.startswith(action, autoescape=True) if action.endswith(".") else _A.action == action)
    if wanted.since is not None:
        found.append(_A.at >= datetime.fromtimestamp(wanted.since, UTC))
    if wanted.until is not None:
        found.append(_A.at < datetime.fromtimestamp(wanted.until, UTC))
    if cursor is not None:
        at, last = position(cursor)
        moment = literal(at, UtcDateTime())
        # The first follows from the second; it is what lets an index start there.
        found += [_A.at <= moment, tuple_(_A.at, _A.id) < tuple_(moment, literal(last))]
    return found


def _values(act: Act) -> dict[str, Any]:
    values = asdict(act)
    for name in _TEXTS:
        values[name] = None if values[name] is None else scrubbed(values[name])[:_LONGEST]
    return values | {"at": datetime.fromtimestamp(act.at, UTC)}


def _act(row: RowMapping) -> Act:
    values: dict[str, Any] = {**row, "at": row["at"].timestamp()}
    return Act(**values)
