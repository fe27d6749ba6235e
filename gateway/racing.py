"""Attempts side by side: the first good answer wins, and all the others are over before it is handed on.

    ask the first → overdue, and the DWA allows it: ask the next as well → whoever answers first
    one fails while the other runs: the other goes on as the failover · both fail: the caller's loop goes on

Laws: no task outlives the race, however it ends; every ticket is settled once. A loser is cancelled, which closes its
call, and is blamed for nothing. An answer that nobody needs any more is discarded and paid for. The time waited is that
of the wall clock, not the sum over attempts.

A race that was asked for (`abreast`) does not wait until one is overdue: so many run from the start, and whoever fails
is replaced by the next in line. There the error of one, though it would end a request that asks one at a time, is no
news to the others: it counts when nobody is left.

A caller who goes away meanwhile cancels all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from dwa import Candidate, Ticket
from gateway.catalog import Deployment
from gateway.errors import GatewayError
from gateway.exchange import Attempt
from providers.dialect import Call

T = TypeVar("T")
#: Seconds. Timers are rounded to this and may go off early.
_TICK = 0.001


class Won(Struct, Generic[T]):
    """The deployment that answered, its open ticket, and the answer."""

    deployment: Deployment
    ticket: Ticket
    attempt: Attempt
    answer: T


class Lane:
    """One attempt under way; `started` on the clock of deadlines."""

    __slots__ = ("attempt", "call", "deployment", "outrun", "over", "started", "ticket")

    def __init__(self, deployment: Deployment, call: Call, ticket: Ticket, attempt: Attempt, started: float) -> None:
        """It is about to be dispatched."""
        self.deployment = deployment
        self.call = call
        self.ticket = ticket
        self.attempt = attempt
        self.started = started
        #: Another was quicker.
        self.outrun = False
        #: It is noted among the exchange's attempts, and its ticket is settled unless it won.
        self.over = False

    def again(self, call: Call) -> Lane:
        """Another call of the same deployment, which has neither ticket nor attempt of its own yet."""
        return Lane(self.deployment, call, self.ticket, self.attempt, self.started)


class Racer(Protocol[T]):
    """What a race needs of the request that it is run for."""

    def now(self) -> float:
        """Seconds on the clock of deadlines and of the DWA."""
        ...

    def enter(self, candidate: Candidate) -> Lane | None:
        """A lane for this candidate; None when its dialect cannot express the request. Raises at the deadline."""
        ...

    async def run(self, lane: Lane) -> Won[T] | None:
        """Dispatch, note and settle; None when it failed and another may be asked. Raises a `GatewayError`."""
        ...

    def affords(self, candidate: Candidate) -> bool:
        """The request's bound on costs allows for this one as well."""
        ...

    def leave(self, lane: Lane) -> None:
        """Note and settle an attempt that is no longer waited for."""
        ...

    def discard(self, won: Won[T], /) -> Awaitable[None]:
        """Let go of an answer that nobody needs, and settle its ticket."""
        ...

    def hedge_at(self, ticket: Ticket) -> float:
        """When to ask whether a second one may be asked."""
        ...

    def may_hedge(self, ticket: Ticket, candidate: Candidate) -> bool:
        """Whether this one may; then it is paid for."""
        ...

    def raced(self, seconds: float, won: Won[T] | None) -> None:
        """A race is over that took so long; its attempts are noted."""
        ...


async def hedged(racer: Racer[T], candidates: Sequence[Candidate]) -> Won[T] | None:
    """The first good answer of these, asked in order, with a second beside one that is overdue. None: all failed."""
    waiting = list(candidates)
    while waiting:
        lane = racer.enter(waiting.pop(0))
        if lane is not None and (won := await _heat(racer, lane, waiting)):
            return won
    return None


async def abreast(racer: Racer[T], candidates: Sequence[Candidate], width: int) -> Won[T] | None:
    """The first good answer of these, `width` of them asked at a time. None: all failed. Raises a `GatewayError`."""
    waiting = _each_provider_first(candidates)
    running: dict[asyncio.Task[Won[T] | None], Lane] = {}
    won: Won[T] | None = None
    began = racer.now()
    error: GatewayError | None = None
    try:
        while True:
            if error is None:
                waiting = _fill(racer, running, waiting, width)
            if not running:
                break
            ended = await _first_ended(running, None)
            assert ended is not None, "without a limit on patience, somebody has ended"
            del running[ended]
            try:
                won = ended.result()
            except GatewayError as exc:
                error = exc
            if won is not None:
                break
    finally:
        seconds = racer.now() - began
        try:
            await _close(racer, running, won)
        finally:
            racer.raced(seconds, won)
    if won is None and error is not None:
        raise error
    return won


