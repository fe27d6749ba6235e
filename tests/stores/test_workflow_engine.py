"""What we rest on in the durable engine: its private takeover, its reserved numbers, and that names are unique."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from dbos import DBOS
from workflow_process import KEYS, QUICK, SLOW

from gateway.store.beside import engine_url
from gateway.workflows.attempt import Around
from gateway.workflows.engine import Client, Engine

Eventually = Callable[[Callable[[], Any]], Awaitable[None]]
PROCESS = Path(__file__).with_name("workflow_process.py")


class Ran:
    """A runner that remembers: the nodes it is to run side by side, in the order in which it begins them."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys
        self.attempts: list[tuple[str, int]] = []
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.raised: list[BaseException] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def __call__(self, execution_id: str, attempt: int, around: Around) -> None:
        self.attempts.append((execution_id, attempt))
        try:
            await asyncio.gather(*(self._one(key, around) for key in self.keys))
        except BaseException as exc:
            self.raised.append(exc)
            raise

    async def _one(self, key: str, around: Around) -> None:
        async def body() -> None:
            self.begun.append(key)
            await self.hold.wait()

        await around(key, body)
        self.ended.append(key)


async def under_way(name: str, *more: str) -> dict[str, str | None]:
    """The attempts of this test that run (and `more`), by the executor they belong to."""
    found = await DBOS.list_workflows_async(workflow_id_prefix=name, status=["PENDING", *more])
    return {one.workflow_id: one.executor_id for one in found}


Start = Callable[[str, Ran], Awaitable[Engine]]


@pytest.fixture
def name() -> str:
    """Of this test's own: the engine's tables are not emptied between tests."""
    return f"wfexec_{uuid4().hex}"


@pytest.fixture
def where(url: str) -> str:
    return engine_url(url)


@pytest.fixture
async def start(where: str) -> AsyncGenerator[Start]:
    """Starts engines, one at a time; the last is stopped."""
    started: list[Engine] = []

    async def launch(executor: str, runner: Ran) -> Engine:
        for one in started:
            await one.stop()
        started.clear()
        engine = Engine(where, executor_id=executor, concurrency=4, runner=runner)
        await engine.launch()
        started.append(engine)
        return engine

    yield launch
    for one in started:
        await one.stop()


async def test_what_is_submitted_twice_runs_once(name: str, start: Start, eventually: Eventually) -> None:
    ran = Ran("a", "b")
    engine = await start("one", ran)
    for attempt in (1, 1, 2, 1, 2):
        await engine.submit(f"{name}_1", attempt, ["a", "b"])
    await engine.submit(f"{name}_2", 1, ["a", "b"])
    await eventually(lambda: len(ran.ended) == 6)
    await engine.submit(f"{name}_1", 1, ["a", "b"])
    await engine.submit(f"{name}_3", 1, ["a", "b"])
    await eventually(lambda: len(ran.ended) == 8)
    assert sorted(ran.attempts) == [(f"{name}_1", 1), (f"{name}_1", 2), (f"{name}_2", 1), (f"{name}_3", 1)]


async def test_its_notes_do_not_wait_for_the_disk_of_postgresql(postgres_url: str) -> None:
    engine = Engine(engine_url(postgres_url), executor_id="one", concurrency=4, runner=Ran())
    await engine.launch()
    connections = engine._engine._sys_db.engine  # pyright: ignore[reportPrivateUsage]

    def looked() -> str:
        with connections.connect() as connection:
            return str(connection.exec_driver_sql("SHOW synchronous_commit").scalar_one())

    try:
        assert [await asyncio.to_thread(looked) for _ in range(3)] == ["off"] * 3
    finally:
        await engine.stop()


async def test_a_process_that_runs_none_can_submit(name: str, start: Start, where: str, eventually: Eventually) -> None:
    ran = Ran("a")
    engine = await start("one", ran)
    client = Client(where)
    await client.submit(f"{name}_1", 1, ["a"])
    await engine.submit(f"{name}_1", 1, ["a"])
    await eventually(lambda: ran.ended == ["a"])
    await client.stop()
    assert ran.attempts == [(f"{name}_1", 1)]


