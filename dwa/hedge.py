"""Ask a second host when wait(t) > other(t), it is worth its price, and both purses can pay: t is the age of the first.

    overdue    t ≥ exp(due + 1.645·sd): the p95 of what this deployment promised when it was asked (`overdue.py`)
    P(stuck)   = π / (π + P(T > t)), π the share that strays there x e^(what else is overdue there, in nats)
    wait(t)    = P·s + (1-P)·E[T - t | T > t]: s = max(5, t - 10) medians if stuck, else the rest of a log-normal
    other(t)   = P·m + (1-P)·m', with m what the other host takes, load included, and m' that for a long answer
    worth      w_lat·saving/L_ref > w_cost·extra/C_ref: the objective's own rate of exchange for seconds and dollars

So a long prompt at a dear host is waited for longer than a short one, and nothing is asked twice that the objective
would not pay for. T is the first token of a stream, else the whole answer; that one is late mostly because it is long,
and then it will be long elsewhere too (m' = (t + rest)·m/forecast), so whole answers are hedged late, when only a hang
explains the silence (s = t). What share of a stream's first tokens stray, and how the others scatter, is learned per
deployment (`strays.py`).

Bounded, because hedging adds load when load is the trouble: a purse of hedges and one of dollars fill by a share of the
attempts that may be hedged and of what those are expected to cost. And never towards a host that is suspicious itself
(requests overdue there, breaker not closed, rate limited, full): when everything is slow nobody is asked twice, and the
first seconds, before the others are known to be slow too, cost no more than what the purses hold.

Limits: the purses are of one process, and so is the evidence for a hang that a given-up attempt leaves (`overdue.py`):
others learn of the hang when the breaker opens. Under an SLO seconds are worth the objective's weight, not the shadow
price, and where that is nothing nobody is asked twice. What is charged is the forecast of the second answer, whole:
what a provider bills for a call that is broken off is not told.
"""

from __future__ import annotations

from math import erfc, exp, log, sqrt
from typing import TYPE_CHECKING

from dwa.breaker import CLOSED
from dwa.latency import FIRST, TOTAL

if TYPE_CHECKING:
    from dwa.deployment import Deployment
    from dwa.latency import LatencyModel
    from dwa.ledger import Ledger
    from dwa.objective import Objective
    from dwa.reference import References
    from dwa.ticket import Ticket

Z95 = 1.645
"""s.d. of the log beyond which one healthy request in twenty is. Doubled: one in two thousand, only hangs are hedged;
halved: one in five, and the purse is empty when it matters."""
SHARE = 0.05
"""Hedges per attempt that may be hedged, and their dollars per dollar of those. Doubled: an overload grows by a tenth
before it is seen; halved: half of the ordinary stragglers of a healthy host are waited for."""
BURST = 5.0
"""Hedges that may be saved up: as many as prove a hang (14 nats of at least 3 each). Doubled: twice as many second
requests into the first second of an overload; halved: of those who meet a hang before it is known, half wait."""
BURST_USD = 20.0
"""Typical attempts' cost that may be saved up: so many hedges at hosts four times as dear. Doubled: an overload may
cost some cents more; halved: dear hosts save fewer callers."""
STUCK_MEDIANS = 5.0
"""Medians that such a first token still takes, until its age tells of more: what public measurements of stragglers
show (`simulate/hosts.py`). Doubled: pays for stragglers that are about to come; halved: waits for them."""
HANGING = 0.002
"""Share of whole answers that are stuck: their time says little. Doubled or halved: hangs are hedged a tenth earlier or
later."""
MOST_NATS = 4.0
"""Evidence by which what else is overdue there makes it likelier, as one request counts in `overdue.py`. Doubled: two
unlucky ones condemn a third; halved: the first seconds of a hang are waited for."""
AGAIN = 0.25
"""Share of its age after which a request that was not hedged is looked at again. Doubled: a hedge comes late by half of
the wait; halved: twice the work while nothing can be done."""
TYPICAL_GAIN = 0.02
"""Weight of one attempt in the typical cost. Doubled or halved: no difference in a steady mix."""
LEAST_TAIL = 1e-9
"""P(T > t) below which nobody believes that it is only slow."""


class Hedges:
    """What may be asked twice; one per balancer, so that all routes share the purses."""

    __slots__ = ("_typical", "requests", "usd")

    def __init__(self) -> None:
        self.requests = BURST
        """Hedges that may be made now."""
        self.usd = 0.0
        """USD that they may cost; may go below zero by one hedge."""
        self._typical: float | None = None

    def watch(self, ticket: Ticket, own: Deployment, now: float) -> float:
        """When, on the clock, to ask whether this attempt may be hedged: when it is overdue, else a little later.

        Asked before it is overdue, which is once, it pays its share into the purses.
        """
        promised = ticket.started + promised_s(ticket, own)
        if now >= promised:
            return now + AGAIN * (now - ticket.started)
        self._earn(_bill(own, ticket))
        return promised

    def grant(
        self, ticket: Ticket, own: Deployment, other: Deployment, now: float, objective: Objective, known: References
    ) -> bool:
        """Whether `other` is to be asked too; then it is paid for."""
        if now < ticket.started + promised_s(ticket, own) or ticket.first_at is not None:
            return False
        # Who looks whether a broken host is back does so for all: there are few of them, and they do not pay.
        probes = own.breaker.probe_sent == ticket.started
        if not probes and (self.requests < 1.0 or self.usd < 0.0):
            return False
        if not _healthy(other, ticket, now) or not _worth(ticket, own, other, now, objective, known):
            return False
        if not probes:
            self.requests -= 1.0
            self.usd -= _bill(other, ticket)
        return True

    def _earn(self, cost: float) -> None:
        if self._typical is None:
            self._typical = cost
            self.usd = BURST_USD * cost
        self._typical += TYPICAL_GAIN * (cost - self._typical)
        self.requests = min(self.requests + SHARE, BURST)
        self.usd = min(self.usd + SHARE * cost, BURST_USD * self._typical)


