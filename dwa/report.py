"""A deployment as people see it: counters, percentiles, what is expected of it and what it is allowed."""

from __future__ import annotations

from typing import cast

from dwa.breaker import CLOSED
from dwa.deployment import Deployment
from dwa.quality import Quality
from dwa.stats import DeploymentStats


def describe(deployment: Deployment, now: float, row: dict[str, object], quality: Quality) -> DeploymentStats:
    """The stats row of one deployment; `row` is its line of a ranking's explanation."""
    tally, quota = deployment.tally, deployment.quota
    outcomes = tally.successes + tally.failures
    left_requests, left_tokens = quota.left(now)
    expected = cast("dict[str, float] | None", row["expected"])
    return DeploymentStats(
        key=deployment.key,
        requests=tally.requests,
        successes=tally.successes,
        failures=tally.failures,
        throttled=tally.throttled,
        caller_errors=tally.caller_errors,
        cancelled=tally.cancelled,
        success_rate=tally.successes / outcomes if outcomes else None,
        latency=tally.total.summary(),
        first_token=tally.first.summary(),
        tokens_per_s=tally.output_tokens / tally.writing_s if tally.writing_s else None,
        cost_usd=tally.cost,
        weight=cast("float", row["weight"]),
        score=cast("float | None", row["score"]),
        state=_state(deployment, now),
        openings=deployment.breaker.openings,
        in_flight=deployment.in_flight,
        expected_s=expected["seconds"] if expected else None,
        expected_cost=expected["cost"] if expected else None,
        error_rate=deployment.error,
        quality=quality.of("", now, deployment.candidate),
        votes=quality.votes(deployment.key, now),
        terms=cast("dict[str, float]", row["terms"]),
        quota={
            "remaining_requests": left_requests,
            "remaining_tokens": left_tokens,
            "limit_requests": quota.limit_requests,
            "limit_tokens": quota.limit_tokens,
            "cap_per_s": quota.cap(now),
            "retry_after_s": max(quota.retry_at - now, 0.0),
        },
        last_error=tally.last_error,
        last_error_age_s=None if tally.last_error_at is None else now - tally.last_error_at,
    )


def _state(deployment: Deployment, now: float) -> str:
    if deployment.breaker.state == CLOSED and now < max(deployment.quota.retry_at, deployment.quota.paused_until):
        return "rate_limited"
    return deployment.breaker.state
