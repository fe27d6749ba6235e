"""The sums beside the log: whatever was written, twice or again, they are what a recount of the rows finds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from store_faults import DAY, exchange

from gateway.store import exchanges, totals
from gateway.store.engine import Database
from gateway.store.exchanges import Filters
from gateway.store.record import ExchangeRecord
from gateway.store.tables import exchange_latencies, exchange_sums, key_sums, metadata
from gateway.store.tally import FINE, MOST_TOKENS, bin_of, seconds_of
from gateway.store.totals import LogTotals, Percentiles, Totals
from gateway.store.writing import Lane

#: Told latencies may be so much off, in either direction.
_ERROR = 0.025


async def _log(database: Database, *records: ExchangeRecord) -> None:
    lane = Lane(database, deadline=10)
    assert await lane.store(records) == []
    await lane.close()


def _rank(values: Sequence[float], percent: int) -> float | None:
    return sorted(values)[(len(values) * percent + 99) // 100 - 1] if values else None


def _recounted(rows: Sequence[ExchangeRecord]) -> Totals:
    found = Totals()
    for row in rows:
        found.requests += 1
        found.errors += row.outcome == "error"
        found.cancelled += row.outcome == "cancelled"
        found.cached += row.cache in {"hit", "coalesced"}
        found.input_tokens += row.input_tokens
        found.output_tokens += row.output_tokens
        found.cost_usd += Decimal(repr(row.cost_usd))
    return found


def _is_recount(found: LogTotals, rows: Sequence[ExchangeRecord]) -> None:
    assert found.totals == _recounted(rows)
    groups: defaultdict[tuple[str | None, str | None], list[ExchangeRecord]] = defaultdict(list)
    for row in rows:
        groups[row.provider, row.model].append(row)
    assert {(s.provider, s.model): s.totals for s in found.shares} == {k: _recounted(g) for k, g in groups.items()}
    good = [row for row in rows if row.outcome == "ok"]
    for told, values in (
        (found.duration_s, [row.duration_s for row in good]),
        (found.ttft_s, [row.ttft_s for row in good if row.ttft_s is not None]),
    ):
        for percent, value in ((50, told.p50), (95, told.p95), (99, told.p99)):
            expected = _rank(values, percent)
            assert value == (None if expected is None else pytest.approx(expected, rel=_ERROR)), percent


#: Seconds from the day's beginning: before it, at the edges of spans, hours and days, and in another week.
_MOMENTS = st.sampled_from((-0.000001, 0.0, 299.999999, 300.0, 3_599.5, 3_600.0, 86_399.999999, 86_400.0, 900_000.25))
_RECORDS = st.builds(
    exchange,
    st.integers(0, 11),  # few ids, so that many come again
    created_at=_MOMENTS.map(lambda after: DAY + after),
    provider=st.sampled_from(("openai", "it's $rows$", None)),
    model=st.sampled_from(("gpt", 'a"☃\\', None)),
    key_name=st.sampled_from(("app", "judge")),
    outcome=st.sampled_from(("ok", "ok", "error", "cancelled")),
    cache=st.sampled_from(("hit", "miss", "coalesced", "bypass")),
    input_tokens=st.integers(0, 10**6),
    output_tokens=st.integers(0, 10**6),
    cost_usd=st.sampled_from((0.0, 0.1, 0.0000000001, 12.5)),
    duration_s=st.floats(0.0001, 5_000),
    ttft_s=st.none() | st.floats(0.0001, 100),
)
#: Batches, and whether another writer writes the same at the same time: a replay of what is in doubt.
_BATCHES = st.lists(st.tuples(st.lists(_RECORDS, min_size=1, max_size=8), st.booleans()), max_size=5)


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.generate],  # a smaller example would take minutes of databases to find
)
@given(batches=_BATCHES, since=st.sampled_from((-1.0, 0.0, 200.0, 300.0, 3_700.0, 86_399.0, 86_400.0)))
def test_the_sums_are_a_recount_whatever_is_written_twice(
    url: str, batches: list[tuple[list[ExchangeRecord], bool]], since: float
) -> None:
    async def run() -> None:
        database = Database(url)
        async with database.write() as connection:
            for table in reversed(metadata.sorted_tables):
                await connection.execute(table.delete())
        one, other = Lane(database, deadline=10), Lane(database, deadline=10)
        for batch, twice in batches:
            await asyncio.gather(one.store(batch), *([other.store(batch)] if twice else []))
        await asyncio.gather(one.close(), other.close())
        rows = (await exchanges.recent(database, Filters(), limit=500)).items
        assert {row.id for row in rows} == {record.id for batch, _ in batches for record in batch}
        found = await totals.stats(database, DAY + since)
        assert DAY + since - 300 < found.since <= DAY + since
        _is_recount(found, [row for row in rows if row.created_at >= found.since])
        for key in ("app", "judge"):
            late = [row for row in rows if row.key_name == key and row.created_at >= DAY + since]
            assert await totals.spent(database, key, DAY + since) == _recounted(late).cost_usd
        await database.dispose()

    asyncio.run(run())


async def test_totals_of_nothing_are_zero(database: Database) -> None:
    found = await totals.stats(database, DAY + 17)
    assert found == LogTotals(DAY, Totals(), [], Percentiles(None, None, None), Percentiles(None, None, None))


async def test_shares_come_by_requests(database: Database) -> None:
    await _log(
        database,
        *(exchange(n) for n in range(3)),
        *(exchange(n, provider="xai", model="grok") for n in range(3, 5)),
        exchange(5, provider=None, model=None, outcome="error"),
    )
    found = await totals.stats(database, DAY)
    assert [(s.provider, s.model, s.totals.requests) for s in found.shares] == [
        ("openai", "gpt-4o-mini", 3),
        ("xai", "grok", 2),
        (None, None, 1),
    ]


@pytest.mark.parametrize(
    ("rows", "expected"), [(1, (1, 1, 1)), (2, (1, 2, 2)), (20, (10, 19, 20)), (100, (50, 95, 99))]
)
async def test_percentiles_are_by_nearest_rank(database: Database, rows: int, expected: tuple[Any, ...]) -> None:
    await _log(database, *(exchange(n, ttft_s=float(n)) for n in range(1, rows + 1)))
    ttft = (await totals.stats(database, DAY)).ttft_s
    assert (ttft.p50, ttft.p95, ttft.p99) == pytest.approx(expected, rel=_ERROR)


@given(st.floats(1e-5, 1e6))
def test_a_bin_stands_for_its_latencies(seconds: float) -> None:
    assert seconds_of(bin_of(seconds)) == pytest.approx(seconds, rel=_ERROR)


@given(st.floats(1e-5, 1e6), st.floats(1e-5, 1e6))
def test_a_longer_latency_is_in_no_lower_bin(one: float, other: float) -> None:
    assert bin_of(min(one, other)) <= bin_of(max(one, other))


async def test_a_latency_that_is_none_is_counted_all_the_same(database: Database) -> None:
    odd = (0.0, -1.0, inf, 1e300) if database.dialect == "sqlite" else (0.0, -1.0, inf, 1e300, nan)
    await _log(database, *(exchange(n, duration_s=seconds) for n, seconds in enumerate(odd)))
    async with database.read() as connection:
        counts = (await connection.execute(select(exchange_latencies.c.requests))).scalars()
        assert sum(counts) == 2 * len(odd)
    assert (await totals.stats(database, DAY)).totals.requests == len(odd)


@pytest.mark.parametrize("identity", ["it's", 'a"b', "a\\", "{a,b}", "a\\\\'; DROP TABLE keys; --", "☃ $$", "NULL", ""])
async def test_a_row_is_counted_whatever_its_id(database: Database, identity: str) -> None:
    await _log(database, exchange(1, id=identity), exchange(2))
    await _log(database, exchange(1, id=identity), exchange(3))
    assert (await totals.stats(database, DAY)).totals.requests == 3


async def test_absurd_counts_of_tokens_neither_stop_the_log_nor_its_totals(database: Database) -> None:
    await _log(database, *(exchange(n, input_tokens=2**63 - 1) for n in range(5)))
    await _log(database, *(exchange(n, input_tokens=1) for n in range(5, 7)))
    assert (await totals.stats(database, DAY)).totals.input_tokens == 5 * MOST_TOKENS + 2


async def test_what_a_key_has_spent_since_a_moment_is_exact(database: Database) -> None:
    await _log(
        database,
        exchange(1, key_name="judge", cost_usd=7.0),
        *(exchange(n, key_name="judge", cost_usd=0.1) for n in (2, 3_599, 3_600, 90_000)),
        exchange(5, key_name="other", cost_usd=9.0),
    )
    assert await totals.spent(database, "judge", DAY + 2) == Decimal("0.4")
    assert await totals.spent(database, "judge", DAY + 3_600) == Decimal("0.2")
    assert await totals.spent(database, "nobody", DAY) == Decimal(0)
    async with database.read() as connection:
        assert len((await connection.execute(select(key_sums))).all()) == 4


async def test_a_long_period_is_read_from_whole_days(database: Database) -> None:
    """Or the totals of a year would read a year of five minutes."""
    await _log(database, *(exchange(n, created_at=DAY + n * 3_600) for n in range(24 * 30)))
    whole = await totals.stats(database, DAY)
    async with database.write() as connection:
        for table in (exchange_sums, exchange_latencies):
            await connection.execute(table.delete().where(table.c.span == FINE))
    assert await totals.stats(database, DAY) == whole
