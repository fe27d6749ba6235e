"""The two engines' connections that write batches of rows: all of a batch, or none of it, and never the same row twice.

PostgreSQL: COPY straight into the tables, in one transaction; only a batch that was (partly) written before, which
nothing but a replay brings, meets a unique violation and goes again as INSERT … ON CONFLICT DO NOTHING. Measured with
batches of 500 on one machine: COPY 22,000 rows/s; COPY to a staging table, then INSERT … SELECT, 14,000 to 17,000; the
INSERT alone 13,000 to 17,000. What is copied was made when its record came (`copying`). SQLite: the same INSERT as
executemany. (`ON CONFLICT DO NOTHING` and not `OR IGNORE`, which would also swallow a NULL where none may be.)

What the new rows add to the sums (`tally`) and to the books (`posting`) is added in the same transaction. All writers
add to the same few rows, and who has added holds the others up until his commit: so on PostgreSQL adding and COMMIT are
one message, the last one. A writer that is stopped in mid-transaction, or whose event loop is busy, then holds nobody
up.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg
from msgspec import Struct
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.copying import Copied, contents, copied
from gateway.store.engine import Database
from gateway.store.packing import unpacked
from gateway.store.posting import SQLITE_POSTS, Posts, postgres_posts, summed
from gateway.store.record import ExchangeRecord
from gateway.store.rows import POSTGRES, SQLITE, Rows, rows_of
from gateway.store.tables import attempts, bodies, exchange_latencies, exchange_sums, exchanges, key_sums
from gateway.store.tally import postgres_adds, tally
from gateway.store.text import encoded


class Made(Struct, frozen=True, gc=False):
    """A record on its way: as its engine takes it, and as the disk does.

    Of bytes and other things that refer to nothing, so that the collector need not look at thousands that wait.
    """

    id: str
    row: Any
    payload: bytes
    #: Bytes of its bodies; they are in the payload as well.
    size: int
    posts: Posts


class Writer(Protocol):
    """What the request log needs of an engine."""

    def row(self, record: ExchangeRecord) -> Any:
        """The record as `write` takes it; whatever it raises blames the record."""
        ...

    async def write(self, batch: Sequence[Made]) -> None:
        """Write all rows, and what they add to the sums, in one transaction, skipping those that are there."""
        ...

    async def probe(self) -> None:
        """Return when the tables are there."""
        ...

    def abort(self) -> None:
        """Make whatever runs on the connection fail now."""
        ...

    async def close(self) -> None:
        """Close the connection; the next call opens another."""
        ...


def writer(database: Database, deadline: float) -> Writer:
    """The writer of this engine; each of its transactions gets `deadline` seconds."""
    return _SqliteWriter(database, deadline) if database.dialect == "sqlite" else _PostgresWriter(database)


def _columns(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _insert(table: Table, mark: str) -> str:
    names = _columns(table)
    marks = ", ".join(mark.format(n) for n in range(1, len(names) + 1))
    return f'INSERT INTO "{table.name}" ({_quoted(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING'


def _add(table: Table) -> str:
    """Add to the row of the same key, or be it."""
    rows = f"VALUES ({', '.join('?' for _ in table.columns)})"
    key = [column.name for column in table.primary_key]
    sums = ", ".join(f'"{name}" = "{table.name}"."{name}" + excluded."{name}"' for name in _columns(table)[len(key) :])
    into = f'INSERT INTO "{table.name}" ({_quoted(_columns(table))})'
    return f"{into} {rows} ON CONFLICT ({_quoted(key)}) DO UPDATE SET {sums}"


#: In this order: an exchange that is there decides for its attempts and bodies.
_TABLES = (exchanges, attempts, bodies)
#: In the order of a tally.
_SUMS = (exchange_sums, exchange_latencies, key_sums)


def _records(batch: Sequence[Made], wanted: set[str]) -> list[ExchangeRecord]:
    """The first record of each id in `wanted`."""
    payloads: list[bytes] = []
    for one in batch:
        if one.id in wanted:
            wanted.discard(one.id)
            payloads.append(one.payload)
    return unpacked(payloads)[0]


@asynccontextmanager
async def _begun(driver: Any) -> AsyncGenerator[None]:
    """A transaction that the block commits itself; rolled back when it fails."""
    await driver.execute("BEGIN")
    try:
        yield
    except BaseException:
        if not driver.is_closed():
            await driver.execute("ROLLBACK")
        raise


def _add_and_commit(batch: Sequence[Made]) -> str:
    """What adds these rows to the sums and the books and commits, to be sent as one message."""
    return postgres_adds([one.id for one in batch]) + "; " + postgres_posts([one.posts for one in batch]) + "COMMIT"


class _PostgresWriter:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: AsyncConnection | None = None
        self._driver: Any = None

    def row(self, record: ExchangeRecord) -> Copied:
        return copied(record)

    async def write(self, batch: Sequence[Made]) -> None:
        identities = [one.id for one in batch]
        driver = await self._connected()
        try:
            async with _begun(driver):
                found = contents(identities, [one.row for one in batch])
                for table, names, content in zip(_TABLES, _COLUMNS, found, strict=True):
                    if content:
                        view = memoryview(content)  # bytes would be taken for a file's name
                        await driver.copy_to_table(table.name, source=view, columns=names, format="binary")
                await driver.execute(_add_and_commit(batch))
        except asyncpg.UniqueViolationError:
            await self._write_new(driver, batch)

    async def _write_new(self, driver: Any, batch: Sequence[Made]) -> None:
        """Write those rows that are not there. Who else is writing one of them is waited for, so it counts once."""
        first = {one.id: one for one in reversed(batch)}
        records = _records(batch, {*first})
        async with _begun(driver):
            new = await driver.fetchmany(_POSTGRES_INSERTS[0] + " RETURNING id", rows_of(records, POSTGRES).exchanges)
            written = {row["id"] for row in new}
            rows = rows_of([record for record in records if record.id in written], POSTGRES)
            for statement, content in zip(_POSTGRES_INSERTS[1:], rows[1:], strict=True):
                if content:
                    await driver.executemany(statement, content)
            await driver.execute(_add_and_commit([first[row[0]] for row in rows.exchanges]))

    async def probe(self) -> None:
        driver = await self._connected()
        await driver.execute("SELECT 1 FROM exchanges LIMIT 1")

    def abort(self) -> None:
        if self._driver is not None:
            self._driver.terminate()

    async def close(self) -> None:
        connection, self._connection, self._driver = self._connection, None, None
        if connection is not None:
            await connection.invalidate()  # not handed back: SQLAlchemy would first ask it to roll back
            await connection.close()

    async def _connected(self) -> Any:
        if self._driver is None or self._driver.is_closed():
            await self.close()
            self._connection = await self._database.dedicated()
            self._driver = (await self._connection.get_raw_connection()).driver_connection
        return self._driver


class _SqliteWriter:
    def __init__(self, database: Database, deadline: float) -> None:
        self._database = database
        #: Shorter than the deadline, so that a locked file is an error and not an abandoned thread.
        self._busy_ms = int(deadline * 750)
        self._connection: AsyncConnection | None = None
        self._driver: Any = None

    def row(self, record: ExchangeRecord) -> tuple[float, Rows]:
        return record.created_at, rows_of([record], SQLITE)

    async def write(self, batch: Sequence[Made]) -> None:
        driver = await self._connected()
        await driver.execute("BEGIN IMMEDIATE")
        try:
            if not await self._insert(driver, batch):
                await driver.rollback()
                await driver.execute("BEGIN IMMEDIATE")  # and nobody writes between our look and our insert
                new = {one.id: one for one in reversed(batch)}
                for known in await self._known(driver, new):
                    del new[known]
                await self._insert(driver, [*new.values()])
        except BaseException:
            await driver.rollback()
            raise
        await driver.commit()

    async def _insert(self, driver: Any, batch: Sequence[Made]) -> bool:
        """Insert the rows and add to the sums; False, to be rolled back, when one of them was there."""
        made: list[tuple[float, Rows]] = [one.row for one in batch]
        rows = Rows(*([row for _, found in made for row in found[table]] for table in range(len(_TABLES))))
        for statement, content in zip(_SQLITE_INSERTS, rows, strict=True):
            if content:
                cursor = await driver.executemany(statement, content)
                if content is rows.exchanges and cursor.rowcount < len(content):
                    return False
        for statement, content in zip(_SQLITE_ADDS, tally([at for at, _ in made], rows.exchanges), strict=True):
            if content:
                await driver.executemany(statement, content)
        for statement, content in zip(SQLITE_POSTS, summed([one.posts for one in batch]), strict=True):
            if content:
                await driver.executemany(statement, content)
        return True

    async def _known(self, driver: Any, identities: Iterable[str]) -> set[str]:
        names = encoded([*identities])
        query = "SELECT id FROM exchanges WHERE id IN (SELECT value FROM json_each(?))"
        return {row[0] for row in await driver.execute_fetchall(query, (names,))}

    async def probe(self) -> None:
        driver = await self._connected()
        await driver.execute("BEGIN IMMEDIATE")  # a reader would not notice a full or read-only disk
        try:
            await driver.execute("SELECT 1 FROM exchanges LIMIT 1")
        finally:
            await driver.rollback()

    def abort(self) -> None:
        """Nothing: the busy timeout ends every wait of SQLite's before our deadline does."""

    async def close(self) -> None:
        connection, self._connection, self._driver = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _connected(self) -> Any:
        if self._driver is None:
            self._connection = await self._database.dedicated()
            self._driver = (await self._connection.get_raw_connection()).driver_connection
            await self._driver.execute(f"PRAGMA busy_timeout={self._busy_ms}")
        return self._driver


_COLUMNS = tuple(_columns(table) for table in _TABLES)
_SQLITE_ADDS = tuple(_add(table) for table in _SUMS)
_POSTGRES_INSERTS = tuple(_insert(table, "${}") for table in _TABLES)
_SQLITE_INSERTS = tuple(_insert(table, "?{}") for table in _TABLES)
