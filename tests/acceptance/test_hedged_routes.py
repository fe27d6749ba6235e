"""A route that hedges, on a running gateway: an overdue request is answered by another, and nothing is left running."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.tree import RouteSettings
from tests.acceptance.bad_days import (
    MODEL,
    Caller,
    Day,
    Told,
    a_day,
    ask,
    callers,
    eventually,
    four,
    question,
    until_seen,
)

ROUTE = "hedged"
#: Enough for the DWA to know how long each takes.
LESSONS = 40


def hedging(*names: str) -> Callable[[Settings], Settings]:
    """Settings with a route over these, asked in that order, whose calls nobody else gives up."""

    def change(settings: Settings) -> Settings:
        route = RouteSettings(
            name=ROUTE, targets=tuple(f"{name}/{MODEL}" for name in names), strategy="priority", hedge=True
        )
        return replace(settings, routes={ROUTE: route})

    return change


async def lessons(session: aiohttp.ClientSession, day: Day, *names: str, stream: bool) -> None:
    for name in names:
        for number in range(LESSONS):
            told = await ask(session, day.url, f"lesson {number}.", model=f"{name}/{MODEL}", stream=stream)
            assert told.good, told


async def record(session: aiohttp.ClientSession, day: Day, told: Told) -> Any:
    return await until_seen(session, f"{day.url}/api/llm/dwa/explain/{told.id}", lambda found: "attempts" in found)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
async def test_a_hanging_provider_is_not_waited_for_and_its_call_is_closed(
    dialect: str, stream: bool, tmp_path: Path
) -> None:
    # With a third, a machine that stood still during bravo's lessons would rightly send the hedge there.
    with a_day(tmp_path, four(), hedging("alfa", "bravo")) as day:
        async with callers() as session:
            asking = partial(ask, session, day.url, model=ROUTE, dialect=dialect, stream=stream)
            await lessons(session, day, "alfa", "bravo", stream=stream)
            day.befall("hang", "alfa")
            told = await asking("who answers?")
            assert told.good, told.body
            assert (told.provider, told.attempts) == ("bravo", 2)
            await eventually(lambda: day.busy() == 0, what="the call of the one that hangs was not closed")

            found = await record(session, day, told)
            assert [(one["provider"], one["outcome"]) for one in found["attempts"]] == [
                ("alfa", "hedged"),
                ("bravo", "ok"),
            ]
            async with session.get(f"{day.url}/metrics") as answer:
                lines = (await answer.text()).splitlines()
            hedged = [line for line in lines if 'outcome="hedged"' in line and "_total{" in line]
            assert [('provider="alfa"' in line, line.endswith(" 1.0")) for line in hedged] == [(True, True)]
            won = 'steelyard_hedges_total{model="sim-chat",outcome="won",provider="bravo"} 1.0'
            assert [line for line in lines if line.startswith("steelyard_hedges_total{")] == [won]


async def test_a_host_that_always_hangs_is_left_though_all_its_requests_are_hedged_away(tmp_path: Path) -> None:
    with a_day(tmp_path, four(), hedging("alfa", "bravo")) as day:
        async with callers() as session:
            await lessons(session, day, "alfa", "bravo", stream=True)
            day.befall("hang", "alfa")
            asking = partial(ask, session, day.url, model=ROUTE, stream=True)
            told = [await asking(f"question {number}.") for number in range(30)]
            assert all(one.good and one.provider == "bravo" for one in told)
            # A few hedges prove that it hangs; after that it is only looked at now and then.
            assert sum(one.attempts for one in told) <= len(told) + 10
            assert day.seen("alfa") <= LESSONS + 10
            await eventually(lambda: day.busy() == 0)


async def test_when_everybody_hangs_a_caller_who_leaves_takes_all_calls_along(tmp_path: Path) -> None:
    with a_day(tmp_path, four(), hedging("alfa", "bravo")) as day:
        async with callers() as session:
            await lessons(session, day, "alfa", "bravo", stream=True)
        day.befall("hang")
        path, body = question("anybody?", model=ROUTE, stream=True)
        caller = await Caller.asks(day.url, path, body)
        await eventually(lambda: day.busy() == 2, what="no second one was asked")
        await caller.hang_up()
        await eventually(lambda: day.busy() == 0, what="a call outlives its caller")


async def test_a_route_does_not_hedge_unless_told_to(tmp_path: Path) -> None:
    def change(settings: Settings) -> Settings:
        made = hedging("alfa", "bravo")(settings)
        return replace(made, routes={ROUTE: replace(made.routes[ROUTE], hedge=False)})

    with a_day(tmp_path, four(), change) as day:
        async with callers() as session:
            await lessons(session, day, "alfa", "bravo", stream=True)
            day.befall("slow", "alfa")
            told = await ask(session, day.url, "slow?", model=ROUTE, stream=True)
            assert (told.good, told.provider, told.attempts) == (True, "alfa", 1)
