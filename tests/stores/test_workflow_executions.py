"""Executions from outside: asked for, listed, stopped, decided on and forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import insert, text
from store_faults import DAY
from workflow_world import done, execution, now_of, running, step, told

from gateway.store.engine import Database
from gateway.store.workflows import artifacts, attempts, deciding, executions, forgetting, steps, stopping
from gateway.store.workflows.attempts import Queued
from gateway.store.workflows.deciding import Verdict
from gateway.store.workflows.executions import Filters
from gateway.store.workflows.locked import Fence
from gateway.store.workflows.stopping import Stopping
from gateway.workflows.kept import Artifact, Failure, Superseded

YES = Verdict(status="succeeded", output={"decision": "approved"}, branch="approved", data={"decided_by": "ann"})
NO = Verdict(status="failed", error=Failure("approval", "too late", code="approval_expired"))


async def waiting(database: Database, number: int = 1, **facts: Any) -> Fence:
    """An execution that waits for an approval."""
    fence = await running(database, number, **facts)
    asked = step("gate", number, kind="approval", status="waiting", data={"payload": 1, "expires_at": DAY + 100})
    assert await steps.put(database, fence, asked, "step.waiting", now=DAY + 6)
    return fence


async def put_to_rest(database: Database, fence: Fence) -> None:
    assert await attempts.end(database, fence, "waiting", now=DAY + 7)


async def test_an_execution_comes_back_as_it_was_submitted(database: Database) -> None:
    one = execution(budget_usd=1.5, deadline_at=DAY + 99, parent_node="sub", depth=2, parent_id="wfexec_none")
    found = await executions.submit(database, one)
    assert (found.execution, found.created) == (one, True)
    assert await executions.get(database, one.id) == one
    assert await executions.get(database, "wfexec_none") is None
    assert [event.type for event in await told(database)] == ["execution.submitted"]


async def test_of_many_with_one_idempotency_key_one_is_kept(database: Database) -> None:
    many = [execution(number, idempotency_key="k") for number in range(5)]
    found = await asyncio.gather(*(executions.submit(database, one) for one in many))
    assert sum(one.created for one in found) == 1
    assert len({one.execution.id for one in found}) == 1
    assert len((await executions.listed(database, Filters())).items) == 1
    for number, facts in enumerate(({"key_name": "b"}, {"idempotency_key": "other"}, {"idempotency_key": None})):
        assert (await executions.submit(database, execution(10 + number, **({"idempotency_key": "k"} | facts)))).created


async def test_an_id_is_submitted_once(database: Database) -> None:
    found = await asyncio.gather(*(executions.submit(database, execution(inputs=number)) for number in range(4)))
    assert sum(one.created for one in found) == 1
    assert len({one.execution.inputs for one in found}) == 1
    assert len(await told(database)) == 1


async def test_executions_are_listed_newest_first_in_pages_that_do_not_shift(database: Database) -> None:
    for number in range(7):
        await executions.submit(database, execution(number, created_at=DAY + number // 2))
    page = await executions.listed(database, Filters(), limit=3)
    await executions.submit(database, execution(9))
    seen = [one.id for one in page.items]
    while page.next is not None:
        page = await executions.listed(database, Filters(), cursor=page.next, limit=3)
        seen += [one.id for one in page.items]
    assert seen == [f"wfexec_{number:04d}" for number in reversed(range(7))]
    with pytest.raises(ValueError, match="cursor"):
        await executions.listed(database, Filters(), cursor="nonsense")


async def test_a_listing_is_narrowed(database: Database) -> None:
    await running(database, 1)
    await executions.submit(database, execution(2, slug="digest", key_name="b"))
    await executions.submit(database, execution(3, parent_id="wfexec_0001"))
    for filters, expected in (
        (Filters(slug="digest"), [2]),
        (Filters(status="running"), [1]),
        (Filters(key_name="app"), [3, 1]),
        (Filters(parent_id="wfexec_0001"), [3]),
        (Filters(since=DAY + 2), [3, 2]),
        (Filters(slug="review", status="pending"), [3]),
    ):
        found = (await executions.listed(database, filters)).items
        assert [one.id for one in found] == [f"wfexec_{number:04d}" for number in expected]


@pytest.mark.parametrize("column", ["", "slug", "status", "key_name", "parent_id"])
async def test_a_listing_reads_an_index_backwards(database: Database, column: str) -> None:
    many = [execution(n, slug=f"s{n % 9}", key_name=f"k{n % 9}", parent_id=f"p{n % 99}") for n in range(3_000)]
    rows = [executions._values(one) | {"status": f"x{n % 9}"} for n, one in enumerate(many)]
    async with database.write() as connection:
        await connection.execute(insert(executions.executions), rows)
        if database.dialect == "postgresql":
            await connection.execute(text("ANALYZE executions"))
        explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}[database.dialect]
        where = f"WHERE {column} = 'x'" if column else ""
        query = f"{explain} SELECT id FROM executions {where} ORDER BY created_at DESC, id DESC LIMIT 50"
        lines = " ".join(str(row) for row in await connection.execute(text(query)))
    assert f"ix_executions_{column}{'_' if column else ''}created_at" in lines


async def test_a_cancel_cascades_to_children_and_theirs(database: Database) -> None:
    await running(database, 1)
    await running(database, 2, parent_id="wfexec_0001")
    fence = await waiting(database, 3, parent_id="wfexec_0002")
    await put_to_rest(database, fence)
    await executions.submit(database, execution(4, parent_id="wfexec_0001"))
    ended = await running(database, 5, parent_id="wfexec_0001")
    await attempts.end(database, ended, "completed", now=DAY + 9)
    await running(database, 6)
    stopping_ = await stopping.request_cancel(database, "wfexec_0001", now=DAY + 20)
    assert stopping_ == Stopping(["wfexec_0004", "wfexec_0003"], ["wfexec_0001", "wfexec_0002"])
    states = [(await now_of(database, number)).status for number in range(1, 7)]
    assert states == ["running", "running", "cancelled", "cancelled", "completed", "running"]
    assert [(await steps.cancelled(database, Fence(f"wfexec_{n:04d}", 1)))[0] for n in (1, 2, 6)] == [True, True, False]
    assert [one.status for one in await steps.all_of(database, "wfexec_0003")] == ["cancelled"]
    assert [event.type for event in await told(database, 1)][-1] == "execution.cancel_requested"
    assert [event.type for event in await told(database, 4)][-1] == "execution.cancelled"


async def test_a_cancel_of_what_has_ended_or_is_not_there_does_nothing(database: Database) -> None:
    fence = await running(database)
    await attempts.end(database, fence, "completed", now=DAY + 9)
    before = await told(database)
    assert await stopping.request_cancel(database, "wfexec_0001", now=DAY + 20) == Stopping([], [])
    assert await stopping.request_cancel(database, "wfexec_none", now=DAY + 20) == Stopping([], [])
    assert await told(database) == before


async def test_an_attempt_that_was_asked_to_stop_is_asked_once_and_ends_itself(database: Database) -> None:
    fence = await running(database)
    await steps.put(database, fence, step(), "step.started", now=DAY + 6)
    for _ in range(2):
        await stopping.request_cancel(database, fence.execution_id, now=DAY + 20)
    assert len([event for event in await told(database) if event.type == "execution.cancel_requested"]) == 1
    assert await attempts.end(database, fence, "cancelled", now=DAY + 21)
    assert [one.status for one in await steps.all_of(database, fence.execution_id)] == ["cancelled"]
    assert await attempts.next_attempt(database, fence.execution_id, {"cancelled"}, now=DAY + 22) == 2
    assert not (await now_of(database)).cancel_requested
    assert [one.status for one in await steps.all_of(database, fence.execution_id)] == ["pending"]


async def test_a_child_of_what_is_to_stop_is_to_stop(database: Database) -> None:
    await running(database, 1)
    await stopping.request_cancel(database, "wfexec_0001", now=DAY + 20)
    born = await executions.submit(database, execution(2, parent_id="wfexec_0001"))
    assert born.execution.cancel_requested
    assert (await now_of(database, 2)).cancel_requested


async def test_no_child_is_born_unseen_by_a_cancel(database: Database) -> None:
    await running(database, 1)
    children = [executions.submit(database, execution(n, parent_id="wfexec_0001")) for n in range(2, 8)]
    await asyncio.gather(*children, stopping.request_cancel(database, "wfexec_0001", now=DAY + 20))
    assert all([(await now_of(database, number)).cancel_requested for number in range(1, 8)])


async def test_a_step_that_waits_is_cancelled_at_once_and_the_next_attempt_goes_on(database: Database) -> None:
    await put_to_rest(database, await waiting(database))
    (one,) = await steps.all_of(database, "wfexec_0001")
    found = await stopping.request_step_cancel(database, one.id, now=DAY + 8)
    assert found is not None
    assert found.queued == Queued("wfexec_0001", 2)
    assert await steps.all_of(database, "wfexec_0001") == [found.step]
    assert (found.step.status, found.step.attempt, found.step.completed_at) == ("cancelled", 2, DAY + 8)
    assert await stopping.request_step_cancel(database, one.id, now=DAY + 8) is None
    assert [event.type for event in await told(database)][-2:] == ["step.cancelled", "execution.queued"]


async def test_a_step_that_has_ended_is_not_stopped(database: Database) -> None:
    fence = await running(database)
    await steps.put(database, fence, done(), "step.succeeded", now=DAY + 6)
    assert await stopping.request_step_cancel(database, done().id, now=DAY + 8) is None
    assert await stopping.request_step_cancel(database, "stepexec_none", now=DAY + 8) is None
    await steps.put(database, fence, step("b"), "step.started", now=DAY + 6)
    asked = await stopping.request_step_cancel(database, step("b").id, now=DAY + 8)
    assert asked is not None
    assert (asked.step.cancel_requested, asked.queued) == (True, None)
    await attempts.end(database, fence, "failed", now=DAY + 9)
    assert await stopping.request_step_cancel(database, step("b").id, now=DAY + 8) is None


async def test_the_first_decision_wins_and_starts_the_next_attempt(database: Database) -> None:
    await put_to_rest(database, await waiting(database))
    found = await asyncio.gather(
        *(deciding.decide(database, "wfexec_0001", "gate", one, now=DAY + 50) for one in (YES, NO, YES, NO))
    )
    (won,) = [one for one in found if one is not None]
    assert won.queued == Queued("wfexec_0001", 2)
    (kept,) = await steps.all_of(database, "wfexec_0001")
    assert kept == won.step
    verdict = YES if kept.status == "succeeded" else NO
    assert (kept.output, kept.branch, kept.error) == (verdict.output, verdict.branch, verdict.error)
    assert kept.data == {"payload": 1, "expires_at": DAY + 100, **verdict.data}
    assert kept.completed_at == DAY + 50
    types = [event.type for event in await told(database)]
    assert types[-2:] == [f"step.{kept.status}", "execution.queued"]


async def test_a_decision_while_an_attempt_runs_is_followed_by_the_next(database: Database) -> None:
    fence = await waiting(database)
    found = await deciding.decide(database, "wfexec_0001", "gate", YES, now=DAY + 6.5)
    assert found is not None
    assert (found.queued, found.step.attempt) == (None, 2)
    await put_to_rest(database, fence)
    assert ((await now_of(database)).status, (await now_of(database)).attempt) == ("pending", 2)


async def test_a_decision_is_of_the_attempt_that_sees_it(database: Database) -> None:
    """So a refusal counts there as a failure, and is not asked for again; of a later attempt it is an older one's."""
    await put_to_rest(database, await waiting(database, 1))
    found = await deciding.decide(database, "wfexec_0001", "gate", NO, now=DAY + 8)
    assert found is not None
    assert (found.step.attempt, found.queued) == (2, Queued("wfexec_0001", 2))
    fence = await waiting(database, 2)
    await deciding.decide(database, "wfexec_0002", "gate", NO, now=DAY + 8)
    await attempts.end(database, fence, "failed", now=DAY + 9)  # by another node, before it was seen
    assert await attempts.next_attempt(database, "wfexec_0002", {"failed"}, now=DAY + 10) == 2
    (one,) = await steps.all_of(database, "wfexec_0002")
    assert (one.status, one.attempt) == ("failed", 1)
    await waiting(database, 3)
    assert await attempts.next_attempt(database, "wfexec_0003", {"running"}, now=DAY + 10) == 2
    found = await deciding.decide(database, "wfexec_0003", "gate", YES, now=DAY + 11)
    assert found is not None
    assert (found.step.attempt, found.queued) == (2, None)


