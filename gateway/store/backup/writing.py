"""A backup is made while gateways serve.

Law: it is the database at one moment. All tables are read in one transaction that sees what was committed when it began
(PostgreSQL: REPEATABLE READ; SQLite: a reader of its write-ahead log), nobody waits for it, and it never stands where
another file is: it is written beside its place and moved there whole.

What is not in it: which processes are there (`executors`), and the tables of the durable engine, which are its own and
differ from one engine to the next. An execution that was under way is queued anew when it is restored; what its steps
came to is in our tables, so that nothing is paid twice.

Limits: a file that an artifact names and that is gone is left out, and told. On SQLite the write-ahead log grows while
a backup is read; it is used again afterwards.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol

from msgspec import Struct
from sqlalchemy import Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store import migrate
from gateway.store.backup.form import FORMAT, VERSION, FileTrouble, Header, Section, Writer, files_of, shape_of
from gateway.store.engine import Database, PoolSettings
from gateway.store.errors import SchemaUnknown
from gateway.store.tables import exchanges
from gateway.store.workflow_tables import artifacts, executors, metadata

#: Rows that are fetched at a time. Bodies may have megabytes each.
_AT_A_TIME = 500
#: Seconds for one fetch of the largest table by a slow server.
POOL = PoolSettings(pool_size=1, max_overflow=0, statement_timeout=3600.0)
#: What is being done, how much of it is done, and of how much.
Tell = Callable[[str, int, int], None]


class Reads(Protocol):
    """Where the files of artifacts lie."""

    def read(self, path: str) -> AsyncIterator[bytes]:
        """A file, piece by piece. Raises `OSError`."""
        ...


class Written(Struct, frozen=True):
    """What is in a backup now; `missing` are the paths of artifacts that have no file any more."""

    rows: int
    files: int
    bytes: int
    missing: list[str]


def kept_tables() -> list[Table]:
    """The tables of a backup, in an order in which they can be filled."""
    return [one for one in metadata.sorted_tables if one is not executors]


async def back_up(url: str, place: Path, files: Reads | None, *, steelyard: str, now: datetime, tell: Tell) -> Written:
    """Write the database into the file `place`, with the files of its artifacts unless `files` is None.

    Raises:
        FileExistsError: there is one already.
        FileTrouble: it cannot be written, or a file of an artifact not read.
        SchemaUnknown: the schema is not this version's.
        StoreUnavailable: the database is away.
    """
    _refuse_to_replace(place)
    await _at_head(url)
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    database = Database(url, POOL)
    try:
        async with database.snapshot() as connection:
            header = await _header(connection, database, steelyard, now)
            writer = Writer(part, header)
            try:
                await _tables(connection, writer, tell)
                missing = [] if files is None else await _files(connection, writer, files, tell)
                end = writer.end()
            finally:
                writer.close()
        size = part.stat().st_size
        _put(part, place)
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
        await database.dispose()
    return Written(end.rows, end.files, size, missing)


def _refuse_to_replace(place: Path) -> None:
    if place.exists():
        raise FileExistsError(f"{place} is there already")
    if not place.parent.is_dir():
        raise FileTrouble(f"{place.parent} is no folder: make it first, or name another.")


def _put(part: Path, place: Path) -> None:
    try:
        # Unlike a move, a link does not replace what came there meanwhile.
        os.link(part, place)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links.
        _refuse_to_replace(place)
        part.rename(place)


async def _at_head(url: str) -> None:
    found = await migrate.current(url)
    if found is None:
        raise SchemaUnknown("The database has no tables: there is nothing to back up.")
    if found != migrate.head():
        raise SchemaUnknown(
            f"The schema is at {found} and this version's is {migrate.head()}: "
            "run `steelyard db upgrade`, or back up with the version that serves."
        )


async def _header(connection: AsyncConnection, database: Database, steelyard: str, now: datetime) -> Header:
    oldest = (await connection.execute(select(func.min(exchanges.c.created_at)))).scalar()
    return Header(
        format=FORMAT,
        version=VERSION,
        steelyard=steelyard,
        revision=migrate.head(),
        made_at=now,
        engine=database.dialect,
        oldest=None if oldest is None else oldest.timestamp(),
        tables=tuple(shape_of(one) for one in kept_tables()),
    )


async def _tables(connection: AsyncConnection, writer: Writer, tell: Tell) -> None:
    for one in kept_tables():
        total = (await connection.execute(select(func.count()).select_from(one))).scalar_one()
        shape, done = shape_of(one), 0
        writer.begin(Section(table=shape.name))
        tell(shape.name, done, total)
        query = select(shape.clause()).execution_options(yield_per=_AT_A_TIME)
        async with connection.stream(query) as rows:
            async for some in rows.partitions():
                for row in some:
                    writer.row(row)
                done += len(some)
                tell(shape.name, done, total)


async def _files(connection: AsyncConnection, writer: Writer, files: Reads, tell: Tell) -> list[str]:
    found = (await connection.execute(select(artifacts.c.path, artifacts.c.size).order_by(artifacts.c.id))).all()
    missing: list[str] = []
    for done, row in enumerate(found, 1):
        tell("files of artifacts", done, len(found))
        with files_of(row.path):
            try:
                await _file(writer, files.read(row.path), row.path, row.size)
            except FileNotFoundError:
                missing.append(row.path)
    return missing


async def _file(writer: Writer, pieces: AsyncIterator[bytes], path: str, size: int) -> None:
    first = await anext(pieces, b"")
    # The first name of a path stands for the database, which will be another one.
    writer.begin(Section(file=path.partition("/")[2], size=size))
    if first:
        writer.piece(first)
    async for piece in pieces:
        writer.piece(piece)
