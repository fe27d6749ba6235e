"""Providers break under load: callers do not notice, traffic leaves and comes back, and the explanation is true."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import anthropic
import openai
import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.sections import Timeouts
from providers.simulator import Trouble
from providers.simulator.config import Faults
from tests.acceptance.bad_days import (
    DIALECTS,
    MODEL,
    Crowd,
    Day,
    Told,
    a_crowd,
    a_day,
    ask,
    callers,
    eventually,
    four,
    look,
    patient,
    until_seen,
)

#: Of 50 requests in a row, how many may still be spent on finding out whether a broken provider is well again.
_LOOKS = 5


async def until_it_leaves(day: Day, crowd: Crowd, victim: str) -> list[Told]:
    """Load goes on until of 50 answers in a row hardly any cost a request to the victim: those 50."""
    for _ in range(10):
        before = day.seen(victim)
        answers = await crowd.more(50)
        if day.seen(victim) - before <= _LOOKS:
            return answers
    pytest.fail(f"{victim} is still asked after 500 requests")


async def explained(session: aiohttp.ClientSession, day: Day, told: Told) -> dict[str, object]:
    return await until_seen(session, f"{day.url}/api/llm/dwa/explain/{told.id}", lambda found: "attempts" in found)


#: What happens, to whom, and how the record calls it.
_CASES: list[tuple[Trouble, str, str]] = [
    ("down", "alfa", "overloaded"),
    ("hang", "bravo", "timed_out"),
    ("cut", "charlie", "unreachable"),
    ("first_event_error", "bravo", "overloaded"),
    ("throttled", "charlie", "throttled"),
    ("garbled", "delta", "garbled"),
    ("unauthorized", "alfa", "misconfigured"),
]


@pytest.mark.parametrize(("trouble", "victim", "outcome"), _CASES, ids=[case[0] for case in _CASES])
async def test_a_broken_favourite_costs_no_answer_loses_its_traffic_and_regains_it(
    trouble: Trouble, victim: str, outcome: str, tmp_path: Path
) -> None:
    with a_day(tmp_path, four(victim)) as day:
        # Cut after the commit point, a stream can only end in an error: see test_bad_days_streams.
        async with a_crowd(day.url, streams=trouble != "cut") as crowd:
            await eventually(lambda: sum(one.provider == victim for one in crowd.answers) >= 25)
            broken_at = len(crowd.answers)
            day.befall(trouble, victim, seconds=1.0 if trouble == "throttled" else None)
            await until_it_leaves(day, crowd, victim)
            moved = crowd.answers[broken_at:]
            failed_over = [one for one in moved if one.attempts > 1]
            assert failed_over, "nobody was there when it broke"
            day.heal()
            healed_at = len(crowd.answers)
            await eventually(lambda: sum(one.provider == victim for one in crowd.answers[healed_at:]) >= 10)
        assert not crowd.bad

        async with callers() as session:
            await the_explanation_is_true(session, day, failed_over[0], victim, outcome)
            await the_exclusion_is_told(session, day, moved, victim)
            rows = (await look(session, f"{day.url}/api/llm/dwa/stats"))["deployments"]
            assert all(row["in_flight"] == 0 for row in rows)


async def test_nobody_waits_for_the_timeout_of_a_provider_that_hangs(tmp_path: Path) -> None:
    with a_day(tmp_path, four("bravo"), change=patient) as day:
        async with a_crowd(day.url) as crowd:
            await eventually(lambda: sum(one.provider == "bravo" for one in crowd.answers) >= 25)
            broken_at = len(crowd.answers)
            day.befall("hang", "bravo")
            await until_it_leaves(day, crowd, "bravo")
            caught = [one for one in crowd.answers[broken_at:] if one.attempts > 1]
            assert caught, "nobody was there when it broke"
            await eventually(lambda: day.counters("bravo")["in_flight"] == 0, what="somebody waits there for ever")
            day.heal()
        assert not crowd.bad
        async with callers() as session:
            attempts = (await explained(session, day, caught[0]))["attempts"]
            assert isinstance(attempts, list)
            assert (attempts[0]["provider"], attempts[0]["outcome"]) == ("bravo", "timed_out")
            assert attempts[0]["message"].startswith("The provider did not answer this request while others")
            assert attempts[0]["seconds"] < 10.0, "not its timeout, which is a minute and more"


async def test_nobody_waits_for_the_timeout_of_a_provider_that_hangs_for_some(tmp_path: Path) -> None:
    cast = four("bravo")
    some = [replace(one, faults=Faults(hang=0.2)) if one.name == "bravo" else one for one in cast.providers]
    with a_day(tmp_path, replace(cast, providers=some), change=_waits_for_a_quarter_of_a_minute) as day:
        async with a_crowd(day.url, at_most=3000) as crowd:
            await eventually(lambda: crowd.asked >= 300)
            await crowd.are_answered()
        # Of those who came last too, though nobody asks any more.
        caught = [one for one in crowd.answers if one.attempts > 1]
        assert not crowd.bad
        assert caught
        async with callers() as session:
            found = [(await explained(session, day, one))["attempts"] for one in caught]
        firsts = [attempts[0] for attempts in found if isinstance(attempts, list)]
        assert len(firsts) == len(caught)
        assert {(first["provider"], first["outcome"]) for first in firsts} == {("bravo", "timed_out")}
        said = {first["message"].partition(" while others")[0] for first in firsts}
        assert said == {"The provider did not answer this request"}, "and nobody waited for the timeout"


def _waits_for_a_quarter_of_a_minute(settings: Settings) -> Settings:
    return replace(settings, timeout=Timeouts(first_byte=15.0))


async def the_explanation_is_true(
    session: aiohttp.ClientSession, day: Day, told: Told, victim: str, outcome: str
) -> None:
    """Of a request that was answered by another than the one it was first sent to."""
    found = await explained(session, day, told)
    attempts = found["attempts"]
    assert isinstance(attempts, list)
    assert len(attempts) == told.attempts
    assert (attempts[0]["provider"], attempts[0]["outcome"]) == (victim, outcome)
    assert attempts[0]["message"]
    assert (attempts[-1]["provider"], attempts[-1]["outcome"]) == (told.provider, "ok")
    assert found["answered_by"] == f"{told.provider}/{MODEL}"
    assert found["outcome"] == "ok"
    decision = found["decision"]
    assert isinstance(decision, dict)
    # One row per deployment that was considered, in the order in which they were to be tried.
    assert {row["key"] for row in decision["candidates"]} == {f"{name}/{MODEL}" for name in DIALECTS}
    tried = [f"{attempt['provider']}/{MODEL}" for attempt in attempts]
    assert [row["key"] for row in decision["candidates"]][: len(tried)] == tried
    assert decision["reason"] == told.headers["x-steelyard-reason"]


async def the_exclusion_is_told(session: aiohttp.ClientSession, day: Day, moved: list[Told], victim: str) -> None:
    """Of a request that was never sent to the victim, because the DWA knew by then."""
    for told in reversed(moved):
        if told.attempts == 1 and told.provider != victim:
            decision = (await explained(session, day, told))["decision"]
            assert isinstance(decision, dict)
            row = next(row for row in decision["candidates"] if row["key"] == f"{victim}/{MODEL}")
            if row["key"] in decision["excluded"]:
                assert row["weight"] == 0
                assert row["state"] == decision["excluded"][row["key"]]
                return
    pytest.fail("no request says that the broken provider was excluded")


# Everybody is broken


async def test_when_all_are_down_openai_callers_get_503_with_the_attempts(tmp_path: Path) -> None:
    with a_day(tmp_path) as day:
        day.befall("down")
        async with openai.AsyncOpenAI(base_url=f"{day.url}/v1", api_key="any", max_retries=0) as client:
            for _ in range(3):  # the DWA learns meanwhile; the callers' answer stays the same
                with pytest.raises(openai.InternalServerError) as caught:
                    await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
                error = caught.value
                assert error.status_code == 503
                assert error.code == "no_healthy_provider"
                assert int(error.response.headers["retry-after"]) >= 1
                told = error.response.json()
                assert told["error"]["source"] == "provider"
                assert told["request_id"] == error.response.headers["x-steelyard-request-id"]
                assert told["error"]["attempts"], "it does not say who was tried"
                assert {one["outcome"] for one in told["error"]["attempts"]} == {"overloaded"}
        async with callers() as session:
            await it_recovers(session, day)


async def test_when_all_are_down_anthropic_callers_get_503_with_the_attempts(tmp_path: Path) -> None:
    with a_day(tmp_path) as day:
        day.befall("down")
        async with anthropic.AsyncAnthropic(base_url=day.url, api_key="any", max_retries=0) as client:
            with pytest.raises(anthropic.InternalServerError) as caught:
                await client.messages.create(model=MODEL, max_tokens=20, messages=[{"role": "user", "content": "Hi"}])
        told = caught.value.response.json()
        assert caught.value.status_code == 503
        assert told["type"] == "error"
        assert told["error"]["type"] == "overloaded_error"
        assert {one["provider"] for one in told["error"]["attempts"]} == set(DIALECTS)
        assert int(caught.value.response.headers["retry-after"]) >= 1


async def it_recovers(session: aiohttp.ClientSession, day: Day) -> None:
    """Once healed, requests succeed again; before the breakers know, they may fail as before."""
    day.heal()
    recovered: list[Told] = []

    async def works() -> bool:
        recovered.append(await ask(session, day.url, "are you back?"))
        return recovered[-1].good

    for _ in range(200):
        if await works():
            return
    pytest.fail(f"it never recovered; the last answer was {recovered[-1].body!r}")


def says_throttled(told: Told) -> None:
    assert told.status == 429, told.body
    assert 1 <= int(told.headers["retry-after"]) <= 20
    assert told.json["error"]["type"] == "rate_limit_error"
    assert told.json["error"]["code"] == "rate_limit_exceeded"


both_surfaces = pytest.mark.parametrize(
    ("dialect", "stream"), [("openai", False), ("anthropic", True)], ids=["openai", "anthropic stream"]
)


@both_surfaces
async def test_when_all_throttle_the_caller_gets_429(dialect: str, stream: bool, tmp_path: Path) -> None:
    with a_day(tmp_path) as day:
        day.befall("throttled", seconds=20)
        async with callers() as session:
            says_throttled(await ask(session, day.url, "Hi", dialect=dialect, stream=stream))
            await ask(session, day.url, "Hi", dialect=dialect, stream=stream)
        # Retry-After is obeyed to the letter: nobody was asked twice.
        assert all(day.seen(name) == 1 for name in DIALECTS)


@both_surfaces
async def test_while_all_throttle_the_next_callers_get_429_too(dialect: str, stream: bool, tmp_path: Path) -> None:
    with a_day(tmp_path) as day:
        day.befall("throttled", seconds=20)
        async with callers() as session:
            await ask(session, day.url, "Hi", dialect=dialect, stream=stream)
            # The DWA excludes them all by now; to callers nothing has changed.
            says_throttled(await ask(session, day.url, "Hi", dialect=dialect, stream=stream))


async def test_when_all_throttle_for_a_moment_the_caller_only_waits(tmp_path: Path) -> None:
    with a_day(tmp_path) as day:
        for name in DIALECTS:
            day.running.control(name, "throttled", seconds=1, requests=1)
        async with callers() as session:
            told = await ask(session, day.url, "Hi")
        assert told.good
        assert told.attempts == len(DIALECTS) + 1


@both_surfaces
async def test_when_all_answer_rubbish_the_caller_gets_502(dialect: str, stream: bool, tmp_path: Path) -> None:
    with a_day(tmp_path) as day:
        day.befall("garbled")
        async with callers() as session:
            told = await ask(session, day.url, "Hi", dialect=dialect, stream=stream)
            assert told.status == 502, told.body
            assert told.json["error"]["code"] == "bad_gateway"
            assert told.json["error"]["source"] == "provider"
            await it_recovers(session, day)


@both_surfaces
async def test_the_callers_deadline_ends_it_with_408_and_blames_nobody(
    dialect: str, stream: bool, tmp_path: Path
) -> None:
    with a_day(tmp_path, change=patient) as day:
        day.befall("hang")
        async with callers() as session:
            told = await ask(
                session, day.url, "Hi", dialect=dialect, stream=stream, headers={"X-Steelyard-Timeout-Ms": "300"}
            )
            assert told.status == 408, told.body
            assert told.json["error"]["source"] == "gateway"
            assert told.json["error"]["code"] == "deadline_exceeded"
            rows = (await look(session, f"{day.url}/api/llm/dwa/stats"))["deployments"]
            assert [row["failures"] for row in rows] == [0] * len(rows)
            await eventually(lambda: day.busy() == 0, what="the upstream call outlived its caller")
            await it_recovers(session, day)


async def test_the_deadline_covers_the_pauses_between_retries(tmp_path: Path) -> None:
    with a_day(tmp_path) as day:
        day.befall("throttled", seconds=4)
        async with callers() as session:
            told = await ask(session, day.url, "Hi", headers={"X-Steelyard-Timeout-Ms": "1000"})
        # No time to wait four seconds: told at once what stands in the way, and nobody is asked in vain.
        assert told.status == 429, told.body
        assert all(day.seen(name) == 1 for name in DIALECTS)
