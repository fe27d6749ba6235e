"""How the gateway does."""

from __future__ import annotations

from steelyard_client.answers.health import HealthReport, Readiness
from steelyard_client.asking import Ask
from steelyard_client.operation import Operation

#: An unhealthy gateway says so with this status, and with the whole report.
_UNHEALTHY = frozenset({503})


class Health:
    """`/health*`, `/api/health`, `/metrics`."""

    @Operation
    @staticmethod
    def live() -> Ask[str]:
        """`ok`, when the process answers."""
        return Ask(method="GET", address="/health", answer=str)

    @Operation
    @staticmethod
    def ready() -> Ask[Readiness]:
        """Whether it can serve."""
        return Ask(method="GET", address="/health/ready", answer=Readiness, also=_UNHEALTHY)

    @Operation
    @staticmethod
    def check_health() -> Ask[HealthReport]:
        """Every service, and what is wrong with it; an unhealthy gateway is an answer, too."""
        return Ask(method="GET", address="/api/health", answer=HealthReport, also=_UNHEALTHY)

    @Operation
    @staticmethod
    def metrics() -> Ask[str]:
        """Prometheus' exposition text."""
        return Ask(method="GET", address="/metrics", answer=str)
