"""Guardrails of keys, of the configuration and of the API; of bodies that are logged; of forms."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.guardrails import Guardrail, Pattern
from gateway.settings.secrets import Secret
from gateway.settings.sections import Auth
from gateway.settings.shared import Key
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY, Answer, World, world_in

EMAIL = "alice.b@mail.example.com"


def _guarded(settings: Settings) -> Settings:
    return replace(
        settings,
        keys=(Key(name="alice", key=Secret(ALICE_KEY), guardrails=("private",)), Key(name="bob", key=Secret(BOB_KEY))),
        auth=Auth(admin_key=Secret(ADMIN_KEY)),
        request_log=replace(settings.request_log, bodies=True),
        guardrails={
            "private": Guardrail(pattern=Pattern(find=("email",), action="redact")),
            "code": Guardrail(pattern=Pattern(regexes={"code": "Bluebird"})),
            "canary": Guardrail(always=True, pattern=Pattern(regexes={"canary": "canary-[0-9]+"})),
        },
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("guarded-keys"), _guarded) as world:
        yield world


def record(world: World, answer: Answer) -> dict[str, Any]:
    return world.record(answer.headers["x-steelyard-request-id"], ADMIN_KEY)


def test_a_keys_guardrails_hold_for_it_and_for_nobody_else(made: World) -> None:
    answers = {key: made.chat(f"I am {EMAIL}", key=key) for key in (ALICE_KEY, BOB_KEY)}
    assert answers[ALICE_KEY].headers["x-steelyard-guardrails"] == "private=redacted request"
    assert "x-steelyard-guardrails" not in answers[BOB_KEY].headers
    assert EMAIL not in json.dumps(record(made, answers[ALICE_KEY]))
    assert "[email]" in json.dumps(record(made, answers[ALICE_KEY]))


def test_some_hold_for_everybody(made: World) -> None:
    for key in (ALICE_KEY, BOB_KEY, ADMIN_KEY):
        refused = made.chat("The canary-17 sings", key=key)
        assert (refused.status, refused.json["error"]["code"]) == (400, "content_filter")
        assert "canary-17" not in json.dumps(record(made, refused))


def test_a_key_of_the_api_has_its_own_from_then_on(made: World) -> None:
    key = made.post("/api/keys", {"name": "guarded", "guardrails": ["code"]}, key=ADMIN_KEY).json
    assert key["guardrails"] == ["code"]
    assert made.chat("Bluebird", key=key["key"]).status == 400
    changed = made.call("PATCH", f"/api/keys/{key['id']}", {"guardrails": []}, key=ADMIN_KEY)
    assert changed.json["guardrails"] == []
    assert made.chat("Bluebird", key=key["key"]).status == 200


def test_what_they_do_is_counted(made: World) -> None:
    made.chat(f"I am {EMAIL}", key=ALICE_KEY)
    text = made.get("/metrics", ADMIN_KEY).body.decode()
    assert 'steelyard_guardrails_total{guardrail="private",outcome="redacted",where="request"}' in text
