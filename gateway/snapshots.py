"""What the DWA has learned, kept over restarts: a snapshot now and then, the latest recalled at start.

The age of a snapshot is handed to the DWA, which turns it into uncertainty: yesterday's latency is a hint, not a fact.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from dwa import Balancer
from gateway.records import StoreUnavailable

_log = logging.getLogger("steelyard.dwa")
#: Seconds between snapshots. What a crash forgets is at most this much, and the DWA learns it again in less.
_EVERY = 30.0
#: Seconds a snapshot may take. It is also taken on the way out, where nobody wants to wait for a silent database.
_SAVE_WITHIN = 2.0


class Shelf(Protocol):
    """Where snapshots are kept."""

    @property
    def migrated(self) -> asyncio.Event:
        """Set once the tables are there."""
        ...

    async def save_snapshot(self, state: dict[str, object], weights: dict[str, float], at: float) -> None:
        """Keep one. Raises `StoreUnavailable`."""
        ...

    async def latest_snapshot(self) -> tuple[dict[str, object], float] | None:
        """The newest and its Unix time. Raises `StoreUnavailable`."""
        ...


class Snapshots:
    """Saves and recalls."""

    def __init__(self, balancer: Balancer, shelf: Shelf, *, wall: Callable[[], float]) -> None:
        """Keep what `balancer` knows on `shelf`; `wall` tells Unix seconds."""
        self._balancer = balancer
        self._shelf = shelf
        self._wall = wall

    async def recall(self) -> None:
        """Load the latest, once the tables are there."""
        await self._shelf.migrated.wait()
        try:
            found = await self._shelf.latest_snapshot()
            if found is not None:
                state, at = found
                if any(row.requests for row in self._balancer.stats()):
                    return  # the database came late; what was learned meanwhile is younger
                self._balancer.restore(state, max(0.0, self._wall() - at))
        except (StoreUnavailable, ValueError, KeyError, TypeError, ArithmeticError) as exc:
            # One from another version, or no database: the DWA starts knowing nothing, as on the first day, and not
            # half of what a damaged snapshot says.
            self._balancer.reset()
            _log.warning("no DWA snapshot recalled", extra={"error": type(exc).__name__})

    async def keep(self) -> None:
        """Save again and again, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY)
            await self.save()

    async def save(self) -> None:
        """Save now; a database that is away costs a snapshot and nothing else."""
        stats = self._balancer.stats()
        if not stats or not self._shelf.migrated.is_set():
            return
        try:
            weights = {row.key: row.weight for row in stats}
            async with asyncio.timeout(_SAVE_WITHIN):
                await self._shelf.save_snapshot(self._balancer.snapshot(), weights, self._wall())
        except (StoreUnavailable, TimeoutError) as exc:
            _log.warning("no DWA snapshot saved", extra={"error": str(exc) or "the database did not answer in time"})
