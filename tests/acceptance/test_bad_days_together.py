"""Many ask the same at once: one upstream call, one bill, one answer for all. And sinks that fail: nobody notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway import logs
from gateway.exchange import Exchange
from gateway.metrics import Metrics
from gateway.records import Records
from tests.acceptance.bad_days import (
    DIALECTS,
    MODEL,
    Caller,
    Day,
    Told,
    a_day,
    ask,
    callers,
    eventually,
    four,
    look,
    patient,
    question,
    until_seen,
)

whole_and_stream = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


async def a_flight(day: Day) -> Callable[[], int]:
    """Wait for an answer to be under way that somebody waits for: how many wait for it, or read along, from now on."""
    cache = day.serving.app.parts.cache
    await eventually(lambda: day.busy() == 1 and (cache.replies or cache.streams))
    if cache.replies:
        (flight,) = cache.replies._flights.values()
        return lambda: flight.waiters
    ((broadcast, _),) = cache.streams.values()
    return lambda: broadcast._readers


def same(session: aiohttp.ClientSession, day: Day, *, stream: bool, **headers: str) -> asyncio.Task[Told]:
    """The question that all have."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.create_task(ask(session, day.url, "the same.", stream=stream, temperature=0, headers=sent))


async def rows_of(session: aiohttp.ClientSession, day: Day, number: int) -> list[dict[str, Any]]:
    page = await until_seen(
        session, f"{day.url}/api/db/requests/recent?limit=500", lambda found: len(found["requests"]) >= number
    )
    rows = page["requests"]
    assert len(rows) == number
    return rows


def paid_once(rows: Sequence[dict[str, Any]]) -> None:
    """The one upstream call is in the books once."""
    assert sum(len(row["attempts"]) for row in rows) == 1
    costs = [float(row["cost_usd"]) for row in rows]
    assert len([cost for cost in costs if cost > 0]) == 1, costs


@whole_and_stream
async def test_twenty_who_ask_the_same_at_once_make_one_call_and_pay_once(stream: bool, tmp_path: Path) -> None:
    with a_day(tmp_path, four(first_token_s=0.4), change=patient) as day:
        async with callers() as session:
            told = await asyncio.gather(*(same(session, day, stream=stream) for _ in range(20)))
            assert all(one.good for one in told), [one.body for one in told if not one.good]
            assert day.seen() == 1
            assert len({one.body for one in told}) == 1
            assert len({one.id for one in told}) == 20
            rows = await rows_of(session, day, 20)
            # Those who come when the stream is out already find it in the cache.
            assert sorted({row["cache"] for row in rows} | {"hit"}) == ["coalesced", "hit", "miss"]
            assert [row["cache"] for row in rows].count("miss") == 1
            paid_once(rows)
            assert (await same(session, day, stream=stream)).headers["x-steelyard-cache"] == "hit"
            assert day.seen() == 1


@whole_and_stream
async def test_the_first_asker_hangs_up_and_the_others_get_their_answer(stream: bool, tmp_path: Path) -> None:
    with a_day(tmp_path, four(first_token_s=1.5), change=patient) as day:
        first = await Caller.asks(day.url, *question("the same.", stream=stream, temperature=0))
        waiting = await a_flight(day)
        async with callers() as session:
            others = [same(session, day, stream=stream) for _ in range(5)]
            await eventually(lambda: waiting() == 6)
            await first.hang_up()
            await eventually(lambda: waiting() == 5)
            told = await asyncio.gather(*others)
            assert all(one.good for one in told), [one.body for one in told if not one.good]
            assert day.seen() == 1
            assert sum(day.counters(name)["aborted"] for name in DIALECTS) == 0
            rows = await rows_of(session, day, 6)
            assert [row["outcome"] for row in rows].count("cancelled") == 1
            assert [row["outcome"] for row in rows].count("ok") == 5
            paid_once(rows)


@whole_and_stream
async def test_when_all_of_them_hang_up_the_call_is_aborted(stream: bool, tmp_path: Path) -> None:
    with a_day(tmp_path, change=patient) as day:
        day.befall("hang")
        asked = question("the same.", stream=stream, temperature=0)
        crowd = [await Caller.asks(day.url, *asked) for _ in range(5)]
        waiting = await a_flight(day)
        await eventually(lambda: waiting() == 5)
        for left, caller in enumerate(crowd):
            assert sum(day.counters(name)["aborted"] for name in DIALECTS) == 0
            await caller.hang_up(rudely=left % 2 == 1)
            await eventually(lambda left=left: waiting() == 4 - left)
        await eventually(lambda: sum(day.counters(name)["aborted"] for name in DIALECTS) == 1)
        async with callers() as session:
            rows = await rows_of(session, day, 5)
            assert {row["outcome"] for row in rows} == {"cancelled"}
            day.heal()
            assert (await same(session, day, stream=stream)).good


