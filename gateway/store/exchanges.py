"""The request log, read: one function per query.

Law: what was logged is what is read, as the record it was; newest first, and a page never shifts while rows arrive,
because the next one starts behind the last row seen (keyset), not at a count.

Percentiles are by nearest rank: the smallest value that at least that share of the rows does not exceed, so each is a
duration that somebody waited. One statement for both engines, by numbering the sorted rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, ColumnElement, RowMapping, case, func, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.engine import Database
from gateway.store.paging import cursor_of, position
from gateway.store.record import AttemptRecord, ExchangeRecord
from gateway.store.tables import UtcDateTime, attempts, bodies, exchanges
from gateway.store.text import scrubbed

#: An answer nobody paid a provider for: found in the cache, or shared with the caller who asked first.
_CACHED = ("hit", "coalesced")
_X = exchanges.c
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


class Totals(Struct, kw_only=True):
    """Sums over exchanges."""

    requests: int = 0
    errors: int = 0
    cancelled: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


class Share(Struct):
    """The totals of one provider's model; both None for exchanges that reached none."""

    provider: str | None
    model: str | None
    totals: Totals


class Percentiles(Struct, frozen=True):
    """Seconds; None when there is nothing to rank."""

    p50: float | None
    p95: float | None
    p99: float | None


class LogTotals(Struct, frozen=True):
    """The log since a moment: sums, shares by requests, and the latencies of the exchanges that succeeded."""

    totals: Totals
    shares: list[Share]
    duration_s: Percentiles
    ttft_s: Percentiles


async def recent(database: Database, filters: Filters, cursor: str | None = None, limit: int = 50) -> Page:
    """A page of exchanges with their attempts, without decisions and bodies.

    Raises:
        ValueError: `cursor` is not one that a page gave.
        StoreUnavailable: the database is away.
    """
    query = select(*_LISTED).where(*_conditions(filters))
    if cursor is not None:
        at, last = position(cursor)
        moment = literal(at, UtcDateTime())
        # The first condition follows from the second; it is what lets the (filter, created_at) indexes start there.
        query = query.where(_X.created_at <= moment, tuple_(_X.created_at, _X.id) < tuple_(moment, literal(last)))
    query = query.order_by(_X.created_at.desc(), _X.id.desc()).limit(limit + 1)
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
        tried = await _attempts(connection, [row["id"] for row in rows[:limit]])
    items = [_record(row, tried.get(row["id"], [])) for row in rows[:limit]]
    return Page(items, cursor_of(rows[limit - 1]["created_at"], rows[limit - 1]["id"]) if len(rows) > limit else None)


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


async def stats(database: Database, since: float) -> LogTotals:
    """Sums and percentiles of the exchanges created at or after `since` (Unix seconds).

    Raises:
        StoreUnavailable: the database is away.
    """
    moment = _X.created_at >= datetime.fromtimestamp(since, UTC)
    query = (
        select(
            _X.provider,
            _X.model,
            func.count().label("requests"),
            _count_if(_X.outcome == "error").label("errors"),
            _count_if(_X.outcome == "cancelled").label("cancelled"),
            _count_if(_X.cache.in_(_CACHED)).label("cached"),
            func.sum(_X.input_tokens).label("input_tokens"),
            func.sum(_X.output_tokens).label("output_tokens"),
            func.sum(_X.cost_usd).label("cost_usd"),
        )
        .where(moment)
        .group_by(_X.provider, _X.model)
        .order_by(func.count().desc(), _X.provider, _X.model)
    )
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
        duration = await _percentiles(connection, _X.duration_s, moment)
        ttft = await _percentiles(connection, _X.ttft_s, moment)
    shares = [Share(row["provider"], row["model"], _totals(row)) for row in rows]
    return LogTotals(_sum(shares), shares, duration, ttft)


async def spent(database: Database, key_name: str, since: float) -> Decimal:
    """USD that a key's exchanges created at or after `since` (Unix seconds) have cost.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(func.sum(_X.cost_usd)).where(
        _X.key_name == scrubbed(key_name), _X.created_at >= datetime.fromtimestamp(since, UTC)
    )
    async with database.read() as connection:
        return (await connection.execute(query)).scalar_one() or Decimal(0)


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
    if filters.cached is not None:
        found.append(_X.cache.in_(_CACHED) if filters.cached else _X.cache.not_in(_CACHED))
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


def _count_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _totals(row: RowMapping) -> Totals:
    counts = {name: int(row[name]) for name in Totals.__struct_fields__ if name != "cost_usd"}
    return Totals(**counts, cost_usd=row["cost_usd"])


def _sum(shares: Sequence[Share]) -> Totals:
    whole: dict[str, Any] = {
        name: sum((getattr(share.totals, name) for share in shares), start=getattr(Totals(), name))
        for name in Totals.__struct_fields__
    }
    return Totals(**whole)


async def _percentiles(connection: AsyncConnection, column: Column[float], moment: ColumnElement[bool]) -> Percentiles:
    sorted_rows = (
        select(column.label("value"), func.row_number().over(order_by=column).label("rank"), _rows().label("rows"))
        .where(moment, _X.outcome == "ok", column.is_not(None))
        .subquery()
    )
    # The rank ceil(rows · percent / 100), in whole numbers.
    wanted: list[ColumnElement[float | None]] = [
        func.min(case((sorted_rows.c.rank >= (sorted_rows.c.rows * percent + 99) // 100, sorted_rows.c.value)))
        for percent in (50, 95, 99)
    ]
    found = tuple((await connection.execute(select(*wanted))).one())
    return Percentiles(found[0], found[1], found[2])


def _rows() -> ColumnElement[int]:
    return func.count().over()
