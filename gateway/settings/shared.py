"""What is the same in the settings as they are written and as they are resolved: `written` and `tree` build on it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from gateway.settings.audit import Audit
from gateway.settings.guardrails import Guardrail
from gateway.settings.keeping import Sessions
from gateway.settings.limits import Budget, Budgets, Limits, Rates
from gateway.settings.secrets import Secret
from gateway.settings.sections import (
    Artifacts,
    Auth,
    CacheSettings,
    CacheWhen,
    Database,
    Dwa,
    Judge,
    Mcp,
    Metrics,
    NonNegative,
    RedisSettings,
    RequestLog,
    Requests,
    Responses,
    Seconds,
    Server,
    Steps,
    Strategy,
    Timeouts,
    Tls,
    Workflows,
)
from gateway.settings.telling import Log, Tracing
from gateway.settings.tokens import Jwt

#: The names of callers who have no key of their own, and of the administrator.
ANONYMOUS = "anonymous"
ADMIN = "admin"
#: Who acts, in the audit log, where no caller does: whoever may send the process a signal.
SYSTEM = "system"
#: What the names of callers who bring tokens begin with, and no key's may.
TOKENS = "jwt:"
#: The surface and the principal of what guardrails ask models.
GUARDRAIL = "guardrail"
Share = Annotated[float, Meta(gt=0, lt=1)]


class Slo(Struct, frozen=True, kw_only=True):
    """What must be kept: a share of the answers whole within so many seconds, and at most so many errors."""

    seconds: Seconds
    share: Share = 0.95
    errors: Share = 0.01


class Objective(Struct, frozen=True, kw_only=True):
    """An objective of your own: what a second, a dollar, a failure and bad quality are worth.

    Or, instead of weights, an SLO: then it is the cheapest that keeps it.
    """

    latency: NonNegative = 0.0
    cost: NonNegative = 0.0
    errors: NonNegative = 0.0
    quality: NonNegative = 0.0
    slo: Slo | None = None


class Key(Struct, frozen=True, kw_only=True):
    """A caller's key from the configuration; `name` is what logs and records show.

    `strategy` and `objective` hold for its requests, unless they or their route say otherwise. Of `models`,
    `providers`, `routes` and `mcp_tools` None means all.
    """

    name: str
    key: Secret
    strategy: Strategy | None = None
    objective: str | None = None
    tags: tuple[str, ...] = ()
    models: tuple[str, ...] | None = None
    providers: tuple[str, ...] | None = None
    routes: tuple[str, ...] | None = None
    mcp_tools: tuple[str, ...] | None = None
    rates: Rates = Rates()
    budget: Budget | None = None
    cache: CacheWhen | None = None
    log_bodies: bool | None = None
    #: Guardrails by name, beside those that always hold.
    guardrails: tuple[str, ...] = ()


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
    #: Whether the judge, when there is one, may grade its answers.
    judge: bool = True
    #: Whether a request whose answer is overdue may be sent to a second target as well.
    hedge: bool = False
    #: Whether an answer whose stream breaks off may be continued by another target.
    continue_streams: bool = False
    #: Guardrails by name, beside those that always hold.
    guardrails: tuple[str, ...] = ()
    #: What all its callers together may ask of it.
    rates: Rates = Rates()


class Sections(Struct, frozen=True, kw_only=True):
    """The sections whose values need nothing else to be understood."""

    server: Server = Server()
    auth: Auth = Auth()
    jwt: Jwt = Jwt()
    database: Database = field(default_factory=Database)
    redis: RedisSettings = RedisSettings()
    cache: CacheSettings = CacheSettings()
    dwa: Dwa = Dwa()
    judge: Judge = Judge()
    requests: Requests = Requests()
    timeout: Timeouts = Timeouts()
    tls: Tls = Tls()
    request_log: RequestLog = RequestLog()
    audit: Audit = Audit()
    responses: Responses = Responses()
    sessions: Sessions = Sessions()
    workflows: Workflows = Workflows()
    steps: Steps = Steps()
    artifacts: Artifacts = Artifacts()
    mcp: Mcp = Mcp()
    log: Log = Log()
    tracing: Tracing = Tracing()
    metrics: Metrics = Metrics()
    keys: tuple[Key, ...] = ()
    limits: Limits = field(default_factory=Limits)
    budgets: Budgets = field(default_factory=Budgets)
    objectives: dict[str, Objective] = field(default_factory=dict[str, Objective])
    guardrails: dict[Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")], Guardrail] = {}
