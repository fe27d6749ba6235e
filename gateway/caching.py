"""When an answer may come from the cache, and what is kept of it.

Law: only complete 2xx answers are kept, errors never; a stream is kept as its events and replayed as a stream. What is
kept is what the caller was sent, so a hit is byte for byte the first answer. A store that fails is a miss.

Who may: the caller's `Cache` preference, else the route's, else the key's, else the default of the family of surfaces.
On the drop-in ones that is "when the answer is deterministic" (temperature 0, or an embedding), since a caller that
samples expects a new answer each time; on the native ones it is "always".
"""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from cache import Broadcast, Claim, Flights, Leases, Store, key_of
from gateway.allowing import restriction
from gateway.catalog import Route
from gateway.errors import GatewayError
from gateway.exchange import Exchange, Preferences
from providers.chat import Usage

#: A larger answer is not kept, in bytes: one entry must not push out thousands.
LARGEST = 4 * 1024 * 1024
#: Seconds between two looks for the answer that another process is finding: the first pause, and the longest, with each
#: half as long again as the one before. Doubled: answers come so much later at worst; halved: twice the trips.
_FIRST_LOOK, _LONGEST_LOOK = 0.01, 0.25


class Kept(msgspec.Struct, array_like=True):
    """An answer and the facts that its headers and records need. `pieces` is one body, or a stream's writes."""

    provider: str
    model: str
    pieces: list[bytes]
    usage: Usage
    finish_reason: str | None
    simulated: bool
    dropped: tuple[str, ...] = ()


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Kept)


#: `uncached` is for surfaces whose answers are none of the cache's business.
Family = Literal["native", "drop_in", "uncached"]
When = Literal["never", "deterministic", "always"]


class CachePolicy(msgspec.Struct, frozen=True):
    """Whether a cache is used at all, for how long an answer is kept, in seconds, and when nobody says otherwise."""

    enabled: bool
    ttl: float
    native: When = "always"
    drop_in: When = "deterministic"

    def by_default(self, family: Family, *, deterministic: bool) -> bool:
        """Is the answer kept when neither caller nor route says?"""
        when = self.native if family == "native" else self.drop_in
        return _kept_when(when, deterministic=deterministic)


class Plan(msgspec.Struct):
    """What the cache means for one request: no key is a bypass."""

    key: str | None = None
    read: bool = False
    ttl: float = 0.0
    #: Bytes of the stream collected so far.
    collected: int = 0


