"""The gateway's parts, made once from the settings, and their common life: start, health, stop.

Law: nothing here waits for a dependency to be there. A database or cache that is away at start is a degraded gateway
that answers, says so in `/api/health`, and mends itself.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from contextvars import Context
from typing import Any

from cache import Board
from dwa import Balancer, Objective
from dwa.strategies import STRATEGIES
from gateway import logs, vitals
from gateway.asking import Defaults, Preparing
from gateway.caching import AnswerCache, CachePolicy
from gateway.catalog import Catalog
from gateway.entering import entrance_of
from gateway.failover import Failover, RetryPolicy
from gateway.fleet import Fleet
from gateway.gauges import Gauges, introduce
from gateway.governance.audit import Audit
from gateway.governance.budgets.office import Budgets
from gateway.governance.configured import principals_of
from gateway.governance.entrance import Entrance
from gateway.governance.gates import Gates
from gateway.governance.issuing import Issuing
from gateway.governance.keyring import Keyring
from gateway.governance.limits.backend import Backend
from gateway.governance.limits.gate import Limits
from gateway.governance.limits.place import backend_of
from gateway.guardrails.guards import Guards, Moderated, Sizes
from gateway.guardrails.moderating import Moderator
from gateway.health import Health
from gateway.identity import new_id
from gateway.inventory import catalog_of, objectives_of
from gateway.mcp.server import Seams
from gateway.mcp.servers import Servers
from gateway.metrics import Metrics
from gateway.patience import look_after
from gateway.pipeline import Pipeline
from gateway.quality.feedback import Feedback
from gateway.quality.judge import CONCURRENCY, Judge
from gateway.quality.sampling import Sampling
from gateway.records import Records
from gateway.renewal import Reload
from gateway.replaying import Replays
from gateway.responses import Responses
from gateway.sessions import Sessions
from gateway.settings.routes import is_loopback
from gateway.settings.sections import CacheSettings
from gateway.settings.tree import Settings
from gateway.sinks import Sinks
from gateway.slack import Slack
from gateway.snapshots import Snapshots
from gateway.together import board_of, store_of
from gateway.tracing.tracer import tracer_of
from gateway.workflows.door import Workflows
from gateway.workflows.means import Means
from providers.dialects import DIALECTS
from providers.reach import Reach
from providers.transport import Transport


class Parts:
    """Everything that outlives a request."""

    def __init__(
        self,
        settings: Settings,
        *,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
        rng: random.Random,
        salt: bytes,
        shared_dir: str | None,
        version: str,
        metrics: Metrics | None = None,
        workflows: Workflows | None = None,
        counted: Backend | None = None,
        reload: Reload | None = None,
    ) -> None:
        """Wire the parts; nothing is opened before `start`.

        `metrics` are those of a predecessor that still refreshes their gauges, and `workflows` those it still runs,
        until `take_over`: there is one engine in a process. `counted` is where it counted for limits.
        """
        self.settings, self.reload = settings, reload
        self.version = version
        self.monotonic, self.wall, self.rng = monotonic, wall, rng
        self.catalog: Catalog = catalog_of(settings, DIALECTS)
        self._objectives = objectives_of(settings)
        self.balancer = Balancer(clock=monotonic, rng=rng)
        self.tracer = tracer_of(settings, version, wall=wall, rng=rng)
        self.metrics = metrics or Metrics(shared_dir=shared_dir)
        self.metrics_public = settings.metrics.public
        self.principals = principals_of(settings, salt, wall)
        self.store, leases = store_of(settings, shared_dir, monotonic, wall)
        self.fleet = self._fleet(board_of(settings, shared_dir, monotonic, wall))
        self.cache = AnswerCache(self.store, _policy(settings.cache), leases)
        self.records = Records(settings, wall=wall, monotonic=monotonic)
        database = self.records.database
        self.keyring, self.issuing = self._keys(salt)
        self.replays = Replays(settings.database.url.reveal(), self.records.log.flush)
        self.sessions = Sessions(database, wall=wall)
        self.responses = Responses(database, wall=wall)
        self.audit = self._audit()
        self.feedback = self._feedback()
        self.judge = self._judge()
        self.snapshots = Snapshots(self.balancer, self.records, wall=wall)
        self.transport = Transport(verify=settings.tls.verify, ca_file=settings.tls.ca_file)
        self.outward = _outward(settings)
        self.defaults = Defaults(settings.dwa.strategy, settings.dwa.objective, settings.requests.timeout)
        self.limits = self._limits(backend_of(settings.redis, shared_dir, counted, clock=monotonic))
        self.entrance = self._entrance(salt, shared_dir)
        self.budgets = self._budgets()
        self.pipeline = self._pipeline()
        self.mcp = Servers(settings, self._mcp_seams(), counted=self._tool_called)
        self.workflows = workflows or self._workflows()
        self._runs_workflows = workflows is None
        #: Steps that a successor goes on with, and which still ask by the means of this one.
        self._users = set[asyncio.Task[Any]]()
        self.gauges = self._gauges(first=metrics is None)
        self.health = self._health()
        self.started_at, self.ready = monotonic(), False
        self._tasks: list[asyncio.Task[None]] = []
        self._recalling: asyncio.Task[None] | None = None

    @property
    def local_only(self) -> bool:
        """Nobody needs a key, as nobody but this machine is to reach it."""
        settings = self.settings
        return settings.anonymous and not settings.auth.allow_anonymous and is_loopback(settings.server.host)

    def objectives(self, name: str, weights: dict[str, float] | None) -> Objective:
        """An objective by name or by weights. Raises `ValueError` for neither a preset nor a configured one."""
        if weights is not None:
            return Objective(name, weights["latency"], weights["cost"], weights["errors"], weights["quality"])
        return self._objectives.get(name) or Objective.of(name)

    async def start(self) -> None:
        """Open what must be open; what is away is tried again in the background."""
        await self.records.start()
        self._recalling = self._spawn(self.snapshots.recall())
        reading = self._spawn(self.keyring.read())
        self._spawn(self.keyring.watch())
        self._spawn(self.records.migrate_until_done())
        self._spawn(self.records.keep_tidy())
        self._spawn(self.snapshots.keep())
        self._spawn(self.audit.keep())
        self._spawn(self.fleet.run())
        if self.entrance.tokens is not None:
            self._spawn(self.entrance.tokens.keep())
        self._spawn(self.budgets.keep())
        self._spawn(Slack(lambda: self.transport.pool.busy).watch())
        self._spawn(look_after(self.balancer))
        self._spawn(vitals.watch(lambda seconds: self.metrics.loop_lag().observe(seconds)))
        if self._runs_workflows:
            self._spawn(self.workflows.open_if_needed())
        if self.judge is not None:
            for _ in range(CONCURRENCY):
                self._spawn(self.judge.work())
        if self.metrics.shared:
            self._spawn(self.gauges.keep_fresh())
        # Usually the database is there and this is done at once; a slow one must not hold up the first answer.
        await asyncio.wait([self._recalling, reading], timeout=2.0)
        self.ready = True

    def take_over(self, predecessor: Parts) -> None:
        """From now on requests come here: go on with what the predecessor has counted and learned."""
        if self._recalling is not None:
            self._recalling.cancel()  # a database that comes late has nothing newer to tell
        self.balancer.restore(predecessor.balancer.snapshot(), 0.0)
        introduce(self.metrics, self.settings, self.catalog.deployments)
        self.metrics.begin_gauges_anew(self.gauges.refresh)
        self.mcp.take_over(predecessor.mcp)
        self.keyring.take_over(predecessor.keyring)
        predecessor._runs_workflows, self._runs_workflows = False, True
        predecessor._users = self.workflows.go_on_by(self._means(), self.records)
        self._spawn(self.workflows.open_if_needed())

    async def stop(self) -> None:
        """Flush and close, in the order in which the parts need each other; one that fails keeps none from closing."""
        self.ready = False
        if self._users:
            await asyncio.wait(set(self._users), timeout=self.settings.server.shutdown_grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with AsyncExitStack() as stack:
            # Pushed first, called last: when the log has nothing more to write.
            stack.callback(self.gauges.count)
            stack.push_async_callback(self.tracer.stop)
            stack.push_async_callback(self.store.close)
            stack.push_async_callback(self.limits.close)
            stack.push_async_callback(self.entrance.guesses.close)
            stack.push_async_callback(self.fleet.leave)
            stack.push_async_callback(self.records.stop)
            stack.push_async_callback(self.budgets.stop)
            stack.push_async_callback(self.audit.leave)
            stack.push_async_callback(self.transport.close)
            stack.push_async_callback(self.outward.close)
            stack.push_async_callback(self.snapshots.save)
            stack.push_async_callback(self.mcp.stop)
            if self._runs_workflows:
                stack.push_async_callback(self.workflows.stop)

    def _audit(self) -> Audit:
        def counted(how: str) -> None:
            self.metrics.acts(how).inc()

        return Audit(self.records.database, wall=self.wall, rng=self.rng, counted=counted)

    def _entrance(self, salt: bytes, shared_dir: str | None) -> Entrance:
        return entrance_of(
            self.settings,
            self.principals,
            self.transport,
            wall=self.wall,
            monotonic=self.monotonic,
            salt=salt,
            shared_dir=shared_dir,
            counted=lambda how: self.metrics.wrong_keys(how).inc(),
        )

    def _health(self) -> Health:
        return Health(
            self.catalog,
            self.balancer,
            self.store,
            self.records,
            self.fleet,
            self.workflows,
            self.mcp,
            self.keyring,
            self.limits,
        )

    def _keys(self, salt: bytes) -> tuple[Keyring, Issuing]:
        settings, database = self.settings, self.records.database
        secret = salt if settings.auth.secret_key else None
        keyring = Keyring(self.principals, database, self.records.migrated, secret=secret, monotonic=self.monotonic)
        issuing = Issuing(database, self.principals, keyring, settings, wall=self.wall, rng=self.rng)
        return keyring, issuing

    def _budgets(self) -> Budgets:
        clocks = {"monotonic": self.monotonic, "wall": self.wall}
        return Budgets(self.settings, self.records, self.fleet.name, **clocks, rng=self.rng, metrics=self.metrics)

    def _pipeline(self) -> Pipeline:
        # The log first: whether it took the record is part of the answer.
        sinks = [
            ("request_log", self.records.take),
            ("budgets", self.budgets.logged),
            ("metrics", self.metrics.observe),
            ("log_line", logs.teller(self.settings.log.requests)),
        ]
        if self.tracer.on:
            sinks.append(("traces", self.tracer.take))

        for name, _ in sinks:
            self.metrics.sink_failures(name)  # at 0, so that the first failure is seen to be one more

        def failed(name: str) -> None:
            self.metrics.sink_failures(name).inc()

        moderator = Moderator(lambda: self.pipeline, wall=self.wall, monotonic=self.monotonic, rng=self.rng)
        return Pipeline(
            catalog=self.catalog,
            preparing=Preparing(
                self.catalog, self.cache, self.defaults, self.objectives, strategies=frozenset(STRATEGIES)
            ),
            balancer=self.balancer,
            failover=Failover(
                self.balancer,
                RetryPolicy(rounds=self.settings.requests.retries, first_pause=self.settings.requests.backoff),
                monotonic=self.monotonic,
                rng=self.rng,
            ),
            cache=self.cache,
            transport=self.transport,
            sinks=Sinks(sinks, failed=failed),
            beside=Sinks(sinks[2:], failed=failed),
            monotonic=self.monotonic,
            gates=Gates([Sizes(), self.limits, self.budgets.gate, Moderated()], counting=[self.limits]),
            guards=Guards(self.settings.guardrails, self.catalog.routes, moderator, self.metrics.guarded),
            sampling=Sampling(self.settings.judge.sample, self.rng, self.judge.offer) if self.judge else None,
        )

    def _fleet(self, board: Board | None) -> Fleet:
        everyone = [one.candidate for one in self.catalog.deployments]
        name = new_id("node", self.wall(), self.rng)
        return Fleet(name, self.balancer, everyone, self.store, board, monotonic=self.monotonic)

    def _limits(self, backend: Backend) -> Limits:
        return Limits(
            backend,
            self.settings.limits,
            {name: route.rates for name, route in self.settings.routes.items()},
            expect=self.balancer.expected_answer,
            clock=self.monotonic,
            refused=lambda refusal: self.metrics.limited(refusal.limiter.kind, refusal.bound).inc(),
            waited=lambda outcome, seconds: self.metrics.limit_wait(outcome).observe(seconds),
        )

    def _workflows(self) -> Workflows:
        return Workflows(
            self._means(),
            self.records,
            wall=self.wall,
            monotonic=self.monotonic,
            rng=self.rng,
            metrics=self.metrics,
        )

    def _means(self) -> Means:
        return Means(
            self.settings,
            self.pipeline,
            self.transport,
            self.outward,
            self.mcp,
            self.feedback,
            self.principals,
            self.tracer,
        )

    def _gauges(self, *, first: bool) -> Gauges:
        self.records.database.pooled.waited = self.metrics.pool_waited
        gauges = Gauges(self)
        if first:
            introduce(self.metrics, self.settings, self.catalog.deployments)
            self.metrics.before_scrape(gauges.refresh)
        return gauges

    def _tool_called(self, server: str, tool: str, outcome: str, seconds: float) -> None:
        self.metrics.tool_called(server, tool, outcome, seconds)
        self.tracer.tool_called(server, tool, outcome, seconds)

    def _mcp_seams(self) -> Seams:
        tls = self.settings.tls
        return Seams(self.wall, self.monotonic, self.rng, self.version, tls.verify, tls.ca_file)

    def _feedback(self) -> Feedback:
        def heard(whose: str) -> None:
            self.metrics.feedback(whose).inc()

        return Feedback(self.records, self.fleet, wall=self.wall, rng=self.rng, heard=heard)

    def _judge(self) -> Judge | None:
        wanted = self.settings.judge
        if wanted.model is None:
            return None
        return Judge(
            wanted.model,
            wanted.budget_usd,
            pipeline=lambda: self.pipeline,
            feedback=self.feedback,
            records=self.records,
            wall=self.wall,
            monotonic=self.monotonic,
            rng=self.rng,
            counted=lambda outcome: self.metrics.judged(outcome).inc(),
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # In nobody's name: it outlives whatever began it.
        task = asyncio.create_task(work, context=Context())
        task.add_done_callback(logs.of_task)
        self._tasks.append(task)
        return task


def _outward(settings: Settings) -> Transport:
    reach = Reach(settings.workflows.networks, settings.workflows.hosts)
    return Transport(verify=settings.tls.verify, ca_file=settings.tls.ca_file, reach=reach)


def _policy(kept: CacheSettings) -> CachePolicy:
    return CachePolicy(kept.enabled, kept.ttl, kept.native, kept.drop_in)
