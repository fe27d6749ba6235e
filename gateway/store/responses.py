"""Responses that callers may come back to: each with its own input, and the id of the one it goes on from.

Law: a response belongs to its tenant. Another tenant's can be neither read, gone on from nor deleted, and asking tells
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, Select, delete, insert, literal, select

from gateway.store.engine import Database
from gateway.store.record import Json
from gateway.store.tables import responses
from gateway.store.text import scrubbed

_R = responses.c


class Stored(Struct, frozen=True):
    """A response; `input` are its own items, not those before it."""

    id: str
    previous: str | None
    input: list[Json]
    response: Json


async def put(database: Database, tenant: str, stored: Stored, *, now: float) -> None:
    """Keep a response; `now` in Unix seconds.

    Raises:
        StoreUnavailable: the database is away; nothing was kept.
    """
    values: dict[str, Any] = {
        "tenant": scrubbed(tenant),
        "id": stored.id,
        "created_at": datetime.fromtimestamp(now, UTC),
        "previous_id": stored.previous,
        "input": stored.input,
        "response": stored.response,
    }
    async with database.write() as connection:
        await connection.execute(insert(responses).values(values))


async def load(database: Database, tenant: str, identities: Sequence[str]) -> list[Stored]:
    """Those of the tenant's responses that are there, in no order.

    Raises:
        StoreUnavailable: the database is away.
    """
    wanted = [scrubbed(one) for one in identities]
    async with database.read() as connection:
        rows = (await connection.execute(_select(tenant).where(_R.id.in_(wanted)))).all()
    return [_stored(row) for row in rows]


async def chain(database: Database, tenant: str, identity: str, *, longest: int) -> list[Stored]:
    """The response and those it goes on from, oldest first, as far as they are there, `longest` at most.

    Raises:
        StoreUnavailable: the database is away.
    """
    # One query for the whole way back: a turn per round trip would make every turn slower than the last.
    first = _select(tenant).add_columns(literal(1).label("step")).where(_R.id == scrubbed(identity))
    back = first.cte("back", recursive=True)
    older = (
        select(_R.id, _R.previous_id, _R.input, _R.response, back.c.step + 1)
        .join(back, _R.id == back.c.previous_id)
        .where(_R.tenant == scrubbed(tenant), back.c.step < longest)
    )
    back = back.union_all(older)
    query = select(back.c.id, back.c.previous_id, back.c.input, back.c.response).order_by(back.c.step.desc())
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return [_stored(row) for row in rows]


async def remove(database: Database, tenant: str, identity: str) -> bool:
    """Delete the tenant's response; whether there was one.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.write() as connection:
        where = (_R.tenant == scrubbed(tenant), _R.id == scrubbed(identity))
        return (await connection.execute(delete(responses).where(*where))).rowcount > 0


def _select(tenant: str) -> Select[str, str | None, Any, Any]:
    return select(_R.id, _R.previous_id, _R.input, _R.response).where(_R.tenant == scrubbed(tenant))


def _stored(row: Row[str, str | None, Any, Any]) -> Stored:
    return Stored(row.id, row.previous_id, row.input, row.response)
