"""Events in order of time: arrival → rank → attempt → (first token) → end → next attempt or the caller's answer.

Laws: every request ends exactly once; a host's state is what its changes have made of it by the moment of dispatch;
feedback reaches the policy at the event and not before; a request in flight when its host dies is still answered (it
was taken), so old successes arrive after new failures, as they do in life. 400s end a request and blame nobody. At
most so many attempts (three), each at the next host of the first ranking; all time wasted counts. A policy may have an
attempt forsaken before it is answered: it counts as failed, and what its host would have billed is paid.

The crowd is counted at dispatch and slows that one request: cheap, and the same law for every policy.

Runs 20 000 and more requests a second under a cheap policy, so it writes plain loops and few objects.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from math import ceil, exp, inf
from random import Random
from typing import NamedTuple

from dwa.candidate import Shape
from dwa.simulate.exchange import Exchange
from dwa.simulate.hosts import Host
from dwa.simulate.policy import BAD, CUT, FAILED, OK, REFUSED, Attempt, Listing, Policy, Setting
from dwa.simulate.traffic import ATTEMPTS, Request
from dwa.simulate.truth import FIRST_TIMEOUT_S, WHOLE_TIMEOUT_S, Yardstick

END, FIRST, FORSAKEN = 0, 1, 2
REJECT_S = 0.1
"""s until a 400 or a 429 is back."""


class Line:
    """A host at work."""

    __slots__ = ("host", "in_flight", "level", "level_at")

    def __init__(self, host: Host) -> None:
        self.host = host
        self.in_flight = 0
        self.level = self.burst()
        self.level_at = 0.0

    def burst(self) -> float:
        """Tokens of a full bucket."""
        return max(1.0, self.host.limit * self.host.limit_burst_s) if self.host.limit < inf else inf

    def tokens(self, now: float) -> float:
        """Requests it would admit now."""
        return min(self.burst(), self.level + (now - self.level_at) * self.host.limit)

    def admit(self, now: float) -> bool:
        """Take a token, if there is one."""
        self.level, self.level_at = self.tokens(now), now
        if self.level < 1.0:
            return False
        self.level -= 1.0
        return True

    def crowd(self, more: int = 0) -> float:
        """How much slower a request dispatched now is, with `more` in flight than there are."""
        return max(1.0, (self.in_flight + more) / self.host.knee)

    def fate(self, attempt: Attempt, request: Request, now: float) -> tuple[float, float]:
        """Decides how the attempt will end; returns when, and when its first token comes, in seconds from now."""
        host, luck = self.host, request.luck[attempt.place]
        if request.bad:
            attempt.kind = BAD
            return REJECT_S, inf
        if host.limit < inf and not self._admits(attempt, now):
            return REJECT_S, inf
        if host.dead or host.hangs <= luck.fate < host.hangs + host.fails:
            attempt.kind = FAILED
            return host.fail_s, inf
        crowd = self.crowd()
        first = (host.first_token_s + request.prompt * host.prefill_s) * exp(host.first_sd * luck.first) * crowd
        if luck.straggles < host.straggle:
            first *= host.straggle_least + luck.factor * (host.straggle_most - host.straggle_least)
        if luck.fate < host.hangs or first > FIRST_TIMEOUT_S:
            attempt.kind = FAILED
            return FIRST_TIMEOUT_S, inf
        whole = first + request.answer * host.token_s * exp(host.token_sd * luck.writing) * crowd
        if luck.fate > 1.0 - host.cuts or whole > WHOLE_TIMEOUT_S:
            attempt.kind = CUT
            attempt.cost = host.dollars(request.prompt, request.answer / 2)
            return min((first + whole) / 2, WHOLE_TIMEOUT_S), first
        attempt.kind = OK
        attempt.answer = request.answer
        attempt.cost = host.dollars(request.prompt, request.answer)
        return whole, first

    def _admits(self, attempt: Attempt, now: float) -> bool:
        host = self.host
        admitted = self.admit(now)
        if host.headers == "remaining":
            attempt.remaining = float(int(self.level))
            attempt.limit = float(int(self.burst()))
            attempt.reset_s = max(1.0 - self.level, 0.0) / host.limit
        if not admitted:
            attempt.kind = REFUSED
            if host.headers == "retry_after":
                attempt.retry_after = float(ceil((1.0 - self.level) / host.limit))
        return admitted


class Row(NamedTuple):
    """How one request ended."""

    at: float
    seconds: float
    cost: float
    loss: float
    first: int
    """The host first chosen; -1 when the ranking was empty."""
    served: int
    """The host that answered; -1 when none did."""
    seen: bool
    """The caller met a failure of ours or a host's."""
    attempts: int


@dataclass(frozen=True, slots=True)
class World:
    """What a run happens in: hosts as they are at the start, and all that will change, in order of time."""

    hosts: tuple[Host, ...]
    timeline: tuple[tuple[float, int, Host], ...]
    requests: Sequence[tuple[Request, Shape]]
    yardstick: Yardstick
    replicas: int
    seconds: float
    late_s: float | None = None
    """How late replicas hear of each other; None: not at all."""
    line: Callable[[Host], Line] = Line
    """How a host of this world works: drawn from its parameters, or as a log was fitted (`recorded`)."""
    attempts: int = ATTEMPTS
    """Most attempts of a request; each has its luck in `Request.luck`."""
    patience_s: float = WHOLE_TIMEOUT_S / 2
    """s after which a request that failed is not tried again."""


