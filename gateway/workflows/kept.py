"""What is kept of workflows, in words that the engine, the store and the API share: a leaf, which imports none of them.

All times are Unix seconds.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

Json = Any
Status = Literal["pending", "running", "waiting", "succeeded", "failed", "skipped", "cancelled"]
ExecutionStatus = Literal["pending", "running", "waiting", "completed", "failed", "cancelled"]

#: The item of a step execution that is the node itself, and no item of a map or round of a loop.
WHOLE = -1


class Superseded(Exception):
    """Another attempt has taken over: what this one does no longer counts."""


class Spent(Struct):
    """What a step has cost: USD and tokens; `cached_steps` counts answers that came from the cache and cost nothing.

    `saved_usd` is what those would have cost, at the prices of whoever had given them.
    """

    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_steps: int = 0
    saved_usd: float = 0.0


class Tried(Struct, frozen=True):
    """One call of a step that failed, or one try of a step that calls no provider: what came of it.

    `tried` is the number of the step's try, of which a prompt may call several providers; `request_id` names their
    record.
    """

    tried: int
    outcome: str
    message: str | None = None
    status: int | None = None
    provider: str | None = None
    model: str | None = None
    seconds: float | None = None
    request_id: str | None = None


class Failure(Struct, frozen=True):
    """Why a step or an execution failed. `node_id` is None where no node did; `status` that of an answer, if any.

    `attempts` are those of the step, in their order.
    """

    type: str
    message: str
    code: str | None = None
    status: int | None = None
    node_id: str | None = None
    attempts: list[Tried] = []


class StepExecution(Struct):
    """One node of one execution, or one item of it. `tries` counts calls, `attempt` is the last that touched it."""

    id: str
    execution_id: str
    node_id: str
    kind: str
    item: int = WHOLE
    status: Status = "pending"
    attempt: int = 1
    tries: int = 0
    output: Json = None
    branch: str | None = None
    error: Failure | None = None
    spent: Spent = field(default_factory=Spent)
    provider: str | None = None
    model: str | None = None
    request_ids: list[str] = field(default_factory=list[str])
    started_at: float | None = None
    completed_at: float | None = None
    cancel_requested: bool = False
    #: What its kind keeps beside: the payload and expiry (`expires_at`) of an approval, the execution of a
    #: sub-workflow.
    data: dict[str, Any] = field(default_factory=dict[str, Any])


class Execution(Struct):
    """One run of one version of a workflow. `done` of its `nodes` have ended, those that were skipped included."""

    id: str
    slug: str
    version: int
    status: ExecutionStatus
    attempt: int
    inputs: Json
    key_name: str
    created_at: float
    outputs: dict[str, Json] | None = None
    error: Failure | None = None
    nodes: int = 0
    done: int = 0
    idempotency_key: str | None = None
    parent_id: str | None = None
    parent_node: str | None = None
    depth: int = 0
    budget_usd: float | None = None
    #: Seconds that whoever began it, or ran it again, gave it; None: as many as the definition says.
    deadline_s: float | None = None
    deadline_at: float | None = None
    spent: Spent = field(default_factory=Spent)
    started_at: float | None = None
    completed_at: float | None = None
    cancel_requested: bool = False
    #: Where in a trace it is begun; kept in its first event, and not known afterwards.
    begun_in: str | None = None

    @property
    def progress(self) -> float:
        """How much is done, in percent."""
        return 100.0 * self.done / self.nodes if self.nodes else 100.0 * (self.status == "completed")


class Event(Struct, frozen=True):
    """Something that befell an execution; `seq` counts from 1 within it, without gaps."""

    execution_id: str
    seq: int
    at: float
    type: str
    node_id: str | None = None
    data: dict[str, Any] = field(default_factory=dict[str, Any])


class Artifact(Struct, frozen=True):
    """A file that a node has made, or one item of it, in that attempt of its execution.

    `path` is where the file store has it, `size` in bytes.
    """

    id: str
    execution_id: str
    node_id: str
    name: str
    media_type: str
    size: int
    sha256: str
    path: str
    created_at: float
    item: int = WHOLE
    attempt: int = 1

    @property
    def reference(self) -> dict[str, Json]:
        """What stands for its content where that does not."""
        return {"artifact_id": self.id, "size": self.size, "media_type": self.media_type, "sha256": self.sha256}


class Schedule(Struct, kw_only=True):
    """When a workflow runs by itself.

    Attributes:
        version: of the definition; None: the newest at each time.
        misfire_grace_s: what comes later than that is counted as missed and does not run.
        next_at: None: never again.
        missed: times that were not held.
    """

    id: str
    slug: str
    version: int | None = None
    cron: str
    timezone: str
    inputs: Json = None
    misfire_grace_s: float
    enabled: bool = True
    next_at: float | None = None
    last_at: float | None = None
    last_execution_id: str | None = None
    missed: int = 0
    created_at: float
    created_by: str


class ScheduleChanges(Struct, frozen=True, kw_only=True):
    """What is to be different of a schedule, as far as it is set."""

    version: int | UnsetType | None = UNSET
    cron: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    inputs: Json | UnsetType = UNSET
    misfire_grace_s: float | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    next_at: float | UnsetType | None = UNSET
    last_at: float | UnsetType = UNSET
    last_execution_id: str | UnsetType = UNSET
