"""What the DWA's addresses answer: what it knows, whom it would choose, and why it chose."""

from datetime import datetime

from msgspec import Struct, convert

from dwa import Decision, DeploymentStats
from gateway.api.answers.records import AttemptAnswer
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
    that loss is made of, `quota` what its host has left, and `last_error_age` is seconds.
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
    expected: Expectation
    state: str
    in_flight: int
    quota: dict[str, float | None]
    last_error: str | None
    last_error_age: float | None


class DwaStats(Struct):
    """The configured strategy and objective, and every deployment that has been ranked."""

    strategy: str
    objective: str
    deployments: list[DeploymentAnswer]


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
    """Who would be chosen: `best` is the first, null when all are excluded; `retry_after` in seconds."""

    model: str
    objective: str
    strategy: str
    best: str | None
    reason: str
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
    """Why a request went where it went; `answered_by` is `provider/model`, `decision` null when nobody was ranked."""

    request_id: str
    requested_model: str
    answered_by: str | None
    outcome: str
    cache: str
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
        expected=Expectation(row.expected_s, row.expected_cost),
        state=row.state,
        in_flight=row.in_flight,
        quota=row.quota,
        last_error=row.last_error,
        last_error_age=row.last_error_age_s,
    )


def explanation(record: ExchangeRecord) -> Explanation:
    """The decision on a request, and what became of it."""
    return Explanation(
        request_id=record.id,
        requested_model=record.requested_model,
        answered_by=f"{record.provider}/{record.model}" if record.provider else None,
        outcome=record.outcome,
        cache=record.cache,
        attempts=convert(record.attempts, list[AttemptAnswer], from_attributes=True),
        decision=_decision(convert(record.decision, Decision)) if record.decision is not None else None,
    )


def _decision(made: Decision) -> DecisionAnswer:
    rows = convert(made.explain(), list[Candidate])
    return DecisionAnswer(made.reason, made.strategy, made.objective, made.seed, rows, made.excluded)
