"""Workflows: definitions, executions with their steps and events, schedules, and who runs them.

Revision: 0006, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None
_DOUBLE: sa.Double[float] = sa.Double()


def upgrade() -> None:
    op.create_table(
        "artifacts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("execution_id", sa.String(), nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("media_type", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_artifacts"),
    )
    op.create_index("ix_artifacts_execution_id_id", "artifacts", ["execution_id", "id"])
    op.create_table(
        "execution_events",
        sa.Column("execution_id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("node_id", sa.String()),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("execution_id", "seq", name="pk_execution_events"),
    )
    op.create_table(
        "executions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("inputs", sa.JSON(none_as_null=True)),
        sa.Column("outputs", sa.JSON(none_as_null=True)),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("nodes", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("key_name", sa.String(), nullable=False),
        sa.Column("idempotency_key", sa.String()),
        sa.Column("parent_id", sa.String()),
        sa.Column("parent_node", sa.String()),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("budget_usd", sa.Numeric(18, 10).with_variant(sa.BigInteger(), "sqlite")),
        sa.Column("deadline_at", sa.DateTime(timezone=True)),
        sa.Column("cost_usd", sa.Numeric(18, 10).with_variant(sa.BigInteger(), "sqlite"), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_steps", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.String()),
        sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("woken", sa.Boolean(), nullable=False),
        sa.Column("steps_cancelled", sa.Boolean(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_executions"),
        sa.UniqueConstraint("key_name", "idempotency_key", name="uq_executions_key_name_idempotency_key"),
    )
    op.create_index("ix_executions_completed_at", "executions", ["completed_at"])
    op.create_index("ix_executions_created_at_id", "executions", ["created_at", "id"])
    op.create_index("ix_executions_key_name_created_at", "executions", ["key_name", "created_at"])
    op.create_index("ix_executions_parent_id_created_at", "executions", ["parent_id", "created_at"])
    op.create_index("ix_executions_slug_created_at", "executions", ["slug", "created_at"])
    op.create_index("ix_executions_status_created_at", "executions", ["status", "created_at"])
    op.create_index("ix_executions_status_deadline_at", "executions", ["status", "deadline_at"])
    op.create_table(
        "executors",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_executors"),
    )
    op.create_index("ix_executors_beat_at", "executors", ["beat_at"])
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("version", sa.Integer()),
        sa.Column("cron", sa.String(), nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("inputs", sa.JSON(none_as_null=True)),
        sa.Column("misfire_grace_s", _DOUBLE, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True)),
        sa.Column("last_at", sa.DateTime(timezone=True)),
        sa.Column("last_execution_id", sa.String()),
        sa.Column("missed", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_schedules"),
    )
    op.create_index("ix_schedules_enabled_next_at", "schedules", ["enabled", "next_at"])
    op.create_index("ix_schedules_slug_id", "schedules", ["slug", "id"])
    op.create_table(
        "step_executions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("execution_id", sa.String(), nullable=False),
        sa.Column("node_id", sa.String(), nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("output", sa.JSON(none_as_null=True)),
        sa.Column("branch", sa.String()),
        sa.Column("error", sa.JSON(none_as_null=True)),
        sa.Column("cost_usd", sa.Numeric(18, 10).with_variant(sa.BigInteger(), "sqlite"), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_steps", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String()),
        sa.Column("model", sa.String()),
        sa.Column("request_ids", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("seconds", _DOUBLE),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("aside", sa.JSON(none_as_null=True)),
        sa.PrimaryKeyConstraint("id", name="pk_step_executions"),
        sa.UniqueConstraint("execution_id", "node_id", "item", name="uq_step_executions_execution_id_node_id_item"),
    )
    op.create_index("ix_step_executions_slug_id", "step_executions", ["slug", "id"])
    op.create_index("ix_step_executions_status_expires_at", "step_executions", ["status", "expires_at"])
    op.create_index("ix_step_executions_status_id", "step_executions", ["status", "id"])
    op.create_table(
        "workflow_versions",
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("slug", "version", name="pk_workflow_versions"),
    )
    op.create_table(
        "workflows",
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("latest", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("slug", name="pk_workflows"),
    )


def downgrade() -> None:
    for table in (
        "artifacts",
        "execution_events",
        "executions",
        "executors",
        "schedules",
        "step_executions",
        "workflow_versions",
        "workflows",
    ):
        op.drop_table(table)
