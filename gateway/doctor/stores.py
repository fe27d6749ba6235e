"""The database and Redis: there, writable, of this version, with room and with the same idea of the time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from cache.redis import examine as examine_redis
from gateway.doctor.finding import Finding, clocks, ok, problem, size, warning
from gateway.settings.secrets import mask_url
from gateway.settings.tree import Settings
from gateway.store.errors import StoreError
from gateway.store.examining import Examined, examine, file_of

#: Bytes of a disk that should be free: SQLite's log of a busy day, or a spill (1 GiB by default).
_LITTLE, _NONE = 2 * 1024**3, 256 * 1024**2
#: Seconds of an answer beyond which a database, or Redis, is far for what asks it with every request or batch.
_FAR_DATABASE, _FAR_REDIS = 0.1, 0.02
#: Connections that one process has besides those of the pool: the log's, the engine's, the bell's.
_BESIDES = 12


async def database(settings: Settings) -> list[Finding]:
    """The database of the settings."""
    url = settings.database.url.reveal()
    place = file_of(url)
    if place is not None and not place.exists():
        return [_to_be_made(place)]
    try:
        found = await examine(url)
    except StoreError as exc:
        mend = "Start it, or mend DATABASE_URL." if place is None else f"See what it is, and that {_me()} may write."
        advice = f"{mend} Gateways answer meanwhile, and keep their records on the disk."
        return [problem("database", str(exc), advice)]
    told = [ok("database", f"{found.engine} {found.version}, {size(found.bytes)}, answers in {_ms(found.seconds)}")]
    if found.now is not None:
        told.append(clocks("the database", found.now, time.time()))
    return [*told, *_state(found), *_room(found, settings), _schema(found)]


def _to_be_made(place: Path) -> Finding:
    parent = next(one for one in place.absolute().parents if one.exists())
    if _enterable(parent):
        return ok("database", f"{place} is not there yet: `steelyard serve` makes it")
    return problem("database", f"{place} cannot be made: {parent} may not be written to", f"chown it to {_me()}")


def _state(found: Examined) -> Iterator[Finding]:
    if found.refused is not None:
        yield problem(
            "database",
            f"it cannot be written to: {found.refused}",
            "Name the primary, or give its user the right to create and write.",
        )
    if found.engine == "PostgreSQL" and found.seconds > _FAR_DATABASE:
        yield warning("database", f"a question takes {_ms(found.seconds)}", "Have it in the gateway's own network.")


def _room(found: Examined, settings: Settings) -> Iterator[Finding]:
    if found.free is not None and found.free < _LITTLE:
        level = problem if found.free < _NONE else warning
        yield level(
            "database",
            f"{size(found.free)} are free on its disk",
            "Make room, or let old rows go: steelyard db prune --older-than 30 --compact",
        )
    if found.most is not None:
        pool = settings.database.pool_size + settings.database.max_overflow + _BESIDES
        wanted = settings.server.workers * pool
        if wanted > found.most:
            yield warning(
                "database",
                f"this gateway may open {wanted} connections, it takes {found.most}",
                "Raise its max_connections, or lower DB_POOL_SIZE and DB_MAX_OVERFLOW.",
            )


def _schema(found: Examined) -> Finding:
    if found.revision == found.head:
        return ok("migrations", f"at {found.head}, which is this version's")
    if found.newer:
        return warning(
            "migrations",
            f"the schema is at {found.revision}, newer than this version's {found.head}",
            "Upgrade this installation, too: docs/operations.md, 'Upgrade'.",
        )
    if found.revision is None:
        return ok("migrations", f"no tables yet: `steelyard serve` makes them, at {found.head}")
    return warning(
        "migrations",
        f"the schema is at {found.revision}, this version's is {found.head}",
        "`steelyard serve` brings it up when it starts; or now: steelyard db upgrade",
    )


async def redis(settings: Settings) -> list[Finding]:
    """The Redis of the settings."""
    if settings.redis.url is None:
        if settings.server.workers == 1:
            return [ok("redis", "none: cache, limits and what is learned stay in the one process")]
        return [ok("redis", "none: workers of this machine share by files; several machines need REDIS_URL")]
    url = settings.redis.url.reveal()
    began = time.perf_counter()
    try:
        found = await examine_redis(url, settings.redis.db)
    except (ConnectionError, ValueError) as exc:
        said = str(exc) if isinstance(exc, ConnectionError) else "REDIS_URL cannot be understood"
        advice = "Start it, or mend REDIS_URL. Gateways answer meanwhile, each with limits and memory of its own."
        return [problem("redis", f"{mask_url(url)}: {said}", advice)]
    took = (time.perf_counter() - began) / 3  # to connect, and two questions
    told = [ok("redis", f"{found.version}, answers in {_ms(took)}"), clocks("Redis", found.now, time.time())]
    if took > _FAR_REDIS:
        told.append(
            warning(
                "redis", f"a question takes {_ms(took)}, and requests ask it", "Have it in the gateway's own network."
            )
        )
    if not found.appends:
        told.append(
            warning(
                "redis",
                "it keeps no append-only file: limits' counts are lost when it restarts",
                "CONFIG SET appendonly yes, and in its file.",
            )
        )
    if found.policy.startswith("allkeys"):
        told.append(
            warning(
                "redis",
                f"when it is full it drops any key ({found.policy}), counts of limits among them",
                "CONFIG SET maxmemory-policy volatile-lru",
            )
        )
    return told


def _enterable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _me() -> str:
    return f"uid {os.getuid()}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
