"""What people are shown: figures per deployment and per promise, as the stats endpoint has them."""

from __future__ import annotations

from dataclasses import dataclass, field

from dwa.objective import Slo


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds; None where nothing was measured."""

    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class DeploymentStats:
    """One deployment as the stats endpoint shows it. Seconds, USD, rates 0..1."""

    key: str
    requests: int
    successes: int
    failures: int
    throttled: int
    caller_errors: int
    cancelled: int
    success_rate: float | None
    """successes / (successes + failures); None before the first outcome."""
    latency: Durations
    first_token: Durations
    tokens_per_s: float | None
    cost_usd: float
    weight: float
    """Share of the traffic it would get of a typical request among all deployments."""
    score: float | None
    """J_best / J; None while it may not be sent anything."""
    state: str
    """closed, open, half_open or ramp; rate_limited where the breaker is closed and the host refuses."""
    openings: int
    """How often the breaker opened."""
    in_flight: int
    expected_s: float | None
    expected_cost: float | None
    error_rate: float
    quality: float
    """Of its answers, 0..1, over all routes: what was configured, moved by what people and the judge said."""
    votes: float
    """Weight of what they said, as of now."""
    terms: dict[str, float] = field(default_factory=dict[str, float])
    quota: dict[str, float | None] = field(default_factory=dict[str, "float | None"])
    last_error: str | None = None
    last_error_age_s: float | None = None


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
    """Finished requests in all, those of other replicas included."""
