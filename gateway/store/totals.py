"""Totals of the request log, from the sums that are kept beside its rows: as quick over ten million rows as over ten.

Law: totals begin at a multiple of five minutes and say at which; from there on they are exact. Percentiles are by
nearest rank, the smallest value that at least that share of the rows does not exceed, told with an error of at most
2.5 % (`tally`). A key's cost is exact from any moment: what its whole hours do not hold is counted from the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from math import ceil, floor
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, FromClause, RowMapping, and_, func, or_, select

from gateway.store.engine import Database
from gateway.store.tables import exchange_latencies, exchange_sums, exchanges, key_sums
from gateway.store.tally import DAY, DURATION, FINE, HOUR, TTFT, seconds_of
from gateway.store.text import scrubbed

_X, _S, _L, _K = exchanges.c, exchange_sums.c, exchange_latencies.c, key_sums.c


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
    """The log from `since` (Unix seconds) on: sums, shares by requests, latencies of the exchanges that succeeded."""

    since: float
    totals: Totals
    shares: list[Share]
    duration_s: Percentiles
    ttft_s: Percentiles


async def stats(database: Database, since: float) -> LogTotals:
    """Sums and percentiles of the exchanges created at or after the five minutes that `since` (Unix seconds) is in.

    Raises:
        StoreUnavailable: the database is away.
    """
    start = floor(since / FINE) * FINE
    columns = [func.sum(_S[name]).label(name) for name in Totals.__struct_fields__]
    shares_query = (
        select(_S.provider, _S.model, *columns)
        .where(_from(exchange_sums, start))
        .group_by(_S.provider, _S.model)
        .order_by(func.sum(_S.requests).desc(), _S.provider, _S.model)
    )
    bins_query = (
        select(_L.metric, _L.bin, func.sum(_L.requests))
        .where(_from(exchange_latencies, start))
        .group_by(_L.metric, _L.bin)
        .order_by(_L.metric, _L.bin)
    )
    async with database.read() as connection:
        rows = (await connection.execute(shares_query)).mappings().all()
        counts: dict[str, list[tuple[int, int]]] = {DURATION: [], TTFT: []}
        for metric, number, count in await connection.execute(bins_query):
            counts[metric].append((number, int(count)))
    shares = [Share(row["provider"] or None, row["model"] or None, _totals(row)) for row in rows]
    return LogTotals(float(start), summed(shares), shares, _percentiles(counts[DURATION]), _percentiles(counts[TTFT]))


async def spent(database: Database, key_name: str, since: float) -> Decimal:
    """USD that a key's exchanges created at or after `since` (Unix seconds) have cost.

    Raises:
        StoreUnavailable: the database is away.
    """
    whole, name = ceil(since / HOUR) * HOUR, scrubbed(key_name)
    hours = select(func.sum(_K.cost_usd)).where(_K.key_name == name, _K.start >= whole)
    begun = select(func.sum(_X.cost_usd)).where(
        _X.key_name == name,
        _X.created_at >= datetime.fromtimestamp(since, UTC),
        _X.created_at < datetime.fromtimestamp(whole, UTC),
    )
    async with database.read() as connection:
        found = (await connection.execute(hours)).scalar_one() or Decimal(0)
        if whole > since:
            found += (await connection.execute(begun)).scalar_one() or Decimal(0)
    return found


def _from(table: FromClause, start: int) -> ColumnElement[bool]:
    """The spans from `start` on: short ones up to the next day, then whole days."""
    day, span, begin = ceil(start / DAY) * DAY, table.c.span, table.c.start
    days = and_(span == DAY, begin >= day)
    return days if day == start else or_(and_(span == FINE, begin >= start, begin < day), days)


def _totals(row: RowMapping) -> Totals:
    counts = {name: int(row[name]) for name in Totals.__struct_fields__ if name != "cost_usd"}
    return Totals(**counts, cost_usd=row["cost_usd"])


def summed(shares: Sequence[Share]) -> Totals:
    """All of them together."""
    whole: dict[str, Any] = {
        name: sum((getattr(share.totals, name) for share in shares), start=getattr(Totals(), name))
        for name in Totals.__struct_fields__
    }
    return Totals(**whole)


def _percentiles(bins: Sequence[tuple[int, int]]) -> Percentiles:
    """By nearest rank, from the bins in order and their counts."""
    rows = sum(count for _, count in bins)
    found: list[float | None] = []
    for percent in (50, 95, 99):
        rank, passed = (rows * percent + 99) // 100, 0
        for number, count in bins:
            passed += count
            if passed >= rank:
                found.append(seconds_of(number))
                break
        else:
            found.append(None)
    return Percentiles(found[0], found[1], found[2])
