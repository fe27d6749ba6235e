"""Where processes of one gateway have things together: in Redis, else in a folder of their machine, else nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cache import Board, FolderBoard, FolderStore, Leases, MemoryStore, RedisBoard, RedisStore, Store
from gateway.settings.tree import Settings


def board_of(
    settings: Settings, shared_dir: str | None, monotonic: Callable[[], float], wall: Callable[[], float]
) -> Board | None:
    """Where replicas find each other: in Redis, else in the folder of this machine's workers."""
    redis = settings.redis
    if not settings.dwa.share:
        return None
    if redis.url is not None:
        return RedisBoard(redis.url.reveal(), clock=monotonic, db=redis.db)
    return FolderBoard(Path(shared_dir), wall=wall) if shared_dir else None


def store_of(
    settings: Settings, shared_dir: str | None, monotonic: Callable[[], float], wall: Callable[[], float]
) -> tuple[Store, Leases | None]:
    """Where answers are kept: in Redis, else in memory, before a folder for all workers of this machine.

    And where it is agreed who finds one, when there may be others.
    """
    redis, size = settings.redis, settings.cache.memory
    if redis.url is not None:
        store = RedisStore(redis.url.reveal(), clock=monotonic, max_connections=redis.max_connections, db=redis.db)
        return store, store
    memory = MemoryStore(size, clock=monotonic)
    if shared_dir is None:
        return memory, None
    folder = FolderStore(memory, Path(shared_dir), max_bytes=size, wall=wall)
    return folder, folder