def promised_s(ticket: Ticket, own: Deployment) -> float:
    """Seconds in which 95 of 100 such requests show life (a stream; of those that do not stray) or are done."""
    middle, spread = _usual(ticket, own)
    return exp(middle + Z95 * spread)


def learn_longer(latency: LatencyModel, ledger: Ledger | None, ticket: Ticket, age: float, now: float) -> None:
    """Teach that an attempt given up at this age would have taken longer, where that is longer than thought.

    The age is a lower bound; taken for the time itself it errs towards the host. So it is told to other replicas too.
    """
    prompt, busy = ticket.shape.input_tokens, ticket.busy
    # How long an answer would have been is not known: it may have been one of the longest in twenty.
    typical = exp(ticket.due if ticket.shape.stream else ticket.due + Z95 * _spread(ticket))
    if age <= typical:
        return
    if ticket.shape.stream:
        ratio = latency.at_least(1.0 + (age - typical) / ticket.forecast)
        latency.first_token(now, age, prompt, busy)
        if ledger is not None:
            ledger.timed(FIRST, age, prompt, 0.0, busy)
    else:
        ratio, seconds = latency.at_least(age / typical), ticket.forecast * age / typical
        latency.total(now, seconds, prompt, ticket.answer, busy)
        if ledger is not None:
            ledger.timed(TOTAL, seconds, prompt, ticket.answer, busy)
    if ledger is not None and ratio:
        ledger.whole(ratio)


def _usual(ticket: Ticket, own: Deployment) -> tuple[float, float]:
    """Mean and s.d. of log T."""
    if ticket.shape.stream:
        strays = own.overdue.strays
        return ticket.due + strays.usual, strays.spread
    return ticket.due, _spread(ticket)


def _spread(ticket: Ticket) -> float:
    return 1.0 / (sqrt(2.0) * ticket.sharpness)


def _healthy(other: Deployment, ticket: Ticket, now: float) -> bool:
    if now >= other.review_at:
        other.review(now)
    if other.slow > 1.0 or other.breaker.state != CLOSED or other.in_flight >= other.limit:
        return False
    return not other.quota.active or not other.gate(now, ticket.shape.input_tokens + ticket.answer)[0]


def _worth(
    ticket: Ticket, own: Deployment, other: Deployment, now: float, objective: Objective, known: References
) -> bool:
    """Whether the other is expected to be done sooner than the wait lasts, by more than it costs."""
    stuck, lost, late = _outlook(ticket, own, now)
    prompt, answer = ticket.shape.input_tokens, ticket.answer
    there = there_late = (other.first + prompt * other.prefill + answer * other.token) * other.crowding
    if ticket.shape.stream:
        # Only the first token is waited for, but who answers also writes; at its usual speed, straggler or not.
        writing = ticket.forecast - exp(ticket.due)
        lost, late = lost + writing, late + writing
    else:
        there_late = max(there, (now - ticket.started + late) * there / ticket.forecast)
    if stuck * lost + (1.0 - stuck) * late <= stuck * there + (1.0 - stuck) * there_late:
        return False
    saving = stuck * max(lost - there, 0.0) + (1.0 - stuck) * max(late - there_late, 0.0)
    dollars = (_bill(own, ticket), _bill(other, ticket))
    # Both prompts are read; the answer is written once, by the other when this one is stuck.
    written = answer * (other.candidate.price_out * other.price - own.candidate.price_out * own.price)
    extra = prompt * other.candidate.price_in * other.price + stuck * written
    reference_s, reference_usd = known.of(ticket.shape.route, (ticket.forecast, there), dollars)
    return objective.latency * saving / reference_s > objective.cost * extra / reference_usd


def _outlook(ticket: Ticket, own: Deployment, now: float) -> tuple[float, float, float]:
    """P(stuck), the seconds it will still take if it is, and if it is not."""
    age, stream = now - ticket.started, ticket.shape.stream
    middle, spread = _usual(ticket, own)
    usual = STUCK_MEDIANS * exp(middle)
    lost = max(usual, age - 2.0 * usual) if stream else age
    late = (log(age) - middle) / spread
    tail = 0.5 * erfc(late / sqrt(2.0))
    if tail < LEAST_TAIL:
        return 1.0, lost, 0.0
    others = min(max(own.overdue.nats(now) - own.overdue.weigh(ticket, now), 0.0), MOST_NATS)
    odds = (own.overdue.strays.share if stream else HANGING) * exp(others) / tail
    whole = exp(middle + spread * spread / 2.0) * 0.5 * erfc((late - spread) / sqrt(2.0)) / tail
    return odds / (1.0 + odds), lost, max(whole - age, 0.0)


def _bill(deployment: Deployment, ticket: Ticket) -> float:
    candidate, shape = deployment.candidate, ticket.shape
    listed = shape.input_tokens * candidate.price_in + ticket.answer * candidate.price_out
    return listed * deployment.price
