"""This gateway as one of several: once a second it tells the others what it has learned and hears what they have.

Over Redis when there is one, else over a folder among the workers of one machine; alone, nothing runs. A board that
cannot be reached costs nothing but the news: the DWA goes on with what it knows, and catches up when it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from cache import Board, News, Store
from dwa import Balancer, Candidate
from dwa.sharing import EVERY_S, ROUNDS

_log = logging.getLogger("steelyard.fleet")
_ENCODER = msgspec.msgpack.Encoder()


class _Note(Struct, array_like=True):
    """What a replica pins: what its DWA tells, and the caches it was asked to clear, numbered."""

    dwa: dict[str, Any]
    clears: list[tuple[int, str]]


_DECODER = msgspec.msgpack.Decoder(_Note)


class Fleet:
    """One of several; or, without a board, the only one."""

    def __init__(
        self,
        name: str,
        balancer: Balancer,
        candidates: Iterable[Candidate],
        store: Store,
        board: Board | None,
        *,
        monotonic: Callable[[], float],
    ) -> None:
        """Speak for `balancer` and `store` as `name` (letters, digits and `_-`), which nobody else may have.

        `candidates` are all that this gateway may ever ask.
        """
        self.name = name
        self._balancer = balancer
        self._store = store
        self._board = board
        self._now = monotonic
        self._replica = balancer.join(name, candidates)
        #: The board's clock minus ours; None until it has told the time.
        self._offset: float | None = None
        self._clears: deque[tuple[int, str]] = deque(maxlen=ROUNDS)
        self._cleared: dict[str, int] = {}
        #: The board answered the last exchange; True as well when there is none to ask.
        self.reachable = True

    @property
    def shared(self) -> bool:
        """There is a board, and so there may be others."""
        return self._board is not None

    @property
    def peers(self) -> dict[str, float]:
        """The others: seconds since each spoke."""
        return self._replica.peers

    async def run(self) -> None:
        """Exchange once a second, until cancelled."""
        if self._board is None:
            return
        while True:
            await self._exchange(self._board)
            await asyncio.sleep(EVERY_S)

    async def leave(self) -> None:
        """Take leave of the others."""
        if self._board is not None:
            await self._board.remove(self.name)
            await self._board.close()

    def reset(self, what: str | None) -> None:
        """Forget a provider, a deployment or (None) everything, here and everywhere."""
        self._balancer.reset(what)
        self._replica.announce_reset(what)

    async def clear(self, prefix: str) -> int:
        """Clear the cache of what begins with `prefix`, here and in every other process's memory."""
        dropped = await self._store.clear(prefix)
        self._clears.append((self._clears[-1][0] + 1 if self._clears else 1, prefix))
        return dropped

    async def _exchange(self, board: Board) -> None:
        note = b""
        if self._offset is not None:
            note = _ENCODER.encode(_Note(self._replica.tell(self._offset), list(self._clears)))
        news = await board.exchange(self.name, note)
        if (news is not None) != self.reachable:
            self.reachable = news is not None
            _log.log(
                logging.INFO if self.reachable else logging.WARNING,
                "replicas hear of each other again" if self.reachable else "replicas do not hear of each other",
            )
        if news is None:
            # Nobody is there for all we know, and their requests in flight must not count for ever.
            self._replica.hear({}, self._offset or 0.0)
            return
        self._offset = news.at - self._now()
        await self._hear(news)

    async def _hear(self, news: News) -> None:
        told: dict[str, dict[str, Any]] = {}
        for name, note in news.notes.items():
            try:
                found = _DECODER.decode(note)
            except msgspec.DecodeError:
                continue  # its first one, which is empty, or one of another version
            told[name] = found.dwa
            await self._clear_too(name, found.clears)
        self._cleared = {name: last for name, last in self._cleared.items() if name in news.notes}
        self._replica.hear(told, self._offset or 0.0)

    async def _clear_too(self, name: str, clears: list[tuple[int, str]]) -> None:
        known = name in self._cleared
        last = self._cleared.get(name, 0)
        for number, prefix in clears:
            if number > last and known:
                await self._store.clear(prefix)
        self._cleared[name] = max((number for number, _ in clears), default=last)
