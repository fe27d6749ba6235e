"""The scalar settings, by section: what each is for, its default, its bounds and its name in the environment.

The loader, `.env.example`, the README's table and `config show` are all made from these annotations.

Law: an option that does nothing does not exist. Who adds a field here uses it in the same change.
Durations are seconds, sizes bytes (in files and variables also `20MiB`, `64kB` …).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from gateway.settings.secrets import Secret, SecretUrl

Strategy = Literal[
    "load_balanced", "round_robin", "random", "priority", "weighted", "least_busy", "latency", "cost", "p2c_ewma"
]
#: `deterministic`: answers to requests at temperature 0.
CacheWhen = Literal["never", "deterministic", "always"]
LogLevel = Literal["debug", "info", "warning", "error"]

Seconds = Annotated[float, Meta(gt=0, extra={"unit": "seconds"})]
Bytes = Annotated[int, Meta(ge=1, extra={"unit": "bytes"})]
Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
NonNegative = Annotated[float, Meta(ge=0)]


def option(env: str, description: str, *, schemes: tuple[str, ...] = ()) -> Meta:
    """A setting's name in the environment, and what it is for; `schemes` are those its URL may have."""
    return Meta(description=description, extra={"env": env, "schemes": schemes})


class Server(Struct, frozen=True, kw_only=True):
    """Where the gateway listens, and how it takes leave."""

    host: Annotated[
        str,
        Meta(min_length=1),
        option(
            "STEELYARD_HOST",
            "Address to listen on. Beyond this machine (`0.0.0.0`) it takes a key, or STEELYARD_ALLOW_ANONYMOUS.",
        ),
    ] = "127.0.0.1"
    port: Annotated[Port, option("STEELYARD_PORT", "Port to listen on.")] = 8000
    workers: Annotated[int, Meta(ge=1, le=256), option("STEELYARD_WORKERS", "Processes on this machine.")] = 1
    max_body: Annotated[
        Bytes, option("STEELYARD_MAX_BODY", "Largest request body; a larger one is answered with 413.")
    ] = 20 * 1024 * 1024
    max_nesting: Annotated[
        Count, option("STEELYARD_MAX_NESTING", "Deepest nesting of lists and objects in a body; deeper ones get 400.")
    ] = 128
    max_header: Annotated[
        Bytes, option("STEELYARD_MAX_HEADER", "Largest head of a request, address and headers; a larger one gets 431.")
    ] = 64 * 1024
    head_timeout: Annotated[
        Seconds, option("STEELYARD_HEAD_TIMEOUT", "How long a caller may take to send a request's head.")
    ] = 15.0
    body_timeout: Annotated[
        Seconds,
        option("STEELYARD_BODY_TIMEOUT", "How long a body may be on its way, and a second more for each kB of it."),
    ] = 30.0
    write_timeout: Annotated[
        Seconds, option("STEELYARD_WRITE_TIMEOUT", "How long a caller may read nothing of an answer.")
    ] = 60.0
    shutdown_grace: Annotated[
        Seconds, option("STEELYARD_SHUTDOWN_GRACE", "How long running requests may take to finish after a stop signal.")
    ] = 30.0
    shutdown_linger: Annotated[
        Seconds, option("STEELYARD_SHUTDOWN_LINGER", "How long a stop leaves idle connections for one more request.")
    ] = 1.0
    request_id_header: Annotated[
        str,
        Meta(pattern=r"^[A-Za-z0-9-]+$"),
        option("STEELYARD_REQUEST_ID_HEADER", "Header in which a request's id is accepted and returned."),
    ] = "x-request-id"
    debug: Annotated[
        bool, option("DEBUG", "Show in answers what the gateway's own failures were. Not for production.")
    ] = False


class Auth(Struct, frozen=True, kw_only=True):
    """Who may do what. The callers' keys themselves are `Settings.keys`."""

    admin_key: Annotated[
        Secret | None, option("STEELYARD_ADMIN_KEY", "Key for the admin routes; once set, they need it.")
    ] = None
    allow_anonymous: Annotated[
        bool, option("STEELYARD_ALLOW_ANONYMOUS", "Answer callers without a key, on every address.")
    ] = False
    secret_key: Annotated[
        Secret | None,
        option("SECRET_KEY", "Mixed into the hashes by which callers' keys are known. The same on every replica."),
    ] = None
    wrong_keys: Annotated[
        NonNegativeInt,
        option(
            "STEELYARD_WRONG_KEYS",
            "Wrong keys a minute from one address, after which others get 429, and late. 0: any number.",
        ),
    ] = 20


