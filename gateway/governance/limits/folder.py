"""Counts that the workers of one machine share: a file that all of them map, and a lock that each has for some 20 µs.

    counts      how many records and workers there are, and how often records were moved; then the records: whose, the
                ring of `Minute`, and how many run in each worker
    lock        flock'd while somebody counts; the kernel takes it from the dead
    worker-<n>  flock'd by the n-th worker for as long as it lives: what runs in a dead one is dropped when it matters

A worker that is killed amid counting leaves at worst a request that some limiters count and others do not: sums are
made anew each time. One that is stopped with the lock in hand costs each other a wait of 50 ms now and then; they count
alone meanwhile.

Why a file and not a process that counts for all: no trip, no turn of the event loop, nobody whose death would matter.
Clocks are the machine's monotonic one, which all its processes have in common.

Limits: one machine; `RECORDS` limiters within a minute, 2.6 kB each and on disk only once they are used. When all are
taken, those of idle ones are given up; when none is, each worker counts alone. The folder goes with the workers.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import mmap
import os
import struct
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from msgspec import Struct

from cache import Outage
from gateway.governance.limits.backend import Grant, Verdict
from gateway.governance.limits.memory import MemoryBackend
from gateway.governance.limits.window import RING, Limiter, Minute, Need, refusal

_log = logging.getLogger("steelyard.limits")
#: Limiters there may be at a time. Doubled: to give up idle ones takes twice the 0.2 s, when ever that comes.
RECORDS = 16_384
#: Workers: twice as many as the settings allow, since old and new ones live side by side during a reload.
WORKERS = 512
_NAME, _COLUMN, _RUNNING = 32, 8 * RING, 2 * WORKERS
_RECORD = _NAME + 3 * _COLUMN + _RUNNING
_HEAD = struct.Struct("=qqq")
_BEGIN = 64
#: Seconds between two tries of a lock that another has, and tries. Together they are the wait for one who is stopped.
_PAUSE, _TRIES = 0.001, 50
#: Most that a worker's share of those who run can be told as.
_FULL = 2**16 - 1


class _Record(Struct, eq=False):
    minute: Minute
    running: memoryview


class FolderBackend:
    """See the module."""

    name = "folder"

    def __init__(self, folder: Path, *, clock: Callable[[], float]) -> None:
        """Count in a folder within `folder`, which must exist; `clock` is that of all its processes, in seconds."""
        self._folder = folder / "limits"
        self._clock = clock
        self._here = MemoryBackend(clock=clock)
        self._outage = Outage(clock)
        self._records: dict[str, _Record] = {}
        #: By hash of the limiter's id: its record's number.
        self._numbers: dict[bytes, int] = {}
        #: Ended while another had the lock.
        self._owed: list[tuple[Grant, int]] = []
        self._paying: asyncio.TimerHandle | None = None
        self._slot: int | None = None
        self._moves = 0
        self._worker = -1
        self._folder.mkdir(exist_ok=True)
        self._lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        self._file = os.open(self._folder / "counts", os.O_RDWR | os.O_CREAT, 0o600)
        size = _BEGIN + RECORDS * _RECORD
        # Of whatever length others have made it; it is this one.
        os.ftruncate(self._file, size)
        self._map = mmap.mmap(self._file, size)

    @property
    def alone(self) -> bool:
        """See `Backend`."""
        return self._outage.on

    async def take(self, need: Need) -> Verdict:
        """See `Backend`."""
        if self._outage.may_ask():
            for _ in range(_TRIES):
                if self._locked():
                    return self._judge_and_unlock(need)
                await asyncio.sleep(_PAUSE)
            self._failed("another worker does not let go of the lock")
        return self._by_ourselves(need)

    def settle(self, grant: Grant, tokens: int) -> None:
        """See `Backend`."""
        if grant.alone:
            self._here.settle(grant, tokens)
            return
        self._owed.append((grant, tokens))
        if self._paying is None:
            self._pay()

    async def close(self) -> None:
        """Give the place among the workers back."""
        for _ in range(_TRIES):
            if not self._owed:
                break
            self._pay()
            await asyncio.sleep(0)
        if self._paying is not None:
            self._paying.cancel()
        for handle in (self._lock, self._file, self._worker):
            if handle >= 0:
                os.close(handle)
        # Views of the map are still about; it goes with the last of them.
        self._lock = self._file = self._worker = -1

    # With the lock

    def _locked(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(self) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _pay(self) -> None:
        """Set right what has ended, unless another counts: then in a moment, all of it at once."""
        if self._paying is not None:
            self._paying.cancel()
            self._paying = None
        if self._lock < 0:
            return
        if not self._locked():
            self._paying = asyncio.get_running_loop().call_later(_PAUSE, self._pay)
            return
        try:
            self._follow()
            self._correct()
        except OSError as exc:
            self._failed(exc.strerror or type(exc).__name__)
        finally:
            self._unlock()

    def _judge_and_unlock(self, need: Need) -> Verdict:
        try:
            self._follow()
            slot = self._enter() if self._slot is None else self._slot
            self._correct()
            records = self._all(need)
            verdict = self._judge(need, records, slot)
        except OSError as exc:
            # The disk is full, or the table.
            self._failed(exc.strerror or type(exc).__name__)
            return self._by_ourselves(need)
        finally:
            self._unlock()
        if self._outage.answered():
            _log.info("workers count together again")
        return verdict

    def _judge(self, need: Need, records: list[_Record], slot: int) -> Verdict:
        now = self._clock()
        second = int(now)
        workers = self._head()[1]
        for record in records:
            record.minute.running = sum(record.running[:workers])
        pairs = list(zip(need.limiters, records, strict=True))
        for limiter, record in pairs:
            most = limiter.rates.concurrency
            if most is not None and record.minute.running >= most:
                self._bury(record, workers, slot)
        states = [record.minute.look(limiter.rates, need.tokens, second) for limiter, record in pairs]
        refused = refusal(need.limiters, states, now)
        if refused is not None:
            return Verdict(states, now, refusal=refused)
        for record in records:
            record.minute.add(second, 1, need.tokens)
            record.running[slot] = min(_FULL, record.running[slot] + 1)
        return Verdict(states, now, grant=Grant(need, second))

    def _correct(self) -> None:
        owed, self._owed = self._owed, []
        second, slot = int(self._clock()), self._slot
        for grant, tokens in owed:
            for limiter in grant.need.limiters:
                record = self._record(limiter)
                record.minute.correct(grant.second, second, tokens - grant.need.tokens)
                if slot is not None:
                    record.running[slot] = max(0, record.running[slot] - 1)

    def _bury(self, record: _Record, workers: int, slot: int) -> None:
        """Drop what runs in workers that live no more."""
        for other in range(workers):
            if other != slot and record.running[other]:
                handle = os.open(self._folder / f"worker-{other}", os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    record.running[other] = 0
                except BlockingIOError:
                    pass
                finally:
                    os.close(handle)
        record.minute.running = sum(record.running[:workers])

    def _enter(self) -> int:
        """A place among the workers. Raises `OSError` when there is none."""
        # As with a record, below.
        os.pwrite(self._file, os.pread(self._file, _BEGIN, 0), 0)
        for slot in range(WORKERS):
            handle = os.open(self._folder / f"worker-{slot}", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                continue
            self._worker, self._slot = handle, slot
            records, workers, moves = self._head()
            for number in range(records):
                self._view(number, _NAME + 3 * _COLUMN, _RUNNING, "H")[slot] = 0
            _HEAD.pack_into(self._map, 0, records, max(workers, slot + 1), moves)
            return slot
        raise OSError(errno.EUSERS, "more workers than places")

    def _all(self, need: Need) -> list[_Record]:
        """The records of a request's limiters. Raises `OSError` when there is no room for all of them."""
        for _ in range(3):
            moves = self._moves
            records = [self._record(limiter) for limiter in need.limiters]
            if moves == self._moves:
                return records
            # To make room for one, those before it may have been moved.
        raise OSError(errno.ENOSPC, "more limiters than records")

    def _record(self, limiter: Limiter) -> _Record:
        found = self._records.get(limiter.id)
        if found is None:
            found = self._records[limiter.id] = self._opened(self._number(limiter.id))
        return found

    def _number(self, limiter: str) -> int:
        """The number of a limiter's record, which is there then. Raises `OSError` when there is no room."""
        name = blake2b(limiter.encode(), digest_size=_NAME).digest()
        self._learn()
        if name not in self._numbers:
            if self._head()[0] == RECORDS:
                self._give_up_idle()
            records, workers, moves = self._head()
            # Written and not mapped, so that a full disk is an error and not a signal.
            os.pwrite(self._file, name + bytes(_RECORD - _NAME), _BEGIN + records * _RECORD)
            _HEAD.pack_into(self._map, 0, records + 1, workers, moves)
            self._numbers[name] = records
        return self._numbers[name]

    def _learn(self) -> None:
        """Whose records have come."""
        for number in range(len(self._numbers), self._head()[0]):
            self._numbers[bytes(self._view(number, 0, _NAME, "B"))] = number

    def _give_up_idle(self) -> None:
        """Move those together that still count. Raises `OSError` when all do."""
        second, kept = int(self._clock()), 0
        records, workers, moves = self._head()
        for number in range(records):
            record = self._opened(number)
            if any(record.running) or not record.minute.idle(second):
                self._view(kept, 0, _RECORD, "B")[:] = self._view(number, 0, _RECORD, "B")
                kept += 1
        if kept == records:
            raise OSError(errno.ENOSPC, "more limiters than records")
        _HEAD.pack_into(self._map, 0, kept, workers, moves + 1)
        self._follow()
        self._learn()

    def _follow(self) -> None:
        """Forget where records were, when some have moved since."""
        moves = self._head()[2]
        if moves != self._moves:
            self._moves = moves
            self._records.clear()
            self._numbers.clear()

    def _opened(self, number: int) -> _Record:
        columns = [self._view(number, _NAME + place * _COLUMN, _COLUMN, "q") for place in range(3)]
        return _Record(Minute(*columns), self._view(number, _NAME + 3 * _COLUMN, _RUNNING, "H"))

    def _view(self, number: int, offset: int, size: int, kind: Literal["B", "H", "q"]) -> memoryview:
        begin = _BEGIN + number * _RECORD + offset
        return memoryview(self._map)[begin : begin + size].cast(kind)

    def _head(self) -> tuple[int, int, int]:
        """How many records there are, places of workers that were ever taken, and how often records were moved."""
        records, workers, moves = _HEAD.unpack_from(self._map, 0)
        return records, workers, moves

    def _failed(self, why: str) -> None:
        if self._outage.failed():
            _log.warning("this worker counts alone", extra={"error": why})

    def _by_ourselves(self, need: Need) -> Verdict:
        verdict = self._here.judge(need)
        if verdict.grant is not None:
            verdict.grant.alone = True
        return verdict