async def test_nothing_is_decided_that_does_not_wait(database: Database) -> None:
    fence = await running(database)
    await steps.put(database, fence, step("gate"), "step.started", now=DAY + 6)
    before = await told(database)
    for name in ("gate", "other"):
        assert await deciding.decide(database, "wfexec_0001", name, YES, now=DAY + 50) is None
    assert await deciding.decide(database, "wfexec_none", "gate", YES, now=DAY + 50) is None
    assert await told(database) == before
    await put_to_rest(database, await waiting(database, 2))
    await stopping.request_cancel(database, "wfexec_0002", now=DAY + 20)
    assert await deciding.decide(database, "wfexec_0002", "gate", YES, now=DAY + 50) is None


async def test_what_expired_is_found_until_it_is_decided(database: Database) -> None:
    await put_to_rest(database, await waiting(database))
    assert await steps.expired(database, now=DAY + 99) == []
    assert [one.node_id for one in await steps.expired(database, now=DAY + 100)] == ["gate"]
    assert await deciding.decide(database, "wfexec_0001", "gate", NO, now=DAY + 101) is not None
    assert await steps.expired(database, now=DAY + 200) == []


async def test_what_expired_in_an_execution_that_has_ended_keeps_no_other_from_being_found(database: Database) -> None:
    for number in range(1, 4):
        fence = await waiting(database, number)
        assert await attempts.end(database, fence, "failed", now=DAY + 7)
    await put_to_rest(database, await waiting(database, 4))
    found = await steps.expired(database, now=DAY + 101, limit=1)
    assert [one.execution_id for one in found] == ["wfexec_0004"]


