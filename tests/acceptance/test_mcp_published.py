"""An MCP server that others have written and published on PyPI, `mcp-server-time`: over HTTP, and from a workflow."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, World, with_keys, world_in
from tests.acceptance.tool_world import settings_of
from tests.serving import with_worker

ENTRY = {"command": sys.executable, "args": ["-m", "mcp_server_time", "--local-timezone", "Europe/Berlin"]}
ASKED = {"source_timezone": "UTC", "time": "16:30", "target_timezone": "Asia/Tokyo"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("published")

    def with_clock(settings: Settings) -> Settings:
        return replace(with_keys(settings), mcp=settings_of(folder, {"clock": ENTRY}).mcp)

    with world_in(folder, with_clock, with_worker) as made:
        yield made


def test_its_tools_are_listed_and_called(world: World) -> None:
    tools = world.get("/api/mcp-servers/clock/tools", ALICE_KEY).json["tools"]
    assert {one["name"] for one in tools} == {"get_current_time", "convert_time"}
    answer = world.post("/api/mcp-tools/clock/convert_time", {"input": ASKED}, key=ALICE_KEY)
    assert (answer.status, answer.json["is_error"]) == (200, False)
    converted = json.loads(answer.json["text"])
    assert converted["target"]["datetime"].endswith("T01:30:00+09:00")
    wrong = world.post("/api/mcp-tools/clock/convert_time", {"input": {**ASKED, "time": "noon"}}, key=ALICE_KEY)
    assert (wrong.status, wrong.json["is_error"]) == (200, True)
    assert "time" in wrong.json["text"].lower()


def test_a_workflow_calls_it(world: World) -> None:
    call = {"type": "tool", "server": "clock", "tool": "convert_time", "input": {**ASKED, "time": "{{ input.at }}"}}
    spelled: Any = {"slug": "clock", "name": "Clock", "nodes": {"clock": call}}
    spelled["outputs"] = {"told": "{{ nodes.clock.output.text }}"}
    spelled["input_schema"] = {"type": "object", "required": ["at"], "properties": {"at": {"type": "string"}}}
    assert world.post("/api/workflows", spelled, key=ADMIN_KEY).status == 201
    done = world.post("/api/workflows/clock/execute?wait=60", {"inputs": {"at": "02:15"}}, key=ALICE_KEY).json
    assert done["status"] == "completed", done
    assert json.loads(done["outputs"]["told"])["target"]["datetime"].endswith("T11:15:00+09:00")
    failed = world.post("/api/workflows/clock/execute?wait=60", {"inputs": {"at": "noon"}}, key=ALICE_KEY).json
    assert failed["status"] == "failed"
    assert failed["error"]["type"] == "tool_error"
