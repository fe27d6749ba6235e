"""Requests beyond a limit wait for their turn instead of failing: round robin over callers, in order within one.

Law: as many wait as `size` at most, and none longer than `seconds`, its own deadline, or what is known to be in vain.
Whoever comes while somebody waits for one of its limiters waits behind them. One that is cancelled leaves the line, and
gives back what it was granted in the same moment. When the line is full, the last of whoever has the most in it gives
way to a caller with fewer.

One task asks for all who wait: when a request of this process has ended, when a second has come that somebody waits
for, and ten times a second, since others may have ended elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from gateway.governance.limits.backend import Backend, Verdict
from gateway.governance.limits.window import Need
from gateway.settings.limits import Queue

#: Seconds between two looks at what other processes may have given back. Halved: twice the trips while somebody waits.
_LOOK = 0.1


class _Waiter(Struct, eq=False):
    need: Need
    turn: asyncio.Future[Verdict]
    #: Why it waits, as told last, and when.
    verdict: Verdict
    told: float


class Turns:
    """The line in front of a backend."""

    def __init__(self, backend: Backend, queue: Queue | None, *, clock: Callable[[], float]) -> None:
        """Let wait by `queue`, or nobody without one; `clock` is the event loop's."""
        self._backend = backend
        self._queue = queue
        self._clock = clock
        #: By caller; whoever was served goes to the end.
        self._lines: dict[str, deque[_Waiter]] = {}
        #: Limiters that somebody waits for, with the last word on them.
        self._shut: dict[str, Verdict] = {}
        self._ended = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many do."""
        return sum(map(len, self._lines.values()))

    async def take(self, whose: str, need: Need, deadline: float) -> Verdict:
        """Count a request, at once or when its turn has come; the verdict is a refusal when it did not come in time."""
        queue = self._queue
        if queue is None:
            return await self._backend.take(need)
        verdict = self._behind(need) or await self._backend.take(need)
        refusal, began = verdict.refusal, self._clock()
        if refusal is None:
            return verdict
        until = min(began + queue.seconds, deadline)
        if (refusal.wait or 0.0) > until - began or not self._room(whose, queue.size):
            return verdict
        self._shut.setdefault(refusal.limiter.id, verdict)
        waiter = _Waiter(need, asyncio.get_running_loop().create_future(), verdict, began)
        verdict = await self._wait(whose, waiter, until)
        now = self._clock()
        verdict.waited = now - began
        if verdict.refusal is not None and verdict.refusal.wait is not None:
            # It was told a while ago.
            wait = max(0.0, verdict.refusal.wait - (now - waiter.told))
            verdict = replace(verdict, refusal=verdict.refusal._replace(wait=wait))
        return verdict

    def ended(self) -> None:
        """A request has ended: somebody's turn may have come."""
        if self._lines:
            self._ended.set()

    async def close(self) -> None:
        """Nobody asks any more; whoever waits does so until its time is up."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])

    def _behind(self, need: Need) -> Verdict | None:
        """The last word on a limiter that others wait for, as a refusal that tells nothing of the request's others."""
        found = next((self._shut[one.id] for one in need.limiters if one.id in self._shut), None)
        return found and Verdict((), found.now, refusal=found.refusal)

    def _room(self, whose: str, size: int) -> bool:
        if self.waiting < size:
            return True
        longest = max(self._lines.values(), key=len)
        if len(longest) <= len(self._lines.get(whose, ())) + 1:
            return False
        last = longest[-1]
        if not last.turn.done():
            last.turn.set_result(last.verdict)
        return True

    async def _wait(self, whose: str, waiter: _Waiter, until: float) -> Verdict:
        """What became of it; the last refusal when nothing did in time."""
        line = self._lines.setdefault(whose, deque())
        line.append(waiter)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        try:
            async with asyncio.timeout_at(until):
                return await waiter.turn
        except TimeoutError:
            return waiter.verdict if waiter.turn.cancelled() else waiter.turn.result()
        except asyncio.CancelledError:
            if not waiter.turn.cancelled() and (grant := waiter.turn.result().grant) is not None:
                self._backend.settle(grant, 0)
            raise
        finally:
            self._leave(whose, line, waiter)

    def _leave(self, whose: str, line: deque[_Waiter], waiter: _Waiter) -> None:
        with contextlib.suppress(ValueError):  # whoever asks for it may have taken it out of the line
            line.remove(waiter)
        if not line and self._lines.get(whose) is line:
            del self._lines[whose]

    async def _ask(self) -> None:
        while self._lines:
            self._ended.clear()
            await self._round()
            waits = [one.refusal.wait for one in self._shut.values() if one.refusal and one.refusal.wait is not None]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_LOOK, *waits) if waits else _LOOK):
                    await self._ended.wait()
        self._shut = {}

    async def _round(self) -> None:
        """One of each caller after the other, until nobody's first can be let through."""
        shut: dict[str, Verdict] = {}
        served = True
        while served:
            served = False
            for whose in list(self._lines):
                line = self._lines.get(whose)
                first = next((one for one in line or () if not one.turn.done()), None)
                if line is None or first is None or any(one.id in shut for one in first.need.limiters):
                    continue
                verdict = await self._backend.take(first.need)
                if verdict.refusal is not None:
                    shut[verdict.refusal.limiter.id] = first.verdict = verdict
                    first.told = self._clock()
                    continue
                served = True
                self._serve(first, verdict)
                if whose in self._lines:
                    self._lines[whose] = self._lines.pop(whose)
        self._shut = shut

    def _serve(self, waiter: _Waiter, verdict: Verdict) -> None:
        if not waiter.turn.done():
            waiter.turn.set_result(verdict)
        elif verdict.grant is not None:
            # It left while it was asked for.
            self._backend.settle(verdict.grant, 0)
