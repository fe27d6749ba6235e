"""Several workers as one program: renewed under load, killed and replaced, and stopped, with nothing lost."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest

from providers import simulator
from tests.acceptance.bad_days import MODEL, PATIENCE, Told, a_crowd, ask, callers, eventually, four
from tests.acceptance.bad_processes import Program, a_program, broken, configuration, logged, reloads, until_logged
from tests.acceptance.gated import a_gate, whole

#: Settings that are well formed, and with which no worker can start.
UNSERVABLE = {"database": {"url": "sqlite+aiosqlite:///:memory:"}}
READY, ENDED, DIED = "a worker is ready", "a worker has ended", "a worker died and is replaced"
RENEWED, RENEWAL_FAILED = (
    "the workers are renewed",
    "a new worker did not become ready: the renewal ends, and the others stay",
)


@pytest.fixture
def running() -> Generator[simulator.Running]:
    with simulator.start(four()) as started:
        yield started


def database_in(program: Program) -> str:
    return f"sqlite+aiosqlite:///{program.folder}/data/steelyard.db"


async def answered(program: Program, number: int, **fields: Any) -> list[Told]:
    """So many answers over as many connections, so that every worker gives some."""
    async with callers() as session:
        told = await asyncio.gather(
            *(ask(session, program.url, f"question {one}.", temperature=1, **fields) for one in range(number))
        )
    assert not [(one.status, one.body) for one in told if not one.good]
    return told


async def until_ready(program: Program, number: int) -> set[int]:
    """Wait until so many workers have said so since the start: the pids of those that live."""
    await eventually(lambda: len(program.told(READY)) >= number)
    return {one.pid for one in program.workers()}


async def until_stayed(program: Program, times: int) -> None:
    """Wait until it has said so often that the old settings stay."""
    await eventually(lambda: len([one for one in program.lines() if "old ones stay" in one["message"]]) == times)


# Renewal


async def test_hang_up_renews_every_worker_under_load_and_drops_no_request(
    running: simulator.Running, tmp_path: Path
) -> None:
    config = configuration(running, four())
    with a_program(tmp_path, config, "--workers", "2") as program:
        program.start()
        before = await until_ready(program, 2)
        async with a_crowd(program.url, pace=60, at_most=3000) as crowd:
            await crowd.more(30)
            program.configure({**config, "routes": {"newly": {"targets": [f"alfa/{MODEL}"]}}})
            program.hang_up()
            await eventually(lambda: program.told(RENEWED))
            await eventually(lambda: len(program.told(ENDED)) == 2)
            await crowd.more(60)
        assert not crowd.bad
        after = {one.pid for one in program.workers()}
        assert len(after) == 2
        assert not after & before
        # None was asked to leave before the one in its place was ready.
        order = [(line["message"], line["worker"]) for line in program.lines() if line["message"] in (READY, ENDED)]
        for worker in (0, 1):
            assert [what for what, whose in order if whose == worker] == [READY, READY, ENDED]
        assert await answered(program, 20, model="newly")
        program.terminate()
        assert await program.ended() == 0
        ids = {one.id for one in crowd.answers}
        assert ids <= set(await until_logged(database_in(program), ids))
        # One act, whoever of the two kept it.
        assert await reloads(database_in(program)) == [["routes.newly"]]


async def test_what_runs_goes_on_in_the_worker_it_began_in_while_that_is_renewed(tmp_path: Path) -> None:
    async with a_gate() as gate:
        with a_program(tmp_path, gate.configuration, "--workers", "2") as program:
            await asyncio.to_thread(program.start)
            await until_ready(program, 2)
            async with callers() as session:
                asked = [
                    asyncio.create_task(ask(session, program.url, f"{n}.", stream=n % 2 == 0, temperature=1))
                    for n in range(8)
                ]
                await eventually(lambda: gate.waiting == 8)
                program.hang_up()
                await eventually(lambda: program.told(RENEWED))
                assert not program.told(ENDED)
                gate.open()
                told = await asyncio.gather(*asked)
            assert all(whole(one) for one in told)
            await eventually(lambda: len(program.told(ENDED)) == 2)
            await until_logged(database_in(program), {one.id for one in told})


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_bad_settings_are_told_and_change_nothing(
    running: simulator.Running, tmp_path: Path, workers: str
) -> None:
    config = configuration(running, four())
    with a_program(tmp_path, config, "--workers", workers) as program:
        program.start()
        before = await until_ready(program, 2) if workers == "2" else set()
        for times, bad in enumerate(({**config, "sever": {}}, {**config, "providers": {}}), start=1):
            program.configure(bad)
            program.hang_up()
            await until_stayed(program, times)
        assert any("sever" in one.get("problems", "") for one in program.lines())
        assert await answered(program, 20)
        assert {one.pid for one in program.workers()} == before
        program.configure(config)
        program.hang_up()
        await eventually(lambda: program.told(RENEWED) or program.told("reloaded"))
        assert await answered(program, 20)


async def test_a_new_worker_that_cannot_start_leaves_the_old_ones_at_work(
    running: simulator.Running, tmp_path: Path
) -> None:
    config = configuration(running, four())
    with a_program(tmp_path, config, "--workers", "2") as program:
        program.start()
        before = await until_ready(program, 2)
        program.configure({**config, **UNSERVABLE})
        program.hang_up()
        await eventually(lambda: program.told(RENEWAL_FAILED))
        assert await answered(program, 20)
        assert {one.pid for one in program.workers()} == before
        # A worker that dies now is replaced with the settings that work.
        psutil.Process(min(before)).kill()
        await until_ready(program, 3)
        assert await answered(program, 20)


async def test_workers_that_cannot_start_at_all_end_the_program(running: simulator.Running, tmp_path: Path) -> None:
    config = {**configuration(running, four()), **UNSERVABLE}
    with a_program(tmp_path, config, "--workers", "2") as program:
        program.begin()
        assert await program.ended() == 1
        assert program.told("a worker cannot start: everything stops")


# Death


async def test_killed_workers_are_replaced_and_what_they_had_accepted_is_in_the_log(
    running: simulator.Running, tmp_path: Path
) -> None:
    """Nothing is flushed within the test: what is in the database came out of the journals of the dead."""
    config = {**configuration(running, four()), "request_log": {"flush_interval": 3600}}
    with a_program(tmp_path, config, "--workers", "2") as program:
        program.start()
        await until_ready(program, 2)
        told = await answered(program, 40)
        assert not await logged(database_in(program))
        victims = program.workers()
        for victim in victims:
            victim.kill()
        await until_ready(program, 4)
        deaths = program.told(DIED)
        assert {one["pid"] for one in deaths} == {one.pid for one in victims}
        assert {one["exit"] for one in deaths} == {"SIGKILL"}
        ids = {one.id for one in told}
        assert set(await until_logged(database_in(program), ids)) == ids
        told += await answered(program, 40)
        program.terminate()
        assert await program.ended() == 0
        ids = {one.id for one in told}
        assert set(await until_logged(database_in(program), ids)) == ids


async def test_one_that_keeps_dying_young_is_replaced_after_pauses_that_double(
    running: simulator.Running, tmp_path: Path
) -> None:
    with a_program(tmp_path, configuration(running, four()), "--workers", "2") as program:
        program.start()
        await until_ready(program, 2)
        unlucky = program.told(READY)[0]["worker"]
        for times in range(1, 4):
            pid = [one for one in program.told(READY) if one["worker"] == unlucky][-1]["pid"]
            psutil.Process(pid).kill()
            await until_ready(program, 2 + times)
        assert [(one["worker"], one["in_seconds"]) for one in program.told(DIED)] == [
            (unlucky, 0.0),
            (unlucky, 0.5),
            (unlucky, 1.0),
        ]
        assert len(program.workers()) == 2


async def test_without_their_supervisor_the_workers_finish_and_leave_the_port(tmp_path: Path) -> None:
    async with a_gate() as gate:
        with a_program(tmp_path, gate.configuration, "--workers", "2") as program:
            await asyncio.to_thread(program.start)
            await until_ready(program, 2)
            family = program.workers()
            async with callers() as session:
                asked = [asyncio.create_task(ask(session, program.url, f"{n}.", temperature=1)) for n in range(8)]
                await eventually(lambda: gate.waiting == 8)
                assert program.process is not None
                program.process.kill()
                program.process.wait()
                # Nobody new is served from here on, and whoever waits is.
                await eventually(lambda: program.get("/health") == 0)
                gate.open()
                told = await asyncio.gather(*asked)
            assert all(whole(one) for one in told)
            assert not (await asyncio.to_thread(psutil.wait_procs, family, timeout=PATIENCE))[1]
            await until_logged(database_in(program), {one.id for one in told})


async def test_a_second_ctrl_c_does_not_wait_for_what_is_running(running: simulator.Running, tmp_path: Path) -> None:
    with a_program(
        tmp_path, configuration(running, four()), "--workers", "2", STEELYARD_SHUTDOWN_GRACE="3600"
    ) as program:
        program.start()
        await until_ready(program, 2)
        family = program.workers()
        broken(running, "hang")
        async with callers() as session:
            hanging = [asyncio.create_task(ask(session, program.url, f"question {n}.")) for n in range(4)]
            await eventually(lambda: sum(one["counters"]["in_flight"] for one in running.state().values()) == 4)
            program.interrupt()
            await eventually(lambda: program.told("stopping"))
            assert all(one.is_running() for one in family)
            program.interrupt()
            assert await program.ended() == 1
            assert not any(one.good for one in await asyncio.gather(*hanging))
        assert not (await asyncio.to_thread(psutil.wait_procs, family, timeout=PATIENCE))[1]


# Metrics


async def scraped(program: Program, name: str, labels: str = "") -> float:
    """The sum of all samples of one metric, as some worker tells it."""
    async with callers() as session, session.get(f"{program.url}/metrics") as page:
        lines = (await page.text()).splitlines()
    found = [line for line in lines if line.split("{")[0].split(" ")[0] == name and labels in line]
    return sum(float(line.rpartition(" ")[2]) for line in found)


async def test_counters_survive_the_workers_that_counted_and_gauges_do_not(
    running: simulator.Running, tmp_path: Path
) -> None:
    config = {**configuration(running, four()), "request_log": {"flush_interval": 3600}}
    with a_program(tmp_path, config, "--workers", "2") as program:
        program.start()
        await until_ready(program, 2)
        seen: list[float] = []

        async def counted() -> float:
            seen.append(await scraped(program, "steelyard_requests_total"))
            return seen[-1]

        async def rows_in_memory(wanted: int) -> None:
            async with asyncio.timeout(PATIENCE):
                while await scraped(program, "steelyard_log_queue") != wanted:
                    await counted()

        await answered(program, 40)
        await rows_in_memory(40)
        for victim in program.workers():
            victim.kill()
        await until_ready(program, 4)
        await rows_in_memory(0)
        await answered(program, 10)
        program.hang_up()
        await eventually(lambda: program.told(RENEWED))
        await eventually(lambda: len(program.told(ENDED)) == 2)
        await rows_in_memory(0)
        await answered(program, 10)
        for _ in range(6):
            assert await counted() == 60
        assert seen == sorted(seen)
        count = await scraped(program, "steelyard_request_duration_seconds_count")
        assert count == 60


# Stop


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_who_is_connected_may_ask_once_more_during_a_stop_and_whoever_connects_is_refused(
    running: simulator.Running, tmp_path: Path, workers: str
) -> None:
    environ = {"STEELYARD_SHUTDOWN_LINGER": "60"}
    with a_program(tmp_path, configuration(running, four()), "--workers", workers, **environ) as program:
        await asyncio.to_thread(program.start)
        with closing(HTTPConnection("127.0.0.1", program.port, timeout=PATIENCE)) as idle:
            idle.request("GET", "/health/live")
            assert idle.getresponse().read()
            program.terminate()
            # Not left waiting for an answer: another gateway can be asked at once.
            await eventually(lambda: not connects(program.port))
            await asyncio.sleep(1.2)  # beyond what is left to idle connections when nobody says for how long
            idle.request("GET", "/health/live")
            answer = idle.getresponse()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await program.ended() == 0


def connects(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0
