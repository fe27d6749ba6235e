"""How every service is doing: healthy, degraded (it answers, something is away), unhealthy (it cannot answer)."""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins

from cache import CacheStats, Store
from dwa import Balancer
from gateway.catalog import Catalog
from gateway.fleet import Fleet
from gateway.governance.keyring import Keyring
from gateway.governance.keys import Principal
from gateway.governance.limits.gate import Limits
from gateway.mcp.servers import Servers
from gateway.records import Records
from gateway.workflows.door import Workflows

#: States of a deployment in which the DWA sends it nothing.
_OUT = ("open", "half_open", "rate_limited")


class Health:
    """Asks every service when asked."""

    def __init__(
        self,
        catalog: Catalog,
        balancer: Balancer,
        store: Store,
        records: Records,
        fleet: Fleet,
        workflows: Workflows,
        mcp: Servers,
        keyring: Keyring,
        limits: Limits,
    ) -> None:
        """Look after these."""
        self._catalog = catalog
        self._balancer = balancer
        self._store = store
        self._records = records
        self._fleet = fleet
        self._workflows = workflows
        self._mcp = mcp
        self._keyring = keyring
        self._limits = limits

    async def services(self, by: Principal) -> tuple[str, dict[str, Any]]:
        """The status in one word, and each service's own; of the MCP servers those that this caller may use."""
        services = {
            "database": await self._database(),
            "cache": await self._cache(),
            "dwa": self._dwa(),
            "log": self._log(),
            "keys": to_builtins(self._keyring.health()),
            "mcp": self._of_mcp(by),
            "limits": self._of_limits(),
        }
        if (workflows := await self._workflows.health()) is not None:
            services["workflows"] = workflows
        states = {service["status"] for service in services.values()}
        if services["dwa"]["status"] == "unhealthy":
            return "unhealthy", services
        return ("healthy" if states == {"healthy"} else "degraded"), services

    async def _database(self) -> dict[str, Any]:
        problem = await self._records.problem()
        return {"status": "degraded", "error": problem} if problem else {"status": "healthy"}

    async def _cache(self) -> dict[str, Any]:
        works = await self._store.ping()
        stats: CacheStats = self._store.stats()
        return {"status": "healthy" if works else "degraded", **to_builtins(stats)}

    def _dwa(self) -> dict[str, Any]:
        out = {row.key: row for row in self._balancer.stats() if row.state in _OUT}
        because = {key: f"{row.state}, last error: {row.last_error or 'none'}" for key, row in out.items()}
        active = {one.provider for one in self._catalog.deployments if one.key not in out}
        away = sorted(set(self._catalog.providers) - active)
        fleet = {"replicas": len(self._fleet.peers) + 1, "sharing": self._fleet.shared and self._fleet.reachable}
        if not active:
            return {"status": "unhealthy", "active_providers": [], "excluded": away, "because": because, **fleet}
        status = "degraded" if away or not self._fleet.reachable else "healthy"
        return {"status": status, "active_providers": sorted(active), "excluded": away, "because": because, **fleet}

    def _log(self) -> dict[str, Any]:
        stats = self._records.log.stats()
        return {"status": "healthy" if stats.database == "up" else "degraded", **to_builtins(stats)}

    def _of_limits(self) -> dict[str, Any]:
        backend, waiting = self._limits.backend, self._limits.turns.waiting
        status = "degraded" if backend.alone else "healthy"
        return {"status": status, "counted_in": backend.name, "alone": backend.alone, "waiting": waiting}

    def _of_mcp(self, by: Principal) -> dict[str, Any]:
        told = {one.spec.name: one.status() for one in self._mcp.of(by)}
        failed = {name: one.reason or "" for name, one in told.items() if one.status == "failed"}
        running = [name for name, one in told.items() if one.status == "running"]
        return {"status": "degraded" if failed else "healthy", "running": running, "failed": failed}
