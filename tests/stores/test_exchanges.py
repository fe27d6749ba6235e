"""The request log, read back: the same laws on both engines."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from store_faults import DAY, exchange

from gateway.store import exchanges
from gateway.store.engine import Database
from gateway.store.exchanges import Filters
from gateway.store.record import AttemptRecord, ExchangeRecord
from gateway.store.tally import CACHED
from gateway.store.writing import Lane


async def _log(database: Database, *records: ExchangeRecord) -> None:
    lane = Lane(database, deadline=10)
    assert await lane.store(records) == []
    await lane.close()


def _ids(page: exchanges.Page) -> list[int]:
    return [int(item.id.removeprefix("req_")) for item in page.items]


async def test_what_was_logged_is_what_is_read(database: Database) -> None:
    record = ExchangeRecord(
        id="req_1",
        created_at=DAY + 0.123456,
        surface="messages",
        dialect="anthropic",
        requested_model="auto",
        tenant="acme",
        key_name="app",
        route="fast",
        provider="xai",
        model="grok",
        strategy="load_balanced",
        objective="balanced",
        reason="lowest score",
        status=502,
        outcome="error",
        error_type="api_error",
        error_code="garbled",
        error_source="provider",
        error_message="a 200 that is no answer: ☃",
        stream=True,
        cache="coalesced",
        simulated=True,
        finish_reason="stop",
        input_tokens=2**40,
        output_tokens=2,
        cached_tokens=3,
        cache_write_tokens=4,
        reasoning_tokens=5,
        cost_usd=0.0000000001,
        duration_s=1.25,
        ttft_s=0.25,
        overhead_ms=0.3,
        session_id="sess_1",
        end_user="u",
        dropped_params=("logit_bias", "n"),
        tags={"team": "a", "n": [1, None, 2.5]},
        decision={"seed": 7, "ranking": [{"deployment": "xai/grok", "terms": {"latency": 0.5}}]},
        attempts=[
            AttemptRecord(seq=0, provider="openai", model="m", outcome="throttled", status=429, message="slow down"),
            AttemptRecord(seq=1, provider="xai", model="grok", outcome="ok", started_s=0.5, cost_usd=1.5),
        ],
        request_body=b"\x00\xff{}",
        response_body=b"",
    )
    await _log(database, record)
    assert await exchanges.get(database, "req_1") == record
    listed = (await exchanges.recent(database, Filters())).items[0]
    assert (listed.decision, listed.request_body, listed.attempts) == (None, None, record.attempts)


async def test_what_is_not_there_is_none(database: Database) -> None:
    await _log(database, exchange(1, attempts=[]))
    assert await exchanges.get(database, "req_2") is None
    assert await exchanges.get(database, "req_\0") is None
    assert (await exchanges.recent(database, Filters(provider="\0"))).items == []


async def test_pages_are_newest_first_and_do_not_shift_while_rows_arrive(database: Database) -> None:
    # Three rows of one instant, so that the id must decide between them.
    await _log(database, *(exchange(n, created_at=DAY + n // 3) for n in range(10)))
    first = await exchanges.recent(database, Filters(), limit=4)
    await _log(database, exchange(50))
    second = await exchanges.recent(database, Filters(), first.next, limit=4)
    third = await exchanges.recent(database, Filters(), second.next, limit=4)
    assert [_ids(page) for page in (first, second, third)] == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]
    assert third.next is None


@pytest.mark.parametrize("cursor", ["", "x", "~", "2026-01-01~a", "2026-01-01T00:00:00+00:00~", "now~req_1"])
async def test_a_cursor_no_page_gave_is_refused(database: Database, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        await exchanges.recent(database, Filters(), cursor)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(provider="xai"), [3, 1]),
        (Filters(model="grok"), [3]),
        (Filters(status=429), [2]),
        (Filters(key="other"), [4]),
        (Filters(cached=True), [3, 2]),
        (Filters(cached=False), [4, 1, 0]),
        (Filters(since=DAY + 3), [4, 3]),
        (Filters(provider="xai", cached=True, since=DAY), [3]),
    ],
)
async def test_filters(database: Database, filters: Filters, expected: list[int]) -> None:
    await _log(
        database,
        exchange(0, cache="bypass"),
        exchange(1, provider="xai"),
        exchange(2, status=429, cache="hit"),
        exchange(3, provider="xai", model="grok", cache="coalesced"),
        exchange(4, key_name="other"),
    )
    assert _ids(await exchanges.recent(database, filters)) == expected
    page = await exchanges.recent(database, filters, limit=1)
    found = _ids(page)
    while page.next is not None:
        page = await exchanges.recent(database, filters, page.next, limit=1)
        found += _ids(page)
    assert found == expected


@pytest.mark.parametrize("column", ["", "provider", "model", "status", "key_name"])
async def test_a_listing_walks_an_index_whatever_it_filters(database: Database, column: str) -> None:
    """Or the log's page slows down with every row that was ever logged."""
    explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}[database.dialect]
    # PostgreSQL, which costs its plans, needs rows to tell them apart, and a value that is rare among them: of one
    # that every row has, the plain index of times would rightly be preferred.
    await _log(database, *(exchange(n) for n in range(1000)))
    where = f"WHERE {column} = {'418' if column == 'status' else repr('x')}" if column else ""
    async with database.write() as connection:
        if database.dialect == "postgresql":
            await connection.execute(text("ANALYZE exchanges"))
        plan = await connection.execute(
            text(f"{explain} SELECT id FROM exchanges {where} ORDER BY created_at DESC, id DESC LIMIT 50")
        )
        lines = " ".join(str(row) for row in plan)
    index = f"{column + '_' if column else ''}created_at"
    assert (f"exchanges_default_{index}" if database.dialect == "postgresql" else f"ix_exchanges_{index}") in lines


@pytest.mark.parametrize("cached", [True, False])
async def test_a_listing_of_the_cached_walks_an_index_for_each_way_to_be_so(database: Database, cached: bool) -> None:
    """Asked for both ways at once, SQLite would sort all cached rows that ever were.

    PostgreSQL weighs the ways by what it knows of the rows: of such as are frequent it walks the index of times, and
    of rare ones it may sort the few there are. So it is shown frequent ones, and must neither read all nor sort them.
    """
    ways = (*CACHED, "miss", "bypass")
    await _log(database, *(exchange(n, cache=ways[n % len(ways)]) for n in range(2_000)))
    query = exchanges.page_query(Filters(cached=cached), None, 51)
    explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}[database.dialect]
    async with database.write() as connection:
        if database.dialect == "postgresql":
            await connection.execute(text("ANALYZE exchanges"))
        compiled = query.compile(connection.engine.sync_engine, compile_kwargs={"literal_binds": True})
        plan = " ".join(str(row) for row in await connection.execute(text(f"{explain} {compiled}")))
    if database.dialect == "sqlite":
        assert plan.count("SEARCH exchanges USING INDEX ix_exchanges_cache_created_at (cache=?)") == 2
    else:
        assert plan.count("Index Scan Backward using exchanges_default_") == 2
        assert "Seq Scan" not in plan
        assert "->  Sort" not in plan
