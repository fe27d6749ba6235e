"""Where a gateway counts: with all replicas, with all workers of its machine, or for itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.governance.limits.backend import Backend
from gateway.governance.limits.folder import FolderBackend
from gateway.governance.limits.memory import MemoryBackend
from gateway.governance.limits.redis import RedisBackend
from gateway.settings.sections import RedisSettings


def backend_of(
    redis: RedisSettings, shared_dir: str | None, before: Backend | None, *, clock: Callable[[], float]
) -> Backend:
    """The place; `before` is where a predecessor in this process counted, which goes on in its memory."""
    if redis.url is not None:
        return RedisBackend(redis.url.reveal(), clock=clock, db=redis.db)
    if shared_dir is not None:
        return FolderBackend(Path(shared_dir), clock=clock)
    return before if isinstance(before, MemoryBackend) else MemoryBackend(clock=clock)
