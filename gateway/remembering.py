"""What is forgotten by, kept in the database: who starts with a wrong clock goes on from what was reckoned."""

from __future__ import annotations

from collections.abc import Callable

from gateway.reckoning import Reckoning
from gateway.store import reckoned
from gateway.store.engine import Database

#: Seconds between two writings. A gateway that is off for less than an hour less these is not doubted when it starts.
KEPT_EVERY = 600.0


class Remembering:
    """Unix seconds to forget by, over restarts."""

    def __init__(self, database: Database, *, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        """Before the first `look`, nothing is old."""
        self._database, self._monotonic = database, monotonic
        self._reckoning = Reckoning(wall=wall, monotonic=monotonic)
        self._kept: float | None = None

    def now(self) -> float:
        """Unix seconds; 0.0 before the first `look`."""
        return self._reckoning.now()

    async def look(self) -> float:
        """Unix seconds, and every now and then they are written down.

        Raises:
            StoreUnavailable: the database is away.
        """
        if not self._reckoning.begun:
            self._reckoning.begin(await reckoned.last(self._database))
        now, passed = self._reckoning.now(), self._monotonic()
        if self._kept is None or passed >= self._kept + KEPT_EVERY:
            await reckoned.keep(self._database, now)
            self._kept = passed
        return now
