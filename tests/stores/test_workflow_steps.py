"""A step that is started and ended in one write, how nodes are counted, and what need not wait for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from store_faults import DAY
from workflow_world import done, now_of, running, step, told

from gateway.store.engine import Database
from gateway.store.workflows import attempts, steps
from gateway.store.workflows.attempts import Rerun
from gateway.store.workflows.locked import Fence
from gateway.store.workflows.steps import _hold
from gateway.workflows.kept import Failure, Spent, Superseded


async def test_that_a_step_was_started_is_told_before_what_came_of_it(database: Database) -> None:
    fence = await running(database, nodes=1)
    one = done(kind="switch", branch="b", output={"branch": "b"})
    assert await steps.put(database, fence, one, "step.succeeded", now=DAY + 20, begun=True)
    started, ended = (await told(database))[2:]
    assert (started.type, started.node_id, started.at) == ("step.started", "draft", DAY + 10)
    assert (ended.type, ended.node_id, ended.at) == ("step.succeeded", "draft", DAY + 20)
    facts = {"step_id": one.id, "kind": "switch", "attempt": 1, "tries": 1}
    assert started.data == facts | {"status": "running"}
    assert ended.data == facts | {"status": "succeeded", "branch": "b"}
    assert await steps.all_of(database, fence.execution_id) == [one]
    assert (await now_of(database)).progress == 100.0


async def test_what_had_succeeded_is_told_no_second_time(database: Database) -> None:
    fence = await running(database, nodes=2)
    results = await asyncio.gather(
        *(
            steps.put(database, fence, done(id=f"stepexec_{n}"), "step.succeeded", now=DAY + 20, begun=True)
            for n in range(4)
        )
    )
    assert sorted(results) == [False, False, False, True]
    assert [one.type for one in (await told(database))[2:]] == ["step.started", "step.succeeded"]
    assert (await now_of(database)).done == 1


async def test_a_node_is_counted_once_however_often_its_end_is_kept(database: Database) -> None:
    fence = await running(database, nodes=4)
    failed = step("a", status="failed", error=Failure("x", "y"))
    for _ in range(2):  # as when the connection broke on the last word of the first
        await steps.put(database, fence, failed, "step.failed", now=DAY + 20)
    assert (await now_of(database)).done == 1
    await steps.put(database, fence, done("a"), "step.succeeded", now=DAY + 21)  # a default stands in
    assert (await now_of(database)).done == 1
    await steps.put(database, fence, done("b", item=0), "step.succeeded", now=DAY + 21)
    await steps.put(database, fence, step("b"), "step.started", now=DAY + 21)
    assert (await now_of(database)).done == 1
    await asyncio.gather(
        *(steps.put(database, fence, done(key), "step.succeeded", now=DAY + 22, begun=True) for key in "bcd")
    )
    assert (await now_of(database)).done == 4


async def test_in_a_later_attempt_a_node_that_begins_anew_counts_no_more(database: Database) -> None:
    fence = await running(database, nodes=2)
    await steps.put(database, fence, step("a", status="failed", error=Failure("x", "y")), "step.failed", now=DAY + 20)
    await attempts.end(database, fence, "failed", now=DAY + 21)
    await attempts.next_attempt(database, fence.execution_id, {"failed"}, now=DAY + 22, rerun=Rerun())
    second = Fence(fence.execution_id, 2)
    await attempts.begin(database, second, now=DAY + 23)
    assert (await now_of(database)).done == 1
    await steps.put(database, second, step("a"), "step.started", now=DAY + 24)
    assert (await now_of(database)).done == 0
    await steps.put(database, second, done("a"), "step.succeeded", now=DAY + 25)
    assert (await now_of(database)).done == 1


async def test_a_superseded_attempt_ends_no_step_in_one_write_either(database: Database) -> None:
    old = await running(database, owner="a:1")
    await attempts.begin(database, Fence(old.execution_id, 1, "b:2"), now=DAY + 50)
    before = await told(database)
    with pytest.raises(Superseded):
        await steps.put(database, old, done(), "step.succeeded", now=DAY + 51, begun=True)
    assert await told(database) == before
    assert await steps.all_of(database, old.execution_id) == []


@pytest.mark.parametrize("costless", [True, False])
async def test_only_what_costs_nothing_need_not_be_on_the_disk(postgres_url: str, costless: bool) -> None:
    database = Database(postgres_url)
    fence = await running(database)
    sums = dict.fromkeys(("more_usd", "more_input", "more_output", "more_cached", "more_saved"), 0)
    show = text("SHOW synchronous_commit")
    async with database.write() as connection:
        hold = _hold("postgresql", counts=False, costless=costless)
        await connection.execute(hold, {**sums, "more_events": 0, **fence.parameters()})
        assert (await connection.execute(show)).scalar_one() == ("off" if costless else "on")
    # Nor does whoever has the connection next inherit it.
    async with database.write() as connection:
        assert (await connection.execute(show)).scalar_one() == "on"
    await database.dispose()


async def test_an_answer_set_aside_is_on_the_disk_with_its_success(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database, found = Database(postgres_url), list[str]()
    write = database.write

    @asynccontextmanager
    async def looked_at() -> AsyncGenerator[AsyncConnection]:
        async with write() as connection:
            yield connection
            found.append((await connection.execute(text("SHOW synchronous_commit"))).scalar_one())

    fence = await running(database)
    asking = step("a", status="running", tries=1)
    monkeypatch.setattr(database, "write", looked_at)
    await steps.put(database, fence, asking, "step.started", now=DAY + 20)
    await steps.set_aside(database, asking, {"said": "yes"})
    assert await steps.aside(database, asking) == {"said": "yes"}
    await steps.put(database, fence, replace(asking, status="succeeded"), "step.succeeded", now=DAY + 21)
    assert found == ["off", "off", "on"]
    await database.dispose()


@pytest.mark.parametrize(
    ("event", "begun", "expected"),
    [
        ("step.started", False, True),
        ("step.succeeded", True, True),
        ("step.succeeded", False, False),
        ("step.retrying", False, False),
        ("step.failed", False, False),
    ],
)
async def test_what_was_paid_for_is_on_the_disk(
    database: Database, monkeypatch: pytest.MonkeyPatch, event: str, begun: bool, expected: bool
) -> None:
    asked: list[bool] = []

    def hold(dialect: str, *, counts: bool, costless: bool) -> object:
        asked.append(costless)
        return _hold(dialect, counts=counts, costless=costless)

    monkeypatch.setattr(steps, "_hold", hold)
    fence = await running(database)
    await steps.put(database, fence, done(), event, now=DAY + 20, spent=Spent(), begun=begun)
    assert asked == [expected]
