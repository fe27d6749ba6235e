"""A log that grows: sums beside the rows, and on PostgreSQL a partition for each week.

Revision: 0003, after 0002.

PostgreSQL: no row is moved. What is there becomes the first partition, until the end of this week, under its own
indexes. The cost is three reads of `exchanges` for the sums and one of each table to check the partition's bound, with
the log's tables locked: measured, half a million rows took 7 s, during which gateways spill to their disks. Going
back copies every row and builds the indexes again: 6 s.

SQLite: `attempts` and `bodies` are copied, to be without their foreign keys.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import Connection

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_SUMS: dict[str, Any] = {"postgresql_with": {"fillfactor": 50}, "sqlite_with_rowid": False}
#: Tables that are partitioned, and the column that carries the id.
_LOG = {"exchanges": "id", "attempts": "exchange_id", "bodies": "exchange_id"}
_INDEXES = {
    "ix_exchanges_cache_created_at": "cache, created_at",
    "ix_exchanges_created_at_id": "created_at, id",
    "ix_exchanges_key_name_created_at": "key_name, created_at",
    "ix_exchanges_model_created_at": "model, created_at",
    "ix_exchanges_provider_created_at": "provider, created_at",
    "ix_exchanges_status_created_at": "status, created_at",
}
_KEYS = {"exchanges": "id", "attempts": "exchange_id, seq", "bodies": "exchange_id"}
_WEEK, _DAY, _AHEAD = 604_800, 86_400, 4
_BASE_32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_GROWTH, _LOWEST, _HIGHEST = 1.05, 1e-5, 1e6

_FILL_SUMS = """
INSERT INTO exchange_sums
SELECT span, second / span * span, coalesce(provider, ''), coalesce(model, ''), count(*),
    count(*) FILTER (WHERE outcome = 'error'), count(*) FILTER (WHERE outcome = 'cancelled'),
    count(*) FILTER (WHERE cache IN ('hit', 'coalesced')),
    sum(CASE WHEN input_tokens > 1099511627776 THEN 1099511627776 ELSE input_tokens END),
    sum(CASE WHEN output_tokens > 1099511627776 THEN 1099511627776 ELSE output_tokens END), sum(cost_usd)
