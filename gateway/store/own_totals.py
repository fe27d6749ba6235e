"""Totals of one key's exchanges, counted from its rows: the sums beside the log are everybody's (`totals`).

Law: what they say of all, this says of one, from the same beginning; percentiles are exact. One key's rows of a period
are found by their index, so this costs what the key asked in it, and not what the log holds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from math import floor
from typing import Any

from sqlalchemy import Column, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.engine import Database
from gateway.store.tables import exchanges
from gateway.store.tally import CACHED, FINE
from gateway.store.text import scrubbed
from gateway.store.totals import LogTotals, Percentiles, Share, Totals, summed

_X = exchanges.c


async def stats_of(database: Database, key_name: str, since: float) -> LogTotals:
    """As `totals.stats`, of the exchanges of one key.

    Raises:
        StoreUnavailable: the database is away.
    """
    start = floor(since / FINE) * FINE
    mine = (_X.key_name == scrubbed(key_name), _X.created_at >= datetime.fromtimestamp(start, UTC))

    def counted(condition: Any) -> Any:
        return func.sum(case((condition, 1), else_=0))

    query = (
        select(
            _X.provider,
            _X.model,
            func.count().label("requests"),
            counted(_X.outcome == "error").label("errors"),
            counted(_X.outcome == "cancelled").label("cancelled"),
            counted(_X.cache.in_(CACHED)).label("cached"),
            func.sum(_X.input_tokens).label("input_tokens"),
            func.sum(_X.output_tokens).label("output_tokens"),
            func.sum(_X.cost_usd).label("cost_usd"),
        )
        .where(*mine)
        .group_by(_X.provider, _X.model)
        .order_by(func.count().desc(), _X.provider, _X.model)
    )
    good = (*mine, _X.outcome == "ok")
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
        duration = await _percentiles(connection, _X.duration_s, good)
        ttft = await _percentiles(connection, _X.ttft_s, (*good, _X.ttft_s.is_not(None)))
    shares: list[Share] = []
    for row in rows:
        counts = {name: int(row[name]) for name in Totals.__struct_fields__ if name != "cost_usd"}
        shares.append(Share(row["provider"], row["model"], Totals(**counts, cost_usd=row["cost_usd"])))
    return LogTotals(float(start), summed(shares), shares, duration, ttft)


async def _percentiles(connection: AsyncConnection, column: Column[Any], which: tuple[Any, ...]) -> Percentiles:
    """By nearest rank."""
    rows: int = (await connection.execute(select(func.count()).where(*which))).scalar_one()
    found: list[float | None] = [None, None, None]
    for place, percent in enumerate((50, 95, 99) if rows else ()):
        rank = (rows * percent + 99) // 100
        query = select(column).where(*which).order_by(column).offset(rank - 1).limit(1)
        found[place] = (await connection.execute(query)).scalar_one_or_none()
    return Percentiles(found[0], found[1], found[2])
