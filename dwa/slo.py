"""min E[cost] s.t. P(T > x) ≤ a, P(caller sees a failure) ≤ b:   J = C/C_ref + μ_lat·P(T > x) + μ_err·P(caller sees).

    per finished request   log(1 + μ) ← clamp(log(1 + μ) + η·(miss - 0.8·allowed), 0, log(1 + 100)),   η = 0.001/allowed
    clearly slack          log(1 + μ) ← (1 - 1/200)·log(1 + μ)
    μ in use               (1 + μ)·e^(η·Σ in flight (P(miss) - 0.8·allowed)) - 1

"Cheapest subject to 95 % under x seconds and errors under y %" is a constrained minimum. Its Lagrangian has one price
per constraint, and dual ascent finds the prices: each miss makes misses dearer, each kept promise a little cheaper, so
a price rests only where exactly the allowed share is missed, or at zero where the cheapest keeps the promise anyway.
In between it mixes: at the price at which a cheap slow host and a dear fast one lose alike, the draw (`share.py`) sends
each its part.

Why these departures from the textbook:
- *Steps are in log(1 + μ)*: near zero that is μ + η·miss, above it is relative, since the price that separates two
  hosts may be half a typical request or fifty. Bounded, so that a promise nobody can keep is unlearned again.
- *What is in flight counts at its forecast.* Misses are known seconds too late; a price that waits for them sends
  everybody to the cheap host, then everybody to the dear one, in step with the delay. A promise is booked when given
  and corrected when it ends (a Smith predictor): the price moves at once, and the sum of steps stays that of the law.
- *The aim is 0.8 of what is allowed*: a share that is held exactly is missed in every second window.
- *Clearly slack* is what is missed less than half as often as aimed at, and would be kept by whoever is cheapest as far
  as is foreseen: the first alone is also true of every lull of a mix, and would bend it.
- *The price goes by the forecast, not by the host*: a slow host that has become fast is cheap at once, at any price.
- *Misses count beyond those of the best*: what nobody can avoid would only blur the draw. So where nobody can keep the
  promise the price goes to its bound and the traffic to whoever misses least, and among equals to the cheapest.
- *The length of the answer is not known*, and that scatters more than any host: `length` is what the squared surprises
  of this objective's own requests have beyond the hosts' noise and doubt. P(T > x) is forecast in `lateness.py`.

What counts is what the caller waits for: from the beginning of the request to the last token of the answer that came,
failed attempts and pauses included. A failure that is retried is no miss, it only takes its time; a failure the caller
sees is an error and no latency, and so is a deadline that passed after x; a caller that hangs up after x is a miss,
before that it is nothing. Of a stream counts its end, so a caller that reads slowly makes it slow.

What it does not promise:
- A share over any window: about the last thousand requests, in a world that stands still meanwhile. The first some
  ten misses are how the price is learned; after a long rest some of them are made again.
- Anything where nobody can keep it; it is no deadline, no request is cut at x, and none is ranked by its own urgency:
  a retry is not sent to a faster host because time is short.
- Every kind of request alike: the share is that of all requests under the objective, long and short.
- Spread: what is allowed to be missed is spent where it saves most, and that is always the same slow host.
- Any one replica: they hold one price (`price.py`), and the share is kept over the requests of all of them.
- A calm mix: errors of the forecast only shift the price, since misses are counted and not forecast; but where the
  forecast moves, as that of a host does that is seldom asked, the traffic moves with it, and the mix is right in the
  mean only.
"""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import TYPE_CHECKING, Any

from dwa.latency import INSTANT
from dwa.lateness import explained, lateness
from dwa.objective import Objective, Slo
from dwa.price import Price, PriceState
from dwa.score import Judgement
from dwa.stats import SloStats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from dwa.candidate import Candidate, Shape
    from dwa.deployment import Deployment
    from dwa.ticket import Ticket

LENGTH_GAIN = 0.02
"""Weight of one squared surprise in `length`. Doubled: one essay widens every forecast; halved: 100 answers until it
is known."""
LENGTH_CUT = 3.0
"""log units at which a surprise is cut (20 times too long). Doubled: one freak decides for 50 requests; halved: answers
five times as long as usual are thought impossible."""
LENGTH_PRIOR = 0.1
"""log², before anything was learned. Doubled or halved: the first answers are misjudged."""
Row = list[Any]
"""Plain values, as they come out of any serialisation."""
OBJECTIVES = 64
"""Objectives remembered. Doubled: more memory; halved: a gateway with many relearns the oldest."""


