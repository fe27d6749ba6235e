"""What the addresses of the catalog answer: providers, models, routes."""

from msgspec import Struct


class ProviderModel(Struct):
    """A provider's model; `state` is what the DWA makes of it, and `unused` before its first request."""

    name: str
    state: str


class ProviderAnswer(Struct):
    """A provider, the dialect it speaks, and its models."""

    name: str
    dialect: str
    simulated: bool
    models: list[ProviderModel]


class ProvidersAnswer(Struct):
    """Every provider."""

    providers: list[ProviderAnswer]


class ModelPrice(Struct):
    """USD per million tokens; `cached_input` is null where cached tokens cost what the others do.

    So is `cache_write`, and `cache_write_hour` where writing for an hour costs no more.
    """

    input: float
    output: float
    cached_input: float | None
    cache_write: float | None
    cache_write_hour: float | None


class ModelAnswer(Struct):
    """A deployment: `id` is `provider/model`, `context` and `max_output` are tokens; null means not known."""

    name: str
    provider: str
    id: str
    upstream: str
    context: int | None
    max_output: int | None
    capabilities: list[str] | None
    price: ModelPrice
    simulated: bool


class ModelsAnswer(Struct):
    """Every deployment."""

    models: list[ModelAnswer]


class RouteAnswer(Struct):
    """A route: its deployments as `provider/model`, how one is chosen, and the routes tried after it."""

    name: str
    targets: list[str]
    strategy: str
    objective: str
    fallback: list[str]


class RoutesAnswer(Struct):
    """Every configured route."""

    routes: list[RouteAnswer]
