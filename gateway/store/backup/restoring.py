"""A backup becomes a database again: of either kind, whichever it was made of.

Law: all or nothing. The rows are written in one transaction, which ends only when the last line of the backup and its
checksum were read; until then the target is what it was, but for its schema. What has rows is not touched unless it is
to be replaced, and then not before the backup was read to its end and believed.

Limits: where rows of another schema are replaced they go first, in a transaction of their own: who is stopped after it,
or whose disk is full, restores again.

A backup is put into the schema it was made under, which is then brought up: one of an older version is restored by any
newer one. Executions that were under way then are queued anew, and go on with what their steps came to. What the
durable engine still had of the target's is forgotten: it would take new attempts for its old ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct
from sqlalchemy import func, insert, inspect, select, text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import TableClause

from gateway.store import migrate, partitions
from gateway.store.backup.form import NoBackup, Reader, Section, Shape, files_of
from gateway.store.backup.writing import POOL, Tell
from gateway.store.beside import forget_attempts, name_of
from gateway.store.engine import Database
from gateway.store.errors import SchemaUnknown
from gateway.store.tables import dwa_snapshots
from gateway.store.workflow_tables import executions, metadata
from gateway.store.workflows import executors
from gateway.store.workflows.attempts import next_attempt

#: Rows of one statement. Bodies may have megabytes each.
_AT_A_TIME = 200
#: Weeks of partitions that are made for old requests: ten years, see `partitions`. What is older goes to the default.
_MOST_WEEKS = 520
#: Seconds of silence after which a process that runs executions is taken for gone.
_QUIET = 60.0
_Item = Section | list[Any] | bytes


class NotEmpty(Exception):
    """The database holds rows."""


class Takes(Protocol):
    """Where the files of artifacts lie."""

    async def write(self, path: str, pieces: AsyncIterator[bytes]) -> None:
        """Keep a file."""
        ...

    async def delete(self, path: str) -> None:
        """Remove a file, if it is there."""
        ...


class Restored(Struct, frozen=True):
    """What was restored; `queued` executions were under way, and go on."""

    rows: int
    files: int
    queued: int


def checked(place: Path, tell: Tell) -> Reader:
    """Read a whole backup and believe it. Raises `NoBackup`, or `OSError`."""
    reader = Reader(place)
    with closing(reader):
        for _ in _progress(reader, tell):
            pass
    return reader


async def restore(url: str, place: Path, files: Takes, *, replace: bool, now: float, tell: Tell) -> Restored:
    """Put the backup `place` into the database; `replace` what is there. `now`: Unix seconds.

    Raises:
        NoBackup: it is none, or damaged; the database is as it was.
        FileTrouble: it cannot be read, or a file of an artifact not written.
        NotEmpty: it has rows, or a process that runs executions lives on it.
        SchemaUnknown: the backup, or the database, is of a newer version.
        StoreUnavailable: the database is away.
    """
    reader = Reader(place)
    database = Database(url, POOL)
    try:
        revision = reader.header.revision
        if not migrate.known(revision):
            raise SchemaUnknown(
                f"The backup's schema is {revision}, which this version does not know: use a newer one."
            )
        if replace:
            checked(place, tell)
        await _prepare(database, url, revision, replace=replace)
        course = _Course(database, name_of(url), files, reader, tell)
        await course.run(now, replace=replace)
        await migrate.upgrade(url)
        return Restored(course.rows, course.files, await _queue(database, now))
    finally:
        reader.close()
        await database.dispose()


async def _prepare(database: Database, url: str, revision: str, *, replace: bool) -> None:
    """Have the target at the backup's revision. Its rows go only where they are to, and there is no other way."""
    standing = await migrate.current(url)
    if standing is not None:
        if not migrate.known(standing):
            raise SchemaUnknown(f"The database is at {standing}, which this version does not know.")
        await _refuse_what_lives(database)
        filled = await _filled(database)
        if filled and not replace:
            raise NotEmpty(f"The database is not empty ({', '.join(filled)}). Name another, or replace what is there.")
        await forget_attempts(database)
        if standing != revision:
            if filled:
                async with database.write() as connection:
                    await _empty(connection)
            await migrate.downgrade(url, "base")
    await migrate.upgrade(url, revision)


async def _refuse_what_lives(database: Database) -> None:
    async with database.read() as connection:
        if executors.executors.name not in await _tables(connection):
            return
    if await executors.alive(database, _QUIET):
        names = ", ".join(one.id for one in await executors.listed(database))
        raise NotEmpty(f"Processes are running on this database: {names}. Stop every gateway and worker first.")


async def _filled(database: Database) -> list[str]:
    async with database.read() as connection:
        there = await _tables(connection)
        ours = [one for one in metadata.sorted_tables if one.name in there and one is not executors.executors]
        return [
            one.name for one in ours if (await connection.execute(select(text("1")).select_from(one).limit(1))).first()
        ]


async def _tables(connection: AsyncConnection) -> set[str]:
    return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def _empty(connection: AsyncConnection) -> None:
    there = await _tables(connection)
    for one in reversed(metadata.sorted_tables):
        if one.name in there:
            await connection.execute(one.delete())


