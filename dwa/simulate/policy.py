"""What the simulator asks of a policy: rank a request, and be told of every attempt's dispatch, first token and end.

A policy sees what a gateway sees: the price list, the shape of a request, and of an attempt what the host answered. It
does not see the length of an answer before its end, nor anything of the hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from random import Random
from typing import Protocol, runtime_checkable

from dwa.balancer import Balancer
from dwa.candidate import Candidate, Shape
from dwa.params import Params
from dwa.sharing import Told
from dwa.simulate.truth import Yardstick
from dwa.ticket import Ticket

OK, FAILED, CUT, REFUSED, BAD = "ok", "failed", "cut", "refused", "bad"


@dataclass(slots=True)
class Listing:
    """A host as the configuration knows it; changes when the operator changes it."""

    key: str
    price_in: float
    price_out: float
    quality: float
    present: bool


@dataclass(frozen=True, slots=True)
class Setting:
    """What a policy is made from."""

    listings: Sequence[Listing]
    yardstick: Yardstick
    rng: Random
    requests: int
    """About how many there will be: bandits tune themselves to their horizon."""
    replica: int | None = None
    """Which of several gateways that share what they know; None: nobody shares."""

    def attempt_loss(self, attempt: Attempt, now: float) -> float:
        """What one attempt lost; a failure is charged a typical answer elsewhere."""
        yardstick = self.yardstick
        quality = self.listings[attempt.host].quality
        loss = yardstick.loss(now - attempt.started, attempt.cost, quality, seen=attempt.kind == CUT)
        if attempt.kind in (FAILED, REFUSED):
            loss += yardstick.objective.latency + yardstick.objective.cost
        return loss

    def reward(self, attempt: Attempt, now: float) -> float:
        """exp(-loss / typical loss), in 0..1: what bandits are fed, so that they optimise the very objective."""
        objective = self.yardstick.objective
        return exp(-self.attempt_loss(attempt, now) / (objective.latency + objective.cost))


class Attempt:
    """One attempt as a gateway sees it; what follows `started` is filled in as it happens."""

    __slots__ = (
        "after",
        "answer",
        "cost",
        "first_at",
        "forsake",
        "host",
        "kind",
        "limit",
        "note",
        "over",
        "place",
        "remaining",
        "reset_s",
        "retry_after",
        "shape",
        "started",
    )

    def __init__(self, host: int, place: int, shape: Shape, started: float, after: Attempt | None = None) -> None:
        self.host = host
        self.place = place
        """0 for the first attempt of a request."""
        self.shape = shape
        self.started = started
        self.after = after
        """The one before it at the same request, at another host."""
        self.kind = ""
        self.first_at: float | None = None
        self.answer = 0
        self.cost = 0.0
        self.retry_after: float | None = None
        self.remaining: float | None = None
        self.limit = self.reset_s = 0.0
        self.over = False
        """It was forsaken, and what would have become of it is nobody's concern."""
        self.forsake: Callable[[], None] | None = None
        """For the policy to call: it waits in vain, so go on with the next one if there is one."""
        self.note: object = None
        """The policy's own."""


class Policy(Protocol):
    """Chooses hosts by their position in `Setting.listings`."""

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """Hosts in the order to try; may be empty."""
        ...

    def begin(self, attempt: Attempt, now: float) -> None:
        """An attempt was dispatched."""
        ...

    def first_token(self, attempt: Attempt, now: float) -> None:
        """Its first token is here; only for streamed requests."""
        ...

    def finish(self, attempt: Attempt, now: float) -> None:
        """It ended; `attempt.kind` says how."""
        ...

    def relisted(self, now: float) -> None:
        """A listing changed."""
        ...


@runtime_checkable
class Hedger(Policy, Protocol):
    """A policy that may ask a second host when an attempt is overdue."""

    def hedge_at(self, attempt: Attempt, now: float) -> float:
        """When to ask `may_hedge`: asked at dispatch, and after each refusal."""
        ...

    def may_hedge(self, attempt: Attempt, host: int, now: float) -> bool:
        """Whether this host is to be asked too."""
        ...

    def outrun(self, attempt: Attempt, now: float) -> None:
        """Another attempt was quicker, and this one is given up."""
        ...


