"""Counts of one process."""

from __future__ import annotations

from collections.abc import Callable

from gateway.governance.limits.backend import Grant, Verdict
from gateway.governance.limits.window import Limiter, Minute, Need, refusal

#: Limiters between two looks for those that may be forgotten. Doubled: as many idle ones are kept, at 2 kB each.
_TIDY_EVERY = 512


class MemoryBackend:
    """All in this process, and so without a wait."""

    name = "memory"
    alone = False

    def __init__(self, *, clock: Callable[[], float]) -> None:
        """Count by `clock`, in seconds."""
        self._clock = clock
        self._minutes: dict[str, Minute] = {}
        self._tidy_at = _TIDY_EVERY

    async def take(self, need: Need) -> Verdict:
        """See `Backend`."""
        return self.judge(need)

    def judge(self, need: Need) -> Verdict:
        """The same at once."""
        now = self._clock()
        second = int(now)
        minutes = self._of(need)
        states = [
            minute.look(limiter.rates, need.tokens, second)
            for minute, limiter in zip(minutes, need.limiters, strict=True)
        ]
        refused = refusal(need.limiters, states, now)
        if refused is not None:
            return Verdict(states, now, refusal=refused)
        return Verdict(states, now, grant=self._count(need, minutes, second))

    def note(self, need: Need) -> int:
        """Count a request that was let through elsewhere; the second in which it is counted here."""
        second = int(self._clock())
        self._count(need, self._of(need), second)
        return second

    def settle(self, grant: Grant, tokens: int) -> None:
        """See `Backend`."""
        self.correct(grant.need, grant.second, tokens)

    def correct(self, need: Need, reserved_in: int, tokens: int) -> None:
        """A request that was counted in that second has ended, and took so many tokens."""
        second, change = int(self._clock()), tokens - need.tokens
        for limiter in need.limiters:
            minute = self._minute(limiter)
            minute.running = max(0, minute.running - 1)
            minute.correct(reserved_in, second, change)

    def running(self, limiter: str) -> int:
        """How many requests of a limiter run here."""
        minute = self._minutes.get(limiter)
        return 0 if minute is None else minute.running

    @property
    def known(self) -> set[str]:
        """The limiters that something is kept of."""
        return set(self._minutes)

    async def close(self) -> None:
        """Nothing is held."""

    def _count(self, need: Need, minutes: list[Minute], second: int) -> Grant:
        for minute in minutes:
            minute.add(second, 1, need.tokens)
            minute.running += 1
        return Grant(need, second)

    def _of(self, need: Need) -> list[Minute]:
        if len(self._minutes) >= self._tidy_at:
            self._tidy(int(self._clock()))
        return [self._minute(limiter) for limiter in need.limiters]

    def _minute(self, limiter: Limiter) -> Minute:
        found = self._minutes.get(limiter.id)
        if found is None:
            found = self._minutes[limiter.id] = Minute()
        return found

    def _tidy(self, second: int) -> None:
        for name in [name for name, minute in self._minutes.items() if minute.idle(second)]:
            del self._minutes[name]
        self._tidy_at = len(self._minutes) + _TIDY_EVERY
