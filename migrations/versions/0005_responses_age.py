"""Which stored responses are old, and which are gone on from: for those who forget them.

Revision: 0005, after 0004.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_responses_created_at", "responses", ["created_at"])
    op.create_index("ix_responses_tenant_previous_id", "responses", ["tenant", "previous_id"])


def downgrade() -> None:
    op.drop_index("ix_responses_tenant_previous_id", "responses")
    op.drop_index("ix_responses_created_at", "responses")
