"""Desk, keeper and runner over a real database: whoever waits is woken, what is late is told, nothing stays behind."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from store_faults import DAY
from workflow_office import ASK, ME, Office

from gateway.errors import Busy, Conflict, Forbidden, Invalid, NotFound, TooLarge
from gateway.governance.keys import Principal
from gateway.store.engine import Database
from gateway.store.workflows import artifacts, attempts, deciding, events, executions, executors, steps
from gateway.store.workflows.locked import Fence
from gateway.workflows import keeper
from gateway.workflows.kept import Artifact, Execution, Failure, Spent


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    return Office(database, tmp_path / "artifacts")


GATE: dict[str, Any] = {"type": "approval", "message": "Go on?", "expires_after": 60.0}
ONWARDS = ({"source": "gate", "target": "yes"}, {"source": "gate", "target": "no", "branch": "rejected"})


async def test_a_decision_goes_on_with_what_is_kept(office: Office) -> None:
    await office.save("s", {"a": ASK, "gate": GATE, "yes": ASK, "no": ASK}, {"source": "a", "target": "gate"}, *ONWARDS)
    waiting = await office.begun("s")
    assert waiting.status == "waiting"
    await office.desk.approve(waiting.id, None, "approve", None, ME)
    with pytest.raises(Conflict):
        await office.desk.approve(waiting.id, None, "reject", None, ME)
    await office.run()
    ended = await office.get(waiting.id)
    assert (ended.status, ended.progress, ended.spent) == ("completed", 100.0, Spent(2.0, 4, 6))
    assert office.asked == ["s/a", "s/yes"]


@pytest.mark.parametrize(
    ("more", "status", "asked"),
    [({}, "failed", []), ({"on_error": "default", "default": "rejected"}, "completed", ["s/no"])],
)
async def test_a_decision_that_does_not_come(office: Office, more: Any, status: str, asked: list[str]) -> None:
    await office.save("s", {"gate": GATE | more, "yes": ASK, "no": ASK}, *ONWARDS)
    waiting = await office.begun("s")
    office.now += 59.0
    await office.keeper._expire()
    assert office.queue == []
    office.now += 2.0
    await office.keeper._expire()
    await office.run()
    ended = await office.get(waiting.id)
    assert (ended.status, office.asked) == (status, asked)
    if status == "failed":
        assert ended.error is not None
        assert ended.error.code == "approval_expired"


async def test_a_token_goes_on_with_nothing_that_it_might_not_begin(office: Office) -> None:
    """What is done anew is done in its name alone, of which a key would say what it may, and a token does not."""
    await office.save("s", {"gate": GATE, "yes": ASK}, {"source": "gate", "target": "yes"})
    begun = await office.desk.begin("s", {}, Principal("jwt:ann"))
    await office.desk.cancel(begun.id, Principal("jwt:ann"))
    bound = Principal("jwt:ann", models=("cheap",))
    with pytest.raises(Forbidden):
        await office.desk.resume(begun.id, bound)
    with pytest.raises(Forbidden):
        await office.desk.retry(begun.id, bound, from_step=None, inputs=None, version=None)
    # In its owner's name, and not in that of who has it done.
    root = Principal("jwt:root", admin=True, tags=("staff",))
    assert (await office.desk.resume(begun.id, root))[0].attempt == 2


SUB: dict[str, Any] = {"type": "workflow", "slug": "kid"}


async def family(office: Office, kid: dict[str, Any] | None = None, parent: dict[str, Any] | None = None) -> Execution:
    await office.save("kid", {"a": ASK, "gate": GATE | {"expires_after": 86_400.0}}, **(kid or {}))
    await office.save("dad", {"sub": SUB, "after": ASK}, {"source": "sub", "target": "after"}, **(parent or {}))
    return await office.begun("dad")


async def test_a_parent_goes_on_when_its_child_has_ended_and_pays_for_it_once(office: Office) -> None:
    dad = await family(office)
    kid = await office.child(dad)
    assert (dad.status, kid.status, kid.parent_id, kid.depth) == ("waiting", "waiting", dad.id, 1)
    await office.desk.approve(kid.id, None, "approve", None, ME)
    await office.run()
    ended = await office.get(dad.id)
    assert (ended.status, ended.spent) == ("completed", Spent(2.0, 4, 6))
    assert office.asked == ["kid/a", "dad/after"]


async def test_a_child_may_take_as_long_and_cost_as_much_as_its_parent_has_left(office: Office) -> None:
    dad = await family(office, {"deadline": 50.0, "budget_usd": 9.0}, {"deadline": 100.0, "budget_usd": 4.0})
    kid = await office.child(dad)
    assert (kid.deadline_at, kid.budget_usd) == (DAY + 50.0, 4.0)


async def test_a_parent_is_told_that_its_child_was_late(office: Office) -> None:
    dad = await family(office, {"deadline": 50.0})
    office.now += 51.0
    await office.keeper._expire()
    await office.run()
    ended = await office.get(dad.id)
    assert ended.status == "failed"
    assert ended.error is not None
    assert (ended.error.code, ended.error.node_id) == ("deadline_exceeded", "sub")


async def failed_of(office: Office, **more: Any) -> Execution:
    await office.save("s", {"a": ASK, "b": ASK}, {"source": "a", "target": "b"}, deadline=100.0)
    office.refuse = {"s/b"}
    failed = await office.begun("s", **more)
    assert failed.status == "failed"
    office.now += 50.0
    return failed


async def test_whoever_runs_it_again_has_as_long_as_before_or_as_they_say(office: Office) -> None:
    for given, more, again, seconds in (
        ({}, {}, {}, 100.0),
        ({"deadline": 30.0}, {}, {}, 30.0),
        ({"deadline": 30.0}, {"deadline": 7.0}, {}, 7.0),
        ({"deadline": 30.0}, {}, {"deadline": 7.0}, 7.0),
    ):
        failed = await failed_of(office, **given)
        assert failed.deadline_at == office.now - 50.0 + (given or {"deadline": 100.0})["deadline"]
        resumed, _ = await office.desk.resume(failed.id, ME, **more)
        assert resumed.deadline_at == office.now + (more or given or {"deadline": 100.0})["deadline"]
        await office.run()
        office.now += 5.0
        anew, _ = await office.desk.retry(failed.id, ME, from_step=None, inputs=None, version=None, **again)
        assert anew.deadline_at == office.now + seconds
        await office.run()


async def test_a_family_that_was_late_goes_on_together(office: Office) -> None:
    dad = await family(office, {}, {"deadline": 50.0})
    kid = await office.child(dad)
    office.now += 51.0
    await office.keeper._expire()
    await office.run()
    assert (await office.get(dad.id)).status == (await office.get(kid.id)).status == "failed"
    await office.desk.resume(dad.id, ME)
    await office.run()
    kid = await office.get(kid.id)
    assert (kid.status, kid.attempt, kid.deadline_at) == ("waiting", 2, office.now + 50.0)
    await office.desk.approve(kid.id, None, "approve", None, ME)
    await office.run()
    assert (await office.get(dad.id)).status == "completed"
    assert office.asked == ["kid/a", "dad/after"]


async def test_a_child_that_still_waits_has_as_long_as_its_parent_that_goes_on(office: Office) -> None:
    await office.save("kid", {"a": ASK, "gate": GATE | {"expires_after": 86_400.0}})
    await office.save("dad", {"sub": SUB, "other": ASK}, deadline=50.0)
    office.refuse = {"dad/other"}
    dad = await office.begun("dad")
    kid = await office.child(dad)
    assert (dad.status, kid.status, kid.deadline_at) == ("failed", "waiting", DAY + 50.0)
    office.now += 20.0
    office.refuse = set()
    await office.desk.resume(dad.id, ME)
    assert (await office.get(kid.id)).deadline_at == office.now + 50.0
    await office.desk.cancel(dad.id, ME)
    await office.desk.resume(dad.id, ME, deadline=5.0)
    await office.run()
    kid = await office.get(kid.id)
    assert (kid.status, kid.deadline_at) == ("waiting", office.now + 5.0)


async def test_a_parent_that_was_cancelled_goes_on_with_its_child(office: Office) -> None:
    dad = await family(office)
    kid = await office.child(dad)
    await office.desk.cancel(dad.id, ME)
    await office.run()
    await office.desk.resume(dad.id, ME)
    await office.run()
    assert (await office.get(dad.id)).status == "waiting"
    await office.desk.approve(kid.id, None, "approve", None, ME)
    await office.run()
    assert (await office.get(dad.id)).status == "completed"
    assert office.asked == ["kid/a", "dad/after"]


async def test_cancelling_a_step_that_waits_for_a_child_cancels_the_child(office: Office) -> None:
    dad = await family(office)
    kid = await office.child(dad)
    (step,) = [one for one in await steps.all_of(office.database, dad.id) if one.node_id == "sub"]
    await office.desk.cancel_step(step.id, ME)
    await office.run()
    assert (await office.get(kid.id)).status == "cancelled"
    ended = await office.get(dad.id)
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error.type == "cancelled"


async def test_cancelling_a_parent_cancels_its_children(office: Office) -> None:
    dad = await family(office)
    await office.desk.cancel(dad.id, ME)
    await office.run()
    assert (await office.get(dad.id)).status == (await office.child(dad)).status == "cancelled"


async def test_running_again_with_a_newer_version_that_lacks_a_node(office: Office) -> None:
    await office.save("s", {"a": ASK, "gone": ASK, "late": ASK}, {"source": "gone", "target": "late"})
    office.refuse = {"s/gone"}
    failed = await office.begun("s")
    assert failed.status == "failed"
    await office.save("s", {"a": ASK, "late": ASK})
    await office.desk.retry(failed.id, ME, from_step="late", inputs=None, version=2)
    await office.run()
    ended = await office.get(failed.id)
    assert (ended.status, ended.progress, ended.outputs) == (
        "completed", 100.0, {"a": {"text": "s/a"}, "late": {"text": "s/late"}}
    )  # fmt: skip
    assert office.asked == ["s/a", "s/gone", "s/late"]


async def test_running_again_with_a_version_that_takes_other_inputs(office: Office) -> None:
    await office.save("s", {"a": ASK})
    done = await office.begun("s")
    await office.save("s", {"a": ASK}, input_schema={"required": ["topic"]})
    with pytest.raises(Invalid):
        await office.desk.retry(done.id, ME, from_step=None, inputs=None, version=2)
    assert (await office.get(done.id)).version == 1
    await office.desk.retry(done.id, ME, from_step=None, inputs={"topic": "tea"}, version=2)
    assert (await office.get(done.id)).version == 2


async def test_resuming_pays_nothing_again_and_says_how_many_calls_that_saves(office: Office) -> None:
    await office.save("s", {"a": ASK, "b": ASK}, {"source": "a", "target": "b"})
    office.refuse = {"s/b"}
    failed = await office.begun("s")
    assert (failed.status, failed.spent.cost_usd) == ("failed", 1.5)
    office.refuse = set()
    _, saved = await office.desk.resume(failed.id, ME)
    await office.run()
    ended = await office.get(failed.id)
    assert (saved, ended.status, ended.spent.cost_usd) == (1, "completed", 2.5)


async def test_an_execution_is_not_there_for_another_key(office: Office) -> None:
    await office.save("s", {"a": ASK})
    mine = await office.begun("s")
    for other, seen in ((Principal(name="other", admin=False), False), (Principal(name="root", admin=True), True)):
        if seen:
            assert (await office.desk.get(mine.id, other)).id == mine.id
        else:
            with pytest.raises(NotFound):
                await office.desk.get(mine.id, other)


async def test_whoever_only_follows_reads_neither_inputs_nor_outputs(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.save("s", {"a": ASK})
    done = await office.begun("s")

    async def whole(*_: object) -> None:
        raise AssertionError("megabytes, for each event of each who follows")

    monkeypatch.setattr(executions, "get", whole)
    seen = [event.type async for found in office.desk.watch(done.id, ME) for event in found]
    assert seen[-1] == "execution.completed"
    assert len(await office.desk.events(done.id, ME, after=0, limit=100)) == len(seen)
    (step,) = await office.desk.steps(done.id, ME)
    assert (await office.desk.step(step.id, ME)).status == "succeeded"
    other = Principal(name="other", admin=False)
    with pytest.raises(NotFound):
        await office.desk.steps(done.id, other)
    with pytest.raises(NotFound):
        [found async for found in office.desk.watch(done.id, other)]


async def test_inputs_that_do_not_follow_the_schema_begin_nothing(office: Office) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    await office.save("s", {"a": ASK}, input_schema=schema)
    with pytest.raises(Invalid):
        await office.desk.begin("s", {"n": "three"}, ME)
    assert office.queue == []


async def test_a_keeper_queues_what_nobody_has_begun(office: Office) -> None:
    await office.keeper._sweep()  # the first has no patience: nobody may have run anything before
    await office.save("s", {"a": ASK})
    begun = await office.desk.begin("s", {}, ME)
    office.queue.clear()  # the process died between its two writes
    office.now += 29.0
    await office.keeper._sweep()
    assert office.queue == []
    office.now += 2.0
    await office.keeper._sweep()
    assert office.queue == [(begun.id, 1)]


async def ended_unheard(office: Office, execution_id: str) -> None:
    """Its process dies between the end of an attempt and telling whom it concerns."""
    assert await attempts.next_attempt(office.database, execution_id, ["waiting"], now=office.now) == 2
    fence = Fence(execution_id, 2, "dead")
    assert await attempts.begin(office.database, fence, now=office.now)
    assert await attempts.end(office.database, fence, "completed", outputs={"x": 1}, now=office.now)


async def test_a_keeper_tells_who_waits_for_what_has_ended_unheard(office: Office) -> None:
    dad = await family(office)
    await office.keeper._sweep()
    assert office.queue == []
    await ended_unheard(office, (await office.child(dad)).id)
    await office.keeper._sweep()
    await office.keeper._sweep()
    assert office.queue == [(dad.id, 2)]
    await office.run()
    assert (await office.get(dad.id)).status == "completed"


async def test_a_keeper_does_not_wake_for_an_item_that_was_given_up(office: Office) -> None:
    await office.save("kid", {"gate": GATE})
    inner = {"type": "workflow", "slug": "kid"}
    await office.save("dad", {"m": {"type": "map", "over": "[1]", "node": inner}, "gate": GATE})
    dad = await office.begun("dad")
    (item,) = [one for one in await steps.all_of(office.database, dad.id) if one.item == 0]
    (whole,) = [one for one in await steps.all_of(office.database, dad.id) if (one.node_id, one.item) == ("m", -1)]
    verdict = deciding.Verdict(status="failed", error=Failure("api_error", "no"))
    assert await deciding.decide(office.database, dad.id, whole.node_id, verdict, now=office.now)
    assert await attempts.begin(office.database, Fence(dad.id, 2, "me"), now=office.now)
    assert await attempts.end(office.database, Fence(dad.id, 2, "me"), "waiting", now=office.now)
    await ended_unheard(office, item.data["execution_id"])
    assert await attempts.unaware(office.database) == []


async def test_a_keeper_adopts_the_dead_once_and_nobody_who_lives(office: Office) -> None:
    await office.keeper._say()
    other = office.keeper_of("other")
    await other._say()
    await office.keeper._adopt_orphans()
    assert office.adopted == []
    await other.leave()
    await office.keeper._adopt_orphans()
    await office.keeper._adopt_orphans()
    assert office.adopted == ["other"]
    assert await executors.dead(office.database, 30.0, me="me") == []


async def test_a_keeper_forgets_what_ended_long_ago(office: Office) -> None:
    await office.save("s", {"a": ASK})
    old = await office.begun("s")
    office.now += 6 * 86_400.0
    await office.keeper._forget()
    young = await office.begun("s")
    assert await executions.get(office.database, old.id) is not None
    office.now += 2 * 86_400.0
    await office.keeper._forget()
    assert await executions.get(office.database, old.id) is None
    assert await executions.get(office.database, young.id) is not None


async def test_a_keeper_that_forgets_nothing_still_drops_what_only_the_engine_keeps(office: Office) -> None:
    await office.save("s", {"a": ASK})
    old = await office.begun("s")
    office.keep_days = None
    keeper = office.keeper_of("me")
    for hours in (0.5, 0.5, 1.0):
        await keeper._forget()
        office.now += hours * 3_600.0
    assert office.dropped == [DAY - 3_600.0, DAY]
    assert await executions.get(office.database, old.id) is not None


@pytest.mark.parametrize("tracking", [True, False])
async def test_events_of_tries_and_items_are_kept_as_the_settings_say(
    database: Database, tmp_path: Path, tracking: bool
) -> None:
    office = Office(database, tmp_path, tracking=tracking)
    node = {"type": "map", "over": "[1, 2]", "node": ASK, "parallel": 1}
    await office.save("s", {"m": node, "b": ASK}, {"source": "m", "target": "b"})
    ended = await office.begun("s")
    told = await events.after(database, ended.id)
    assert [one.seq for one in told] == list(range(1, len(told) + 1))
    items = [one.type for one in told if "item" in one.data]
    assert items == (["step.started", "step.succeeded"] * 2 if tracking else [])
    assert [(one.node_id, one.type) for one in told if one.node_id and "item" not in one.data] == [
        ("m", "step.started"), ("m", "step.succeeded"), ("b", "step.started"), ("b", "step.succeeded"),
    ]  # fmt: skip
    # The memo is kept either way: what has succeeded is not paid again.
    kept = await steps.all_of(database, ended.id)
    assert [(one.node_id, one.item, one.status) for one in kept] == [
        ("b", -1, "succeeded"), ("m", -1, "succeeded"), ("m", 0, "succeeded"), ("m", 1, "succeeded"),
    ]  # fmt: skip
    assert ended.spent == Spent(3.0, 6, 9)


# ---------------------------------------------------------------------------------------------------------- files


def lying(office: Office) -> int:
    """How many files there are."""
    return sum(path.is_file() for path in office.folder.rglob("*"))


async def test_a_decision_is_kept_as_a_file_if_it_is_to_be(office: Office) -> None:
    gate = {**GATE, "artifact": "{{ nodes.a.output.text }}.json"}
    await office.save("s", {"a": ASK, "gate": gate}, {"source": "a", "target": "gate"})
    waiting = await office.begun("s")
    decided = await office.desk.approve(waiting.id, None, "approve", {"why": "good"}, ME)
    (one,) = await artifacts.listed(office.database, waiting.id)
    assert (one.name, one.media_type, one.node_id) == ("s_a.json", "application/json", "gate")
    assert decided.data["artifacts"] == [one.id]
    content = json.loads((office.folder / one.path).read_bytes())
    assert (content["decision"], content["data"]) == ("approve", {"why": "good"})
    await office.run()
    assert (await office.get(waiting.id)).status == "completed"


async def test_a_decision_that_cannot_be_written_is_none_yet(office: Office) -> None:
    await office.save("s", {"gate": {**GATE, "artifact": "x"}})
    waiting = await office.begun("s")
    office.folder.write_text("no folder")
    with pytest.raises(Busy):
        await office.desk.approve(waiting.id, None, "approve", None, ME)
    office.folder.unlink()
    with pytest.raises(TooLarge):
        await office.desk.approve(waiting.id, None, "approve", "x" * 10_001, ME)
    assert (await office.get(waiting.id)).status == "waiting"


async def test_running_anew_makes_a_new_file_and_keeps_the_old_one(office: Office) -> None:
    await office.save("s", {"a": {**ASK, "artifact": "x.txt"}})
    done = await office.begun("s")
    office.now += 1
    await office.desk.retry(done.id, ME, from_step="a", inputs=None, version=None)
    await office.run()
    found = await artifacts.listed(office.database, done.id)
    assert [(one.name, one.attempt) for one in found] == [("x.txt", 1), ("x.txt", 2)]
    (step,) = await steps.all_of(office.database, done.id)
    assert step.data["artifacts"] == [found[1].id]
    assert lying(office) == 2


async def test_files_go_with_their_execution(office: Office) -> None:
    await office.save("s", {"a": {**ASK, "artifact": "x.txt"}})
    await office.begun("s")
    office.now += 8 * 86_400
    later = await office.begun("s")
    await office.keeper._forget()
    (left,) = (path for path in office.folder.rglob("*") if path.is_file())
    assert left.parent.name == later.id


async def test_files_that_nobody_knows_are_deleted_at_the_second_look(office: Office) -> None:
    await office.save("s", {"a": {**ASK, "artifact": "x.txt"}})
    done = await office.begun("s")
    for name in ("stepless", "half.part"):
        path = office.folder / "tests" / done.id / name
        path.write_bytes(b"x")
    alone = office.folder / "tests" / "wfexec_gone" / "artifact_gone"
    alone.parent.mkdir()
    alone.write_bytes(b"x")
    for path in office.folder.rglob("*"):
        os.utime(path, (DAY, DAY))
    await office.keeper._tidy()  # just begun: nothing is old
    assert lying(office) == 4
    office.now += 3_601
    await office.keeper._tidy()
    assert lying(office) == 4
    office.now += 10
    await office.keeper._tidy()  # not before the next hour
    assert lying(office) == 4
    office.now += 3_601
    await office.keeper._tidy()
    assert lying(office) == 1
    assert not alone.parent.exists()
    (kept,) = await artifacts.listed(office.database, done.id)
    assert (office.folder / kept.path).read_bytes() == b"s/a"


async def test_what_is_kept_between_two_looks_stays(office: Office) -> None:
    """The database was away for an hour while its step wanted to be kept."""
    await office.save("s", {"a": ASK})
    done = await office.begun("s")
    path = office.files.path(done.id, "artifact_late")

    async def content() -> AsyncIterator[bytes]:
        yield b"x"

    await office.files.write(path, content())
    os.utime(office.folder / path, (DAY, DAY))
    office.now += 3_601
    await office.keeper._tidy()
    async with office.database.write() as connection:
        late = Artifact("artifact_late", done.id, "a", "x", "text/plain", 1, "00", path, office.now)
        await artifacts.add(connection, [late])
    office.now += 3_601
    await office.keeper._tidy()
    assert lying(office) == 1


async def test_large_outputs_are_told_by_reference_and_read_back_by_the_next_process(office: Office) -> None:
    large = {"type": "template", "template": "x" * 300}
    await office.save(
        "s", {"a": large, "gate": GATE, "b": ASK}, {"source": "a", "target": "gate"},
        {"source": "gate", "target": "b"}, outputs={"all": "{{ nodes.a.output.text }}"},
    )  # fmt: skip
    waiting = await office.begun("s")
    (one,) = await artifacts.listed(office.database, waiting.id)
    kept = {step.node_id: step.output for step in await steps.all_of(office.database, waiting.id)}
    assert kept["a"] == one.reference
    await office.desk.approve(waiting.id, None, "approve", None, ME)
    await office.run()
    assert (await office.get(waiting.id)).outputs == {"all": "x" * 300}


async def test_a_process_with_another_folder_says_that_it_cannot_go_on(office: Office, tmp_path: Path) -> None:
    large = {"type": "template", "template": "x" * 300}
    edges = ({"source": "a", "target": "gate"}, {"source": "gate", "target": "b"})
    await office.save("s", {"a": large, "gate": GATE, "b": ASK}, *edges, outputs={"all": "{{ nodes.a.output.text }}"})
    waiting = await office.begun("s")
    elsewhere = Office(office.database, tmp_path / "elsewhere")
    await elsewhere.desk.approve(waiting.id, None, "approve", None, ME)
    await elsewhere.run()
    lost = await office.get(waiting.id)
    assert lost.error is not None
    assert (lost.status, lost.error.code, lost.error.node_id) == ("failed", "artifact_lost", "a")
    assert "one folder" in lost.error.message
    # Where the file is, it goes on.
    await office.desk.resume(waiting.id, ME)
    await office.run()
    assert (await office.get(waiting.id)).outputs == {"all": "x" * 300}


async def test_a_keeper_tidies_up_by_itself(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "_LOOK_EVERY", 0.01)
    path = office.folder / "tests" / "wfexec_gone" / "artifact_gone"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    os.utime(path, (DAY, DAY))
    task = asyncio.create_task(office.keeper.tidy())
    async with asyncio.timeout(20):
        while path.exists():
            office.now += 3_601
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize(("given", "held"), [(None, 4.0), (3.0, 3.0), (5.0, 4.0)])
async def test_a_budget_may_be_made_smaller_and_no_larger(office: Office, given: float | None, held: float) -> None:
    await office.save("s", {"a": ASK}, budget_usd=4.0)
    assert (await office.begun("s", budget_usd=given)).budget_usd == held
    await office.save("open", {"a": ASK})
    assert (await office.begun("open", budget_usd=given)).budget_usd == given


async def test_what_has_ended_waits_for_no_decision(office: Office) -> None:
    await office.save("s", {"gate": GATE})
    waiting = await office.begun("s")
    await office.desk.cancel(waiting.id, ME)
    with pytest.raises(Conflict, match="The execution is cancelled"):
        await office.desk.approve(waiting.id, None, "approve", None, ME)