async def test_what_is_overdue_is_found_until_it_ends(database: Database) -> None:
    await put_to_rest(database, await waiting(database, 1, deadline_at=DAY + 60))
    await running(database, 2, deadline_at=DAY + 50)
    await executions.submit(database, execution(3, deadline_at=DAY + 70))
    await executions.submit(database, execution(4))
    assert await stopping.overdue(database, now=DAY + 60) == ["wfexec_0002", "wfexec_0001"]
    error = Failure("deadline", "too late", code="deadline_exceeded")
    assert await stopping.give_up(database, "wfexec_0001", error, now=DAY + 61)
    assert not await stopping.give_up(database, "wfexec_0001", error, now=DAY + 61)
    assert not await stopping.give_up(database, "wfexec_0002", error, now=DAY + 61)  # its attempt ends it
    found = await now_of(database)
    assert (found.status, found.error, found.completed_at) == ("failed", error, DAY + 61)
    assert await stopping.overdue(database, now=DAY + 70) == ["wfexec_0002", "wfexec_0003"]


def artifact(number: int, execution_: int = 1) -> Artifact:
    identity = f"artifact_{number}"
    return Artifact(
        identity, f"wfexec_{execution_:04d}", "draft", "plan.md", "text/markdown", 7, "ab", f"x/{identity}", DAY
    )


