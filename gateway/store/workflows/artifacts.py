"""Files that executions have made: what is known of them; their bytes lie in the file store.

Law: a row is written in the transaction that keeps the success of its step, when its file is there already. So there
is no row without a file, and of a step that was run again after a crash those files alone count that it kept.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from msgspec.structs import asdict
from sqlalchemy import RowMapping, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.engine import Database
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import artifacts
from gateway.store.workflows.translating import moment
from gateway.workflows.kept import Artifact

_A = artifacts.c
_TEXTS = ("node_id", "name", "media_type", "path")


async def add(connection: AsyncConnection, made: Collection[Artifact]) -> None:
    """Keep what is known of files, in the transaction of the step that made them."""
    if made:
        await connection.execute(insert(artifacts), [_values(one) for one in made])


async def get(database: Database, identity: str) -> Artifact | None:
    """The artifact of that id.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.read() as connection:
        row = (await connection.execute(select(artifacts).where(_A.id == scrubbed(identity)))).mappings().one_or_none()
    return None if row is None else _artifact(row)


async def listed(
    database: Database, execution_id: str, *, after: str | None = None, limit: int = 100
) -> list[Artifact]:
    """An execution's artifacts in the order in which they were made, from behind the id `after` on.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(artifacts).where(_A.execution_id == scrubbed(execution_id))
    if after is not None:
        query = query.where(_A.id > scrubbed(after))
    async with database.read() as connection:
        rows = (await connection.execute(query.order_by(_A.id).limit(limit))).mappings().all()
    return [_artifact(row) for row in rows]


async def known(database: Database, identities: Collection[str]) -> set[str]:
    """Those of these ids that an artifact has.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.read() as connection:
        found = await connection.execute(select(_A.id).where(_A.id.in_([scrubbed(one) for one in identities])))
    return set(found.scalars())


def _values(artifact: Artifact) -> dict[str, Any]:
    values: dict[str, Any] = asdict(artifact)
    return values | {name: scrubbed(values[name]) for name in _TEXTS} | {"created_at": moment(artifact.created_at)}


def _artifact(row: RowMapping) -> Artifact:
    values: dict[str, Any] = {**row, "created_at": row["created_at"].timestamp()}
    return Artifact(**values)
