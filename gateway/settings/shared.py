"""What is the same in the settings as they are written and as they are resolved: `written` and `tree` build on it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from gateway.settings.secrets import Secret
from gateway.settings.sections import (
    Auth,
    CacheSettings,
    Database,
    Dwa,
    Log,
    Metrics,
    NonNegative,
    RedisSettings,
    RequestLog,
    Requests,
    Seconds,
    Server,
    Strategy,
    Timeouts,
    Tls,
)


class Objective(Struct, frozen=True, kw_only=True):
    """Weights of an objective of your own: what a second, a dollar, a failure and bad quality are worth."""

    latency: NonNegative = 0.0
    cost: NonNegative = 0.0
    errors: NonNegative = 0.0
    quality: NonNegative = 0.0


class Key(Struct, frozen=True, kw_only=True):
    """A caller's key from the configuration; `name` is what logs and records show."""

    name: str
    key: Secret


class RouteCache(Struct, frozen=True, kw_only=True):
    """A route's say on caching; None: as for everyone."""

    enabled: bool | None = None
    ttl: Seconds | None = None


class Route(Struct, frozen=True, kw_only=True):
    """A virtual model. `targets` are `provider/model`; `fallback` holds such or other routes, in order."""

    targets: Annotated[tuple[str, ...], Meta(min_length=1)]
    objective: str | None = None
    strategy: Strategy | None = None
    fallback: tuple[str, ...] = ()
    cache: RouteCache = RouteCache()
    drop_params: bool = False


class Sections(Struct, frozen=True, kw_only=True):
    """The sections whose values need nothing else to be understood."""

    server: Server = Server()
    auth: Auth = Auth()
    database: Database = field(default_factory=Database)
    redis: RedisSettings = RedisSettings()
    cache: CacheSettings = CacheSettings()
    dwa: Dwa = Dwa()
    requests: Requests = Requests()
    timeout: Timeouts = Timeouts()
    tls: Tls = Tls()
    request_log: RequestLog = RequestLog()
    log: Log = Log()
    metrics: Metrics = Metrics()
    keys: tuple[Key, ...] = ()
    objectives: dict[str, Objective] = field(default_factory=dict[str, Objective])