async def test_artifacts_are_told_in_the_order_in_which_they_were_made(database: Database) -> None:
    fences = {number: await running(database, number) for number in (1, 2)}
    for number, of, node in ((1, 1, "a"), (2, 2, "a"), (3, 1, "b")):
        await steps.put(
            database, fences[of], done(node, of), "step.succeeded", now=DAY + 6, made=[artifact(number, of)]
        )
    assert await artifacts.listed(database, "wfexec_0001") == [artifact(1), artifact(3)]
    assert await artifacts.listed(database, "wfexec_0001", after="artifact_1") == [artifact(3)]
    assert await artifacts.get(database, "artifact_2") == artifact(2, 2)
    assert await artifacts.get(database, "artifact_9") is None
    assert await artifacts.known(database, ["artifact_1", "artifact_9", "artifact_3"]) == {"artifact_1", "artifact_3"}


async def test_artifacts_are_kept_with_the_success_of_their_step_or_not_at_all(database: Database) -> None:
    fence = await running(database)
    assert await steps.put(database, fence, done(), "step.succeeded", now=DAY + 6, made=[artifact(1)])
    # The same step once more, as after a commit that nobody heard of, and by a process that was thawed too late.
    assert not await steps.put(database, fence, done(), "step.succeeded", now=DAY + 7, made=[artifact(2)])
    other = Fence(fence.execution_id, fence.attempt + 1)
    with pytest.raises(Superseded):
        await steps.put(database, other, done("b"), "step.succeeded", now=DAY + 7, made=[artifact(3)])
    assert await artifacts.listed(database, "wfexec_0001") == [artifact(1)]


