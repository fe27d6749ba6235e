"""The table of the audit log. It is of the same `metadata` as all; `workflow_tables` brings them together."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Index, PrimaryKeyConstraint, String, Table

from gateway.store.tables import UtcDateTime, metadata

#: What administrators did; see `audit`.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", String(), nullable=False),
    Column("at", UtcDateTime(), nullable=False),
    Column("actor", String(), nullable=False),
    Column("action", String(), nullable=False),
    Column("target", String()),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    Column("key_id", String()),
    Column("request_id", String()),
    Column("address", String()),
    PrimaryKeyConstraint("id"),
    Index(None, "at", "id"),
    Index(None, "actor", "at"),
    Index(None, "action", "at"),
    Index(None, "target", "at"),
)
