"""The way in to workflows, opened by whoever comes first: until then a gateway without any pays nothing for them.

Jinja and the durable engine are 20 MB of a process and a third of a second of its start. So what needs them is loaded
when the first definition is there, or is saved, here or by another process, and not before. Until then a process looks
for one now and then, by a query that reads one row of an empty table.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from contextvars import Context
from importlib import import_module
from typing import TYPE_CHECKING, Any

from msgspec import to_builtins

from gateway.metrics import Metrics
from gateway.records import Records, StoreUnavailable
from gateway.settings.changes import changed
from gateway.settings.tree import Settings
from gateway.store.pooling import PoolState
from gateway.store.workflows import definitions
from gateway.workflows.means import Means

if TYPE_CHECKING:
    from gateway.workflows.service import Service

#: Seconds between two looks for workflows. Doubled, what another process runs, and leaves, is taken over later by as
#: much, when it was the first there is; halved, a gateway without any asks its database more often for nothing.
_AGAIN = 5.0
#: Seconds that a look may take; a database that is slower is away.
_WITHIN = 5.0
#: Settings that a service takes when it is opened, and goes on by over a reload: executions run on, in their database.
HELD = frozenset(
    {
        "database.url",
        "database.pool_recycle",
        "artifacts.dir",
        "artifacts.max_size",
        "artifacts.inline_max",
        "workflows.run",
        "workflows.concurrency",
        "workflows.lease",
        "workflows.monitoring",
        "workflows.retention_days",
        "steps.timeout",
        "steps.retries",
        "steps.parallel",
        "steps.progress",
        "steps.tracking",
    }
)
_log = logging.getLogger("steelyard.workflows")


class Workflows:
    """Workflows of one process, loaded or not."""

    def __init__(
        self,
        means: Means,
        records: Records,
        *,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        rng: random.Random,
        metrics: Metrics | None = None,
    ) -> None:
        """Nothing is loaded yet."""
        self._metrics = metrics
        self._means, self._records = means, records
        self._wall, self._monotonic, self._rng = wall, monotonic, rng
        self._service: Service | None = None
        #: By which it was opened.
        self._opened: Settings | None = None
        self._opening = asyncio.Lock()

    async def open_if_needed(self) -> None:
        """Open as soon as there are workflows, so that a process that nobody asks helps to run and takes over.

        By looking now and then: to be woken, a gateway without any would hold a connection for nothing, and would have
        to look all the same.
        """
        await self._records.migrated.wait()
        while self._service is None:
            if await self._there_are_some():
                await self.open()
                return
            await asyncio.sleep(_AGAIN)

    async def _there_are_some(self) -> bool:
        """Whether there are workflows, as far as the database says so in time."""
        look = asyncio.create_task(definitions.exist(self._records.database))
        look.add_done_callback(_seen)
        try:
            # Not awaited itself: when this process stops, a silent database must not keep it waiting for the look.
            done, _ = await asyncio.wait({look}, timeout=_WITHIN)
            return bool(done) and look.exception() is None and look.result()
        finally:
            look.cancel()

    async def open(self) -> Service:
        """The service, started."""
        async with self._opening:
            if self._service is None:
                module = await asyncio.to_thread(import_module, "gateway.workflows.service")
                means = self._means
                self._opened = means.settings
                service: Service = module.Service(
                    means, wall=self._wall, monotonic=self._monotonic, rng=self._rng, metrics=self._metrics
                )
                # Whoever comes first is not whom all that follows is done for.
                await asyncio.create_task(service.start(), context=Context())
                self._service = service
            return self._service

    def go_on_by(self, means: Means, records: Records) -> set[asyncio.Task[Any]]:
        """From now on by these means, which a reload of the settings has made; the steps that still use the old."""
        old, self._means, self._records = self._means, means, records
        if self._service is not None:
            self._service.means = means
        return old.users

    @property
    def waiting(self) -> list[str]:
        """Settings that differ from those by which executions run, and wait for the next start of the process."""
        if self._opened is None:
            return []
        return [name for name in changed(self._opened, self._means.settings) if name in HELD]

    @property
    def pool(self) -> PoolState | None:
        """How the pool of its database stands; None while nothing is loaded."""
        return None if self._service is None else self._service.database.pooled.state()

    async def health(self) -> dict[str, Any] | None:
        """How executions go; None while nothing is loaded."""
        if self._service is None:
            return None
        try:
            going = await self._service.going()
        except StoreUnavailable as exc:
            return {"status": "degraded", "error": str(exc)}
        # Where executions wait and nobody is there to run them, something is missing.
        stuck = going.pending and not going.executors
        return {"status": "degraded" if stuck else "healthy", **to_builtins(going)}

    async def stop(self) -> None:
        """Run nothing more."""
        if self._service is not None:
            await self._service.stop()


def _seen(look: asyncio.Task[bool]) -> None:
    """A database that is away says nothing; a defect is told."""
    if not look.cancelled() and not isinstance(look.exception(), StoreUnavailable | None):
        _log.error("workflows were not looked for", exc_info=look.exception())
