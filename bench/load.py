"""The load generator: closed loop (each caller asks again when answered) or open (callers come when they come).

Written on asyncio protocols because a client library would cost more than the server that is measured. In the open
loop a latency counts from the time at which the request was meant to be sent: a server that stalls is charged for all
who would have asked meanwhile, not only for the one who did (no coordinated omission). Runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from random import Random
from typing import NamedTuple, cast

import msgspec
import uvloop

from bench.arithmetic import arrivals, percentiles
from bench.framing import Garbled, Reading, post
from bench.orders import Order, Request, Summary
from bench.ticking import Ticker
from bench.workloads import UNIQUE

now = time.monotonic
#: Connections of an open loop: beyond it callers wait, and their waiting counts. A stalled gateway must not make
#: the generator run out of file descriptors.
MOST = 900
#: Seconds that the last answers of a run are waited for.
PATIENCE = 20.0
#: Seconds until a caller whose connection could not be made tries again.
PAUSE = 0.05


class Shot(NamedTuple):
    """A request to be sent. `meant` is when; its answer must end in `ends`, blank lines apart."""

    data: bytes
    ends: bytes
    meant: float
    hang_up: bool


class Magazine:
    """Makes the requests of an order."""

    def __init__(self, order: Order) -> None:
        self._parts = [self._split(order.port, request) for request in order.requests]
        self._shares = list(itertools.accumulate(request.share for request in order.requests))
        self._hang_up = order.hang_up
        self._random = Random(order.seed)
        self._numbers = itertools.count(time.time_ns())

    def shot(self, meant: float) -> Shot:
        """The next one."""
        chosen = self._parts[0]
        if len(self._parts) > 1:
            chosen = self._random.choices(self._parts, cum_weights=self._shares)[0]
        data, rest, ends = chosen
        if rest is not None:
            data = b"%s%012x%s" % (data, next(self._numbers) & 0xFFFFFFFFFFFF, rest)
        return Shot(data, ends, meant, self._hang_up > 0 and self._random.random() < self._hang_up)

    @staticmethod
    def _split(port: int, request: Request) -> tuple[bytes, bytes | None, bytes]:
        body = request.body.encode()
        before, found, rest = body.partition(UNIQUE.encode())
        head = post(port, request.path, len(body), request.headers)
        return head + before, rest if found else None, request.ends.encode()


class Tally:
    """What came of the requests that were meant to be sent after `counted_from`.

    The rate is that of the answers that came between there and `until`, whenever they were asked for: the last ones of
    a closed loop come later, and would stretch a short measurement by as much as they took.
    """

    def __init__(self, counted_from: float, until: float) -> None:
        self.counted_from = counted_from
        self.until = until
        self.answered = self.within = self.hung_up = 0
        self.errors: Counter[str] = Counter()
        self.latencies: list[float] = []
        self.firsts: list[float] = []
        self.lates: list[float] = []

    def well(self, shot: Shot, sent: float, first: float, end: float) -> None:
        """Count an answer."""
        self.answered += 1
        self.within += self.counted_from <= end < self.until
        if shot.meant >= self.counted_from:
            self.latencies.append(end - shot.meant)
            self.firsts.append(first - shot.meant)
            self.lates.append(sent - shot.meant)

    def summary(self, wall: float) -> Summary:
        """All of it, of a run that took `wall` seconds."""
        return Summary(
            requests=len(self.latencies),
            answered=self.answered,
            per_second=self.within / (self.until - self.counted_from),
            wall=wall,
            errors=dict(self.errors),
            hung_up=self.hung_up,
            latency=percentiles(self.latencies),
            first=percentiles(self.firsts),
            late=percentiles(self.lates),
        )


class Caller(asyncio.Protocol):
    """One connection, with at most one request on it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport
        self._reading: Reading | None = None
        self._shot: Shot
        self._sent = self._first = 0.0

    def ask(self, shot: Shot) -> None:
        """Send a request."""
        self._shot, self._reading, self._first = shot, Reading(), 0.0
        self._sent = now()
        self._transport.write(shot.data)

    def leave(self) -> None:
        """Hang up; what is under way is no error of the server's."""
        self._reading = None
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._loop.callers.add(self)
        self._loop.free(self)

    def data_received(self, data: bytes) -> None:
        reading = self._reading
        if reading is None:
            return
        try:
            reading.feed(data)
        except Garbled as exc:
            self._wrong(str(exc))
            return
        if reading.begun and not self._first:
            self._first = now()
            if self._shot.hang_up and reading.status == 200:
                self._loop.tally.hung_up += 1
                self.leave()
                self._loop.ended()
                return
        if reading.over:
            self._answered(reading)

    def connection_lost(self, exc: Exception | None) -> None:
        self._loop.callers.discard(self)
        reading = self._reading
        if reading is not None:
            if reading.closed():
                self._answered(reading)
            else:
                self._wrong("cut" if reading.status else "no answer")
        self._loop.lost(self)

    def _answered(self, reading: Reading) -> None:
        end = now()
        if reading.status != 200:
            self._loop.tally.errors[f"status {reading.status}"] += 1
        elif not reading.tail.rstrip().endswith(self._shot.ends):
            self._loop.tally.errors["ended early"] += 1
        else:
            self._loop.tally.well(self._shot, self._sent, self._first or end, end)
        self._reading = None
        self._loop.ended()
        if self._transport.is_closing():
            return
        if reading.keeps:
            self._loop.free(self)
        else:
            self._transport.close()

    def _wrong(self, kind: str) -> None:
        self._reading = None
        self._loop.tally.errors[kind] += 1
        self._loop.ended()
        self._transport.abort()


