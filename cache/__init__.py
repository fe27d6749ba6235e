"""What processes keep and share. Knows no gateway.

Answers for the next time the same question is asked, single-flight, and a board of notes among replicas.
"""

from cache.board import Board, FolderBoard, News
from cache.flight import Abandoned, Broadcast, Flights
from cache.folder import FolderStore
from cache.keys import Verdict, key_of, prefix_of
from cache.memory import MemoryStore
from cache.outage import Outage
from cache.redis import RedisBoard, RedisProgram, RedisStore
from cache.store import CacheStats, Claim, Leases, Store

__all__ = [
    "Abandoned",
    "Board",
    "Broadcast",
    "CacheStats",
    "Claim",
    "Flights",
    "FolderBoard",
    "FolderStore",
    "Leases",
    "MemoryStore",
    "News",
    "Outage",
    "RedisBoard",
    "RedisProgram",
    "RedisStore",
    "Store",
    "Verdict",
    "key_of",
    "prefix_of",
]