Maker = Callable[[Setting], Policy]


class Ours:
    """The balancer of this package behind the protocol; `strategy` as in `dwa.STRATEGIES`."""

    def __init__(self, setting: Setting, params: Params | None = None, strategy: str = "load_balanced") -> None:
        self._setting = setting
        self._strategy = strategy
        self._now = 0.0
        self.balancer = Balancer(params, clock=lambda: self._now, rng=setting.rng)
        self._replica = self.balancer.join(str(setting.replica)) if setting.replica is not None else None
        self._candidates: list[Candidate] = []
        self._present: list[Candidate] = []
        self._places: dict[str, int] = {}
        self.relisted(0.0)

    def tell(self, now: float) -> Told:
        """What other replicas should know; all have the same clock."""
        self._now = now
        return self._replica.tell(0.0) if self._replica is not None else {}

    def hear(self, others: Mapping[str, Told], now: float) -> None:
        """What they said."""
        self._now = now
        if self._replica is not None:
            self._replica.hear(others, 0.0)

    def relisted(self, now: float) -> None:
        """Prices and presence are facts of the configuration."""
        self._now = now
        listings = self._setting.listings
        self._candidates = [
            Candidate(one.key, one.price_in, one.price_out, quality=one.quality, priority=place)
            for place, one in enumerate(listings)
        ]
        self._present = [found for found, one in zip(self._candidates, listings, strict=True) if one.present]
        self._places = {one.key: place for place, one in enumerate(listings)}

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """The balancer's ranking."""
        self._now = now
        objective = self._setting.yardstick.objective
        ranking = self.balancer.rank(self._present, shape, strategy=self._strategy, objective=objective)
        places = self._places
        return [places[candidate.key] for candidate in (*ranking.candidates, *ranking.resort)]

    def begin(self, attempt: Attempt, now: float) -> None:
        """A ticket per attempt."""
        self._now = now
        objective = self._setting.yardstick.objective
        after = attempt.after.note if attempt.after is not None else None
        before = after if isinstance(after, Ticket) else None
        ticket = self.balancer.begin(self._candidates[attempt.host], attempt.shape, None, objective, after=before)
        ticket.on_hang = attempt.forsake
        attempt.note = ticket

    def first_token(self, attempt: Attempt, now: float) -> None:
        """Passed on."""
        self._now = now
        ticket = attempt.note
        if isinstance(ticket, Ticket):
            ticket.first_token()

    def finish(self, attempt: Attempt, now: float) -> None:
        """The ticket's ending, and what rate limit headers said."""
        self._now = now
        ticket = attempt.note
        if not isinstance(ticket, Ticket):
            return
        kind = attempt.kind
        if attempt.remaining is not None:
            self.balancer.observe_quota(
                ticket.key,
                remaining_requests=attempt.remaining,
                limit_requests=attempt.limit,
                reset_requests_s=attempt.reset_s,
            )
        if kind == OK:
            ticket.success(attempt.shape.input_tokens, attempt.answer, attempt.cost)
        elif kind == REFUSED:
            ticket.throttled(attempt.retry_after)
        elif kind == BAD:
            ticket.caller_error()
        else:
            ticket.failure(kind, caller_saw=kind == CUT)


class Hedging(Ours):
    """The same, hedging."""

    def hedge_at(self, attempt: Attempt, now: float) -> float:
        """When the balancer says."""
        self._now = now
        assert isinstance(attempt.note, Ticket)
        return self.balancer.hedge_at(attempt.note)

    def may_hedge(self, attempt: Attempt, host: int, now: float) -> bool:
        """Whether the balancer allows it."""
        self._now = now
        assert isinstance(attempt.note, Ticket)
        objective = self._setting.yardstick.objective
        return self.balancer.may_hedge(attempt.note, self._candidates[host], objective)

    def outrun(self, attempt: Attempt, now: float) -> None:
        """The ticket's ending."""
        self._now = now
        assert isinstance(attempt.note, Ticket)
        attempt.note.outrun()