class AnswerCache:
    """The store, and the questions being answered right now."""

    def __init__(self, store: Store, policy: CachePolicy, leases: Leases | None = None) -> None:
        """Keep answers in `store`; `leases` say which process finds one, when others may be asked the same."""
        self.store = store
        self._leases = leases
        self.replies: Flights[tuple[Kept | GatewayError, Exchange]] = Flights()
        self.streams: dict[str, tuple[Broadcast[bytes], Exchange]] = {}
        self._policy = policy
        self._elsewhere = 0

    @property
    def waiting(self) -> int:
        """How many wait for an answer that another one is asking for, here or in another process."""
        return self.replies.joined + sum(one.joined for one, _ in self.streams.values()) + self._elsewhere

    def plan(
        self, body: bytes, exchange: Exchange, route: Route | None, *, family: Family, deterministic: bool
    ) -> Plan:
        """Decide before anything is asked. `deterministic`: the same question has the same answer."""
        wishes = exchange.preferences
        if (
            family == "uncached"
            or not self._policy.enabled
            or not _wanted(wishes, route, self._by_default(exchange, family, deterministic=deterministic))
        ):
            return Plan()
        verdict = key_of(
            body,
            tenant=exchange.principal,
            surface=exchange.surface,
            model=exchange.requested_model,
            pins=_pins(wishes, exchange),
        )
        if verdict.key is None:
            return Plan()
        ttl = wishes.cache_ttl or (route and route.cache_ttl) or self._policy.ttl
        return Plan(verdict.key, wishes.cache != "refresh", ttl)

    def _by_default(self, exchange: Exchange, family: Family, *, deterministic: bool) -> bool:
        caller = exchange.caller
        if caller is None or caller.cache is None:
            return self._policy.by_default(family, deterministic=deterministic)
        return _kept_when(caller.cache, deterministic=deterministic)

    async def get(self, plan: Plan) -> Kept | None:
        """The answer kept under the plan's key."""
        if plan.key is None or not plan.read:
            return None
        found = await self.store.get(plan.key)
        return None if found is None else _read(found)

    async def from_elsewhere(self, plan: Plan, deadline: float) -> Kept | None:
        """The answer that another process is finding just now; None when it is ours to find.

        Whoever gets None calls `release` when there is no answer to keep. Waits as long as the other one works, or
        lives; a place that cannot say who does costs nothing but the sharing. Raises `TimeoutError` at the deadline, on
        the event loop's clock.
        """
        if self._leases is None or plan.key is None or not plan.read:
            return None
        claim = await self._leases.claim(plan.key)
        if claim is Claim.THEIRS:
            self._elsewhere += 1
            try:
                claim = await self._other_ends(self._leases, plan.key, deadline)
            finally:
                self._elsewhere -= 1
        return _read(claim) if isinstance(claim, bytes) else None

    async def _other_ends(self, leases: Leases, key: str, deadline: float) -> Claim | bytes:
        """Look again and again until the other one has found the answer, or has given up."""
        pause = _FIRST_LOOK
        claim: Claim | bytes = Claim.THEIRS
        while claim is Claim.THEIRS:
            if asyncio.get_running_loop().time() + pause > deadline:
                raise TimeoutError
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_LOOK)
            claim = await leases.claim(key)
        return claim

    async def release(self, plan: Plan) -> None:
        """Nothing was kept: whoever waits in another process asks for itself."""
        if self._leases is not None and plan.key is not None:
            await self._leases.release(plan.key)

    async def keep(self, plan: Plan, kept: Kept) -> None:
        """Keep an answer, unless it is too large."""
        if plan.key is not None and sum(map(len, kept.pieces)) <= LARGEST:
            await self.store.set(plan.key, _ENCODER.encode(kept), plan.ttl)


def _kept_when(when: When, *, deterministic: bool) -> bool:
    return when == "always" or (when == "deterministic" and deterministic)


def _read(found: bytes) -> Kept | None:
    try:
        return _DECODER.decode(found)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Written by another version of this program: as good as absent.
        return None


def _wanted(wishes: Preferences, route: Route | None, by_default: bool) -> bool:
    if wishes.cache is not None:
        return wishes.cache != "off"
    if route is not None and route.cache is not None:
        return route.cache
    return by_default


def _pins(wishes: Preferences, exchange: Exchange) -> tuple[str, ...]:
    """What headers and the key add to the question: who may answer, how they are chosen, what may be left out of it.

    And the guardrails that an answer has passed: under others it is another.
    """
    headers, guarded, allowed = exchange.pinned_headers, exchange.guarded, restriction(exchange.caller)
    if not headers and not guarded and not allowed and wishes == _NO_WISHES:
        return _NO_PINS
    marks = (("guarded", guarded), ("allowed", allowed))
    told = (*(f"{name}: {value}" for name, value in headers), *(f"{name} {value}" for name, value in marks if value))
    return (*_wished(wishes), *told)


def _wished(wishes: Preferences) -> tuple[str, ...]:
    return (
        ",".join(wishes.providers),
        "ordered" if wishes.ordered else "",
        wishes.strategy or "",
        wishes.objective or "",
        repr(sorted((wishes.weights or {}).items())),
        # None is the route's or the gateway's choice, which may be either.
        str(wishes.drop_params),
        str(wishes.continue_streams),
        str(wishes.validate),
    )


#: Of nearly every request.
_NO_WISHES = Preferences()
_NO_PINS = _wished(_NO_WISHES)
