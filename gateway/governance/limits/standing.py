"""Where a caller stands: `x-ratelimit-*` and the words of a refusal. Of several limiters the tightest speaks."""

from __future__ import annotations

import math
from collections.abc import Iterable

from msgspec import Struct

from gateway.errors import RateLimited
from gateway.governance.limits.backend import Verdict
from gateway.governance.limits.window import SPAN, Bound, Limiter, Need, Refusal

#: How the bounds read.
_UNITS: dict[Bound, str] = {
    "rpm": "requests a minute (rpm)",
    "tpm": "tokens a minute (tpm)",
    "concurrency": "requests at a time (concurrency)",
}
_WHOSE = {"key": "this key", "tag": "all keys with the tag '{}'", "route": "all callers of the route '{}'"}


class Allowance(Struct):
    """Of requests or of tokens: the bound, what is left of it, and the seconds until all of it is."""

    limit: int
    remaining: int
    reset: float


class Standing(Struct):
    """What is left to a caller; None: there is no bound on it."""

    requests: Allowance | None = None
    tokens: Allowance | None = None

    def settled(self, change: int) -> None:
        """The request took so many tokens more, or (negative) less, than were reserved for it."""
        if self.tokens is not None:
            self.tokens.remaining = min(self.tokens.limit, max(0, self.tokens.remaining - change))

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """As headers, in OpenAI's words."""
        told: list[tuple[bytes, bytes]] = []
        for what, one in ((b"requests", self.requests), (b"tokens", self.tokens)):
            if one is not None:
                told.append((b"x-ratelimit-limit-" + what, b"%d" % one.limit))
                told.append((b"x-ratelimit-remaining-" + what, b"%d" % one.remaining))
                told.append((b"x-ratelimit-reset-" + what, duration(one.reset).encode()))
        return told


def standing(need: Need, verdict: Verdict) -> Standing:
    """Where a caller stands after this verdict."""
    requests = tokens = None
    if not verdict.states:
        return Standing()
    granted = verdict.grant is not None
    fresh = int(verdict.now) + SPAN + 1
    for limiter, state in zip(need.limiters, verdict.states, strict=True):
        if limiter.rates.rpm is not None:
            left = limiter.rates.rpm - state.requests - granted
            until = fresh if granted else state.requests_until
            requests = _tighter(requests, _allowance(limiter.rates.rpm, left, until, verdict.now))
        if limiter.rates.tpm is not None:
            left = limiter.rates.tpm - state.tokens - granted * need.tokens
            until = fresh if granted and need.tokens else state.tokens_until
            tokens = _tighter(tokens, _allowance(limiter.rates.tpm, left, until, verdict.now))
    return Standing(requests, tokens)


def tightest(several: Iterable[Standing | None]) -> Standing | None:
    """Of requests that were made of one, where their caller stands after all of them."""
    found: Standing | None = None
    for one in several:
        if one is None:
            continue
        if found is None:
            found = Standing(one.requests, one.tokens)
            continue
        found.requests = _tighter(found.requests, one.requests)
        found.tokens = _tighter(found.tokens, one.tokens)
    return found


def refused(refusal: Refusal, tokens: int) -> RateLimited:
    """The error that tells it."""
    limiter, bound, wait = refusal
    said = f"{limit_of(limiter, bound)} is reached"
    if bound == "tpm":
        said += f": this request may take {tokens}"
    if wait is None:
        return RateLimited(f"{said}. Ask again when one of them has ended.", retry_after=1.0)
    seconds = max(1, math.ceil(wait))
    return RateLimited(f"{said}. Ask again in {seconds} {'second' if seconds == 1 else 'seconds'}.", retry_after=wait)


def limit_of(limiter: Limiter, bound: Bound) -> str:
    """A limit in words."""
    whose = _WHOSE[limiter.kind].format(limiter.name)
    return f"The limit of {getattr(limiter.rates, bound)} {_UNITS[bound]} for {whose}"


def duration(seconds: float) -> str:
    """As OpenAI writes it: `250ms`, `8.64s`, `6m0s`."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{f'{minutes}m' if minutes else ''}{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"


def _allowance(limit: int, left: int, until: int, now: float) -> Allowance:
    return Allowance(limit, max(0, left), max(0.0, until - now) if until else 0.0)


def _tighter(one: Allowance | None, other: Allowance | None) -> Allowance | None:
    """The one with less left; of two that have as much, the one for which it lasts longer."""
    if one is None or other is None:
        return one or other
    return min(one, other, key=lambda it: (it.remaining, -it.reset))
