"""Keys that were made by the API, and the version that tells every process that one of them has changed.

Law: a change counts `key_state.version` up and stamps the row with it, in one transaction. The lock of that one row
puts changes into an order, so whoever has seen a version finds everything later by `changed`, and nothing twice.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, structs
from sqlalchemy import RowMapping, insert, literal, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.engine import Database
from gateway.store.record import Json
from gateway.store.tables import key_state, keys
from gateway.store.text import scrubbed

_K, _S = keys.c, key_state.c
_TIMES = ("created_at", "expires_at", "revoked_at")
#: Rows of one look at the table, where a filter is not the database's.
_CHUNK = 500


class NameTaken(Exception):
    """Another key has, or had, that name."""


class Former(Struct, frozen=True):
    """The hash of a key before its rotation, and the Unix time until which it opens."""

    hash: str
    until: float


class StoredKey(Struct, frozen=True, kw_only=True):
    """A key's row; times in Unix seconds, `grants` as JSON. `version` is set by whoever writes."""

    id: str
    name: str
    prefix: str
    hash: str
    former: tuple[Former, ...] = ()
    pepper: str
    created_at: float
    created_by: str
    expires_at: float | None = None
    revoked_at: float | None = None
    grants: Json
    version: int = 0


class State(Struct, frozen=True):
    """The version of all keys together, and the pepper (hexadecimal) of those made without a SECRET_KEY."""

    version: int
    pepper: str


async def state(database: Database) -> State | None:
    """What the newest version is; None of a database that nobody has begun with.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.read() as connection:
        row = (await connection.execute(select(_S.version, _S.pepper))).one_or_none()
    return None if row is None else State(row.version, row.pepper)


async def begin(database: Database, pepper: str) -> None:
    """Begin with this pepper, unless somebody else has begun meanwhile.

    Raises:
        StoreUnavailable: the database is away.
    """
    with suppress(IntegrityError):
        async with database.write() as connection:
            await connection.execute(insert(key_state).values(id=1, version=0, pepper=pepper))


async def changed(database: Database, after: int, limit: int) -> list[StoredKey]:
    """Keys whose last change is younger than the version `after`, oldest change first.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(keys).where(_K.version > after).order_by(_K.version).limit(limit)
    async with database.read() as connection:
        return [_stored(row) for row in (await connection.execute(query)).mappings()]


async def get(database: Database, identity: str) -> StoredKey | None:
    """The key of that id or name, revoked or not.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.read() as connection:
        return await _one(connection, identity)


async def listed(database: Database, *, after: str | None, tag: str | None, limit: int) -> list[StoredKey]:
    """Keys, newest first, from behind the id `after` on; those with a tag.

    Raises:
        StoreUnavailable: the database is away.
    """
    found: list[StoredKey] = []
    size = limit if tag is None else _CHUNK
    async with database.read() as connection:
        while len(found) < limit:
            query = select(keys).order_by(_K.id.desc()).limit(size)
            if after is not None:
                query = query.where(_K.id < scrubbed(after))
            rows = [_stored(row) for row in (await connection.execute(query)).mappings()]
            # No engine's JSON is asked: it would be another query for each, and there are few keys.
            found.extend(one for one in rows if tag is None or tag in one.grants.get("tags", ()))
            if len(rows) < size:
                break
            after = rows[-1].id
    return found[:limit]


async def locked(connection: AsyncConnection, identity: str) -> StoredKey | None:
    """The key of that id or name, for this transaction to change: nobody else changes any meanwhile."""
    await _next(connection)
    return await _one(connection, identity)


async def put(connection: AsyncConnection, key: StoredKey) -> StoredKey:
    """Keep a new key; as it was kept. Raises `NameTaken`."""
    key = await _stamped(connection, key)
    if (await connection.execute(select(literal(1)).where(_K.name == key.name))).first() is not None:
        raise NameTaken(key.name)
    try:
        await connection.execute(insert(keys).values(_values(key)))
    except IntegrityError as exc:
        raise NameTaken(key.name) from exc
    return key


async def change(connection: AsyncConnection, key: StoredKey) -> StoredKey:
    """Keep a key of `locked` that was changed; as it was kept."""
    key = await _stamped(connection, key)
    await connection.execute(update(keys).where(_K.id == key.id).values(_values(key)))
    return key


async def _next(connection: AsyncConnection) -> int:
    counted = update(key_state).values(version=_S.version + 1).returning(_S.version)
    return (await connection.execute(counted)).scalar_one()


async def _stamped(connection: AsyncConnection, key: StoredKey) -> StoredKey:
    return structs.replace(key, version=await _next(connection))


async def _one(connection: AsyncConnection, identity: str) -> StoredKey | None:
    """By its id, or by its name, which no other key has or ever had."""
    asked = scrubbed(identity)
    query = select(keys).where(or_(_K.id == asked, _K.name == asked)).order_by(_K.id != asked).limit(1)
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else _stored(row)


def _values(key: StoredKey) -> dict[str, Any]:
    values = structs.asdict(key)
    values["former"] = [structs.asdict(one) for one in key.former]
    for name in _TIMES:
        if values[name] is not None:
            values[name] = datetime.fromtimestamp(values[name], UTC)
    return values


def _stored(row: RowMapping) -> StoredKey:
    values = dict(row)
    values["former"] = tuple(Former(**one) for one in values["former"])
    for name in _TIMES:
        if values[name] is not None:
            values[name] = values[name].timestamp()
    return StoredKey(**values)
