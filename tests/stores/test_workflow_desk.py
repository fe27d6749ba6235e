"""Desk, keeper and runner over a real database: whoever waits is woken, what is late is told, nothing stays behind."""

from __future__ import annotations

import random
from typing import Any

import pytest
from store_faults import DAY

from gateway.errors import Conflict, Invalid, NotFound
from gateway.governance.keys import Principal
from gateway.identity import new_id
from gateway.store.engine import Database
from gateway.store.workflows import attempts, deciding, executions, executors, steps
from gateway.store.workflows.locked import Fence
from gateway.store.workflows.memory import WorkflowStore
from gateway.workflows.bind import Scope
from gateway.workflows.desk import Desk
from gateway.workflows.keeper import Keeper
from gateway.workflows.kept import Execution, Failure, Spent
from gateway.workflows.library import Library
from gateway.workflows.memo import Memory
from gateway.workflows.performing import Limits, Performer
from gateway.workflows.runner import Runner
from gateway.workflows.running import Context, Result, StepFailed
from gateway.workflows.spec import Definition
from gateway.workflows.steps.approval import Approvals
from gateway.workflows.steps.fanning import map_items
from gateway.workflows.steps.subworkflow import SubWorkflows

ME = Principal(name="app", admin=False)
ASK: dict[str, Any] = {"type": "prompt", "prompt": "q"}
LIMITS = Limits(timeout=60.0, retries=0, parallel=5)


class Office:
    """One process without an engine: attempts are queued in a list, and run when the test says so."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = DAY
        self.queue: list[tuple[str, int]] = []
        self.asked: list[str] = []
        self.refuse: set[str] = set()
        self.adopted: list[str] = []
        self.dropped: list[float] = []
        self.keep_days: int | None = 7
        rng = random.Random(1)
        self.library = Library(database, wall=self.wall)
        self.desk = Desk(database, self.library, self._queue, wall=self.wall, rng=rng)
        bodies = {
            "prompt": self._ask,
            "map": map_items,
            "approval": Approvals(self.wall),
            "workflow": SubWorkflows(self.desk),
        }

        def performer(memory: Memory) -> Performer:
            name = lambda: new_id("stepexec", self.now, rng)  # noqa: E731 - said where it is needed
            return Performer(memory, bodies, LIMITS, wall=self.wall, rng=rng, new_id=name)

        async def definition(slug: str, version: int) -> Definition:
            return (await self.library.get(slug, version)).definition

        store = WorkflowStore(database, self.wall, "me")
        self.runner = Runner(store, definition, performer, limits=LIMITS, wall=self.wall, ended=self.desk.ended)
        self.keeper = self.keeper_of("me")

    def keeper_of(self, who: str) -> Keeper:
        return Keeper(
            self.database,
            self.desk,
            executor_id=who,
            lease=30.0,
            keep_days=self.keep_days,
            adopt=self._adopt,
            drop=self._drop,
            wall=self.wall,
        )

    def wall(self) -> float:
        return self.now

    async def save(self, slug: str, nodes: dict[str, Any], *edges: Any, **more: Any) -> None:
        tree = {"slug": slug, "name": slug, "nodes": nodes, "edges": list(edges), **more}
        await self.library.save(tree, by="app")

    async def run(self) -> None:
        """Every attempt that is queued, until none is."""
        while self.queue:
            execution_id, attempt = self.queue.pop(0)

            async def around(_key: str, body: Any) -> None:
                await body()

            await self.runner(execution_id, attempt, around)

    async def begun(self, slug: str, **more: Any) -> Execution:
        execution = await self.desk.begin(slug, {}, ME, **more)
        await self.run()
        return await self.get(execution.id)

    async def get(self, execution_id: str) -> Execution:
        found = await executions.get(self.database, execution_id)
        assert found is not None
        return found

    async def child(self, parent: Execution) -> Execution:
        step = next(one for one in await steps.all_of(self.database, parent.id) if "execution_id" in one.data)
        return await self.get(step.data["execution_id"])

    async def _queue(self, execution_id: str, attempt: int, _keys: list[str]) -> None:
        self.queue.append((execution_id, attempt))

    async def _adopt(self, dead: list[str]) -> None:
        self.adopted += dead

    async def _drop(self, before: float) -> None:
        self.dropped.append(before)

    async def _ask(self, context: Context, _node: Any, _known: Scope) -> Result:
        key = f"{context.execution.slug}/{context.step.node_id}"
        self.asked.append(key)
        if key in self.refuse:
            raise StepFailed(Failure("api_error", "Refused.", "no"), transient=False, spent=Spent(0.5))
        return Result({"text": key}, spent=Spent(1.0, 2, 3), request_ids=["req_1"])


@pytest.fixture
def office(database: Database) -> Office:
    return Office(database)


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
