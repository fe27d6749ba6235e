"""Money: what was spent by whom, and the ledger of the budgets.

Revision: 0009, after 0008.

What is in the log becomes the first sums: by the deployment that answered, as older rows do not tell their keys' tags.
PostgreSQL reads `exchanges` once for that, with the log locked: half a million rows take seconds, during which gateways
spill to their disks.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_SUMS: dict[str, Any] = {"postgresql_with": {"fillfactor": 50}, "sqlite_with_rowid": False}
_FILL = """
INSERT INTO spend_sums
SELECT {second} / 86400 * 86400, '', key_name, coalesce(provider, ''), coalesce(model, ''), count(*),
    sum(CASE WHEN cache IN ('hit', 'coalesced') THEN 0 WHEN input_tokens > 1099511627776 THEN 1099511627776
        ELSE input_tokens END),
    sum(CASE WHEN cache IN ('hit', 'coalesced') THEN 0 WHEN output_tokens > 1099511627776 THEN 1099511627776
        ELSE output_tokens END), sum(cost_usd)
FROM exchanges GROUP BY 1, 2, 3, 4, 5"""


def upgrade() -> None:
    connection = op.get_bind()
    money = sa.Numeric(28, 10).with_variant(sa.BigInteger(), "sqlite")
    if connection.dialect.name == "postgresql":
        # What another gateway writes while the sums are made would be in none of them.
        connection.exec_driver_sql("LOCK TABLE exchanges IN SHARE ROW EXCLUSIVE MODE")
    op.create_table(
        "spend_sums",
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("key_name", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", money, nullable=False),
        sa.PrimaryKeyConstraint("start", "tag", "key_name", "provider", "model", name="pk_spend_sums"),
        **_SUMS,
    )
    op.create_table(
        "spend_accounts",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("spent_usd", money, nullable=False),
        sa.Column("forgiven_usd", money, nullable=False),
        sa.Column("short", sa.String(), nullable=False),
        sa.Column("wanted", sa.BigInteger(), nullable=False),
        sa.Column("warned", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("account", "start", name="pk_spend_accounts"),
        **_SUMS,
    )
    op.create_table(
        "spend_leases",
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("usd", money, nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("account", "start", "holder", name="pk_spend_leases"),
        **_SUMS,
    )
    op.create_index("ix_spend_leases_holder", "spend_leases", ["holder"])
    op.create_table(
        "spend_holders",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("beats", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_spend_holders"),
    )
    # Whole seconds by the first nineteen characters: SQLite would round the fraction.
    sqlite = "CAST(strftime('%s', substr(created_at, 1, 19)) AS INTEGER)"
    second = sqlite if connection.dialect.name == "sqlite" else "floor(extract(epoch FROM created_at))::bigint"
    connection.exec_driver_sql(_FILL.format(second=second))


def downgrade() -> None:
    for table in ("spend_holders", "spend_leases", "spend_accounts", "spend_sums"):
        op.drop_table(table)
