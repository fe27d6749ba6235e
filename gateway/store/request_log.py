"""The request log's durable path: a row that was accepted reaches the database, though not always at once.

    offer ─► queue + journal ─► writer ─► database              every `flush_seconds`, or `batch_rows`
               │ full       ▲     │ away or silent
               │            └─ ─ ─┤ no room there either
               └──────► spill ◄───┘ ─► recovery ─► database, when it takes rows again

Law: `offer` neither waits nor raises, and returns False for a row that will not be kept, which is then counted. At any
moment each accepted row is in the database, in the spill, or in memory and the journal: for `flush_seconds` and the
write under way, which takes milliseconds; with a server that hangs, `write_deadline`; with a merely slow one, at most
four of them. So much is lost when the machine loses its power; nothing by a `kill -9`, since whoever starts next or
runs beside it takes over journal and spill; and nothing by a database that is away, hangs or comes back. Writing is
idempotent, so whatever is in doubt is written again. A row the database cannot take is set apart, counted, and its
reason logged; it never holds up the others.

While neither database nor spill takes them (a full disk, an unwritable folder, the spill's limit), rows stay in memory;
when that is full, too, further ones are lost, visibly: `dropped` and `last_error`. `offer` belongs to the event loop's
thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.log_limits import LogLimits, LogStats
from gateway.store.packing import unpacked
from gateway.store.record import ExchangeRecord, Poison
from gateway.store.spill import Spill, read_segment
from gateway.store.writers import Made
from gateway.store.writing import Lane

__all__ = ["LogLimits", "LogStats", "RequestLog"]

_log = logging.getLogger("steelyard.request_log")


class RequestLog:
    """The log of one process."""

    def __init__(self, database: Database, spill: Path, limits: LogLimits | None = None) -> None:
        """Log to `database`, and to the folder `spill` while it is away. Nothing is touched before `start`."""
        self._limits = limits or LogLimits()
        self._spill = Spill(spill, max_bytes=self._limits.spill_bytes, segment_bytes=self._limits.segment_bytes)
        self._describe = database.describe
        deadline = self._limits.write_deadline
        self._live, self._back = Lane(database, deadline=deadline), Lane(database, deadline=deadline)
        self._queue: deque[Made] = deque()
        self._queue_bytes = 0
        self._taken: list[Made] = []
        self._away = False
        #: Neither database nor spill takes rows: they stay in memory, and in the journals, which are not turned.
        self._stuck = False
        self._open = False
        self._first, self._full, self._progress = asyncio.Event(), asyncio.Event(), asyncio.Event()
        #: Rows that were ever in the queue, and how many of them have left memory, in the same order.
        self._queued = self._settled = 0
        self._recover, self._relieved = asyncio.Event(), asyncio.Event()
        #: Before the next look at a database that is away; grows until it has taken rows.
        self._pause = self._limits.probe_first
        self._writer: asyncio.Task[None] | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._journal_fails = False
        self._written = self._spilled = self._replayed = self._dropped = 0
        self._last_error: str | None = None

    async def start(self) -> None:
        """Take over what dead processes left in the spill, and begin to write. Works with the database away."""
        try:
            await asyncio.to_thread(self._spill.open)
        except OSError as exc:
            self._note("the spill cannot be used: rows will be lost while the database is away", exc)
        self._open = True
        self._recover.set()
        self._writer = asyncio.create_task(self._write_forever(), name="request-log-writer")
        self._recovery = asyncio.create_task(self._recover_forever(), name="request-log-recovery")
        for task in (self._writer, self._recovery):
            task.add_done_callback(self._ended)

    def offer(self, record: ExchangeRecord) -> bool:
        """Take a row. True: it will be in the log. False: it is lost, and counted."""
        if not self._open:
            return self._drop(1, "the request log is closed")
        made = self._live.make(record)
        if isinstance(made, Poison):
            self._set_apart([made])
            return False
        if len(self._queue) >= self._limits.queue_rows or self._queue_bytes + made.size > self._limits.queue_bytes:
            return self._overflow(made)
        self._journalled(made.payload)
        self._queue.append(made)
        self._queue_bytes += made.size
        self._queued += 1
        waiting = len(self._queue)
        if waiting == 1:
            self._first.set()
        if waiting >= self._limits.batch_rows:
            self._full.set()
        return True

    async def flush(self) -> None:
        """Return when every row offered so far is in the database or on the disk, or neither takes it for now."""
        wanted = self._queued
        self._full.set()
        while self._settled < wanted and not self._stuck:
            await self._progress.wait()

    async def inherit(self) -> bool:
        """Take over now what processes that share the spill and have died left; whether all of it is written."""
        await self._adopt()
        self._recover.set()
        try:
            return not await asyncio.to_thread(self._spill.bequeathed)
        except OSError:
            return False

    def stats(self) -> LogStats:
        """How it stands."""
        return LogStats(
            queue=len(self._queue) + len(self._taken),
            capacity=self._limits.queue_rows,
            written=self._written,
            spilled=self._spilled,
            replayed=self._replayed,
            dropped=self._dropped,
            spill_bytes=self._spill.bytes,
            spill_segments=self._spill.segments,
            database="away" if self._away else "up",
            last_error=self._last_error,
        )

    async def close(self, within: float = 10.0) -> None:
        """Refuse further rows, and put those in memory into the database, or after `within` seconds on the disk."""
        self._open = False
        self._first.set()
        self._full.set()
        tasks = [task for task in (self._writer, self._recovery) if task is not None]
        if self._recovery is not None:
            self._recovery.cancel()
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=within)
            self._writer.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        left = [*self._taken, *self._queue]
        self._taken, self._queue = [], deque()
        if await self._keep(left):
            self._cleared(everything=True)
        else:
            self._drop(len(left), self._last_error or "no room")
        await asyncio.gather(self._live.close(), self._back.close())
        try:
            await asyncio.to_thread(self._spill.close)
        except OSError as exc:
            self._note("the spill could not be closed cleanly", exc)
        self._settle(self._queued)

    async def _write_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while self._open or self._queue:
            if not self._queue:
                self._first.clear()
                await self._first.wait()
                continue
            if self._stuck:
                self._relieved.clear()
                await _until(self._relieved, self._limits.probe_first)
            elif len(self._queue) < self._limits.batch_rows and self._open:
                await _until(self._full, self._limits.flush_seconds)
            self._full.clear()
            # What has gathered by now shares one deadline, or a server that is merely slow could keep a long queue in
            # memory for minutes, one batch in time after another.
            gathered, until = len(self._queue), loop.time() + self._limits.write_deadline
            if self._spill.journal is not None and not self._stuck:
                self._spill.journal.turn()
            # Not beyond: what came since is in the other journal.
            while gathered > 0 and (rows := await self._write_some(gathered, until)):
                gathered -= rows
            if not self._stuck:
                self._cleared()

    async def _write_some(self, most: int, until: float) -> int:
        """Take a batch off the queue and keep it: how many rows; none, and they are back, when nobody takes them."""
        self._take(most)
        rows = len(self._taken)
        self._stuck = not await self._put(self._taken, until)
        if self._stuck:
            self._queue.extendleft(reversed(self._taken))
            self._queue_bytes += sum(made.size for made in self._taken)
            self._taken = []
            self._settle(self._settled)
            return 0
        self._taken = []
        self._settle(self._settled + rows)
        return rows

    def _settle(self, rows: int) -> None:
        self._settled = rows
        waited_for, self._progress = self._progress, asyncio.Event()
        waited_for.set()

    def _journalled(self, payload: bytes) -> None:
        """Put a row where it outlives the process. A disk that takes none leaves it in memory, where it always was."""
        journal = self._spill.journal
        if journal is None:
            return
        try:
            journal.append(payload)
        except OSError as exc:
            if not self._journal_fails:
                self._note("rows in memory are not on the disk as well: a crash would lose them", exc)
            self._journal_fails = True
        else:
            self._journal_fails = False

    def _cleared(self, *, everything: bool = False) -> None:
        """The journal's rows are in the database or in the spill."""
        journal = self._spill.journal
        if journal is not None:
            try:
                journal.clear_all() if everything else journal.clear()
            except OSError as exc:
                self._note("the journal cannot be emptied: rows will be written twice, and be there once", exc)

    def _take(self, most: int) -> None:
        """Move one batch from the queue to `_taken`, where `close` finds it should the write be cut off."""
        size, most = 0, min(most, self._limits.batch_rows)
        while self._queue and len(self._taken) < most and size < self._limits.batch_bytes:
            made = self._queue.popleft()
            size += made.size
            self._taken.append(made)
        self._queue_bytes = self._queue_bytes - size if self._queue else 0

    async def _put(self, batch: Sequence[Made], until: float) -> bool:
        """Write a batch to the database, else to the disk. False: neither takes it."""
        if not self._away and asyncio.get_running_loop().time() < until:
            try:
                poison = await self._live.write(batch, until=until + self._limits.write_deadline)
            except StoreUnavailable as exc:
                self._lose(exc)
            else:
                self._set_apart(poison)
                self._written += len(batch) - len(poison)
                self._pause = self._limits.probe_first
                batch = ()
        return await self._keep(batch)

    async def _keep(self, batch: Sequence[Made]) -> bool:
        """Put rows on the disk, and make sure of whatever `offer` appended there since the last time. Did it work?"""
        kept = True
        if batch:
            try:
                await asyncio.to_thread(self._spill.append, [one.payload for one in batch])
            except OSError as exc:
                kept = False
                if not self._stuck:
                    self._note("neither the database nor the disk takes rows: they stay in memory", exc)
                self._last_error = self._describe(exc)
            else:
                self._kept(len(batch))
        if self._spill.dirty:
            try:
                await asyncio.to_thread(self._spill.sync)
            except OSError as exc:
                self._note("the spill is written but not synced", exc)
        return kept

    def _overflow(self, made: Made) -> bool:
        try:
            self._spill.append([made.payload])
        except OSError as exc:
            return self._drop(1, self._describe(exc))
        self._kept(1)
        return True

    def _kept(self, rows: int) -> None:
        self._spilled += rows
        self._recover.set()

    async def _recover_forever(self) -> None:
        while True:
            if self._away:
                await asyncio.sleep(self._pause)
                self._pause = min(2 * self._pause, self._limits.probe_longest)
                if not await self._answers():
                    continue
            self._recover.clear()
            segment = await asyncio.to_thread(self._spill.oldest)
            # One that answers need not take rows: it may be read-only or full. What waits is the test of that.
            if segment is not None and not await self._replay(segment):
                continue
            if self._away:
                self._away = False
                self._relieved.set()
                _log.info("the database is back")
            if segment is None:
                await _until(self._recover, self._limits.adopt_seconds)
                await self._adopt()

    async def _answers(self) -> bool:
        try:
            await self._back.probe()
        except StoreUnavailable as exc:
            self._last_error = str(exc)
            return False
        return True

    async def _adopt(self) -> None:
        """Take over what has been left by a process that died beside this one."""
        try:
            found = await asyncio.to_thread(self._spill.adopt)
        except OSError as exc:
            self._note("what another process left in the spill cannot be taken over", exc)
        else:
            if found:
                _log.info("took over the rows of a process that is gone", extra={"segments": found})

    async def _replay(self, segment: Path) -> bool:
        """Write what a segment holds, and forget it; False when the database does not take it."""
        try:
            payloads, damaged = await asyncio.to_thread(read_segment, segment)
            for start in range(0, len(payloads), self._limits.batch_rows):
                records, unreadable = unpacked(payloads[start : start + self._limits.batch_rows])
                poison = await self._back.store(records) if records else []
                self._set_apart([*poison, *unreadable])
                self._replayed += len(records) - len(poison)
                self._pause = self._limits.probe_first
            await asyncio.to_thread(self._spill.discard, segment, damaged=damaged)
        except StoreUnavailable as exc:
            self._lose(exc)
            return False
        except OSError as exc:
            self._note("a spill segment cannot be replayed", exc)
            await asyncio.sleep(self._limits.probe_longest)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Tell of a defect that stopped a task; the queue then runs full, and over into the spill."""
        if not task.cancelled() and (defect := task.exception()) is not None:
            self._last_error = self._describe(defect)
            _log.error("the request log's task ended", extra={"task": task.get_name()}, exc_info=defect)

    def _lose(self, exc: StoreUnavailable) -> None:
        if not self._away:
            _log.warning("the database is away: rows go to the spill", extra={"reason": str(exc)})
        self._away = True
        self._last_error = str(exc)
        self._recover.set()

    def _set_apart(self, poison: Sequence[Poison]) -> None:
        for identity, error in poison:
            reason = self._describe(error)
            self._drop(1, reason)
            _log.error("a row no table takes was left out of the log", extra={"request_id": identity, "reason": reason})

    def _drop(self, rows: int, reason: str) -> Literal[False]:
        if self._dropped == 0:
            _log.error("the request log loses rows", extra={"reason": reason})
        self._dropped += rows
        self._last_error = reason
        return False

    def _note(self, what: str, exc: OSError) -> None:
        self._last_error = self._describe(exc)
        _log.error(what, extra={"reason": self._last_error})


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return  # the interval is over: what has come goes out
