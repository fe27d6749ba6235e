"""Counts that all replicas share, in Redis: one trip for a request, and one for all that come while it is under way.

Law: one trip after the other, each of which tells first what has ended here and asks then, so that whoever asks again
finds its place free. How many run is told as a number and not as a change, so that a trip whose fate is not known
spoils nothing. A process that dies is missed after its lease, and what ran in it does not count any more.

Away: each process counts alone, beginning with what it let through in the last minute; when Redis is back it is told
what runs. In between there may be as many times the bound as there are processes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from msgspec import Struct

from cache import RedisProgram
from gateway.governance.limits.backend import Grant, Verdict
from gateway.governance.limits.memory import MemoryBackend
from gateway.governance.limits.program import SOURCE
from gateway.governance.limits.window import Limiter, Need, State, refusal

#: Seconds after which a silent process is taken for dead; told anew at a third of it. Doubled: the places of a killed
#: one are missing for twice as long; halved: one that stands still for a moment gives its places away.
LEASE = 6.0
#: Requests, and corrections, that one trip carries. Doubled: Redis does nothing else for some milliseconds.
_MOST = 32
#: Seconds for which what has ended waits for a request to go along with. Doubled: other processes hear of it so much
#: later; halved: of more requests the end costs a trip of its own, as much again.
_LINGER = 0.005
_NUMBERS = len(State._fields)


class _Asked(Struct, eq=False):
    need: Need
    answer: asyncio.Future[Verdict]


class _Trip:
    """The keys and arguments of one run of the program."""

    def __init__(self, namespace: str, name: str, lease: float, ahead: int) -> None:
        self._namespace = namespace
        self._places: dict[str, int] = {f"alive:{name}": 1}
        self.arguments: list[str | int] = [name, int(lease * 1000), f"{namespace}alive:", ahead]

    @property
    def keys(self) -> list[str]:
        return [self._namespace + one for one in self._places]

    def place(self, limiter: str) -> int:
        return self._places.setdefault(limiter, len(self._places) + 1)

    def ask(self, need: Need) -> None:
        self.arguments += (need.tokens, len(need.limiters))
        for limiter in need.limiters:
            rates = limiter.rates
            self.arguments.append(self.place(limiter.id))
            self.arguments += (-1 if one is None else one for one in (rates.rpm, rates.tpm, rates.concurrency))


class RedisBackend:
    """See the module."""

    name = "redis"

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float],
        db: int | None = None,
        timeout: float = 0.25,
        namespace: str = "steelyard:limit:",
        lease: float = LEASE,
    ) -> None:
        """Count in the Redis at `url`; a request waits `timeout` seconds for it at most, and none while it is away."""
        self._program = RedisProgram(url, SOURCE, clock=clock, timeout=timeout, db=db)
        self._namespace = namespace
        self._lease = lease
        #: Its name among the others.
        self.process = secrets.token_hex(8)
        #: What this process let through, by whomever's leave; and what it goes by alone.
        self._here = MemoryBackend(clock=clock)
        self._asked: list[_Asked] = []
        #: Limiters of which Redis has to hear how many run, and tokens to be corrected: limiter, second, change.
        self._untold: dict[str, None] = {}
        self._changes: list[tuple[str, int, int]] = []
        #: Requests that run, by limiters that bound them.
        self._running = Counter[str]()
        self._trips: asyncio.Task[None] | None = None
        self._renewal: asyncio.TimerHandle | None = None
        self._telling: asyncio.TimerHandle | None = None
        #: Seconds added to Redis's clock, so that tests need not wait for it.
        self.ahead = 0

    @property
    def alone(self) -> bool:
        """See `Backend`."""
        return self._program.outage.on

    @property
    def busy(self) -> bool:
        """There is something to tell or to hear."""
        return self._trips is not None or self._telling is not None

    async def take(self, need: Need) -> Verdict:
        """See `Backend`."""
        asked = _Asked(need, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        self._set_out()
        try:
            return await asked.answer
        except asyncio.CancelledError:
            if not asked.answer.cancelled() and (grant := asked.answer.result().grant) is not None:
                self.settle(grant, 0)
            raise

    def settle(self, grant: Grant, tokens: int) -> None:
        """See `Backend`."""
        need = grant.need
        self._here.correct(need, grant.here, tokens)
        self._count(need, -1)
        change = tokens - need.tokens
        for limiter in need.limiters:
            if limiter.rates.concurrency is not None:
                self._untold[limiter.id] = None
            if limiter.rates.tpm is not None and change and not grant.alone:
                self._changes.append((limiter.id, grant.second, change))
        if self._telling is None and (self._untold or self._changes):
            self._telling = asyncio.get_running_loop().call_later(_LINGER, self._tell_alone)

    async def close(self) -> None:
        """Tell what has ended; of what still runs Redis hears no more."""
        if self._telling is not None:
            self._telling.cancel()
            self._tell_alone()
        while self._trips is not None:
            await asyncio.wait([self._trips])
        if self._renewal is not None:
            self._renewal.cancel()
        await self._program.close()

    def _tell_alone(self) -> None:
        """Tell what has gone along with nobody."""
        self._telling = None
        if self._more():
            self._set_out()

    def _set_out(self) -> None:
        if self._trips is None:
            self._trips = asyncio.create_task(self._go())
            self._trips.add_done_callback(self._back)

    def _back(self, _trips: asyncio.Task[None]) -> None:
        self._trips = None
        if self._more():
            # It came in the moment in which the last trip ended.
            self._set_out()

    def _more(self) -> bool:
        return bool(self._asked or ((self._untold or self._changes) and not self.alone))

    async def _go(self) -> None:
        """Trip after trip, as long as there is something to tell and somebody to hear it."""
        first = True
        while first or self._more():
            first = False
            await self._once()
        if self._renewal is None and (self._running or self.alone):
            self._renewal = asyncio.get_running_loop().call_later(self._lease / 3, self._renew)

    def _renew(self) -> None:
        self._renewal = None
        self._untold.update(dict.fromkeys(self._running))
        self._set_out()

    async def _once(self) -> None:
        asked, self._asked = self._asked[:_MOST], self._asked[_MOST:]
        changes, self._changes = self._changes[:_MOST], self._changes[_MOST:]
        untold = list(islice(self._untold, _MOST))
        for limiter in untold:
            del self._untold[limiter]
        trip = _Trip(self._namespace, self.process, self._lease, self.ahead)
        trip.arguments.append(len(untold))
        for limiter in untold:
            trip.arguments += (trip.place(limiter), self._running[limiter])
        trip.arguments.append(len(changes))
        for limiter, second, change in changes:
            trip.arguments += (trip.place(limiter), second, change)
        trip.arguments.append(len(asked))
        for one in asked:
            trip.ask(one.need)
        told = None
        try:
            told = await self._program.run(trip.keys, trip.arguments)
        finally:
            if told is None:
                # Whether it was heard is not known. The tokens are not told again, which might count them twice.
                self._untold.update(dict.fromkeys(untold))
                self._untold.update(dict.fromkeys(limiter.id for one in asked for limiter in bounding(one.need)))
                for one in asked:
                    self._answer(one, self._by_ourselves(one.need))
        if told is not None:
            self._tell(asked, told)

    def _tell(self, asked: Sequence[_Asked], told: list[Any]) -> None:
        now, place = told[0] + told[1] / 1e6, 2
        for one in asked:
            granted, place = told[place], place + 1
            states: list[State] = []
            for _ in one.need.limiters:
                states.append(State(*told[place : place + _NUMBERS]))
                place += _NUMBERS
            if granted:
                grant = Grant(one.need, told[0], here=self._here.note(one.need))
                self._count(one.need, 1)
                self._answer(one, Verdict(states, now, grant=grant))
            else:
                self._answer(one, Verdict(states, now, refusal=refusal(one.need.limiters, states, now)))

    def _answer(self, asked: _Asked, verdict: Verdict) -> None:
        if not asked.answer.done():
            asked.answer.set_result(verdict)
        elif verdict.grant is not None:
            # Whoever asked has gone.
            self.settle(verdict.grant, 0)

    def _by_ourselves(self, need: Need) -> Verdict:
        verdict = self._here.judge(need)
        if verdict.grant is not None:
            verdict.grant.alone, verdict.grant.here = True, verdict.grant.second
            self._count(need, 1)
        return verdict

    def _count(self, need: Need, change: int) -> None:
        for limiter in bounding(need):
            self._running[limiter.id] += change
            if not self._running[limiter.id]:
                del self._running[limiter.id]


def bounding(need: Need) -> list[Limiter]:
    """Those that bound how many run at a time."""
    return [limiter for limiter in need.limiters if limiter.rates.concurrency is not None]
