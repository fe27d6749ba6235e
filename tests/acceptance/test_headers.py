"""What every answer says of itself in its headers, and that nobody can write headers of their own into them."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from tests.acceptance.driving import CHAT_MODELS, OPENAI, World

TURNS = [{"role": "user", "content": "Hello"}]
SURFACES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": TURNS}),
    "messages": ("/v1/messages", {"messages": TURNS, "max_tokens": 50}),
    "orchestrate": ("/api/llm/orchestrate", {"messages": TURNS, "cache": False}),
}
FACTS = ("request-id", "provider", "model", "cache", "attempts", "strategy", "reason", "overhead-ms")


@pytest.mark.parametrize("model", CHAT_MODELS)
@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_every_answer_tells_its_facts(world: World, surface: str, model: str, streamed: bool) -> None:
    path, body = SURFACES[surface]
    answer = world.post(path, {**body, "model": model, "stream": streamed})
    told = {name: answer.headers[f"x-steelyard-{name}"] for name in FACTS}
    assert re.fullmatch(r"req_[0-9A-HJKMNP-TV-Z]{26}", told["request-id"])
    assert f"{told['provider']}/{told['model']}" == model
    assert (told["cache"], told["attempts"], told["strategy"]) == ("bypass", "1", "load_balanced")
    assert told["reason"]
    assert float(told["overhead-ms"]) >= 0
    # A stream's cost is not known when its headers leave.
    assert ("x-steelyard-cost-usd" in answer.headers) == (not streamed)
    assert answer.headers["x-steelyard-simulated"] == "true"
    assert answer.headers["request-id"] == told["request-id"]


def test_embeddings_tell_their_facts_too(world: World) -> None:
    answer = world.post("/v1/embeddings", {"model": "sim-openai/sim-embed", "input": str(uuid.uuid4())})
    assert all(f"x-steelyard-{name}" in answer.headers for name in (*FACTS, "cost-usd"))
    assert answer.headers["x-steelyard-cache"] == "miss"


def test_a_cached_answer_says_whose_it_was(world: World) -> None:
    body = {"model": OPENAI, "messages": [{"role": "user", "content": str(uuid.uuid4())}], "temperature": 0}
    first, second = (world.post("/v1/chat/completions", body) for _ in range(2))
    assert first.headers["x-steelyard-cache"] == "miss"
    told = {name: second.headers.get(f"x-steelyard-{name}") for name in ("cache", "provider", "attempts", "cost-usd")}
    assert told == {"cache": "hit", "provider": "sim-openai", "attempts": "0", "cost-usd": "0"}
    assert first.headers["x-steelyard-request-id"] != second.headers["x-steelyard-request-id"]


@pytest.mark.parametrize(
    ("cache", "expected"), [("on", ["miss", "hit"]), ("off", ["bypass"] * 2), ("refresh", ["miss"] * 2)]
)
def test_the_cache_header_is_obeyed(world: World, cache: str, expected: list[str]) -> None:
    said = str(uuid.uuid4())
    found = [world.chat(said, headers={"X-Steelyard-Cache": cache}).headers["x-steelyard-cache"] for _ in expected]
    assert found == expected


def test_a_sampled_answer_is_not_kept_unless_asked(world: World) -> None:
    said = str(uuid.uuid4())
    assert [world.chat(said, temperature=0.7).headers["x-steelyard-cache"] for _ in range(2)] == ["bypass"] * 2


def test_strategy_and_objective_are_taken_from_headers(world: World) -> None:
    answer = world.chat(
        "Hello", "sim-chat", headers={"X-Steelyard-Strategy": "cost", "X-Steelyard-Objective": "cheapest"}
    )
    assert answer.headers["x-steelyard-strategy"] == "cost"
    assert answer.headers["x-steelyard-provider"] == "sim-local"
    assert world.record(answer.headers["x-steelyard-request-id"])["objective"] == "cheapest"


@pytest.mark.parametrize("theirs", ["abc", "a.b:c_d-e", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "x" * 128])
def test_a_harmless_request_id_comes_back(world: World, theirs: str) -> None:
    answer = world.chat("Hello", headers={"X-Request-Id": theirs})
    assert answer.headers["x-request-id"] == theirs
    assert answer.headers["x-steelyard-request-id"] != theirs
    failed = world.post("/v1/chat/completions", b"{", X_Request_Id=theirs)
    assert failed.headers["x-request-id"] == theirs


@pytest.mark.parametrize("theirs", ["a b", "x" * 129, "<script>", "a;b", "a\tb", "é", "", "../../etc"])
def test_any_other_request_id_is_replaced(world: World, theirs: str) -> None:
    answer = world.chat("Hello", headers={"X-Request-Id": theirs})
    assert answer.headers["x-request-id"] == answer.headers["x-steelyard-request-id"]


@pytest.mark.parametrize("hostile", ["a\r\nset-cookie: evil=1", "a\nset-cookie: evil=1", "a\x00b", "a\rb"], ids=repr)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_dropped_fields_name_writes_no_header(world: World, hostile: str, streamed: bool) -> None:
    field: dict[str, Any] = {hostile: 1}
    answer = world.chat(
        "Hello",
        "sim-anthropic/sim-chat",
        stream=streamed,
        headers={"X-Steelyard-Drop-Params": "true"},
        **field,
    )
    assert "set-cookie" not in answer.headers
    assert answer.status in {200, 400}
    shown = answer.headers.get("x-steelyard-dropped-params", "")
    assert shown.isprintable()


def test_many_dropped_fields_leave_an_answer_that_clients_can_read(world: World) -> None:
    # Clients and proxies refuse headers of more than 8 to 64 KiB.
    more: dict[str, Any] = {f"field_{number:05}": 1 for number in range(8_000)}
    answer = world.chat("Hello", "sim-anthropic/sim-chat", headers={"X-Steelyard-Drop-Params": "true"}, **more)
    assert answer.status == 200
    assert len(answer.headers["x-steelyard-dropped-params"]) <= 4096


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_failed_request_tells_its_facts_too(frail: World, streamed: bool) -> None:
    answer = frail.chat("#sim fail=down", OPENAI, stream=streamed)
    assert answer.status == 503
    assert answer.headers["x-steelyard-attempts"] == "1"
    assert answer.headers["x-steelyard-strategy"] == "load_balanced"
    assert answer.headers["x-steelyard-cache"] == "bypass"
    assert float(answer.headers["x-steelyard-overhead-ms"]) >= 0


def test_a_stream_is_not_buffered_on_its_way(world: World) -> None:
    answer = world.chat("Hello", stream=True)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert "content-length" not in answer.headers


def test_provider_headers_do_not_leak(world: World) -> None:
    answer = world.chat("Hello")
    assert "x-simulated" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]
