"""`steelyard serve` as a process: first run without keys, kind stops under load, workers, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import psutil
import pytest

from providers import simulator
from tests.acceptance.bad_days import PATIENCE, Told, a_crowd, ask, callers, eventually, four
from tests.acceptance.bad_processes import ROOT, Program, a_program, broken, configuration, free_port, until_logged


@pytest.fixture
def running() -> Generator[simulator.Running]:
    with simulator.start(four()) as started:
        yield started


def at_work(running: simulator.Running) -> int:
    return sum(one["counters"]["in_flight"] for one in running.state().values())


def database_in(program: Program) -> str:
    """Where it keeps its log when nobody says otherwise."""
    return f"sqlite+aiosqlite:///{program.folder}/data/steelyard.db"


async def test_without_any_key_it_answers_simulated_and_says_so_loudly(tmp_path: Path) -> None:
    with a_program(tmp_path) as program:
        program.start(really=True)
        async with (
            callers() as session,
            session.post(
                f"{program.url}/api/llm/orchestrate", json={"prompt": "Hello", "max_tokens": 8, "objective": "fastest"}
            ) as answer,
        ):
            told = await answer.json()
            assert answer.status == 200
            assert answer.headers["x-steelyard-simulated"] == "true"
        assert told["results"][0]["simulated"] is True
        assert told["results"][0]["response"].startswith("[simulated]")
        assert told["metadata"]["database_logged"] is True
        assert "SIMULATOR" in program.said.read_text()
        program.terminate()
        assert await program.ended() == 0
        await until_logged(database_in(program), {told["request_id"]})


@pytest.mark.parametrize(
    ("stop", "workers"),
    [(Program.terminate, 1), (Program.interrupt, 2)],
    ids=["SIGTERM", "Ctrl-C with workers"],
)
async def test_a_kind_stop_finishes_what_is_running_logs_it_and_exits_with_0(
    stop: Callable[[Program], None], workers: int, running: simulator.Running, tmp_path: Path
) -> None:
    with a_program(tmp_path, configuration(running, four()), "--workers", str(workers)) as program:
        program.start(really=True)
        broken(running, "slow", seconds=1.0)
        async with callers() as session:
            asked = [
                asyncio.create_task(
                    ask(
                        session,
                        program.url,
                        f"question {n}.",
                        dialect="anthropic" if n % 4 >= 2 else "openai",
                        stream=n % 2 == 0,
                    )
                )
                for n in range(24)
            ]
            await eventually(lambda: at_work(running) == 24)
            family = program.workers()
            stop(program)
            told = await asyncio.gather(*asked)
        assert not [(one.status, one.body) for one in told if not one.good]
        assert await program.ended() == 0
        assert not psutil.wait_procs(family, timeout=PATIENCE)[1], "children outlive it"
        found = await until_logged(database_in(program), {one.id for one in told})
        assert len(found) == 24
        assert program.get("/health") == 0
        assert "Traceback" not in program.said.read_text()


async def test_a_stop_with_callers_still_coming_breaks_no_answer_that_had_begun(
    running: simulator.Running, tmp_path: Path
) -> None:
    with a_program(tmp_path, configuration(running, four())) as program:
        program.start()
        broken(running, "slow", seconds=0.1)
        async with a_crowd(program.url, pace=100, at_most=600) as crowd:
            await crowd.more(60)
            program.terminate()
            code = await program.ended()
        assert code == 0
        # Whoever came too late found nobody, and was not told half an answer.
        assert not [one for one in crowd.answers if not one.good and one.status != 0]
        assert len([one for one in crowd.answers if one.good]) >= 60
        # An answer whose body was under way when the process ended would be a broken connection with a record.
        good = {one.id for one in crowd.answers if one.good}
        assert set(await until_logged(database_in(program), good)) == good


async def test_a_request_that_never_ends_does_not_keep_it_from_stopping(
    running: simulator.Running, tmp_path: Path
) -> None:
    config = configuration(running, four())
    with a_program(tmp_path, config, STEELYARD_SHUTDOWN_GRACE="1") as program:
        program.start()
        async with callers() as session:
            before = await ask(session, program.url, "question.")
            broken(running, "hang")
            hanging = [asyncio.create_task(ask(session, program.url, "Hi", stream=stream)) for stream in (False, True)]
            await eventually(lambda: at_work(running) == 2)
            program.terminate()
            assert await program.ended() == 0
            told = await asyncio.gather(*hanging)
        assert not any(one.good for one in told)
        await eventually(lambda: at_work(running) == 0)
        found = await until_logged(database_in(program), {before.id})
        assert len(found) == 3, "what was cut off at the end of the grace is not in the log"


async def test_two_workers_answer_and_any_of_them_tells_the_metrics_of_both(
    running: simulator.Running, tmp_path: Path
) -> None:
    with a_program(tmp_path, configuration(running, four()), "--workers", "2") as program:
        program.start()
        told = await sixty(program)
        for _ in range(6):
            assert total(await scraped(program), "steelyard_requests_total") == 60
        await the_gauges_add_up(program, 60)
        told += await sixty(program)
        await the_gauges_add_up(program, 120)
        program.terminate()
        assert await program.ended() == 0
        assert len(await until_logged(database_in(program), {one.id for one in told})) == 120


async def the_gauges_add_up(program: Program, rows: int) -> None:
    """Poll until eight scrapes in a row, of which both workers answer some, tell all rows of the log."""
    in_a_row = 0
    for _ in range(1000):
        right = total(await scraped(program), "steelyard_log_rows", 'state="written"') == rows
        in_a_row = in_a_row + 1 if right else 0
        if in_a_row == 8:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"the workers' gauges never add up to {rows}")


async def sixty(program: Program) -> list[Told]:
    """Answers over many connections at once, so that both workers get some."""
    told: list[Told] = []
    for _ in range(3):
        async with callers() as session:
            told += await asyncio.gather(*(ask(session, program.url, f"question {n}.") for n in range(20)))
    assert all(one.good for one in told)
    return told


async def scraped(program: Program) -> str:
    async with callers() as session, session.get(f"{program.url}/metrics") as page:
        return await page.text()


async def test_a_worker_that_is_killed_is_replaced(running: simulator.Running, tmp_path: Path) -> None:
    with a_program(tmp_path, configuration(running, four()), "--workers", "2") as program:
        program.start()
        await eventually(lambda: len(program.workers()) == 2)
        victim = program.workers()[0]
        victim.kill()
        await eventually(lambda: len(program.workers()) == 2 and victim not in program.workers())
        told: list[Told] = []
        for _ in range(200):
            async with callers() as session:
                told.append(await ask(session, program.url, "question."))
            if told[-1].good and len(told) >= 10:
                break
        good = {one.id for one in told if one.good}
        assert good
        family = program.workers()
        program.terminate()
        assert await program.ended() == 0
        assert not psutil.wait_procs(family, timeout=PATIENCE)[1], "children outlive it"
        assert set(await until_logged(database_in(program), good)) == good


def total(text: str, name: str, labels: str = "") -> float:
    """The sum of all samples of one metric, of those with these labels."""
    lines = [line for line in text.splitlines() if line.startswith(f"{name}{{") and labels in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


# What it refuses


def refused(*arguments: str, cwd: Path, **environ: str) -> str:
    """What it says when it does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "serve", *arguments],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environ},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode not in (0, -signal.SIGKILL)
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_is_told_with_its_number(workers: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused("--port", port, "--workers", workers, cwd=tmp_path)
    assert port in said
    assert "in use" in said


def test_it_does_not_open_itself_to_the_world_without_a_key(tmp_path: Path) -> None:
    said = refused("--host", "0.0.0.0", "--port", str(free_port()), cwd=tmp_path)
    assert "STEELYARD_API_KEYS" in said or "STEELYARD_ADMIN_KEY" in said
    assert "STEELYARD_ALLOW_ANONYMOUS" in said


def test_a_wrong_setting_is_told_with_the_nearest_right_one(tmp_path: Path) -> None:
    (tmp_path / "steelyard.yaml").write_text(json.dumps({"server": {"prot": 8000}}))
    assert "port" in refused(cwd=tmp_path)
