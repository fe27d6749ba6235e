"""`steelyard worker` beside `steelyard serve --no-worker`: killed, asked to leave, there before or after the work."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from gateway.store.engine import parse_url
from providers import simulator
from tests.acceptance.bad_days import PATIENCE, callers, eventually, four, look
from tests.acceptance.bad_processes import Program, broken, configuration
from tests.acceptance.workflow_fleet import Worker
from tests.postgres import a_server

_numbers = itertools.count()
NODES = 5
CHAIN: dict[str, Any] = {
    "slug": "chain",
    "name": "Chain",
    "nodes": {f"n{number}": {"type": "prompt", "prompt": f"step {number}", "max_tokens": 8} for number in range(NODES)},
    "edges": [{"source": f"n{number}", "target": f"n{number + 1}"} for number in range(NODES - 1)],
}


@pytest.fixture(scope="module")
def server() -> Generator[str]:
    """A PostgreSQL of the wheel: the address of a database that may create others."""
    with a_server() as postgres:
        yield postgres.get_uri(driver="asyncpg")


@pytest.fixture
async def postgres(server: str) -> str:
    """The address of a new database, without a schema."""
    where = parse_url(server)
    name = f"workers_{next(_numbers)}"
    connection = await asyncpg.connect(
        host=where.query["host"],
        user=where.username,
        database=where.database,  # pyright: ignore[reportArgumentType]
    )
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    return where.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/steelyard.db"
    return request.getfixturevalue("postgres")


class Stage:
    """Processes over one database, with the same providers behind them."""

    def __init__(
        self, folder: Path, running: simulator.Running, stack: ExitStack, session: aiohttp.ClientSession
    ) -> None:
        self._folder, self.running, self._stack, self.session = folder, running, stack, session
        self._serving: Program | None = None

    async def serving(self, database: str) -> Program:
        """A gateway that runs no executions, ready."""
        found = self._serving = self._program(Program, database, "--no-worker")
        await asyncio.to_thread(found.start)
        await asyncio.to_thread(found.until_migrated)
        return found

    async def worker(self, database: str, lease: float, *, really: bool = False) -> Worker:
        """A worker, ready."""
        found = self._program(Worker, database, WORKER_LEASE_SECONDS=str(lease))
        found.begin(really=really)
        await eventually(lambda: found.is_ready)
        return found

    async def ask(self, path: str, body: Any = None) -> Any:
        """What the serving one answers."""
        assert self._serving is not None
        if body is None:
            return await look(self.session, f"{self._serving.url}{path}")
        async with self.session.post(f"{self._serving.url}{path}", json=body) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json()

    async def begin(self) -> str:
        """An execution of the chain, just begun."""
        return (await self.ask("/api/workflows/chain/execute", {"inputs": {}}))["execution_id"]

    async def until(self, execution: str, done: int) -> dict[str, Any]:
        """The execution, when so many of its nodes have ended."""
        give_up = time.monotonic() + PATIENCE
        while (found := await self.ask(f"/api/executions/{execution}"))["completed_nodes"] < done:
            assert time.monotonic() < give_up, f"{found}\n{self._said()}"
            await asyncio.sleep(0.02)
        return found

    async def completed(self, execution: str) -> dict[str, Any]:
        """The execution, completed."""
        await self.until(execution, NODES)
        give_up = time.monotonic() + PATIENCE
        while (found := await self.ask(f"/api/executions/{execution}"))["status"] != "completed":
            assert time.monotonic() < give_up, f"{found}\n{self._said()}"
            await asyncio.sleep(0.02)
        return found

    async def succeeded(self, execution: str) -> list[str]:
        """The nodes that succeeded, as often and in the order as that was noted."""
        events = (await self.ask(f"/api/executions/{execution}/events?limit=500"))["events"]
        return [one["node_id"] for one in events if one["type"] == "step.succeeded"]

    def asked(self) -> int:
        """How many requests all providers have seen."""
        return sum(one["counters"]["requests"] for one in self.running.state().values())

    def _program(self, kind: type[Any], database: str, *arguments: str, **environ: str) -> Any:
        folder = self._folder / f"process{next(_numbers)}"
        config = configuration(self.running, four())
        program = kind(folder, config, *arguments, DATABASE_URL=database, **environ)
        self._stack.callback(program.kill)
        return program

    def _said(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self._folder.glob("*/said.log")))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncGenerator[Stage]:
    with simulator.start(four()) as running, ExitStack() as stack:
        async with callers() as session:
            yield Stage(tmp_path, running, stack, session)


async def test_a_worker_that_is_killed_is_replaced_by_the_next_and_no_node_is_paid_twice(
    stage: Stage, database: str
) -> None:
    await stage.serving(database)
    await stage.ask("/api/workflows", CHAIN)
    broken(stage.running, "slow", seconds=0.7)
    first = await stage.worker(database, lease=3)
    execution = await stage.begin()
    await stage.until(execution, 2)
    await eventually(lambda: stage.asked() == 3)
    first.kill()
    await stage.worker(database, lease=3)
    found = await stage.completed(execution)
    assert (found["attempt"], found["cost_usd"] > 0) == (1, True)
    assert await stage.succeeded(execution) == [f"n{number}" for number in range(NODES)]
    # What was in flight at the kill, and nothing else, was asked again.
    assert stage.asked() == NODES + 1
    steps = (await stage.ask(f"/api/executions/{execution}/steps"))["steps"]
    assert [len(one["request_ids"]) for one in steps] == [1] * NODES


async def test_a_worker_that_is_asked_to_leave_hands_over_at_once(stage: Stage, database: str) -> None:
    await stage.serving(database)
    await stage.ask("/api/workflows", CHAIN)
    broken(stage.running, "slow", seconds=0.7)
    # By silence nothing is taken over within this test.
    first = await stage.worker(database, lease=600)
    execution = await stage.begin()
    await stage.until(execution, 2)
    await eventually(lambda: stage.asked() == 3)
    first.terminate()
    assert await first.ended() == 0
    assert "Traceback" not in first.said.read_text()
    await stage.worker(database, lease=600)
    await stage.completed(execution)
    assert await stage.succeeded(execution) == [f"n{number}" for number in range(NODES)]
    assert stage.asked() == NODES + 1


async def test_a_worker_runs_what_is_made_after_its_start(stage: Stage, database: str) -> None:
    await stage.worker(database, lease=30, really=True)
    await stage.serving(database)
    await stage.ask("/api/workflows", CHAIN)
    await stage.completed(await stage.begin())


async def test_a_second_signal_ends_it_on_the_spot(stage: Stage, postgres: str) -> None:
    worker = await stage.worker(postgres, lease=30)
    process = worker.process
    assert process is not None
    for _ in range(2):
        process.terminate()
        await eventually(lambda: worker.told("handing over what runs"))
    assert await worker.ended() in {0, -15}  # it may have been quicker than the second
    assert json.loads(worker.said.read_text().splitlines()[-1])["message"] == "handing over what runs"
