"""What people and the judge said of answers.

Law: one vote per request, source and metric; a second one replaces the first, and keeps its name and time. Listings are
newest first, in pages that do not shift (see `paging`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import ColumnElement, RowMapping, insert, literal, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from gateway.store.engine import Database
from gateway.store.paging import cursor_of, position
from gateway.store.tables import UtcDateTime, feedback
from gateway.store.text import scrubbed

#: Characters of a comment that are kept: a complaint, not the prompt it quotes.
MAX_COMMENT = 2_000
_F = feedback.c
_TEXTS = ("id", "request_id", "tenant", "source", "metric", "comment", "provider", "model", "route")


class Vote(Struct, frozen=True, kw_only=True):
    """A score 0..1 for the answer to a request; times in Unix seconds.

    `tenant` is whose request it was, `source` who votes. The answer came from `provider` and `model`; `route` is what
    had been asked for. `weight` is what the DWA counted it with; None: it never heard of it.
    """

    id: str
    created_at: float
    updated_at: float
    request_id: str
    tenant: str
    source: str
    metric: str
    score: float
    comment: str | None
    provider: str
    model: str
    route: str
    weight: float | None = None


class Votes(Struct, frozen=True):
    """Some votes, newest first, and where the next page starts: None at the end."""

    items: list[Vote]
    next: str | None


async def put(database: Database, vote: Vote) -> Vote | None:
    """Keep a vote; the one of the same request, source and metric that it replaced, if there was one.

    The replaced one's id, creation and weight stay. Text is scrubbed, and a comment cut.

    Raises:
        StoreUnavailable: the database is away; nothing was kept.
    """
    try:
        return await _put(database, vote)
    except IntegrityError:
        # Another process kept the same vote between our look and our insert; now it is there to be replaced.
        return await _put(database, vote)


async def weigh(database: Database, identity: str, weight: float) -> None:
    """Note what the DWA counted a vote with.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.write() as connection:
        await connection.execute(update(feedback).where(_F.id == identity).values(weight=weight))


async def listed(
    database: Database,
    *,
    tenant: str | None = None,
    request_id: str | None = None,
    since: float | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Votes:
    """A page of votes on a tenant's requests (None: everybody's), on one request, or since a moment in Unix seconds.

    Raises:
        ValueError: `cursor` is not one that a page gave.
        StoreUnavailable: the database is away.
    """
    conditions: list[ColumnElement[bool]] = []
    if tenant is not None:
        conditions.append(_F.tenant == scrubbed(tenant))
    if request_id is not None:
        conditions.append(_F.request_id == scrubbed(request_id))
    if since is not None:
        conditions.append(_F.created_at >= datetime.fromtimestamp(since, UTC))
    if cursor is not None:
        at, last = position(cursor)
        moment = literal(at, UtcDateTime())
        # The first condition follows from the second; it is what lets the (tenant, created_at) index start there.
        conditions += [_F.created_at <= moment, tuple_(_F.created_at, _F.id) < tuple_(moment, literal(last))]
    query = select(feedback).where(*conditions).order_by(_F.created_at.desc(), _F.id.desc()).limit(limit + 1)
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
    more = cursor_of(rows[limit - 1]["created_at"], rows[limit - 1]["id"]) if len(rows) > limit else None
    return Votes([_vote(row) for row in rows[:limit]], more)


async def _put(database: Database, vote: Vote) -> Vote | None:
    values = _values(vote)
    same = [_F[name] == values[name] for name in ("request_id", "source", "metric")]
    async with database.write() as connection:
        row = (await connection.execute(select(feedback).where(*same).with_for_update())).mappings().one_or_none()
        if row is None:
            await connection.execute(insert(feedback).values(values))
            return None
        changed = {name: values[name] for name in ("updated_at", "score", "comment")}
        await connection.execute(update(feedback).where(_F.id == row["id"]).values(changed))
    return _vote(row)


def _values(vote: Vote) -> dict[str, Any]:
    values = asdict(vote)
    for name in _TEXTS:
        values[name] = None if values[name] is None else scrubbed(values[name])
    if vote.comment is not None:
        values["comment"] = values["comment"][:MAX_COMMENT]
    for name in ("created_at", "updated_at"):
        values[name] = datetime.fromtimestamp(values[name], UTC)
    return values


def _vote(row: RowMapping) -> Vote:
    values: dict[str, Any] = dict(row)
    for name in ("created_at", "updated_at"):
        values[name] = row[name].timestamp()
    return Vote(**values)
