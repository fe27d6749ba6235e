"""What a place for answers must do. Every store passes the same tests.

Law: a store never fails its caller. What it cannot read is a miss, what it cannot write is lost, and both are counted.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct


class CacheStats(Struct):
    """Counts since start. `entries` and `bytes` are None where the store cannot tell cheaply."""

    backend: str
    hits: int = 0
    misses: int = 0
    writes: int = 0
    evictions: int = 0
    errors: int = 0
    entries: int | None = None
    bytes: int | None = None
    healthy: bool = True
    last_error: str | None = None


class Store(Protocol):
    """Bytes under keys, for a while."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None when absent, expired or unreadable."""
        ...

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        """Keep the value for `ttl` seconds (> 0)."""
        ...

    async def clear(self, prefix: str = "") -> int:
        """Drop every key that begins with `prefix`; the number dropped. Raises `ConnectionError` when it cannot."""
        ...

    async def ping(self) -> bool:
        """Does it work right now?"""
        ...

    def stats(self) -> CacheStats:
        """The counts."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...