class Journey:
    """A request under way."""

    __slots__ = ("cost", "last", "order", "policy", "request")

    def __init__(self, request: Request, order: Sequence[int], policy: Policy) -> None:
        self.request = request
        self.order = order
        self.policy = policy
        self.cost = 0.0
        self.last: Attempt | None = None
        """What was tried last, and did not answer."""


class Simulation:
    """One run. `make` builds the policy of each replica and is given the lines too, for those who may look inside."""

    def __init__(self, world: World, make: Callable[[Setting, Sequence[Line]], Policy], seed: int) -> None:
        self._world = world
        self.lines = [world.line(host) for host in world.hosts]
        self._listings = [
            Listing(f"sim/{host.name}", host.price_in, host.price_out, host.quality, host.present)
            for host in world.hosts
        ]
        self.policies = [
            make(
                Setting(
                    self._listings,
                    world.yardstick,
                    Random(seed * 1009 + place),
                    len(world.requests),
                    None if world.late_s is None else place,
                ),
                self.lines,
            )
            for place in range(world.replicas)
        ]
        self._exchange = Exchange(self.policies if world.late_s is not None else (), world.late_s or 0.0)
        self._events: list[tuple[float, int, Attempt, Journey, int]] = []
        self._now = 0.0
        self._serial = 0
        self._next_change = 0
        self.rows: list[Row] = []

    def run(self) -> list[Row]:
        """All requests to their end; rows in order of ending."""
        events, step, policies = self._events, self._step, self.policies
        for request, shape in self._world.requests:
            at = request.at
            while events and events[0][0] <= at:
                step()
            self._advance(at)
            policy = policies[request.replica]
            journey = Journey(request, policy.rank(shape, at), policy)
            self._try(journey, shape, 0, at)
        while events:
            step()
        return self.rows

    def _advance(self, now: float) -> None:
        self._now = now
        while self._exchange.next_at <= now:
            self._exchange.step()
        timeline = self._world.timeline
        changed = False
        while self._next_change < len(timeline) and timeline[self._next_change][0] <= now:
            _, place, host = timeline[self._next_change]
            self._next_change += 1
            line, listing = self.lines[place], self._listings[place]
            line.level, line.level_at = line.tokens(now), now
            if host.limit < inf and line.host.limit == inf:
                line.level = 0.0
            line.host = host
            fresh = Listing(listing.key, host.price_in, host.price_out, host.quality, host.present)
            if fresh != listing:
                self._listings[place] = fresh
                changed = True
        if changed:
            for policy in self.policies:
                policy.relisted(now)

    def _step(self) -> None:
        now, _, attempt, journey, event = heappop(self._events)
        self._advance(now)
        if attempt.over:
            return
        if event == FIRST:
            attempt.first_at = now
            journey.policy.first_token(attempt, now)
            return
        if event == FORSAKEN:
            if self._is_over(journey, attempt.place + 1, now):
                return  # there is nobody else to ask
            attempt.over, attempt.kind = True, FAILED
        self.lines[attempt.host].in_flight -= 1
        journey.policy.finish(attempt, now)
        journey.cost += attempt.cost
        kind = attempt.kind
        if kind in (FAILED, REFUSED):
            journey.last = attempt
            self._try(journey, attempt.shape, attempt.place + 1, now)
        else:
            self._close(journey, now, attempt.place + 1, -1 if kind in (CUT, BAD) else attempt.host, seen=kind == CUT)

    def _try(self, journey: Journey, shape: Shape, place: int, now: float) -> None:
        if self._is_over(journey, place, now):
            self._close(journey, now, place, -1, seen=True)
            return
        attempt, line = self._attempt(journey, shape, place, now)
        wait, first_s = line.fate(attempt, journey.request, now)
        if shape.stream and first_s < wait:
            self._push(now + first_s, attempt, journey, FIRST)
        self._push(now + wait, attempt, journey, END)

    def _is_over(self, journey: Journey, place: int, now: float) -> bool:
        """Whether nobody is asked any more, as this place in the order."""
        late = now - journey.request.at > self._world.patience_s
        return place >= self._world.attempts or place >= len(journey.order) or late

    def _attempt(self, journey: Journey, shape: Shape, place: int, now: float) -> tuple[Attempt, Line]:
        """Dispatch it."""
        attempt = Attempt(journey.order[place], place, shape, now, journey.last)
        attempt.forsake = partial(self._forsake, attempt, journey)
        line = self.lines[attempt.host]
        line.in_flight += 1
        journey.policy.begin(attempt, now)
        return attempt, line

    def _forsake(self, attempt: Attempt, journey: Journey) -> None:
        # As an event of its own: the policy calls this in the middle of something.
        self._push(self._now, attempt, journey, FORSAKEN)

    def _push(self, at: float, attempt: Attempt, journey: Journey, event: int) -> None:
        self._serial += 1
        heappush(self._events, (at, self._serial, attempt, journey, event))

    def _close(self, journey: Journey, now: float, attempts: int, served: int, *, seen: bool) -> None:
        request = journey.request
        seconds = now - request.at
        quality = self.lines[served].host.quality if served >= 0 else 1.0
        loss = self._world.yardstick.loss(seconds, journey.cost, quality, seen=seen)
        first = journey.order[0] if journey.order else -1
        self.rows.append(Row(request.at, seconds, journey.cost, loss, first, served, seen, attempts))
