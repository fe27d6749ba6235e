"""Tokens instead of keys, and what becomes of those who guess; from outside."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.secrets import Secret
from gateway.settings.tokens import Jwt
from tests.acceptance.driving import ALICE_KEY, Answer, World, with_keys, world_in
from tests.serving import until

SECRET = "0123456789abcdef0123456789abcdef"
PUBLISHED = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


class Publisher(BaseHTTPRequestHandler):
    """An identity provider's page of public keys."""

    def do_GET(self) -> None:
        key = json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(PUBLISHED.public_key()))
        body = json.dumps({"keys": [{**key, "kid": "one"}]}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Keys, tokens of both kinds, and three wrong keys a minute."""
    publisher = HTTPServer(("127.0.0.1", 0), Publisher)
    threading.Thread(target=publisher.serve_forever, daemon=True).start()

    def with_tokens(settings: Settings) -> Settings:
        keys = f"http://127.0.0.1:{publisher.server_port}/keys"
        return replace(
            settings,
            auth=replace(settings.auth, wrong_keys=3),
            jwt=Jwt(secret=Secret(SECRET), jwks=keys, audience="steelyard"),
        )

    try:
        with world_in(tmp_path_factory.mktemp("guarded"), with_keys, with_tokens) as made:
            yield made
    finally:
        publisher.shutdown()
        publisher.server_close()


def token(sub: str = "ann", key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    told = {"sub": sub, "aud": "steelyard", "exp": int(time.time()) + 600, **claims}
    return jwt.encode(told, key, algorithm, headers={"kid": "one"} if algorithm == "RS256" else None)


def test_a_token_is_as_good_as_a_key_and_its_caller_a_tenant(guarded: World) -> None:
    for bearer in (token(), token(key=PUBLISHED, algorithm="RS256")):
        answer = guarded.chat("Hello", key=bearer)
        assert answer.status == 200
        admin = token("root", scope="steelyard:admin")
        assert guarded.record(answer.headers["x-steelyard-request-id"], admin)["key_name"] == "jwt:ann"
        assert guarded.get("/api/llm/providers", bearer).status == 200
        assert guarded.get("/api/audit", bearer).status == 403


def test_a_token_with_more_than_a_name_begins_nothing_that_outlasts_it(guarded: World) -> None:
    admin = token("root", scope="steelyard:admin")
    tree = {"slug": "said", "name": "Said", "nodes": {"say": {"type": "template", "template": "Hello"}}}
    until(lambda: guarded.call("PUT", "/api/workflows/said", tree, key=admin).status == 200)
    assert guarded.post("/api/workflows/said/execute", {}, key=token()).status == 202
    refused = [
        guarded.post("/api/workflows/said/execute", {}, key=token(models=["sim-chat"])),
        guarded.post("/api/schedules", {"workflow": "said", "cron": "0 0 * * *"}, key=token()),
    ]
    assert [(one.status, one.json["error"]["code"]) for one in refused] == [(403, "token_not_lasting")] * 2


def test_an_expired_token_is_told_so_and_held_against_nobody(guarded: World) -> None:
    old = token(exp=int(time.time()) - 3_600)
    for _ in range(5):
        for answer in (guarded.chat("Hello", key=old), guarded.get("/api/llm/providers", old)):
            assert (answer.status, answer.json["error"]["code"]) == (401, "token_expired")


def throttled(guarded: World) -> list[Answer]:
    """One late answer of each surface, in each dialect."""
    messages = [{"role": "user", "content": "Hello"}]
    body = {"model": "sim-chat", "max_tokens": 5, "messages": messages}
    return [
        guarded.chat("Hello", key="wrong"),
        guarded.post("/v1/messages", body, x_api_key="wrong"),
        guarded.post("/v1beta/models/sim-chat:generateContent?key=wrong", {"contents": []}),
        guarded.get("/api/llm/providers", "wrong"),
    ]


def test_who_guesses_is_answered_late_and_who_knows_at_once(guarded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    guesses = guarded.serving.app.parts.entrance.guesses
    monkeypatch.setattr(guesses, "_pause", pause)
    until(lambda: guarded.get("/api/llm/providers", "wrong").status == 429)
    before = len(waited)
    late = throttled(guarded)
    assert len(waited) - before == len(late)
    for answer in late:
        assert answer.status == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    openai, anthropic, google, native = [answer.json for answer in late]
    for shown in (openai, native):
        error = shown["error"]
        assert (error["type"], error["code"], error["source"]) == ("rate_limit_error", "too_many_wrong_keys", "policy")
    assert (anthropic["type"], anthropic["error"]["type"]) == ("error", "rate_limit_error")
    assert google["error"]["status"] == "RESOURCE_EXHAUSTED"
    for right in (ALICE_KEY, token()):
        assert guarded.chat("Hello", key=right).status == 200
        assert guarded.get("/api/llm/providers", right).status == 200
    assert len(waited) - before == len(late)
    counted = guarded.get("/metrics", ALICE_KEY).body.decode()
    assert 'steelyard_wrong_keys_total{outcome="refused"} 3.0' in counted
    assert 'steelyard_wrong_keys_total{outcome="throttled"}' in counted
    assert 'steelyard_wrong_keys_total{outcome="throttled"} 0.0' not in counted