def _each_provider_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The best of each provider before anybody's second: models of one provider are slow together."""
    seen: set[str] = set()
    firsts = [one for one in candidates if not (one.provider in seen or seen.add(one.provider))]
    return [*firsts, *(one for one in candidates if one not in firsts)]


def _fill(
    racer: Racer[T], running: dict[asyncio.Task[Won[T] | None], Lane], waiting: list[Candidate], width: int
) -> list[Candidate]:
    """Start as many as there is room and money for; who goes on waiting, those that were too dear included."""
    left: list[Candidate] = []
    for candidate in waiting:
        if len(running) >= width or not racer.affords(candidate):
            left.append(candidate)
        elif (lane := racer.enter(candidate)) is not None:
            running[_start(racer, lane)] = lane
    return left


async def _heat(racer: Racer[T], first: Lane, waiting: list[Candidate]) -> Won[T] | None:
    """One attempt, and beside it another of those waiting when it is overdue; who is asked is taken from them."""
    running = {_start(racer, first): first}
    won: Won[T] | None = None
    try:
        look_at = racer.hedge_at(first.ticket)
        while running:
            alone = next(iter(running.values())) if len(running) == 1 and waiting else None
            patience = None if alone is None else max(0.0, look_at - racer.now()) + _TICK
            ended = await _first_ended(running, patience)
            if ended is not None:
                del running[ended]
                won = ended.result()
                if won is not None:
                    break
            elif alone is not None and (second := _second(racer, alone, waiting)):
                running[_start(racer, second)] = second
            if len(running) == 1:
                # Refused, or alone again and overdue by itself: there will be another look.
                look_at = racer.hedge_at(next(iter(running.values())).ticket)
    finally:
        seconds = racer.now() - first.started
        if won is not None:
            seconds = won.attempt.started + won.attempt.seconds - first.attempt.started
        try:
            await _close(racer, running, won)
        finally:
            racer.raced(seconds, won)
    return won


def _start(racer: Racer[T], lane: Lane) -> asyncio.Task[Won[T] | None]:
    return asyncio.create_task(racer.run(lane))


def _second(racer: Racer[T], alone: Lane, waiting: list[Candidate]) -> Lane | None:
    """The first of those waiting who may be asked as well."""
    for place, candidate in enumerate(waiting):
        if racer.may_hedge(alone.ticket, candidate):
            second = racer.enter(waiting.pop(place))
            if second is not None:
                second.attempt.hedge = True
            return second
    return None


async def _first_ended(
    running: dict[asyncio.Task[Won[T] | None], Lane], patience: float | None
) -> asyncio.Task[Won[T] | None] | None:
    """One that is over, or None when that took longer than `patience` seconds."""
    await asyncio.wait(running, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    return next((task for task in running if task.done()), None)


async def _close(racer: Racer[T], running: dict[asyncio.Task[Won[T] | None], Lane], won: Won[T] | None) -> None:
    """Cancel whoever still runs, and see it out."""
    for task, lane in running.items():
        lane.outrun = won is not None
        task.cancel()
    try:
        await all_over(running)
    finally:
        for lane in running.values():
            # A task that is cancelled before its first step never gets to settle anything.
            racer.leave(lane)
        for task in running:
            if task.cancelled() or isinstance(task.exception(), GatewayError):
                continue
            spare = task.result()
            if spare is not None:
                await racer.discard(spare)
                spare.attempt.outcome = "hedged" if won is not None else "cancelled"


async def all_over(running: Iterable[asyncio.Task[Any]]) -> None:
    """Wait for cancelled tasks, though one is cancelled oneself: they end at once, and must not be left behind."""
    interrupted: asyncio.CancelledError | None = None
    while left := [task for task in running if not task.done()]:
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError as exc:
            interrupted = exc
    if interrupted is not None:
        raise interrupted
