"""Limits on callers: who is refused, in every dialect's words; what the headers say is true; nobody is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.settings import RouteSettings, Settings
from gateway.settings.limits import Limits, Queue, Rates
from gateway.settings.secrets import Secret, SecretUrl
from gateway.settings.sections import Auth
from gateway.settings.shared import Key
from providers.dialects.openai.limits import quota
from tests.acceptance.driving import ADMIN_KEY, OPENAI, Answer, World, world_in
from tests.serving import until
from tests.stores.cache.cache_world import Server

#: Callers by what limits them; each of the first is for one test.
CALLERS: dict[str, dict[str, Any]] = {
    **{f"once-{number}": {"rates": Rates(rpm=1)} for number in range(12)},
    "frugal": {"rates": Rates(tpm=2000)},
    "forgetful": {"rates": Rates(tpm=2000, rpm=50)},
    "small": {"rates": Rates(tpm=50)},
    "single": {"rates": Rates(concurrency=1)},
    "patient": {"rates": Rates(concurrency=1)},
    "team-one": {"tags": ("team",)},
    "team-two": {"tags": ("team", "other")},
    "pair": {"rates": Rates(rpm=2)},
    "free": {},
    "own": {"rates": Rates(rpm=7)},
    "compares": {"rates": Rates(rpm=3)},
}


def key_of(name: str) -> str:
    return f"{name}-0123456789abcdef0123456789abcdef"


def limited(settings: Settings) -> Settings:
    return replace(
        settings,
        keys=tuple(Key(name=name, key=Secret(key_of(name)), **more) for name, more in CALLERS.items()),
        routes={"narrow": RouteSettings(name="narrow", targets=(OPENAI,), rates=Rates(rpm=1))},
        auth=Auth(admin_key=Secret(ADMIN_KEY)),
        limits=Limits(default=Rates(rpm=1000, concurrency=50), tags={"team": Rates(rpm=2)}),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("limited"), limited) as world:
        yield world


TURN = [{"role": "user", "content": "Hello"}]
SURFACES = {
    "chat": ("/v1/chat/completions", {"model": OPENAI, "messages": TURN}),
    "messages": ("/v1/messages", {"model": OPENAI, "messages": TURN, "max_tokens": 20}),
    "responses": ("/v1/responses", {"model": OPENAI, "input": "Hello"}),
    "gemini": (f"/v1beta/models/{OPENAI}:generateContent", {"contents": [{"parts": [{"text": "Hello"}]}]}),
    "orchestrate": ("/api/llm/orchestrate", {"prompt": "Hello", "model": OPENAI}),
    "count": ("/v1/messages/count_tokens", {"model": OPENAI, "messages": TURN}),
    "embeddings": ("/v1/embeddings", {"model": "sim-openai/sim-embed", "input": "Hello"}),
}


def told_of(surface: str, answer: Answer) -> tuple[str, str]:
    """The message, and what machines read, of an error."""
    error = answer.json["error"]
    if surface == "gemini":
        return error["message"], error["status"]
    if surface in {"messages", "count"}:
        return error["message"], error["type"]
    assert error["source"] == "policy"
    assert error["code"] == "rate_limit_exceeded"
    return error["message"], error["type"]


def remaining(answer: Answer, what: str = "requests") -> int:
    return int(answer.headers[f"x-ratelimit-remaining-{what}"])


@pytest.mark.parametrize(("number", "surface"), list(enumerate(SURFACES)), ids=list(SURFACES))
def test_beyond_the_bound_nobody_is_asked_and_the_dialect_says_so(made: World, number: int, surface: str) -> None:
    key, (path, body) = key_of(f"once-{number}"), SURFACES[surface]
    first = made.post(path, body, key=key)
    assert first.status == 200
    assert (first.headers["x-ratelimit-limit-requests"], remaining(first)) == ("1", 0)
    asked = made.asked()
    second = made.post(path, body, key=key)
    assert (second.status, remaining(second)) == (429, 0)
    assert made.asked() == asked
    message, kind = told_of(surface, second)
    assert kind == {"gemini": "RESOURCE_EXHAUSTED"}.get(surface, "rate_limit_error")
    assert message.startswith("The limit of 1 requests a minute (rpm) for this key is reached.")
    # Within the second in which the first was counted and the sixty after it.
    assert 1 <= int(second.headers["retry-after"]) <= 61
    assert f"Ask again in {second.headers['retry-after']} second" in message
    told = quota(second.headers)
    assert told is not None
    assert told.reset_requests is not None
    assert 0 < told.reset_requests <= int(second.headers["retry-after"])
    if surface == "count":
        return  # which has no record
    record = made.record(second.headers["x-steelyard-request-id"], ADMIN_KEY)
    assert (record["status"], record["error_code"], record["attempts"]) == (429, "rate_limit_exceeded", [])


@pytest.mark.parametrize(("number", "surface"), [(7, "chat"), (8, "messages"), (10, "orchestrate")])
def test_streams_are_counted_alike_and_refused_with_a_status(made: World, number: int, surface: str) -> None:
    key, (path, body) = key_of(f"once-{number}"), SURFACES[surface]
    first = made.post(path, {**body, "stream": True}, key=key)
    assert (first.status, remaining(first)) == (200, 0)
    second = made.post(path, {**body, "stream": True}, key=key)
    assert second.status == 429
    assert told_of(surface, second)[1] == "rate_limit_error"


def test_tokens_are_reserved_and_then_those_that_were_used_count(made: World) -> None:
    key = key_of("frugal")
    first = made.chat("How long is this answer?", key=key)
    used = first.json["usage"]["total_tokens"]
    assert used > 0
    assert remaining(first, "tokens") == 2000 - used
    # Reserved are the prompt and all that the answer may have: together with what was used, more than there is.
    refused = made.chat("And this one?", key=key, max_tokens=2000 - used)
    assert refused.status == 429
    assert remaining(refused, "tokens") == 2000 - used
    assert (
        "The limit of 2000 tokens a minute (tpm) for this key is reached: this request may take "
        in (refused.json["error"]["message"])
    )
    last = made.chat("And this one?", key=key, max_tokens=5)
    assert remaining(last, "tokens") == 2000 - used - last.json["usage"]["total_tokens"]


def test_a_stream_gives_back_what_it_did_not_use_when_it_has_ended(made: World) -> None:
    key = key_of("forgetful")
    stream = made.chat("Stream", key=key, stream=True, max_tokens=500, stream_options={"include_usage": True})
    used = next(data for _, data in reversed(stream.events) if data != "[DONE]")["usage"]["total_tokens"]
    assert remaining(stream, "tokens") < 2000 - 500
    whole = made.chat("Whole", key=key, max_tokens=5)
    assert remaining(whole, "tokens") == 2000 - used - whole.json["usage"]["total_tokens"]
    # An answer from the cache is a request and takes no tokens.
    body = {"prompt": "Again and again", "model": OPENAI, "max_tokens": 10}
    before = made.post("/api/llm/orchestrate", body, key=key)
    hit = made.post("/api/llm/orchestrate", body, key=key)
    assert hit.headers["x-steelyard-cache"] == "hit"
    assert remaining(hit, "tokens") == remaining(before, "tokens")
    assert remaining(hit) == remaining(before) - 1


def test_what_no_wait_would_help_is_no_429(made: World) -> None:
    refused = made.chat("Hello", key=key_of("small"), max_tokens=5000)
    assert refused.status == 413
    error = refused.json["error"]
    assert (error["type"], error["code"], error["source"]) == ("invalid_request_error", "request_too_large", "policy")
    assert "The limit of 50 tokens a minute (tpm) for this key: this request may take 50" in error["message"]
    assert "smaller max_tokens" in error["message"]
    assert "retry-after" not in refused.headers
    assert made.chat("Hello", key=key_of("small"), max_tokens=5).status == 200


def hold(world: World, key: str) -> HTTPConnection:
    """A request that its provider leaves hanging, until the connection is closed."""
    asked = world.asked()
    connection = HTTPConnection("127.0.0.1", world.serving.port, timeout=20)
    body = {"model": OPENAI, "messages": [{"role": "user", "content": "#sim fail=hang"}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"authorization": f"Bearer {key}"})
    until(lambda: world.asked() > asked)
    return connection


def test_so_many_at_a_time_and_whoever_hangs_up_makes_room(made: World) -> None:
    key = key_of("single")
    held = hold(made, key)
    refused = made.chat("Hello", key=key)
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    said = (
        "The limit of 1 requests at a time (concurrency) for this key is reached. Ask again when one of them has ended."
    )
    assert refused.json["error"]["message"] == said
    held.close()
    until(lambda: made.chat("Hello", key=key).status == 200)
    assert made.chat("Hello", key=key).status == 200


def test_keys_with_a_tag_share_its_limit(made: World) -> None:
    assert made.chat("Hello", key=key_of("team-one")).status == 200
    assert made.chat("Hello", key=key_of("team-two")).status == 200
    refused = made.chat("Hello", key=key_of("team-one"))
    assert refused.status == 429
    assert "for all keys with the tag 'team' is reached" in refused.json["error"]["message"]
    assert refused.headers["x-ratelimit-limit-requests"] == "2"
    assert made.chat("Hello", key=key_of("free")).status == 200


def test_all_callers_of_a_route_share_its_limit(made: World) -> None:
    assert made.chat("Hello", "narrow", key=ADMIN_KEY).status == 200
    refused = made.chat("Hello", "narrow", key=key_of("free"))
    assert refused.status == 429
    assert "for all callers of the route 'narrow' is reached" in refused.json["error"]["message"]
    assert made.chat("Hello", key=key_of("free")).status == 200


def test_what_a_key_does_not_say_is_as_by_default_and_the_administrator_has_no_limit(made: World) -> None:
    assert made.chat("Hello", key=key_of("free")).headers["x-ratelimit-limit-requests"] == "1000"
    assert made.chat("Hello", key=key_of("own")).headers["x-ratelimit-limit-requests"] == "7"
    assert not [name for name in made.chat("Hello", key=ADMIN_KEY).headers if name.startswith("x-ratelimit")]


def test_each_answer_of_a_comparison_counts(made: World) -> None:
    key = key_of("compares")
    body = {"prompt": "Hello", "model": "sim-chat", "mode": "compare", "cache": False}
    first = made.orchestrate(key, **body, parallel=2)
    assert (first.status, remaining(first)) == (200, 1)
    second = made.orchestrate(key, **body, parallel=2)
    assert second.status == 200
    assert [one["error"]["code"] for one in second.json["results"] if "error" in one] == ["rate_limit_exceeded"]
    third = made.orchestrate(key, **body, parallel=2)
    assert third.status == 429
    assert third.json["error"]["source"] == "policy"
    assert int(third.headers["retry-after"]) > 1


def test_a_key_of_the_api_has_its_own_limits_and_a_change_holds_at_once(made: World) -> None:
    new = made.post("/api/keys", {"name": "made", "rates": {"rpm": 1}}, key=ADMIN_KEY).json
    assert made.chat("Hello", key=new["key"]).status == 200
    assert made.chat("Hello", key=new["key"]).status == 429
    assert made.call("PATCH", f"/api/keys/{new['id']}", {"rates": {"rpm": 2}}, key=ADMIN_KEY).status == 200
    last = made.chat("Hello", key=new["key"])
    assert (last.status, last.headers["x-ratelimit-limit-requests"], remaining(last)) == (200, "2", 0)
    assert made.chat("Hello", key=new["key"]).status == 429


def test_who_was_refused_is_counted_by_limiter_and_bound(made: World) -> None:
    made.chat("Hello", key=key_of("once-9"))
    made.chat("Hello", key=key_of("once-9"))
    text = made.get("/metrics", ADMIN_KEY).body.decode()
    assert 'steelyard_limited_total{bound="rpm",limiter="key"}' in text
    assert "steelyard_limits_alone 0.0" in text
    assert "once-9" not in text


def test_with_a_queue_one_waits_for_its_turn(tmp_path_factory: pytest.TempPathFactory) -> None:
    def patient(settings: Settings) -> Settings:
        settings = limited(settings)
        return replace(settings, limits=replace(settings.limits, queue=Queue(seconds=20, size=1)))

    with world_in(tmp_path_factory.mktemp("patient"), patient) as world:
        key = key_of("patient")
        held = hold(world, key)
        waiting = HTTPConnection("127.0.0.1", world.serving.port, timeout=20)
        body = json.dumps({"model": OPENAI, "messages": TURN})
        waiting.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {key}"})
        limits = world.serving.app.parts.limits
        until(lambda: limits.turns.waiting == 1)
        # The line is full; and a wait that is known to be in vain is none.
        assert world.chat("Hello", key=key).status == 429
        assert world.chat("Hello", key=key_of("once-0")).status == 200
        assert world.chat("Hello", key=key_of("once-0")).status == 429
        held.close()
        answer = waiting.getresponse()
        assert answer.status == 200
        answer.read()
        queued = float(answer.headers["x-steelyard-queued-ms"])
        assert queued > 0
        assert float(answer.headers["x-steelyard-overhead-ms"]) < queued
        waiting.close()
        assert (
            'steelyard_limit_wait_seconds_count{outcome="admitted"} 1.0'
            in world.get("/metrics", ADMIN_KEY).body.decode()
        )


def test_replicas_count_together_and_alone_while_redis_is_away(tmp_path: Path, redis: Server) -> None:
    def together(settings: Settings) -> Settings:
        redis_there = replace(settings.redis, url=SecretUrl(redis.url()))
        return replace(limited(settings), redis=redis_there, dwa=replace(settings.dwa, share=False))

    def limits_of(world: World) -> Any:
        return world.get("/api/health", ADMIN_KEY).json["services"]["limits"]

    with world_in(tmp_path / "one", together) as one, world_in(tmp_path / "two", together) as two:
        key = key_of("pair")
        assert remaining(one.chat("Hello", key=key)) == 1
        assert remaining(two.chat("Hello", key=key)) == 0
        assert one.chat("Hello", key=key).status == two.chat("Hello", key=key).status == 429
        assert limits_of(one) == {"status": "healthy", "counted_in": "redis", "alone": False, "waiting": 0}
        redis.kill()
        # Each by itself, and each knows what it let through before.
        assert [one.chat("Hello", key=key).status for _ in range(3)] == [200, 429, 429]
        assert [two.chat("Hello", key=key).status for _ in range(3)] == [200, 429, 429]
        assert limits_of(one)["status"] == "degraded"
        assert "steelyard_limits_alone 1.0" in one.get("/metrics", ADMIN_KEY).body.decode()
        redis.start()
        until(lambda: limits_of(one)["status"] == limits_of(two)["status"] == "healthy", within=30)
