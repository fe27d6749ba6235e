"""The public keys with which somebody else signs tokens, as that party publishes them: a file, or an address.

Read at the start, every `every` seconds, and when a token names a key that is not there; then at most once in
`_AT_MOST_EVERY` seconds, so that tokens made up to that end do not make us hammer whoever publishes them. What cannot
be read leaves what was read before in force.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_log = logging.getLogger("steelyard.tokens")
#: Seconds between two reads that tokens with unknown keys ask for, and after one that failed. Doubled, callers wait as
#: much longer after their keys were changed; halved, the publisher is asked twice as often for nothing.
_AT_MOST_EVERY = 10.0


class Published(Generic[T]):
    """What is published, as it was read last."""

    def __init__(
        self, read: Callable[[], Awaitable[T]], *, every: float, monotonic: Callable[[], float], nothing: T
    ) -> None:
        """`read` raises whatever keeps it from reading; until it has succeeded there is `nothing`."""
        self._read, self._every, self._monotonic = read, every, monotonic
        self.known = nothing
        #: Why the last read failed.
        self.problem: str | None = "not read yet"
        self._tried: float | None = None
        #: That it cannot be read stands in the log.
        self._told = False
        self._reading: asyncio.Task[None] | None = None

    async def again(self) -> None:
        """Read anew unless that was just tried; whoever comes while it is read waits for it."""
        if self._reading is None:
            if self._tried is not None and self._monotonic() - self._tried < _AT_MOST_EVERY:
                return
            self._tried = self._monotonic()
            self._reading = asyncio.create_task(self._try())
        # Of one who hangs up the read goes on, for the others.
        await asyncio.shield(self._reading)

    async def keep(self) -> None:
        """Read now and then, until cancelled."""
        while True:
            await self.again()
            await asyncio.sleep(self._every if self.problem is None else min(self._every, _AT_MOST_EVERY))

    async def _try(self) -> None:
        try:
            self.known = await self._read()
        except Exception as exc:  # noqa: BLE001 - a publisher may fail in any way, and callers with known keys go on
            if not self._told:
                _log.warning("the keys of tokens were not read", extra={"error": str(exc)[:300]})
            self.problem, self._told = f"{type(exc).__name__}: {exc}"[:300], True
        else:
            self.problem, self._told = None, False
        finally:
            self._reading = None