class Constraint:
    """What one objective has learned: two prices and the scatter of its answers. Constant memory."""

    __slots__ = ("_round", "errors", "latency", "length", "slo")

    def __init__(self, slo: Slo) -> None:
        self.slo = slo
        self.latency = Price(1.0 - slo.share)
        self.errors = Price(slo.errors)
        self.length = LENGTH_PRIOR
        self._round = [0.0, 0.0]
        """Answers since `turn`, and Σ of their squared surprises."""

    def learn_length(self, surprise: float, known: float) -> None:
        """An answer took e^surprise of its forecast; `known` is the log² that its host explains."""
        cut = min(abs(surprise), LENGTH_CUT)
        square = cut * cut - known
        self._round[0] += 1.0
        self._round[1] += square
        self._hear_length(1.0, square)

    def turn(self) -> Row:
        """What happened here since the last turn."""
        answers, self._round = self._round, [0.0, 0.0]
        return [self.latency.turn(), self.errors.turn(), answers]

    def hear(self, row: Row) -> None:
        """What happened at another replica in one of its turns."""
        latency, errors, (answers, squares) = row
        self.latency.hear(*latency)
        self.errors.hear(*errors)
        if answers:
            self._hear_length(answers, squares)

    def agree(self, others: Sequence[Row]) -> None:
        """Come nearer to what other replicas hold it to be, by their `state`; whoever is new takes it from them."""
        prices = [PriceState(*latency) for latency, _, _ in others]
        if self.latency.agree(prices):
            self.length = others[max(range(len(prices)), key=lambda i: prices[i].seen)][2]
        self.errors.agree([PriceState(*errors) for _, errors, _ in others])

    @property
    def state(self) -> Row:
        """How it stands."""
        return [self.latency.state, self.errors.state, self.length]

    def restore(self, state: Row, age: float) -> None:
        """Go on from how it stood `age` seconds ago."""
        latency, errors, self.length = state
        self.latency.restore(PriceState(*latency), age)
        self.errors.restore(PriceState(*errors), age)

    def _hear_length(self, answers: float, squares: float) -> None:
        kept = (1.0 - LENGTH_GAIN) ** answers
        self.length = max(kept * self.length + (1.0 - kept) * squares / answers, 0.0)


class Promise:
    """One attempt under a constraint: booked at its forecast, struck when it ends. Times on the balancer's clock."""

    __slots__ = ("_began", "_constraint", "_fails", "_forecast", "_known", "_late", "_started")

    def __init__(
        self,
        constraint: Constraint,
        d: Deployment,
        ticket: Ticket,
        began: float | None,
        shared: float,
    ) -> None:
        self._constraint = constraint
        self._started, self._forecast = ticket.started, ticket.forecast
        self._began = ticket.started if began is None else began
        self._known = explained(d.latency, ticket.shape, ticket.answer, ticket.started)
        left = constraint.slo.seconds - (self._started - self._began)
        self._late = lateness(d, self._forecast * d.slow, left, self._known, constraint.length)
        self._fails = min(d.cut + d.error * shared, 1.0)
        constraint.latency.book(self._late)
        constraint.errors.book(self._fails)

    def answered(self, now: float) -> None:
        """The whole answer is here."""
        self.void()
        constraint = self._constraint
        constraint.latency.finished(float(now - self._began > constraint.slo.seconds))
        constraint.errors.finished(0.0)
        seconds = max(now - self._started, INSTANT)
        constraint.learn_length(log(seconds / max(self._forecast, INSTANT)), self._known)

    def failed(self, *, caller_saw: bool) -> None:
        """The attempt failed: the end of the request when the caller saw it, else only time."""
        self.void()
        if caller_saw:
            self._constraint.errors.finished(1.0)

    def left(self, now: float) -> None:
        """The caller went away: past its time that is a miss."""
        self.void()
        if now - self._began > self._constraint.slo.seconds:
            self._constraint.latency.finished(1.0)

    def void(self) -> None:
        """It says nothing."""
        self._constraint.latency.strike(self._late)
        self._constraint.errors.strike(self._fails)


