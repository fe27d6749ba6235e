"""No provider is configured: the bundled simulator stands in, and says so in every answer."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.catalogue import Capability
from gateway.settings.tree import ModelSettings, Price, ProviderSettings, Settings
from providers.dialect import Profile
from providers.endpoint import DialectName
from providers.simulator import Model, Provider, Simulation

#: What the official SDKs take as base URL: OpenAI's ends with the version, the others' paths carry it.
_PATHS: dict[DialectName, str] = {"openai": "/v1", "anthropic": "", "gemini": ""}
_CHAT: frozenset[Capability] = frozenset({"tools", "vision", "audio", "documents", "json_schema", "reasoning"})
#: What a simulated model that holds no conversations can.
_APART: dict[str, frozenset[Capability]] = {
    "embedding": frozenset({"embeddings"}),
    "completion": frozenset({"completions"}),
    "moderation": frozenset({"moderation"}),
    "image": frozenset({"images"}),
    "speech": frozenset({"speech"}),
    "transcription": frozenset({"transcription"}),
}
_MILLION = 1_000_000


def with_simulator(settings: Settings, simulation: Simulation, url: str) -> Settings:
    """The settings with the cast of a simulator, serving at `url`, as providers."""
    cast = {one.name: _provider(one, url, settings) for one in simulation.providers}
    return replace(settings, providers=cast)


def _provider(one: Provider, url: str, settings: Settings) -> ProviderSettings:
    return ProviderSettings(
        name=one.name,
        dialect=one.dialect,
        base_url=f"{url}/{one.name}{_PATHS[one.dialect]}",
        api_key=None,
        models=tuple(_model(model) for model in one.models),
        profile=Profile(simulated=True),
        timeout=settings.timeout,
    )


def _model(model: Model) -> ModelSettings:
    prices = model.prices
    return ModelSettings(
        name=model.name,
        upstream=model.name,
        price=Price(
            input=prices.input_usd_per_1m / _MILLION,
            output=prices.output_usd_per_1m / _MILLION,
            cached_input=prices.cached_input_usd_per_1m / _MILLION,
        ),
        context=model.context_window,
        max_output=model.max_output,
        capabilities=_APART.get(model.kind, _CHAT),
    )
