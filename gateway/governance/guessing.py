"""Wrong keys from one address: some are mistakes, many are guesses.

    level(t) = wrong keys so far, less `a_minute` for every minute that has gone by, never below 0

From a level of `a_minute` on a further wrong key is answered 429, tells truly when one will be looked at as a mistake
again, and is answered late, so that whoever waits for his answers guesses slowly. A right key is looked up before any
of this is asked: nobody who has one is affected, not even behind the address of somebody who guesses.

Counted with all workers of the machine, and through Redis with all replicas (`guessing_together`): each in its turn is
asked, and while none can be, this process counts alone, going on from what it knows.

Limits: alone it counts the newest `_REMEMBERED` addresses; IPv6 is counted by the network of 64 bits that one customer
has. Behind a proxy all callers have its address, and share what their mistakes are worth.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

from gateway.errors import TooManyWrongKeys
from gateway.governance.guessing_together import Away, Together

#: Addresses that are remembered; at some 200 bytes each, 1 MB. Whoever has more to guess from is not held up by any.
_REMEMBERED = 4_096
#: Seconds by which the answer is late. Doubled, a guesser's connections are held for as much longer, which is as dear
#: for us as for him; halved, he guesses twice as fast on each.
_LATE = 1.0
#: Answers that may be late at a time; beyond, they are given at once: holding connections must not be an attack.
_MOST_LATE = 64


class Guesses:
    """Counts them."""

    def __init__(
        self,
        a_minute: int,
        *,
        monotonic: Callable[[], float],
        counted: Callable[[str], None],
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        together: Sequence[Together] = (),
    ) -> None:
        """Take so many wrong keys a minute from an address for mistakes; 0: any number.

        `counted` hears of each, whether it was `refused` or `throttled`. `together`: where else it is counted, the
        first that can be reached.
        """
        self._most, self._rate = a_minute, a_minute / 60
        self._monotonic = monotonic
        self._counted = counted
        self._pause = pause
        self._together = together
        self._levels: dict[str, tuple[float, float]] = {}
        self._late = 0

    def wrong(self, address: str) -> None:
        """A wrong key came from there. Raises `TooManyWrongKeys`; returns where it may have been a mistake.

        Counted here alone.
        """
        if not self._most:
            self._counted("refused")
            return
        where = network(address)
        wait = self._wait(where)
        if not wait:
            self._add(where)
        self._tell(wait)

    async def heard(self, address: str) -> None:
        """The same, counted with others."""
        if not self._most:
            self._counted("refused")
            return
        where = network(address)
        # What is too many here is too many everywhere: nobody need be asked.
        wait = self._wait(where)
        if not wait:
            for one in self._together:
                try:
                    wait = await one.wrong(where, self._most)
                except Away:
                    continue
                break
        if not wait:
            self._add(where)
        self._tell(wait)

    async def close(self) -> None:
        """Nobody is let in any more."""
        for one in self._together:
            await one.close()

    def _wait(self, where: str) -> float:
        """Seconds until one from there may be a mistake; 0: this one may be."""
        return max(0.0, self._level(where) - self._most + 1) / self._rate

    def _level(self, where: str) -> float:
        now = self._monotonic()
        level, at = self._levels.get(where, (0.0, now))
        return max(0.0, level - (now - at) * self._rate)

    def _add(self, where: str) -> None:
        level = self._level(where)
        self._levels.pop(where, None)
        if len(self._levels) >= _REMEMBERED:
            self._forget()
        # At the end: the first is the one that was silent for longest.
        self._levels[where] = (level + 1, self._monotonic())

    def _tell(self, wait: float) -> None:
        self._counted("throttled" if wait else "refused")
        if wait:
            raise TooManyWrongKeys(wait)

    async def linger(self) -> None:
        """Before a guess is answered."""
        if self._late >= _MOST_LATE:
            return
        self._late += 1
        try:
            await self._pause(_LATE)
        finally:
            self._late -= 1

    def _forget(self) -> None:
        del self._levels[next(iter(self._levels))]


@lru_cache(maxsize=256)
def network(address: str) -> str:
    """Whom an address stands for: of IPv6 the network of 64 bits, and what is no address itself."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
