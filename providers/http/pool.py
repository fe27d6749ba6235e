"""Connections kept for the next request, bounded in all and per peer; who finds no room waits in order of arrival.

The last one used is used next: those beyond what the traffic needs grow old and are closed, and what is warm stays so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from providers.http.connection import Connection
from providers.http.target import Peer

Dial = Callable[[Peer, Callable[[], Connection]], Awaitable[Connection]]


class _Room:
    """The connections to one peer."""

    __slots__ = ("idle", "taken", "waiting")

    def __init__(self) -> None:
        #: In order of growing freshness.
        self.idle: list[Connection] = []
        #: Connections open or being made, idle ones included.
        self.taken = 0
        self.waiting: deque[asyncio.Future[Connection | None]] = deque()


class Pool:
    """All connections."""

    def __init__(self, dial: Dial, *, most: int, most_per_peer: int, keep_s: float) -> None:
        """Open none yet; at most so many in all and per peer, idle ones for `keep_s` seconds."""
        self._dial = dial
        self._most, self._most_per_peer, self._keep_s = most, most_per_peer, keep_s
        self._rooms: dict[Peer, _Room] = {}
        self._open: dict[Connection, Peer] = {}
        self._taken = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def busy(self) -> int:
        """Connections in use or being made."""
        return self._taken - sum(len(room.idle) for room in self._rooms.values())

    @property
    def waiting(self) -> int:
        """How many wait for a connection."""
        return sum(len(room.waiting) for room in self._rooms.values())

    def idle(self, peer: Peer) -> Connection | None:
        """One that waits for work, if any."""
        room = self._rooms.get(peer)
        while room is not None and room.idle:
            connection = room.idle.pop()
            if not connection.closed:
                return connection
        return None

    async def fresh(self, peer: Peer) -> tuple[Connection, bool]:
        """A new connection, or one that became free while waiting for room: then True. It may have ended since.

        Raises what dialling raises. Whoever is cancelled leaves his place to the next.
        """
        room = self._rooms.get(peer)
        if room is None:
            room = self._rooms[peer] = _Room()
        if not self._has_room(room):
            freed = await self._wait(room)
            if freed is not None:
                return freed, True
        else:
            self._take(room, 1)
        try:
            connection = await self._dial(peer, lambda: Connection(self._ended, self._freed))
        except BaseException:
            self._take(room, -1)
            self._next(room)
            raise
        self._open[connection] = peer
        if self._closed:
            connection.abort()
        if connection.closed:
            self._ended(connection)
        return connection, False

    def close(self) -> None:
        """End all of them, those in use too."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in tuple(self._open):
            connection.abort()

    def _has_room(self, room: _Room) -> bool:
        if room.taken >= self._most_per_peer:
            return False
        return self._taken < self._most or self._evict()

    def _evict(self) -> bool:
        """Close an idle connection of whoever has one, so that another peer may be connected to."""
        for room in self._rooms.values():
            if room.idle:
                connection = room.idle.pop(0)
                # Counted out now, not when the loop has closed it.
                self._forget(connection)
                connection.abort()
                return True
        return False

    async def _wait(self, room: _Room) -> Connection | None:
        """A freed connection, or None when there is room for a new one, which is then taken."""
        turn: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        room.waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._hand_back(room, turn.result())
            else:
                room.waiting.remove(turn)
            raise

    def _hand_back(self, room: _Room, given: Connection | None) -> None:
        if given is None:
            self._take(room, -1)
            self._next(room)
        elif not given.closed:
            self._freed(given)

    def _freed(self, connection: Connection) -> None:
        peer = self._open.get(connection)
        if peer is None or self._closed:
            connection.abort()
            return
        room = self._rooms[peer]
        while room.waiting:
            turn = room.waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        room.idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(self._keep_s, self._sweep)

    def _ended(self, connection: Connection) -> None:
        peer = self._forget(connection)
        if peer is not None:
            self._next(self._rooms[peer])

    def _forget(self, connection: Connection) -> Peer | None:
        peer = self._open.pop(connection, None)
        if peer is None:
            return None
        room = self._rooms[peer]
        if connection in room.idle:
            room.idle.remove(connection)
        self._take(room, -1)
        return peer

    def _next(self, room: _Room) -> None:
        """A place is free: for whoever waits for this peer, else for another."""
        for one in (room, *self._rooms.values()):
            while one.waiting and self._has_room(one):
                turn = one.waiting.popleft()
                if not turn.done():
                    self._take(one, 1)
                    turn.set_result(None)
                    return

    def _take(self, room: _Room, count: int) -> None:
        room.taken += count
        self._taken += count

    def _sweep(self) -> None:
        """Close what nobody has needed for so long."""
        self._sweeper = None
        loop = asyncio.get_running_loop()
        limit = loop.time() - self._keep_s
        oldest: float | None = None
        for room in self._rooms.values():
            for connection in [one for one in room.idle if one.idle_since <= limit]:
                connection.abort()
            left = [one.idle_since for one in room.idle if one.idle_since > limit]
            oldest = min([*left, oldest] if oldest is not None else left, default=None)
        if oldest is not None and not self._closed:
            self._sweeper = loop.call_at(oldest + self._keep_s + 0.01, self._sweep)