async def test_after_a_kill_each_node_finds_what_was_its_own(
    name: str, start: Start, where: str, tmp_path: Path, eventually: Eventually
) -> None:
    dead, told = f"dead:{name}", tmp_path / "told"
    told.touch()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(PROCESS),
        where,
        f"{name}_1",
        dead,
        str(told),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        done = f"{dead} has taken down {QUICK}"
        await eventually(lambda: done in told.read_text() and all(f"begins {key}" in told.read_text() for key in SLOW))
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    # In another order than before: without numbers reserved, the engine would give one node's result to another.
    ran = Ran("third", "second", "first")
    engine = await start("live:2", ran)
    assert await under_way(name) == {f"{name}_1:1": dead}
    await engine.adopt([dead])
    await eventually(lambda: sorted(ran.ended) == sorted(KEYS))
    assert sorted(ran.begun) == sorted(SLOW)
    assert ran.attempts == [(f"{name}_1", 1)]


async def test_what_a_process_was_running_is_left_alone_until_it_is_adopted(
    name: str, start: Start, eventually: Eventually
) -> None:
    first = Ran("a")
    first.hold.clear()
    engine = await start(f"one:{name}", first)
    await engine.submit(f"{name}_1", 1, ["a"])
    await eventually(lambda: first.begun == ["a"])
    assert await under_way(name, "ENQUEUED") == {f"{name}_1:1": f"one:{name}"}
    second = Ran("a")
    engine = await start("two", second)  # the first is stopped: that hands over
    assert first.ended == []
    await engine.submit(f"{name}_2", 1, ["a"])
    await eventually(lambda: second.attempts == [(f"{name}_2", 1)])
    await engine.adopt([f"one:{name}"])
    await eventually(lambda: second.ended == ["a", "a"])
    assert second.attempts == [(f"{name}_2", 1), (f"{name}_1", 1)]
    assert f"one:{name}" not in (await under_way(name)).values()
    assert [type(one) for one in first.raised] == [asyncio.CancelledError]


async def test_what_has_ended_is_dropped_and_what_runs_is_not(
    name: str, start: Start, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.workflows.engine._DROPPED", 2)
    ran = Ran("a")
    engine = await start("one", ran)
    for number in range(5):
        await engine.submit(f"{name}_{number}", 1, ["a"])
    await eventually(lambda: ran.ended == ["a"] * 5)
    ran.hold.clear()
    await engine.submit(f"{name}_9", 1, ["a"])
    await eventually(lambda: ran.begun == ["a"] * 6)

    async def kept() -> list[str]:
        found = await DBOS.list_workflows_async(workflow_id_prefix=name)
        return sorted(one.workflow_id.removeprefix(name) for one in found)

    await engine.forget(time.time() - 3_600.0)
    assert len(await kept()) == 6
    await engine.forget(time.time() + 3_600.0)
    assert await kept() == ["_9:1"]
    ran.hold.set()
    await eventually(lambda: ran.ended == ["a"] * 6)


async def test_what_is_handed_over_is_run_by_the_next_without_being_adopted(
    name: str, start: Start, eventually: Eventually
) -> None:
    first = Ran("a", "b")
    first.hold.clear()
    engine = await start(f"one:{name}", first)
    begun = [(f"{name}_{number}", 1) for number in range(4)]
    for execution, attempt in [*begun, (f"{name}_4", 1)]:  # the last of them has no place yet
        await engine.submit(execution, attempt, ["a", "b"])
    await eventually(lambda: len(first.begun) == 8)
    await engine.hand_over()
    assert sorted(await under_way(name, "ENQUEUED")) == [f"{name}_{number}:1" for number in range(5)]
    assert await under_way(name) == {}
    second = Ran("a", "b")
    await start(f"two:{name}", second)
    await eventually(lambda: len(second.ended) == 10)
    assert len(first.begun) == 8
    assert first.ended == []
    assert sorted(second.attempts) == [*begun, (f"{name}_4", 1)]


async def test_an_engine_whose_database_is_away_says_so_and_can_be_launched_later(
    name: str, where: str, eventually: Eventually, tmp_path: Path
) -> None:
    ran = Ran("a")
    away = "postgresql://nobody@127.0.0.1:1/none" if where.startswith("postgresql") else f"sqlite:///{tmp_path}"
    engine = Engine(away, executor_id="one", concurrency=4, runner=ran)
    with pytest.raises(Exception, match=r"."):
        await engine.launch()
    engine = Engine(where, executor_id="one", concurrency=4, runner=ran)
    await engine.launch()
    await engine.submit(f"{name}_1", 1, ["a"])
    await eventually(lambda: ran.ended == ["a"])
    await engine.stop()
