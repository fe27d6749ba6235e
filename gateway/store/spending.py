"""What was spent, by whom and for what: read from the sums that are kept beside the log (`posting`).

Law: what is told is what the rows of whole days (UTC) say, and the total counts each request once. By tag a request is
told with each of its key's tags: then the rows may come to more than the total.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import ceil, floor
from typing import Any, Literal

from msgspec import Struct
from sqlalchemy import ColumnElement, func, select

from gateway.store.engine import Database
from gateway.store.tables import MoneySum, spend_sums
from gateway.store.tally import DAY
from gateway.store.text import scrubbed

_S = spend_sums.c
Dimension = Literal["day", "key", "tag", "provider", "model"]
_COLUMNS: dict[str, ColumnElement[Any]] = {
    "day": _S.start,
    "key": _S.key_name,
    "tag": _S.tag,
    "provider": _S.provider,
    "model": _S.model,
}
_SUMS = (_S.requests, _S.input_tokens, _S.output_tokens)


class Wanted(Struct, frozen=True, kw_only=True):
    """What spending is told of: days from `since` up to `until` (Unix seconds), and of whom; None: of all."""

    since: float
    until: float
    key: str | None = None
    tag: str | None = None
    provider: str | None = None
    model: str | None = None


class Spent(Struct, frozen=True, kw_only=True):
    """A sum, and what it is of: `day` is its beginning, Unix seconds; None: not told apart by it."""

    day: int | None = None
    key: str | None = None
    tag: str | None = None
    provider: str | None = None
    model: str | None = None
    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal


class Spending(Struct, frozen=True):
    """The days that were looked at, sums, the total over all, and whether there are more sums than asked for."""

    since: int
    until: int
    rows: list[Spent]
    total: Spent
    more: bool


async def spending(database: Database, by: Sequence[Dimension], wanted: Wanted, limit: int) -> Spending:
    """What was spent, told apart by `by`: by day in order, then the dearest first; at most `limit` sums.

    Raises:
        StoreUnavailable: the database is away.
    """
    since, until = floor(wanted.since / DAY) * DAY, ceil(wanted.until / DAY) * DAY
    conditions = [_S.start >= since, _S.start < until]
    for column, value in ((_S.key_name, wanted.key), (_S.provider, wanted.provider), (_S.model, wanted.model)):
        if value is not None:
            conditions.append(column == scrubbed(value))
    once = _S.tag == ("" if wanted.tag is None else scrubbed(wanted.tag))
    cost = func.coalesce(func.sum(_S.cost_usd, type_=MoneySum()), Decimal(0), type_=MoneySum())
    sums = [*(func.coalesce(func.sum(one), 0).label(one.name) for one in _SUMS), cost.label("cost_usd")]
    apart = [_COLUMNS[name].label(name) for name in by]
    tagged = _S.tag != "" if "tag" in by and wanted.tag is None else once
    order = [*([_S.start] if "day" in by else []), cost.desc(), *(_COLUMNS[name] for name in by)]
    query = select(*apart, *sums).where(*conditions, tagged).group_by(*(_COLUMNS[name] for name in by))
    async with database.read() as connection:
        found: Sequence[Any] = []
        if by:
            found = (await connection.execute(query.order_by(*order).limit(limit + 1))).mappings().all()
        total = (await connection.execute(select(*sums).where(*conditions, once))).mappings().one()
    return Spending(since, until, [_told(row) for row in found[:limit]], _told(total), len(found) > limit)


def _told(row: Any) -> Spent:
    values: dict[str, Any] = dict(row)
    for name in ("requests", "input_tokens", "output_tokens"):
        values[name] = int(values[name])  # PostgreSQL's sums of whole numbers are decimals
    return Spent(**values)
