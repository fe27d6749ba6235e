"""Alembic's doorway: runs steps on the connection it is handed, or, for a developer at the command line, on a new one.

A developer makes a step with `alembic revision --autogenerate -m "…"`, against the database of `-x url=…` (by default
the scratch file named in alembic.ini).
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection

from gateway.store.engine import Database
from gateway.store.partitions import is_schema
from gateway.store.tables import Money, MoneySum, UtcDateTime
from gateway.store.workflow_tables import metadata  # the one of `tables`, with the workflows' tables in it


def _spelled(kind: str, value: Any, _context: Any) -> str | Literal[False]:
    """Our own column types as a step must spell them: a step never imports today's."""
    if kind == "type" and isinstance(value, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    if kind == "type" and isinstance(value, MoneySum):
        return 'sa.Numeric(28, 10).with_variant(sa.BigInteger(), "sqlite")'
    if kind == "type" and isinstance(value, Money):
        return 'sa.Numeric(18, 10).with_variant(sa.BigInteger(), "sqlite")'
    return False


def _run(connection: Connection) -> None:
    # Batch mode: SQLite alters a table by rebuilding it.
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        render_item=_spelled,
        include_object=is_schema,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


async def _run_on_a_new_connection(url: str) -> None:
    database = Database(url)
    async with database.write() as connection:
        await connection.run_sync(_run)
    await database.dispose()


def _asked_url() -> str:
    url = context.get_x_argument(as_dictionary=True).get("url") or context.config.get_main_option("sqlalchemy.url")
    if not url:
        raise ValueError("name the database: alembic -x url=sqlite+aiosqlite:///./data/scratch.db …")
    return url


_given: Connection | None = context.config.attributes.get("connection")
if context.is_offline_mode():
    context.configure(url=_asked_url(), target_metadata=metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
elif _given is not None:
    _run(_given)
else:
    asyncio.run(_run_on_a_new_connection(_asked_url()))
