"""`/api/llm/*`: providers, models, routes, and what the DWA knows and why it chose."""

from datetime import datetime
from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import Struct

from dwa import DeploymentStats, Shape
from gateway.api.access import Gateway, admin, caller, principal_of
from gateway.api.times import unix
from gateway.catalog import AUTO, Asked, Deployment
from gateway.errors import BadRequest, NotFound

#: Seconds.
_HOUR = 3_600.0


class ResetRequest(Struct, forbid_unknown_fields=True):
    """What to forget: one provider or `provider/model`, or everything."""

    provider: str | None = None


class Catalog(Controller):
    """What can be asked for."""

    path = "/api/llm"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Routing"]  # noqa: RUF012 - as above

    @get("/providers", summary="List providers")
    async def providers(self, gateway: Gateway) -> dict[str, Any]:
        """Every provider, with its models and whether the DWA would use it now."""
        states = {row.key: row.state for row in gateway.balancer.stats()}
        return {
            "providers": [
                {
                    "name": name,
                    "dialect": gateway.catalog.deployments_of(name)[0].dialect.name,
                    "simulated": gateway.catalog.deployments_of(name)[0].simulated,
                    "models": [
                        {"name": one.model, "state": states.get(one.key, "unused")}
                        for one in gateway.catalog.deployments_of(name)
                    ],
                }
                for name in gateway.catalog.providers
            ]
        }

    @get("/models", summary="List models with prices and limits")
    async def models(self, gateway: Gateway) -> dict[str, Any]:
        """Every deployment. Prices in USD per million tokens."""
        return {"models": [_model(one) for one in gateway.catalog.deployments]}

    @get("/routes", summary="List routes")
    async def routes(self, gateway: Gateway) -> dict[str, Any]:
        """Every configured route."""
        return {
            "routes": [
                {
                    "name": route.name,
                    "targets": [one.key for one in route.deployments],
                    "strategy": route.strategy or gateway.defaults.strategy,
                    "objective": route.objective or gateway.defaults.objective,
                    "fallback": list(route.fallback),
                }
                for route in gateway.catalog.routes.values()
            ]
        }


class Dwa(Controller):
    """What the DWA has learned."""

    path = "/api/llm/dwa"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["DWA"]  # noqa: RUF012 - as above

    @get("/stats", summary="Statistics, weight and score per deployment")
    async def stats(self, gateway: Gateway) -> dict[str, Any]:
        """Strategy, objective, and a row per deployment that has been ranked."""
        objective = gateway.objectives(gateway.defaults.objective, None)
        return {
            "strategy": gateway.defaults.strategy,
            "objective": objective.name,
            "deployments": [_row(row) for row in gateway.balancer.stats(objective)],
        }

    @post("/reset", summary="Forget what was learned", guards=[admin], status_code=HTTP_200_OK)
    async def reset(self, gateway: Gateway, data: JSONBody[ResetRequest | None] = None) -> dict[str, Any]:
        """Forget one provider or deployment, or all of them."""
        target = data.provider if data else None
        known = {*gateway.catalog.providers, *gateway.catalog.by_key}
        if target is not None and target not in known:
            raise NotFound(f"There is no provider '{target}'. Known are: {', '.join(gateway.catalog.providers)}.")
        gateway.balancer.reset(target)
        return {"reset": target or "all"}

    @get("/best-provider", summary="Rank the candidates of a request, with reasons")
    async def best_provider(
        self,
        gateway: Gateway,
        model: FromQuery[str] = AUTO,
        objective: FromQuery[str | None] = None,
        input_tokens: Annotated[int, QueryParameter(ge=1)] = 500,
        output_tokens: Annotated[int | None, QueryParameter(ge=1)] = None,
    ) -> dict[str, Any]:
        """What would be chosen now, for a request of this size."""
        asked = Asked(frozenset(), input_tokens, output_tokens or 0)
        shape = Shape(input_tokens, output_tokens, route=model)
        ranking = gateway.pipeline.preview(model, asked, shape, objective)
        rows = ranking.explain()
        return {
            "model": model,
            "objective": ranking.objective.name,
            "strategy": ranking.strategy,
            "best": ranking.candidates[0].key if ranking.candidates else None,
            "reason": ranking.reason,
            "ranking": rows,
            "retry_after": ranking.retry_after,
        }

    @get("/history", summary="Weights over time")
    async def history(
        self,
        gateway: Gateway,
        since: FromQuery[datetime | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=10_000)] = 1_000,
    ) -> dict[str, Any]:
        """The weight of each deployment at every snapshot (two a minute), oldest first.

        Of the last hour, or since a time.
        """
        begin = unix(since) if since else gateway.wall() - _HOUR
        return {"history": await gateway.records.history(begin, limit)}

    @get("/explain/{request_id:str}", summary="Why a request went where it went")
    async def explain(
        self, gateway: Gateway, request_id: FromPath[str], request: Request[object, object, State]
    ) -> dict[str, Any]:
        """The decision as it was made, and what became of it."""
        if not request_id.startswith("req_"):
            raise BadRequest("A request id looks like 'req_01J…'; see the header x-steelyard-request-id.")
        principal = principal_of(request)
        found = await gateway.records.explain(request_id, tenant=None if principal.admin else principal.name)
        if found is None:
            raise NotFound(f"No request '{request_id}' is recorded (records appear after the log's flush interval).")
        return found


def _model(one: Deployment) -> dict[str, Any]:
    cached = one.price.cached_input
    return {
        "name": one.model,
        "provider": one.provider,
        "id": one.key,
        "upstream": one.target.upstream,
        "context": one.context,
        "max_output": one.target.max_output,
        "capabilities": sorted(one.capabilities) if one.capabilities is not None else None,
        "price": {
            "input": one.price.input * 1e6,
            "output": one.price.output * 1e6,
            "cached_input": None if cached is None else cached * 1e6,
        },
        "simulated": one.simulated,
    }


def _row(row: DeploymentStats) -> dict[str, Any]:
    provider, _, model = row.key.partition("/")
    return {
        "provider": provider,
        "model": model,
        "requests": row.requests,
        "successes": row.successes,
        "failures": row.failures,
        "throttled": row.throttled,
        "caller_errors": row.caller_errors,
        "cancelled": row.cancelled,
        "success_rate": row.success_rate,
        "latency": row.latency,
        "ttft": row.first_token,
        "tokens_per_second": row.tokens_per_s,
        "cost_usd": row.cost_usd,
        "weight": row.weight,
        "score": row.score,
        "terms": row.terms,
        "error_rate": row.error_rate,
        "expected": {"seconds": row.expected_s, "cost_usd": row.expected_cost},
        "state": row.state,
        "in_flight": row.in_flight,
        "quota": row.quota,
        "last_error": row.last_error,
        "last_error_age": row.last_error_age_s,
    }
