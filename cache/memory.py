"""Answers in this process: least recently used goes first, bounded in bytes.

The clock is handed in, in seconds. Expired entries are dropped when met, and by the bound.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from cache.store import CacheStats

#: Python's own cost of an entry (key, tuple, two objects, dict slot), counted against the bound. Bytes, measured.
_OVERHEAD = 350


class MemoryStore:
    """A bounded dictionary of bytes."""

    def __init__(self, max_bytes: int, *, clock: Callable[[], float]) -> None:
        """Hold at most `max_bytes` of keys, values and their overhead."""
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0
        self._clock = clock
        self._stats = CacheStats("memory")

    async def get(self, key: str) -> bytes | None:
        """The value, or None when absent or expired."""
        entry = self._entries.get(key)
        if entry is not None and entry[0] <= self._clock():
            self._drop(key)
            entry = None
        if entry is None:
            self._stats.misses += 1
            return None
        self._entries.move_to_end(key)
        self._stats.hits += 1
        return entry[1]

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep the value for `ttl` seconds; what is larger than the whole bound is not kept."""
        size = _size(key, value)
        if key in self._entries:
            self._drop(key)
        if size > self._max_bytes:
            return
        self._entries[key] = (self._clock() + ttl, value)
        self._bytes += size
        self._stats.writes += 1
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))
            self._stats.evictions += 1

    async def clear(self, prefix: str = "") -> int:
        """Drop every key that begins with `prefix`."""
        doomed = [key for key in self._entries if key.startswith(prefix)]
        for key in doomed:
            self._drop(key)
        return len(doomed)

    async def forget(self, prefix: str = "") -> None:
        """See `Store`."""
        await self.clear(prefix)

    async def ping(self) -> bool:
        """Memory always works."""
        return True

    def stats(self) -> CacheStats:
        """The counts, with entries and bytes."""
        self._stats.entries = len(self._entries)
        self._stats.bytes = self._bytes
        return self._stats

    def tiers(self) -> dict[str, int]:
        """See `Store`."""
        return {"memory": self._stats.hits}

    async def close(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._bytes = 0

    def _drop(self, key: str) -> None:
        self._bytes -= _size(key, self._entries.pop(key)[1])


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value) + _OVERHEAD
