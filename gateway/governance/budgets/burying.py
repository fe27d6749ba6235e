"""Whose leases are free for others, since whoever had them is dead.

    of this machine    known to have ended (`living`): as soon as all that it spent is written down
    of another         silent for `_DEAD` seconds, by our own clock

Law: nobody is buried before what it spent is in the ledger, as far as this machine can know: or others would spend it
again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.store import leasing
from gateway.store.engine import Database
from gateway.store.living import Living

_log = logging.getLogger("steelyard.budgets")
#: Seconds of silence after which others take a process for dead that they know nothing else of.
_DEAD = 45.0


class Burying:
    """What one process knows of the others that have leases."""

    def __init__(
        self,
        database: Database,
        name: str,
        *,
        monotonic: Callable[[], float],
        living: Living | None = None,
        inherited: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Of all but `name`; `living` are those of here, `inherited` whether all is written that dead ones left."""
        self._database, self._name, self._now = database, name, monotonic
        self._living, self._inherited = living, inherited
        self._others: dict[str, tuple[int, float]] = {}

    async def enter(self) -> None:
        """Let the others of here know when this process ends. Without a disk for it they wait for its silence."""
        if self._living is not None:
            try:
                await asyncio.to_thread(self._living.enter, self._name)
            except OSError as exc:
                _log.warning("if this process dies, others learn it late", extra={"error": str(exc)})

    async def leave(self) -> None:
        """This process ends, and has no leases."""
        if self._living is not None:
            await asyncio.to_thread(self._living.leave)

    async def silent(self) -> None:
        """Bury who has given no sign of life for long enough. Raises `StoreUnavailable`."""
        found, now = await leasing.holders(self._database), self._now()
        known = {name: self._others.get(name, (-1, now)) for name in found if name != self._name}
        self._others = {name: (found[name], at if found[name] == beats else now) for name, (beats, at) in known.items()}
        for name, (beats, at) in self._others.items():
            if now - at >= _DEAD:
                await self._bury(name, beats)

    async def ended(self) -> bool:
        """Bury who has ended on this machine; whether there was one. Raises `StoreUnavailable`."""
        if self._living is None or self._inherited is None:
            return False
        found = await leasing.holders(self._database)
        dead = await asyncio.to_thread(self._living.ended, found.keys() - {self._name})
        if not dead or not await self._inherited():
            return False
        for name in sorted(dead):
            await self._bury(name, found[name])
            await asyncio.to_thread(self._living.forget, name)
        return True

    async def _bury(self, name: str, beats: int) -> None:
        if await leasing.bury(self._database, name, beats):
            _log.warning("a process died and left leases", extra={"holder": name})
