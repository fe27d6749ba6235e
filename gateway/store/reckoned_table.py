"""The table of what was last forgotten by, in the `metadata` of all; `workflow_tables` brings them together."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Integer, PrimaryKeyConstraint, Table

from gateway.store.tables import UtcDateTime, metadata

#: One row; see `reckoned`.
reckoned = Table(
    "reckoned",
    metadata,
    Column("id", Integer(), nullable=False),
    Column("at", UtcDateTime(), nullable=False),
    PrimaryKeyConstraint("id"),
    CheckConstraint("id = 1", name="one_row"),
)
