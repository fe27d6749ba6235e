"""Answers: records. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from steelyard_client.answers.dwa import AttemptAnswer


@dataclass(kw_only=True)
class ClearedAnswer:
    """How many answers were dropped."""

    cleared: int


@dataclass(kw_only=True)
class CacheAnswer:
    """Counts since the start; `hit_rate` (0..1) is null before the first look.

    `entries` and `bytes` are null where the cache cannot tell cheaply.
    """

    backend: str
    hits: int
    misses: int
    writes: int
    evictions: int
    errors: int
    entries: int | None
    bytes: int | None
    healthy: bool
    last_error: str | None
    hit_rate: float | None


@dataclass(kw_only=True)
class RecordAnswer:
    """One request and all that befell it.

    `outcome` is `ok`, `error` or `cancelled`; `cache` is `hit`, `miss`, `bypass` or `coalesced`. `duration_s` and
    `ttft_s` are seconds, `overhead_ms` milliseconds of the gateway's own, `cost_usd` USD. `decision` is the ranking
    as it was made. Decision and bodies are null in listings; bodies, as text, are kept only when body logging was on.
    """

    id: str
    created_at: datetime
    surface: str
    dialect: str
    requested_model: str
    tenant: str
    key_name: str
    route: str | None
    provider: str | None
    model: str | None
    strategy: str
    objective: str
    reason: str
    status: int
    outcome: str
    error_type: str | None
    error_code: str | None
    error_source: str | None
    error_message: str | None
    stream: bool
    cache: str
    simulated: bool
    finish_reason: str | None
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: float
    duration_s: float
    ttft_s: float | None
    overhead_ms: float
    session_id: str | None
    end_user: str | None
    dropped_params: list[str]
    tags: dict[str, Any] | None
    decision: dict[str, Any] | None
    attempts: list[AttemptAnswer]
    request_body: str | None
    response_body: str | None


@dataclass(kw_only=True)
class RecordPage:
    """Some requests, newest first; `next_cursor` leads to the next page, and is null on the last."""

    requests: list[RecordAnswer]
    next_cursor: str | None


@dataclass(kw_only=True)
class Sums:
    """Sums over requests; `cached` counts the answers that came from the cache, `cost_usd` is USD."""

    requests: int
    errors: int
    cancelled: int
    cached: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(kw_only=True)
class DeploymentSums:
    """The sums of one deployment; provider and model are null for requests that reached none."""

    provider: str | None
    model: str | None
    requests: int
    errors: int
    cancelled: int
    cached: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(kw_only=True)
class Ranks:
    """Percentiles in seconds; null when there is nothing to rank."""

    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(kw_only=True)
class LogAnswer:
    """The log since a moment: in total, by deployment, and the latencies of the requests that succeeded.

    `since` is where the counts begin: the five minutes that the asked-for moment is in. Percentiles are right to 2.5
    %.
    """

    since: datetime
    totals: Sums
    deployments: list[DeploymentSums]
    duration_s: Ranks
    ttft_s: Ranks


@dataclass(kw_only=True)
class FeedbackAnswer:
    """A vote as it was kept.

    `score` is 0..1, `source` the caller, with the end user it had named for the request after a slash, or `judge`.
    `provider` and `model` wrote the answer, `route` is what had been asked for. `weight`, 0..1, is what the DWA
    counted the vote with: less with each further vote of one source, and for an old answer; null when it never heard
    of it.
    """

    id: str
    request_id: str
    created_at: datetime
    updated_at: datetime
    source: str
    metric: str
    score: float
    comment: str | None
    provider: str
    model: str
    route: str
    weight: float | None


@dataclass(kw_only=True)
class FeedbackPage:
    """Some votes, newest first; `next_cursor` leads to the next page, and is null on the last."""

    feedback: list[FeedbackAnswer]
    next_cursor: str | None


@dataclass(kw_only=True)
class SessionSummary:
    """A conversation; `turns` counts the exchanges, also those whose messages were trimmed."""

    id: str
    created_at: datetime
    updated_at: datetime
    turns: int


@dataclass(kw_only=True)
class SessionPage:
    """Some sessions, last used first; `next_after` leads to the next page, and is null on the last."""

    sessions: list[SessionSummary]
    next_after: str | None


@dataclass(kw_only=True)
class SessionAnswer:
    """A conversation with its messages, in OpenAI's vocabulary, oldest first."""

    id: str
    created_at: datetime
    updated_at: datetime
    turns: int
    messages: list[dict[str, Any]]
