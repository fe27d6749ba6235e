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
  ten misses are how the price is learned; after a restart they are made again.
- Anything where nobody can keep it; it is no deadline, no request is cut at x, and none is ranked by its own urgency:
  a retry is not sent to a faster host because time is short.
- Every kind of request alike: the share is that of all requests under the objective, long and short.
- Spread: what is allowed to be missed is spent where it saves most, and that is always the same slow host.
- Replicas hold their prices apart; each keeps the promise for its own requests.
- A calm mix: errors of the forecast only shift the price, since misses are counted and not forecast; but where the
  forecast moves, as that of a host does that is seldom asked, the traffic moves with it, and the mix is right in the
  mean only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import expm1, inf, log, log1p
from typing import TYPE_CHECKING

from dwa.latency import INSTANT
from dwa.lateness import explained, lateness
from dwa.score import Judgement, Objective

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dwa.candidate import Candidate, Shape
    from dwa.deployment import Deployment
    from dwa.ticket import Ticket

AIM = 0.8
"""Share of the allowed misses that is aimed at. Doubled: the promise is broken; halved: half of what may be saved."""
STEP = 0.001
"""η·allowed, log(1 + μ) that a request may move when misses are as rare as allowed: 35 misses of 5 % until a miss is
worth a typical request. Doubled: one miss moves the price by more than the draw's band (swings); halved: 70 misses."""
STEP_MOST = 0.1
"""Largest η, log(1 + μ) per miss. Doubled: of a promise of 99.9 % each miss raises the price by a fifth; halved: a
promise of 99 % is learned in seven failures instead of fourteen."""
CEILING = 100.0
"""Bound of μ, in costs of a typical request per miss. Doubled: no difference but to hosts a hundred times as dear;
halved: a host fifty times as dear is not taken to save half of the misses."""
WINDOW = 200
"""Finished requests over which shares are observed. Doubled: slack is noticed after twice as many; halved: luck is
taken for slack, and the price given up too early."""
SLACK = 0.5
"""Share of the aim below which a constraint is clearly slack, if it is foreseen to be. Doubled: every lucky moment of a
host that is better than it looks lowers the price, which costs misses; halved: hardly ever, with 200 requests."""
RELEASE = 1 / 200
"""Share of log(1 + μ) given up per request while slack. Doubled: forgets in a lull what it learned; halved: from the
bound it takes 1600 requests instead of 800 to come down to what a typical request costs."""
LENGTH_GAIN = 0.02
"""Weight of one squared surprise in `length`. Doubled: one essay widens every forecast; halved: 100 answers until it
is known."""
LENGTH_CUT = 3.0
"""log units at which a surprise is cut (20 times too long). Doubled: one freak decides for 50 requests; halved: answers
five times as long as usual are thought impossible."""
LENGTH_PRIOR = 0.1
"""log², before anything was learned. Doubled or halved: the first answers are misjudged."""
OBJECTIVES = 64
"""Objectives remembered. Doubled: more memory; halved: a gateway with many relearns the oldest."""
TIE_LATENCY, TIE_ERRORS = 0.02, 1.0
"""Weights beside the prices: a typical latency is worth 2 % of a typical cost, a failure the caller sees all of it. So
of two that cost alike and keep the promise the better one is asked. Doubled: pays 4 % for speed that was not asked for;
halved: ties are left to luck."""


@dataclass(frozen=True, slots=True)
class Slo:
    """What is promised: `share` of the answers whole within `seconds`, and at most `errors` of the requests failed.

    Both shares lie between 0 and 1, neither included: what may never be missed has no price. ValueError otherwise.
    """

    seconds: float
    share: float = 0.95
    errors: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 < self.seconds < inf or not 0.0 < self.share < 1.0 or not 0.0 < self.errors < 1.0:
            raise ValueError("an SLO needs seconds above 0, and shares and errors between 0 and 1")


@dataclass(frozen=True, slots=True)
class SloStats:
    """How one objective keeps its promise. Prices in costs of a typical request per miss."""

    objective: str
    slo: Slo
    latency_price: float
    error_price: float
    within: float | None
    """Share of the answers under `slo.seconds`, over about the last `WINDOW`; None before the first."""
    failed: float | None
    """Share of the requests that failed, likewise."""
    requests: int
    """Finished requests in all."""


def cheapest_under(name: str, slo: Slo) -> Objective:
    """The objective "cheapest subject to this SLO"."""
    return Objective(name, TIE_LATENCY, 1.0, TIE_ERRORS, slo=slo)


