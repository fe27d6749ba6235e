"""Ranked deployments → the first good answer, under one deadline.

    for each tier: rank, then try in order · a fault that says `try_next` moves on · any other ends it
    when all have failed: those that may be asked again are, after a jittered pause, while time remains

Another deployment is always tried before the same one again: it costs no waiting. Retry-After is obeyed to the letter,
by the DWA between requests and by the pause here. A deployment whose dialect cannot express the request is passed over
without being called, and without blame.

Every attempt is a ticket, settled here when it failed and by the caller when it answered.

One that waits in vain, at a host that hangs or has lost it, is given up before its timeout, while another is left to
ask (`patience`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

from msgspec import Struct

from dwa import Balancer, Candidate, Objective, Ranking, Shape, Ticket
from gateway.blaming import blame, pay
from gateway.catalog import Deployment, Resolution
from gateway.errors import DeadlineExceeded, GatewayError, ProvidersFailed, of_fault, refusal
from gateway.exchange import Attempt, Exchange, told
from gateway.excluding import Exclusions
from gateway.patience import patiently
from gateway.racing import Lane, Won, abreast, hedged
from gateway.retrying import TICK, RetryPolicy
from gateway.tracing.onward import onward
from providers.dialect import Call, Inexpressible
from providers.errors import Fault, Misshapen, TimedOut

T = TypeVar("T")
#: Answers that did not follow the schema, after which nobody is asked again: each was paid for, and a schema that two
#: did not meet is likely hard to meet. Doubled: four answers are paid for none; halved: one slip is an error.
_MISSHAPEN = 2


class Choosing(Struct, frozen=True):
    """How candidates are ordered for one request."""

    shape: Shape
    strategy: str
    objective: Objective
    sticky: str | None = None


Encode = Callable[[Deployment], Call]
#: Asks by a lane. It may put another attempt of its own in the lane's place, open or failed, to be settled with it.
Dispatch = Callable[[Lane], Awaitable[T]]
Discard = Callable[[Won[T]], Awaitable[None]]


class Failover:
    """The one attempt loop, for whole answers and for streams alike."""

    def __init__(
        self, balancer: Balancer, policy: RetryPolicy, *, monotonic: Callable[[], float], rng: random.Random
    ) -> None:
        """Rank with `balancer`; jitter pauses with `rng`; `monotonic` is the clock of deadlines, in seconds."""
        self.now = monotonic
        self._balancer = balancer
        self._policy = policy
        self._rng = rng

    async def first_good(
        self,
        exchange: Exchange,
        resolution: Resolution,
        choosing: Choosing,
        encode: Encode,
        dispatch: Dispatch[T],
        discard: Discard[T],
        *,
        deadline: float,
    ) -> Won[T]:
        """The first answer that is one. `deadline` is on the monotonic clock.

        On a route that hedges two may answer: `discard` lets go of the one that nobody needs, and settles its ticket.

        Raises:
            GatewayError: nobody answered; with every attempt and the soonest time to try again.
        """
        run = _Run(self, exchange, choosing, encode, dispatch, discard, deadline)
        run.hedges = resolution.route is not None and resolution.route.hedge
        run.width = exchange.preferences.race
        try:
            for tier in (tiers := run.exclusions.allowed(resolution)):
                if won := await run.among(tier):
                    return won
            everyone = [deployment for tier in tiers for deployment in tier]
            if won := await run.resort(everyone):
                return won
            for number in range(self._policy.rounds):
                again = [one for one in everyone if run.may_repeat(one)]
                pause = run.pause(self._policy.first_pause * 2**number * (0.5 + self._rng.random()))
                if not again or pause > self._policy.longest_pause:
                    break
                await run.rest(pause)
                if won := await run.among(again):
                    return won
        except GatewayError as error:
            error.attempts = told(exchange)
            self._unanswered(error, choosing, exchange.began)
            raise
        verdict = run.verdict()
        self._unanswered(verdict, choosing, exchange.began)
        raise verdict

    def rank(self, deployments: Sequence[Deployment], choosing: Choosing) -> Ranking:
        """The order to try them in."""
        return self._balancer.rank(
            [one.candidate for one in deployments],
            choosing.shape,
            strategy=choosing.strategy,
            objective=choosing.objective,
            sticky=choosing.sticky,
        )

    def expected_costs(self, deployments: Sequence[Deployment], choosing: Choosing) -> dict[str, float]:
        """What an answer of each would cost, USD, by key."""
        candidates = [one.candidate for one in deployments]
        return self._balancer.preview(candidates, choosing.shape, choosing.objective).expected_costs()

    def begin(self, candidate: Candidate, choosing: Choosing, began: float, after: Ticket | None) -> Ticket:
        """A ticket for one attempt for a caller who waits since `began`; `after`: another deployment's before it."""
        return self._balancer.begin(candidate, choosing.shape, choosing.sticky, choosing.objective, began, after)

    def pause_after(self, fault: Fault) -> float | None:
        """Seconds to wait before one of several calls is made again by itself; None: it is not."""
        return self._policy.pause_after(fault, self._rng.random())

    def hedge_at(self, ticket: Ticket) -> float:
        """When, on the clock, to ask whether a second deployment may be asked."""
        return self._balancer.hedge_at(ticket)

    def may_hedge(self, ticket: Ticket, candidate: Candidate, choosing: Choosing) -> bool:
        """Whether this one may; then it is paid for."""
        return self._balancer.may_hedge(ticket, candidate, choosing.objective)

    def _unanswered(self, error: GatewayError, choosing: Choosing, began: float) -> None:
        """Tell an objective with an SLO of a failure that none of the tickets knows: another could have come."""
        slo = choosing.objective.slo
        if slo is None:
            return
        # A caller in more of a hurry than the SLO has not been failed by anybody.
        late = isinstance(error, DeadlineExceeded) and self.now() - began > slo.seconds
        if late or isinstance(error, ProvidersFailed):
            self._balancer.unanswered(choosing.objective)


