"""What the DWA thinks of deployments, whom it chose and whom it could not, and what providers still allow."""

from __future__ import annotations

from gateway.metrics.buckets import DEPLOYMENT
from gateway.metrics.registry import Registry


class Routing(Registry):
    """See the module."""

    def __init__(self, *, shared_dir: str | None = None) -> None:
        """See `Registry`."""
        super().__init__(shared_dir=shared_dir)
        self._about("Routing")
        self.choices = self._counter(
            "steelyard_dwa_choices_total", "First choices of the DWA, by reason.", *DEPLOYMENT, "reason"
        )
        self.excluded = self._counter(
            "steelyard_dwa_excluded_total",
            "Candidates that could not be asked when a request was, by why: breaker_open, half_open, rate_limited, "
            "paced, quota_spent, at_max_concurrency, budget_spent, too_dear or inexpressible.",
            *DEPLOYMENT,
            "reason",
        )
        self.weight = self._gauge(
            "steelyard_dwa_weight", "Share of a typical request's traffic.", *DEPLOYMENT, workers="livemostrecent"
        )
        self.score = self._gauge(
            "steelyard_dwa_score", "Best expected loss over its own, 0..1.", *DEPLOYMENT, workers="livemostrecent"
        )
        self.available = self._gauge(
            "steelyard_dwa_available", "1 while the deployment may be chosen.", *DEPLOYMENT, workers="livemin"
        )
        self.breaker_state = self._gauge(
            "steelyard_dwa_breaker_state",
            "Processes whose breaker of the deployment is closed, open, half_open or ramp.",
            *DEPLOYMENT,
            "state",
        )
        self.breaker_openings = self._counter(
            "steelyard_dwa_breaker_openings_total", "Times that a breaker opened, in each process.", *DEPLOYMENT
        )
        self._about("Quotas of providers")
        self.quota_left = self._gauge(
            "steelyard_quota_remaining",
            "Requests or tokens that are left by the last rate limit headers of the provider that a process has had.",
            *DEPLOYMENT,
            "kind",
            # Each has had others, and all refresh alike: the last set would be of whoever is asked.
            workers="livemin",
        )
        self.quota_limit = self._gauge(
            "steelyard_quota_limit",
            "Requests or tokens that the same headers allow in their period.",
            *DEPLOYMENT,
            "kind",
            workers="livemostrecent",
        )
        self.retry_after = self._gauge(
            "steelyard_quota_retry_after_seconds",
            "Seconds for which the provider wants no request, by its Retry-After; 0: it said none, or they are over.",
            *DEPLOYMENT,
            workers="livemax",
        )
