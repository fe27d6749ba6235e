"""Answers kept for the next time the same question is asked: keys, stores and single-flight. Knows no gateway."""

from cache.flight import Abandoned, Broadcast, Flights
from cache.keys import Verdict, key_of, prefix_of
from cache.memory import MemoryStore
from cache.redis import RedisStore
from cache.store import CacheStats, Store

__all__ = [
    "Abandoned",
    "Broadcast",
    "CacheStats",
    "Flights",
    "MemoryStore",
    "RedisStore",
    "Store",
    "Verdict",
    "key_of",
    "prefix_of",
]