@whole_and_stream
async def test_an_answer_that_nobody_could_give_fails_all_who_waited_and_is_not_kept(
    stream: bool, tmp_path: Path
) -> None:
    with a_day(tmp_path, change=patient) as day:
        for name in DIALECTS:
            day.running.control(name, "slow", seconds=0.5)
        day.befall("garbled", seconds=None)
        async with callers() as session:
            told = await asyncio.gather(*(same(session, day, stream=stream) for _ in range(5)))
            assert all(one.status in (502, 503) for one in told)
            assert all(one.json["error"]["attempts"] for one in told)
            day.heal()
            day.serving.app.parts.balancer.reset()
            assert (await same(session, day, stream=stream)).good


@whole_and_stream
async def test_a_follower_in_a_hurry_gives_up_alone(stream: bool, tmp_path: Path) -> None:
    with a_day(tmp_path, four(first_token_s=1.5), change=patient) as day:
        async with callers() as session:
            first = same(session, day, stream=stream)
            await a_flight(day)
            hasty = same(session, day, stream=stream, X_Steelyard_Timeout_Ms="200")
            assert (await hasty).status == 408
            assert not first.done()
            assert (await first).good
            assert day.seen() == 1


@whole_and_stream
async def test_a_first_asker_in_a_hurry_does_not_take_the_answer_from_the_patient(stream: bool, tmp_path: Path) -> None:
    with a_day(tmp_path, four(first_token_s=1.5), change=patient) as day:
        async with callers() as session:
            hasty = same(session, day, stream=stream, X_Steelyard_Timeout_Ms="600")
            waiting = await a_flight(day)
            others = [same(session, day, stream=stream) for _ in range(3)]
            await eventually(lambda: waiting() == 4)
            assert (await hasty).status == 408
            told = await asyncio.gather(*others)
            assert all(one.good for one in told), [one.body for one in told if not one.good]


@whole_and_stream
async def test_a_stream_and_a_whole_answer_are_not_taken_for_each_other(stream: bool, tmp_path: Path) -> None:
    with a_day(tmp_path, four(first_token_s=0.4), change=patient) as day:
        async with callers() as session:
            told = await asyncio.gather(same(session, day, stream=stream), same(session, day, stream=not stream))
            assert all(one.good for one in told)
            assert day.seen() == 2


async def test_a_broken_stream_is_an_error_to_all_who_read_along_and_is_not_kept(tmp_path: Path) -> None:
    with a_day(tmp_path, four(tokens=40, tokens_per_s=60), change=patient) as day:
        day.befall("cut")
        async with callers() as session:
            told = await asyncio.gather(*(same(session, day, stream=True) for _ in range(5)))
            assert day.seen() == 1
            for one in told:
                assert one.status == 200
                assert b"[DONE]" not in one.body
                assert one.events[-1]["error"]["code"] == "stream_broken"
            day.heal()
            again = await same(session, day, stream=True)
            assert again.good
            assert again.headers["x-steelyard-cache"] == "miss"


# Sinks


def raising(*_: object) -> None:
    raise RuntimeError("a sink with a defect")


@pytest.mark.parametrize(
    ("name", "owner", "attribute"),
    [("request_log", Records, "take"), ("metrics", Metrics, "observe"), ("log_line", logs, "teller")],
    ids=["request_log", "metrics", "log_line"],
)
async def test_a_sink_that_raises_costs_no_answer_and_no_other_sink(
    name: str, owner: object, attribute: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def hear(exchange: Exchange) -> None:
        heard.append(exchange.id)

    def made(_requests: str) -> Callable[[Exchange], None]:
        return raising if name == "log_line" else hear

    if name != "log_line":
        monkeypatch.setattr(owner, attribute, raising)
    # The one that is made for the settings.
    monkeypatch.setattr(logs, "teller", made)
    with a_day(tmp_path) as day:
        async with callers() as session:
            told = [
                await ask(session, day.url, "question.", dialect=dialect, stream=stream)
                for dialect in ("openai", "anthropic")
                for stream in (False, True)
            ]
            assert all(one.good for one in told)
            async with session.post(f"{day.url}/api/llm/orchestrate", json={"prompt": "Hello"}) as answer:
                assert answer.status == 200
                assert (await answer.json())["metadata"]["database_logged"] is (name != "request_log")
            # Failures are fed to the sinks as well.
            day.befall("down")
            assert (await ask(session, day.url, "question.")).status == 503
            async with session.get(f"{day.url}/metrics") as page:
                text = await page.text()
            assert f'steelyard_sink_failures_total{{sink="{name}"}} 6.0' in text
            if name != "metrics":
                requests = [line for line in text.splitlines() if line.startswith("steelyard_requests_total{")]
                assert sum(float(line.rpartition(" ")[2]) for line in requests) == 6
            if name != "request_log":
                await rows_of(session, day, 6)
            if name != "log_line":
                assert len(heard) == 6
            rows = (await look(session, f"{day.url}/api/llm/dwa/stats"))["deployments"]
            assert sum(row["successes"] for row in rows) == 5
            assert all(row["model"] == MODEL for row in rows)