class Database(Struct, frozen=True, kw_only=True):
    """Where requests are recorded."""

    url: Annotated[
        SecretUrl,
        option(
            "DATABASE_URL",
            "Database: `sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`.",
            schemes=("sqlite+aiosqlite", "postgresql+asyncpg"),
        ),
    ] = field(default_factory=lambda: SecretUrl("sqlite+aiosqlite:///./data/steelyard.db"))
    echo: Annotated[bool, option("DATABASE_ECHO", "Log every SQL statement.")] = False
    pool_size: Annotated[Count, option("DB_POOL_SIZE", "Connections kept open (PostgreSQL).")] = 5
    max_overflow: Annotated[
        NonNegativeInt, option("DB_MAX_OVERFLOW", "Connections beyond them under load (PostgreSQL).")
    ] = 10
    pool_timeout: Annotated[Seconds, option("DB_POOL_TIMEOUT", "Longest wait for a connection (PostgreSQL).")] = 30.0
    pool_recycle: Annotated[
        Seconds, option("DB_POOL_RECYCLE", "Age at which a connection is replaced (PostgreSQL).")
    ] = 1800.0


class RedisSettings(Struct, frozen=True, kw_only=True):
    """The server that replicas share. Without a URL everything stays in this process."""

    url: Annotated[
        SecretUrl | None,
        option(
            "REDIS_URL",
            "Redis, shared by replicas: `redis://…`, `rediss://…` or `unix://…`. Unset: in process.",
            schemes=("redis", "rediss", "unix"),
        ),
    ] = None
    db: Annotated[NonNegativeInt | None, option("REDIS_DB", "Redis database, when the URL names none.")] = None
    max_connections: Annotated[Count, option("REDIS_MAX_CONNECTIONS", "Connections to Redis per process.")] = 50


class CacheSettings(Struct, frozen=True, kw_only=True):
    """Whether and how long answers are kept. A caller's `X-Steelyard-Cache` and a route's `cache` go before."""

    enabled: Annotated[bool, option("STEELYARD_CACHE_ENABLED", "Keep answers at all.")] = True
    ttl: Annotated[Seconds, option("CACHE_EXPIRE_SECONDS", "How long an answer is kept.")] = 3600.0
    native: Annotated[
        CacheWhen,
        option("STEELYARD_CACHE_NATIVE", "Which answers of `/api/llm` are kept; `deterministic`: at temperature 0."),
    ] = "always"
    drop_in: Annotated[
        CacheWhen, option("STEELYARD_CACHE_DROP_IN", "The same for the OpenAI and Anthropic surfaces.")
    ] = "deterministic"
    memory: Annotated[
        Bytes, option("STEELYARD_CACHE_MEMORY", "Memory for answers per process, when there is no Redis.")
    ] = 32 * 1024 * 1024


class Dwa(Struct, frozen=True, kw_only=True):
    """How a provider is chosen when neither caller nor route says."""

    strategy: Annotated[
        Strategy, option("DWA_ROUTING_STRATEGY", "How a provider is chosen; `load_balanced` is the DWA.")
    ] = "load_balanced"
    objective: Annotated[
        str,
        Meta(min_length=1),
        option("DWA_OBJECTIVE", "What it aims at: balanced, fastest, cheapest, reliable, or one of `objectives`."),
    ] = "balanced"
    share: Annotated[
        bool, option("DWA_SHARE", "Share what is learned with replicas on the same Redis, and among workers.")
    ] = True


class Judge(Struct, frozen=True, kw_only=True):
    """A model that grades a sample of the answers, for objectives that weigh quality. Without a model there is none."""

    model: Annotated[
        str | None,
        option(
            "STEELYARD_JUDGE_MODEL",
            "Model or route that grades answers. It is sent questions and answers of all callers, but those of routes "
            "with `judge: false`.",
        ),
    ] = None
    sample: Annotated[
        float, Meta(ge=0, le=1), option("STEELYARD_JUDGE_SAMPLE", "Share of the chat answers that it grades.")
    ] = 0.02
    budget_usd: Annotated[
        NonNegative, option("STEELYARD_JUDGE_BUDGET_USD", "Most that its grades may cost a day (UTC), in USD.")
    ] = 1.0


