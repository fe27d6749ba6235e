"""`/api/mcp-servers` and `/api/mcp-tools`, from outside; and that the gateway takes its servers along when it stops."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.secrets import MASK
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY, World, with_keys, world_in
from tests.acceptance.tool_world import PROGRAM, SECRET, settings_of, stdio

ENTRIES = {
    "mine": stdio(allowed_keys=["alice"], timeout=2.0),
    "everyones": stdio(),
    "off": {"url": "https://x.example/mcp?token=${TOOL_SECRET}", "disabled": True},
}


def with_servers(settings: Settings, folder: Path) -> Settings:
    told = settings_of(folder, ENTRIES)
    return replace(with_keys(settings), mcp=told.mcp)


@pytest.fixture(scope="module")
def tooled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tooled")
    with world_in(folder, lambda settings: with_servers(settings, folder)) as made:
        yield made


def test_a_key_sees_the_servers_it_may_use(tooled: World):
    def seen(key: str) -> list[str]:
        return [one["name"] for one in tooled.get("/api/mcp-servers", key).json["servers"]]

    assert (seen(ALICE_KEY), seen(BOB_KEY)) == (["mine", "everyones", "off"], ["everyones", "off"])
    assert seen(ADMIN_KEY) == ["mine", "everyones", "off"]
    status = {one["name"]: one for one in tooled.get("/api/mcp-servers/status", BOB_KEY).json["servers"]}
    assert status.keys() == {"everyones", "off"}
    assert status["off"]["status"] == "disabled"
    assert tooled.get("/api/mcp-servers").status == 401


def test_settings_are_the_administrators_and_masked(tooled: World):
    assert tooled.get("/api/mcp-servers/settings", ALICE_KEY).status == 403
    answer = tooled.get("/api/mcp-servers/settings", ADMIN_KEY)
    shown = {one["name"]: one for one in answer.json["servers"]}
    assert shown["mine"]["args"] == [str(PROGRAM), "stdio"]
    assert shown["mine"]["env"] == {"TOOL_SERVER": MASK, "TOOL_SECRET": MASK}
    assert (shown["mine"]["transport"], shown["mine"]["allowed_keys"]) == ("stdio", ["alice"])
    assert (shown["off"]["transport"], shown["off"]["url"]) == ("http", f"https://x.example/mcp?{MASK}")
    assert SECRET.encode() not in answer.body


def test_tools_are_listed_and_called(tooled: World):
    tools = tooled.get("/api/mcp-servers/mine/tools", ALICE_KEY).json
    assert tools["server"] == "mine"
    assert {"add", "echo", "describe"} <= {one["name"] for one in tools["tools"]}
    refreshed = tooled.get("/api/mcp-servers/mine/tools?refresh=true", ALICE_KEY).json
    assert refreshed == tools
    answer = tooled.post("/api/mcp-tools/mine/add", {"input": {"a": 20, "b": 22}}, key=ALICE_KEY)
    assert answer.status == 200
    assert answer.json == {
        "server": "mine",
        "tool": "add",
        "is_error": False,
        "text": "42",
        "content": [{"type": "text", "text": "42"}],
        "structured": {"result": 42},
    }
    status = tooled.get("/api/mcp-servers/status", ALICE_KEY).json["servers"][0]
    assert (status["status"], status["tools"], status["reason"]) == ("running", len(tools["tools"]), None)


def test_a_tool_that_fails_is_an_answer(tooled: World):
    answer = tooled.post("/api/mcp-tools/mine/complain", {"input": {"reason": "x"}}, key=ALICE_KEY)
    assert (answer.status, answer.json["is_error"]) == (200, True)
    assert SECRET.encode() not in answer.body


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "said"),
    [
        ("everyones/ad", {"input": {}}, 404, "tool_not_found", "Did you mean 'add'?"),
        ("everyone/add", {"input": {}}, 404, "mcp_server_not_found", "Did you mean 'everyones'?"),
        ("everyones/add", {"input": {"a": 1}}, 422, "invalid_tool_input", "required"),
        ("everyones/add", {"inputs": {}}, 400, "invalid_request", "inputs"),
        ("everyones/add", {"input": [1]}, 400, "invalid_request", "input"),
        ("mine/add", {"input": {"a": 1, "b": 2}}, 403, "permission_denied", "allowed_keys"),
        ("off/add", {"input": {}}, 503, "mcp_server_unavailable", "switched off"),
    ],
)
def test_what_is_wrong_is_told(tooled: World, path: str, body: object, status: int, code: str, said: str):
    answer = tooled.post(f"/api/mcp-tools/{path}", body, key=BOB_KEY)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    assert said in answer.json["error"]["message"]


def test_the_health_of_a_server_is_told_to_keys_that_may_use_it(tooled: World):
    tooled.get("/api/mcp-servers/mine/tools", ALICE_KEY)
    running = [tooled.get("/api/health", key).json["services"]["mcp"]["running"] for key in (ALICE_KEY, ADMIN_KEY)]
    assert all("mine" in one for one in running)
    assert "mine" not in tooled.get("/api/health", BOB_KEY).json["services"]["mcp"]["running"]


def test_a_tool_that_takes_too_long_is_a_504(tooled: World):
    answer = tooled.post("/api/mcp-tools/mine/wait", {"input": {"seconds": 3600}}, key=ALICE_KEY)
    assert (answer.status, answer.json["error"]["code"]) == (504, "tool_timeout")


def test_two_calls_at_once_are_both_answered(tooled: World):
    texts: list[str] = []

    def call(text: str) -> None:
        answer = tooled.post("/api/mcp-tools/everyones/echo", {"input": {"text": text}}, key=BOB_KEY)
        texts.append(answer.json["text"])

    threads = [threading.Thread(target=call, args=(str(one),)) for one in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(texts) == [str(one) for one in range(8)]


def test_the_gateway_takes_its_servers_along(tmp_path: Path):
    with world_in(tmp_path, lambda settings: with_servers(settings, tmp_path)) as world:
        answer = world.post("/api/mcp-tools/everyones/pid", {"input": {}}, key=ALICE_KEY)
        number = answer.json["structured"]["result"]
        assert psutil.pid_exists(number)
    assert not psutil.pid_exists(number)
