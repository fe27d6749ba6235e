"""`/api/llm/*`: providers, models, routes, and what the DWA knows and why it chose."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from litestar import Controller, Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import Struct, convert

from dwa import Shape, sentence
from gateway.api.access import Gateway, acting, admin, caller, principal_of, reader, records_reader
from gateway.api.answers.catalog import (
    ModelAnswer,
    ModelPrice,
    ModelsAnswer,
    ProviderAnswer,
    ProviderModel,
    ProvidersAnswer,
    RouteAnswer,
    RoutesAnswer,
)
from gateway.api.answers.dwa import (
    Candidate,
    DwaStats,
    Explanation,
    HistoryAnswer,
    RankingAnswer,
    ResetAnswer,
    WeightsAt,
    deployment,
    explanation,
    slo,
)
from gateway.api.times import unix
from gateway.catalog import AUTO, Asked, Deployment
from gateway.errors import BadRequest, NotFound

_Request = Request[object, object, State]
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
    async def providers(self, gateway: Gateway, request: _Request) -> ProvidersAnswer:
        """Every provider that your key may use, with its models and whether the DWA would use it now."""
        catalog = gateway.pipeline.allowed(principal_of(request))
        states = {row.key: row.state for row in gateway.balancer.stats()}
        return ProvidersAnswer([_provider(name, catalog.deployments_of(name), states) for name in catalog.providers])

    @get("/models", summary="List models with prices and limits")
    async def models(self, gateway: Gateway, request: _Request) -> ModelsAnswer:
        """Every deployment that your key may use. Prices in USD per million tokens."""
        catalog = gateway.pipeline.allowed(principal_of(request))
        return ModelsAnswer([_model(one) for one in catalog.deployments])

    @get("/routes", summary="List routes")
    async def routes(self, gateway: Gateway, request: _Request) -> RoutesAnswer:
        """Every configured route that your key may use, with those of its targets that it may."""
        catalog = gateway.pipeline.allowed(principal_of(request))
        return RoutesAnswer(
            [
                RouteAnswer(
                    name=route.name,
                    targets=[one.key for one in route.deployments],
                    strategy=route.strategy or gateway.defaults.strategy,
                    objective=route.objective or gateway.defaults.objective,
                    fallback=list(route.fallback),
                )
                for route in catalog.routes.values()
            ]
        )


class Dwa(Controller):
    """What the DWA has learned."""

    path = "/api/llm/dwa"
    guards = [reader]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["DWA"]  # noqa: RUF012 - as above

    @get("/stats", summary="Statistics, weight and score per deployment")
    async def stats(self, gateway: Gateway, request: _Request) -> DwaStats:
        """Strategy, objective, a row per deployment that has been ranked, and one per objective with an SLO in use.

        Of the deployments that your key may use.
        """
        mine = gateway.pipeline.allowed(principal_of(request)).by_key
        objective = gateway.objectives(gateway.defaults.objective, None)
        return DwaStats(
            strategy=gateway.defaults.strategy,
            objective=objective.name,
            deployments=[deployment(row) for row in gateway.balancer.stats(objective) if row.key in mine],
            slos=[slo(row) for row in gateway.balancer.slos()],
        )

    @post("/reset", summary="Forget what was learned", guards=[admin], status_code=HTTP_200_OK)
    async def reset(
        self, gateway: Gateway, request: Request[object, object, State], data: JSONBody[ResetRequest | None] = None
    ) -> ResetAnswer:
        """Forget one provider or deployment, or all of them."""
        target = data.provider if data else None
        known = {*gateway.catalog.providers, *gateway.catalog.by_key}
        if target is not None and target not in known:
            raise NotFound(f"There is no provider '{target}'. Known are: {', '.join(gateway.catalog.providers)}.")
        act = acting(request, "dwa.reset", target)
        gateway.fleet.reset(target)
        await gateway.audit.record(act)
        return ResetAnswer(target or "all")

    @get("/best-provider", summary="Rank the candidates of a request, with reasons")
    async def best_provider(
        self,
        gateway: Gateway,
        request: Request[object, object, State],
        model: FromQuery[str] = AUTO,
        objective: FromQuery[str | None] = None,
        input_tokens: Annotated[int, QueryParameter(ge=1)] = 500,
        output_tokens: Annotated[int | None, QueryParameter(ge=1)] = None,
    ) -> RankingAnswer:
        """What would be chosen now, for a request of this size."""
        asked = Asked(frozenset(), input_tokens, output_tokens or 0)
        shape = Shape(input_tokens, output_tokens, route=model)
        ranking = gateway.pipeline.preview(model, asked, shape, objective, principal_of(request))
        return RankingAnswer(
            model=model,
            objective=ranking.objective.name,
            strategy=ranking.strategy,
            best=ranking.candidates[0].key if ranking.candidates else None,
            reason=ranking.reason,
            summary=sentence(ranking.decision(), planned=True),
            ranking=convert(ranking.explain(), list[Candidate]),
            retry_after=ranking.retry_after,
        )

    @get("/history", summary="Weights over time")
    async def history(
        self,
        gateway: Gateway,
        request: _Request,
        since: FromQuery[datetime | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=10_000)] = 1_000,
    ) -> HistoryAnswer:
        """The weight of each deployment at every snapshot (two a minute), oldest first.

        Of the last hour, or since a time.
        """
        begin = unix(since) if since else gateway.wall() - _HOUR
        found = await gateway.records.history(begin, limit)
        whole, mine = gateway.catalog, gateway.pipeline.allowed(principal_of(request))
        # Those that are configured no more are told to whoever may see all.
        return HistoryAnswer(
            [
                WeightsAt(
                    datetime.fromtimestamp(one.at, UTC),
                    {key: weight for key, weight in one.weights.items() if mine is whole or key in mine.by_key},
                )
                for one in found
            ]
        )

    @get("/explain/{request_id:str}", summary="Why a request went where it went", guards=[records_reader])
    async def explain(
        self, gateway: Gateway, request_id: FromPath[str], request: Request[object, object, State]
    ) -> Explanation:
        """The decision as it was made, and what became of it."""
        if not request_id.startswith("req_"):
            raise BadRequest("A request id looks like 'req_01J…'; see the header x-steelyard-request-id.")
        principal = principal_of(request)
        found = await gateway.records.get(request_id, tenant=None if principal.admin else principal.name)
        if found is None:
            raise NotFound(f"No request '{request_id}' is recorded (records appear after the log's flush interval).")
        return explanation(found)


def _provider(name: str, deployments: Sequence[Deployment], states: Mapping[str, str]) -> ProviderAnswer:
    return ProviderAnswer(
        name=name,
        dialect=deployments[0].dialect.name,
        simulated=deployments[0].simulated,
        models=[ProviderModel(one.model, states.get(one.key, "unused")) for one in deployments],
    )


def _model(one: Deployment) -> ModelAnswer:
    def per_million(price: float | None) -> float | None:
        return None if price is None else price * 1e6

    return ModelAnswer(
        name=one.model,
        provider=one.provider,
        id=one.key,
        upstream=one.target.upstream,
        context=one.context,
        max_output=one.target.max_output,
        capabilities=sorted(one.capabilities) if one.capabilities is not None else None,
        price=ModelPrice(
            input=one.price.input * 1e6,
            output=one.price.output * 1e6,
            cached_input=per_million(one.price.cached_input),
            cache_write=per_million(one.price.cache_write),
            cache_write_hour=per_million(one.price.cache_write_hour),
        ),
        simulated=one.simulated,
    )
