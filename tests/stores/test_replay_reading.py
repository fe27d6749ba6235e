"""What a replay reads of the log: the same on both engines."""

from __future__ import annotations

import pytest
from store_faults import DAY, exchange

from dwa.simulate.recorded import Recorded, Tried
from gateway.store import replay
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.record import AttemptRecord, ExchangeRecord
from gateway.store.replay import Period
from gateway.store.writing import Lane


async def _log(database: Database, *records: ExchangeRecord) -> None:
    lane = Lane(database, deadline=10)
    assert await lane.store(records) == []
    await lane.close()


async def _read(database: Database, limit: int = 100, **narrower: str) -> list[Recorded]:
    period = Period(DAY, DAY + 10_000, limit, **narrower)
    return [one async for page in replay.pages(database, period) for one in page]


async def test_what_was_logged_is_what_is_read(database: Database) -> None:
    attempts = [
        AttemptRecord(seq=0, provider="xai", model="grok", outcome="throttled", seconds=0.1),
        AttemptRecord(
            seq=1,
            provider="openai",
            model="m/2",
            outcome="ok",
            started_s=0.25,
            seconds=2.5,
            ttft_s=0.5,
            input_tokens=100,
            output_tokens=50,
            cost_usd=0.0000000125,
        ),
    ]
    decision = {"keys": ["openai/m/2"], "excluded": {"xai/grok": "paced"}, "losses": [0.5], "ramping": [[0, 0.5]]}
    facts = {"route": "fast", "outcome": "error", "error_source": "provider", "strategy": "cost", "objective": "mine"}
    more = {"stream": True, "cost_usd": 0.5, "duration_s": 2.75, "input_tokens": 100, "output_tokens": 50}
    await _log(database, exchange(1, attempts=attempts, decision=decision, **facts, **more))
    assert await _read(database) == [
        Recorded(
            at=DAY + 1,
            model="gpt-4o-mini",
            route="fast",
            outcome="error",
            blame="provider",
            cache="miss",
            stream=True,
            prompt=100,
            answer=50,
            cost=0.5,
            seconds=2.75,
            strategy="cost",
            objective="mine",
            candidates=("openai/m/2", "xai/grok"),
            attempts=(
                Tried("xai/grok", "throttled", DAY + 1, 0.1, None, 0, 0, 0.0),
                Tried("openai/m/2", "ok", DAY + 1.25, 2.5, 0.5, 100, 50, 0.0000000125),
            ),
        )
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
async def test_pages_hold_the_newest_once(database: Database, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(replay, "PAGE", size)
    await _log(database, *(exchange(n, created_at=DAY + n // 2) for n in range(10)))
    read = await _read(database)
    assert [one.at - DAY for one in read] == [4, 4, 3, 3, 2, 2, 1, 1, 0, 0]
    assert all(len(one.attempts) == 1 for one in read)
    assert [one.at - DAY for one in await _read(database, limit=5)] == [4, 4, 3, 3, 2]


async def test_a_period_begins_inclusive_and_ends_exclusive(database: Database) -> None:
    await _log(database, *(exchange(n) for n in range(6)))
    found = [one async for page in replay.pages(database, Period(DAY + 2, DAY + 4, 100)) for one in page]
    assert [one.at - DAY for one in found] == [3, 2]


async def test_a_tenant_and_a_model_narrow(database: Database) -> None:
    await _log(database, exchange(1, tenant="acme"), exchange(2, tenant="else"), exchange(3, requested_model="auto"))
    assert [one.at - DAY for one in await _read(database, tenant="acme")] == [3, 1]
    assert [one.at - DAY for one in await _read(database, tenant="else")] == [2]
    assert [one.at - DAY for one in await _read(database, model="auto")] == [3]
    assert await _read(database, tenant="acme\0") == []


@pytest.mark.parametrize("decision", [None, {"omitted": True, "length": 70_000}, {"keys": 7}, {"excluded": {"a": 1}}])
async def test_without_a_readable_decision_nobody_was_a_candidate(database: Database, decision: object) -> None:
    await _log(database, exchange(1, decision=decision))
    assert (await _read(database))[0].candidates == ()


async def test_a_passed_deadline_is_the_callers_hurry(database: Database) -> None:
    await _log(database, exchange(1, outcome="error", error_code="deadline_exceeded"), exchange(2))
    assert [one.attempts[0].hurried for one in await _read(database)] == [False, True]


async def test_an_empty_database_is_told_from_an_empty_period(empty_url: str) -> None:
    database = Database(empty_url)
    with pytest.raises(StoreUnavailable):
        await _read(database)
    await database.dispose()
