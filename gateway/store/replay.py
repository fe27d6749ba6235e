"""The request log as a what-if replay reads it: the newest requests of a period, page by page.

Law: what is read is what the log's columns say, translated and not judged; which requests can be replayed is decided
where they are. A decision is read for its candidates alone, undecoded otherwise: it is most of a row's bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, field
from sqlalchemy import ColumnElement, RowMapping, String, cast, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from dwa.simulate.recorded import Recorded, Tried
from gateway.store.engine import Database
from gateway.store.tables import UtcDateTime, attempts, exchanges
from gateway.store.text import scrubbed

#: Rows of a page: few enough that their ids fit the parameters of one statement.
PAGE = 1_000
_X, _A = exchanges.c, attempts.c
_READ = (
    _X.id,
    _X.created_at,
    _X.requested_model,
    _X.route,
    _X.outcome,
    _X.error_source,
    _X.error_code,
    _X.cache,
    _X.stream,
    _X.input_tokens,
    _X.output_tokens,
    _X.cost_usd,
    _X.duration_s,
    _X.strategy,
    _X.objective,
    cast(_X.decision, String).label("decision"),
)


class Period(Struct, frozen=True):
    """What is read: the newest `limit` requests created in since..until (Unix seconds, until exclusive).

    `tenant` and `model` (as asked for) narrow it; None means any.
    """

    since: float
    until: float
    limit: int
    tenant: str | None = None
    model: str | None = None


class _Candidates(Struct):
    keys: list[str] = field(default_factory=list[str])
    excluded: dict[str, str] = field(default_factory=dict[str, str])


_DECISION = msgspec.json.Decoder(_Candidates)


async def pages(database: Database, period: Period) -> AsyncGenerator[list[Recorded]]:
    """The requests of a period, newest first, in pages. Times of what is read are Unix seconds.

    Raises:
        StoreUnavailable: the database is away.
    """
    left = period.limit
    after: tuple[datetime, str] | None = None
    while left > 0:
        size = min(PAGE, left)
        query = select(*_READ).where(*_conditions(period))
        if after is not None:
            moment = literal(after[0], UtcDateTime())
            # The first condition follows from the second; it is what lets an index start there.
            query = query.where(
                _X.created_at <= moment, tuple_(_X.created_at, _X.id) < tuple_(moment, literal(after[1]))
            )
        query = query.order_by(_X.created_at.desc(), _X.id.desc()).limit(size)
        async with database.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
            tried = await _attempts(connection, rows)
        if rows:
            yield [_recorded(row, tried[row["id"]]) for row in rows]
        if len(rows) < size:
            return
        left -= size
        after = (rows[-1]["created_at"], rows[-1]["id"])


def _conditions(period: Period) -> list[ColumnElement[bool]]:
    found = [
        _X.created_at >= datetime.fromtimestamp(period.since, UTC),
        _X.created_at < datetime.fromtimestamp(period.until, UTC),
    ]
    if period.tenant is not None:
        found.append(_X.tenant == scrubbed(period.tenant))
    if period.model is not None:
        found.append(_X.requested_model == scrubbed(period.model))
    return found


async def _attempts(connection: AsyncConnection, rows: Sequence[RowMapping]) -> dict[str, list[RowMapping]]:
    found: defaultdict[str, list[RowMapping]] = defaultdict(list)
    wanted = [row["id"] for row in rows]
    query = select(*(column for column in attempts.columns if column.name not in ("code", "message", "status")))
    query = query.where(_A.exchange_id.in_(wanted)).order_by(_A.exchange_id, _A.seq)
    for row in (await connection.execute(query)).mappings():
        found[row["exchange_id"]].append(row)
    return found


def _recorded(row: RowMapping, tried: Sequence[RowMapping]) -> Recorded:
    at = row["created_at"].timestamp()
    hurried = row["error_code"] == "deadline_exceeded"
    return Recorded(
        at=at,
        model=row["requested_model"],
        route=row["route"],
        outcome=row["outcome"],
        blame=row["error_source"],
        cache=row["cache"],
        stream=row["stream"],
        prompt=row["input_tokens"],
        answer=row["output_tokens"],
        cost=float(row["cost_usd"]),
        seconds=row["duration_s"],
        strategy=row["strategy"],
        objective=row["objective"],
        candidates=_candidates(row["decision"]),
        attempts=tuple(
            Tried(
                key=f"{one['provider']}/{one['model']}",
                outcome=one["outcome"],
                at=at + one["started_s"],
                seconds=one["seconds"],
                ttft_s=one["ttft_s"],
                prompt=one["input_tokens"],
                answer=one["output_tokens"],
                cost=float(one["cost_usd"]),
                hurried=hurried,
            )
            for one in tried
        ),
    )


def _candidates(decision: str | None) -> tuple[str, ...]:
    """Who was ranked, then who was excluded; nobody where the decision was too large to be kept, or of another age."""
    if decision is None:
        return ()
    try:
        found = _DECISION.decode(decision)
    except msgspec.ValidationError:
        return ()
    return tuple(dict.fromkeys((*found.keys, *found.excluded)))
