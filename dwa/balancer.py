"""Send the request where its expected loss is least, and learn from what became of it.

Share among near-equals; look again at the others just often enough; stop at once what is broken; stay under what is
limited.

    rank:   survey (who may, how long, how dear) → judge (J) → share → look? → probe?      O(candidates)
    begin:  a ticket; its ending teaches the deployment it belongs to                      O(1)

The balancer only composes; each mechanism is a module of its own with its formula and its reasons: `latency`,
`reliability`, `load`, `overdue`, `breaker`, `quota`, `toll`, `share`, `explore`, `affinity`, `length`, put together per
deployment in `deployment` and into one number in `score`.

Clock and randomness are handed in and used in a fixed order (one uniform number per ranking), so the same calls with
the same seed make the same choices. Not thread-safe: one event loop, one balancer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import cast

from dwa.affinity import Affinity
from dwa.breaker import CLOSED
from dwa.candidate import Candidate, Shape
from dwa.choice import held_back, join, overruled, share
from dwa.deployment import Deployment
from dwa.explore import Explorer, Traffic
from dwa.hedge import Hedges
from dwa.length import Lengths
from dwa.objective import BALANCED, Objective
from dwa.params import Params
from dwa.quality import Quality
from dwa.ranking import Ranking
from dwa.reference import References
from dwa.report import describe
from dwa.score import Judgement
from dwa.sharing import Replica
from dwa.slo import Constraints, Priced, Promise
from dwa.snapshot import dump, load
from dwa.stats import DeploymentStats, SloStats
from dwa.strategies import LOAD_BALANCED, ORDERS, STRATEGIES, Reason
from dwa.survey import Survey
from dwa.ticket import Ticket
from dwa.together import Sequel, Together


class Balancer:
    """Ranks deployments and learns from what became of the requests. `clock` in seconds, any origin."""

    __slots__ = (
        "_affinity",
        "_clock",
        "_deployments",
        "_explorer",
        "_hedges",
        "_joined",
        "_lengths",
        "_params",
        "_quality",
        "_references",
        "_rng",
        "_slos",
        "_together",
        "_traffic",
        "_turn",
    )

    def __init__(self, params: Params | None = None, *, clock: Callable[[], float], rng: Random) -> None:
        self._params = params or Params()
        self._clock = clock
        self._rng = rng
        self._deployments: dict[str, Deployment] = {}
        self._lengths = Lengths(self._params)
        self._affinity = Affinity(self._params)
        self._references = References(self._params)
        self._quality = Quality()
        self._slos = Constraints()
        self._together = Together(self._params, clock())
        self._traffic = Traffic(clock())
        self._explorer = Explorer(self._params, self._traffic)
        self._hedges = Hedges()
        self._turn = 0
        self._joined = False

    def rank(
        self,
        candidates: Sequence[Candidate],
        shape: Shape,
        *,
        strategy: str = LOAD_BALANCED,
        objective: Objective = BALANCED,
        sticky: str | None = None,
    ) -> Ranking:
        """The candidates in the order to try them. Their keys must be distinct.

        `sticky` names a session or prompt prefix whose warm prompt cache is worth something; hand it to `begin` too.
        ValueError without candidates or for an unknown strategy.
        """
        if strategy not in STRATEGIES or not candidates:
            raise ValueError(f"need candidates and a strategy among {', '.join(sorted(STRATEGIES))}")
        now = self._clock()
        self._traffic.arrive(now, shape.input_tokens)
        self._explorer.earn()
        uniform = self._rng.random()
        answer = self._lengths.expect(shape)
        survey = self._survey(candidates, shape, answer, now, sticky)
        if strategy == LOAD_BALANCED and survey.blocked:
            survey.pardon(self._params)
        reason: Reason
        if not survey.candidates:
            return self._last_resort(survey, shape, answer, now, uniform, strategy, objective)
        idle, costs = survey.idle, survey.costs
        if survey.excluded:
            idle, costs = survey.everyone()
        references, size = self._references.learn(shape.route, idle, costs)
        judgement = self._judge(survey, objective, references, shape, answer, now)
        if isinstance(judgement, Priced):
            judgement.foresee()
        if strategy == LOAD_BALANCED:
            order, reason = share(self._params, self._explorer, survey, judgement, uniform, size)
        else:
            arrange, reason = ORDERS[strategy]
            order, _, _ = held_back(survey, arrange(survey, judgement.losses, uniform), uniform)
        if survey.blocked:
            weighed = strategy == LOAD_BALANCED
            reason = join(self._params, survey, judgement, order, size, weighed=weighed) or reason
        self._turn += 1
        survey.deployments[order[0]].turn = self._turn
        return Ranking(
            self._params, survey, judgement, order, reason=reason, strategy=strategy, objective=objective, seed=uniform
        )

    def expected_answer(self, shape: Shape) -> float:
        """Tokens to expect of an answer; see `Lengths`."""
        return self._lengths.expect(shape)

    def begin(
        self,
        candidate: Candidate,
        shape: Shape,
        sticky: str | None = None,
        objective: Objective | None = None,
        began: float | None = None,
        after: Ticket | None = None,
    ) -> Ticket:
        """Dispatch one attempt: opens a ticket that must be settled by what becomes of it.

        Only an `objective` with an SLO learns from it, by what the caller has waited since `began` (on the balancer's
        clock; None: since now). `after` is the attempt of another deployment at the same request before it.
        """
        deployment = self._meet(candidate)
        answer = self._lengths.expect(shape)
        ticket = Ticket(deployment, candidate, shape, clock=self._clock, answer=answer, sticky=sticky)
        if after is not None and after.failed and deployment.breaker.state == CLOSED:
            ticket.sequel = Sequel(self._together, deployment.error, after.late)
        if objective is not None and objective.slo is not None:
            constraint = self._slos.meet(objective.name, objective.slo)
            fails = self._together.rate(ticket.started)
            ticket.promise = Promise(constraint, deployment, ticket, began, fails)
        return ticket

    def unanswered(self, objective: Objective) -> None:
        """A request under `objective` got no answer at all, and the hosts are to blame: none of its tickets knows."""
        if objective.slo is not None:
            self._slos.meet(objective.name, objective.slo).errors.finished(1.0)

    def slos(self) -> list[SloStats]:
        """How each objective with an SLO that was used keeps its promise, in order of first use."""
        return self._slos.stats()

    def hedge_at(self, ticket: Ticket) -> float:
        """When, on the clock, to ask `may_hedge` about it: ask here once it is sent, and after each refusal."""
        return self._hedges.watch(ticket, self._meet(ticket.candidate), self._clock())

    def may_hedge(self, ticket: Ticket, candidate: Candidate, objective: Objective = BALANCED) -> bool:
        """Whether this candidate is to be asked as well, because the attempt is overdue; then that is paid for.

        Whichever answers later is to be ended by `Ticket.outrun`.
        """
        own, other = self._meet(ticket.candidate), self._meet(candidate)
        return self._hedges.grant(ticket, own, other, self._clock(), objective, self._references)

    def observe_quota(
        self,
        key: str,
        *,
        remaining_requests: float | None = None,
        limit_requests: float | None = None,
        reset_requests_s: float | None = None,
        remaining_tokens: float | None = None,
        limit_tokens: float | None = None,
        reset_tokens_s: float | None = None,
    ) -> None:
        """What a host's rate limit headers say; resets in seconds from now. An unknown key is ignored."""
        deployment = self._deployments.get(key)
        if deployment is None:
            return
        now = self._clock()
        deployment.quota.observe(
            now,
            remaining_requests=remaining_requests,
            limit_requests=limit_requests,
            reset_requests_s=reset_requests_s,
            remaining_tokens=remaining_tokens,
            limit_tokens=limit_tokens,
            reset_tokens_s=reset_tokens_s,
        )
        deployment.publish(now)

    def rate(
        self,
        key: str,
        route: str,
        score: float,
        source: str,
        weight: float = 1.0,
        *,
        crowd: str | None = None,
        age: float = 0.0,
    ) -> float:
        """Learn that `source`, one of `crowd`, gives an answer `score` (0..1); see `Quality.rate`.

        `route` is the shape's, `age` the seconds since the answer. Returns the weight it was counted with. ValueError
        for a number out of its bounds.
        """
        return self._quality.rate(key, route, score, source, weight, self._clock(), crowd=crowd, age=age)

    def revise(self, key: str, route: str, change: float, weight: float, *, age: float = 0.0) -> None:
        """A vote that was counted with `weight` `age` seconds ago changes its score by `change`."""
        self._quality.revise(key, route, change, weight, self._clock(), age=age)

    def preview(
        self, candidates: Sequence[Candidate], shape: Shape, objective: Objective = BALANCED, sticky: str | None = None
    ) -> Ranking:
        """The ranking by expected loss alone, for people: draws nothing, spends no look, leases no probe."""
        now = self._clock()
        answer = self._lengths.expect(shape)
        survey = self._survey(candidates, shape, answer, now, sticky)
        if not survey.candidates:
            return self._last_resort(survey, shape, answer, now, 0.0, LOAD_BALANCED, objective)
        references = self._references.of(shape.route, *survey.everyone())
        judgement = self._judge(survey, objective, references, shape, answer, now)
        order = sorted(range(len(judgement.losses)), key=judgement.losses.__getitem__)
        reason: Reason = "best_performance" if len(order) > 1 else "only_candidate"
        return Ranking(
            self._params, survey, judgement, order, reason=reason, strategy=LOAD_BALANCED, objective=objective, seed=0.0
        )

    def weights(
        self, candidates: Sequence[Candidate], shape: Shape, objective: Objective = BALANCED
    ) -> dict[str, float]:
        """Probability of each key to be tried first; sums to one. All zero when every one waits for Retry-After."""
        rows = self.preview(candidates, shape, objective).explain()
        found = {row["key"]: cast("float", row["weight"]) for row in rows}
        return {candidate.key: found.get(candidate.key, 0.0) for candidate in candidates}

    def stats(self, objective: Objective = BALANCED) -> list[DeploymentStats]:
        """Every deployment ever met, as compared for a request of typical size; in order of first appearance."""
        if not self._deployments:
            return []
        now = self._clock()
        candidates = [deployment.candidate for deployment in self._deployments.values()]
        rows = self.preview(candidates, Shape(int(self._traffic.prompt)), objective).explain()
        by_key = {row["key"]: row for row in rows}
        return [describe(one, now, by_key[one.key], self._quality) for one in self._deployments.values()]

    def reset(self, provider_or_key: str | None = None) -> int:
        """Forget what was learned about one deployment, all of one provider, or (None) all; returns how many.

        Tickets in flight settle into the forgotten past.
        """
        gone = [
            key
            for key, deployment in self._deployments.items()
            if provider_or_key in (None, key, deployment.candidate.provider)
        ]
        for key in gone:
            del self._deployments[key]
            self._affinity.forget(key)
        self._quality.forget(provider_or_key)
        if provider_or_key is None:
            self._slos.forget()
            self._traffic.forget()
        if gone:
            self._explorer.excite()
        return len(gone)

    def review(self) -> None:
        """Notice what happened by time alone, for those in flight while nobody asks: each ranking does it by itself."""
        now = self._clock()
        for deployment in [*self._deployments.values()]:  # who is told may ask one not met before
            if deployment.in_flight and now >= deployment.review_at:
                deployment.review(now)

    def snapshot(self) -> dict[str, object]:
        """All that was learned, as plain JSON-able values; times are ages, so that it may be restored on any clock."""
        return dump(self._deployments, self._lengths, self._quality, self._slos, self._traffic, self._clock())

    def restore(self, snapshot: dict[str, object], age_seconds: float) -> None:
        """Go on from a snapshot taken `age_seconds` ago: age becomes doubt. ValueError for a foreign format.

        Deployments are known by key; a candidate's prices come with the first ranking.
        """
        now, parts = self._clock(), (self._lengths, self._quality, self._slos, self._traffic)
        load(snapshot, *parts, lambda key: self._meet(Candidate(key)), now=now, age=age_seconds)

    def join(self, name: str, candidates: Iterable[Candidate] = ()) -> Replica:
        """This balancer as one of several in front of the same hosts; `name` is nobody else's.

        What others tell of `candidates` is learned before the first of our own requests.
        """
        known = {candidate.key: candidate for candidate in candidates}
        self._joined = True
        for deployment in self._deployments.values():
            deployment.share()

        def meet(key: str) -> Deployment | None:
            return self._meet(known[key]) if key in known else None

        return Replica(name, self._deployments, self._traffic, self._slos, meet, self.reset, clock=self._clock)

    # --- parts -------------------------------------------------------------------------------------------------

    def _meet(self, candidate: Candidate) -> Deployment:
        deployment = self._deployments.get(candidate.key)
        if deployment is None:
            deployment = self._deployments[candidate.key] = Deployment(
                candidate,
                self._params,
                now=self._clock(),
                traffic=self._traffic,
                lengths=self._lengths,
                affinity=self._affinity,
                on_change=self._explorer.excite,
            )
            if self._joined:
                deployment.share()
        return deployment

    def _survey(
        self, candidates: Sequence[Candidate], shape: Shape, answer: float, now: float, sticky: str | None
    ) -> Survey:
        survey = Survey()
        survey.look(self._deployments, self._meet, candidates, shape.input_tokens, answer, now)
        if sticky is not None:
            survey.credit(self._affinity, self._params, sticky, shape, now)
        return survey

    def _judge(
        self,
        survey: Survey,
        objective: Objective,
        references: tuple[float, float],
        shape: Shape,
        answer: float,
        now: float,
    ) -> Judgement:
        learned = self._quality.on(shape.route, now) if objective.quality else None
        fails = self._together.rate(now)
        parts = objective, survey.deployments, survey.seconds, survey.costs, references, fails, learned
        if objective.slo is None:
            judgement = Judgement(*parts)
        else:
            constraint = self._slos.of(objective.name, objective.slo)
            judgement = Priced(*parts, constraint=constraint, shape=shape, answer=answer, now=now)
        if survey.tolls:
            judgement.levy(survey.tolls, objective)
        return judgement

    def _last_resort(
        self,
        survey: Survey,
        shape: Shape,
        answer: float,
        now: float,
        uniform: float,
        strategy: str,
        objective: Objective,
    ) -> Ranking:
        """Nobody is healthy: still try, in the order of `overruled`, and of those alike by expected loss."""
        references = self._references.of(shape.route, *survey.everyone())
        places = overruled(survey)
        judgement = None
        order: list[int] = []
        if survey.candidates:
            judgement = self._judge(survey, objective, references, shape, answer, now)
            losses = judgement.losses
            order = sorted(range(len(losses)), key=lambda i: (*places[i], losses[i]))
        return Ranking(
            self._params,
            survey,
            judgement,
            order,
            reason="last_resort",
            strategy=strategy,
            objective=objective,
            seed=uniform,
            retry_after=max(survey.soonest() - now, 0.0),
        )
