"""The log, the cache and the DWA as their endpoints tell them: what happened, and nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.acceptance.driving import (
    ADMIN_KEY,
    ALICE_KEY,
    BOB_KEY,
    CHAT_MODELS,
    OPENAI,
    Answer,
    World,
    with_keys,
    world_in,
)
from tests.serving import until

SHARED = {"sim-openai/sim-chat", "sim-anthropic/sim-chat", "sim-gemini/sim-chat", "sim-local/sim-chat"}


@dataclass
class Played:
    """A world in which exactly these requests were made, in this order."""

    world: World
    ids: list[str]

    def recent(self, query: str = "") -> dict[str, Any]:
        answer = self.world.get(f"/api/db/requests/recent{query}", ADMIN_KEY)
        assert answer.status == 200, answer.body
        return answer.json

    def listed(self, query: str = "") -> list[int]:
        """The listed requests by their place in `ids`."""
        return [self.ids.index(one["id"]) for one in self.recent(query)["requests"]]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    with world_in(tmp_path_factory.mktemp("played"), with_keys) as world:
        once = {"model": "sim-gemini/sim-chat", "prompt": "twice"}
        answers = [
            world.chat("zero", OPENAI, key=ALICE_KEY, user="someone"),
            world.chat("one", "sim-anthropic/sim-chat", key=BOB_KEY, stream=True),
            world.post("/api/llm/orchestrate", once, key=ALICE_KEY),
            world.post("/api/llm/orchestrate", once, key=ALICE_KEY),
            world.chat("four", "sim-openai/sim-gpt-large", key=BOB_KEY, no_such_field=1),
            world.chat("five", "sim-nobody", key=BOB_KEY),
            world.post("/v1/embeddings", {"model": "sim-gemini/sim-embed", "input": "six"}, key=ALICE_KEY),
        ]
        made = Played(world, [answer.headers["x-steelyard-request-id"] for answer in answers])
        assert [answer.status for answer in answers] == [200, 200, 200, 200, 400, 404, 200]
        until(lambda: len(made.recent()["requests"]) >= 7)
        yield made


def test_the_newest_comes_first(played: Played) -> None:
    assert played.listed() == [6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # By who answered; the request that sim-openai rejected was answered by nobody.
        ("?provider=sim-openai", [0]),
        ("?provider=sim-anthropic", [1]),
        ("?model=sim-embed", [6]),
        ("?status=404", [5]),
        ("?status=400", [4]),
        ("?key=bob", [5, 4, 1]),
        ("?cached=true", [3]),
        ("?cached=false&key=alice", [6, 2, 0]),
        ("?key=alice&provider=sim-gemini", [6, 3, 2]),
        ("?since=2999-01-01T00:00:00Z", []),
        ("?since=2020-01-01T00:00:00Z", [6, 5, 4, 3, 2, 1, 0]),
        ("?key=nobody", []),
        ("?limit=2", [6, 5]),
        ("?key=%27%20OR%201=1--", []),
        ("?key=a%00b", []),
    ],
)
def test_a_filter_narrows(played: Played, query: str, expected: list[int]) -> None:
    assert played.listed(query) == expected


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_pages_hold_everything_once(played: Played, size: int) -> None:
    found: list[int] = []
    cursor = ""
    for _ in range(8):
        page = played.recent(f"?limit={size}{cursor}")
        found += [played.ids.index(one["id"]) for one in page["requests"]]
        if page["next_cursor"] is None:
            break
        cursor = "&cursor=" + page["next_cursor"].replace("+", "%2B")
    assert found == [6, 5, 4, 3, 2, 1, 0]


def test_a_record_holds_the_facts(played: Played) -> None:
    record = played.world.record(played.ids[0], ADMIN_KEY)
    facts = {
        "surface": "chat",
        "dialect": "openai",
        "requested_model": OPENAI,
        "key_name": "alice",
        "provider": "sim-openai",
        "model": "sim-chat",
        "status": 200,
        "outcome": "ok",
        "stream": False,
        "cache": "bypass",
        "simulated": True,
        "finish_reason": "stop",
        "end_user": "someone",
        "input_tokens": 1,
        "output_tokens": 60,
        "ttft_s": None,
    }
    assert {name: record[name] for name in facts} == facts
    assert record["created_at"].endswith("Z")
    assert record["duration_s"] >= record["attempts"][0]["seconds"] > 0
    assert record.get("request_body") is None
    assert record.get("response_body") is None


def test_a_stream_has_a_time_to_its_first_token(played: Played) -> None:
    record = played.world.record(played.ids[1], ADMIN_KEY)
    assert record["stream"] is True
    assert 0 < record["ttft_s"] <= record["duration_s"]


def test_a_rejected_request_says_by_whom_and_why(played: Played) -> None:
    record = played.world.record(played.ids[4], ADMIN_KEY)
    assert (record["status"], record["outcome"], record["error_source"]) == (400, "error", "provider")
    assert record["error_code"] == "unknown_parameter"
    (attempt,) = record["attempts"]
    assert (attempt["provider"], attempt["status"], attempt["code"]) == ("sim-openai", 400, "unknown_parameter")


def test_an_unknown_model_is_recorded_without_a_provider(played: Played) -> None:
    record = played.world.record(played.ids[5], ADMIN_KEY)
    assert (record["status"], record["error_code"], record["provider"]) == (404, "model_not_found", None)
    assert record["attempts"] == []


def test_the_totals_count_everything(played: Played) -> None:
    stats = played.world.get("/api/db/stats", ADMIN_KEY).json
    totals = stats["totals"]
    assert (totals["requests"], totals["errors"], totals["cached"], totals["cancelled"]) == (7, 2, 1, 0)
    assert totals["cost_usd"] > 0
    assert sum(one["requests"] for one in stats["deployments"]) == 7
    assert stats["duration_s"]["p50"] <= stats["duration_s"]["p95"] <= stats["duration_s"]["p99"]
    nothing = played.world.get("/api/db/stats?since=2999-01-01T00:00:00Z", ADMIN_KEY).json
    assert nothing["totals"]["requests"] == 0


def test_a_record_nobody_has_is_404(played: Played) -> None:
    answer = played.world.get("/api/db/requests/req_00000000000000000000000000", ADMIN_KEY)
    assert answer.status == 404
    assert answer.json["error"]["code"] == "not_found"


# The cache


def test_the_cache_counts_and_clears_by_model(frail: World) -> None:
    said = str(uuid.uuid4())

    def ask(model: str) -> str:
        return frail.chat(said, model, temperature=0).headers["x-steelyard-cache"]

    before = frail.get("/api/db/cache/stats").json
    one, other = OPENAI, "sim-gemini/sim-chat"
    assert [ask(one), ask(one), ask(other), ask(other)] == ["miss", "hit", "miss", "hit"]
    after = frail.get("/api/db/cache/stats").json
    assert {name: after[name] - before[name] for name in ("hits", "misses", "writes")} == {
        "hits": 2,
        "misses": 2,
        "writes": 2,
    }
    assert 0 < after["hit_rate"] < 1
    assert frail.call("DELETE", f"/api/db/cache/clear?model={one}").json == {"cleared": 1}
    assert [ask(one), ask(other)] == ["miss", "hit"]
    assert frail.call("DELETE", "/api/db/cache/clear").json == {"cleared": 2}
    assert frail.call("DELETE", "/api/db/cache/clear").json == {"cleared": 0}


# The DWA


def test_the_dwa_counts_what_happened(frail: World) -> None:
    frail.running.control("sim-openai", "down", requests=1)
    for _ in range(3):
        frail.chat("Hello", OPENAI)
    frail.chat("Hello", "sim-gemini/sim-chat", stream=True)
    stats = frail.get("/api/llm/dwa/stats").json
    assert (stats["strategy"], stats["objective"]) == ("load_balanced", "balanced")
    rows = {f"{row['provider']}/{row['model']}": row for row in stats["deployments"]}
    openai, gemini = rows[OPENAI], rows["sim-gemini/sim-chat"]
    counts = {name: openai[name] for name in ("requests", "successes", "failures", "in_flight")}
    assert counts == {"requests": 3, "successes": 2, "failures": 1, "in_flight": 0}
    assert openai["success_rate"] == pytest.approx(2 / 3)
    assert openai["last_error"]
    assert openai["cost_usd"] > 0
    assert {"mean", "p50", "p95", "p99"} <= openai["latency"].keys()
    assert gemini["ttft"]
    wanted = {"tokens_per_second", "weight", "score", "terms", "state", "quota"}
    assert all(wanted <= row.keys() for row in rows.values())


def test_reset_forgets_one_or_all(frail: World) -> None:
    for model in CHAT_MODELS:
        frail.chat("Hello", model)

    def requests() -> dict[str, int]:
        rows = frail.get("/api/llm/dwa/stats").json["deployments"]
        return {row["provider"]: row["requests"] for row in rows if row["model"] == "sim-chat" and row["requests"]}

    assert requests() == {"sim-openai": 1, "sim-anthropic": 1, "sim-gemini": 1}
    assert frail.post("/api/llm/dwa/reset", {"provider": "sim-openai"}).json == {"reset": "sim-openai"}
    assert requests() == {"sim-anthropic": 1, "sim-gemini": 1}
    assert frail.post("/api/llm/dwa/reset", {"provider": "sim-gemini/sim-chat"}).status == 200
    assert requests() == {"sim-anthropic": 1}
    assert frail.post("/api/llm/dwa/reset", None).json == {"reset": "all"}
    assert requests() == {}
    assert frail.post("/api/llm/dwa/reset", {"provider": "nobody"}).status == 404
    assert frail.post("/api/llm/dwa/reset", {"providr": "sim-openai"}).status == 400


def test_the_best_provider_leads_its_ranking(frail: World) -> None:
    found = frail.get("/api/llm/dwa/best-provider?model=sim-chat&objective=cheapest").json
    assert found["best"] == found["ranking"][0]["key"]
    assert {row["key"] for row in found["ranking"]} == SHARED
    assert sum(row["weight"] for row in found["ranking"]) == pytest.approx(1)
    assert found["objective"] == "cheapest"
    assert found["reason"]
    assert found["summary"].startswith(f"{found['best']} would be chosen ")
    assert "under the objective cheapest is " in found["summary"]
    assert frail.get("/api/llm/dwa/best-provider?model=nobody").status == 404


def test_a_failed_first_provider_is_explained(frail: World) -> None:
    for provider in ("sim-openai", "sim-anthropic", "sim-gemini"):
        frail.running.control(provider, "down")
    # Nobody knows whom the DWA tries first; asked often enough, it tries one that is down.
    answers: list[Answer] = []

    def moved() -> bool:
        answers.append(frail.chat("Hello", "sim-chat"))
        return int(answers[-1].headers["x-steelyard-attempts"]) > 1

    until(moved)
    answer = answers[-1]
    assert {one.headers["x-steelyard-provider"] for one in answers} == {"sim-local"}
    identity = answer.headers["x-steelyard-request-id"]
    told = frail.get(f"/api/llm/dwa/explain/{identity}").json
    assert told["request_id"] == identity
    assert told["requested_model"] == "sim-chat"
    assert told["answered_by"] == "sim-local/sim-chat"
    assert told["outcome"] == "ok"
    *failed, last = told["attempts"]
    assert failed
    assert all(one["outcome"] not in {"ok", "cancelled"} and one["status"] == 500 for one in failed)
    assert (last["provider"], last["outcome"]) == ("sim-local", "ok")
    decision = told["decision"]
    order = [row["key"] for row in decision["candidates"]]
    assert set(order) == SHARED
    tried = [f"{one['provider']}/{one['model']}" for one in told["attempts"]]
    assert tried == order[: len(tried)]
    assert decision["reason"] == answer.headers["x-steelyard-reason"]
    assert decision["strategy"] == "load_balanced"
    assert told["summary"].startswith(f"{order[0]} was chosen ")
    for one in failed:
        assert f"{one['provider']}/{one['model']} could not serve the request (HTTP 500) after " in told["summary"]
    assert "then sim-local/sim-chat answered after " in told["summary"]
    for row in decision["candidates"]:
        if row["loss"] is not None:
            assert sum(row["terms"].values()) == pytest.approx(row["loss"])


def test_an_answer_from_the_cache_is_explained_as_one(frail: World) -> None:
    said = str(uuid.uuid4())
    answers = [frail.chat(said, OPENAI, temperature=0) for _ in range(2)]
    told = frail.get(f"/api/llm/dwa/explain/{answers[1].headers['x-steelyard-request-id']}").json
    assert (told["cache"], told["attempts"], told["decision"]) == ("hit", [], None)
    assert told["summary"].startswith(f"Nobody was asked: the answer was in the cache, from {OPENAI}. ")


def test_a_record_is_there_at_once(frail: World) -> None:
    identity = frail.chat("Hello").headers["x-steelyard-request-id"]
    # No polling: asking for it makes the log write what waits.
    assert frail.get(f"/api/llm/dwa/explain/{identity}").status == 200


# Health and metrics


def test_health_names_every_service(frail: World) -> None:
    report = frail.get("/api/health").json
    assert report["status"] == "healthy"
    assert {"database", "cache", "dwa", "log"} <= report["services"].keys()
    assert set(report["services"]["dwa"]["active_providers"]) == {
        "sim-openai",
        "sim-anthropic",
        "sim-gemini",
        "sim-local",
    }
    assert report["uptime_seconds"] > 0
    assert report["version"]


def test_health_says_who_is_away(frail: World) -> None:
    frail.running.control("sim-openai", "down")
    models = ("sim-chat", "sim-gpt-large", "sim-gpt-small")

    def excluded() -> bool:
        for model in models:
            frail.chat("Hello", f"sim-openai/{model}")
        frail.post("/v1/embeddings", {"model": "sim-openai/sim-embed", "input": str(uuid.uuid4())})
        return frail.get("/api/health").json["services"]["dwa"]["excluded"] == ["sim-openai"]

    until(excluded)
    report = frail.get("/api/health")
    assert (report.status, report.json["status"]) == (200, "degraded")


def test_metrics_count_requests(frail: World) -> None:
    frail.chat("Hello", OPENAI)
    frail.post("/v1/chat/completions", b"{")
    text = frail.get("/metrics").body.decode()
    assert frail.get("/metrics").headers["content-type"].startswith("text/plain")
    assert 'provider="sim-openai"' in text
    assert "steelyard_" in text


def test_routes_and_providers_are_listed(frail: World) -> None:
    providers = {one["name"]: one for one in frail.get("/api/llm/providers").json["providers"]}
    assert {name: one["dialect"] for name, one in providers.items()} == {
        "sim-openai": "openai",
        "sim-anthropic": "anthropic",
        "sim-gemini": "gemini",
        "sim-local": "openai",
    }
    assert all(one["simulated"] for one in providers.values())
    assert frail.get("/api/llm/routes").json == {"routes": []}
