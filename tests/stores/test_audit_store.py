"""The audit log's rows, on both engines: found by who, what and when, and never without what they tell of."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from workflow_office import ASK, Office

from gateway.errors import BadRequest, Conflict
from gateway.governance.audit import Act, Audit, Wanted, reloaded
from gateway.governance.keys import Principal
from gateway.store import audit, retention
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable

BOSS = Principal("boss", admin=True, id="key_1")
NOW = 1_800_000_000.0


class Log:
    """An audit log whose clock moves a second with every act, and what it counted."""

    def __init__(self, database: Database) -> None:
        self.now = NOW
        self.counts: list[str] = []
        self.log = Audit(database, wall=self._tick, rng=random.Random(1), counted=self.counts.append)

    def _tick(self) -> float:
        self.now += 1
        return self.now

    async def did(self, action: str, target: str | None = None, by: Principal | None = BOSS) -> Act:
        act = self.log.act(by, action, target, request_id="req_1", address="10.0.0.1")
        await self.log.record(act)
        return act

    async def found(self, **wanted: Any) -> list[Act]:
        return (await self.log.listed(Wanted(**wanted), cursor=None, limit=50)).items


async def test_an_act_comes_back_as_it_was(database: Database) -> None:
    log = Log(database)
    act = await log.did("cache.clear", "gpt-4o\0\ud800")
    assert log.counts == ["written"]
    assert await log.found() == [replace(act, target="gpt-4o\ufffd?")]
    assert (act.actor, act.key_id, act.at, act.before, act.after) == ("boss", "key_1", NOW + 1, None, None)


async def test_acts_are_found_by_who_what_and_when(database: Database) -> None:
    log = Log(database)
    first = await log.did("key.create", "key_2")
    second = await log.did("key.revoke", "key_2", Principal("other", admin=True))
    third = await log.did("keys_are_something_else")
    assert await log.found() == [third, second, first]
    assert await log.found(actor="other") == [second]
    assert await log.found(action="key.") == [second, first]
    assert await log.found(action="key.create") == [first]
    assert await log.found(target="key_2") == [second, first]
    assert await log.found(since=second.at) == [third, second]
    assert await log.found(until=second.at) == [first]
    assert await log.found(action="%.") == []


async def test_acts_are_kept_for_as_long_as_is_said_or_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_ROWS", 2)
    log = Log(database)
    for _ in range(5):
        await log.did("dwa.reset")
    log.now += 10 * 86_400.0
    young = await log.did("cache.clear")
    later = NOW + 4 + 10 * 86_400
    assert await retention.tidy_acts(database, later, None) == 0
    assert await retention.tidy_acts(database, later, 11) == 0
    assert await retention.tidy_acts(database, later, 10) == 3
    assert await retention.tidy_acts(database, later, 9) == 2
    assert await log.found() == [young]


async def test_pages_do_not_shift(database: Database) -> None:
    log = Log(database)
    acts = [await log.did("dwa.reset") for _ in range(5)]
    page = await log.log.listed(Wanted(), cursor=None, limit=2)
    await log.did("dwa.reset")
    seen = list(page.items)
    while page.next is not None:
        page = await log.log.listed(Wanted(), cursor=page.next, limit=2)
        seen += page.items
    assert seen == acts[::-1]
    with pytest.raises(BadRequest):
        await log.log.listed(Wanted(), cursor="rubbish", limit=2)


async def test_what_several_workers_keep_is_there_once(database: Database) -> None:
    log = Log(database)
    act = reloaded(["server.max_body"], NOW, random.Random(1))
    for _ in range(3):
        log.log.remember(act)
        await log.log.flush()
    found = await log.found()
    assert [(one.actor, one.action, one.after) for one in found] == [
        ("system", "settings.reload", {"changed": ["server.max_body"]})
    ]


async def test_without_a_database_acts_wait_and_are_told(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log = Log(database)
    add, away = audit.add, True

    async def adding(database: Database, acts: list[Act]) -> None:
        if away:
            raise StoreUnavailable("away")
        await add(database, acts)

    monkeypatch.setattr(audit, "add", adding)
    acts = [await log.did("cache.clear", f"model {number}") for number in range(3)]
    assert not await log.log.flush()
    assert [one.getMessage() for one in caplog.records] == ["an act waits for the database"] * 3
    assert all(vars(line)["act"]["id"] == act.id for line, act in zip(caplog.records, acts, strict=True))
    away = False
    keeping = asyncio.create_task(log.log.keep())
    while log.counts.count("written") < 3:  # noqa: ASYNC110 - there is a count, not an event
        await asyncio.sleep(0.01)
    keeping.cancel()
    assert await log.found() == acts[::-1]
    assert log.counts[:3] == ["delayed"] * 3


async def test_a_silent_database_holds_nobody_up(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    log, silent, add = Log(database), asyncio.Event(), audit.add
    monkeypatch.setattr("gateway.governance.audit._WITHIN", 0.01)

    async def adding(database: Database, acts: list[Act]) -> None:
        await silent.wait()
        await add(database, acts)

    monkeypatch.setattr(audit, "add", adding)
    act = await log.did("cache.clear")
    await log.log.leave()
    assert log.counts == ["delayed"]
    silent.set()
    assert await log.log.flush()
    assert await log.found() == [act]


async def test_an_act_that_cannot_be_written_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.governance.audit._AGAIN", 0.01)
    log, add, tries, taken = Log(database), audit.add, list[int](), False

    async def adding(database: Database, acts: list[Act]) -> None:
        tries.append(len(acts))
        if not taken and any(act.target == "bad" for act in acts):
            raise ValueError("no row can say that")
        await add(database, acts)

    monkeypatch.setattr(audit, "add", adding)
    acts = [log.log.act(BOSS, "cache.clear", target) for target in ("first", "bad", "second", "third")]
    for act in acts:
        log.log.remember(act)
    keeping = asyncio.create_task(log.log.keep())
    async with asyncio.timeout(20):
        while len(tries) < 12:  # noqa: ASYNC110 - there is a count, not an event
            await asyncio.sleep(0.01)
        assert await log.found() == [acts[3], acts[2], acts[0]]
        assert [vars(line)["act"]["id"] for line in caplog.records if line.exc_info] == [acts[1].id]
        log.log.remember(later := log.log.act(BOSS, "cache.clear", "later"))
        taken = True
        while log.counts.count("written") < 5:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    keeping.cancel()
    assert await log.found() == [later, *acts[::-1]]


async def test_what_a_caller_did_who_has_gone_is_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log, add, begun, away = Log(database), audit.add, asyncio.Event(), asyncio.Event()

    async def adding(_database: Database, _acts: list[Act]) -> None:
        begun.set()
        await away.wait()
        raise StoreUnavailable("away")

    monkeypatch.setattr(audit, "add", adding)
    act = log.log.act(BOSS, "cache.clear")
    recording = asyncio.create_task(log.log.record(act))
    await begun.wait()
    recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording
    away.set()
    assert [vars(line)["act"]["id"] for line in caplog.records] == [act.id]
    monkeypatch.setattr(audit, "add", add)
    assert await log.log.flush()
    assert await log.found() == [act]


@pytest.fixture
def office(database: Database, tmp_path: Path) -> Office:
    return Office(database, tmp_path / "artifacts")


async def test_a_decision_and_its_act_are_one(office: Office) -> None:
    log = Log(office.database)
    gate = {"type": "approval", "message": "Go on?", "expires_after": 60.0}
    await office.save("s", {"gate": gate})
    waiting = await office.begun("s")
    act = log.log.act(BOSS, "execution.decide")
    await office.desk.approve(waiting.id, None, "approve", None, BOSS, act)
    with pytest.raises(Conflict):
        await office.desk.approve(waiting.id, None, "reject", None, BOSS, log.log.act(BOSS, "execution.decide"))
    (found,) = await log.found(target=waiting.id)
    assert (found.id, found.after) == (act.id, {"node": "gate", "decision": "approve"})


async def test_a_definition_and_its_act_are_one(office: Office) -> None:
    log, tree = Log(office.database), {"slug": "s", "name": "S", "nodes": {"a": ASK}}

    async def save(**more: Any) -> None:
        act = log.log.act(BOSS, "workflow.save")
        await office.library.save({**tree, **more}, by="boss", act=act)

    await save()
    await save()  # nothing differs: nothing was done
    await save(name="Other")
    await office.library.archive("s", force=False, act=log.log.act(BOSS, "workflow.archive"))
    archived, second, first = await log.found(target="s")
    assert (first.before, first.after) == (None, {"version": 1, "archived": False})
    assert (second.before, second.after) == ({"version": 1, "archived": False}, {"version": 2, "archived": False})
    assert (archived.action, archived.after) == ("workflow.archive", {"archived": True, "unfinished_executions": 0})
