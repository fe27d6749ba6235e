"""What an attempt writes: the memo of its nodes, and its own end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from store_faults import DAY
from workflow_world import done, execution, now_of, running, step, told

from gateway.store.engine import Database, PoolSettings
from gateway.store.errors import StoreUnavailable
from gateway.store.workflows import attempts, events, executions, steps, stopping
from gateway.store.workflows.attempts import Queued, Rerun
from gateway.store.workflows.locked import Fence, change, note
from gateway.store.workflows.memory import WorkflowStore
from gateway.workflows.kept import Failure, Spent, Superseded
from gateway.workflows.memo import Memory


async def put(database: Database, fence: Fence, *many: Any, event: str = "step.succeeded", **facts: Any) -> list[bool]:
    return [await steps.put(database, fence, one, event, now=DAY + 20, **facts) for one in many]


async def test_an_execution_is_followed_from_its_submission_to_its_end(database: Database) -> None:
    clock = iter(range(100))
    memory: Memory = WorkflowStore(database, lambda: DAY + 100 + next(clock), "host:1")
    await executions.submit(database, execution(nodes=1))
    begun = await memory.begin("wfexec_0001", 1)
    assert begun is not None
    assert (begun.status, begun.started_at, begun.inputs) == ("running", DAY + 100, {"topic": "tea"})
    assert await memory.put(1, step(), "step.started")
    one = done(
        branch="true", provider="openai", model="m", request_ids=["req_1"], spent=Spent(0.5, 10, 20, 1), data={"a": [1]}
    )
    assert await memory.put(1, one, "step.succeeded", spent=Spent(0.5, 10, 20, 1))
    assert await memory.steps("wfexec_0001") == [one]
    assert await memory.end("wfexec_0001", 1, "completed", outputs={"x": "y"}, error=None)
    found = await now_of(database)
    assert (found.status, found.outputs, found.progress) == ("completed", {"x": "y"}, 100.0)
    assert (found.spent, found.completed_at) == (Spent(0.5, 10, 20, 1), DAY + 103)
    assert [(event.type, event.node_id) for event in await told(database)] == [
        ("execution.submitted", None),
        ("execution.started", None),
        ("step.started", "draft"),
        ("step.succeeded", "draft"),
        ("execution.completed", None),
    ]
    assert (await told(database))[3].data == {
        "step_id": one.id, "kind": "prompt", "status": "succeeded", "attempt": 1, "tries": 1, "branch": "true",
        "provider": "openai", "model": "m", "cost_usd": 0.5,
    }  # fmt: skip
    assert [event.seq for event in await events.after(database, "wfexec_0001", 2, limit=2)] == [3, 4]


async def test_the_first_success_of_a_node_wins_and_the_second_changes_nothing(database: Database) -> None:
    fence = await running(database)
    results = await asyncio.gather(
        *(put(database, fence, done(output=n, id=f"stepexec_{n}"), spent=Spent(1.0)) for n in range(4))
    )
    assert sorted(results) == [[False], [False], [False], [True]]
    (kept,) = await steps.all_of(database, fence.execution_id)
    assert kept.output == results.index([True])
    assert (await now_of(database)).spent == Spent(1.0)
    assert len(await told(database)) == 3
    assert await put(database, fence, step(), event="step.started") == [False]
    assert await put(database, fence, step(status="failed"), event="step.failed") == [False]
    assert (await steps.all_of(database, fence.execution_id)) == [kept]


async def test_a_superseded_attempt_changes_nothing(database: Database) -> None:
    old = await running(database)
    assert await put(database, old, done("a"), step("b")) == [True, True]
    assert await attempts.next_attempt(database, old.execution_id, {"running"}, now=DAY + 30) == 2
    new = Fence(old.execution_id, 2)
    before = (await now_of(database), await steps.all_of(database, old.execution_id), await told(database))
    for _ in range(2):  # before the next attempt begins, and after
        with pytest.raises(Superseded):
            await put(database, old, done("b"), spent=Spent(1.0))
        with pytest.raises(Superseded):
            await steps.cancelled(database, old)
        assert not await attempts.end(database, old, "completed", outputs={}, now=DAY + 40)
        assert await attempts.begin(database, old, now=DAY + 40) is None
        assert before == (await now_of(database), await steps.all_of(database, old.execution_id), await told(database))
        if before[0].status == "pending":
            assert await attempts.begin(database, new, now=DAY + 40) is not None
            before = (await now_of(database), before[1], await told(database))
    assert await put(database, new, done("b")) == [True]


async def test_who_was_taken_over_under_the_same_number_is_superseded_too(database: Database) -> None:
    frozen = await running(database, owner="a:1")
    heir = Fence(frozen.execution_id, 1, "b:2")
    assert await attempts.begin(database, heir, now=DAY + 50) is not None
    with pytest.raises(Superseded):
        await put(database, frozen, done())
    assert not await attempts.end(database, frozen, "completed", now=DAY + 51)
    assert await put(database, heir, done()) == [True]
    assert await attempts.end(database, heir, "completed", now=DAY + 52)


async def test_what_a_frozen_process_holds_is_taken_away_from_it(postgres_url: str) -> None:
    impatient = PoolSettings(idle_transaction_timeout=0.2)
    frozen, heir = Database(postgres_url, impatient), Database(postgres_url, impatient)
    fence = await running(frozen, owner="frozen")

    async def write_and_freeze() -> None:
        async with frozen.write() as connection:
            held = await change(connection, *fence.open())
            assert held is not None
            # It says no more. Whoever takes over waits for its lock, and gets it.
            assert await attempts.begin(heir, Fence(fence.execution_id, 1, "heir"), now=DAY + 60) is not None
            await note(connection, held, "step.started", now=DAY)

    with pytest.raises(StoreUnavailable):
        await write_and_freeze()
    assert [event.type for event in await told(heir)][-1] == "execution.started"
    # A connection that has lost its transaction is replaced.
    with pytest.raises(Superseded):
        await steps.put(frozen, fence, done(), "step.succeeded", now=DAY + 61)
    await frozen.dispose()
    await heir.dispose()


async def test_an_attempt_that_has_ended_writes_no_more(database: Database) -> None:
    fence = await running(database)
    failure = Failure("provider", "gone", code="dead", status=503, node_id="draft")
    assert await attempts.end(database, fence, "failed", error=failure, now=DAY + 9)
    assert (await now_of(database)).error == failure
    assert not await attempts.end(database, fence, "completed", now=DAY + 10)
    with pytest.raises(Superseded):
        await put(database, fence, done())
    assert await attempts.begin(database, fence, now=DAY + 10) is None


async def test_events_and_sums_have_no_gaps_under_concurrency(database: Database) -> None:
    fence = await running(database, nodes=48)
    nodes = [f"n{number}" for number in range(12)]
    work = [put(database, fence, done(node), spent=Spent(0.1, 1, 2)) for node in nodes]
    work += [put(database, fence, done(nodes[0]), spent=Spent(0.1, 1, 2)) for _ in range(3)]  # whichever comes first
    await asyncio.gather(*work)
    found = await told(database)
    assert sorted(event.node_id for event in found if event.node_id) == sorted(nodes)
    state = await now_of(database)
    assert state.spent == Spent(1.2, 12, 24)
    assert (state.done, state.progress) == (12, 25.0)


async def test_progress_counts_each_node_once_whatever_becomes_of_it(database: Database) -> None:
    fence = await running(database, nodes=4)
    await put(database, fence, step("a"), done("m", item=0), done("m", item=1), step("b", status="waiting"))
    assert (await now_of(database)).progress == 0.0
    await put(database, fence, step("c", status="skipped"), step("a", status="failed"), step("a", status="failed"))
    assert (await now_of(database)).progress == 50.0
    await attempts.end(database, fence, "failed", now=DAY + 12)
    await attempts.next_attempt(database, fence.execution_id, {"failed"}, now=DAY + 13)
    fence = Fence(fence.execution_id, 2)
    await attempts.begin(database, fence, now=DAY + 14)
    assert (await now_of(database)).progress == 50.0
    await put(database, fence, step("a", tries=2), event="step.started")
    assert (await now_of(database)).progress == 25.0
    await put(database, fence, done("a"), done("m"))
    assert (await now_of(database)).progress == 75.0


async def test_items_of_a_node_are_steps_of_their_own(database: Database) -> None:
    fence = await running(database)
    await put(database, fence, step("m"), *(done("m", item=n, output=n) for n in range(3)))
    found = await steps.all_of(database, fence.execution_id)
    assert [(one.item, one.status, one.output) for one in found] == [
        (-1, "running", None), (0, "succeeded", 0), (1, "succeeded", 1), (2, "succeeded", 2),
    ]  # fmt: skip


async def test_of_two_that_want_the_next_attempt_one_gets_it(database: Database) -> None:
    fence = await running(database)
    await attempts.end(database, fence, "failed", now=DAY + 9)
    wanted = [attempts.next_attempt(database, fence.execution_id, {"failed"}, now=DAY + 10) for _ in range(5)]
    assert sorted(await asyncio.gather(*wanted), key=str) == [2, None, None, None, None]
    found = await now_of(database)
    assert (found.status, found.attempt, found.completed_at) == ("pending", 2, None)
    assert (await told(database))[-1].data == {"attempt": 2}


async def test_an_expected_attempt_is_compared(database: Database) -> None:
    fence = await running(database)
    again = Rerun(attempt=1)
    assert await attempts.next_attempt(database, fence.execution_id, {"running"}, now=DAY, rerun=again) == 2
    await attempts.begin(database, Fence(fence.execution_id, 2), now=DAY)
    assert await attempts.next_attempt(database, fence.execution_id, {"running"}, now=DAY, rerun=again) is None


async def test_the_next_attempt_keeps_the_memo_and_the_sums(database: Database) -> None:
    fence = await running(database, nodes=6)
    await put(database, fence, done("a"), done("b"), spent=Spent(1.0, 5))
    failure = Failure("x", "y")
    await put(database, fence, step("c"), *(step(key, status="failed", error=failure, data={"k": 1}) for key in "df"))
    await put(database, fence, step("e", status="waiting"))
    await attempts.end(database, fence, "failed", error=failure, now=DAY + 12)
    assert (await now_of(database)).done == 4
    again = Rerun(retry_nodes=["d", "a"], version=3, nodes=12, inputs={"topic": "coffee"}, deadline_at=DAY + 99)
    assert await attempts.next_attempt(database, fence.execution_id, {"failed"}, now=DAY + 13, rerun=again) == 2
    found = {one.node_id: one for one in await steps.all_of(database, fence.execution_id)}
    assert {key: one.status for key, one in found.items()} == {
        "a": "succeeded", "b": "succeeded", "c": "pending", "d": "pending", "e": "waiting", "f": "failed",
    }  # fmt: skip
    assert (found["d"].error, found["d"].data, found["f"].error) == (None, {"k": 1}, failure)
    state = await now_of(database)
    assert (state.version, state.inputs, state.deadline_at) == (3, {"topic": "coffee"}, DAY + 99)
    assert (state.spent, state.done, state.progress, state.error) == (Spent(2.0, 10), 3, 25.0, None)


async def test_a_map_that_is_retried_keeps_the_items_that_succeeded(database: Database) -> None:
    fence = await running(database)
    await put(database, fence, step("m", status="failed"), done("m", item=0), step("m", item=1, status="failed"))
    await attempts.end(database, fence, "failed", now=DAY + 12)
    rerun = Rerun(retry_nodes={"m"})
    await attempts.next_attempt(database, fence.execution_id, {"failed"}, now=DAY + 13, rerun=rerun)
    found = await steps.all_of(database, fence.execution_id)
    assert [one.status for one in found] == ["pending", "succeeded", "pending"]


async def test_a_node_that_is_reset_forgets_its_result_but_not_its_cost_and_its_tries(database: Database) -> None:
    fence = await running(database, nodes=2)
    asked = done("m", spent=Spent(0.25), request_ids=["req_1"], data={"k": 1}, provider="xai")
    await put(database, fence, done("a"), asked, done("m", item=0))
    await attempts.end(database, fence, "completed", outputs={"x": 1}, now=DAY + 12)
    rerun = Rerun(reset_nodes={"m"})
    await attempts.next_attempt(database, fence.execution_id, {"completed"}, now=DAY + 13, rerun=rerun)
    found = await steps.all_of(database, fence.execution_id)
    assert [(one.node_id, one.item, one.status, one.output) for one in found] == [
        ("a", -1, "succeeded", {"text": "a"}), ("m", -1, "pending", None), ("m", 0, "pending", None),
    ]  # fmt: skip
    one = found[1]
    assert (one.spent, one.tries, one.request_ids) == (Spent(0.25), 1, ["req_1"])
    assert (one.data, one.provider, one.started_at, one.completed_at) == ({}, None, None, None)
    state = await now_of(database)
    assert (state.progress, state.outputs, state.completed_at) == (50.0, None, None)


async def test_what_comes_while_an_attempt_runs_is_not_missed(database: Database) -> None:
    fence = await running(database)
    assert await attempts.wake(database, fence.execution_id, now=DAY + 20) is None
    assert await attempts.end(database, fence, "waiting", now=DAY + 21)
    assert ((await now_of(database)).status, (await now_of(database)).attempt) == ("pending", 2)
    second = Fence(fence.execution_id, 2)
    await attempts.begin(database, second, now=DAY + 22)
    assert await attempts.end(database, second, "waiting", now=DAY + 23)
    assert (await now_of(database)).status == "waiting"
    assert await attempts.wake(database, fence.execution_id, now=DAY + 24) == Queued(fence.execution_id, 3)
    assert await attempts.wake(database, fence.execution_id, now=DAY + 25) is None
    assert [event.type for event in await told(database)][-2:] == ["execution.waiting", "execution.queued"]


async def test_attempts_that_nobody_began_are_told_to_one_at_a_time(database: Database) -> None:
    for number in range(4):
        await executions.submit(database, execution(number))
    await attempts.begin(database, Fence("wfexec_0000", 1), now=DAY + 5)
    told_ = await asyncio.gather(*(attempts.stale(database, DAY + 2, now=DAY + 60) for _ in range(3)))
    assert sorted(one.execution_id for found in told_ for one in found) == ["wfexec_0001", "wfexec_0002"]
    assert await attempts.stale(database, DAY + 59, now=DAY + 90) == [Queued("wfexec_0003", 1)]
    assert len(await attempts.stale(database, DAY + 60, now=DAY + 90, limit=1)) == 1


async def test_a_request_to_stop_a_step_survives_what_the_step_writes(database: Database) -> None:
    fence = await running(database)
    await put(database, fence, step(), step("b"), event="step.started")
    assert await steps.cancelled(database, fence) == (False, frozenset())
    assert await stopping.request_step_cancel(database, step().id, now=DAY + 20) is not None
    await put(database, fence, step(tries=2), event="step.progress")
    assert await steps.cancelled(database, fence) == (False, frozenset({step().id}))


async def test_steps_are_listed_newest_first(database: Database) -> None:
    for number, slug in enumerate(("review", "review", "digest")):
        fence = await running(database, number, slug=slug)
        await put(database, fence, done(number=number), step("z", number=number))
    every = await steps.listed(database, steps.Filters())
    assert [one.id for one in every] == sorted((one.id for one in every), reverse=True)
    assert len(every) == 6
    assert await steps.listed(database, steps.Filters(), after=every[1].id, limit=2) == every[2:4]
    assert {one.node_id for one in await steps.listed(database, steps.Filters(status="running"))} == {"z"}
    assert {one.execution_id for one in await steps.listed(database, steps.Filters(slug="digest"))} == {"wfexec_0002"}
    assert len(await steps.listed(database, steps.Filters(execution_id="wfexec_0001"))) == 2
    assert await steps.get(database, every[0].id) == every[0]
    assert await steps.get(database, "a\0") is None


async def test_text_no_engine_takes_does_no_harm(database: Database) -> None:
    words = "a\0b\ud800"
    fence = await running(database, slug=words, key_name=words, idempotency_key=words, inputs={words: words})
    await put(database, fence, done(output=words, provider=words, error=Failure(words, words)))
    assert (await steps.all_of(database, fence.execution_id))[0].status == "succeeded"
    assert await executions.get(database, words) is None
    assert await events.after(database, words) == []


async def test_a_database_that_is_away_says_so(tmp_path: Any) -> None:
    empty = Database(f"sqlite+aiosqlite:///{tmp_path}/none.db")
    memory = WorkflowStore(empty, lambda: DAY)
    for work in (
        memory.begin("x", 1),
        memory.steps("x"),
        memory.put(1, done(), "step.succeeded"),
        memory.end("x", 1, "failed", outputs=None, error=None),
        memory.cancelled("x", 1),
    ):
        with pytest.raises(StoreUnavailable):
            await work
    await empty.dispose()


async def test_an_answer_is_set_aside_for_the_try_it_answers_and_no_longer_than_that(database: Database) -> None:
    fence = await running(database)
    memory = WorkflowStore(database, lambda: DAY + 100)
    asking = step(tries=2)
    await memory.set_aside(asking, {"name": "a"})  # no such step is kept yet
    assert await memory.aside(asking) is None
    await put(database, fence, asking, event="step.started")
    await memory.set_aside(step(tries=1), {"name": "of an earlier try"})
    await memory.set_aside(step(item=3, tries=2), {"name": "of an item"})
    assert await memory.aside(asking) is None
    await memory.set_aside(asking, {"name": "a"})
    assert await memory.aside(asking) == {"name": "a"}
    # Begun again after a crash it is still there; and in nobody's way.
    await put(database, fence, asking, event="step.started")
    assert await memory.aside(asking) == {"name": "a"}
    assert await memory.steps("wfexec_0001") == [asking]
    assert await put(database, fence, done(tries=2)) == [True]
    assert await memory.aside(asking) is None
    await memory.set_aside(asking, {"name": "too late"})
    assert await memory.aside(asking) is None


async def test_what_is_run_anew_is_not_answered_by_what_was_set_aside(database: Database) -> None:
    fence = await running(database)
    await put(database, fence, step(tries=1), event="step.started")
    await steps.set_aside(database, step(tries=1), {"name": "a"})
    await attempts.end(database, fence, "failed", now=DAY + 30)
    assert await attempts.next_attempt(database, "wfexec_0001", ("failed",), now=DAY + 40) == 2
    assert await steps.aside(database, step()) == {"name": "a"}
    again = Rerun(reset_nodes=["draft"])
    assert await attempts.next_attempt(database, "wfexec_0001", ("pending",), now=DAY + 40, rerun=again) == 3
    assert await steps.aside(database, step()) is None
