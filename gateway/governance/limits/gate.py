"""The gate: by whose limits a request goes, how many tokens it may take, and what it took.

    limiters   its key's (what the key does not say itself is as `limits.default`), each of its tags', its route's
    tokens     of the prompt, and of the answer: the caller's `max_tokens`, else as many as answers of that size have

The administrator has no limits but those of an admin key of its own; callers without a key are one, `anonymous`.
Whoever has none pays nothing. An answer from the cache is a request and takes no tokens.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping

from msgspec import Struct

from dwa import Shape
from gateway.asking import Ask, Prepared
from gateway.calls import Chat
from gateway.errors import BeyondLimit
from gateway.exchange import Exchange
from gateway.governance.keys import Principal
from gateway.governance.limits.backend import Backend, Grant
from gateway.governance.limits.standing import limit_of, refused, standing
from gateway.governance.limits.turns import Turns
from gateway.governance.limits.window import Limiter, Need, Refusal
from gateway.settings.limits import Limits as LimitSettings
from gateway.settings.limits import Rates
from gateway.settings.shared import ADMIN

_NONE = Rates()
#: Outcomes of calls that were broken off: the provider had the prompt, and said nothing of tokens.
_BROKEN_OFF = frozenset({"cancelled", "hedged"})


class Passed(Struct):
    """A request that counts."""

    grant: Grant
    prompt: int
    #: Somebody counts its tokens.
    metered: bool
    backend: Backend
    turns: Turns

    def settle(self, exchange: Exchange) -> None:
        """See `gates.Pass`."""
        tokens = self._used(exchange) if self.metered else 0
        self.backend.settle(self.grant, tokens)
        self.turns.ended()
        if exchange.limits is not None:
            exchange.limits.settled(tokens - self.grant.need.tokens)

    def _used(self, exchange: Exchange) -> int:
        used = 0
        for attempt in exchange.attempts:
            if attempt.usage is not None:
                used += attempt.usage.input_tokens + attempt.usage.output_tokens
            elif attempt.outcome in _BROKEN_OFF:
                used += self.prompt
        return used


class Limits:
    """See the module."""

    def __init__(
        self,
        backend: Backend,
        settings: LimitSettings,
        routes: Mapping[str, Rates],
        *,
        expect: Callable[[Shape], float],
        clock: Callable[[], float],
        refused: Callable[[Refusal], None],
        waited: Callable[[str, float], None],
    ) -> None:
        """Count in `backend`.

        Args:
            backend: where; it is closed with this.
            settings: what holds for callers.
            routes: what holds for routes, by name.
            expect: how many tokens an answer is expected to have.
            clock: the event loop's.
            refused: hears of whoever is turned away.
            waited: hears of whoever waited for its turn: `admitted` or `refused`, and after how many seconds.
        """
        self.backend = backend
        self.turns = Turns(backend, settings.queue, clock=clock)
        self._default = settings.default
        self._tags = {name: rates for name, rates in settings.tags.items() if rates != _NONE}
        self._routes = {name: rates for name, rates in routes.items() if rates != _NONE}
        self._expect = expect
        self._clock = clock
        self._refused = refused
        self._waited = waited

    async def admit(self, ask: Ask, prepared: Prepared) -> Passed | None:
        """See `gates.Gate`. Raises `RateLimited`, or `BeyondLimit` for what no wait would help."""
        exchange = ask.exchange
        limiters = self.limiters(exchange.caller, exchange.route)
        if not limiters:
            return None
        need = Need(limiters, self._tokens(limiters, ask, prepared.choosing.shape))
        began = self._clock()
        try:
            verdict = await self.turns.take(exchange.principal, need, prepared.deadline)
        except asyncio.CancelledError:
            exchange.queued = self._clock() - began
            raise
        exchange.limits = standing(need, verdict)
        if verdict.waited:
            exchange.queued = verdict.waited
            self._waited("refused" if verdict.grant is None else "admitted", verdict.waited)
        if verdict.grant is None:
            assert verdict.refusal is not None, "it is granted or refused"
            self._refused(verdict.refusal)
            raise refused(verdict.refusal, need.tokens)
        metered = any(one.rates.tpm is not None for one in limiters)
        return Passed(verdict.grant, ask.wanted.asked.input_tokens, metered, self.backend, self.turns)

    def limiters(self, caller: Principal | None, route: str | None) -> tuple[Limiter, ...]:
        """Who counts the requests of a caller for a route."""
        found: list[Limiter] = []
        if caller is not None:
            own = caller.rates
            if caller.name != ADMIN and self._default != _NONE:
                own = _filled(own, self._default)
            if own != _NONE:
                found.append(Limiter.of("key", caller.name, own))
            if self._tags:
                # One that is written twice counts once.
                found += (
                    Limiter.of("tag", one, self._tags[one]) for one in dict.fromkeys(caller.tags) if one in self._tags
                )
        if route in self._routes:
            found.append(Limiter.of("route", route, self._routes[route]))
        return tuple(found)

    async def close(self) -> None:
        """Let nobody wait any more, and give back what is held."""
        await self.turns.close()
        await self.backend.close()

    def _tokens(self, limiters: tuple[Limiter, ...], ask: Ask, shape: Shape) -> int:
        """The tokens to reserve. Raises `BeyondLimit`."""
        bounded = [one for one in limiters if one.rates.tpm is not None]
        if not bounded:
            return 0
        tightest = min(bounded, key=lambda one: one.rates.tpm or 0)
        most = tightest.rates.tpm or 0
        prompt, cap, work = ask.wanted.asked.input_tokens, ask.wanted.output_cap, ask.wanted.work
        choices = work.request.n if isinstance(work, Chat) else 1
        least = prompt + (cap or 0) * choices
        if least > most:
            fix = "Send less" if cap is None else "Send less, or a smaller max_tokens"
            raise BeyondLimit(f"{limit_of(tightest, 'tpm')}: this request may take {least}. {fix}.")
        if cap is not None or not isinstance(work, Chat):
            return least
        return min(most, prompt + math.ceil(self._expect(shape)) * choices)


def _filled(own: Rates, default: Rates) -> Rates:
    """What a key says itself, and by default what it does not."""
    if own == _NONE:
        return default
    return Rates(
        rpm=default.rpm if own.rpm is None else own.rpm,
        tpm=default.tpm if own.tpm is None else own.tpm,
        concurrency=default.concurrency if own.concurrency is None else own.concurrency,
    )
