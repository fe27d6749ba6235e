"""`mcp_settings.json`: what it may say, what is told of mistakes, and what of it is never shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Settings, SettingsError, load
from gateway.settings.load import load_with_origins
from gateway.settings.secrets import MASK
from gateway.settings.showing import show_settings

SECRET = "q9-hush-hush-hush-hush-9q"


def written(folder: Path, servers: object, **top: object) -> Path:
    path = folder / "mcp_settings.json"
    path.write_text(servers if isinstance(servers, str) else json.dumps({"mcpServers": servers, **top}))
    return path


def loaded(folder: Path, servers: object, **environ: str) -> Settings:
    return load({"MCP_SETTINGS_FILE": str(written(folder, servers)), "TOKEN": SECRET, **environ})


def told(folder: Path, servers: object, **environ: str) -> str:
    with pytest.raises(SettingsError) as raised:
        loaded(folder, servers, **environ)
    return str(raised.value)


def test_without_a_file_there_are_no_servers():
    assert load({}).mcp.servers == {}


def test_the_form_of_other_clients_is_understood(tmp_path: Path):
    servers = loaded(
        tmp_path,
        {
            "local": {"type": "stdio", "command": "npx", "args": ["-y", "@a/b"], "env": {"TOKEN": "${TOKEN}"}},
            "remote": {"type": "http", "url": "https://x.example/mcp", "headers": {"Authorization": "Bearer ${TOKEN}"}},
        },
    ).mcp.servers
    local, remote = servers["local"], servers["remote"]
    assert (local.command, [arg.reveal() for arg in local.args]) == ("npx", ["-y", "@a/b"])
    assert local.env["TOKEN"].reveal() == SECRET
    assert local.allowed_keys is None
    assert remote.url is not None
    assert remote.url.reveal() == "https://x.example/mcp"
    assert remote.headers["Authorization"].reveal() == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"comand": "x"}, "there is no such key. Did you mean 'command'?"),
        ({}, "exactly one of 'command'"),
        ({"command": "x", "url": "https://x.example"}, "exactly one of 'command'"),
        ({"command": "x", "headers": {"A": "b"}}, "belongs to a server with 'url'"),
        ({"url": "https://x.example", "args": ["a"]}, "belongs to a server with 'command'"),
        ({"url": "ftp://x.example"}, "write http:// or https://"),
        ({"url": "https://"}, "write http:// or https://"),
        ({"url": "https://x.example", "type": "stdio"}, "write 'http', or leave it out"),
        ({"url": "https://x.example", "type": "sse"}, "one of stdio, http, streamable-http"),
        ({"url": "https://x.example", "headers": {"A": "b\nc: d"}}, "is not a header"),
        ({"command": "x", "env": {"A B": "c"}}, "the name 'A B' is not valid"),
        ({"command": "x", "timeout": 0}, "above 0"),
        ({"command": "x", "env": {"A": "${NOT_THERE}"}}, "the variable NOT_THERE is not set"),
        ({"command": "x", "allowed_keys": ["alise"]}, "Did you mean 'alice'?"),
        ("npx", "must be a mapping"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_its_fix(tmp_path: Path, entry: object, said: str):
    message = told(tmp_path, {"mine": entry}, STEELYARD_API_KEYS="alice:k-0123456789abcdef")
    assert said in message
    assert "mcp_settings.json: mcpServers.mine" in message


def test_all_mistakes_of_all_servers_are_told_at_once(tmp_path: Path):
    message = told(tmp_path, {"a": {"comand": "x"}, "b": {"url": "nowhere"}, "c": {"command": "${GONE}"}})
    assert all(f"mcpServers.{name}" in message for name in "abc")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "this is not JSON"),
        ("[]", "must be"),
        ('{"mcpServers": []}', "must be"),
        ('{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}', "the key 'a' is there twice"),
        ('{"mcpServer": {}}', "Did you mean 'mcpServers'?"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_file_that_is_none_is_told(tmp_path: Path, text: str, said: str):
    assert said in told(tmp_path, text)


def test_a_file_that_is_not_there_is_told(tmp_path: Path):
    with pytest.raises(SettingsError, match="cannot be read"):
        load({"MCP_SETTINGS_FILE": str(tmp_path / "nowhere.json")})


def test_a_server_that_is_switched_off_may_lack_its_variables(tmp_path: Path):
    settings = loaded(tmp_path, {"a": {"command": "x", "env": {"A": "${NOT_THERE}"}, "disabled": True}})
    assert settings.mcp.servers["a"].disabled


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "x", "env": {"A": "${TOKEN}"}},
        {"command": "x", "env": {"A": SECRET}},
        {"command": "x", "args": [SECRET]},
        {"command": "x", "args": ["--api-key", SECRET]},
        {"command": "x", "args": [f"--api-key={SECRET}"]},
        {"command": "x", "args": ["--token", "${TOKEN}"]},
        {"url": f"https://x.example/mcp?token={SECRET}"},
        {"url": f"https://me:{SECRET}@x.example/mcp"},
        {"url": "https://x.example/mcp", "headers": {"X": "Bearer ${TOKEN}"}},
    ],
)
def test_a_secret_is_never_shown(tmp_path: Path, entry: dict[str, Any]):
    path = written(tmp_path, {"a": entry})
    found = load_with_origins({"MCP_SETTINGS_FILE": str(path), "TOKEN": SECRET})
    server = found.settings.mcp.servers["a"]
    assert SECRET not in f"{show_settings(found)}{found.settings!r}{server!r}{server.args_shown}"
    assert any(SECRET in one for one in server.secrets())


@pytest.mark.parametrize(
    "entry",
    [
        {"command": "x", "env": {"A": SECRET}, "timeout": -1},
        {"command": "x", "env": {"A": f"${{GONE}}{SECRET}"}},
        {"url": f"ftp://me:{SECRET}@x.example/mcp?{SECRET}"},
        {"url": "https://x.example", "headers": {"A": f"{SECRET}\nb: c"}},
    ],
)
def test_nor_is_it_in_what_is_told_of_mistakes(tmp_path: Path, entry: dict[str, Any]):
    assert SECRET not in told(tmp_path, {"a": entry})


def test_arguments_are_shown_only_where_they_cannot_be_secrets(tmp_path: Path):
    args = ["-y", "@a/b-c@1.2", "serve", "--port", "8080", "--token", "${TOKEN}", "--key=${TOKEN}", "-p", "hunter"]
    shown = loaded(tmp_path, {"a": {"command": "x", "args": args}}).mcp.servers["a"].args_shown
    assert shown == (
        *("-y", "@a/b-c@1.2", "serve", "--port", MASK),
        *("--token", "${TOKEN}", "--key=${TOKEN}", "-p", MASK),
    )
