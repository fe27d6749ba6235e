"""The time by which things were last forgotten: a start with a wrong clock begins from there.

Revision: 0010, after 0009.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reckoned",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reckoned"),
        sa.CheckConstraint("id = 1", name="ck_reckoned_one_row"),
    )


def downgrade() -> None:
    op.drop_table("reckoned")