class _Course:
    """One reading of a backup into a database."""

    def __init__(self, database: Database, name: str, files: Takes, reader: Reader, tell: Tell) -> None:
        self.rows = self.files = 0
        self._database = database
        self._name = name
        self._files = files
        self._reader = reader
        self._tell = tell
        self._kept: list[str] = []

    async def run(self, now: float, *, replace: bool) -> None:
        """All of it, or nothing."""
        shapes = {shape.name: shape for shape in self._reader.header.tables}
        try:
            async with self._database.write() as connection:
                if replace:
                    await _empty(connection)
                await self._make_room(connection, now)
                await self._fill(connection, shapes)
                if self._reader.end is None:
                    raise NoBackup("The backup has no end.")
                await _count_on(connection)
        except BaseException:
            # Of what was to be replaced a file of the same name has the same content: its rows are there still.
            for path in () if replace else self._kept:
                await self._files.delete(path)
            raise

    async def _make_room(self, connection: AsyncConnection, now: float) -> None:
        """The partitions of the requests' weeks: in the default one they would be dropped row by row."""
        oldest = self._reader.header.oldest
        if connection.dialect.name != "postgresql" or oldest is None:
            return
        week = partitions.week_of(max(oldest, now - _MOST_WEEKS * partitions.WEEK))
        while week <= now:
            await partitions.extend(connection, week)
            week += (partitions.AHEAD + 1) * partitions.WEEK

    async def _fill(self, connection: AsyncConnection, shapes: dict[str, Shape]) -> None:
        into: TableClause | None = None
        waiting: list[dict[str, Any]] = []
        names: list[str] = []
        items = _progress(self._reader, self._tell)
        item = next(items, None)
        while item is not None:
            match item:
                case Section(table=str() as name):
                    await _insert(connection, into, waiting)
                    into, names = shapes[name].clause(), [column for column, _ in shapes[name].columns]
                case Section():
                    await _insert(connection, into, waiting)
                    item = await self._file(item, items)
                    continue
                case bytes():
                    raise NoBackup("The backup is damaged: a piece of no file.")
                case list():
                    waiting.append(self._homed(into, dict(zip(names, item, strict=True))))
                    if len(waiting) >= _AT_A_TIME:
                        await _insert(connection, into, waiting)
                    self.rows += 1
            item = next(items, None)
        await _insert(connection, into, waiting)

    def _homed(self, into: TableClause | None, row: dict[str, Any]) -> dict[str, Any]:
        """The path of an artifact begins with the name of its database, which may be another one now."""
        if into is not None and into.name == "artifacts":
            row["path"] = f"{self._name}/{row['path'].partition('/')[2]}"
        return row

    async def _file(self, section: Section, items: Iterator[_Item]) -> _Item | None:
        """Keep a file; what follows its pieces."""
        after: list[_Item] = []

        async def pieces() -> AsyncIterator[bytes]:
            for item in items:
                if not isinstance(item, bytes):
                    after.append(item)
                    return
                yield item

        path = f"{self._name}/{section.file}"
        with files_of(path):
            # Half of one, of a restore that was killed, would be in the way.
            await self._files.delete(f"{path}.part")
            await self._files.write(path, pieces())
        self._kept.append(path)
        self.files += 1
        return after[0] if after else None


async def _insert(connection: AsyncConnection, into: TableClause | None, waiting: list[dict[str, Any]]) -> None:
    if into is None or not waiting:
        return
    if connection.dialect.name == "sqlite":
        for row in waiting:
            row.update({name: 0.0 for name, value in row.items() if value != value})
    try:
        await connection.execute(insert(into), waiting)
    except (IntegrityError, DataError) as exc:
        raise NoBackup(f"A row of {into.name} is none that the database takes: {exc.orig}".partition("\n")[0]) from exc
    waiting.clear()


async def _count_on(connection: AsyncConnection) -> None:
    """Let the numbers that PostgreSQL gives begin behind those that came with the rows."""
    if connection.dialect.name == "postgresql":
        last = (await connection.execute(select(func.max(dwa_snapshots.c.id)))).scalar()
        if last is not None:
            place = text("SELECT setval(pg_get_serial_sequence('dwa_snapshots', 'id'), :last)")
            await connection.execute(place, {"last": last})


async def _queue(database: Database, now: float) -> int:
    """Give what was under way its next attempt: workers find it at their start."""
    async with database.read() as connection:
        query = select(executions.c.id).where(executions.c.status == "running")
        running = (await connection.execute(query)).scalars().all()
    for identity in running:
        await next_attempt(database, identity, ("running",), now=now)
    return len(running)


def _progress(reader: Reader, tell: Tell) -> Iterator[_Item]:
    """Everything in the backup; how far it is, in bytes of the file."""
    total, at, what = reader.size, 0, "header"
    for item in reader:
        if isinstance(item, Section):
            what = item.table or "files of artifacts"
        if reader.position - at > total // 100:
            at = reader.position
            tell(what, at, total)
        yield item
    tell("done", total, total)
