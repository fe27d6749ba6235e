"""The first schema: exchanges with their attempts and bodies, sessions, keys, DWA snapshots.

Revision: 0001, the first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_DOUBLE: sa.Double[float] = sa.Double()


def upgrade() -> None:
    op.create_table(
        "dwa_snapshots",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.Column("weights", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dwa_snapshots"),
    )
    op.create_index("ix_dwa_snapshots_at", "dwa_snapshots", ["at"])

    op.create_table(
        "exchanges",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("surface", sa.String(), nullable=False),
        sa.Column("dialect", sa.String(), nullable=False),
        sa.Column("requested_model", sa.String(), nullable=False),
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("key_name", sa.String(), nullable=False),
        sa.Column("route", sa.String()),
        sa.Column("provider", sa.String()),
        sa.Column("model", sa.String()),
        sa.Column("strategy", sa.String(), nullable=False),
        sa.Column("objective", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("error_type", sa.String()),
        sa.Column("error_code", sa.String()),
        sa.Column("error_source", sa.String()),
        sa.Column("error_message", sa.String()),
        sa.Column("stream", sa.Boolean(), nullable=False),
        sa.Column("cache", sa.String(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("finish_reason", sa.String()),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cached_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Numeric(18, 10).with_variant(sa.BigInteger(), "sqlite"), nullable=False),
        sa.Column("duration_s", _DOUBLE, nullable=False),
        sa.Column("ttft_s", _DOUBLE),
        sa.Column("overhead_ms", _DOUBLE, nullable=False),
        sa.Column("session_id", sa.String()),
        sa.Column("end_user", sa.String()),
        sa.Column("dropped_params", sa.JSON()),
        sa.Column("tags", sa.JSON()),
        sa.Column("decision", sa.JSON()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_exchanges"),
    )
    op.create_index("ix_exchanges_cache_created_at", "exchanges", ["cache", "created_at"])
    op.create_index("ix_exchanges_created_at_id", "exchanges", ["created_at", "id"])
    op.create_index("ix_exchanges_key_name_created_at", "exchanges", ["key_name", "created_at"])
    op.create_index("ix_exchanges_model_created_at", "exchanges", ["model", "created_at"])
    op.create_index("ix_exchanges_provider_created_at", "exchanges", ["provider", "created_at"])
    op.create_index("ix_exchanges_status_created_at", "exchanges", ["status", "created_at"])

    op.create_table(
        "keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("hash", name="uq_keys_hash"),
    )
    op.create_table(
        "sessions",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name="pk_sessions"),
    )
    op.create_index("ix_sessions_tenant_updated_at_id", "sessions", ["tenant", "updated_at", "id"])

    op.create_table(
        "attempts",
        sa.Column("exchange_id", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("code", sa.String()),
        sa.Column("message", sa.String()),
        sa.Column("started_s", _DOUBLE, nullable=False),
        sa.Column("seconds", _DOUBLE, nullable=False),
        sa.Column("ttft_s", _DOUBLE),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Numeric(18, 10).with_variant(sa.BigInteger(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["exchange_id"], ["exchanges.id"], name="fk_attempts_exchange_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("exchange_id", "seq", name="pk_attempts"),
    )
    op.create_table(
        "bodies",
        sa.Column("exchange_id", sa.String(), nullable=False),
        sa.Column("request", sa.LargeBinary()),
        sa.Column("response", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["exchange_id"], ["exchanges.id"], name="fk_bodies_exchange_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("exchange_id", name="pk_bodies"),
    )


def downgrade() -> None:
    op.drop_table("bodies")
    op.drop_table("attempts")
    op.drop_table("sessions")
    op.drop_table("keys")
    op.drop_table("exchanges")
    op.drop_table("dwa_snapshots")
