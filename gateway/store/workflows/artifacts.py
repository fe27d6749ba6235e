"""Files that executions have made: what is known of them; their bytes lie in the file store."""

from __future__ import annotations

from typing import Any

from msgspec.structs import asdict
from sqlalchemy import RowMapping, insert, select

from gateway.store.engine import Database
from gateway.store.text import scrubbed
from gateway.store.workflow_tables import artifacts
from gateway.store.workflows.translating import moment
from gateway.workflows.kept import Artifact

_A = artifacts.c
_TEXTS = ("node_id", "name", "media_type", "path")


async def put(database: Database, artifact: Artifact) -> None:
    """Keep what is known of a file.

    Raises:
        StoreUnavailable: the database is away; nothing was kept.
    """
    values: dict[str, Any] = asdict(artifact)
    values |= {name: scrubbed(values[name]) for name in _TEXTS} | {"created_at": moment(artifact.created_at)}
    async with database.write() as connection:
        await connection.execute(insert(artifacts).values(values))


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


def _artifact(row: RowMapping) -> Artifact:
    values: dict[str, Any] = {**row, "created_at": row["created_at"].timestamp()}
    return Artifact(**values)
