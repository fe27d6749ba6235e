"""What DWA knew, over time: to start warm after a restart, and to draw the weights' history."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec import Struct
from sqlalchemy import delete, insert, select

from gateway.store.engine import Database
from gateway.store.record import Json
from gateway.store.tables import dwa_snapshots

_S = dwa_snapshots.c


class Snapshot(Struct, frozen=True):
    """The state as `dwa` saves it, taken at `at` (Unix seconds)."""

    at: float
    state: Json
    weights: Json


class Weights(Struct, frozen=True):
    """The weights at `at` (Unix seconds)."""

    at: float
    weights: Json


async def save_snapshot(database: Database, snapshot: Snapshot) -> None:
    """Keep a snapshot.

    Raises:
        StoreUnavailable: the database is away.
    """
    values = {"at": datetime.fromtimestamp(snapshot.at, UTC), "state": snapshot.state, "weights": snapshot.weights}
    async with database.write() as connection:
        await connection.execute(insert(dwa_snapshots), values)


async def latest_snapshot(database: Database) -> Snapshot | None:
    """The newest snapshot of any replica.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(_S.at, _S.state, _S.weights).order_by(_S.at.desc(), _S.id.desc()).limit(1)
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else Snapshot(row.at.timestamp(), row.state, row.weights)


async def history(database: Database, since: float, limit: int = 1_000) -> list[Weights]:
    """The newest `limit` weights taken at or after `since` (Unix seconds), oldest first.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = (
        select(_S.at, _S.weights)
        .where(_S.at >= datetime.fromtimestamp(since, UTC))
        .order_by(_S.at.desc(), _S.id.desc())
        .limit(limit)
    )
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return [Weights(row.at.timestamp(), row.weights) for row in reversed(rows)]


async def forget(database: Database, before: float) -> int:
    """Delete the snapshots taken before `before` (Unix seconds); return how many.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.write() as connection:
        result = await connection.execute(delete(dwa_snapshots).where(_S.at < datetime.fromtimestamp(before, UTC)))
        return result.rowcount
