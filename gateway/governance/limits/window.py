"""used(the last minute) + asked ≤ bound; the minute is in buckets of a second, each counted as long as any of it may.

A bucket of the second s is counted until s + 61: the sixty seconds before a request lie within its own bucket and the
sixty before it. So the law holds to the request: within any sixty seconds, wherever they begin, no more is admitted
than the bound. The price is a second: who asks without a pause is served the bound once in 61 seconds and not in 60.

Why not a bucket that leaks (GCRA): with its burst it admits up to twice the bound within one minute, and without, a
caller who is within the bound has to space its requests. Why not the times of the requests: at a thousand a second
those are 60,000 numbers for each limiter, which Redis would have to keep as well.

Tokens are reserved when a request begins, and set right when it has ended: what was not used is taken off the bucket
that it was put in; what was used beyond is put into that of its end, so that it counts for a minute even after a long
answer.

Pure: seconds are handed in, on a clock that all who count have in common.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol

from msgspec import Struct

from gateway.settings.limits import Rates

#: Seconds for which the bounds on requests and tokens hold.
SPAN = 60
#: Buckets that are kept; those of a window are 61, and a power of two divides cheaply.
RING = 64

Kind = Literal["key", "tag", "route"]
#: The fields of `Rates`.
Bound = Literal["rpm", "tpm", "concurrency"]


class Column(Protocol):
    """`RING` numbers, one for each bucket."""

    def __getitem__(self, at: int, /) -> int: ...
    def __setitem__(self, at: int, value: int, /) -> None: ...
    def __iter__(self) -> Iterator[int]: ...


class Limiter(Struct, frozen=True):
    """Whose requests are counted together, and what they may come to. The counts are kept under `id`."""

    id: str
    kind: Kind
    name: str
    rates: Rates

    @classmethod
    def of(cls, kind: Kind, name: str, rates: Rates) -> Limiter:
        """The one limiter of that kind and name."""
        return cls(f"{kind}:{name}", kind, name, rates)


class Need(Struct, frozen=True):
    """What a request takes of each of these limiters: itself, and so many tokens."""

    limiters: tuple[Limiter, ...]
    tokens: int


class State(NamedTuple):
    """What counts of a limiter when a request comes.

    `…_until` is the second from which on none of it does, `opens_…` the one from which on what is asked would fit (0:
    it does).
    """

    requests: int
    tokens: int
    running: int
    requests_until: int
    tokens_until: int
    opens_requests: int = 0
    opens_tokens: int = 0


class Refusal(NamedTuple):
    """Which limiter does not let a request pass, for which bound; `wait` in seconds, None: nobody can tell."""

    limiter: Limiter
    bound: Bound
    wait: float | None


class Minute:
    """The last minute of one limiter, and how many of its requests run."""

    __slots__ = ("requests", "running", "seconds", "tokens")

    def __init__(
        self,
        seconds: Column | None = None,
        requests: Column | None = None,
        tokens: Column | None = None,
    ) -> None:
        """Count in these, `RING` of each, or in this process's memory."""
        self.seconds = _zeros() if seconds is None else seconds
        self.requests = _zeros() if requests is None else requests
        self.tokens = _zeros() if tokens is None else tokens
        self.running = 0

    def look(self, rates: Rates, tokens: int, second: int) -> State:
        """What counts in this second, and when a request of so many tokens fits. Changes nothing."""
        oldest = second - SPAN
        asked = used = last_asked = last_used = 0
        for at, some_requests, some_tokens in zip(self.seconds, self.requests, self.tokens, strict=True):
            if at >= oldest:
                if some_requests:
                    asked += some_requests
                    last_asked = max(last_asked, at)
                if some_tokens:
                    used += some_tokens
                    last_used = max(last_used, at)
        opens_requests = opens_tokens = 0
        if rates.rpm is not None and asked + 1 > rates.rpm:
            opens_requests = self._opens(self.requests, asked + 1 - rates.rpm, oldest)
        if rates.tpm is not None and used + tokens > rates.tpm:
            opens_tokens = self._opens(self.tokens, used + tokens - rates.tpm, oldest)
        return State(asked, used, self.running, _after(last_asked), _after(last_used), opens_requests, opens_tokens)

    def add(self, second: int, requests: int, tokens: int) -> None:
        """Count them in this second."""
        slot = second % RING
        # Not when it is a later second's: then they count for longer.
        if self.seconds[slot] < second:
            self.seconds[slot], self.requests[slot], self.tokens[slot] = second, 0, 0
        self.requests[slot] += requests
        self.tokens[slot] += tokens

    def correct(self, reserved_in: int, second: int, change: int) -> None:
        """Tokens that were reserved in one second turn out, in another, to be `change` more or (negative) less."""
        if change > 0:
            self.add(second, 0, change)
            return
        slot = reserved_in % RING
        if self.seconds[slot] == reserved_in:
            self.tokens[slot] = max(0, self.tokens[slot] + change)

    def idle(self, second: int) -> bool:
        """Nothing counts any more: it may be forgotten."""
        return not self.running and max(self.seconds) < second - SPAN

    def _opens(self, counts: Column, excess: int, oldest: int) -> int:
        """The second in which so much will have left the window, if nothing comes."""
        for at, count in sorted(zip(self.seconds, counts, strict=True)):
            if at >= oldest:
                excess -= count
                if excess <= 0:
                    return _after(at)
        # It alone is more than the bound.
        return oldest + 2 * SPAN + 1


def refusal(limiters: Iterable[Limiter], states: Iterable[State], now: float) -> Refusal | None:
    """Who keeps a request out for the longest, when somebody does: after its `wait`, nobody else does either.

    Of those who cannot tell when, the first; they are asked last.
    """
    found: Refusal | None = None
    for limiter, state in zip(limiters, states, strict=True):
        waits: list[tuple[Bound, int]] = [("rpm", state.opens_requests), ("tpm", state.opens_tokens)]
        for bound, opens in waits:
            if opens and (found is None or found.wait is None or opens - now > found.wait):
                found = Refusal(limiter, bound, max(0.0, opens - now))
        most = limiter.rates.concurrency
        if found is None and most is not None and state.running >= most:
            found = Refusal(limiter, "concurrency", None)
    return found


def _after(second: int) -> int:
    """The second from which on this one's bucket does not count; 0 for none."""
    return second + SPAN + 1 if second else 0


def _zeros() -> Column:
    return array("q", bytes(8 * RING))