class Requests(Struct, frozen=True, kw_only=True):
    """How long and how often a caller's request is tried, over all providers."""

    timeout: Annotated[
        Seconds, option("STEELYARD_REQUEST_TIMEOUT", "Deadline of a request, retries and fallbacks included.")
    ] = 600.0
    retries: Annotated[int, Meta(ge=0, le=10), option("STEELYARD_RETRIES", "Further tries of the same provider.")] = 2
    backoff: Annotated[
        Seconds, option("STEELYARD_RETRY_BACKOFF", "Pause before the first of them; doubles with each, with jitter.")
    ] = 0.25


class Timeouts(Struct, frozen=True, kw_only=True):
    """How long one call of a provider may take. As a section: for the providers that do not say otherwise."""

    connect: Annotated[Seconds, option("STEELYARD_CONNECT_TIMEOUT", "To connect to a provider.")] = 5.0
    first_byte: Annotated[Seconds, option("STEELYARD_FIRST_BYTE_TIMEOUT", "Until a provider's answer begins.")] = 60.0
    idle: Annotated[Seconds, option("STEELYARD_IDLE_TIMEOUT", "Between two pieces of a provider's answer.")] = 30.0
    total: Annotated[Seconds, option("STEELYARD_CALL_TIMEOUT", "For the whole call of a provider.")] = 600.0


class Tls(Struct, frozen=True, kw_only=True):
    """Whom to believe that they are a provider."""

    verify: Annotated[
        bool, option("STEELYARD_TLS_VERIFY", "Check providers' certificates; `false` trusts anybody.")
    ] = True
    ca_file: Annotated[
        Path | None,
        option(
            "STEELYARD_CA_FILE", "PEM file of authorities to trust besides the system's, a company's own for example."
        ),
    ] = None


class RequestLog(Struct, frozen=True, kw_only=True):
    """The record of every request, on its way to the database."""

    flush_interval: Annotated[
        Seconds, option("STEELYARD_LOG_FLUSH_INTERVAL", "Longest time a record waits in memory before it is written.")
    ] = 0.2
    queue_size: Annotated[
        Count, option("STEELYARD_LOG_QUEUE_SIZE", "Records in memory before they spill, and while no file has room.")
    ] = 10_000
    spill_dir: Annotated[Path, option("STEELYARD_LOG_SPILL_DIR", "Folder for records while the database is away.")] = (
        Path("data/spill")
    )
    spill_max: Annotated[
        Bytes,
        option(
            "STEELYARD_LOG_SPILL_MAX", "Most that folder may hold; the rest waits in memory, then is lost and counted."
        ),
    ] = 1024**3
    bodies: Annotated[
        bool, option("STEELYARD_LOG_BODIES", "Record prompts and answers too, what looks like keys and e-mail masked.")
    ] = False
    retention_days: Annotated[
        Count | None,
        option(
            "STEELYARD_LOG_RETENTION_DAYS",
            "Days for which records are kept; older ones go by whole days (PostgreSQL: by weeks). Unset: for ever.",
        ),
    ] = None


class Responses(Struct, frozen=True, kw_only=True):
    """Responses that callers of `/v1/responses` have kept."""

    retention_days: Annotated[
        Count | None,
        option(
            "STEELYARD_RESPONSES_RETENTION_DAYS",
            "Days for which they are kept after the last one that goes on from them. Unset: until they are deleted.",
        ),
    ] = None


