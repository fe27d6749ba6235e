"""The tables, once, for SQLite and PostgreSQL.

Law: whatever one engine lacks is made up here by a column type, so that no query asks which engine it runs on.
- `UtcDateTime`: an aware datetime in UTC on both; SQLite keeps it as fixed-width text, which sorts.
- `Money`: a Decimal with ten places on both; SQLite has no decimals, so it keeps whole 10⁻¹⁰ dollars: sums are exact.
- JSON is plain `json`, not `jsonb`: the log is written ten thousand times for each time it is read, and `json` is
  checked but not rebuilt on the way in.

Filters of the request log are served by (filter, created_at) indexes, newest first by walking them backwards. They end
at created_at: carrying the 30-byte id in each made the log's writes slower, and both engines sort the few rows of one
instant by themselves.

PostgreSQL keeps `exchanges`, `attempts` and `bodies` in partitions of a week each, by the id, which begins with its
time: so the primary key stays the id alone, an id leads to its partition, and what is too old goes by dropping a
partition instead of millions of rows (`partitions`). `attempts` and `bodies` have no foreign key: they are written in
the transaction of their exchange and go with its partition, and with one a partitioned log wrote 15,000 rows/s instead
of 40,000 (each attempt looked its exchange up). `feedback`, which others write, has one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
)

#: Decimal places of a dollar that are kept: a token of the cheapest model costs about 10⁻⁸.
MONEY_PLACES = 10


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime; comes back in UTC. Refuses a naive one, whose zone would be a guess."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the engine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time needs a time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the engine."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Money(TypeDecorator[Decimal]):
    """USD as a Decimal with ten places, below 10⁸ dollars."""

    impl = Numeric(18, MONEY_PLACES).with_variant(BigInteger(), "sqlite")
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Decimal | int | None:
        """To the engine."""
        if value is None or dialect.name != "sqlite":
            return value
        return int(value.scaleb(MONEY_PLACES).to_integral_value())

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Decimal | None:
        """From the engine."""
        if value is None or dialect.name != "sqlite":
            return value
        return Decimal(value).scaleb(-MONEY_PLACES)


class MoneySum(Money):
    """A sum of money: the same, below 10¹⁸ dollars."""

    impl = Numeric(28, MONEY_PLACES).with_variant(BigInteger(), "sqlite")
    cache_ok = True


_DOUBLE: Double[float] = Double()

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, String(), nullable=null)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger(), nullable=False)


#: A row of sums is updated with every batch: PostgreSQL keeps room beside it for its next versions. SQLite keeps such
#: tables in the order of their keys, which is the order in which they are read.
_SUMS: dict[str, Any] = {"postgresql_with": {"fillfactor": 50}, "sqlite_with_rowid": False}

exchanges = Table(
    "exchanges",
    metadata,
    _text("id"),
    Column("created_at", UtcDateTime(), nullable=False),
    _text("surface"),
    _text("dialect"),
    _text("requested_model"),
    _text("tenant"),
    _text("key_name"),
    _text("route", null=True),
    _text("provider", null=True),
    _text("model", null=True),
    _text("strategy"),
    _text("objective"),
    _text("reason"),
    Column("status", Integer(), nullable=False),
    _text("outcome"),
    _text("error_type", null=True),
    _text("error_code", null=True),
    _text("error_source", null=True),
    _text("error_message", null=True),
    Column("stream", Boolean(), nullable=False),
    _text("cache"),
    Column("simulated", Boolean(), nullable=False),
    _text("finish_reason", null=True),
    _count("input_tokens"),
    _count("output_tokens"),
    _count("cached_tokens"),
    _count("cache_write_tokens"),
    _count("reasoning_tokens"),
    Column("cost_usd", Money(), nullable=False),
    Column("duration_s", _DOUBLE, nullable=False),
    Column("ttft_s", _DOUBLE),
    Column("overhead_ms", _DOUBLE, nullable=False),
    _text("session_id", null=True),
    _text("end_user", null=True),
    Column("dropped_params", JSON(none_as_null=True)),
    Column("tags", JSON(none_as_null=True)),
    Column("decision", JSON(none_as_null=True)),
    Column("attempts", Integer(), nullable=False),
    PrimaryKeyConstraint("id"),
    Index(None, "created_at", "id"),
    Index(None, "provider", "created_at"),
    Index(None, "model", "created_at"),
    Index(None, "status", "created_at"),
    Index(None, "key_name", "created_at"),
    Index(None, "cache", "created_at"),
)

attempts = Table(
    "attempts",
    metadata,
    _text("exchange_id"),
    Column("seq", Integer(), nullable=False),
    _text("provider"),
    _text("model"),
    _text("outcome"),
    Column("status", Integer()),
    _text("code", null=True),
    _text("message", null=True),
    Column("started_s", _DOUBLE, nullable=False),
    Column("seconds", _DOUBLE, nullable=False),
    Column("ttft_s", _DOUBLE),
    _count("input_tokens"),
    _count("output_tokens"),
    Column("cost_usd", Money(), nullable=False),
    PrimaryKeyConstraint("exchange_id", "seq"),
)

bodies = Table(
    "bodies",
    metadata,
    _text("exchange_id"),
    Column("request", LargeBinary()),
    Column("response", LargeBinary()),
    PrimaryKeyConstraint("exchange_id"),
)

#: Sums over exchanges by deployment ('' for those that reached none), per `span` seconds from `start` (Unix seconds).
exchange_sums = Table(
    "exchange_sums",
    metadata,
    Column("span", Integer(), nullable=False),
    Column("start", BigInteger(), nullable=False),
    _text("provider"),
    _text("model"),
    _count("requests"),
    _count("errors"),
    _count("cancelled"),
    _count("cached"),
    _count("input_tokens"),
    _count("output_tokens"),
    Column("cost_usd", MoneySum(), nullable=False),
    PrimaryKeyConstraint("span", "start", "provider", "model"),
    **_SUMS,
)

#: How many exchanges that succeeded had a latency of that `bin` (`tally.bin_of`); `metric` is `duration` or `ttft`.
exchange_latencies = Table(
    "exchange_latencies",
    metadata,
    Column("span", Integer(), nullable=False),
    Column("start", BigInteger(), nullable=False),
    _text("metric"),
    Column("bin", Integer(), nullable=False),
    _count("requests"),
    PrimaryKeyConstraint("span", "start", "metric", "bin"),
    **_SUMS,
)

#: What a key's exchanges cost, per hour from `start` (Unix seconds).
key_sums = Table(
    "key_sums",
    metadata,
    _text("key_name"),
    Column("start", BigInteger(), nullable=False),
    Column("cost_usd", MoneySum(), nullable=False),
    PrimaryKeyConstraint("key_name", "start"),
    **_SUMS,
)

#: A session belongs to its tenant, who is part of its key: no tenant can read, extend or even detect another's.
sessions = Table(
    "sessions",
    metadata,
    _text("tenant"),
    _text("id"),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    Column("messages", JSON(), nullable=False),
    Column("turns", Integer(), nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    Index(None, "tenant", "updated_at", "id"),
)

#: `prefix` is the part of a key that may be shown; the key itself is never stored, only its `hash`, keyed with the
#: pepper whose fingerprint is `pepper`. `former` are hashes that a rotation lets open for a while: `{hash, until}`. A
#: revoked key's row stays, and with it its name. `version`: `key_state.version` at its last change.
keys = Table(
    "keys",
    metadata,
    _text("id"),
    _text("name"),
    _text("prefix"),
    _text("hash"),
    Column("former", JSON(), nullable=False),
    _text("pepper"),
    Column("created_at", UtcDateTime(), nullable=False),
    _text("created_by"),
    Column("expires_at", UtcDateTime()),
    Column("revoked_at", UtcDateTime()),
    Column("grants", JSON(), nullable=False),
    _count("version"),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("hash"),
    UniqueConstraint("name"),
    UniqueConstraint("version"),
)

#: One row, which every process looks at twice a second. Whoever changes a key counts `version` up in the same
#: transaction, and so has the row's lock: versions become visible in their order. `pepper` keys the hashes where no
#: SECRET_KEY does.
key_state = Table(
    "key_state",
    metadata,
    Column("id", Integer(), autoincrement=False, nullable=False),
    _count("version"),
    _text("pepper"),
    PrimaryKeyConstraint("id"),
)

#: One vote per request, source and metric. It goes with its request, so that who deletes one deletes what was said of
#: it. `weight` is what the DWA counted it with; null when it never heard of it.
feedback = Table(
    "feedback",
    metadata,
    _text("id"),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    Column("request_id", String(), ForeignKey("exchanges.id", ondelete="CASCADE"), nullable=False),
    _text("tenant"),
    _text("source"),
    _text("metric"),
    Column("score", _DOUBLE, nullable=False),
    _text("comment", null=True),
    _text("provider"),
    _text("model"),
    _text("route"),
    Column("weight", _DOUBLE),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("request_id", "source", "metric"),
    Index(None, "created_at", "id"),
    Index(None, "tenant", "created_at"),
)

#: A response belongs to its tenant, as a session does. `previous_id` is no foreign key: a response may be deleted
#: though others go on from it.
responses = Table(
    "responses",
    metadata,
    _text("tenant"),
    _text("id"),
    Column("created_at", UtcDateTime(), nullable=False),
    _text("previous_id", null=True),
    Column("input", JSON(), nullable=False),
    Column("response", JSON(), nullable=False),
    PrimaryKeyConstraint("tenant", "id"),
    Index(None, "created_at"),
    Index(None, "tenant", "previous_id"),
)

dwa_snapshots = Table(
    "dwa_snapshots",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("at", UtcDateTime(), nullable=False),
    Column("state", JSON(), nullable=False),
    Column("weights", JSON(), nullable=False),
    Index(None, "at"),
)

#: What requests cost, per day (UTC, Unix seconds of its beginning), key and deployment that was paid; and once more for
#: each tag that the key had. '' is no tag, and no deployment: a request that was answered from the cache, or by nobody.
spend_sums = Table(
    "spend_sums",
    metadata,
    Column("start", BigInteger(), nullable=False),
    _text("tag"),
    _text("key_name"),
    _text("provider"),
    _text("model"),
    _count("requests"),
    _count("input_tokens"),
    _count("output_tokens"),
    Column("cost_usd", MoneySum(), nullable=False),
    PrimaryKeyConstraint("start", "tag", "key_name", "provider", "model"),
    **_SUMS,
)

#: What was spent of a budget in its period, which began at `start` (Unix seconds). `forgiven_usd` does not count: it is
#: what was spent when it was begun anew. `short` is the process that may run short, `wanted` grows when somebody waits.
spend_accounts = Table(
    "spend_accounts",
    metadata,
    _text("account"),
    Column("start", BigInteger(), nullable=False),
    Column("spent_usd", MoneySum(), nullable=False),
    Column("forgiven_usd", MoneySum(), nullable=False),
    _text("short"),
    _count("wanted"),
    Column("warned", Boolean(), nullable=False),
    PrimaryKeyConstraint("account", "start"),
    **_SUMS,
)

#: What a process has of a budget, less what is written down of its spending; `change` numbers the last one it made.
spend_leases = Table(
    "spend_leases",
    metadata,
    _text("account"),
    Column("start", BigInteger(), nullable=False),
    _text("holder"),
    Column("usd", MoneySum(), nullable=False),
    Column("change", BigInteger(), nullable=False, server_default="0"),
    PrimaryKeyConstraint("account", "start", "holder"),
    Index(None, "holder"),
    **_SUMS,
)

#: Processes that have leases; one whose `beats` do not grow is dead.
spend_holders = Table(
    "spend_holders",
    metadata,
    _text("id"),
    _count("beats"),
    PrimaryKeyConstraint("id"),
)