class Loop:
    """Who asks when: what both loops share."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.magazine = Magazine(order)
        self.began = now()
        self.until = self.began + order.warm_up + order.seconds
        self.tally = Tally(self.began + order.warm_up, self.until)
        self.tasks: set[asyncio.Task[None]] = set()
        self.callers: set[Caller] = set()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connect(self) -> None:
        """Begin a connection; it reports itself as free."""
        task = asyncio.create_task(self._connect())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _connect(self) -> None:
        while not self.over.done():
            try:
                await asyncio.get_running_loop().create_connection(lambda: Caller(self), "127.0.0.1", self.order.port)
            except OSError:
                self.tally.errors["no connection"] += 1
                await asyncio.sleep(PAUSE)
            else:
                return

    def finish(self) -> None:
        """The run is over."""
        if not self.over.done():
            self.over.set_result(None)

    async def close(self) -> None:
        """Let go of every connection."""
        self.over.cancel()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for caller in self.callers:
            caller.leave()
        while self.callers:  # noqa: ASYNC110 - an aborted connection is lost at the loop's next turn
            await asyncio.sleep(0)

    def free(self, caller: Caller) -> None:
        """A caller has nothing to wait for."""
        raise NotImplementedError

    def lost(self, caller: Caller) -> None:
        """A caller has no connection any more."""
        raise NotImplementedError

    def ended(self) -> None:
        """A request came to its end, whatever it was."""

    @property
    def unanswered(self) -> int:
        """Requests under way."""
        raise NotImplementedError


class Closed(Loop):
    """So many callers, each asking again as soon as it is answered."""

    def start(self) -> None:
        """Let them all connect."""
        self._left = self.order.concurrency
        for _ in range(self.order.concurrency):
            self.connect()

    def free(self, caller: Caller) -> None:
        at = now()
        if at < self.until:
            caller.ask(self.magazine.shot(at))
            return
        caller.leave()

    def lost(self, caller: Caller) -> None:
        if now() < self.until:
            self.connect()
            return
        self._left -= 1
        if self._left == 0:
            self.finish()

    @property
    def unanswered(self) -> int:
        return self._left


class Open(Loop):
    """Requests at their times, on whichever connection is free."""

    def start(self) -> None:
        """Set the clock to the first."""
        self._idle: list[Caller] = []
        self._waiting: deque[Shot] = deque()
        self._connections = 0
        self._going = 0
        self._times: Iterator[float] = arrivals(
            self.order.rate, self.order.warm_up + self.order.seconds, self.order.seed
        )
        self._next: float | None = next(self._times, None)
        self._ticker = Ticker(self._due)
        self._arm()

    def free(self, caller: Caller) -> None:
        if self._waiting:
            caller.ask(self._waiting.popleft())
        else:
            self._idle.append(caller)

    def lost(self, caller: Caller) -> None:
        self._connections -= 1
        if caller in self._idle:
            self._idle.remove(caller)
        if self._waiting and not self.over.done():
            self._more()

    def ended(self) -> None:
        self._going -= 1
        self._settle()

    def _arm(self) -> None:
        if self._next is not None:
            self._ticker.at(self.began + self._next)
        self._settle()

    def _settle(self) -> None:
        if self._next is None and self._going == 0:
            self.finish()

    def _due(self) -> None:
        while self._next is not None and (meant := self.began + self._next) <= now():
            self._send(self.magazine.shot(meant))
            self._next = next(self._times, None)
        self._arm()

    def _send(self, shot: Shot) -> None:
        self._going += 1
        if self._idle:
            self._idle.pop().ask(shot)
            return
        self._waiting.append(shot)
        if self._connections < MOST:
            self._more()

    def _more(self) -> None:
        self._connections += 1
        self.connect()

    @property
    def unanswered(self) -> int:
        return self._going

    async def close(self) -> None:
        self._ticker.close()
        await super().close()


async def run(order: Order) -> Summary:
    """Carry an order out."""
    loop = Open(order) if order.rate else Closed(order)
    loop.start()
    try:
        await asyncio.wait_for(loop.over, order.warm_up + order.seconds + PATIENCE)
    except TimeoutError:
        loop.tally.errors["no answer in time"] += loop.unanswered
    wall = now() - loop.began
    await loop.close()
    return loop.tally.summary(wall)


def main() -> None:
    """Read an order from standard input, carry it out, write its summary."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run(order))))


if __name__ == "__main__":
    main()
