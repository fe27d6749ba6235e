"""What a place for answers must do. Every store passes the same tests.

Law: a store never fails its caller. What it cannot read is a miss, what it cannot write is lost, and both are counted.
"""

from __future__ import annotations

from enum import Enum
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

    async def forget(self, prefix: str = "") -> None:
        """Another process has cleared what is shared: drop what this process holds besides."""
        ...

    async def ping(self) -> bool:
        """Does it work right now?"""
        ...

    def stats(self) -> CacheStats:
        """The counts."""
        ...

    def tiers(self) -> dict[str, int]:
        """The hits by where they were found."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


class Claim(Enum):
    """Whose it is to find the answer to a question that nothing is kept for."""

    OURS = "ours"
    THEIRS = "theirs"
    #: Nobody can tell: the place where it is agreed does not answer. One goes on alone.
    UNKNOWN = "unknown"


class Leases(Protocol):
    """How processes agree which of them answers a question, while the others wait: single-flight beyond one process.

    Law: a claim never fails its caller and never waits; whoever dies with one loses it. What is OURS ends with the
    `set` of the answer, which gives it back in the same trip, or with `release`.
    """

    async def claim(self, key: str) -> Claim | bytes:
        """Try to have the question: whose it is, or the answer, when somebody has set it meanwhile."""
        ...

    async def release(self, key: str) -> None:
        """There will be no answer from here; harmless when nothing is held."""
        ...
