"""Answers: dwa. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(kw_only=True)
class CandidateExpectation:
    """Of this request: seconds, USD, and the probability (0..1) of an error."""

    seconds: float
    cost: float
    error_rate: float


@dataclass(kw_only=True)
class Candidate:
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


@dataclass(kw_only=True)
class RankingAnswer:
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


@dataclass(kw_only=True)
class AttemptAnswer:
    """One call of a deployment.

    `seq` counts from 0, `outcome` is `ok`, `cancelled`, `hedged` (another was quicker) or the fault's kind. Seconds:
    `started_s` since the request came, `seconds`, and `ttft_s` to the first token, null without a stream.
    """

    seq: int
    provider: str
    model: str
    outcome: str
    status: int | None
    code: str | None
    message: str | None
    started_s: float
    seconds: float
    ttft_s: float | None
    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(kw_only=True)
class DecisionAnswer:
    """A ranking as it was made; `excluded` says why, by `provider/model`, and `seed` replays it."""

    reason: str
    strategy: str
    objective: str
    seed: float
    candidates: list[Candidate]
    excluded: dict[str, str]


@dataclass(kw_only=True)
class Explanation:
    """Why a request went where it went; `answered_by` is `provider/model`.

    `decision` is null when nobody was ranked, or too many to keep their numbers (more than a thousand). `summary`
    says it in plain English: the decision, and what became of the request.
    """

    request_id: str
    requested_model: str
    answered_by: str | None
    outcome: str
    cache: str
    summary: str
    attempts: list[AttemptAnswer]
    decision: DecisionAnswer | None


@dataclass(kw_only=True)
class WeightsAt:
    """The weight, 0..1, of each `provider/model` at a time."""

    at: datetime
    weights: dict[str, float]


@dataclass(kw_only=True)
class HistoryAnswer:
    """Weights over time, oldest first."""

    history: list[WeightsAt]


@dataclass(kw_only=True)
class ResetAnswer:
    """What was forgotten: a provider, a `provider/model`, or `all`."""

    reset: str


@dataclass(kw_only=True)
class FactFigures:
    """What happened to the requests that are replayed. Seconds of answered requests; null without any.

    `cost_usd` of all of them together, `error_share` of the requests whose caller met a failure, `failovers` requests
    that took more than one attempt, `shares` of the answered requests by `provider/model`.
    """

    requests: int
    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    cost_usd: float
    error_share: float
    failovers: int
    shares: dict[str, float]


@dataclass(kw_only=True)
class ObjectiveAnswer:
    """What loss was made of."""

    name: str
    latency: float
    cost: float
    errors: float
    quality: float


@dataclass(kw_only=True)
class SpreadAnswer:
    """A modelled figure: its mean over the seeds, the least and the greatest; null where nobody was answered."""

    mean: float | None
    min: float | None
    max: float | None


@dataclass(kw_only=True)
class RunAnswer:
    """One policy in the model; figures as in the facts, each over the seeds."""

    strategy: str
    objective: ObjectiveAnswer
    requests: int
    mean_s: SpreadAnswer
    p50_s: SpreadAnswer
    p95_s: SpreadAnswer
    p99_s: SpreadAnswer
    cost_usd: SpreadAnswer
    error_share: SpreadAnswer
    failovers: SpreadAnswer
    shares: dict[str, SpreadAnswer]


@dataclass(kw_only=True)
class Changes:
    """Per cent by which each mean differs; null where it cannot be said, as when the first is zero."""

    mean_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    cost_usd: float | None
    error_share: float | None
    failovers: float | None


@dataclass(kw_only=True)
class LeftOut:
    """Requests of the period that cannot be replayed.

    `cached` were answered without asking anybody, `caller` were wrong in themselves or not allowed, `left` were given
    up by their callers, `unknown` have no recorded candidate or attempt.
    """

    cached: int | None = None
    caller: int | None = None
    left: int | None = None
    unknown: int | None = None


@dataclass(kw_only=True)
class EstimateAnswer:
    """What the model believes of a deployment (`key` is `provider/model`), from its recorded attempts.

    A typical answer takes `start_s` seconds, and so many more for 1,000 tokens of input and of output. Prices are as
    billed, in USD per million tokens; `spells` counts the times between which its speed or its errors changed.
    """

    key: str
    attempts: int
    answers: int
    start_s: float
    s_per_1k_input: float
    s_per_1k_output: float
    error_share: float | None
    input_usd_per_1m: float
    output_usd_per_1m: float
    spells: int


@dataclass(kw_only=True)
class SimulateAnswer:
    """What would have happened; `began` and `ended` are the first and the last replayed request.

    `off` is how far the model of the recorded policy is from the facts, `change` how far the asked policy is from the
    recorded one, both in the model. Read `limits`: they say what is modelled, and what the log lacked.
    """

    began: datetime
    ended: datetime
    seeds: int
    facts: FactFigures
    recorded: RunAnswer
    asked: RunAnswer
    off: Changes
    change: Changes
    left_out: LeftOut
    deployments: list[EstimateAnswer]
    limits: list[str]


@dataclass(kw_only=True)
class Timing:
    """Seconds; null where nothing was measured."""

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(kw_only=True)
class Expectation:
    """A typical request's seconds and USD; null while nothing may be sent."""

    seconds: float | None
    cost_usd: float | None


@dataclass(kw_only=True)
class DeploymentAnswer:
    """A deployment: counts, times in seconds, money in USD, rates, weights and scores 0..1.

    `weight` is its share of the traffic of a typical request, `score` the best expected loss over its own, `terms`
    what that loss is made of, `quality` what its answers are worth by configuration and feedback, `votes` the weight
    of that feedback as of now, `quota` what its host has left, and `last_error_age` is seconds.
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


@dataclass(kw_only=True)
class ShadowPrices:
    """What one more miss is worth, in costs of a typical request."""

    latency: float
    errors: float


@dataclass(kw_only=True)
class SloAnswer:
    """An objective with an SLO that was used: what was promised, and what it took.

    Promised are `share` of the answers within `seconds` and at most `errors` of the requests; `within` and `failed`
    are these shares as observed over about the last 200, null before the first. `requests` counts those that ended.
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


@dataclass(kw_only=True)
class DwaStats:
    """The configured strategy and objective, every deployment that has been ranked, and every SLO in use."""

    strategy: str
    objective: str
    deployments: list[DeploymentAnswer]
    slos: list[SloAnswer]
