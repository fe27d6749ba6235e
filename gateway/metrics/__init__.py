"""Every Prometheus name, once, by what it is about; `docs/metrics.md` is written from here (`reference`).

Labels are few and bounded by the configuration: providers, models and routes are configured names, everything else is a
closed list, or a bounded one (`labels`); nothing a caller sends becomes a label.
"""

from __future__ import annotations

from gateway.metrics.flows import Flows
from gateway.metrics.governance import Governance
from gateway.metrics.inside import Inside
from gateway.metrics.observing import Observing
from gateway.metrics.registry import CONTENT_TYPE, Mirror, forget_worker

__all__ = ["CONTENT_TYPE", "Metrics", "Mirror", "forget_worker"]


#: The metrics of the last one are made first, and told first.
class Metrics(Inside, Flows, Governance, Observing):
    """The gateway's metrics in one registry."""

    def __init__(self, *, shared_dir: str | None = None) -> None:
        """See `Registry`."""
        super().__init__(shared_dir=shared_dir)
        #: The process lives longer than an application of it.
        self.cpu_used = Mirror(self.cpu)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """What alerts watch for a first event: Prometheus sees no increase in a series that is born with it."""
        for counter, values in (
            (self.log_counts, ("written", "spilled", "replayed", "dropped")),
            (self.executions, ("completed", "failed", "cancelled")),
            (self.schedule_times, ("held", "missed")),
            (self.takeovers, ("process", "attempt")),
            (self.budget_refusals, ("key", "tag", "provider")),
            (self.wrong_keys, ("refused", "throttled")),
            (self.acts, ("written", "delayed")),
        ):
            for value in values:
                counter(value)

    def guarded(self, guardrail: str, where: str, outcome: str) -> None:
        """A guardrail has done something."""
        self.guardrails(guardrail, where, outcome).inc()

    def pool_waited(self, outcome: str, seconds: float) -> None:
        """Somebody has waited for a connection of a database pool."""
        self.pool_wait(outcome).observe(seconds)

    def tool_called(self, server: str, tool: str, outcome: str, seconds: float) -> None:
        """A tool of an MCP server was called; `tool` is one of a bounded list."""
        self.mcp_calls(server, tool, outcome).inc()
        self.mcp_duration(server).observe(seconds)
        self.genai_tool(tool, "" if outcome == "ok" else outcome).observe(seconds)
