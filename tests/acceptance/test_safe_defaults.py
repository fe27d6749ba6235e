"""What holds without being asked for: headers that bind browsers, bounds on bodies, names of this machine only."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, OPENAI, World, world_in

TURNS = [{"role": "user", "content": "Hello"}]
BOUND = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
ASKED = {
    "health": ("GET", "/health", None),
    "models": ("GET", "/v1/models", None),
    "nothing": ("GET", "/nothing-here", None),
    "wrong-method": ("DELETE", "/v1/models", None),
    "turned-away": ("POST", "/v1/chat/completions", b"{"),
    "whole": ("POST", "/v1/chat/completions", {"model": OPENAI, "messages": TURNS}),
    "streamed": ("POST", "/v1/chat/completions", {"model": OPENAI, "messages": TURNS, "stream": True}),
    "embeddings": ("POST", "/v1/embeddings", {"model": "sim-embed", "input": "a"}),
    "metrics": ("GET", "/metrics", None),
    "document": ("GET", "/openapi.json", None),
}


@pytest.mark.parametrize("name", ASKED)
def test_every_answer_binds_browsers(world: World, name: str) -> None:
    method, path, body = ASKED[name]
    answer = world.call(method, path, body)
    told = {header: answer.headers.get(header) for header in BOUND}
    # A stream is told not to be kept in the word that proxies know.
    assert told == (BOUND | {"cache-control": "no-cache"} if name == "streamed" else BOUND)
    assert not {"server", "x-powered-by"} & answer.headers.keys()


def test_who_has_no_key_is_told_under_the_same_headers(keyed: World) -> None:
    for path in ("/v1/models", "/api/db/stats"):
        answer = keyed.get(path)
        assert answer.status == 401
        assert BOUND.items() <= answer.headers.items()


def test_the_page_runs_one_script_of_a_known_checksum_and_asks_nobody_else(world: World) -> None:
    answer = world.get("/docs")
    page, policy = answer.body.decode(), answer.headers["content-security-policy"]
    assert {**BOUND, "content-security-policy": policy}.items() <= answer.headers.items()
    sources = re.findall(r'(?:src|href)="(http[^"]+)"', page)
    assert len(sources) == 1
    assert re.search(r'integrity="sha384-[A-Za-z0-9+/]{64}"', page)
    assert f"script-src {sources[0]};" in policy
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "@latest" not in page


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/llm/orchestrate"])
def test_a_body_is_nested_so_deep_and_no_deeper(world: World, path: str) -> None:
    turns = {"model": OPENAI, "max_tokens": 5, ("input" if path == "/v1/responses" else "messages"): TURNS}
    tool = {"type": "function", "name": "f", "function": {"name": "f", "parameters": {}}, "input_schema": {}}
    text = json.dumps({**turns, "tools": [tool]})
    answer = world.post(path, text.replace("{}", f'{{"a": {nested(200)}}}').encode())
    assert (answer.status, answer.json["error"]["code"]) == (400, "nested_too_deeply")
    assert "STEELYARD_MAX_NESTING" in answer.json["error"]["message"]


def test_brackets_within_a_text_are_no_nesting(world: World) -> None:
    for said in ("[" * 1_000, "\\" + "{" * 1_000, '"[{' * 300 + "\\"):
        assert world.chat(said).status == 200


@pytest.mark.parametrize("levels", [200, 400, 900])
def test_an_ordinary_routes_body_is_bound_too(world: World, levels: int) -> None:
    for path in ("/api/workflows", "/api/feedback", "/api/llm/dwa/simulate"):
        answer = world.post(path, f'{{"slug": "a", "nodes": {nested(levels)}}}'.encode())
        assert (answer.status, answer.json["error"]["code"]) == (400, "nested_too_deeply")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil"])
def test_no_page_whose_name_points_here_reads_or_asks_without_a_key(world: World, host: str) -> None:
    # DNS rebinding: the browser believes that page and gateway are one site, so CORS does not part them.
    before = world.asked()
    for answer in (
        world.call("GET", "/api/db/requests/recent", None, host=host),
        world.call("GET", "/api/sessions", None, host=host, authorization="Bearer any"),
        world.call("POST", "/v1/chat/completions", {"model": OPENAI, "messages": TURNS}, host=host),
    ):
        assert (answer.status, answer.json["error"]["code"]) == (403, "unknown_host")
    assert world.asked() == before


@pytest.mark.parametrize(
    "host", ["localhost:8000", "LOCALHOST", "steelyard.localhost", "127.0.0.1", "127.1.2.3:1", "[::1]:8000"]
)
def test_by_this_machines_names_everybody_is_answered(world: World, host: str) -> None:
    assert world.call("GET", "/api/sessions", None, host=host).status == 200


def test_with_a_key_any_name_will_do(keyed: World) -> None:
    for key in (ALICE_KEY, ADMIN_KEY):
        assert keyed.call("GET", "/api/sessions", None, key=key, host="llm.example.com").status == 200


def test_who_lets_everybody_in_says_so_and_has_any_name(tmp_path: Path) -> None:
    def to_all(settings: Settings) -> Settings:
        return replace(settings, auth=replace(settings.auth, allow_anonymous=True))

    with world_in(tmp_path, to_all) as made:
        assert made.call("GET", "/v1/models", None, host="llm.example.com").status == 200
