"""One gateway of a case, with what it depends on within reach of whoever wants to break it."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any, Literal, NamedTuple

import aiohttp
from sqlalchemy import func, select

from gateway.store.engine import Database, parse_url
from gateway.store.tables import exchanges
from providers import simulator
from tests.acceptance.bad_days import four
from tests.acceptance.bad_processes import Program, a_program, configuration, logged
from tests.chaos.services import Line, Postgres, Redis, SmallDisk, a_line, a_postgres, a_redis, a_small_disk

_WAYWARD = Path(__file__).with_name("wayward.py")
#: What the providers' names end in where they have some.
_ZONE = ".chaos.test"
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ADMIN_KEY = "chaos-admin-0123456789abcdef0123456789"
#: USD that a thrifty caller may spend: a dozen answers of the favourite, so that it is spent while a case happens.
BUDGET = 0.001
#: Cases that there may be.
MOST_CASES = 50
#: Seconds after which a gateway that has not recovered never will.
PATIENCE = 60.0


@dataclass(frozen=True)
class Layout:
    """What a case needs; see `World`."""

    database: Literal["postgresql", "sqlite"] = "postgresql"
    redis: bool = True
    workers: int = 1
    #: Megabytes of a small disk on which the database is, and whether the spill is there as well.
    disk: int = 0
    spill_on_disk: bool = False
    #: Whether the gateway's clock and names are ours to set.
    wayward: bool = False
    environ: Mapping[str, str] = field(default_factory=dict[str, str])


class Spent(NamedTuple):
    """USD, in all and of the dearest request."""

    all: float
    dearest: float

    @property
    def too_much(self) -> bool:
        """Whether it is beyond the budget by more than one request."""
        return self.all > BUDGET + self.dearest


def keys_of(number: int) -> dict[str, str]:
    """The keys of the callers of a case: everybody's, and one with a budget that is this case's alone."""
    return {"crowd": _key("crowd"), f"thrifty-{number}": _key(f"thrifty-{number}")}


def _key(name: str) -> str:
    return f"chaos-{name}-0123456789abcdef0123456789abcdef"


def _keys(cases: int) -> list[dict[str, Any]]:
    """All of them, as a configuration names them."""
    limited = {"budget": {"usd": BUDGET, "period": "total"}}
    thrifty = [{"name": name, "key": _key(name), **limited} for name in (f"thrifty-{n}" for n in range(cases))]
    return [{"name": "crowd", "key": _key("crowd")}, *thrifty]


@dataclass
class World:
    """What there is in a case; `url` is the database's, past every line."""

    program: Program
    folder: Path
    url: str
    running: simulator.Running
    session: aiohttp.ClientSession
    postgres: Postgres | None = None
    to_postgres: Line | None = None
    redis: Redis | None = None
    to_redis: Line | None = None
    disk: SmallDisk | None = None
    to_provider: Line | None = None
    #: Whatever a case has to remember between befalling and mending.
    kept: list[Any] = field(default_factory=list[Any])

    def set_clock(self, ahead: float) -> None:
        """So many seconds ahead, from now on."""
        (self.folder / "clock").write_bytes(struct.pack("d", ahead))

    def set_names(self, manner: str) -> None:
        """See `wayward`."""
        (self.folder / "befallen").unlink(missing_ok=True)
        (self.folder / "names").write_text(manner)

    def befallen(self) -> str:
        """The names that were looked up while they were not well."""
        told = self.folder / "befallen"
        return told.read_text() if told.exists() else ""

    async def clock(self) -> float:
        """What time the gateway says it is, in Unix seconds: names of requests begin with it."""
        async with self.session.get(f"{self.program.url}/api/nowhere") as answer:
            letters = (await answer.json())["request_id"].removeprefix("req_")[:10]
        return reduce(lambda sum_, letter: 32 * sum_ + _LETTERS.index(letter), letters, 0) / 1000

    async def health(self) -> dict[str, Any]:
        """What the gateway says of itself; empty when it says nothing."""
        try:
            async with self.session.get(f"{self.program.url}/api/health") as answer:
                return (await answer.json())["services"]
        except (aiohttp.ClientError, OSError, TimeoutError, KeyError):
            return {}

    async def until_well(self, began: float) -> float:
        """Seconds from `began` until every service is healthy and no row waits on the disk. Raises `TimeoutError`."""
        while True:
            services = await self.health()
            if services and all(is_well(name, one) for name, one in services.items()):
                return time.monotonic() - began
            if time.monotonic() - began > PATIENCE:
                raise TimeoutError(f"It is not well after {PATIENCE:g} s: {services}")
            await asyncio.sleep(0.05)

    async def spent(self, name: str) -> Spent:
        """What a key's requests have cost, as the log has it."""
        database = Database(self.url)
        cost = exchanges.c.cost_usd
        query = select(func.sum(cost), func.max(cost)).where(exchanges.c.key_name == name)
        try:
            async with database.read() as connection:
                found = (await connection.execute(query)).one()
        finally:
            await database.dispose()
        return Spent(*(float(one or 0.0) for one in found))

    async def rows(self) -> set[str]:
        """The ids of all requests in the log."""
        return set(await logged(self.url))


