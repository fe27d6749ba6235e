"""MCP servers, real ones: started when needed, kept running, stopped without a trace, and what befalls them."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from gateway.errors import Forbidden, Invalid, McpUnavailable, NotFound, ToolTimedOut
from gateway.governance.keys import Principal
from gateway.mcp.servers import Servers
from gateway.mcp.words import Status
from gateway.settings.secrets import MASK
from tests.acceptance.tool_world import PROGRAM, SECRET, free_port, over_http, servers_of, settings_of, stdio, until

Make = Callable[..., Servers]
ALICE, BOB, ADMIN = Principal("alice"), Principal("bob"), Principal("admin", admin=True)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Servers] = []

    def make(**entries: Any) -> Servers:
        made.append(servers_of(settings_of(tmp_path, entries)))
        return made[-1]

    yield make
    await asyncio.gather(*(one.stop() for one in made))


def status(servers: Servers) -> Status:
    return servers.everyone()[0].status()


async def number(servers: Servers) -> int:
    """Of the server's process."""
    return (await servers.call(ALICE, "mine", "pid", {})).structured["result"]


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_server_is_started_when_it_is_needed(make: Make, transport: str):
    port = free_port()
    with over_http(port):
        servers = make(mine=stdio() if transport == "stdio" else {"url": f"http://127.0.0.1:{port}/mcp"})
        assert status(servers).status == "stopped"
        outcome = await servers.call(ALICE, "mine", "add", {"a": 2, "b": 3})
        assert (outcome.text, outcome.structured, outcome.is_error) == ("5", {"result": 5}, False)
        assert outcome.content == [{"type": "text", "text": "5"}]
        told = status(servers)
        assert (told.status, told.reason, told.restarts) == ("running", None, 0)
        assert told.server == "tool-server 1.2.3"
        tools = {tool.name: tool for tool in await servers.tools(ALICE, "mine")}
        assert tools["add"].description == "Add two numbers."
        assert tools["add"].input_schema["required"] == ["a", "b"]
        described = await servers.call(ALICE, "mine", "describe", {"name": "x"})
        assert described.structured == {"name": "x", "tags": ["a", "b"]}
        await servers.stop()
        assert status(servers).status == "stopped"
        with pytest.raises(McpUnavailable, match="being stopped"):
            await servers.call(ALICE, "mine", "add", {"a": 2, "b": 3})


async def test_calls_at_once_share_one_process_and_do_not_wait_for_each_other(make: Make):
    servers = make(mine=stdio("slow"))
    first, second = await asyncio.gather(number(servers), number(servers))
    assert first == second
    ended: list[str] = []

    async def call(tool: str, **given: Any) -> None:
        await servers.call(ALICE, "mine", tool, given)
        ended.append(tool)

    await asyncio.gather(call("wait", seconds=2.0), call("echo", text="x"))
    assert ended == ["echo", "wait"]


async def test_a_tool_that_fails_says_so_without_the_servers_secrets(make: Make):
    outcome = await make(mine=stdio()).call(ALICE, "mine", "complain", {"reason": "because"})
    assert outcome.is_error
    assert f"this failed: because {MASK}" in outcome.text
    assert SECRET not in repr(outcome)


async def test_a_secret_in_an_answer_is_masked(make: Make):
    assert (await make(mine=stdio()).call(ALICE, "mine", "told", {})).text == MASK


async def test_an_unknown_tool_or_server_is_told_with_the_nearest(make: Make):
    servers = make(mine=stdio())
    with pytest.raises(NotFound, match="Did you mean 'describe'"):
        await servers.call(ALICE, "mine", "descrybe", {"name": "x"})
    with pytest.raises(NotFound, match="Did you mean 'mine'"):
        await servers.call(ALICE, "mein", "add", {})


