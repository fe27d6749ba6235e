"""Health: healthy, degraded (it answers, something is away), unhealthy (it cannot answer); each service says why."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast

import pytest
from gateway_world import deployment
from msgspec.structs import replace
from paused_time import paused

from cache import CacheStats, Store
from dwa import Balancer, Shape
from gateway.catalog import Catalog
from gateway.errors import McpUnavailable
from gateway.fleet import Fleet
from gateway.governance.keyring import Keyring, Known
from gateway.governance.keys import ADMIN, Principal
from gateway.governance.limits.gate import Limits
from gateway.health import Health
from gateway.mcp.server import Seams, Server
from gateway.mcp.servers import Servers
from gateway.records import Records
from gateway.settings.mcp import McpServer
from gateway.store.request_log import LogStats
from gateway.workflows.door import Workflows

ONE, TWO, OTHER = deployment("a/m"), deployment("a/n"), deployment("b/m")
UP = LogStats(0, 100, 0, 0, 0, 0, 0, 0, "up", None)


class Services:
    """A store and a log that may be in trouble, in the place of the real ones."""

    def __init__(self) -> None:
        self.works = True
        self.trouble: str | None = None
        self.written = UP
        self.log = self
        self.shared, self.reachable = False, True
        self.peers: dict[str, float] = {}
        self.tools: list[Any] = []
        self.keys = Known("healthy", 2, 0, 0.1)

    def of(self, _by: Principal) -> list[Any]:
        return self.tools

    def health(self) -> Known:
        return self.keys

    async def ping(self) -> bool:
        return self.works

    async def problem(self) -> str | None:
        return self.trouble

    def stats(self) -> Any:
        return self.written


class Cache:
    def __init__(self, services: Services) -> None:
        self._services = services

    async def ping(self) -> bool:
        return self._services.works

    def stats(self) -> CacheStats:
        return CacheStats("redis", hits=3, last_error=None if self._services.works else "refused")


class Unopened:
    async def health(self) -> None:
        return None


class Counting:
    """Limits whose place to count in may be out of reach."""

    def __init__(self) -> None:
        self.backend = self.turns = self
        self.name, self.alone, self.waiting = "redis", False, 0


class Scene:
    def __init__(self) -> None:
        self.limits = Counting()
        self.services = Services()
        self.balancer = Balancer(clock=asyncio.get_running_loop().time, rng=random.Random(1))
        self.health = Health(
            Catalog([ONE, TWO, OTHER]),
            self.balancer,
            cast("Store", Cache(self.services)),
            cast("Records", self.services),
            cast("Fleet", self.services),
            cast("Workflows", Unopened()),
            cast("Servers", self.services),
            cast("Keyring", self.services),
            cast("Limits", self.limits),
        )

    async def look(self) -> tuple[str, dict[str, Any]]:
        return await self.health.services(Principal(ADMIN, admin=True))

    def refuse(self, *keys: str) -> None:
        for one in (ONE, TWO, OTHER):
            if one.key in keys:
                self.balancer.begin(one.candidate, Shape(100)).throttled(600.0)

    async def break_(self, *keys: str) -> None:
        for one in (ONE, TWO, OTHER):
            for _ in range(8 if one.key in keys else 0):
                ticket = self.balancer.begin(one.candidate, Shape(100))
                await asyncio.sleep(0.1)
                ticket.failure("overloaded")


@paused
async def test_all_is_well_before_the_first_request() -> None:
    verdict, services = await Scene().look()
    assert verdict == "healthy"
    assert set(services) == {"database", "cache", "dwa", "log", "keys", "mcp", "limits"}
    assert {one["status"] for one in services.values()} == {"healthy"}
    assert services["dwa"]["active_providers"] == ["a", "b"]
    assert services["dwa"]["excluded"] == []
    assert services["cache"]["hits"] == 3


@paused
async def test_a_database_that_is_away_degrades() -> None:
    scene = Scene()
    scene.services.trouble = "db:5432 does not answer"
    verdict, services = await scene.look()
    assert verdict == "degraded"
    assert services["database"] == {"status": "degraded", "error": "db:5432 does not answer"}


@paused
async def test_keys_that_cannot_be_looked_after_degrade() -> None:
    scene = Scene()
    scene.services.keys = Known("degraded", 2, 0, 7.5, "db:5432 does not answer")
    verdict, services = await scene.look()
    assert verdict == "degraded"
    told = {"active": 2, "unusable": 0, "checked_seconds_ago": 7.5, "error": "db:5432 does not answer"}
    assert services["keys"] == {"status": "degraded", **told}


@paused
async def test_limits_that_hold_for_each_process_alone_degrade() -> None:
    scene = Scene()
    scene.limits.alone, scene.limits.waiting = True, 3
    verdict, services = await scene.look()
    assert verdict == "degraded"
    assert services["limits"] == {"status": "degraded", "counted_in": "redis", "alone": True, "waiting": 3}


@paused
async def test_a_cache_that_is_away_degrades() -> None:
    scene = Scene()
    scene.services.works = False
    verdict, services = await scene.look()
    assert verdict == "degraded"
    assert (services["cache"]["status"], services["cache"]["last_error"]) == ("degraded", "refused")


@pytest.mark.parametrize(
    ("stats", "status"),
    [
        (UP, "healthy"),
        (replace(UP, spilled=5, replayed=5), "healthy"),
        (replace(UP, database="away"), "degraded"),
        (replace(UP, dropped=1), "healthy"),
        (replace(UP, database="away", dropped=1), "degraded"),
    ],
)
@paused
async def test_a_log_degrades_only_while_its_database_is_away(stats: LogStats, status: str) -> None:
    scene = Scene()
    scene.services.written = stats
    verdict, services = await scene.look()
    assert (verdict, services["log"]["status"]) == (status, status)
    assert services["log"]["queue"] == 0


@paused
async def test_a_provider_is_there_while_one_of_its_models_is() -> None:
    scene = Scene()
    scene.refuse("a/m")
    verdict, services = await scene.look()
    assert verdict == "healthy"
    assert services["dwa"]["active_providers"] == ["a", "b"]


@paused
async def test_a_provider_that_refuses_everything_degrades() -> None:
    scene = Scene()
    scene.refuse("a/m", "a/n")
    verdict, services = await scene.look()
    assert verdict == "degraded"
    dwa = services["dwa"]
    assert (dwa["status"], dwa["active_providers"], dwa["excluded"]) == ("degraded", ["b"], ["a"])
    assert dwa["because"].keys() == {"a/m", "a/n"}


@paused
async def test_a_provider_that_is_broken_degrades() -> None:
    scene = Scene()
    await scene.break_("b/m")
    verdict, services = await scene.look()
    assert (verdict, services["dwa"]["excluded"]) == ("degraded", ["b"])


@paused
async def test_without_any_provider_it_cannot_answer() -> None:
    scene = Scene()
    scene.refuse("a/m", "a/n")
    await scene.break_("b/m")
    verdict, services = await scene.look()
    assert verdict == "unhealthy"
    assert services["dwa"]["status"] == "unhealthy"
    assert (services["dwa"]["active_providers"], services["dwa"]["excluded"]) == ([], ["a", "b"])
    assert services["dwa"]["because"].keys() == {"a/m", "a/n", "b/m"}


@paused
async def test_cannot_answer_outweighs_something_is_away() -> None:
    scene = Scene()
    scene.services.trouble = "away"
    scene.refuse("a/m", "a/n", "b/m")
    assert (await scene.look())[0] == "unhealthy"


@paused
async def test_it_heals_by_itself() -> None:
    scene = Scene()
    scene.services.works = False
    scene.refuse("a/m", "a/n", "b/m")
    assert (await scene.look())[0] == "unhealthy"
    scene.services.works = True
    await asyncio.sleep(600.0)
    assert (await scene.look())[0] == "healthy"


async def test_an_mcp_server_that_failed_is_something_that_is_away():
    scene = Scene()
    seams = Seams(lambda: 0.0, asyncio.get_running_loop().time, random.Random(1), "0.0.0")
    at_rest, gone = (Server(McpServer(name=name, command="/nowhere/at-all"), seams) for name in ("rests", "gone"))
    scene.services.tools = [at_rest, gone]
    verdict, services = await scene.look()
    assert (verdict, services["mcp"]) == ("healthy", {"status": "healthy", "running": [], "failed": {}})
    with pytest.raises(McpUnavailable):
        await gone.tools()
    verdict, services = await scene.look()
    assert (verdict, services["mcp"]["status"]) == ("degraded", "degraded")
    assert services["mcp"]["failed"] == {"gone": "There is no such program: /nowhere/at-all"}
    await gone.stop()
