"""SIGHUP with one process: other settings, the same process, the same connections, and nothing dropped or forgotten."""

from __future__ import annotations

import asyncio
import json
import os
import pty
from collections.abc import Generator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from providers import simulator
from tests.acceptance.bad_days import MODEL, PATIENCE, a_crowd, ask, callers, eventually, four, look, question
from tests.acceptance.bad_processes import Program, a_program, configuration, logged, reloads, until_logged
from tests.acceptance.gated import a_gate, whole

NEWLY = {"routes": {"newly": {"targets": [f"alfa/{MODEL}"]}}}


@pytest.fixture
def running() -> Generator[simulator.Running]:
    with simulator.start(four()) as started:
        yield started


def database_in(program: Program) -> str:
    return f"sqlite+aiosqlite:///{program.folder}/data/steelyard.db"


async def reloaded(program: Program, config: dict[str, Any]) -> None:
    """Have it serve with these settings, and wait until it does."""
    already = len(program.told("reloaded"))
    program.configure(config)
    program.hang_up()
    await eventually(lambda: len(program.told("reloaded")) > already)


async def test_under_load_it_drops_no_request_and_answers_with_the_new_settings(
    running: simulator.Running, tmp_path: Path
) -> None:
    config = configuration(running, four())
    with a_program(tmp_path, config) as program:
        program.start()
        async with a_crowd(program.url, pace=60, at_most=3000) as crowd:
            await crowd.more(30)
            await reloaded(program, {**config, **NEWLY})
            await crowd.more(30)
            await reloaded(program, config)
            await reloaded(program, {**config, **NEWLY})
            await crowd.more(30)
        assert not crowd.bad
        assert program.process is not None
        assert program.process.poll() is None
        assert program.workers() == []
        async with callers() as session:
            assert (await ask(session, program.url, "To the new route.", model="newly")).provider == "alfa"
        program.terminate()
        assert await program.ended() == 0
        ids = {one.id for one in crowd.answers}
        assert ids <= set(await until_logged(database_in(program), ids))
        assert await reloads(database_in(program)) == [["routes.newly"]] * 3


def test_a_connection_that_is_open_stays_so(running: simulator.Running, tmp_path: Path) -> None:
    config = configuration(running, four())
    with a_program(tmp_path, config) as program:
        program.start()
        with closing(HTTPConnection("127.0.0.1", program.port, timeout=30)) as connection:

            def status(model: str) -> int:
                path, body = question("Still there?", model=model)
                connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
                with connection.getresponse() as answer:
                    answer.read()
                    return answer.status

            assert status("newly") == 404
            first = connection.sock
            asyncio.run(reloaded(program, {**config, **NEWLY}))
            assert status("newly") == 200
            assert connection.sock is first


async def test_what_runs_keeps_its_application_and_what_that_took_is_written_when_it_is_done(tmp_path: Path) -> None:
    async with a_gate() as gate:
        config = {**gate.configuration, "request_log": {"flush_interval": 3600}}
        with a_program(tmp_path, config) as program:
            await asyncio.to_thread(program.start)
            async with callers() as session:
                asked = [asyncio.create_task(ask(session, program.url, f"{n}.", stream=n % 2 == 0)) for n in range(8)]
                await eventually(lambda: gate.waiting == 8)
                await reloaded(program, config)
                gate.open()
                told = await asyncio.gather(*asked)
            assert all(whole(one) for one in told)
            # No interval has passed: the old application wrote them when it stopped.
            ids = {one.id for one in told}
            assert set(await until_logged(database_in(program), ids)) == ids


async def test_counts_go_on_and_the_dwa_remembers(running: simulator.Running, tmp_path: Path) -> None:
    config = configuration(running, four())
    with a_program(tmp_path, config) as program:
        program.start()

        async def weights() -> dict[str, float]:
            """What each gets of whom the DWA has heard anything."""
            rows = (await look(session, f"{program.url}/api/llm/dwa/stats"))["deployments"]
            return {row["provider"]: row["weight"] for row in rows}

        async with callers() as session:
            # The favourite, which is the cheapest, becomes slow.
            running.control("alfa", "slow", seconds=0.5)
            asked = 0
            while asked < 10 or (await weights())["alfa"] > 0.2:
                assert (await ask(session, program.url, f"{asked}.")).good
                asked += 1
            without_delta = {name: one for name, one in config["providers"].items() if name != "delta"}
            await reloaded(program, {"providers": without_delta})
            assert (await weights())["alfa"] < 0.4
            async with session.get(f"{program.url}/metrics") as answer:
                lines = (await answer.text()).splitlines()
            total = sum(float(one.split()[-1]) for one in lines if one.startswith("steelyard_requests_total{"))
            assert total == asked

            async def written() -> float:
                async with session.get(f"{program.url}/metrics") as answer:
                    lines = (await answer.text()).splitlines()
                name = 'steelyard_request_log_rows_total{state="written"}'
                return next(float(one.split()[-1]) for one in lines if one.startswith(name))

            # Those that the old application wrote when it stopped, once they were to be seen.
            async with asyncio.timeout(PATIENCE):
                while await written() != asked:  # noqa: ASYNC110 - another process has no event
                    await asyncio.sleep(0.05)


async def test_an_application_that_does_not_start_leaves_the_old_one_in_place(
    running: simulator.Running, tmp_path: Path
) -> None:
    config = configuration(running, four())
    with a_program(tmp_path, config) as program:
        program.start()
        program.configure({**config, "database": {"url": "sqlite+aiosqlite:///:memory:"}})
        program.hang_up()
        await eventually(lambda: program.told("the new settings do not start: the old ones stay"))
        async with callers() as session:
            told = await ask(session, program.url, "Still there?")
            assert told.good
        program.terminate()
        assert await program.ended() == 0
        assert await logged(database_in(program)) == [told.id]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_terminal_that_is_closed_ends_it_and_a_signal_alone_does_not(
    running: simulator.Running, tmp_path: Path, workers: str
) -> None:
    config = configuration(running, four())
    with a_program(tmp_path, config, "--workers", workers) as program:
        master, slave = pty.openpty()
        try:
            process = program.begin_in(slave)
            os.close(slave)
            await asyncio.to_thread(program.until_ready, process)
            program.hang_up()
            await eventually(lambda: program.told("reloaded") or program.told("the workers are renewed"))
        finally:
            os.close(master)
        assert await program.ended() == 0