class Workflows(Struct, frozen=True, kw_only=True):
    """Executions of workflows, and who runs them."""

    run: Annotated[
        bool,
        option("STEELYARD_WORKFLOWS_RUN", "Run executions in the serving processes; `steelyard worker` always does."),
    ] = True
    concurrency: Annotated[
        Count, option("STEELYARD_WORKFLOWS_CONCURRENCY", "Executions that one process runs at a time.")
    ] = 16
    http_hosts: Annotated[
        str,
        option(
            "STEELYARD_WORKFLOWS_HTTP_HOSTS",
            "Hosts that nodes of the kind `http` may reach, with commas: names, or patterns such as `*.example.org`.",
        ),
    ] = ""
    http_networks: Annotated[
        str,
        option(
            "STEELYARD_WORKFLOWS_HTTP_NETWORKS",
            "Networks that are not public and that those hosts may be in all the same, with commas: `10.1.0.0/16`.",
        ),
    ] = ""
    lease: Annotated[
        Seconds,
        option("WORKER_LEASE_SECONDS", "Silence after which a process is taken for dead, and others run what it ran."),
    ] = 30.0
    monitoring: Annotated[
        Seconds,
        option(
            "WORKFLOW_MONITORING_INTERVAL",
            "Between two looks at deadlines, approvals, dead processes and the queue; a sixth of the lease if less.",
        ),
    ] = 5.0
    retention_days: Annotated[
        Count | None,
        option("STEELYARD_WORKFLOWS_RETENTION_DAYS", "Days for which ended executions are kept. Unset: for ever."),
    ] = None
    misfire_grace: Annotated[
        Seconds,
        option(
            "SCHEDULER_MISFIRE_GRACE_TIME",
            "How late a schedule's time may be held; later it counts as missed. For schedules that say nothing.",
        ),
    ] = 300.0
    timezone: Annotated[str, option("TZ", "Time zone of schedules that name none, such as `Europe/Berlin`.")] = "UTC"

    @property
    def hosts(self) -> list[str]:
        """Of `http_hosts`, each."""
        return [host.strip() for host in self.http_hosts.split(",") if host.strip()]

    @property
    def networks(self) -> list[str]:
        """Of `http_networks`, each."""
        return [network.strip() for network in self.http_networks.split(",") if network.strip()]


class Artifacts(Struct, frozen=True, kw_only=True):
    """Files that the steps of workflows make."""

    dir: Annotated[
        Path,
        option(
            "STEELYARD_ARTIFACTS_DIR",
            "Folder for them. Processes on several machines need one that they share.",
        ),
    ] = Path("data/artifacts")
    max_size: Annotated[
        Bytes, option("STEELYARD_ARTIFACTS_MAX", "Most that one of them may hold; a step that makes more fails.")
    ] = 64 * 1024**2
    inline_max: Annotated[
        Bytes,
        option(
            "STEELYARD_ARTIFACTS_INLINE_MAX",
            "Outputs of steps that are larger, as JSON, are kept there and not in the database.",
        ),
    ] = 256 * 1024


class Steps(Struct, frozen=True, kw_only=True):
    """What holds for the steps of workflows that say nothing."""

    timeout: Annotated[Seconds, option("STEP_EXECUTION_TIMEOUT", "For one try of a step.")] = 5400.0
    retries: Annotated[
        Annotated[int, Meta(ge=0, le=100)],
        option("STEP_EXECUTION_RETRY_COUNT", "Further tries of a step after a transient fault."),
    ] = 3
    parallel: Annotated[
        Annotated[int, Meta(ge=1, le=100)],
        option("STEP_EXECUTION_PARALLEL_LIMIT", "Steps of one execution that run at a time."),
    ] = 5
    progress: Annotated[
        Seconds,
        option("STEP_PROGRESS_UPDATE_INTERVAL", "Least time between two `step.progress` events of a map or a loop."),
    ] = 2.0
    tracking: Annotated[
        bool,
        option(
            "STEP_EXECUTION_TRACKING_ENABLED",
            "Keep an event for each try, item and round; else only for whole nodes. What steps came to is always kept.",
        ),
    ] = True


class Mcp(Struct, frozen=True, kw_only=True):
    """MCP servers, whose tools callers and workflows may use."""

    settings_file: Annotated[
        Path | None,
        option(
            "MCP_SETTINGS_FILE",
            "JSON file of MCP servers, `mcp_settings.json` by custom; `${VAR}` in it is a variable. Unset: no servers.",
        ),
    ] = None


class Metrics(Struct, frozen=True, kw_only=True):
    """Prometheus."""

    public: Annotated[bool, option("STEELYARD_METRICS_PUBLIC", "Show `/metrics` without a key.")] = False
    worker_port: Annotated[Port | None, option("STEELYARD_WORKER_METRICS_PORT", "Port of `steelyard worker`.")] = None
