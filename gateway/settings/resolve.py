"""The written form → providers, routes and keys ready for use.

Law: whatever a request would stumble over later is told now. A model without a price, a target nobody serves, a
fallback that comes back to itself, an address that is this gateway: each is a problem with its path and its fix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from gateway.catalogue import Catalogue, CatalogueModel
from gateway.settings.build import Builder, Where
from gateway.settings.environment import models_variable
from gateway.settings.names import nearest
from gateway.settings.secrets import mask_url
from gateway.settings.sections import Server, Timeouts
from gateway.settings.tree import ModelSettings, Price, ProviderSettings
from gateway.settings.written import ModelEntry, PriceEntry, ProviderEntry, TimeoutEntry
from providers import PROVIDERS, Provider

_KNOWN: Mapping[str, Provider] = {provider.name: provider for provider in PROVIDERS}
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_MILLION = 1_000_000
_FREE = Price(input=0.0, output=0.0, cached_input=0.0)
_LOCAL = {"localhost", "127.0.0.1", "::1", "0.0.0.0"}


def resolve_provider(
    name: str, entry: ProviderEntry, timeouts: Timeouts, server: Server, catalogue: Catalogue, builder: Builder
) -> ProviderSettings:
    """A provider with its models and prices. Problems go to the builder."""
    where: Where = ("providers", name)
    known = _KNOWN.get(name)
    if known and known.needs_key and entry.api_key is None and not builder.dropped((*where, "api_key")):
        builder.blame(
            (*where, "api_key"),
            f"{name} needs a key. Set {' or '.join(known.key_variables)} (get one at {known.home}), or write "
            "'enabled: false'.",
        )
    for header, value in entry.profile.headers.items():
        if not (_HEADER.fullmatch(header) and value.isascii() and value.isprintable()):
            builder.blame((*where, "profile", "headers", header), "is not a header: printable ASCII on one line.")
    named = entry.profile.idempotency_header
    if named and not _HEADER.fullmatch(named):
        builder.blame((*where, "profile", "idempotency_header"), "is not the name of a header.")
    return ProviderSettings(
        name=name,
        dialect=entry.dialect,
        base_url=_base_url(entry.base_url, known, server, builder, (*where, "base_url")),
        api_key=entry.api_key,
        models=_models(name, entry, catalogue, builder),
        profile=entry.profile,
        timeout=_timeouts(entry.timeout, timeouts),
        max_concurrency=entry.max_concurrency,
        priority=entry.priority,
        weight=entry.weight,
        budget=entry.budget,
    )


def _timeouts(entry: TimeoutEntry, default: Timeouts) -> Timeouts:
    own = {name: value for name, value in msgspec.structs.asdict(entry).items() if value is not None}
    return msgspec.structs.replace(default, **own)


def _base_url(url: str, known: Provider | None, server: Server, builder: Builder, where: Where) -> str:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        builder.blame(where, "is not a URL. Write https://host or https://host:port, with a path if it has one.")
        return url
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        builder.blame(where, f"{mask_url(url)} is not valid: it must begin with https:// or http:// and name a host.")
    elif parts.query or parts.fragment or "@" in parts.netloc:
        builder.blame(
            where, f"{mask_url(url)} is not valid: write it without user, '?' and '#'; headers go under 'profile'."
        )
    elif parts.hostname in _LOCAL | {server.host} and port == server.port:
        builder.blame(
            where,
            f"{url} is this gateway itself (port {server.port}): requests would go round in circles. "
            "Unset it here, or listen on another port.",
        )
    bare = url.rstrip("/")
    return bare + known.default_path if known and not parts.path.strip("/") else bare


def _models(name: str, entry: ProviderEntry, catalogue: Catalogue, builder: Builder) -> tuple[ModelSettings, ...]:
    where: Where = ("providers", name, "models")
    listed = catalogue.of(name)
    known = _KNOWN.get(name)
    if not entry.models:
        if not listed and not builder.failed_below(where):
            builder.blame(
                where,
                "no models are named. List them here"
                + (f", or set {models_variable(known)} to their names, with commas between." if known else "."),
            )
        return tuple(_model(ModelEntry(name=model), figures, None) for model, figures in listed.items())
    models: dict[str, ModelSettings] = {}
    for index, written in enumerate(entry.models):
        model = ModelEntry(name=written) if isinstance(written, str) else written
        figures = listed.get(model.upstream or model.name)
        default = _FREE if known and known.free else None
        price = _price(model, listed, default, builder, (*where, index))
        if model.name in models:
            builder.blame((*where, index), f"the model '{model.name}' is listed twice.")
        models[model.name] = _model(model, figures, price)
    return tuple(models.values())


def _model(model: ModelEntry, figures: CatalogueModel | None, price: Price | None) -> ModelSettings:
    capabilities = model.capabilities if model.capabilities is not None else figures and figures.capabilities
    return ModelSettings(
        name=model.name,
        upstream=model.upstream or model.name,
        price=price or (_from_catalogue(figures) if figures else _FREE),
        context=model.context or (figures and figures.context) or None,
        max_output=model.max_output or (figures and figures.max_output) or None,
        capabilities=None if capabilities is None else frozenset(capabilities),
        quality=model.quality,
    )


def _from_catalogue(figures: CatalogueModel) -> Price:
    return _per_token(
        PriceEntry(
            input=figures.input,
            output=figures.output,
            cached_input=figures.cached_input,
            cache_write=figures.cache_write,
            cache_write_hour=figures.cache_write_hour,
        )
    )


def _per_token(price: PriceEntry) -> Price:
    def each(figure: float | None) -> float | None:
        return None if figure is None else figure / _MILLION

    cached = price.input if price.cached_input is None else price.cached_input
    return Price(
        input=price.input / _MILLION,
        output=(price.output or 0.0) / _MILLION,
        cached_input=cached / _MILLION,
        cache_write=each(price.cache_write),
        cache_write_hour=each(price.cache_write_hour),
    )


def _price(
    model: ModelEntry, listed: Mapping[str, CatalogueModel], default: Price | None, builder: Builder, where: Where
) -> Price | None:
    """The price written for a model, or else the catalogue's, or else the default; a problem when there is none."""
    if model.price == "free":
        return _FREE
    if isinstance(model.price, PriceEntry):
        if model.price.output is None and "embeddings" not in (model.capabilities or ()):
            builder.blame(
                (*where, "price", "output"), "is missing; only models with the capability embeddings lack it."
            )
        return _per_token(model.price)
    if figures := listed.get(model.upstream or model.name):
        return _from_catalogue(figures)
    if default is None and not builder.failed_below((*where, "price")):
        meant = nearest(model.name, listed)
        builder.blame(
            where,
            f"no price is known for '{model.name}'. {f'Did you mean {meant}? If not, write' if meant else 'Write'} "
            f"{{name: {model.name}, price: {{input: …, output: …}}}} in USD per 1M tokens, or 'price: free'.",
        )
    return default
