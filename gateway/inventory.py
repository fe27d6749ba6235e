"""Settings → deployments, routes and objectives: what can be asked for, and what for."""

from __future__ import annotations

from collections.abc import Mapping

from dwa import PRESETS, Candidate, Objective, Slo, cheapest_under
from gateway.catalog import Catalog, Deployment, Price, Route
from gateway.settings import shared
from gateway.settings.tree import ModelSettings, ProviderSettings, RouteSettings, Settings
from providers.client import Endpoint
from providers.dialect import Dialect, Target
from providers.transport import Timeouts


def catalog_of(settings: Settings, dialects: Mapping[str, Dialect]) -> Catalog:
    """The catalog that the settings describe."""
    deployments = [
        _deployment(provider, model, dialects[provider.dialect])
        for provider in settings.providers.values()
        for model in provider.models
    ]
    by_key = {one.key: one for one in deployments}
    return Catalog(deployments, [_route(route, by_key) for route in settings.routes.values()])


def objectives_of(settings: Settings) -> dict[str, Objective]:
    """Every objective by name: the presets, and those of the settings."""
    return {**PRESETS, **{name: _objective(name, own) for name, own in settings.objectives.items()}}


def _objective(name: str, own: shared.Objective) -> Objective:
    if own.slo is not None:
        return cheapest_under(name, Slo(own.slo.seconds, own.slo.share, own.slo.errors))
    return Objective(name, own.latency, own.cost, own.errors, own.quality)


def _deployment(provider: ProviderSettings, model: ModelSettings, dialect: Dialect) -> Deployment:
    key = provider.api_key.reveal() if provider.api_key else None
    limits = provider.timeout
    return Deployment(
        provider=provider.name,
        model=model.name,
        dialect=dialect,
        endpoint=Endpoint(
            provider.base_url.rstrip("/"),
            (*dialect.authorise(key, provider.profile), *provider.profile.headers.items()),
            Timeouts(limits.connect, limits.first_byte, limits.idle, limits.total),
        ),
        target=Target(provider.name, model.upstream, provider.profile, model.max_output),
        price=Price(
            model.price.input,
            model.price.output,
            model.price.cached_input,
            model.price.cache_write,
            model.price.cache_write_hour,
        ),
        candidate=Candidate(
            f"{provider.name}/{model.name}",
            model.price.input,
            model.price.output,
            model.price.cached_input,
            provider.priority,
            provider.weight,
            provider.max_concurrency,
            model.quality,
        ),
        context=model.context,
        capabilities=model.capabilities,
        simulated=provider.profile.simulated,
    )


def _route(route: RouteSettings, by_key: Mapping[str, Deployment]) -> Route:
    return Route(
        route.name,
        tuple(by_key[target] for target in dict.fromkeys(route.targets)),
        route.strategy,
        route.objective,
        route.fallback,
        route.cache.enabled,
        route.cache.ttl,
        route.drop_params,
        judge=route.judge,
        hedge=route.hedge,
        continue_streams=route.continue_streams,
        guardrails=route.guardrails,
    )
