"""Answers in this process and, for the workers of one machine, in a folder; and which of them finds an answer.

    <folder>/answers/=<key>    the bytes; its time of change is when it expires
    <folder>/claims/=<key>     flock'd by the process that is finding the answer, for as long as it does

Memory is looked into first, so that a hit costs what it costs without other workers; a miss costs an `open` more, some
10 µs. The kernel drops the lock of a dead process: a claim dies with whoever made it, and no clock is asked.

Limits: one machine. The folder holds some `max_bytes`, a little more while workers write at once; what would expire
first goes first. Keys of more than 255 bytes, once quoted, are kept in memory alone, and claimed by everybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from cache.memory import MemoryStore
from cache.store import CacheStats, Claim

#: Share of the bound that a worker writes between two looks at what all have written. Doubled: the folder holds so much
#: more at times; halved: twice the looks, at some 2 µs for each answer kept.
_UNSEEN = 1 / 8
#: Seconds: ten years, beyond which file systems cannot be relied on to tell the time.
_LONGEST = 3e8


class FolderStore:
    """A memory of its own before a folder for all."""

    def __init__(self, memory: MemoryStore, folder: Path, *, max_bytes: int, wall: Callable[[], float]) -> None:
        """Use `folder`, which must exist; `wall` is the clock by which answers expire in it, in Unix seconds."""
        self._memory = memory
        self._answers, self._claims = folder / "answers", folder / "claims"
        for place in (self._answers, self._claims):
            place.mkdir(exist_ok=True)
        self._max_bytes = max_bytes
        self._wall = wall
        self._unseen = 0
        self._held: dict[str, int] = {}
        #: Hits that were not in memory.
        self._beyond = 0

    async def get(self, key: str) -> bytes | None:
        """The value, or None when absent or expired."""
        value = await self._memory.get(key)
        return value if value is not None else await self._found(key)

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep the value for `ttl` seconds, here and for the others; a claim on it is given back."""
        await self._memory.set(key, value, ttl)
        if len(value) <= self._max_bytes:
            try:
                self._write(key, value, self._wall() + min(ttl, _LONGEST))
            except OSError as exc:
                self._failed(exc)
        await self.release(key)
        if self._unseen > self._max_bytes * _UNSEEN:
            self._unseen = 0
            await asyncio.to_thread(self._make_room)

    async def claim(self, key: str) -> Claim | bytes:
        """See `Leases`."""
        try:
            lock = self._locked(self._claims / _name(key))
        except OSError as exc:
            self._failed(exc)
            return Claim.UNKNOWN
        if lock is not None:
            self._held[key] = lock
        # After the lock: whoever answered before it was ours has written the answer before giving it back.
        value = await self._found(key)
        if value is not None:
            await self.release(key)
            return value
        return Claim.THEIRS if lock is None else Claim.OURS

    async def release(self, key: str) -> None:
        """See `Leases`."""
        lock = self._held.pop(key, None)
        if lock is not None:
            with contextlib.suppress(OSError):
                (self._claims / _name(key)).unlink()
            os.close(lock)

    async def clear(self, prefix: str = "") -> int:
        """Drop every key that begins with `prefix`, here and in the folder; the others are told by their own board."""
        return max(await self._memory.clear(prefix), await asyncio.to_thread(self._clear, _name(prefix)))

    async def forget(self, prefix: str = "") -> None:
        """See `Store`."""
        await self._memory.clear(prefix)

    async def ping(self) -> bool:
        """Memory always works."""
        return True

    def stats(self) -> CacheStats:
        """The counts; entries and bytes are those in this process."""
        return self._memory.stats()

    def tiers(self) -> dict[str, int]:
        """See `Store`."""
        return {"memory": self._memory.stats().hits - self._beyond, "folder": self._beyond}

    async def close(self) -> None:
        """Forget everything; the folder is the others' as well."""
        for key in list(self._held):
            await self.release(key)
        await self._memory.close()

    async def _found(self, key: str) -> bytes | None:
        """What another worker has kept; it is kept here as well."""
        try:
            with (self._answers / _name(key)).open("rb", buffering=0) as file:
                left = os.fstat(file.fileno()).st_mtime - self._wall()
                value = file.read() if left > 0 else None
        except FileNotFoundError:
            return None
        except OSError as exc:
            self._failed(exc)
            return None
        if value is not None:
            counts = self._memory.stats()
            writes = counts.writes
            await self._memory.set(key, value, left)
            # All in all it was a hit, and nothing that had to be written.
            self._beyond += 1
            counts.hits, counts.misses, counts.writes = counts.hits + 1, counts.misses - 1, writes
        return value

    def _write(self, key: str, value: bytes, expires: float) -> None:
        path = self._answers / _name(key)
        fresh = self._claims.with_name(f".{os.getpid()}")  # of one worker, which writes one at a time
        fresh.write_bytes(value)
        os.utime(fresh, (expires, expires))
        fresh.rename(path)
        self._unseen += len(value)

    def _locked(self, path: Path) -> int | None:
        """The lock, or None when another has it. Raises `OSError`."""
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.stat(path).st_ino == os.fstat(lock).st_ino:
                    return lock
            except BlockingIOError:
                os.close(lock)
                return None
            except FileNotFoundError:
                pass
            except OSError:
                os.close(lock)
                raise
            # Its holder took it away between our opening and our locking it: this one locks nothing any more.
            os.close(lock)

    def _make_room(self) -> None:
        kept: list[tuple[float, int, str]] = []
        now = self._wall()
        with os.scandir(self._answers) as found:
            for one in found:
                with contextlib.suppress(FileNotFoundError):  # another worker makes room too
                    facts = one.stat()
                    kept.append((facts.st_mtime, facts.st_size, one.path))
        kept.sort()
        total = sum(size for _, size, _ in kept)
        for expires, size, path in kept:
            if expires > now and total <= self._max_bytes:
                return
            total -= size
            Path(path).unlink(missing_ok=True)

    def _clear(self, prefix: str) -> int:
        dropped = 0
        for path in self._answers.iterdir():
            if path.name.startswith(prefix):
                path.unlink(missing_ok=True)
                dropped += 1
        return dropped

    def _failed(self, exc: OSError) -> None:
        counts = self._memory.stats()
        counts.errors += 1
        counts.last_error = type(exc).__name__


def _name(key: str) -> str:
    """A file's name for a key; that of a prefix is a prefix."""
    return "=" + quote(key, safe="", errors="backslashreplace")
