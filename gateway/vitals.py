"""What this process takes of its machine, and by how much its event loop is late."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

#: Seconds between two looks at the clock.
_EVERY = 1.0
_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds() -> float:
    """Seconds of processor time since the process began."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_bytes() -> int | None:
    """Bytes of memory that it holds; None where the system does not tell."""
    with suppress(OSError):
        return int(_STATM.read_bytes().split()[1]) * _PAGE
    return None


async def watch(late: Callable[[float], None]) -> None:
    """Tell once a second, until cancelled, by how many seconds the event loop came late."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + _EVERY
        await asyncio.sleep(_EVERY)
        late(max(0.0, clock() - due))
