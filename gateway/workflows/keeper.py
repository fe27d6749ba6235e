"""What must happen without anybody asking: a process says that it lives, and looks after what others have left.

    beat       this process lives
    adopt      what processes ran that are silent for a lease is queued anew
    sweep      attempts that nobody has begun are queued again, and who waits for what has ended is told, since a
               process may die between its two writes
    expire     deadlines and approvals that have passed
    forget     executions that ended long ago, and what the engine still has of those that have just ended

The clock of the beats is the database's, so that machines need not agree on the time. Road not taken: beating from a
thread. A loop that does nothing for a lease serves nobody either, and what it still writes after a takeover is refused.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from gateway.records import StoreUnavailable
from gateway.store.engine import Database
from gateway.store.workflows import attempts, executions, executors, forgetting, steps, stopping
from gateway.workflows.attempt import OVERDUE
from gateway.workflows.desk import Desk

_log = logging.getLogger("steelyard.workflows")
#: Beats in a lease. Doubled, the database hears twice as often; halved, one lost beat is half of a lease.
_BEATS = 6
#: Longest time between two looks at what others have left, in seconds, however long the lease: who leaves in good order
#: says so, and is followed by then.
_LOOK_EVERY = 5.0
#: Seconds after which an attempt that nobody began is queued again.
_STALE = 30.0
#: Seconds between two looks at what is too old.
_FORGET_EVERY = 3_600.0
_DAY = 86_400.0


class Keeper:
    """Looks after executions, for as long as `run` does."""

    def __init__(
        self,
        database: Database,
        desk: Desk,
        *,
        executor_id: str,
        lease: float,
        keep_days: int | None,
        adopt: Callable[[list[str]], Awaitable[None]],
        drop: Callable[[float], Awaitable[None]],
        wall: Callable[[], float],
    ) -> None:
        """`lease` in seconds; `adopt` is told of processes that are dead, `drop` since when ended attempts count."""
        self._database = database
        self._desk = desk
        self._me = executor_id
        self._lease = lease
        self._keep_days = keep_days
        self._adopt = adopt
        self._drop = drop
        self._wall = wall
        self._forgot_at = 0.0
        # At first none: what was begun while nobody ran anything has waited long enough.
        self._patience = 0.0

    async def beat(self) -> None:
        """Say that this process lives, until cancelled."""
        while True:
            await self._guarded(self._say)
            await asyncio.sleep(self._lease / _BEATS)

    async def look_after(self) -> None:
        """All the rest, until cancelled."""
        while True:
            for work in (self._adopt_orphans, self._sweep, self._expire, self._forget):
                await self._guarded(work)
            await asyncio.sleep(min(self._lease / _BEATS, _LOOK_EVERY))

    async def leave(self) -> None:
        """Say that it ends: others take over at once."""
        await self._guarded(lambda: executors.leave(self._database, self._me))

    async def _say(self) -> None:
        await executors.beat(self._database, self._me, host=socket.gethostname(), pid=os.getpid())

    async def _adopt_orphans(self) -> None:
        dead = await executors.dead(self._database, self._lease, me=self._me)
        if dead:
            _log.warning("taking over what dead processes ran", extra={"executors": dead})
            await self._adopt(dead)
            await executors.remove(self._database, dead)

    async def _sweep(self) -> None:
        queued = await self._desk.queue_stale(self._wall() - self._patience)
        self._patience = _STALE
        if queued:
            _log.info("attempts were queued again", extra={"attempts": queued})
        for execution_id in await attempts.unaware(self._database):
            await self._desk.wake(execution_id)

    async def _expire(self) -> None:
        now = self._wall()
        for step in await steps.expired(self._database, now=now):
            await self._desk.expire(step)
        for execution_id in await stopping.overdue(self._database, now=now):
            # Of one that runs its attempt sees it by itself.
            if await stopping.give_up(self._database, execution_id, OVERDUE, now=now):
                await self._ended(execution_id)

    async def _ended(self, execution_id: str) -> None:
        """Nobody ran it, so nobody else tells whom it belongs to."""
        execution = await executions.get(self._database, execution_id)
        if execution is not None:
            await self._desk.ended(execution)

    async def _forget(self) -> None:
        now = self._wall()
        if now < self._forgot_at + _FORGET_EVERY:
            return
        self._forgot_at = now
        await self._drop(now - _FORGET_EVERY)
        if self._keep_days is None:
            return
        forgotten = 1
        while forgotten:
            found = await forgetting.forget(self._database, now - self._keep_days * _DAY)
            forgotten = found.executions
            for path in found.paths:
                await asyncio.to_thread(Path(path).unlink, missing_ok=True)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """A database that is away is looked for again; a defect in one chore must not end the others."""
        try:
            await work()
        except StoreUnavailable as exc:
            _log.warning("executions are not looked after", extra={"error": str(exc)})
        except Exception:  # noqa: BLE001 - see above
            _log.exception("executions are not looked after")
