"""Limits, budgets, guardrails, keys and what is written down of them."""

from __future__ import annotations

from gateway.metrics.buckets import SECONDS
from gateway.metrics.registry import Registry


class Governance(Registry):
    """See the module."""

    def __init__(self, *, shared_dir: str | None = None) -> None:
        """See `Registry`."""
        super().__init__(shared_dir=shared_dir)
        self._count_limits()
        self._count_money()
        self._about("Guardrails, keys and audit")
        self.guardrails = self._counter(
            "steelyard_guardrails_total",
            "What guardrails did: blocked, redacted, or unavailable and let pass.",
            "guardrail",
            "where",
            "outcome",
        )
        self.wrong_keys = self._counter(
            "steelyard_wrong_keys_total",
            "Wrong keys that were sent: refused, or throttled where too many came from one address.",
            "outcome",
        )
        self.acts = self._counter(
            "steelyard_audit_acts_total",
            "Acts of the audit log without a transaction: written, or delayed while the database is away.",
            "outcome",
        )

    def _count_limits(self) -> None:
        self._about("Limits of callers")
        self.limited = self._counter(
            "steelyard_limited_total",
            "Requests refused for a limit, by whose it is (key, tag or route) and of what (rpm, tpm or concurrency).",
            "limiter",
            "bound",
        )
        self.limit_queue = self._gauge("steelyard_limit_queue", "Requests that wait for their turn, by their limits.")
        self.limit_wait = self._histogram(
            "steelyard_limit_wait_seconds", "Waits in that queue: admitted or refused.", SECONDS, "outcome"
        )
        self.limits_alone = self._gauge(
            "steelyard_limits_alone", "Processes that count for themselves, since the others cannot be reached."
        )

    def _count_money(self) -> None:
        self._about("Budgets")
        self.budget_refusals = self._counter(
            "steelyard_budget_refusals_total", "Requests turned away since a budget is spent, by whose it is.", "kind"
        )
        self.budget_warnings = self._counter(
            "steelyard_budget_warnings_total", "Budgets that passed their soft limits, by whose they are.", "kind"
        )
        self.budget_used = self._gauge(
            "steelyard_budget_used_ratio",
            "Share that is spent of the budget of a tag, a provider or a configured key that requests had to do with.",
            "kind",
            "name",
            workers="livemostrecent",
        )
        self.budget_left = self._gauge(
            "steelyard_budget_left_usd",
            "USD that are left of the same budgets in their periods; below 0: that were spent beyond them.",
            "kind",
            "name",
            workers="livemostrecent",
        )
        self.budget_limit = self._gauge(
            "steelyard_budget_limit_usd", "USD that the same budgets allow.", "kind", "name", workers="livemostrecent"
        )
