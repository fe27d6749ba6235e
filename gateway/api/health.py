"""Is it alive, is it ready, what is missing; and the metrics."""

from litestar import Controller, Request, Response, get, route
from litestar.datastructures import State
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from msgspec import convert

from gateway.api.access import Gateway, caller, metrics_reader, principal_of
from gateway.api.answers.health import HealthReport, Readiness
from gateway.metrics import CONTENT_TYPE


class Health(Controller):
    """`/health*` is public; what is wrong, and the metrics, are for who has a key."""

    tags = ["Health"]  # noqa: RUF012 - Litestar reads it from the class

    @route(
        ["/health", "/health/live"], http_method=["GET", "HEAD"], summary="Alive, in one word", media_type="text/plain"
    )
    async def live(self) -> str:
        """The process answers."""
        return "ok"

    @get("/health/ready", summary="Ready for requests", raises=[])
    async def ready(self, gateway: Gateway) -> Response[Readiness]:
        """503 until it can serve."""
        status = HTTP_200_OK if gateway.ready else HTTP_503_SERVICE_UNAVAILABLE
        return Response(Readiness(gateway.ready), status_code=status)

    @get("/api/health", summary="Every service, and what is wrong with it", guards=[caller])
    async def health(self, gateway: Gateway, request: Request[object, object, State]) -> Response[HealthReport]:
        """Healthy, degraded (it answers, something is away) or unhealthy (it cannot answer).

        Of the MCP servers those that your key may use.
        """
        verdict, services = await gateway.health.services(principal_of(request))
        status = HTTP_503_SERVICE_UNAVAILABLE if verdict == "unhealthy" else HTTP_200_OK
        uptime = round(gateway.monotonic() - gateway.started_at, 3)
        report = {"status": verdict, "services": services, "version": gateway.version, "uptime_seconds": uptime}
        return Response(convert(report, HealthReport), status_code=status)

    @get("/metrics", summary="Prometheus metrics", guards=[metrics_reader], media_type="text/plain")
    async def metrics(self, gateway: Gateway) -> Response[bytes]:
        """The exposition text."""
        # Litestar adds a charset to what it takes for a kind of text, and Prometheus scrapes nothing that names two.
        return Response(await gateway.metrics.scraped(), headers={"content-type": CONTENT_TYPE})
