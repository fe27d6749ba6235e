"""What a key says of models, providers, caching and bodies holds on every surface, whichever way the key was made."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.settings import Settings, SettingsError, load
from gateway.settings.secrets import Secret
from gateway.settings.shared import Key
from gateway.settings.tree import RouteSettings
from tests.acceptance.driving import ADMIN_KEY, World, with_keys, world_in

_names = (f"allowed-{number}" for number in itertools.count())
_CONFIGURED = "sk-sy-configured-0123456789abcdef0123456789"
_QUIET = "quiet-0123456789abcdef0123456789abcdef"


def configured(settings: Settings) -> Settings:
    """Keys of the configuration with the same fields, and two routes."""
    settings = with_keys(settings)
    mine = Key(name="mine", key=Secret(_CONFIGURED), models=("sim-chat",), providers=("sim-openai",))
    quiet = Key(name="quiet", key=Secret(_QUIET), cache="never", log_bodies=False)
    routes = {
        "both": RouteSettings(name="both", targets=("sim-openai/sim-chat", "sim-anthropic/sim-chat")),
        "claude": RouteSettings(name="claude", targets=("sim-anthropic/sim-chat",)),
    }
    log = replace(settings.request_log, bodies=True)
    return replace(settings, keys=(*settings.keys, mine, quiet), routes=routes, request_log=log)


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("allowing"), configured) as made:
        yield made


def make(world: World, **given: Any) -> str:
    answer = world.post("/api/keys", {"name": next(_names), **given}, key=ADMIN_KEY)
    assert answer.status == 201, answer.body
    return answer.json["key"]


@pytest.fixture(scope="module", params=["made", "configured"])
def narrow(request: pytest.FixtureRequest, trusting: World) -> str:
    """A key for one model of one provider."""
    if request.param == "configured":
        return _CONFIGURED
    return make(trusting, models=["sim-chat"], providers=["sim-openai"])


def test_only_what_it_may_use_is_listed(trusting: World, narrow: str) -> None:
    names = ["both", "sim-chat", "auto"]
    assert [one["id"] for one in trusting.get("/v1/models", narrow).json["data"]] == names
    assert [one["displayName"] for one in trusting.get("/v1beta/models", narrow).json["models"]] == names
    claude = trusting.call("GET", "/v1/models", key=narrow, anthropic_version="2023-06-01").json
    assert [one["id"] for one in claude["data"]] == names
    assert [one["id"] for one in trusting.get("/api/llm/models", narrow).json["models"]] == ["sim-openai/sim-chat"]
    assert [one["name"] for one in trusting.get("/api/llm/providers", narrow).json["providers"]] == ["sim-openai"]
    routes = trusting.get("/api/llm/routes", narrow).json["routes"]
    assert [(one["name"], one["targets"]) for one in routes] == [("both", ["sim-openai/sim-chat"])]
    for path, status in (
        ("/v1/models/sim-chat", 200),
        ("/v1/models/sim-openai/sim-chat", 200),
        ("/v1/models/sim-anthropic/sim-chat", 403),
        ("/v1beta/models/claude", 403),
        ("/v1/models/none", 404),
    ):
        assert trusting.get(path, narrow).status == status


@pytest.mark.parametrize("model", ["auto", "sim-chat", "both", "sim-openai/sim-chat"])
def test_only_who_it_may_use_answers(trusting: World, narrow: str, model: str) -> None:
    answers = [trusting.chat(f"{model} {number}", model, key=narrow) for number in range(4)]
    assert {one.headers["x-steelyard-provider"] for one in answers} == {"sim-openai"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "sim-anthropic/sim-chat", "messages": [{"role": "user", "content": "x"}]}),
        ("/v1/messages", {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}),
        ("/v1beta/models/sim-gemini/sim-chat:generateContent", {"contents": [{"parts": [{"text": "x"}]}]}),
        ("/v1/responses", {"model": "sim-gemini/sim-chat", "input": "x"}),
        ("/v1/embeddings", {"model": "sim-embed", "input": "x"}),
        ("/v1/messages/count_tokens", {"model": "claude", "messages": [{"role": "user", "content": "x"}]}),
        ("/api/llm/orchestrate", {"model": "claude", "prompt": "x"}),
        ("/api/llm/orchestrate", {"prompt": "x", "providers": ["sim-anthropic"]}),
        ("/api/llm/orchestrate", {"prompt": "x", "providers": ["sim-anthropic"], "mode": "compare"}),
    ],
)
def test_anything_else_is_refused_by_name_on_every_surface(
    trusting: World, narrow: str, path: str, body: dict[str, Any]
) -> None:
    before = trusting.asked()
    answer = trusting.post(path, body, key=narrow)
    if answer.status == 404:
        pytest.fail(f"there is no such model: {answer.body!r}")
    assert answer.status == 403, answer.body
    assert "It may use: " in answer.body.decode()
    assert trusting.asked() == before


def test_what_a_key_may_use_is_part_of_the_question(trusting: World) -> None:
    """An answer that is cached from before is none of somebody who may not be used any more."""
    made = trusting.post("/api/keys", {"name": next(_names), "cache": "always"}, key=ADMIN_KEY).json
    first = trusting.chat("Who are you?", "both", key=made["key"])
    assert trusting.chat("Who are you?", "both", key=made["key"]).headers["x-steelyard-cache"] == "hit"
    other = {"sim-openai": "sim-anthropic", "sim-anthropic": "sim-openai"}[first.headers["x-steelyard-provider"]]
    changed = trusting.call("PATCH", f"/api/keys/{made['id']}", {"providers": [other]}, key=ADMIN_KEY)
    assert changed.status == 200
    again = trusting.chat("Who are you?", "both", key=made["key"])
    assert (again.headers["x-steelyard-cache"], again.headers["x-steelyard-provider"]) == ("miss", other)


def test_a_key_says_when_its_answers_are_cached(trusting: World) -> None:
    always, never = make(trusting, cache="always"), make(trusting, cache="never")

    def asked(key: str | None, **more: Any) -> list[str]:
        return [trusting.chat("Twice", key=key, **more).headers["x-steelyard-cache"] for _ in range(2)]

    assert asked(always) == ["miss", "hit"]
    assert asked(never, temperature=0) == ["bypass", "bypass"]
    assert asked(_QUIET, temperature=0) == ["bypass", "bypass"]
    assert asked(make(trusting), temperature=0) == ["miss", "hit"]
    # The request's own word goes before its key's.
    assert asked(never, headers={"x-steelyard-cache": "on"}) == ["miss", "hit"]


def test_a_key_says_whether_its_bodies_are_kept(trusting: World) -> None:
    """Here they are, unless the key says otherwise."""
    for key, kept in ((make(trusting), True), (make(trusting, log_bodies=False), False), (_QUIET, False)):
        identity = trusting.chat("Secret words", key=key).headers["x-steelyard-request-id"]
        record = trusting.record(identity, ADMIN_KEY)
        assert ("Secret words" in (record["request_body"] or ""), record["response_body"] is not None) == (kept, kept)


def test_bodies_may_be_kept_of_one_key_only(keyed: World) -> None:
    key = make(keyed, log_bodies=True)
    record = keyed.record(keyed.chat("Keep this", key=key).headers["x-steelyard-request-id"], ADMIN_KEY)
    assert "Keep this" in record["request_body"]


def test_a_key_chooses_how_its_requests_are_routed(keyed: World) -> None:
    key = make(keyed, strategy="round_robin", objective="cheapest")
    record = keyed.record(keyed.chat("Hello", key=key).headers["x-steelyard-request-id"], ADMIN_KEY)
    assert (record["strategy"], record["objective"]) == ("round_robin", "cheapest")


def test_two_keys_do_not_share_what_one_of_them_cached(trusting: World) -> None:
    for key in (make(trusting, cache="always"), make(trusting, cache="always")):
        assert trusting.chat("Ours?", key=key).headers["x-steelyard-cache"] == "miss"


def test_a_key_of_the_configuration_is_checked_at_start(tmp_path: Path) -> None:
    file = tmp_path / "steelyard.yaml"
    file.write_text(
        "providers: {ollama: {base_url: 'http://127.0.0.1:11434', models: [llama]}}\n"
        "keys:\n"
        "  - {name: ann, key: key-of-ann-0123, models: [lama], providers: [openai], routes: [r], mcp_tools: [m]}\n"
    )
    with pytest.raises(SettingsError) as caught:
        load({}, config=file)
    places = [one.place.partition(": ")[2] for one in caught.value.problems]
    assert places == ["keys[0].routes[0]", "keys[0].models[0]", "keys[0].providers[0]", "keys[0].mcp_tools[0]"]