async def test_an_input_is_held_against_the_tools_schema(make: Make):
    with pytest.raises(Invalid) as raised:
        await make(mine=stdio()).call(ALICE, "mine", "add", {"a": "two"})
    assert [one["path"] for one in raised.value.problems] == ["$", "$.a"]


async def test_a_server_that_dies_is_started_again(make: Make, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    servers = make(mine=stdio())
    before = await number(servers)
    with pytest.raises(McpUnavailable, match="went away during the call"):
        await servers.call(ALICE, "mine", "die", {"code": 3})
    assert status(servers).status == "failed"
    await until(lambda: status(servers).retry_at is not None)
    assert status(servers).reason == f"It ended by itself. Its last words: dying of 3 {MASK}"
    with pytest.raises(McpUnavailable, match="Its last words") as raised:
        await number(servers)
    assert raised.value.retry_after is not None
    await until(lambda: status(servers).status == "running")
    assert await number(servers) != before
    assert status(servers).restarts == 1
    assert SECRET not in caplog.text + "".join(str(vars(record)) for record in caplog.records)


async def test_a_death_is_noticed_though_a_child_holds_the_pipes(make: Make):
    servers = make(mine=stdio("child"))
    child = psutil.Process(await number(servers)).children()[0]
    with pytest.raises(McpUnavailable, match="went away during the call"):
        await servers.call(ALICE, "mine", "die", {"code": 3})
    await until(lambda: status(servers).status == "running")
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


async def test_a_call_that_takes_too_long_ends_and_the_server_lives_on(make: Make):
    servers = make(mine=stdio(timeout=1.0))
    before = await number(servers)
    with pytest.raises(ToolTimedOut, match="took longer than 1 s"):
        await servers.call(ALICE, "mine", "wait", {"seconds": 3600})
    assert await number(servers) == before


async def test_a_server_that_hangs_as_a_whole_is_started_again(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.mcp.server._PROBE", 0.5)
    servers = make(mine=stdio(timeout=2.0))
    before = await number(servers)
    with pytest.raises(ToolTimedOut):
        await servers.call(ALICE, "mine", "hang", {})
    await until(lambda: status(servers).restarts == 1 and status(servers).status == "running")
    assert await number(servers) != before
    assert not psutil.pid_exists(before)


async def test_a_cancelled_call_leaves_the_server_usable(make: Make):
    servers = make(mine=stdio())
    before = await number(servers)
    call = asyncio.create_task(servers.call(ALICE, "mine", "wait", {"seconds": 3600}))
    await asyncio.sleep(0.2)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await number(servers) == before


async def test_rubbish_on_standard_output_is_passed_over(make: Make, caplog: pytest.LogCaptureFixture):
    outcome = await make(mine=stdio("rubbish")).call(ALICE, "mine", "add", {"a": 1, "b": 1})
    assert outcome.text == "2"
    assert "writes what is no message" in caplog.text
    assert "rubbish" not in caplog.text


async def test_of_a_flood_on_standard_error_a_part_is_logged(make: Make, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, logger="steelyard.mcp"):
        outcome = await make(mine=stdio("loud")).call(ALICE, "mine", "add", {"a": 1, "b": 1})
    assert outcome.text == "2"
    assert 100 <= caplog.text.count("an MCP server says") < 10_000


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (stdio("stuck", start_timeout=1.0), "It was not ready within 1 s of its start ('start_timeout')."),
        (stdio("short-lived"), f"Connection closed (no licence found for {MASK})"),
        ({"command": "/nowhere/at-all"}, "There is no such program: /nowhere/at-all"),
        ({"command": "cat", "start_timeout": 1.0}, None),
        ({"url": f"http://127.0.0.1:{free_port()}/mcp?token=${{TOOL_SECRET}}"}, None),
    ],
    ids=["stuck", "short-lived", "no program", "no server", "no address"],
)
async def test_a_server_that_cannot_be_had_says_why(make: Make, entry: dict[str, Any], reason: str | None):
    servers = make(mine=entry)
    with pytest.raises(McpUnavailable) as raised:
        await servers.call(ALICE, "mine", "add", {"a": 1, "b": 1})
    told = status(servers)
    assert told.status == "failed"
    assert told.reason
    assert reason in (None, told.reason)
    assert told.reason in raised.value.message
    assert raised.value.retry_after is not None
    assert SECRET not in raised.value.message
    await servers.stop()
    assert not [one for one in psutil.Process().children() if "tool_server" in " ".join(one.cmdline())]