async def test_what_ended_long_ago_is_forgotten_with_all_that_belongs_to_it(database: Database) -> None:
    for number in (1, 2, 3):
        fence = await running(database, number)
        made = [artifact(number, number)]
        await steps.put(database, fence, done(number=number), "step.succeeded", now=DAY + 6, made=made)
        if number < 3:
            await attempts.end(database, fence, "completed", now=DAY + 100 * number)
    assert (await forgetting.forget(database, DAY + 100)).executions == 0
    found = await forgetting.forget(database, DAY + 150)
    assert (found.executions, found.paths) == (1, ["x/artifact_1"])
    assert await executions.get(database, "wfexec_0001") is None
    assert await told(database) == []
    assert await steps.all_of(database, "wfexec_0001") == []
    assert await artifacts.listed(database, "wfexec_0001") == []
    for number in (2, 3):
        assert (len(await told(database, number)), len(await artifacts.listed(database, f"wfexec_{number:04d}"))) == (
            4 if number == 2 else 3, 1,
        )  # fmt: skip
    assert (await forgetting.forget(database, DAY + 9_999)).executions == 1  # the third still runs
    assert (await forgetting.forget(database, DAY + 9_999)).executions == 0


async def test_a_child_is_kept_as_long_as_its_parent_goes_on(database: Database) -> None:
    parent = await running(database, 1)
    child = await running(database, 2, parent_id="wfexec_0001")
    await attempts.end(database, child, "completed", now=DAY + 10)
    assert (await forgetting.forget(database, DAY + 99)).executions == 0
    await attempts.end(database, parent, "completed", now=DAY + 11)
    assert (await forgetting.forget(database, DAY + 99)).executions == 2


async def test_the_oldest_of_each_state_that_has_not_ended_is_known(database: Database) -> None:
    assert await executions.oldest(database) == {}
    for number in (3, 1, 2):
        await executions.submit(database, execution(number, created_at=DAY + number))
    await running(database, 7, created_at=DAY + 7)
    assert await executions.oldest(database) == {"pending": DAY + 1, "running": DAY + 7}
