"""This gateway as one of several: once a second it tells the others what it has learned and hears what they have.

Over Redis when there is one, else over a folder among the workers of one machine; alone, nothing runs. A board that
cannot be reached costs nothing but the news: the DWA goes on with what it knows, and catches up when it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import msgspec
from msgspec import Struct

from cache import Board, News, Store
from dwa import Balancer, Candidate
from dwa.sharing import EVERY_S

_log = logging.getLogger("steelyard.fleet")
_ENCODER = msgspec.msgpack.Encoder()


#: Events that are told again and again, until newer ones push them out. More than this many within an exchange or two
#: (votes in a flood) are heard by the process that took them alone.
_EVENTS = 64


class _Cleared(Struct, tag="cleared", array_like=True):
    """The cache was cleared of what begins with this."""

    prefix: str


class _Rated(Struct, tag="rated", array_like=True):
    """A vote, as `Balancer.rate` takes it."""

    key: str
    route: str
    score: float
    source: str
    crowd: str | None
    age: float


class _Revised(Struct, tag="revised", array_like=True):
    """A vote that was thought better of, as `Balancer.revise` takes it."""

    key: str
    route: str
    change: float
    weight: float
    age: float


_Event = _Cleared | _Rated | _Revised


class _Note(Struct, array_like=True):
    """What a replica pins: what its DWA tells, and what else befell it, numbered."""

    dwa: dict[str, Any]
    events: list[tuple[int, _Event]]


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
        self._replica = balancer.join(name, candidates) if board is not None else None
        #: The board's clock minus ours; None until it has told the time.
        self._offset: float | None = None
        self._events: deque[tuple[int, _Event]] = deque(maxlen=_EVENTS)
        self._numbers = count(1)
        self._heard: dict[str, int] = {}
        #: The board answered the last exchange; True as well when there is none to ask.
        self.reachable = True

    @property
    def shared(self) -> bool:
        """There is a board, and so there may be others."""
        return self._board is not None

    @property
    def peers(self) -> dict[str, float]:
        """The others: seconds since each spoke."""
        return self._replica.peers if self._replica is not None else {}

    async def run(self) -> None:
        """Exchange once a second, until cancelled."""
        while self._board is not None:
            await self.exchange()
            await asyncio.sleep(EVERY_S)

    async def leave(self) -> None:
        """Take leave of the others."""
        if self._board is not None:
            await self._board.remove(self.name)
            await self._board.close()

    def reset(self, what: str | None) -> None:
        """Forget a provider, a deployment or (None) everything, here and everywhere."""
        self._balancer.reset(what)
        if self._replica is not None:
            self._replica.announce_reset(what)

    async def clear(self, prefix: str) -> int:
        """Clear the cache of what begins with `prefix`, and in every other process's memory; how many here."""
        dropped = await self._store.clear(prefix)
        self._announce(_Cleared(prefix))
        return dropped

    def rate(
        self, key: str, route: str, score: float, source: str, *, crowd: str | None = None, age: float = 0.0
    ) -> float:
        """Teach a vote here and everywhere; see `Balancer.rate`."""
        weight = self._balancer.rate(key, route, score, source, crowd=crowd, age=age)
        self._announce(_Rated(key, route, score, source, crowd, age))
        return weight

    def revise(self, key: str, route: str, change: float, weight: float, *, age: float = 0.0) -> None:
        """Teach here and everywhere that a vote was thought better of; see `Balancer.revise`."""
        self._balancer.revise(key, route, change, weight, age=age)
        self._announce(_Revised(key, route, change, weight, age))

    def _announce(self, event: _Event) -> None:
        self._events.append((next(self._numbers), event))

    async def exchange(self) -> None:
        """Tell, and hear, once."""
        board, replica = self._board, self._replica
        if board is None or replica is None:
            return
        note = b""
        if self._offset is not None:
            note = _ENCODER.encode(_Note(replica.tell(self._offset), list(self._events)))
        news = await board.exchange(self.name, note)
        if (news is not None) != self.reachable:
            self.reachable = news is not None
            _log.log(
                logging.INFO if self.reachable else logging.WARNING,
                "replicas hear of each other again" if self.reachable else "replicas do not hear of each other",
            )
        if news is None:
            # Nobody is there for all we know, and their requests in flight must not count for ever.
            replica.hear({}, self._offset or 0.0)
            return
        self._offset = news.at - self._now()
        replica.hear(await self._told(news), self._offset)

    async def _told(self, news: News) -> dict[str, dict[str, Any]]:
        """What the others' DWAs tell, having done what else befell them."""
        told: dict[str, dict[str, Any]] = {}
        for name, note in news.notes.items():
            try:
                found = _DECODER.decode(note)
            except msgspec.DecodeError:
                continue  # its first one, which is empty, or one of another version
            told[name] = found.dwa
            await self._catch_up(name, found.events)
        self._heard = {name: last for name, last in self._heard.items() if name in news.notes}
        return told

    async def _catch_up(self, name: str, events: list[tuple[int, _Event]]) -> None:
        """What is new of one that was known already: whoever has just come begins with what will be."""
        known = name in self._heard
        last = self._heard.get(name, 0)
        for number, event in events:
            if number > last and known:
                await self._do_too(event)
        self._heard[name] = max((number for number, _ in events), default=last)

    async def _do_too(self, event: _Event) -> None:
        match event:
            case _Cleared(prefix):
                # What is shared is empty already, and clearing it again would drop what was asked since.
                await self._store.forget(prefix)
            case _Rated(key, route, score, source, crowd, age):
                self._balancer.rate(key, route, score, source, crowd=crowd, age=age)
            case _Revised(key, route, change, weight, age):
                self._balancer.revise(key, route, change, weight, age=age)