class _Run(Generic[T]):
    """One request's way through the loop."""

    def __init__(
        self,
        failover: Failover,
        exchange: Exchange,
        choosing: Choosing,
        encode: Encode,
        dispatch: Dispatch[T],
        discard: Discard[T],
        deadline: float,
    ) -> None:
        self._failover = failover
        self._exchange = exchange
        self._choosing = choosing
        self._encode = encode
        self._dispatch = dispatch
        self.discard = discard
        self._deadline = deadline
        self.hedges = False
        #: How many are asked at a time, whether or not one is overdue; 0: one.
        self.width = 0
        self._cap = exchange.cap
        self._asked: Mapping[str, Deployment] = {}
        #: Whom this ranking has; with whoever failed since, and whoever was passed over.
        self._ranked: Sequence[Candidate] = ()
        self._clock = failover.now
        self._faults: list[tuple[str, Fault]] = []
        self._last: dict[str, Fault] = {}
        #: Who failed last.
        self._before: tuple[Ticket, Attempt] | None = None
        self._inexpressible: dict[str, Inexpressible] = {}
        self.exclusions = Exclusions(exchange, self._clock)

    async def among(self, tier: Sequence[Deployment]) -> Won[T] | None:
        """The first good answer of these, or None when all have failed."""
        if self._cap is not None:
            # Before the ranking, so that what explains the choice names only those among whom there was one.
            tier = self._cap.affordable(tier, self._failover.expected_costs(tier, self._choosing))
            if not tier:
                return None
        ranking = self._failover.rank(tier, self._choosing)
        if self._exchange.ranking is None:
            self._exchange.ranking = ranking
            self._exchange.reason = ranking.reason
        self._ranked = ranking.candidates
        by_key = {one.candidate.key: one for one in tier}
        self.exclusions.rank(tier, ranking, self._last)
        if self.hedges or self.width:
            self._asked = by_key
            candidates = ranking.candidates
            await self._reserve([one.key for one in candidates[: self.width or 2]])
            return await (abreast(self, candidates, self.width) if self.width else hedged(self, candidates))
        for candidate in ranking.candidates:
            if self._clock() >= self._deadline:
                raise DeadlineExceeded
            if won := await self._attempt(by_key[candidate.key]):
                return won
        return None

    async def resort(self, everyone: Sequence[Deployment]) -> Won[T] | None:
        """The first good answer of those the DWA held back, now that all the others have failed."""
        by_key = {one.key: one for one in everyone}
        for candidate in self.exclusions.resort:
            if self._clock() >= self._deadline:
                raise DeadlineExceeded
            if candidate.key not in self._last and (won := await self._attempt(by_key[candidate.key])):
                return won
        return None

    async def _attempt(self, deployment: Deployment) -> Won[T] | None:
        await self._reserve([deployment.key])
        lane = self._lane(deployment)
        if lane is None:
            return None
        began = lane.started
        try:
            return await self.run(lane)
        finally:
            # Not the attempt's own: that may be the last of several.
            self._exchange.upstream_seconds += self._clock() - began

    async def _reserve(self, keys: Sequence[str]) -> None:
        """Let a bound that is shared make room for them, which may take until others are done."""
        if self._cap is None or not keys:
            return
        began = self._clock()
        try:
            async with asyncio.timeout(max(0.0, self._deadline - began)):
                await self._cap.reserve(keys)
        except TimeoutError as exc:
            raise DeadlineExceeded from exc
        self._exchange.upstream_seconds += self._clock() - began

    def _lane(self, deployment: Deployment) -> Lane | None:
        try:
            call = self._encode(deployment)
        except Inexpressible as exc:
            self._inexpressible[deployment.key] = exc
            self.exclusions.add("inexpressible", [deployment])
            return None
        if not self.affords(deployment.candidate):
            return None
        if self._cap is not None:
            self._cap.take(deployment.key)
        started = self._clock()
        attempt = Attempt(deployment.provider, deployment.model, started - self._exchange.began)
        if (trace := self._exchange.trace) is not None and trace.told:
            call = onward(call, attempt, trace)
        after = None
        if self._before is not None and deployment.key not in self._last:
            after, failed = self._before
            failed.passed_on = True
        ticket = self._failover.begin(deployment.candidate, self._choosing, self._exchange.began, after)
        return Lane(deployment, call, ticket, attempt, started)

    async def run(self, lane: Lane) -> Won[T] | None:
        """The answer, or None when it failed and another may be asked. Raises a `GatewayError`."""
        try:
            answer = self._dispatch(lane)
            if len(self._ranked) > 1:
                answer = patiently(answer, lane.ticket, partial(self._is_another_left, lane))
            answered = await answer
        except Fault as fault:
            self._note(lane)
            self._settle(lane, fault)
            return None
        except BaseException:
            self.leave(lane)
            raise
        self._note(lane)
        lane.attempt.outcome = "ok"
        return Won(lane.deployment, lane.ticket, lane.attempt, answered)

    def _is_another_left(self, lane: Lane) -> bool:
        here, cap = lane.deployment.key, self._cap
        gone = {here, *self._last, *self._inexpressible}
        return any(cap is None or cap.has_room(one.key, here) for one in self._ranked if one.key not in gone)

    def leave(self, lane: Lane) -> None:
        """Nobody waits for it any longer: the caller has gone, or another was quicker."""
        if lane.over:
            return
        if lane.outrun:
            lane.attempt.outcome = "hedged"
            lane.ticket.outrun()
        else:
            lane.ticket.cancelled()
        self._note(lane)

    def _note(self, lane: Lane) -> None:
        lane.over = True
        lane.attempt.seconds = self._clock() - lane.started
        self._exchange.attempts.append(lane.attempt)

    # Side by side (`racing`)

    def now(self) -> float:
        """Seconds on the clock of deadlines."""
        return self._clock()

    def enter(self, candidate: Candidate) -> Lane | None:
        """An attempt at this one; None when its dialect cannot express the request. Raises at the deadline."""
        if self._clock() >= self._deadline:
            raise DeadlineExceeded
        return self._lane(self._asked[candidate.key])

    def affords(self, candidate: Candidate) -> bool:
        """The request's bound on costs allows for this one as well."""
        return self._cap is None or self._cap.fits(candidate.key)

    def hedge_at(self, ticket: Ticket) -> float:
        """When to ask whether a second one may be asked."""
        return self._failover.hedge_at(ticket)

    def may_hedge(self, ticket: Ticket, candidate: Candidate) -> bool:
        """Whether this one may; then it is paid for."""
        return self._failover.may_hedge(ticket, candidate, self._choosing)

    def raced(self, seconds: float, won: Won[T] | None) -> None:
        """Two attempts at once are waited for once; and whoever answered is told of last."""
        self._exchange.upstream_seconds += seconds
        if won is not None:
            attempts = self._exchange.attempts
            attempts[:] = [*(one for one in attempts if one is not won.attempt), won.attempt]

    def _settle(self, lane: Lane, fault: Fault) -> None:
        deployment, attempt = lane.deployment, lane.attempt
        pay(self._exchange, attempt, deployment.price, fault)
        if self._cap is not None and attempt.usage is None:
            self._cap.give_back(deployment.key)
        # The call was given the earlier of the caller's deadline and the provider's own total.
        ours = self._deadline - lane.started < deployment.endpoint.timeouts.total
        out_of_time = isinstance(fault, TimedOut) and (
            self._clock() >= self._deadline or (fault.phase == "total" and ours)
        )
        blame(lane.ticket, lane.attempt, fault, out_of_time=out_of_time)
        self._faults.append((deployment.key, fault))
        self._last[deployment.key] = fault
        self._before = lane.ticket, attempt
        if out_of_time:
            raise DeadlineExceeded from fault
        if not fault.try_next or self._misshapen >= _MISSHAPEN:
            raise of_fault(deployment.key, fault) from fault

    @property
    def _misshapen(self) -> int:
        return sum(isinstance(fault, Misshapen) for _, fault in self._faults)

    def may_repeat(self, deployment: Deployment) -> bool:
        """It failed in a way that may pass, or was excluded before it could be asked."""
        if deployment.key in self._inexpressible or (self._cap is not None and deployment.key in self._cap.refused):
            return False
        fault = self._last.get(deployment.key)
        return fault is None or fault.retry_same

    def pause(self, backoff: float) -> float:
        """Seconds to wait before asking again: never sooner than the first that allows it."""
        waits = [fault.retry_after or 0.0 for fault in self._last.values() if fault.retry_same]
        if (left := self.exclusions.left) is not None:
            waits.append(left)
        return max(backoff, min(waits, default=0.0))

    async def rest(self, pause: float) -> None:
        """Wait. Raises at once when the deadline would pass meanwhile."""
        if self._clock() + pause >= self._deadline:
            raise self.verdict()
        await asyncio.sleep(pause + TICK)
        # Waiting at a provider's word is no work of the gateway's.
        self._exchange.upstream_seconds += pause

    def verdict(self) -> GatewayError:
        """Why nobody answered."""
        if self._inexpressible and not self._faults:
            return refusal(self._inexpressible)
        if self._cap is not None and self._cap.refused and not self._faults:
            return self._cap.error()
        if self._faults and all(isinstance(fault, Misshapen) for _, fault in self._faults):
            return of_fault(*self._faults[-1])
        error = ProvidersFailed(self._faults, retry_after=self.exclusions.left)
        error.attempts = told(self._exchange)
        return error
