"""A web page of another site cannot have a browser spend the money of a gateway that asks nobody for a key."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from tests.acceptance.driving import ALICE_KEY, OPENAI, Answer, World, with_keys, world_in

TURNS = [{"role": "user", "content": "Hello"}]
PATHS = {
    "/v1/chat/completions": {"model": OPENAI, "messages": TURNS},
    "/v1/messages": {"model": OPENAI, "messages": TURNS, "max_tokens": 50},
    "/v1/responses": {"model": OPENAI, "input": "Hello", "store": False},
    "/api/llm/orchestrate": {"model": OPENAI, "messages": TURNS, "cache": False},
    f"/v1beta/models/{OPENAI}:generateContent?key=any": {"contents": [{"parts": [{"text": "Hello"}]}]},
}
EVIL = "https://evil.example"
CHAT = "/v1/chat/completions"


def told(world: World, path: str = CHAT, **headers: str) -> Answer:
    """The answer to a POST with these headers."""
    return world.post(path, PATHS.get(path, {}), **headers)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["text/plain", "Text/Plain; charset=utf-8", "application/x-www-form-urlencoded", ""])
def test_what_any_page_could_send_is_refused_before_it_costs_anything(world: World, path: str, kind: str) -> None:
    before = world.asked()
    answer = told(world, path, origin=EVIL, content_type=kind)
    assert answer.status == 403
    assert EVIL.encode() in answer.body
    assert b"STEELYARD_API_KEYS" in answer.body
    assert world.asked() == before


def test_a_body_without_a_type_and_a_page_without_an_address_are_refused_too(world: World) -> None:
    assert told(world, origin=EVIL).status == 403
    assert told(world, origin="null", content_type="text/plain").status == 403
    answer = told(world, "/api/llm/dwa/reset", origin=EVIL, content_type="text/plain")
    assert (answer.status, answer.json["error"]["code"]) == (403, "cross_site_request")


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "text/plain"},
        {"content_type": "application/json", "origin": "http://localhost:5173"},
        {"content_type": "application/json; charset=utf-8", "origin": EVIL},
        {"content_type": "text/plain", "origin": "http://localhost:5173", "authorization": "Bearer any"},
    ],
    ids=["no-page", "development-proxy", "asked-first", "key-asked-first"],
)
def test_what_no_foreign_page_can_send_is_answered(world: World, headers: dict[str, str]) -> None:
    assert told(world, **headers).status == 200


def test_the_gateways_own_pages_are_answered(world: World) -> None:
    assert told(world, origin=world.url, content_type="text/plain").status == 200


def test_no_browser_is_given_leave_to_send_more(world: World) -> None:
    asks = {"origin": EVIL, "access_control_request_method": "POST", "access_control_request_headers": "content-type"}
    answer = world.call("OPTIONS", CHAT, None, **asks)
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_key_is_enough_and_its_absence_a_401(keyed: World) -> None:
    kind = {"origin": EVIL, "content_type": "text/plain"}
    assert told(keyed, **kind).status == 401
    assert told(keyed, authorization=f"Bearer {ALICE_KEY}", **kind).status == 200


def test_those_let_in_without_a_key_although_there_are_keys_are_no_foreign_pages(tmp_path: Path) -> None:
    def to_all(settings: Settings) -> Settings:
        return replace(settings, auth=replace(settings.auth, allow_anonymous=True))

    with world_in(tmp_path, with_keys, to_all) as open_world:
        assert told(open_world, content_type="text/plain").status == 200
        assert told(open_world, content_type="text/plain", origin=EVIL).status == 403
