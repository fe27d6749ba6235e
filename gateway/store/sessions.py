"""Conversations that the gateway keeps for a caller.

Law: a session belongs to its tenant. Another tenant's session with the same id is another session: it can be neither
read nor extended, and asking tells nothing. Turns that arrive at once are all kept, in the order they were written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Row, Select, delete, insert, literal, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from gateway.store.engine import Database
from gateway.store.record import Json
from gateway.store.tables import UtcDateTime, sessions
from gateway.store.text import scrubbed

_S = sessions.c


class Session(Struct, frozen=True):
    """A conversation; times in Unix seconds. `turns` counts the appends, also those whose messages were trimmed."""

    id: str
    created_at: float
    updated_at: float
    turns: int
    messages: list[Json]


async def load(database: Database, tenant: str, identity: str) -> Session | None:
    """The tenant's session of that id.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.read() as connection:
        row = (await connection.execute(_select(tenant, identity))).one_or_none()
    return None if row is None else _session(row)


async def append(
    database: Database, tenant: str, identity: str, messages: Sequence[Json], *, now: float, keep: int
) -> Session:
    """Add a turn's `messages`, beginning the session if there is none, and keep the newest `keep` messages.

    Raises:
        StoreUnavailable: the database is away; nothing was added.
    """
    try:
        return await _append(database, tenant, identity, messages, now, keep)
    except IntegrityError:
        # Another process began the same session between our look and our insert; now it is there to be extended.
        return await _append(database, tenant, identity, messages, now, keep)


async def delete_session(database: Database, tenant: str, identity: str) -> bool:
    """Delete the tenant's session; whether there was one.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.write() as connection:
        result = await connection.execute(
            delete(sessions).where(_S.tenant == scrubbed(tenant), _S.id == scrubbed(identity))
        )
        return result.rowcount > 0


async def list_sessions(
    database: Database, tenant: str, *, after: Session | None = None, limit: int = 50
) -> list[Session]:
    """The tenant's sessions, last used first, from behind `after` on; without their messages.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(_S.id, _S.created_at, _S.updated_at, _S.turns).where(_S.tenant == scrubbed(tenant))
    if after is not None:
        moment = literal(datetime.fromtimestamp(after.updated_at, UTC), UtcDateTime())
        query = query.where(tuple_(_S.updated_at, _S.id) < tuple_(moment, literal(after.id)))
    query = query.order_by(_S.updated_at.desc(), _S.id.desc()).limit(limit)
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return [Session(row.id, row.created_at.timestamp(), row.updated_at.timestamp(), row.turns, []) for row in rows]


async def _append(
    database: Database, tenant: str, identity: str, messages: Sequence[Json], now: float, keep: int
) -> Session:
    moment, tenant, identity = datetime.fromtimestamp(now, UTC), scrubbed(tenant), scrubbed(identity)
    async with database.write() as connection:
        row = (await connection.execute(_select(tenant, identity).with_for_update())).one_or_none()
        found = _session(row) if row is not None else Session(identity, now, now, 0, [])
        kept = [*found.messages, *messages][-keep:]
        values: dict[str, Any] = {"messages": kept, "turns": found.turns + 1, "updated_at": moment}
        if row is None:
            values |= {"tenant": tenant, "id": identity, "created_at": moment}
            await connection.execute(insert(sessions).values(values))
        else:
            await connection.execute(update(sessions).where(_S.tenant == tenant, _S.id == identity).values(values))
    return Session(identity, found.created_at, now, found.turns + 1, kept)


def _select(tenant: str, identity: str) -> Select[str, datetime, datetime, int, Any]:
    return select(_S.id, _S.created_at, _S.updated_at, _S.turns, _S.messages).where(
        _S.tenant == scrubbed(tenant), _S.id == scrubbed(identity)
    )


def _session(row: Row[str, datetime, datetime, int, Any]) -> Session:
    return Session(row.id, row.created_at.timestamp(), row.updated_at.timestamp(), row.turns, row.messages)