class Constraints:
    """What every SLO objective has learned, by name. Memory bounded: the oldest is dropped."""

    __slots__ = ("_epoch", "_known")

    def __init__(self) -> None:
        self._known: dict[str, Constraint] = {}
        self._epoch = 0
        """Times that all was forgotten, here or at those whom we follow: who has forgotten less is behind."""

    def of(self, name: str, slo: Slo) -> Constraint:
        """As it stands; a blank one, not kept, when nothing was learned or the promise has changed."""
        found = self._known.get(name)
        return found if found is not None and found.slo == slo else Constraint(slo)

    def meet(self, name: str, slo: Slo) -> Constraint:
        """Likewise, and kept."""
        found = self._known[name] = self.of(name, slo)
        if len(self._known) > OBJECTIVES:
            del self._known[next(iter(self._known))]
        return found

    def forget(self) -> None:
        """Drop all; promises in flight end in the forgotten past."""
        self._known = {}
        self._epoch += 1

    def turn(self) -> dict[str, Row]:
        """What happened here since the last turn, by objective, for other replicas to `hear`."""
        rows = {name: [_promised(one.slo), one.turn()] for name, one in self._known.items()}
        return {name: row for name, row in rows.items() if any(count for count, _ in row[1])}

    def hear(self, rows: Mapping[str, Row]) -> None:
        """What happened at another replica in one of its turns."""
        for name, (slo, row) in rows.items():
            if (constraint := self._same(name, slo)) is not None:
                constraint.hear(row)

    def stand(self) -> Row:
        """How all stand, for other replicas to `agree` with."""
        return [self._epoch, self.snapshot()]

    def agree(self, others: Iterable[Row]) -> None:
        """Come nearer to how they stand with the other replicas, of which none is left out who is there."""
        found: dict[str, list[Row]] = {name: [] for name in self._known}
        for epoch, standing in others:
            if epoch < self._epoch:
                continue  # it has not yet heard that all is to be forgotten
            self._epoch = epoch
            for name, (slo, state) in standing.items():
                if self._same(name, slo) is not None:
                    found.setdefault(name, []).append(state)
        for name, states in found.items():
            if name in self._known:
                self._known[name].agree(states)

    def snapshot(self) -> dict[str, Row]:
        """How all stand, as plain values."""
        return {name: [_promised(one.slo), one.state] for name, one in self._known.items()}

    def restore(self, saved: Mapping[str, Row], age: float) -> None:
        """Go on from a snapshot taken `age` seconds ago. TypeError or ValueError when it is damaged."""
        for name, (slo, state) in saved.items():
            self.meet(name, Slo(*slo)).restore(state, age)

    def _same(self, name: str, slo: Row) -> Constraint | None:
        """Ours of this name; None when it promises something else, as while a new configuration is rolled out."""
        known, promise = self._known.get(name), Slo(*slo)
        if known is None:
            return self.meet(name, promise)
        return known if known.slo == promise else None

    def stats(self) -> list[SloStats]:
        """Of every objective that was used, in order of first use."""
        return [
            SloStats(
                objective=name,
                slo=one.slo,
                latency_price=one.latency.value,
                error_price=one.errors.value,
                within=1.0 - one.latency.misses if one.latency.count else None,
                failed=one.errors.misses if one.errors.count else None,
                requests=one.errors.count,
            )
            for name, one in self._known.items()
        ]


def _promised(slo: Slo) -> Row:
    return [slo.seconds, slo.share, slo.errors]


class Priced(Judgement):
    """Losses with the prices of a constraint. `misses`: the part by P(T > x) beyond the least, in `worth` too."""

    __slots__ = ("_answer", "_constraint", "_foreseen", "_late", "_least", "_now", "_price", "_shape", "misses")

    def __init__(
        self,
        objective: Objective,
        deployments: Sequence[Deployment],
        seconds: list[float],
        costs: list[float],
        references: tuple[float, float],
        shared: float,
        learned: Callable[[Candidate], float] | None,
        *,
        constraint: Constraint,
        shape: Shape,
        answer: float,
        now: float,
    ) -> None:
        """As `Judgement`; `answer` in expected tokens, `now` on the balancer's clock."""
        dearer = replace(objective, errors=objective.errors + constraint.errors.value)
        super().__init__(dearer, deployments, seconds, costs, references, shared, learned)
        self._constraint, self._shape, self._answer, self._now = constraint, shape, answer, now
        self._price = constraint.latency.value
        late = self._late = [self._lateness(d, s) for d, s in zip(deployments, seconds, strict=True)]
        self._least = min(late)
        cheapest = self.worth.index(min(self.worth))
        d = deployments[cheapest]
        self._foreseen = late[cheapest], d.cut + d.error * shared
        self.misses = [self._price * (chance - self._least) for chance in late]
        self.worth = [worth + miss for worth, miss in zip(self.worth, self.misses, strict=True)]
        self.losses = [loss + miss for loss, miss in zip(self.losses, self.misses, strict=True)]

    def foresee(self) -> None:
        """Tell the constraint what would be missed at no price."""
        self._constraint.latency.foresee(self._foreseen[0])
        self._constraint.errors.foresee(self._foreseen[1])

    def hopes(self, deployments: Sequence[Deployment]) -> list[float]:
        """As if it missed nothing any more, too: what is looked for is a cheap one that became fast enough.

        Nothing at all, not only no more than the best, who may be the best because others are thought slow by mistake.
        """
        return [hope + self._price * late for hope, late in zip(super().hopes(deployments), self._late, strict=True)]

    def add(self, deployment: Deployment, seconds: float, cost: float) -> None:
        """As in `Judgement`."""
        super().add(deployment, seconds, cost)
        self._late.append(self._lateness(deployment, seconds))
        self.misses.append(self._price * max(self._late[-1] - self._least, 0.0))
        self.worth[-1] += self.misses[-1]
        self.losses[-1] += self.misses[-1]

    def retract(self) -> None:
        """Undo the last `add`."""
        super().retract()
        del self.misses[-1], self._late[-1]

    def _lateness(self, d: Deployment, seconds: float) -> float:
        constraint = self._constraint
        known = explained(d.latency, self._shape, self._answer, self._now)
        return lateness(d, seconds / d.latency.tail, constraint.slo.seconds, known, constraint.length)
