"""Every Prometheus name, once, by what it is about; `docs/metrics.md` is written from here (`reference`).

Labels are few and bounded by the configuration: providers, models and routes are configured names, everything else is a
closed list; nothing a caller sends becomes a label.
"""

from __future__ import annotations

from gateway.exchange import Attempt, Exchange
from gateway.metrics.flows import Flows
from gateway.metrics.genai import GenAi
from gateway.metrics.governance import Governance
from gateway.metrics.inside import Inside
from gateway.metrics.registry import CONTENT_TYPE, forget_worker
from gateway.metrics.routing import Routing
from gateway.metrics.traffic import Traffic

__all__ = ["CONTENT_TYPE", "Metrics", "forget_worker"]


#: The last one's metrics are made first, and so told first.
class Metrics(GenAi, Inside, Flows, Governance, Routing, Traffic):
    """The gateway's metrics in one registry."""

    def guarded(self, guardrail: str, where: str, outcome: str) -> None:
        """A guardrail has done something."""
        self.guardrails(guardrail, where, outcome).inc()

    def observe(self, exchange: Exchange) -> None:
        """The sink: one finished exchange."""
        surface, cache = exchange.surface, exchange.cache
        self.requests(surface, exchange.outcome, str(exchange.status), cache).inc()
        self.duration(surface, cache).observe(exchange.seconds)
        self.overhead(surface).observe(exchange.overhead)
        ranking = exchange.ranking
        if ranking is not None and ranking.candidates and cache != "coalesced" and not exchange.inherited:
            first = ranking.candidates[0].key.partition("/")
            self.choices(first[0], first[2], exchange.reason).inc()
        if cache != "coalesced":
            for attempt in exchange.attempts:
                self._attempt(attempt)

    def _attempt(self, attempt: Attempt) -> None:
        provider, model = attempt.provider, attempt.model
        self.attempts(provider, model, attempt.outcome).inc()
        if attempt.ttft is not None:
            self.ttft(provider, model).observe(attempt.ttft)
        if attempt.outcome == "ok":
            self.attempt_duration(provider, model).observe(attempt.seconds)
        usage = attempt.usage
        if usage is not None:
            self.tokens(provider, model, "input").inc(usage.input_tokens)
            self.tokens(provider, model, "output").inc(usage.output_tokens)
            if usage.cached_tokens:
                self.tokens(provider, model, "cached").inc(usage.cached_tokens)
            if usage.reasoning_tokens:
                self.tokens(provider, model, "reasoning").inc(usage.reasoning_tokens)
            self.cost(provider, model).inc(attempt.cost)
