"""Answers: health. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(kw_only=True)
class DatabaseHealth:
    """The request log's database; `error` is left out when there is none."""

    status: Literal["healthy", "degraded", "unhealthy"]
    error: str | None = None


@dataclass(kw_only=True)
class CacheHealth:
    """The cache, with counts since the start; `entries` and `bytes` are null where it cannot tell cheaply."""

    status: Literal["healthy", "degraded", "unhealthy"]
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


@dataclass(kw_only=True)
class DwaHealth:
    """Who is sent requests now, and who is not; `because` says of each deployment that is not, why.

    `replicas` counts the gateways that share what they learn, this one included; `sharing` is false where there is
    nothing to share over, or it does not answer (then `status` is degraded).
    """

    status: Literal["healthy", "degraded", "unhealthy"]
    active_providers: list[str]
    excluded: list[str]
    because: dict[str, str]
    replicas: int
    sharing: bool


@dataclass(kw_only=True)
class LogHealth:
    """The request log: rows since the start, those in memory (`queue` of `capacity`), and bytes on the disk."""

    status: Literal["healthy", "degraded", "unhealthy"]
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


@dataclass(kw_only=True)
class KeysHealth:
    """Keys of the API as this process knows them, and how many seconds ago it looked; null: not yet.

    While the database is away, as `error` says, those that are known stay valid. `unusable` ones were made with
    another SECRET_KEY, or have the name of one in the configuration.
    """

    status: Literal["healthy", "degraded", "unhealthy"]
    active: int
    unusable: int
    checked_seconds_ago: float | None
    error: str | None


@dataclass(kw_only=True)
class McpHealth:
    """MCP servers of the process that answers: those that run, and those that failed, with why. Others rest."""

    status: Literal["healthy", "degraded", "unhealthy"]
    running: list[str]
    failed: dict[str, str]


@dataclass(kw_only=True)
class LimitsHealth:
    """Callers' limits, and where their requests are counted: `memory`, `folder` (of all workers) or `redis` (of all).

    Degraded while this process counts `alone`, since the others cannot be reached: the bounds hold for each by
    itself. `waiting` for their turn, where there is a queue.
    """

    status: Literal["healthy", "degraded", "unhealthy"]
    counted_in: Literal["memory", "folder", "redis"]
    alone: bool
    waiting: int


@dataclass(kw_only=True)
class WorkflowHealth:
    """Workflows: processes that run executions, and executions that wait for one, run, or wait for somebody else.

    Degraded when the database is away, as `error` says, or nobody is there to run what waits.
    """

    status: Literal["healthy", "degraded", "unhealthy"]
    executors: int | None = None
    pending: int | None = None
    running: int | None = None
    waiting: int | None = None
    error: str | None = None


@dataclass(kw_only=True)
class Services:
    """Each service's own condition; `workflows` is left out of a process that has none to do with."""

    database: DatabaseHealth
    cache: CacheHealth
    dwa: DwaHealth
    log: LogHealth
    keys: KeysHealth
    mcp: McpHealth
    limits: LimitsHealth
    workflows: WorkflowHealth | None = None


@dataclass(kw_only=True)
class HealthReport:
    """The gateway in one word, its services one by one, and the seconds since its start."""

    status: Literal["healthy", "degraded", "unhealthy"]
    services: Services
    version: str
    uptime_seconds: float


@dataclass(kw_only=True)
class Readiness:
    """Whether it can serve."""

    ready: bool