FROM (SELECT *, {second} AS second FROM exchanges) AS found
CROSS JOIN (SELECT 300 AS span UNION ALL SELECT 86400) AS spans GROUP BY 1, 2, 3, 4"""
_FILL_LATENCIES = """
INSERT INTO exchange_latencies
SELECT span, second / span * span, metric, {bin}, count(*)
FROM (
    SELECT {second} AS second, 'duration' AS metric, duration_s AS x FROM exchanges WHERE outcome = 'ok'
    UNION ALL
    SELECT {second}, 'ttft', ttft_s FROM exchanges WHERE outcome = 'ok' AND ttft_s IS NOT NULL
) AS found
CROSS JOIN (SELECT 300 AS span UNION ALL SELECT 86400) AS spans GROUP BY 1, 2, 3, 4"""
_FILL_KEYS = """
INSERT INTO key_sums SELECT key_name, {second} / 3600 * 3600, sum(cost_usd) FROM exchanges GROUP BY 1, 2"""


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        # Before the sums: what another gateway writes while they are made would be in none of them. Votes first, as who
        # votes locks them first.
        connection.exec_driver_sql("LOCK TABLE feedback, exchanges, attempts, bodies IN ACCESS EXCLUSIVE MODE")
    _create_sums()
    _fill_sums(connection)
    if connection.dialect.name == "postgresql":
        _to_partitions(connection)
        return
    for table in ("attempts", "bodies"):
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(f"fk_{table}_exchange_id", type_="foreignkey")


def downgrade() -> None:
    connection = op.get_bind()
    for table in ("key_sums", "exchange_latencies", "exchange_sums"):
        op.drop_table(table)
    if connection.dialect.name == "postgresql":
        _from_partitions(connection)
        return
    for table in ("attempts", "bodies"):
        with op.batch_alter_table(table) as batch:
            batch.create_foreign_key(
                f"fk_{table}_exchange_id", "exchanges", ["exchange_id"], ["id"], ondelete="CASCADE"
            )


def _create_sums() -> None:
    money = sa.Numeric(28, 10).with_variant(sa.BigInteger(), "sqlite")
    op.create_table(
        "exchange_sums",
        sa.Column("span", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("errors", sa.BigInteger(), nullable=False),
        sa.Column("cancelled", sa.BigInteger(), nullable=False),
        sa.Column("cached", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", money, nullable=False),
        sa.PrimaryKeyConstraint("span", "start", "provider", "model", name="pk_exchange_sums"),
        **_SUMS,
    )
    op.create_table(
        "exchange_latencies",
        sa.Column("span", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("metric", sa.String(), nullable=False),
        sa.Column("bin", sa.Integer(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("span", "start", "metric", "bin", name="pk_exchange_latencies"),
        **_SUMS,
    )
    op.create_table(
        "key_sums",
        sa.Column("key_name", sa.String(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", money, nullable=False),
        sa.PrimaryKeyConstraint("key_name", "start", name="pk_key_sums"),
        **_SUMS,
    )


def _fill_sums(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        driver: Any = connection.connection.dbapi_connection
        driver.create_function("steelyard_bin", 1, _bin_of)
        # Whole seconds by the first nineteen characters: SQLite would round the fraction.
        second, number = "CAST(strftime('%s', substr(created_at, 1, 19)) AS INTEGER)", "steelyard_bin(x)"
    else:
        second = "floor(extract(epoch FROM created_at))::bigint"
        scale, offset = 1 / math.log(_GROWTH), -math.log(_LOWEST) / math.log(_GROWTH)
        number = (
            f"CASE WHEN x > {_LOWEST} AND x <> 'NaN'::float8"
            f" THEN ceil(ln(least(x, {_HIGHEST})) * {scale!r}::float8 + {offset!r}::float8)::int ELSE 0 END"
        )
    for statement in (_FILL_SUMS, _FILL_LATENCIES, _FILL_KEYS):
        connection.exec_driver_sql(statement.format(second=second, bin=number))


def _bin_of(seconds: float) -> int:
    if not seconds > _LOWEST:
        return 0
    return math.ceil((math.log(min(seconds, _HIGHEST)) - math.log(_LOWEST)) / math.log(_GROWTH))


def _to_partitions(connection: Connection) -> None:
    run = connection.exec_driver_sql
    now = float(run("SELECT extract(epoch FROM clock_timestamp())").scalar_one())
    monday = math.floor((now - 4 * _DAY) / _WEEK) * _WEEK + 4 * _DAY  # the first day of 1970 was a Thursday
    kept = run("SELECT 1 FROM exchanges LIMIT 1").first() is not None
    for table in ("attempts", "bodies"):
        run(f"ALTER TABLE {table} DROP CONSTRAINT fk_{table}_exchange_id")
    run("ALTER TABLE feedback DROP CONSTRAINT fk_feedback_request_id")
    first = monday + _WEEK
    for table, column in _LOG.items():
        before = f"{table}_until_{datetime.fromtimestamp(first, UTC):%Y%m%d}"
        run(f"ALTER TABLE {table} RENAME TO {before}")
        for index in [f"pk_{table}", *(_INDEXES if table == "exchanges" else ())]:
            run(f"ALTER INDEX {index} RENAME TO {index}_before")
        run(f"CREATE TABLE {table} (LIKE {before}) PARTITION BY RANGE ({column})")
        run(f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY ({_KEYS[table]})")
        if table == "exchanges":
            for index, columns in _INDEXES.items():
                run(f"CREATE INDEX {index} ON exchanges ({columns})")
        run(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
        if not kept:
            run(f"DROP TABLE {before}")
        for start in range(first if kept else monday, first + _AHEAD * _WEEK, _WEEK):
            end = start + _WEEK
            name = f"{table}_until_{datetime.fromtimestamp(end, UTC):%Y%m%d}"
            bounds = f"FROM ('{_earliest(start)}') TO ('{_earliest(end)}')"
            run(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES {bounds}")
        if kept:  # a clock may be ahead of this one, and an id that no clock of ours made may sort anywhere
            strays = f"DELETE FROM {before} WHERE {column} >= '{_earliest(first)}' RETURNING *"
            run(f"WITH strays AS ({strays}) INSERT INTO {table} SELECT * FROM strays")
            run(f"ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ('{_earliest(first)}')")
    run(_REFER.format("feedback", "request_id"))


def _from_partitions(connection: Connection) -> None:
    run = connection.exec_driver_sql
    run("ALTER TABLE feedback DROP CONSTRAINT fk_feedback_request_id")
    for table in _LOG:
        run(f"CREATE TABLE {table}_plain (LIKE {table})")
        run(f"INSERT INTO {table}_plain SELECT * FROM {table}")
        run(f"DROP TABLE {table}")
        run(f"ALTER TABLE {table}_plain RENAME TO {table}")
        run(f"ALTER TABLE {table} ADD CONSTRAINT pk_{table} PRIMARY KEY ({_KEYS[table]})")
    for index, columns in _INDEXES.items():
        run(f"CREATE INDEX {index} ON exchanges ({columns})")
    for table, column in (("attempts", "exchange_id"), ("bodies", "exchange_id"), ("feedback", "request_id")):
        run(_REFER.format(table, column))


_REFER = "ALTER TABLE {0} ADD CONSTRAINT fk_{0}_{1} FOREIGN KEY ({1}) REFERENCES exchanges (id) ON DELETE CASCADE"


def _earliest(seconds: int) -> str:
    """What sorts before every id of that moment and behind every earlier one: the time at an id's beginning."""
    milliseconds = seconds * 1000
    return "req_" + "".join(_BASE_32[milliseconds >> shift & 31] for shift in range(45, -1, -5))
