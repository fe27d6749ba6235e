"""What a YAML file may say, as it is written: the shape before it is resolved into `tree.Settings`.

The scalar sections are the same structs in both. Prices are USD per million tokens here, as everybody quotes them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from gateway.catalogue import Capability
from gateway.settings.limits import Budget
from gateway.settings.secrets import Secret
from gateway.settings.sections import Count, NonNegative, Seconds
from gateway.settings.shared import Route, Sections
from providers import DialectName
from providers.dialect import Profile

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
ModelName = Annotated[str, Meta(min_length=1, pattern=r"^\S+$")]


class PriceEntry(Struct, frozen=True, kw_only=True):
    """USD per million tokens. Embedding models have no `output`; without `cached_input`, cached tokens cost `input`.

    So do those written to the provider's cache without `cache_write`; without `cache_write_hour`, those that are kept
    there for an hour cost what the others do.
    """

    input: NonNegative
    output: NonNegative | None = None
    cached_input: NonNegative | None = None
    cache_write: NonNegative | None = None
    cache_write_hour: NonNegative | None = None


class ModelEntry(Struct, frozen=True, kw_only=True):
    """A model. What is not written comes from the catalogue, when it lists the model for this provider."""

    name: ModelName
    upstream: ModelName | None = None
    price: PriceEntry | Literal["free"] | None = None
    context: Count | None = None
    max_output: Count | None = None
    capabilities: tuple[Capability, ...] | None = None
    quality: Annotated[float, Meta(ge=0, le=1)] = 1.0


class TimeoutEntry(Struct, frozen=True, kw_only=True):
    """What differs from the section `timeout`."""

    connect: Seconds | None = None
    first_byte: Seconds | None = None
    idle: Seconds | None = None
    total: Seconds | None = None


class ProviderEntry(Struct, frozen=True, kw_only=True):
    """A provider. One that the gateway knows by name brings its dialect, address, profile and models along."""

    dialect: DialectName
    base_url: str
    enabled: bool = True
    api_key: Secret | None = None
    models: tuple[str | ModelEntry, ...] = ()
    timeout: TimeoutEntry = TimeoutEntry()
    max_concurrency: Count | None = None
    profile: Profile = Profile()
    priority: int = 0
    weight: NonNegative = 1.0
    budget: Budget | None = None


class Document(Sections, frozen=True, kw_only=True):
    """A whole file."""

    providers: dict[Name, ProviderEntry] = field(default_factory=dict[str, ProviderEntry])
    routes: dict[Name, Route] = field(default_factory=dict[str, Route])
