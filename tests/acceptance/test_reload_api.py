"""`POST /api/admin/reload`: what SIGHUP does, for administrators, who are told what became of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.settings import Settings
from gateway.workflows.door import HELD
from providers import simulator
from tests.acceptance.bad_days import MODEL, a_crowd, ask, callers, eventually, four
from tests.acceptance.bad_processes import Program, a_program, configuration
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, World

PATH = "/api/admin/reload"
NEWLY = {"routes": {"newly": {"targets": [f"alfa/{MODEL}"]}}}


@pytest.fixture
def running() -> Generator[simulator.Running]:
    with simulator.start(four()) as started:
        yield started


def asked(program: Program, path: str, method: str = "GET") -> tuple[int, Any]:
    """What an administrator is answered."""
    connection = HTTPConnection("127.0.0.1", program.port, timeout=60)
    try:
        connection.request(method, path, headers={"authorization": f"Bearer {ADMIN_KEY}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


async def wished(program: Program, config: dict[str, Any]) -> tuple[int, Any]:
    """Have it serve with these settings: the answer."""
    program.configure(config)
    return await asyncio.to_thread(asked, program, PATH, "POST")


async def renewed(program: Program, config: dict[str, Any]) -> Any:
    """What it tells once it serves with these settings; while it leaves those before, it takes no others."""
    async with asyncio.timeout(60):
        while (answer := await wished(program, config))[0] == 409:  # noqa: ASYNC110 - another process tells
            await asyncio.sleep(0.1)
    assert answer[0] == 200, answer
    return answer[1]


async def statuses(program: Program, model: str) -> set[int]:
    """What is answered over as many connections as reach every worker."""
    async with callers(key=ADMIN_KEY) as session:
        told = await asyncio.gather(
            *(ask(session, program.url, f"{n}.", model=model, temperature=1) for n in range(20))
        )
    return {one.status for one in told}


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_it_is_answered_when_all_serve_with_the_new_settings_and_tells_what_changed(
    running: simulator.Running, tmp_path: Path, workers: str
) -> None:
    config = {**configuration(running, four()), "keys": [{"name": "caller", "key": ALICE_KEY}]}
    environ = {"STEELYARD_ADMIN_KEY": ADMIN_KEY}
    with a_program(tmp_path, config, "--workers", workers, **environ) as program:
        program.start()
        program.until_migrated(ADMIN_KEY)
        async with a_crowd(program.url, pace=60, at_most=3000, key=ALICE_KEY) as crowd:
            await crowd.more(10)
            server = {"host": "localhost", "max_body": 1_000_000}
            status, told = await wished(program, {**config, **NEWLY, "server": server})
            assert (status, told) == (200, {"changed": ["server.max_body", "routes.newly"], "restart": ["server.host"]})
            assert await statuses(program, "newly") == {200}
            await crowd.more(10)
        assert not crowd.bad

        status, told = await wished(program, {**config, "rotues": {}, "timeout": {"total": "x"}})
        assert (status, told["error"]["code"], told["error"]["param"]) == (422, "invalid_settings", "settings")
        assert len(told["error"]["problems"]) == 2
        assert "rotues" in json.dumps(told["error"]["problems"])
        status, told = await wished(program, {**config, "database": {"url": "sqlite+aiosqlite:///:memory:"}})
        assert (status, told["error"]["code"]) == (422, "settings_do_not_start")
        (program.folder / "steelyard.yaml").unlink()
        status, told = await asyncio.to_thread(asked, program, PATH, "POST")
        assert (status, [one["path"] for one in told["error"]["problems"]]) == (422, ["steelyard.yaml"])
        assert "is gone" in told["error"]["message"]
        assert await statuses(program, "newly") == {200}

        program.configure(config)
        command = ["config", "reload", "--url", program.url, "--key", ADMIN_KEY]
        done = await asyncio.to_thread(CliRunner().invoke, main, command)
        assert "Changed: server.max_body, routes.newly." in done.output, done.output
        assert await statuses(program, "newly") == {404}

        # Who, from where, by which request, what; and what did not happen is not there.
        await eventually(lambda: len(acts(program)) == 2)
        for one in acts(program):
            assert (one["actor"], one["address"]) == ("admin", "127.0.0.1")
            assert one["request_id"].startswith("req_")
            assert one["after"] == {"changed": ["server.max_body", "routes.newly"]}


async def test_what_is_said_later_on_is_not_said_of_the_request_that_wished_for_it(
    running: simulator.Running, tmp_path: Path
) -> None:
    budget = {"usd": 0.01, "period": "total", "soft": 0.001}
    config = {**configuration(running, four()), "keys": [{"name": "caller", "key": ALICE_KEY, "budget": budget}]}
    with a_program(tmp_path, config, STEELYARD_ADMIN_KEY=ADMIN_KEY) as program:
        program.start()
        program.until_migrated(ADMIN_KEY)
        assert await renewed(program, {**config, **NEWLY})
        async with callers(key=ALICE_KEY) as session:
            assert (await ask(session, program.url, "what now?", model=f"alfa/{MODEL}")).good
        await eventually(lambda: bool(program.told("a budget nears its end")))
        (reloaded,), (warning,) = program.told("reloaded"), program.told("a budget nears its end")
        assert "request_id" in reloaded
        assert "request_id" not in warning


async def test_what_workflows_go_on_by_is_said_to_wait(running: simulator.Running, tmp_path: Path) -> None:
    config = configuration(running, four())
    other = {
        **config,
        "database": {"url": f"sqlite+aiosqlite:///{tmp_path}/other.db"},
        "steps": {"retries": 7},
        "workflows": {"timezone": "Europe/Berlin"},
    }
    names = ["database.url", "workflows.timezone", "steps.retries"]
    with a_program(tmp_path, config, STEELYARD_ADMIN_KEY=ADMIN_KEY) as program:
        program.start()
        program.until_migrated(ADMIN_KEY)
        # Nobody has workflows yet: nothing holds on to anything.
        assert await renewed(program, other) == {"changed": names, "restart": []}
        assert (await asyncio.to_thread(asked, program, "/api/executions"))[0] == 200
        held = ["database.url", "steps.retries"]
        assert await renewed(program, config) == {"changed": names, "restart": held}
        # They still wait, though nothing differs from before.
        assert await renewed(program, config) == {"changed": [], "restart": held}
        assert await renewed(program, other) == {"changed": names, "restart": []}


def test_what_is_held_on_to_has_the_names_that_changes_have() -> None:
    sections = {name: getattr(Settings(), name) for name in Settings.__struct_fields__}
    known = {f"{name}.{field}" for name, one in sections.items() for field in getattr(one, "__struct_fields__", ())}
    assert known >= HELD


def acts(program: Program) -> list[dict[str, Any]]:
    return asked(program, "/api/audit?action=settings.reload")[1]["acts"]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_of_several_at_a_time_the_others_are_told_of_the_one(
    running: simulator.Running, tmp_path: Path, workers: str
) -> None:
    config = configuration(running, four())
    with a_program(tmp_path, config, "--workers", workers, STEELYARD_ADMIN_KEY=ADMIN_KEY) as program:
        program.start()
        told = await asyncio.gather(*(asyncio.to_thread(asked, program, PATH, "POST") for _ in range(4)))
        # Whoever comes when one is done begins another, and whoever meets a worker that leaves is sent on.
        assert {status for status, _ in told} <= {200, 409, 503}
        assert [status for status, _ in told].count(200) >= 1
        assert {body["error"]["code"] for status, body in told if status == 409} == {"reload_under_way"}
        assert (await asyncio.to_thread(asked, program, "/api/health"))[0] == 200


def test_it_is_for_administrators_of_a_gateway_that_is_served(keyed: World) -> None:
    assert keyed.post(PATH, {}).status == 401
    assert keyed.post(PATH, {}, key=ALICE_KEY).status == 403
    embedded = keyed.post(PATH, {}, key=ADMIN_KEY)
    assert (embedded.status, embedded.json["error"]["code"]) == (409, "conflict")
