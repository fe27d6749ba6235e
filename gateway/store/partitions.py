"""The log's partitions on PostgreSQL: one per week and table, made ahead, dropped whole.

    exchanges ─┬─ exchanges_until_20261123     ids of the week that ends where Monday the 23rd begins (UTC)
               ├─ exchanges_until_20261130     … and so `attempts` and `bodies`
               └─ exchanges_default            what fits no week: nothing, unless this module did not run for weeks

Law: partitions are by id, and an id begins with the time of its exchange; so a week's rows of the three tables lie in
three partitions, and leave together. The name says the end: the first partition of a log that is older than this
design begins with the log. Weeks, because a query locks every partition with all its indexes: ten years of them are
4,000 locks of the 6,400 that a server has by default, and a day each would be all of them after two years.

Limits: a week whose first rows went to the default partition stays there, and leaves it row by row. Whoever makes or
drops a partition waits `_LOCK_TIMEOUT` for running queries, during which others queue up behind, and else tries again
the next time.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from math import floor

from sqlalchemy import ForeignKeyConstraint, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import SchemaItem

from gateway.identity import earliest_id

_log = logging.getLogger("steelyard.partitions")
#: What is kept by weeks.
TABLES = ("exchanges", "attempts", "bodies")
WEEK = 604_800
#: Weeks made ahead of the present one: a gateway that is off for so long still finds the partition of its first row.
AHEAD = 4
#: The first day of 1970 was a Thursday, the first Monday the fifth.
_FIRST_MONDAY = 4 * 86_400
#: How long the log may be held up for a partition: less than the second its writer waits before it turns to the disk.
_LOCK_TIMEOUT = "500ms"
PARTITION = re.compile(r"(exchanges|attempts|bodies)_(?:until_(\d{8})|default)")


def is_schema(item: SchemaItem, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    """Whether Alembic is to compare an object: partitions come and go, and PostgreSQL lists a key to each of them."""
    if kind == "table":
        return not PARTITION.fullmatch(name or "")
    if isinstance(item, ForeignKeyConstraint):
        return not any(PARTITION.fullmatch(key.target_fullname.partition(".")[0]) for key in item.elements)
    return True


def week_of(seconds: float) -> int:
    """The Monday, in Unix seconds, with which the week of a moment begins."""
    return floor((seconds - _FIRST_MONDAY) / WEEK) * WEEK + _FIRST_MONDAY


async def extend(connection: AsyncConnection, now: float) -> int:
    """Make the partitions of the present week and the next ones that are not there; return how many.

    Raises:
        DBAPIError: the log was busy for longer than it may be held up.
    """
    await _hurry(connection)
    made, present = 0, week_of(now)
    for table in TABLES:
        known = set(await ends(connection, table))
        for start in range(present, present + (AHEAD + 1) * WEEK, WEEK):
            if start + WEEK in known:
                continue
            name, first, last = _name(table, start + WEEK), earliest_id("req", start), earliest_id("req", start + WEEK)
            bounds = f"FROM ('{first}') TO ('{last}')"
            try:
                async with connection.begin_nested():
                    await connection.execute(text(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES {bounds}"))
            except IntegrityError:
                # Rows of that week are in the default partition: they were written before anybody made theirs.
                _log.warning("a week of the log stays in the default partition", extra={"partition": name})
            else:
                made += 1
    return made


async def drop_before(connection: AsyncConnection, moment: float) -> int:
    """Drop the partitions of the weeks that ended at or before `moment`, with what was said of them; return how many.

    Raises:
        DBAPIError: as `extend`.
    """
    await _hurry(connection)
    dropped = 0
    known = {table: set(await ends(connection, table)) for table in TABLES}
    # A week that began in the default partition has partitions of those tables alone that were still empty then.
    for end in sorted({end for found in known.values() for end in found if end <= moment}):
        # What refers to a partition must go before it. Attempts and bodies do not, but nobody would find them.
        await connection.execute(text("DELETE FROM feedback WHERE request_id < :id"), {"id": earliest_id("req", end)})
        for table in [table for table in TABLES if end in known[table]]:
            name = _name(table, end)
            await connection.execute(text(f"ALTER TABLE {table} DETACH PARTITION {name}"))
            await connection.execute(text(f"DROP TABLE {name}"))
        dropped += 1
    return dropped


async def ends(connection: AsyncConnection, table: str) -> list[int]:
    """When the weeks of a table's partitions end, in Unix seconds."""
    query = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:table AS regclass)")
    names = (await connection.execute(query, {"table": table})).scalars()
    days = [found[2] for name in names if (found := PARTITION.fullmatch(name)) and found[2]]
    return [int(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).timestamp()) for day in days]


async def _hurry(connection: AsyncConnection) -> None:
    await connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))


def _name(table: str, end: int) -> str:
    return f"{table}_until_{datetime.fromtimestamp(end, UTC):%Y%m%d}"