class Price:
    """The shadow price of one constraint."""

    __slots__ = ("_aim", "_foreseen", "_level", "_owed", "_step", "count", "misses")

    def __init__(self, allowed: float) -> None:
        self._aim = AIM * allowed
        self._step = min(STEP / allowed, STEP_MOST)
        self._foreseen = 1.0
        self._level = 0.0
        """log(1 + μ) by what has finished."""
        self._owed = 0.0
        """Σ over what is in flight of forecast - aim."""
        self.count = 0
        self.misses = 0.0
        """Share over the window."""

    @property
    def value(self) -> float:
        """μ, with what is in flight at its forecast."""
        level = self._level + self._step * self._owed
        return expm1(min(level, log1p(CEILING))) if level > 0.0 else 0.0

    def foresee(self, forecast: float) -> None:
        """A request comes that whoever is cheapest would miss with this probability."""
        self._foreseen += (forecast - self._foreseen) / WINDOW

    def book(self, forecast: float) -> None:
        """A request leaves that will be missed with this probability."""
        self._owed += forecast - self._aim

    def strike(self, forecast: float) -> None:
        """It is no longer in flight."""
        self._owed -= forecast - self._aim

    def finished(self, missed: float) -> None:
        """A request was missed (1.0) or not (0.0)."""
        self.count += 1
        self.misses += (missed - self.misses) / min(self.count, WINDOW)
        level = self._level + self._step * (missed - self._aim)
        if self.misses < SLACK * self._aim and self._foreseen < self._aim:
            level *= 1.0 - RELEASE
        self._level = min(max(level, 0.0), log1p(CEILING))


class Constraint:
    """What one objective has learned: two prices and the scatter of its answers. Constant memory."""

    __slots__ = ("errors", "latency", "length", "slo")

    def __init__(self, slo: Slo) -> None:
        self.slo = slo
        self.latency = Price(1.0 - slo.share)
        self.errors = Price(slo.errors)
        self.length = LENGTH_PRIOR

    def learn_length(self, surprise: float, known: float) -> None:
        """An answer took e^surprise of its forecast; `known` is the log² that its host explains."""
        cut = min(abs(surprise), LENGTH_CUT)
        self.length += LENGTH_GAIN * (cut * cut - known - self.length)
        self.length = max(self.length, 0.0)


class Promise:
    """One attempt under a constraint: booked at its forecast, struck when it ends. Times on the balancer's clock."""

    __slots__ = ("_began", "_constraint", "_fails", "_forecast", "_known", "_late", "_started")

    def __init__(
        self,
        constraint: Constraint,
        d: Deployment,
        ticket: Ticket,
        began: float | None,
        failover_fails: float,
    ) -> None:
        self._constraint = constraint
        self._started, self._forecast = ticket.started, ticket.forecast
        self._began = ticket.started if began is None else began
        self._known = explained(d, ticket.shape, ticket.answer, ticket.started)
        left = constraint.slo.seconds - (self._started - self._began)
        self._late = lateness(d, self._forecast * d.slow, left, self._known, constraint.length)
        self._fails = min(d.cut + d.error * failover_fails, 1.0)
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

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, Constraint] = {}

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
        failover_fails: float,
        learned: Callable[[Candidate], float] | None,
        *,
        constraint: Constraint,
        shape: Shape,
        answer: float,
        now: float,
    ) -> None:
        """As `Judgement`; `answer` in expected tokens, `now` on the balancer's clock."""
        dearer = replace(objective, errors=objective.errors + constraint.errors.value)
        super().__init__(dearer, deployments, seconds, costs, references, failover_fails, learned)
        self._constraint, self._shape, self._answer, self._now = constraint, shape, answer, now
        self._price = constraint.latency.value
        late = self._late = [self._lateness(d, s) for d, s in zip(deployments, seconds, strict=True)]
        self._least = min(late)
        cheapest = self.worth.index(min(self.worth))
        d = deployments[cheapest]
        self._foreseen = late[cheapest], d.cut + d.error * failover_fails
        self.misses = [self._price * (chance - self._least) for chance in late]
        self.worth = [worth + miss for worth, miss in zip(self.worth, self.misses, strict=True)]
        self.losses = [loss + miss for loss, miss in zip(self.losses, self.misses, strict=True)]

    def foresee(self) -> None:
        """Tell the constraint what would be missed at no price."""
        self._constraint.latency.foresee(self._foreseen[0])
        self._constraint.errors.foresee(self._foreseen[1])

    def hopes(self) -> list[float]:
        """As if it missed nothing any more, too: what is looked for is a cheap one that became fast enough.

        Nothing at all, not only no more than the best, who may be the best because others are thought slow by mistake.
        """
        return [hope + self._price * late for hope, late in zip(super().hopes(), self._late, strict=True)]

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
        known = explained(d, self._shape, self._answer, self._now)
        return lateness(d, seconds / d.latency.tail, constraint.slo.seconds, known, constraint.length)
