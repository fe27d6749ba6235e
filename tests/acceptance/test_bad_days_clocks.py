"""Clocks that jump and names that are not found: callers do not notice."""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.app import create_app
from providers import simulator
from providers.http import names
from tests import serving
from tests.acceptance.bad_days import a_crowd, a_day_beside, ask, callers, four, impatient, until_seen
from tests.acceptance.bad_processes import until_logged
from tests.serving import Serving, settings_in, simulated

_REAL = socket.getaddrinfo


async def test_a_clock_that_jumps_costs_no_answer_and_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead = 0.0
    monkeypatch.setattr(serving, "create_app", functools.partial(create_app, wall=lambda: time.time() + ahead))
    async with a_day_beside(tmp_path, impatient) as day:
        async with a_crowd(day.url, pace=60, at_most=600) as crowd:
            for hours in (0, 3, 0, -3, 0):
                ahead = hours * 3_600.0
                await crowd.more(20)
        assert not crowd.bad
        ids = {one.id for one in crowd.answers}
        # Their names tell their times: some came hours before and after the others.
        assert len({one[:12] for one in ids}) >= 3
        url = day.serving.settings.database.url.reveal()
        assert set(await until_logged(url, ids)) == ids
        async with callers() as session:
            await until_seen(session, f"{day.url}/api/health", lambda found: found["status"] == "healthy")


async def test_without_a_resolver_providers_are_reached_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    fails = False

    def resolve(host: Any, *arguments: Any, **named: Any) -> Any:
        if not str(host).endswith(".chaos.test"):
            return _REAL(host, *arguments, **named)
        if named.get("flags", 0) & socket.AI_NUMERICHOST:
            raise socket.gaierror(socket.EAI_NONAME, "it is a name")
        asked.append(fails)
        if fails:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return _REAL("127.0.0.1", *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(names, "KEPT_S", 0.0)
    cast = four()
    with simulator.start(cast) as running:
        settings = simulated(impatient(settings_in(tmp_path)), running, cast)
        moved = {
            name: replace(one, base_url=one.base_url.replace("127.0.0.1", f"{name}.chaos.test"))
            for name, one in settings.providers.items()
        }
        with Serving(replace(settings, providers=moved)) as gateway:
            async with callers() as session:

                async def all_of(number: int) -> list[bytes]:
                    """So many at a time want connections of their own."""
                    told = await asyncio.gather(
                        *(
                            ask(session, gateway.url, f"question {n}.", headers={"X-Steelyard-Providers": name})
                            for n in range(number)
                            for name in moved
                        )
                    )
                    return [one.body for one in told if not one.good]

                assert await all_of(1) == []
                assert asked
                fails = True
                assert await all_of(8) == []
                assert asked[-1], "nobody looked them up again"
