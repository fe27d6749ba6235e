"""How much of the request log is held where, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLimits:
    """How much is held where. Times in seconds."""

    #: Rows, and bytes of bodies, held in memory: 4 s of the busiest worker, and no more memory than the gateway has. (A
    #: body that waits is held twice, for the database and for the disk.)
    queue_rows: int = 20_000
    queue_bytes: int = 32 * 2**20
    #: One transaction: 500 rows take PostgreSQL some 15 ms, and 1,000 save nothing more.
    batch_rows: int = 500
    batch_bytes: int = 4 * 2**20
    flush_seconds: float = 0.2
    #: How long what has gathered may take to be written before it goes to the disk instead. A pause of the server that
    #: is longer costs a detour over the disk; a longer deadline costs rows when the process is killed meanwhile.
    write_deadline: float = 1.0
    #: Between two looks for what processes have left that died beside this one. Doubled: their rows are in the log that
    #: much later; halved: twice as many looks into a folder, at some 50 µs each.
    adopt_seconds: float = 5.0
    #: Pauses between two looks at a database that is away: the first, and the longest.
    probe_first: float = 0.25
    probe_longest: float = 5.0
    spill_bytes: int = 2**30
    segment_bytes: int = 8 * 2**20


class LogStats(msgspec.Struct, frozen=True):
    """The log's state, for health and metrics. Counts are rows since the start."""

    queue: int
    capacity: int
    written: int
    spilled: int
    replayed: int
    dropped: int
    spill_bytes: int
    spill_segments: int
    database: Literal["up", "away"]
    last_error: str | None
