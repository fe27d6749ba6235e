"""Keys that are revoked or rotated while their requests are under way: what was let in ends, nothing more is let in."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from providers import simulator
from tests.acceptance.bad_days import a_crowd, ask, callers, eventually, four
from tests.acceptance.bad_processes import Program, a_program, configuration
from tests.acceptance.driving import ADMIN_KEY
from tests.acceptance.flows import ENDED, Flows, an_oracle, flows_in, prompts
from tests.acceptance.gated import a_gate, whole


def manage(program: Program, method: str, path: str, body: object = None) -> Any:
    """What an administrator is answered."""
    connection = HTTPConnection("127.0.0.1", program.port, timeout=20)
    try:
        sent = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"}
        connection.request(method, path, json.dumps(body or {}), sent)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status < 300, said
        return json.loads(said)
    finally:
        connection.close()


async def test_a_stream_of_a_key_that_is_revoked_comes_to_its_end_and_the_next_does_not_begin(tmp_path: Path) -> None:
    async with a_gate() as gate:
        with a_program(tmp_path, gate.configuration, STEELYARD_ADMIN_KEY=ADMIN_KEY) as program:
            await asyncio.to_thread(program.start)
            await asyncio.to_thread(program.until_migrated, ADMIN_KEY)
            made = await asyncio.to_thread(manage, program, "POST", "/api/keys", {"name": "leaving"})
            async with callers(key=made["key"]) as session:
                asked = asyncio.create_task(ask(session, program.url, "Go on.", stream=True))
                await eventually(lambda: gate.waiting == 1)
                await asyncio.to_thread(manage, program, "DELETE", f"/api/keys/{made['id']}")
                assert (await ask(session, program.url, "Another.", stream=True)).status == 401
                gate.open()
                assert whole(await asked)
            assert gate.waiting == 1


async def test_a_key_is_rotated_with_an_overlap_under_load_and_no_request_fails(tmp_path: Path) -> None:
    with simulator.start(four()) as running:
        config = configuration(running, four())
        with a_program(tmp_path, config, "--workers", "2", STEELYARD_ADMIN_KEY=ADMIN_KEY) as program:
            program.start()
            program.until_migrated(ADMIN_KEY)
            await eventually(lambda: len(program.told("a worker is ready")) == 2)
            old = manage(program, "POST", "/api/keys", {"name": "turning"})
            await opened(program, old["key"])
            async with a_crowd(program.url, pace=60, at_most=3000, key=old["key"]) as before:
                await before.more(20)
                turn = asyncio.to_thread(manage, program, "POST", f"/api/keys/{old['id']}/rotate", {"overlap": 600})
                new = await turn
                await before.more(20)
                await opened(program, new["key"])
                async with a_crowd(program.url, pace=60, at_most=3000, key=new["key"]) as after:
                    await asyncio.gather(before.more(20), after.more(40))
            assert not before.bad
            assert not after.bad


async def opened(program: Program, key: str) -> None:
    """Wait until every worker knows a key, which takes a second."""
    known = 0
    while known < 20:
        known = known + 1 if program.get("/v1/models", authorization=f"Bearer {key}") == 200 else 0
        await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Generator[Flows]:
    with an_oracle() as oracle, flows_in(tmp_path_factory.mktemp("flows"), oracle) as made:
        yield made


def test_an_execution_of_a_key_that_is_revoked_ends_what_it_asked_and_asks_no_more(flows: Flows) -> None:
    made = flows.call("POST", "/api/keys", {"name": "beginner"}, key=ADMIN_KEY).json
    flows.save(prompts("abandoned", "the-first WAIT", "the-second"))
    flows.oracle.hold("WAIT")
    begun = flows.begin("abandoned", key=made["key"])
    flows.eventually(lambda: flows.oracle.times("the-first") == 1)
    assert flows.call("DELETE", f"/api/keys/{made['id']}", key=ADMIN_KEY).status == 200
    flows.oracle.go_on("WAIT")
    ended = flows.eventually(lambda: flows.get(begun, ADMIN_KEY), lambda one: one["status"] in ENDED)
    assert ended["status"] == "failed"
    assert flows.oracle.times("the-second") == 0
    first, second = flows.call("GET", f"/api/executions/{begun}/steps", key=ADMIN_KEY).json["steps"]
    # What was asked before is paid, and so it is kept.
    assert first["status"] == "succeeded"
    assert "may do this no more" in json.dumps(second)
    assert flows.call("GET", f"/api/executions/{begun}", key=made["key"]).status == 401