def is_well(name: str, service: Any) -> bool:
    """Whether a service is healthy, and has nothing left to make up for."""
    waits = name == "log" and (service["spill_segments"] or service["queue"] > service["capacity"] // 10)
    return service["status"] == "healthy" and not waits


@asynccontextmanager
async def a_world(layout: Layout, folder: Path, shared: Postgres) -> AsyncGenerator[World]:
    """A gateway that is ready, alone with what it depends on. `shared` serves those that need no disk of their own."""
    async with AsyncExitStack() as stack:
        disk = stack.enter_context(a_small_disk(layout.disk)) if layout.disk else None
        postgres, to_postgres, url, address = await _database(layout, folder, shared, disk, stack)
        environ = {"DATABASE_URL": address, "STEELYARD_ADMIN_KEY": ADMIN_KEY, **layout.environ}
        redis = to_redis = None
        if layout.redis:
            redis = stack.enter_context(a_redis(folder / "redis"))
            to_redis = await stack.enter_async_context(a_line(_to_port(redis.port)))
            environ["REDIS_URL"] = f"redis://127.0.0.1:{to_redis.port}/0"
        if layout.spill_on_disk and disk is not None:
            environ["STEELYARD_LOG_SPILL_DIR"] = str(disk.folder / "spill")
        cast = four()
        running = stack.enter_context(simulator.start(cast))
        config = {**configuration(running, cast), "keys": _keys(MOST_CASES)}
        to_provider = None
        if layout.wayward:
            to_provider = await stack.enter_async_context(a_line(_to_port(running.port)))
            config = _by_name(config, running.port, to_provider.port)
        workers = ("--workers", str(layout.workers)) if layout.workers > 1 else ()
        program = stack.enter_context(a_program(folder / "gateway", config, *workers, **environ))
        session = aiohttp.ClientSession(
            headers={"x-api-key": ADMIN_KEY}, timeout=aiohttp.ClientTimeout(total=5), connector_owner=True
        )
        await stack.enter_async_context(session)
        world = World(program, folder, url, running, session, postgres, to_postgres, redis, to_redis, disk, to_provider)
        if layout.wayward:
            world.set_clock(0.0)
            world.set_names("well")
            program.replace_command(_WAYWARD, really=True, WAYWARD=str(folder), WAYWARD_ZONE=_ZONE)
        await asyncio.to_thread(program.start)
        await world.until_well(time.monotonic())
        yield world


async def _database(
    layout: Layout, folder: Path, shared: Postgres, disk: SmallDisk | None, stack: AsyncExitStack
) -> tuple[Postgres | None, Line | None, str, str]:
    """The server, the line to it, the database's address past the line, and by it."""
    if layout.database == "sqlite":
        place = disk.folder if disk is not None else folder
        url = f"sqlite+aiosqlite:///{place}/steelyard.db"
        return None, None, url, url
    postgres = shared
    if disk is not None:
        postgres = stack.enter_context(a_postgres(disk.folder / "pg"))
    url = await postgres.create()
    line = await stack.enter_async_context(a_line(postgres.reached()))
    where = parse_url(url).difference_update_query(["host"]).set(host="127.0.0.1", port=line.port)
    return postgres, line, url, where.render_as_string(hide_password=False)


def _to_port(port: int) -> Any:
    return lambda: asyncio.open_connection("127.0.0.1", port)


def _by_name(config: dict[str, Any], port: int, by_way_of: int) -> dict[str, Any]:
    """The providers by names of their own, and by way of a line."""
    providers: dict[str, Any] = {}
    for name, one in config["providers"].items():
        base = one["base_url"].replace(f"127.0.0.1:{port}", f"{name}{_ZONE}:{by_way_of}")
        providers[name] = {**one, "base_url": base}
    return json.loads(json.dumps({**config, "providers": providers}))
