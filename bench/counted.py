"""A gateway that counts what it asks of its databases: `python -m bench.counted serve …`, as `steelyard serve …`.

Counted are the statements and the transactions of everything that goes through SQLAlchemy, which is all of workflows,
their engine's own included, but not the request log's COPY. The counts lie in a file that both sides map: to tell them
costs the gateway a tenth of a microsecond each, and nothing while nobody asks.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Engine, event

from gateway.cli import main

#: The variable that names the file.
WHERE = "BENCH_COUNTS"
_FORM = "qq"


class Counts(NamedTuple):
    """So many since the start."""

    statements: int
    transactions: int


def counts(where: Path) -> Counts:
    """What a gateway has asked so far."""
    return Counts(*struct.unpack(_FORM, where.read_bytes()))


def begin(where: Path) -> None:
    """Make the file that a gateway is to count in."""
    where.write_bytes(struct.pack(_FORM, 0, 0))


def _count_in(where: Path) -> None:
    """Count in this file from now on."""
    with where.open("r+b") as file:
        seen = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")
    lock = threading.Lock()

    def statement(*_: Any) -> None:
        with lock:
            seen[0] += 1

    def transaction(*_: Any) -> None:
        with lock:
            seen[1] += 1

    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "commit", transaction)
    event.listen(Engine, "rollback", transaction)


if __name__ == "__main__":
    _count_in(Path(os.environ[WHERE]))
    main()
