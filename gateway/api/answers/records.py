"""What `/api/db/*` answers: the request log, its totals, and the cache's counts."""

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, convert
from msgspec.structs import asdict

from gateway.records import ExchangeRecord, LogTotals, Totals


class AttemptAnswer(Struct):
    """One call of a deployment.

    `seq` counts from 0, `outcome` is `ok`, `cancelled`, `hedged` (another was quicker) or the fault's kind.
    Seconds: `started_s` since the request came, `seconds`, and `ttft_s` to the first token, null without a stream.
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


class RecordAnswer(Struct):
    """One request and all that befell it.

    `outcome` is `ok`, `error` or `cancelled`; `cache` is `hit`, `miss`, `bypass` or `coalesced`. `duration_s` and
    `ttft_s` are seconds, `overhead_ms` milliseconds of the gateway's own, `cost_usd` USD. `decision` is the ranking as
    it was made. Decision and bodies are null in listings; bodies, as text, are kept only when body logging was on.
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


class RecordPage(Struct):
    """Some requests, newest first; `next_cursor` leads to the next page, and is null on the last."""

    requests: list[RecordAnswer]
    next_cursor: str | None


class Sums(Struct):
    """Sums over requests; `cached` counts the answers that came from the cache, `cost_usd` is USD."""

    requests: int
    errors: int
    cancelled: int
    cached: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class DeploymentSums(Struct):
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


class Ranks(Struct):
    """Percentiles in seconds; null when there is nothing to rank."""

    p50: float | None
    p95: float | None
    p99: float | None


class LogAnswer(Struct):
    """The log since a moment: in total, by deployment, and the latencies of the requests that succeeded.

    `since` is where the counts begin: the five minutes that the asked-for moment is in. Percentiles are right to 2.5 %.
    """

    since: datetime
    totals: Sums
    deployments: list[DeploymentSums]
    duration_s: Ranks
    ttft_s: Ranks


class CacheAnswer(Struct):
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


class ClearedAnswer(Struct):
    """How many answers were dropped."""

    cleared: int


def shown(record: ExchangeRecord) -> RecordAnswer:
    """A record for people: its time as a date, bodies as text."""
    fields = asdict(record)
    fields["created_at"] = datetime.fromtimestamp(record.created_at, UTC)
    for name in ("request_body", "response_body"):
        body: bytes | None = fields[name]
        fields[name] = None if body is None else body.decode("utf-8", "replace")
    return convert(fields, RecordAnswer, from_attributes=True)


def totals(found: LogTotals) -> LogAnswer:
    """The totals for people: money as a number."""
    return LogAnswer(
        since=datetime.fromtimestamp(found.since, UTC),
        totals=convert(_sums(found.totals), Sums),
        deployments=[
            convert({"provider": one.provider, "model": one.model, **_sums(one.totals)}, DeploymentSums)
            for one in found.shares
        ],
        duration_s=convert(found.duration_s, Ranks, from_attributes=True),
        ttft_s=convert(found.ttft_s, Ranks, from_attributes=True),
    )


def _sums(found: Totals) -> dict[str, Any]:
    return {**asdict(found), "cost_usd": float(found.cost_usd)}
