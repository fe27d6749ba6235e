"""The settings: one frozen tree, made at start and handed down. Nothing else reads the environment.

Law: everything in it is resolved and checked. A provider has its address, key, models and prices; a route's targets
exist; an objective's name is known. What the gateway is told in files and variables is `sections` and `written`.
Durations are seconds, sizes bytes, prices USD per token.
"""

from __future__ import annotations

from msgspec import Struct, field

from gateway.catalogue import Capability
from gateway.settings.limits import Budget
from gateway.settings.mcp import McpServer
from gateway.settings.secrets import Secret
from gateway.settings.sections import Mcp, Timeouts
from gateway.settings.shared import Route, Sections
from providers import DialectName
from providers.dialect import Profile

#: What a caller writes for "any model"; a route of that name could never be meant.
AUTO = "auto"


class Price(Struct, frozen=True, kw_only=True):
    """USD per token. `cached_input` is for prompt tokens that the provider reads from its own cache.

    `cache_write` is for those that it writes there, `cache_write_hour` for those it keeps for an hour. None: they cost
    what the others do.
    """

    input: float
    output: float
    cached_input: float
    cache_write: float | None = None
    cache_write_hour: float | None = None


class ModelSettings(Struct, frozen=True, kw_only=True):
    """A model at a provider; `upstream` is its name there. None: not known, so nothing is concluded from it."""

    name: str
    upstream: str
    price: Price
    #: Longest prompt and longest answer, tokens.
    context: int | None = None
    max_output: int | None = None
    capabilities: frozenset[Capability] | None = None
    #: 0..1, how good its answers are, for objectives that weigh quality.
    quality: float = 1.0


class ProviderSettings(Struct, frozen=True, kw_only=True):
    """A provider ready for use. Lower `priority` goes first; `weight` is its share under the strategy `weighted`."""

    name: str
    dialect: DialectName
    base_url: str
    api_key: Secret | None
    models: tuple[ModelSettings, ...]
    profile: Profile = Profile()
    timeout: Timeouts = Timeouts()
    max_concurrency: int | None = None
    priority: int = 0
    weight: float = 1.0
    #: What it may cost; from the soft limit on it is asked the less, the nearer the end is.
    budget: Budget | None = None

    def __repr__(self) -> str:
        """Leave out the profile, whose headers may carry secrets."""
        models = [model.name for model in self.models]
        return f"ProviderSettings({self.name!r}, {self.dialect}, {self.base_url!r}, models={models})"


class RouteSettings(Route, frozen=True, kw_only=True):
    """A route whose targets exist."""

    name: str


class McpSettings(Mcp, frozen=True, kw_only=True):
    """The file of MCP servers, and those it names."""

    servers: dict[str, McpServer] = field(default_factory=dict[str, McpServer])


class Settings(Sections, frozen=True, kw_only=True):
    """All of it. Without providers, the gateway starts its own simulator."""

    providers: dict[str, ProviderSettings] = field(default_factory=dict[str, ProviderSettings])
    routes: dict[str, RouteSettings] = field(default_factory=dict[str, RouteSettings])
    mcp: McpSettings = field(default_factory=McpSettings)

    @property
    def models_and_routes(self) -> list[str]:
        """Whatever a request may name."""
        served = [(name, one.name) for name, provider in self.providers.items() for one in provider.models]
        return [AUTO, *self.routes, *(f"{name}/{one}" for name, one in served), *(one for _, one in served)]

    @property
    def anonymous(self) -> bool:
        """Callers without a key are answered."""
        return self.auth.allow_anonymous or not (self.keys or self.auth.admin_key or self.jwt.used)
