"""What is so at the moment, told to the metrics whenever somebody looks; with several workers, every other second.

Counts that other parts keep for themselves are told here too (`metrics.registry.Mirror`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dwa import DeploymentStats
from gateway import vitals
from gateway.catalog import Deployment
from gateway.mcp.words import CONDITIONS
from gateway.metrics import Metrics, Mirror
from gateway.settings.tree import Settings
from providers import GEN_AI_NAMES

if TYPE_CHECKING:
    from gateway.parts import Parts

#: Seconds between two looks of a worker at its own gauges.
_EVERY = 2.0
_BREAKER = ("closed", "open", "half_open", "ramp")
_CACHE = ("hits", "misses", "writes", "evictions", "errors")
_LOG = ("written", "spilled", "replayed", "dropped")
#: Where nothing is held back: a deployment that is recovering, or was refused by nobody, may be chosen.
_FREE = ("closed", "ramp")


class Gauges:
    """Those of one application."""

    def __init__(self, parts: Parts) -> None:
        """Look at these parts."""
        self._parts = parts
        self._metrics = metrics = parts.metrics
        self._found, self._rows = Mirror(metrics.cache_hits), Mirror(metrics.log_counts)
        self._events = Mirror(metrics.cache_events)
        self._openings = Mirror(metrics.breaker_openings)

    async def keep_fresh(self) -> None:
        """Whichever worker is asked for the metrics answers for all, so each keeps its own share current."""
        while True:
            await asyncio.sleep(_EVERY)
            self.refresh()

    def refresh(self) -> None:
        """Tell all of it."""
        rows = self._parts.balancer.stats()
        for row in rows:
            self._deployment(row)
        self._parts.budgets.show()
        self._cache()
        self._log()
        self._services()
        self._itself()
        self._count(rows)
        for server in self._parts.mcp.everyone():
            is_now = server.status().status
            for state in CONDITIONS:
                self._metrics.mcp_state(server.spec.name, state).set(float(state == is_now))

    def count(self) -> None:
        """Tell what has been counted, at the end of an application's life once more."""
        self._count(self._parts.balancer.stats())

    def _count(self, rows: Iterable[DeploymentStats]) -> None:
        for row in rows:
            provider, _, model = row.key.partition("/")
            self._openings(provider, model, total=row.openings)
        counts = self._parts.store.stats()
        for event in _CACHE:
            self._events(event, total=getattr(counts, event))
        for tier, hits in self._parts.store.tiers().items():
            self._found(tier, total=hits)
        log = self._parts.records.log.stats()
        for state in _LOG:
            self._rows(state, total=getattr(log, state))

    def _deployment(self, row: DeploymentStats) -> None:
        metrics = self._metrics
        provider, _, model = row.key.partition("/")
        metrics.weight(provider, model).set(row.weight)
        metrics.score(provider, model).set(row.score or 0.0)
        metrics.available(provider, model).set(1.0 if row.state in _FREE else 0.0)
        metrics.in_flight(provider, model).set(row.in_flight)
        # Rate limited it is closed as well: nothing speaks against the host.
        breaker = row.state if row.state in _BREAKER else "closed"
        for state in _BREAKER:
            metrics.breaker_state(provider, model, state).set(float(state == breaker))
        for kind in ("requests", "tokens"):
            if (left := row.quota[f"remaining_{kind}"]) is not None:
                # What was sent since the headers came may be more than they left.
                metrics.quota_left(provider, model, kind).set(max(0.0, left))
            if (limit := row.quota[f"limit_{kind}"]) is not None:
                metrics.quota_limit(provider, model, kind).set(limit)
        metrics.retry_after(provider, model).set(row.quota["retry_after_s"] or 0.0)

    def _cache(self) -> None:
        parts, metrics = self._parts, self._metrics
        metrics.cache_bytes().set(parts.store.stats().bytes or 0)
        metrics.waiters().set(parts.cache.waiting)

    def _log(self) -> None:
        metrics, log = self._metrics, self._parts.records.log.stats()
        for state in _LOG:
            metrics.log_rows(state).set(getattr(log, state))
        metrics.log_queue().set(log.queue)
        metrics.log_capacity().set(log.capacity)
        metrics.spill_size().set(log.spill_bytes)
        metrics.up("database").set(float(log.database == "up"))

    def _services(self) -> None:
        parts, metrics = self._parts, self._metrics
        pools = [one for one in (parts.records.database.pooled.state(), parts.workflows.pool) if one is not None]
        metrics.pool_connections("in_use").set(sum(one.in_use for one in pools))
        metrics.pool_connections("idle").set(sum(one.idle for one in pools))
        metrics.pool_limit().set(sum(one.limit for one in pools))
        metrics.pool_waiting().set(sum(one.waiting for one in pools))
        metrics.limit_queue().set(parts.limits.turns.waiting)
        metrics.limits_alone().set(parts.limits.backend.alone)
        upstream = parts.transport.pool
        metrics.upstream("in_use").set(upstream.busy)
        metrics.upstream("waiting").set(upstream.waiting)
        if parts.settings.redis.url is not None:
            heard = parts.store.stats().healthy and parts.fleet.reachable and not parts.limits.backend.alone
            metrics.up("redis").set(float(heard))

    def _itself(self) -> None:
        metrics = self._metrics
        metrics.requests_in_flight().set(metrics.crowd.now)
        metrics.workers(self._parts.version).set(1.0)
        metrics.cpu_used(total=vitals.cpu_seconds())
        if (held := vitals.resident_bytes()) is not None:
            metrics.memory().set(held)


def introduce(metrics: Metrics, settings: Settings, deployments: Iterable[Deployment]) -> None:
    """Tell the metrics the names that the settings have for things."""
    known = {
        (one.provider, one.model): (GEN_AI_NAMES.get(one.provider, one.provider), one.target.upstream)
        for one in deployments
    }
    metrics.know(
        known, [*settings.budgets.tags, *settings.limits.tags, *(tag for key in settings.keys for tag in key.tags)]
    )
