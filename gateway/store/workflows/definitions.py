"""Definitions of workflows, in versions.

Law: a version never changes, and executions keep theirs; saving what is there already makes no new one. An archived
definition is found by nobody who does not ask for a version; saving it again brings it back with the next one.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Row, Select, func, insert, select, update

from gateway.store import audit
from gateway.store.audit import Act
from gateway.store.engine import Database
from gateway.store.record import Json
from gateway.store.text import encoded, scrubbed
from gateway.store.workflow_tables import executions, workflow_versions, workflows
from gateway.store.workflows.locked import LIVE, inserting
from gateway.store.workflows.translating import moment

_W, _V = workflows.c, workflow_versions.c


class Kept(Struct, frozen=True):
    """One version of a definition; times in Unix seconds. `latest` is the newest version there is."""

    slug: str
    version: int
    latest: int
    archived: bool
    definition: Json
    created_at: float
    created_by: str


class Saved(Struct, frozen=True):
    """Which version a definition has; `changed`: it is a new one."""

    version: int
    changed: bool


class Version(Struct, frozen=True):
    """One version, without the definition; time in Unix seconds."""

    version: int
    created_at: float
    created_by: str


async def save(
    database: Database,
    slug: str,
    definition: Json,
    *,
    by: str,
    now: float,
    new: bool = False,
    act: Act | None = None,
) -> Saved | None:
    """Keep a definition, as a new version if it differs from the newest; with `new`, None if there is one by that slug.

    `act` is kept with a new version.

    Raises:
        StoreUnavailable: the database is away; nothing was kept.
    """
    slug, at = scrubbed(slug), moment(now)
    tree = msgspec.json.decode(encoded(definition))  # as it will be read back
    async with database.write() as connection:
        values = {"slug": slug, "latest": 0, "created_at": at, "updated_at": at, "archived": True}
        await connection.execute(inserting(connection.dialect.name, workflows).values(values).on_conflict_do_nothing())
        query = select(_W.latest, _W.archived).where(_W.slug == slug).with_for_update()
        latest, archived = (await connection.execute(query)).one()
        if not archived:
            if new:
                return None
            newest = select(_V.definition).where(_V.slug == slug, _V.version == latest)
            if (await connection.execute(newest)).scalar_one() == tree:
                return Saved(latest, changed=False)
        values = {"slug": slug, "version": latest + 1, "definition": tree, "created_at": at, "created_by": scrubbed(by)}
        await connection.execute(insert(workflow_versions).values(values))
        changed = {"latest": latest + 1, "updated_at": at, "archived": False}
        await connection.execute(update(workflows).where(_W.slug == slug).values(changed))
        if act is not None:
            before = {"version": latest, "archived": archived} if latest else None
            told = {"version": latest + 1, "archived": False}
            await audit.write(connection, replace(act, target=slug, before=before, after=told))
    return Saved(latest + 1, changed=True)


async def load(database: Database, slug: str, version: int | None = None) -> Kept | None:
    """That version of the definition, archived or not; None asks for the newest of one that is not archived.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = _select().where(_W.slug == scrubbed(slug))
    query = (
        query.where(_V.version == _W.latest, ~_W.archived) if version is None else query.where(_V.version == version)
    )
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else _kept(row)


async def exist(database: Database) -> bool:
    """Whether there are any, archived ones included: their executions may go on.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.read() as connection:
        return (await connection.execute(select(_W.slug).limit(1))).first() is not None


async def listed(database: Database, *, after: str = "", limit: int = 50) -> list[Kept]:
    """The newest versions of the definitions that are not archived, by slug, from behind the slug `after` on.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = _select().where(_W.slug > scrubbed(after), _V.version == _W.latest, ~_W.archived)
    async with database.read() as connection:
        rows = (await connection.execute(query.order_by(_W.slug).limit(limit))).all()
    return [_kept(row) for row in rows]


async def versions(database: Database, slug: str) -> list[Version]:
    """All versions of a definition, newest first; none: there never was one by that slug.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(_V.version, _V.created_at, _V.created_by).where(_V.slug == scrubbed(slug))
    async with database.read() as connection:
        rows = (await connection.execute(query.order_by(_V.version.desc()))).all()
    return [Version(row.version, row.created_at.timestamp(), row.created_by) for row in rows]


async def archive(
    database: Database, slug: str, *, now: float, force: bool = False, act: Act | None = None
) -> int | None:
    """Archive a definition unless executions of it have not ended; how many that are. None: there is no such one.

    With `force` it is archived all the same, and they go on. `act` is kept when it is.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    slug = scrubbed(slug)
    live = select(func.count()).where(executions.c.slug == slug, executions.c.status.in_(LIVE))
    async with database.write() as connection:
        found = select(_W.slug).where(_W.slug == slug, ~_W.archived).with_for_update()
        if (await connection.execute(found)).one_or_none() is None:
            return None
        count = (await connection.execute(live)).scalar_one()
        if count == 0 or force:
            changed = {"archived": True, "updated_at": moment(now)}
            await connection.execute(update(workflows).where(_W.slug == slug).values(changed))
            if act is not None:
                told = {"archived": True, "unfinished_executions": count}
                await audit.write(connection, replace(act, target=slug, before={"archived": False}, after=told))
    return count


def _select() -> Select[str, int, int, bool, Json, datetime, str]:
    query = select(_W.slug, _V.version, _W.latest, _W.archived, _V.definition, _V.created_at, _V.created_by)
    return query.join_from(workflows, workflow_versions, _V.slug == _W.slug)


def _kept(row: Row[str, int, int, bool, Json, datetime, str]) -> Kept:
    return Kept(
        row.slug,
        row.version,
        row.latest,
        row.archived,
        row.definition,
        row.created_at.timestamp(),
        row.created_by,
    )
