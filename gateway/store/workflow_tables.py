"""The tables of workflows, in the same `metadata` as the others and by the same column types.

    workflows ─ workflow_versions        definitions: a version is written once and never changed
    executions ─┬─ step_executions       one row per node, and per item of a map or loop: the memo of the node
                ├─ execution_events      what befell it, numbered from 1 without gaps
                ├─ artifacts             files its nodes have made; their bytes lie in the file store
                └─ budgets, budget_holds what it and those within it have spent, and hold
    schedules, executors                 what runs by itself, and which processes are there to run it

Whoever changes an execution, its steps or its events locks its row first, by the statement that counts `last_seq` up:
so the numbers of the events have no gaps, and what is added up there is exact. None of the tables that belong to an
execution has a foreign key: they are written under that lock, and leave with it (`forgetting`).

Columns that the Structs have not: `queued_at` (the attempt waits for a worker since), `owner` (the process that runs
the attempt), `woken` (what the execution waits for came while an attempt still ran), `steps_cancelled` (one of its
steps is asked to stop); of a step `slug`, `expires_at` and `seconds`, for those who list, expire and count them, and
`aside` (what its call under way was answered, until that counts).
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
)

# In the same metadata, for whoever asks for all tables.
from gateway.store.audit_table import audit_log as audit_log
from gateway.store.reckoned_table import reckoned as reckoned
from gateway.store.tables import Money, UtcDateTime, metadata

_DOUBLE: Double[float] = Double()


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, String(), nullable=null)


def _int(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, Integer(), nullable=null)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger(), nullable=False)


def _time(name: str, *, null: bool = False) -> Column[object]:
    return Column(name, UtcDateTime(), nullable=null)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean(), nullable=False)


def _json(name: str) -> Column[object]:
    return Column(name, JSON(none_as_null=True))


workflows = Table(
    "workflows",
    metadata,
    _text("slug"),
    _int("latest"),
    _time("created_at"),
    _time("updated_at"),
    _flag("archived"),
    PrimaryKeyConstraint("slug"),
)

workflow_versions = Table(
    "workflow_versions",
    metadata,
    _text("slug"),
    _int("version"),
    Column("definition", JSON(), nullable=False),
    _time("created_at"),
    _text("created_by"),
    PrimaryKeyConstraint("slug", "version"),
)

executions = Table(
    "executions",
    metadata,
    _text("id"),
    _text("slug"),
    _int("version"),
    _text("status"),
    _int("attempt"),
    _json("inputs"),
    _json("outputs"),
    _json("error"),
    _int("nodes"),
    _int("done"),
    _text("key_name"),
    _text("idempotency_key", null=True),
    _text("parent_id", null=True),
    _text("parent_node", null=True),
    _int("depth"),
    Column("budget_usd", Money()),
    Column("deadline_s", _DOUBLE),
    _time("deadline_at", null=True),
    Column("cost_usd", Money(), nullable=False),
    _count("input_tokens"),
    _count("output_tokens"),
    _int("cached_steps"),
    Column("saved_usd", Money(), nullable=False),
    _time("created_at"),
    _time("started_at", null=True),
    _time("completed_at", null=True),
    _flag("cancel_requested"),
    _text("owner", null=True),
    _time("queued_at"),
    _flag("woken"),
    _flag("steps_cancelled"),
    _count("last_seq"),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("key_name", "idempotency_key"),
    Index(None, "created_at", "id"),
    Index(None, "slug", "created_at"),
    Index(None, "status", "created_at"),
    Index(None, "key_name", "created_at"),
    Index(None, "parent_id", "created_at"),
    Index(None, "status", "deadline_at"),
    Index(None, "completed_at"),
)

step_executions = Table(
    "step_executions",
    metadata,
    _text("id"),
    _text("execution_id"),
    _text("node_id"),
    _int("item"),
    _text("slug"),
    _text("kind"),
    _text("status"),
    _int("attempt"),
    _int("tries"),
    _json("output"),
    _text("branch", null=True),
    _json("error"),
    Column("cost_usd", Money(), nullable=False),
    _count("input_tokens"),
    _count("output_tokens"),
    _int("cached_steps"),
    Column("saved_usd", Money(), nullable=False),
    _text("provider", null=True),
    _text("model", null=True),
    Column("request_ids", JSON(), nullable=False),
    _time("started_at", null=True),
    _time("completed_at", null=True),
    Column("seconds", _DOUBLE),
    _time("expires_at", null=True),
    _flag("cancel_requested"),
    Column("data", JSON(), nullable=False),
    _json("aside"),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("execution_id", "node_id", "item"),
    Index(None, "status", "id"),
    Index(None, "slug", "id"),
    Index(None, "status", "expires_at"),
)

execution_events = Table(
    "execution_events",
    metadata,
    _text("execution_id"),
    _count("seq"),
    _time("at"),
    _text("type"),
    _text("node_id", null=True),
    Column("data", JSON(), nullable=False),
    PrimaryKeyConstraint("execution_id", "seq"),
)

artifacts = Table(
    "artifacts",
    metadata,
    _text("id"),
    _text("execution_id"),
    _text("node_id"),
    _text("name"),
    _text("media_type"),
    _count("size"),
    _text("sha256"),
    _text("path"),
    _time("created_at"),
    _int("item"),
    _int("attempt"),
    PrimaryKeyConstraint("id"),
    Index(None, "execution_id", "id"),
)

#: Of an execution whose budget others spend from, too; `limit_usd` never changes.
budgets = Table(
    "budgets",
    metadata,
    _text("execution_id"),
    Column("limit_usd", Money(), nullable=False),
    Column("spent_usd", Money(), nullable=False),
    PrimaryKeyConstraint("execution_id"),
)

#: What prompts under way of `execution_id` are expected to cost, once for each budget that they spend from.
budget_holds = Table(
    "budget_holds",
    metadata,
    _text("id"),
    _text("budget_id"),
    _text("execution_id"),
    Column("usd", Money(), nullable=False),
    PrimaryKeyConstraint("id", "budget_id"),
    Index(None, "budget_id"),
    Index(None, "execution_id"),
)

schedules = Table(
    "schedules",
    metadata,
    _text("id"),
    _text("slug"),
    _int("version", null=True),
    _text("cron"),
    _text("timezone"),
    _json("inputs"),
    Column("misfire_grace_s", _DOUBLE, nullable=False),
    _flag("enabled"),
    _time("next_at", null=True),
    _time("last_at", null=True),
    _text("last_execution_id", null=True),
    _count("missed"),
    _time("created_at"),
    _text("created_by"),
    PrimaryKeyConstraint("id"),
    Index(None, "enabled", "next_at"),
    Index(None, "slug", "id"),
)

#: `beat_at` is the database's own time. `claimed_at`: another process is taking over what this one ran.
executors = Table(
    "executors",
    metadata,
    _text("id"),
    _text("host"),
    _int("pid"),
    _time("started_at"),
    _time("beat_at"),
    _time("claimed_at", null=True),
    PrimaryKeyConstraint("id"),
    Index(None, "beat_at"),
)
