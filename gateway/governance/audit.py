"""The audit log as the gateway sees it: acts in, pages out.

Law: an act that changes the database stands in the same transaction (`Act` goes along to the store). One that changes
nothing there, a cleared cache or other settings, is written right after it was done; while the database is away it
waits here, and stands in the process's log at once, so that nobody who takes the database away acts unseen.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from gateway.errors import BadRequest
from gateway.governance.keys import Principal
from gateway.identity import new_id
from gateway.settings.shared import SYSTEM
from gateway.store import audit
from gateway.store.audit import Act, Acts, Wanted
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable

__all__ = ["SYSTEM", "Act", "Acts", "Audit", "Wanted"]

#: Acts that wait for the database; older ones then stand in the process's log alone.
_MOST_WAITING = 1_000
#: Seconds for which whoever acts waits for the entry.
_WITHIN = 2.0
#: Seconds between two tries to write those that wait.
_AGAIN = 2.0
_log = logging.getLogger("steelyard.audit")


class Audit:
    """The log of what administrators do."""

    def __init__(
        self,
        database: Database,
        *,
        wall: Callable[[], float],
        rng: random.Random,
        counted: Callable[[str], None],
    ) -> None:
        """Kept in this database; `counted` hears whether an act was `written`, or has to wait and is `delayed`."""
        self._database, self._wall, self._rng, self._counted = database, wall, rng, counted
        self._waiting: deque[Act] = deque(maxlen=_MOST_WAITING)
        #: Of those, the ids of which the log has said that something is wrong with them.
        self._refused: set[str] = set()
        self._some = asyncio.Event()

    def act(
        self,
        by: Principal | None,
        action: str,
        target: str | None = None,
        *,
        request_id: str | None = None,
        address: str | None = None,
    ) -> Act:
        """An act of a caller, or of nobody's: to be completed, and to be kept with what it does."""
        now = self._wall()
        return Act(
            id=new_id("act", now, self._rng),
            at=now,
            actor=SYSTEM if by is None else by.name,
            key_id=None if by is None else by.id,
            action=action,
            target=target,
            request_id=request_id,
            address=address,
        )

    async def record(self, act: Act) -> None:
        """Keep an act that has no transaction; it was done already. Returns soon, and never raises."""
        writing = asyncio.create_task(audit.add(self._database, [act]))
        try:
            done, _ = await asyncio.wait({writing}, timeout=_WITHIN)
        except asyncio.CancelledError:
            # Nobody is here to see how it ends.
            writing.add_done_callback(_seen)
            self.remember(act, "whoever acted has gone")
            raise
        if not done:
            # Not cancelled: a silent server would be waited for. What is kept twice is kept once.
            writing.add_done_callback(_seen)
            self.remember(act, "the database is silent")
        elif (problem := writing.exception()) is not None:
            if not isinstance(problem, StoreUnavailable):
                self._was_refused(act, problem)
            self.remember(act, str(problem))
        else:
            self._counted("written")

    def remember(self, act: Act, why: str | None = None) -> None:
        """Keep an act as soon as the database can; tell it to the process's log at once if there is a reason."""
        if why is not None:
            _log.warning("an act waits for the database", extra={"act": msgspec.to_builtins(act), "why": why})
            self._counted("delayed")
        self._waiting.append(act)
        self._some.set()

    async def keep(self) -> None:
        """Write what waits, now and then until cancelled."""
        while True:
            await self._some.wait()
            if not await self.flush():
                await asyncio.sleep(_AGAIN)

    async def flush(self) -> bool:
        """Write what waits; whether that went. What no database would take stays, and holds up no other."""
        waiting = list(self._waiting)
        try:
            if waiting:
                await audit.add(self._database, waiting)
        except StoreUnavailable:
            return False
        except Exception as exc:  # noqa: BLE001 - whatever one act meets must not end the writing of all
            if len(waiting) > 1:
                return await self._flush_each(waiting)
            self._put_back(waiting[0], exc)
            return False
        for act in waiting:
            self._is_written(act)
        if not self._waiting:
            self._some.clear()
        return True

    async def _flush_each(self, waiting: list[Act]) -> bool:
        """Write one after the other until one is refused, which is tried again after all others."""
        for act in waiting:
            try:
                await audit.add(self._database, [act])
            except StoreUnavailable:
                return False
            except Exception as exc:  # noqa: BLE001 - as above
                self._put_back(act, exc)
                return False
            self._is_written(act)
        return True

    def _is_written(self, act: Act) -> None:
        # Meanwhile others may have come, and have pushed out the oldest.
        if self._waiting and self._waiting[0] is act:
            self._waiting.popleft()
        self._refused.discard(act.id)
        self._counted("written")

    def _put_back(self, act: Act, why: BaseException) -> None:
        self._was_refused(act, why)
        if self._waiting and self._waiting[0] is act:
            self._waiting.rotate(-1)

    def _was_refused(self, act: Act, why: BaseException) -> None:
        """Say so once, however often it is tried."""
        if act.id not in self._refused:
            self._refused &= {one.id for one in self._waiting}
            self._refused.add(act.id)
            _log.error("an act was not written", extra={"act": msgspec.to_builtins(act)}, exc_info=why)

    async def leave(self) -> None:
        """Write what waits, if the database takes it soon: the process ends."""
        if self._waiting:
            writing = asyncio.create_task(self.flush())
            writing.add_done_callback(_seen)
            await asyncio.wait({writing}, timeout=_WITHIN)

    async def listed(self, wanted: Wanted, *, cursor: str | None, limit: int) -> Acts:
        """A page of acts, newest first. Raises `BadRequest` for a cursor that no page gave."""
        try:
            return await audit.listed(self._database, wanted, cursor=cursor, limit=limit)
        except ValueError as exc:
            raise BadRequest(f"The cursor is {exc}. Use 'next_cursor' of the page before.", param="cursor") from exc


def reloaded(changed: list[str], now: float, rng: random.Random) -> Act:
    """Somebody had the settings read again, by a signal. Kept by several workers, it is there once."""
    return Act(id=new_id("act", now, rng), at=now, actor=SYSTEM, action="settings.reload", after={"changed": changed})


def _seen(writing: asyncio.Task[Any]) -> None:
    """It came too late to be of interest, whatever became of it."""
    if not writing.cancelled():
        writing.exception()