async def test_no_address_with_a_secret_is_logged(make: Make, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    port = free_port()
    with over_http(port):
        servers = make(mine={"url": f"http://127.0.0.1:{port}/nothing?token=${{TOOL_SECRET}}"})
        with pytest.raises(McpUnavailable, match="404"):
            await servers.tools(ALICE, "mine")
    assert SECRET not in caplog.text


async def test_a_server_that_always_fails_rests_until_it_is_needed(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.mcp.server.FIRST_PAUSE", 0.001)
    servers = make(mine={"command": "/nowhere/at-all"})
    with pytest.raises(McpUnavailable):
        await servers.tools(ALICE, "mine")
    await until(lambda: status(servers).restarts == 4)
    await asyncio.sleep(0.2)
    assert (status(servers).restarts, status(servers).status) == (4, "failed")
    with pytest.raises(McpUnavailable):
        await servers.tools(ALICE, "mine")
    await until(lambda: status(servers).restarts == 8)


async def test_a_server_at_rest_that_is_well_again_answers_the_first_call(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gateway.mcp.server.FIRST_PAUSE", 0.001)
    program = tmp_path / "later"
    servers = make(mine={"command": str(program)})
    with pytest.raises(McpUnavailable):
        await servers.tools(ALICE, "mine")
    await until(lambda: status(servers).restarts == 4)
    await asyncio.sleep(0.2)
    program.write_text(f"#!/bin/sh\nexec {sys.executable} {PROGRAM} stdio\n")
    program.chmod(0o755)
    assert (await servers.call(ALICE, "mine", "add", {"a": 1, "b": 1})).text == "2"


async def test_an_sdk_that_cannot_be_loaded_keeps_nobody_waiting(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "gateway.mcp.connection", None)
    with pytest.raises(McpUnavailable, match="defect"):
        await make(mine=stdio()).tools(ALICE, "mine")


async def test_an_http_server_that_was_replaced_is_found_again(make: Make):
    port = free_port()
    servers = make(mine={"url": f"http://127.0.0.1:{port}/mcp"})
    with over_http(port) as first:
        assert await number(servers) == first.pid
        with pytest.raises(McpUnavailable):
            await servers.call(ALICE, "mine", "die", {"code": 1})
    with over_http(port) as second:
        await until(lambda: status(servers).status == "running")
        assert await number(servers) == second.pid


async def test_a_key_uses_what_it_is_allowed(make: Make):
    servers = make(
        mine=stdio(allowed_keys=["alice"]), off={"command": "x", "disabled": True}, none=stdio(allowed_keys=[])
    )
    names = {who.name: [one.spec.name for one in servers.of(who)] for who in (ALICE, BOB, ADMIN)}
    assert names == {"alice": ["mine", "off"], "bob": ["off"], "admin": ["mine", "off", "none"]}
    with pytest.raises(Forbidden):
        await servers.call(BOB, "mine", "add", {"a": 1, "b": 1})
    with pytest.raises(Forbidden):
        await servers.tools(ALICE, "none")
    with pytest.raises(McpUnavailable, match="switched off"):
        await servers.tools(ALICE, "off")
    assert status(servers).status == "stopped"
    assert (await servers.call(ADMIN, "mine", "add", {"a": 1, "b": 1})).text == "2"


async def test_only_allowed_tools_are_there(make: Make):
    servers = make(mine=stdio(allowed_tools=["add"]))
    assert [tool.name for tool in await servers.tools(ALICE, "mine")] == ["add"]
    with pytest.raises(NotFound):
        await servers.call(ALICE, "mine", "echo", {"text": "x"})


@pytest.mark.parametrize("how", ["", "child", "deaf"])
async def test_stopping_leaves_no_process(make: Make, how: str):
    servers = make(mine=stdio(how))
    mine = psutil.Process(await number(servers))
    processes = [mine, *mine.children(recursive=True)]
    assert len(processes) == (2 if how == "child" else 1)
    await servers.stop()
    await until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes))


async def test_stopping_while_it_starts_leaves_no_process(make: Make):
    servers = make(mine=stdio("stuck"))
    call = asyncio.create_task(servers.tools(ALICE, "mine"))
    here = psutil.Process()
    processes: list[psutil.Process] = []

    def begun() -> bool:
        # Other tests of this process may have children of their own.
        processes.extend(one for one in here.children() if "tool_server" in " ".join(one.cmdline()))
        return bool(processes)

    await until(begun)
    await servers.stop()
    with pytest.raises(McpUnavailable):
        await call
    assert not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


async def test_after_a_reload_what_is_unchanged_runs_on(make: Make):
    old = make(mine=stdio(), other=stdio())
    kept = await number(old)
    gone = (await old.call(ALICE, "other", "pid", {})).structured["result"]
    new = make(mine=stdio(), other=stdio(timeout=7.0))
    new.take_over(old)
    await old.stop()
    assert await number(new) == kept
    assert not psutil.pid_exists(gone)
    assert (await new.call(ALICE, "other", "pid", {})).structured["result"] != gone


async def test_calls_are_counted_by_names_that_the_server_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    told: list[tuple[str, str, str]] = []
    took: list[float] = []

    def counted(server: str, tool: str, outcome: str, seconds: float) -> None:
        told.append((server, tool, outcome))
        took.append(seconds)

    servers = servers_of(settings_of(tmp_path, {"mine": stdio(allowed_keys=["alice"], timeout=1.0)}), counted)
    try:
        await servers.call(ALICE, "mine", "add", {"a": 2, "b": 3})
        await servers.call(ALICE, "mine", "complain", {"reason": "x"})
        for tool, given, fault in (
            ("add", {"a": "two"}, Invalid),
            ("no-such", {}, NotFound),
            ("wait", {"seconds": 60}, ToolTimedOut),
        ):
            with pytest.raises(fault):
                await servers.call(ALICE, "mine", tool, given)
        for by, server, fault in ((BOB, "mine", Forbidden), (ALICE, "nobody", NotFound)):
            with pytest.raises(fault):
                await servers.call(by, server, "add", {})
        # As many names as a server likes to tell, but not among the metrics.
        monkeypatch.setattr("gateway.mcp.servers._MOST_LABELS", len({"add", "complain", "wait"}))
        await servers.call(ALICE, "mine", "pid", {})
        await servers.call(ALICE, "mine", "add", {"a": 2, "b": 3})
    finally:
        await servers.stop()
    assert told == [
        ("mine", "add", "ok"),
        ("mine", "complain", "tool_error"),
        ("mine", "add", "invalid"),
        ("mine", "other", "not_found"),
        ("mine", "wait", "timed_out"),
        ("mine", "other", "ok"),
        ("mine", "add", "ok"),
    ]
    assert took[4] >= 1.0


async def test_a_tool_is_known_to_be_missing_once_its_server_has_told_its_tools(make: Make):
    servers = make(mine=stdio())
    assert servers.lacks("mine", "ad") is None
    assert servers.lacks("min", "add") == ("server", "There is no MCP server 'min'. Did you mean 'mine'?")
    await servers.tools(ALICE, "mine")
    assert servers.lacks("mine", "add") is None
    assert servers.lacks("mine", "ad") == ("tool", "'mine' has no tool 'ad'. Did you mean 'add'?")
