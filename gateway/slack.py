"""Memory that a pile of requests has left behind, given back to the system where the C library can.

When an upstream stands still, requests pile up by the thousand, each with some 30 kB; when they have gone, their
memory is free, but in holes among what stays, and the C library keeps holes for later. `malloc_trim` of glibc gives the
pages of such holes back. After a pile of 900 that was a quarter to a third of what had stayed: of 33 MB 9, of 41 MB 11.
The rest is in the interpreter's own arenas of a megabyte each, which go back only when they are empty altogether.

Law: only after a pile, and only when it has been gone for a while: what is free in ordinary traffic is used again at
once, and giving it back would cost page faults. Without glibc nothing happens.

Road not taken: PYTHONMALLOC=malloc, with which all holes are the C library's, left 8 MB less, and took 7 % more
instructions for every request.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

PILE = 200
"""Upstream calls at once from which on there is something to give back: some 6 MB. Doubled: 12 MB may stay; halved: a
busy hour is taken for a pile."""
GONE = 4
"""A pile has gone when no more than this part of it is left. Doubled: after a pile of 900 a gateway with 120 calls
under way keeps it all; halved: what the other half needs again is given back."""
CALM_S = 60
"""Seconds for which it must have been gone. Doubled: a minute later; halved: connections that grow idle hold more."""


class Slack:
    """Watches one number, how much is under way, once a second."""

    def __init__(self, busy: Callable[[], int], trim: Callable[[], object] | None = None) -> None:
        """`busy`: calls under way. `trim` gives memory back; None: as the C library does."""
        self._busy = busy
        self._trim = trim or trimmer()
        self._most = self._calm = 0

    async def watch(self) -> None:
        """Look, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            self.look()

    def look(self) -> None:
        """Another second has passed."""
        busy = self._busy()
        self._most = max(self._most, busy)
        self._calm = self._calm + 1 if busy * GONE <= self._most else 0
        if self._calm < CALM_S:
            return
        if self._most >= PILE:
            self._trim()
        self._most, self._calm = busy, 0


def trimmer() -> Callable[[], object]:
    """What gives memory back here: 1 when it did, 0 when there was none, None where nobody can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return (lambda: None) if trim is None else lambda: trim(ctypes.c_size_t(0))
