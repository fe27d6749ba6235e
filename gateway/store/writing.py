"""Batches of records through one connection (`writers`), with a deadline each, a poisoned row set apart.

Law: a write ends in bounded time whatever the server does. A stopped server is not asked to cancel: its socket is
closed, which is the only thing that needs no answer. What a record costs to encode is paid when it is made, one by one;
a batch then holds up the event loop for a fraction of a millisecond.

Limits: one write at a time per lane; a caller who wants two has two.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine, Sequence
from math import inf
from typing import Any

import asyncpg

from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.packing import pack
from gateway.store.posting import posts_of
from gateway.store.record import ExchangeRecord, Poison
from gateway.store.writers import Made, writer

#: Seconds an abandoned write gets to notice that its socket is gone before it is cancelled.
_GRACE = 0.5
#: Records of a replay that are made before whoever waits for the event loop has a turn: half a millisecond's worth.
_AT_ONCE = 50
#: SQLSTATE classes that blame the row: bad data, a broken constraint, a value beyond the engine's limits.
_ROW_STATES = ("22", "23", "54")
#: What a driver, or our own encoding, raises for a value that fits no column.
_ROW_ERRORS = (
    ValueError,  # asyncpg's DataError is one, UnicodeError too
    TypeError,
    OverflowError,
    RecursionError,
    AttributeError,  # a value of another type in a field we look into
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
)


def is_row_error(exc: BaseException) -> bool:
    """Whether an error blames a row of the batch; anything else blames the database, and the batch is kept."""
    if isinstance(exc, asyncpg.PostgresError):
        return str(getattr(exc, "sqlstate", None) or "").startswith(_ROW_STATES)
    return isinstance(exc, _ROW_ERRORS)


class Lane:
    """Batches through one writer, with a deadline each, a poisoned row set apart."""

    def __init__(self, database: Database, *, deadline: float) -> None:
        """Write to `database`, giving each transaction `deadline` seconds."""
        self._database = database
        self._deadline = deadline
        self._writer = writer(database, deadline)

    def make(self, record: ExchangeRecord) -> Made | Poison:
        """The record as `write` takes it, or why it has no row."""
        try:
            size = len(record.request_body or b"") + len(record.response_body or b"")
            return Made(record.id, self._writer.row(record), pack(record), size, posts_of(record))
        except _ROW_ERRORS as exc:
            return Poison(record.id, exc)

    async def store(self, records: Sequence[ExchangeRecord]) -> list[Poison]:
        """Make and write `records`; see `write`."""
        batch: list[Made] = []
        poison: list[Poison] = []
        for number, record in enumerate(records):
            made = self.make(record)
            if isinstance(made, Made):
                batch.append(made)
            else:
                poison.append(made)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
        return [*poison, *await self.write(batch)] if batch else poison

    async def write(self, batch: Sequence[Made], *, until: float = inf) -> list[Poison]:
        """Write the rows; return those that cannot be written, having written the others.

        Raises:
            StoreUnavailable: the database is away, or the loop's clock passed `until`; some of the rows may be in the
                database already, and writing all of them again loses and doubles none.
        """
        try:
            await self._within(self._writer.write(batch), until)
        except Exception as exc:  # every driver has its own errors: `is_row_error` names the few that blame a row
            if not is_row_error(exc):
                await self._give_up()
                raise StoreUnavailable(self._database.describe(exc)) from exc
            if len(batch) == 1:
                return await self._judge(batch[0], exc)
            half = len(batch) // 2
            return [*await self.write(batch[:half], until=until), *await self.write(batch[half:], until=until)]
        return []

    async def probe(self) -> None:
        """Return when the database takes rows again.

        Raises:
            StoreUnavailable: it does not, or is not migrated.
        """
        try:
            await self._within(self._writer.probe(), inf)
        except Exception as exc:
            await self._give_up()
            raise StoreUnavailable(self._database.describe(exc)) from exc

    async def close(self) -> None:
        """Close the connection."""
        await self._close()
        self._writer.abort()

    async def _judge(self, row: Made, error: Exception) -> list[Poison]:
        """Convict a row only where the connection is sound: a broken one raises ValueErrors of its own."""
        await self.probe()
        return [Poison(row.id, error)]

    async def _give_up(self) -> None:
        self._writer.abort()
        await self._close()

    async def _close(self) -> None:
        """Close the connection, or leave it to itself: whatever it still says, the rows are kept elsewhere."""
        task = asyncio.create_task(self._writer.close())
        await asyncio.wait({task}, timeout=_GRACE)
        task.add_done_callback(_forget)

    async def _within(self, work: Coroutine[Any, Any, None], until: float) -> None:
        task = asyncio.create_task(work)
        seconds = min(self._deadline, max(0.0, until - asyncio.get_running_loop().time()))
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
            if not done:
                raise TimeoutError(f"no answer within {seconds:.3g} s")
            task.result()
        finally:
            if not task.done():
                self._writer.abort()
                done, _ = await asyncio.wait({task}, timeout=_GRACE)
                if not done:
                    task.cancel()
                task.add_done_callback(_forget)


def _forget(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
