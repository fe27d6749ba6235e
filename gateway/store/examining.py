"""What a doctor asks a database: what it is, how full, whether it can be written to, and where its schema stands.

Law: nothing is made or changed by being asked; a SQLite that is not there stays away.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from time import perf_counter

from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.store import migrate
from gateway.store.engine import Database, PoolSettings, parse_url
from gateway.store.errors import StoreUnavailable

#: Seconds for a statement; a doctor's patience ends before.
_POOL = PoolSettings(pool_size=1, max_overflow=0, connect_timeout=5.0, statement_timeout=10.0, busy_timeout=2.0)
_POSTGRES = """
SELECT current_setting('server_version') AS version, extract(epoch FROM clock_timestamp())::float8 AS now,
    pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only,
    pg_database_size(current_database()) AS bytes,
    current_setting('max_connections')::int AS most, (SELECT count(*) FROM pg_stat_activity)::int AS used,
    has_schema_privilege(current_schema(), 'CREATE') AS creates"""


class Examined(Struct, frozen=True, kw_only=True):
    """What it said. None: not asked, or not known of that engine.

    `revision` is None where there is no schema, and `head` what this version expects; `now` is its clock, Unix seconds,
    and `seconds` what a question took. `refused` says why it cannot be written to.
    """

    engine: str
    version: str
    seconds: float
    revision: str | None
    head: str
    newer: bool
    bytes: int
    refused: str | None
    now: float | None = None
    free: int | None = None
    most: int | None = None
    used: int | None = None


def file_of(url: str) -> Path | None:
    """SQLite's file; None of PostgreSQL."""
    parsed = parse_url(url)
    return Path(str(parsed.database)) if parsed.drivername.startswith("sqlite") else None


async def examine(url: str) -> Examined:
    """Ask a database; SQLite's file must be there.

    Raises:
        StoreUnavailable: it is away.
    """
    revision, head = await migrate.current(url), migrate.head()
    newer = revision is not None and migrate.is_newer(revision)
    database = Database(url, _POOL)
    try:
        refused = await _refused(database)
        place = file_of(url)
        began = perf_counter()
        if place is not None:
            async with database.read() as connection:
                await connection.execute(text("SELECT 1"))
            return Examined(
                engine="SQLite",
                version=sqlite3.sqlite_version,
                seconds=perf_counter() - began,
                revision=revision,
                head=head,
                newer=newer,
                bytes=place.stat().st_size,
                refused=refused,
                free=shutil.disk_usage(place.parent).free,
            )
        async with database.read() as connection:
            row = (await connection.execute(text(_POSTGRES))).one()
        standby = "it is a standby, which is read only" if row.standby else None
        creates = None if row.creates or revision == head else "this user may not create tables"
        return Examined(
            engine="PostgreSQL",
            version=row.version.split()[0],
            seconds=perf_counter() - began,
            revision=revision,
            head=head,
            newer=newer,
            bytes=row.bytes,
            refused=standby or refused or creates,
            now=row.now,
            most=row.most,
            used=row.used,
        )
    finally:
        await database.dispose()


async def _refused(database: Database) -> str | None:
    """Why it cannot be written to; tried by a table that the transaction takes back, or SQLite's write lock alone."""
    try:
        async with database.write() as connection:
            if database.dialect == "postgresql":
                await connection.execute(text("CREATE TEMPORARY TABLE steelyard_doctor (x int) ON COMMIT DROP"))
    except (StoreUnavailable, DBAPIError) as exc:
        return database.describe(exc)
    place = Path(str(database.url.database))
    if database.dialect == "sqlite" and not _writable(place):
        return f"{place} is read only"
    return None


def _writable(place: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{place.resolve().as_uri()}?mode=rw", uri=True, timeout=2.0)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("CREATE TABLE steelyard_doctor (x)")
            connection.rollback()
    except sqlite3.OperationalError as exc:
        return "readonly" not in str(exc)
    return True
