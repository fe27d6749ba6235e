"""What the health addresses answer."""

from typing import Literal

from msgspec import Struct

#: It works; it answers, and something is away; it cannot answer.
Condition = Literal["healthy", "degraded", "unhealthy"]


class Readiness(Struct):
    """Whether it can serve."""

    ready: bool


class DatabaseHealth(Struct, omit_defaults=True):
    """The request log's database; `error` is left out when there is none."""

    status: Condition
    error: str | None = None


class CacheHealth(Struct):
    """The cache, with counts since the start; `entries` and `bytes` are null where it cannot tell cheaply."""

    status: Condition
    backend: str
    hits: int
    misses: int
    writes: int
    evictions: int
    errors: int
    entries: int | None
    bytes: int | None
    healthy: bool
    last_error: str | None


class DwaHealth(Struct):
    """Who is sent requests now, and who is not; `because` says of each deployment that is not, why.

    `replicas` counts the gateways that share what they learn, this one included; `sharing` is false where there is
    nothing to share over, or it does not answer (then `status` is degraded).
    """

    status: Condition
    active_providers: list[str]
    excluded: list[str]
    because: dict[str, str]
    replicas: int
    sharing: bool


class LogHealth(Struct):
    """The request log: rows since the start, those in memory (`queue` of `capacity`), and bytes on the disk."""

    status: Condition
    queue: int
    capacity: int
    written: int
    spilled: int
    replayed: int
    dropped: int
    spill_bytes: int
    spill_segments: int
    database: Literal["up", "away"]
    last_error: str | None


class KeysHealth(Struct):
    """Keys of the API as this process knows them, and how many seconds ago it looked; null: not yet.

    While the database is away, as `error` says, those that are known stay valid. `unusable` ones were made with another
    SECRET_KEY, or have the name of one in the configuration.
    """

    status: Condition
    active: int
    unusable: int
    checked_seconds_ago: float | None
    error: str | None


class McpHealth(Struct):
    """MCP servers of the process that answers: those that run, and those that failed, with why. Others rest."""

    status: Condition
    running: list[str]
    failed: dict[str, str]


class LimitsHealth(Struct):
    """Callers' limits, and where their requests are counted: `memory`, `folder` (of all workers) or `redis` (of all).

    Degraded while this process counts `alone`, since the others cannot be reached: the bounds hold for each by itself.
    `waiting` for their turn, where there is a queue.
    """

    status: Condition
    counted_in: Literal["memory", "folder", "redis"]
    alone: bool
    waiting: int


class WorkflowHealth(Struct):
    """Workflows: processes that run executions, and executions that wait for one, run, or wait for somebody else.

    Degraded when the database is away, as `error` says, or nobody is there to run what waits.
    """

    status: Condition
    executors: int = 0
    pending: int = 0
    running: int = 0
    waiting: int = 0
    error: str | None = None


class Services(Struct, omit_defaults=True):
    """Each service's own condition; `workflows` is left out of a process that has none to do with."""

    database: DatabaseHealth
    cache: CacheHealth
    dwa: DwaHealth
    log: LogHealth
    keys: KeysHealth
    mcp: McpHealth
    limits: LimitsHealth
    workflows: WorkflowHealth | None = None


class HealthReport(Struct):
    """The gateway in one word, its services one by one, and the seconds since its start."""

    status: Condition
    services: Services
    version: str
    uptime_seconds: float
