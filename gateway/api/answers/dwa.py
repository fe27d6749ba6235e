"""What the DWA's addresses answer: what it knows, whom it would choose, and why it chose."""

from datetime import datetime

from msgspec import Struct, convert

from dwa import Decision, DeploymentStats, SloStats, sentence
from gateway.api.answers.records import AttemptAnswer
from gateway.api.answers.telling import became
from gateway.records import ExchangeRecord


class Timing(Struct):
    """Seconds; null where nothing was measured."""

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


class Expectation(Struct):
    """A typical request's seconds and USD; null while nothing may be sent."""

    seconds: float | None
    cost_usd: float | None


class DeploymentAnswer(Struct):
    """A deployment: counts, times in seconds, money in USD, rates, weights and scores 0..1.

    `weight` is its share of the traffic of a typical request, `score` the best expected loss over its own, `terms` what
    that loss is made of, `quality` what its answers are worth by configuration and feedback, `votes` the weight of that
    feedback as of now, `quota` what its host has left, and `last_error_age` is seconds.
    """

    provider: str
    model: str
    requests: int
    successes: int
    failures: int
    throttled: int
    caller_errors: int
    cancelled: int
    success_rate: float | None
    latency: Timing
    ttft: Timing
    tokens_per_second: float | None
    cost_usd: float
    weight: float
    score: float | None
    terms: dict[str, float]
    error_rate: float
    quality: float
    votes: float
    expected: Expectation
    state: str
    in_flight: int
    quota: dict[str, float | None]
    last_error: str | None
    last_error_age: float | None


class ShadowPrices(Struct):
    """What one more miss is worth, in costs of a typical request."""

    latency: float
    errors: float


class SloAnswer(Struct):
    """An objective with an SLO that was used: what was promised, and what it took.

    Promised are `share` of the answers within `seconds` and at most `errors` of the requests; `within` and `failed` are
    these shares as observed over about the last 200, null before the first. `requests` counts those that ended.
    All of it is that of all replicas, as far as they hear of each other.
    """

    objective: str
    seconds: float
    share: float
    errors: float
    within: float | None
    failed: float | None
    requests: int
    prices: ShadowPrices


class DwaStats(Struct):
    """The configured strategy and objective, every deployment that has been ranked, and every SLO in use."""

    strategy: str
    objective: str
    deployments: list[DeploymentAnswer]
    slos: list[SloAnswer]


class ResetAnswer(Struct):
    """What was forgotten: a provider, a `provider/model`, or `all`."""

    reset: str


class CandidateExpectation(Struct):
    """Of this request: seconds, USD, and the probability (0..1) of an error."""

    seconds: float
    cost: float
    error_rate: float


class Candidate(Struct):
    """A deployment (`key` is `provider/model`) as it was ranked.

    `weight` is its probability to be tried first, `score` the best loss over its own (0..1), `terms` sum to the loss.
    `state` is `ok`, or why it is excluded; then score, loss and expectation are null.
    """

    key: str
    weight: float
    score: float | None
    loss: float | None
    terms: dict[str, float]
    expected: CandidateExpectation | None
    state: str


class RankingAnswer(Struct):
    """Who would be chosen: `best` is the first, null when all are excluded; `retry_after` in seconds.

    `summary` says it in plain English.
    """

    model: str
    objective: str
    strategy: str
    best: str | None
    reason: str
    summary: str
    ranking: list[Candidate]
    retry_after: float | None


class WeightsAt(Struct):
    """The weight, 0..1, of each `provider/model` at a time."""

    at: datetime
    weights: dict[str, float]


class HistoryAnswer(Struct):
    """Weights over time, oldest first."""

    history: list[WeightsAt]


class DecisionAnswer(Struct):
    """A ranking as it was made; `excluded` says why, by `provider/model`, and `seed` replays it."""

    reason: str
    strategy: str
    objective: str
    seed: float
    candidates: list[Candidate]
    excluded: dict[str, str]


class Explanation(Struct):
    """Why a request went where it went; `answered_by` is `provider/model`.

    `decision` is null when nobody was ranked, or too many to keep their numbers (more than a thousand). `summary` says
    it in plain English: the decision, and what became of the request.
    """

    request_id: str
    requested_model: str
    answered_by: str | None
    outcome: str
    cache: str
    summary: str
    attempts: list[AttemptAnswer]
    decision: DecisionAnswer | None


def deployment(row: DeploymentStats) -> DeploymentAnswer:
    """A deployment's statistics for people."""
    provider, _, model = row.key.partition("/")
    return DeploymentAnswer(
        provider=provider,
        model=model,
        requests=row.requests,
        successes=row.successes,
        failures=row.failures,
        throttled=row.throttled,
        caller_errors=row.caller_errors,
        cancelled=row.cancelled,
        success_rate=row.success_rate,
        latency=convert(row.latency, Timing, from_attributes=True),
        ttft=convert(row.first_token, Timing, from_attributes=True),
        tokens_per_second=row.tokens_per_s,
        cost_usd=row.cost_usd,
        weight=row.weight,
        score=row.score,
        terms=row.terms,
        error_rate=row.error_rate,
        quality=row.quality,
        votes=row.votes,
        expected=Expectation(row.expected_s, row.expected_cost),
        state=row.state,
        in_flight=row.in_flight,
        quota=row.quota,
        last_error=row.last_error,
        last_error_age=row.last_error_age_s,
    )


def slo(row: SloStats) -> SloAnswer:
    """How an objective keeps its promise, for people."""
    return SloAnswer(
        objective=row.objective,
        seconds=row.slo.seconds,
        share=row.slo.share,
        errors=row.slo.errors,
        within=row.within,
        failed=row.failed,
        requests=row.requests,
        prices=ShadowPrices(row.latency_price, row.error_price),
    )


def explanation(record: ExchangeRecord) -> Explanation:
    """The decision on a request, and what became of it."""
    kept = record.decision
    # One that was too large to be kept left its size only.
    made = convert(kept, Decision) if kept is not None and "keys" in kept else None
    attempts = convert(record.attempts, list[AttemptAnswer], from_attributes=True)
    rest = became(record, attempts)
    return Explanation(
        request_id=record.id,
        requested_model=record.requested_model,
        answered_by=f"{record.provider}/{record.model}" if record.provider else None,
        outcome=record.outcome,
        cache=record.cache,
        summary=f"{sentence(made)} {rest}" if made is not None else rest,
        attempts=attempts,
        decision=_decision(made) if made is not None else None,
    )


def _decision(made: Decision) -> DecisionAnswer:
    rows = convert(made.explain(), list[Candidate])
    return DecisionAnswer(made.reason, made.strategy, made.objective, made.seed, rows, made.excluded)
