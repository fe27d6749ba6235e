"""What must happen without anybody asking: a process says that it lives, and looks after what others have left.

    beat       this process lives
    adopt      what processes ran that are silent for a lease, or known to have ended, is queued anew
    sweep      attempts that nobody has begun are queued again, and who waits for what has ended is told, since a
               process may die between its two writes
    expire     deadlines and approvals that have passed
    forget     executions that ended long ago, with their files, and what the engine still has of those that have just
               ended
    tidy       files that no execution knows: their step did not succeed, or a process died before it could delete them
    count      those that have not ended, for the metrics

The clock of the beats is the database's, so that machines need not agree on the time. Road not taken: beating from a
thread. A loop that does nothing for a lease serves nobody either, and what it still writes after a takeover is refused.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

from gateway.metrics import Metrics
from gateway.records import StoreUnavailable
from gateway.remembering import Remembering
from gateway.store.engine import Database
from gateway.store.workflows import artifacts, attempts, executions, executors, forgetting, steps, stopping
from gateway.workflows.attempt import OVERDUE
from gateway.workflows.desk import Desk
from gateway.workflows.files import Files
from gateway.workflows.neighbours import PLACE, gone
from gateway.workflows.tallying import Tally

_log = logging.getLogger("steelyard.workflows")
#: Beats in a lease. Doubled, the database hears twice as often; halved, one lost beat is half of a lease.
_BEATS = 6
#: Longest time between two looks at what others have left, in seconds, however long the lease, unless the settings say
#: so: who leaves in good order says so, and is followed by then.
_LOOK_EVERY = 5.0
#: Seconds after which an attempt that nobody began is queued again.
_STALE = 30.0
#: Seconds within which the database hears that this process ends, or never. Doubled, a kind stop beside a silent one
#: takes as much longer; halved, one that is only busy takes a lease to find out.
_LEAVE_WITHIN = 2.0
#: Seconds between two looks at what is too old.
_FORGET_EVERY = 3_600.0
#: Seconds after which a file that no execution knows is suspected, and between two looks for such: whoever is about
#: to keep it does so within a second, unless the database is away, and while it is nobody looks.
_TIDY_EVERY = 3_600.0
_DAY = 86_400.0


class Keeper:
    """Looks after executions, for as long as `run` does."""

    def __init__(
        self,
        database: Database,
        desk: Desk,
        files: Files,
        *,
        executor_id: str,
        lease: float,
        keep_days: int | None,
        adopt: Callable[[list[str]], Awaitable[None]],
        drop: Callable[[float], Awaitable[None]],
        wall: Callable[[], float],
        remembering: Remembering,
        interval: float = _LOOK_EVERY,
        tally: Tally | None = None,
    ) -> None:
        """`lease` and `interval`, the longest time between two looks, in seconds.

        `adopt` is told of processes that are dead, `drop` since when ended attempts count; things age by `remembering`.
        """
        self._interval = min(lease / _BEATS, interval)
        self._tally = tally or Tally(Metrics(), wall=wall)
        self._database = database
        self._desk = desk
        self._files = files
        self._me = executor_id
        self._lease = lease
        self._keep_days = keep_days
        self._adopt = adopt
        self._drop = drop
        self._wall = wall
        self._remembering = remembering
        self._forgot_at = self._tidied_at = 0.0
        self._suspected = set[str]()
        # At first none: what was begun while nobody ran anything has waited long enough.
        self._patience = 0.0

    async def beat(self) -> None:
        """Say that this process lives, until cancelled."""
        while True:
            await guarded(self._say)
            await asyncio.sleep(self._lease / _BEATS)

    async def look_after(self) -> None:
        """All the rest, until cancelled."""
        while True:
            for work in (self._adopt_orphans, self._sweep, self._expire, self._forget):
                await guarded(work)
            await asyncio.sleep(self._interval)

    async def tidy(self) -> None:
        """Look at the files, until cancelled. Apart from the rest: where there are many, no takeover waits for it."""
        while True:
            await guarded(self._tidy)
            await asyncio.sleep(_LOOK_EVERY)

    async def leave(self) -> None:
        """Say that it ends: others take over at once; a silent database is not waited for, and finds it dead."""
        saying = asyncio.create_task(guarded(lambda: executors.leave(self._database, self._me)))
        await asyncio.wait({saying}, timeout=_LEAVE_WITHIN)

    async def _say(self) -> None:
        await executors.beat(self._database, self._me, host=PLACE, pid=os.getpid())

    async def _adopt_orphans(self) -> None:
        for one in await executors.listed(self._database):
            if gone(one.host, one.pid):
                await executors.leave(self._database, one.id)
        dead = await executors.dead(self._database, self._lease, me=self._me)
        if dead:
            _log.warning("taking over what dead processes ran", extra={"executors": dead})
            await self._adopt(dead)
            self._tally.taken_over(processes=len(dead))
            await executors.remove(self._database, dead)

    async def _sweep(self) -> None:
        queued = await self._desk.queue_stale(self._wall() - self._patience)
        self._patience = _STALE
        if queued:
            self._tally.taken_over(attempts=queued)
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
        execution = await executions.facts(self._database, execution_id)
        if execution is not None:
            self._tally.ended(execution, "failed")
            await self._desk.ended(execution)

    async def _forget(self) -> None:
        now = await self._remembering.look()
        if abs(now - self._forgot_at) < _FORGET_EVERY:
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
                await self._delete(path)

    async def _tidy(self) -> None:
        """Delete what nobody knew at two looks: what is to be known by then is, however long the database was away."""
        now = self._wall()
        if abs(now - self._tidied_at) < _TIDY_EVERY:
            return
        self._tidied_at = now
        unknown = set[str]()
        with suppress(OSError):  # of the folder, which the next who writes into it will complain of
            async for paths in self._files.old(now - _TIDY_EVERY):
                named = {path: path.rpartition("/")[2] for path in paths}
                known = await artifacts.known(self._database, named.values())
                unknown |= {path for path, name in named.items() if name not in known}
        for path in unknown & self._suspected:
            await self._delete(path)
        self._suspected = unknown

    async def _delete(self, path: str) -> None:
        try:
            await self._files.delete(path)
        except OSError as exc:
            _log.warning("a file of an execution was not deleted", extra={"path": path, "error": str(exc)})


async def guarded(work: Callable[[], Awaitable[None]]) -> None:
    """A database that is away is looked for again; a defect in one chore must not end the others."""
    try:
        await work()
    except StoreUnavailable as exc:
        _log.warning("executions are not looked after", extra={"error": str(exc)})
    except Exception:  # noqa: BLE001 - see above
        _log.exception("executions are not looked after")
