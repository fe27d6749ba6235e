"""The request log, read: one function per query.

Law: what was logged is what is read, as the record it was; newest first, and a page never shifts while rows arrive,
because the next one starts behind the last row seen (keyset), not at a count.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, CompoundSelect, RowMapping, Select, literal, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.engine import Database
from gateway.store.paging import Position, cursor_of, position
from gateway.store.record import AttemptRecord, ExchangeRecord
from gateway.store.tables import UtcDateTime, attempts, bodies, exchanges
from gateway.store.tally import CACHED
from gateway.store.text import scrubbed

_X = exchanges.c
#: An answer a provider was asked for.
_ASKED = ("miss", "bypass")
_LISTED = [column for column in exchanges.columns if column.name not in ("decision", "attempts")]


class Filters(Struct, frozen=True, kw_only=True):
    """What a listing is narrowed to; None means any. `status` is the HTTP status, `since` Unix seconds, inclusive."""

    provider: str | None = None
    model: str | None = None
    status: int | None = None
    key: str | None = None
    cached: bool | None = None
    since: float | None = None


class Page(Struct, frozen=True):
    """Some exchanges, newest first, and where the next page starts: None at the end."""

    items: list[ExchangeRecord]
    next: str | None


async def recent(database: Database, filters: Filters, cursor: str | None = None, limit: int = 50) -> Page:
    """A page of exchanges with their attempts, without decisions and bodies.

    Raises:
        ValueError: `cursor` is not one that a page gave.
        StoreUnavailable: the database is away.
    """
    query = page_query(filters, position(cursor) if cursor is not None else None, limit + 1)
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
        tried = await _attempts(connection, [row["id"] for row in rows[:limit]])
    items = [_record(row, tried.get(row["id"], [])) for row in rows[:limit]]
    return Page(items, cursor_of(rows[limit - 1]["created_at"], rows[limit - 1]["id"]) if len(rows) > limit else None)


def page_query(filters: Filters, after: Position | None, limit: int) -> Select[*tuple[Any, ...]] | CompoundSelect[Any]:
    """The rows of a page, from behind `after` on."""
    query = select(*_LISTED).where(*_conditions(filters))
    if after is not None:
        moment = literal(after.at, UtcDateTime())
        # The first condition follows from the second; it is what lets the (filter, created_at) indexes start there.
        query = query.where(_X.created_at <= moment, tuple_(_X.created_at, _X.id) < tuple_(moment, literal(after.id)))
    query = query.order_by(_X.created_at.desc(), _X.id.desc()).limit(limit)
    if filters.cached is None:
        return query
    # Each value's newest by its index, then the newest of these: asked for both at once, SQLite sorts all there are.
    values = CACHED if filters.cached else _ASKED
    newest = union_all(*(select(query.where(_X.cache == value).subquery()) for value in values))
    found = newest.selected_columns
    return newest.order_by(found.created_at.desc(), found.id.desc()).limit(limit)


async def get(database: Database, identity: str) -> ExchangeRecord | None:
    """One exchange, whole: attempts, decision, and bodies if they were kept.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = (
        select(*_LISTED, _X.decision, bodies.c.request.label("request_body"), bodies.c.response.label("response_body"))
        .outerjoin_from(exchanges, bodies, bodies.c.exchange_id == _X.id)
        .where(_X.id == scrubbed(identity))
    )
    async with database.read() as connection:
        row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            return None
        tried = await _attempts(connection, [row["id"]])
    return _record(row, tried.get(row["id"], []))


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, wanted in (
        (_X.provider, filters.provider),
        (_X.model, filters.model),
        (_X.status, filters.status),
        (_X.key_name, filters.key),
    ):
        if wanted is not None:
            found.append(column == (scrubbed(wanted) if isinstance(wanted, str) else wanted))
    if filters.since is not None:
        found.append(_X.created_at >= datetime.fromtimestamp(filters.since, UTC))
    return found


async def _attempts(connection: AsyncConnection, identities: Sequence[str]) -> dict[str, list[AttemptRecord]]:
    query = select(attempts).where(attempts.c.exchange_id.in_(identities)).order_by(attempts.c.exchange_id, "seq")
    found: dict[str, list[AttemptRecord]] = {}
    for row in (await connection.execute(query)).mappings():
        values: dict[str, Any] = {**row, "cost_usd": float(row["cost_usd"])}
        found.setdefault(values.pop("exchange_id"), []).append(AttemptRecord(**values))
    return found


def _record(row: RowMapping, tried: list[AttemptRecord]) -> ExchangeRecord:
    values: dict[str, Any] = dict(row)
    values["created_at"] = row["created_at"].timestamp()
    values["cost_usd"] = float(row["cost_usd"])
    values["dropped_params"] = tuple(row["dropped_params"] or ())
    return ExchangeRecord(**values, attempts=tried)
