"""`/api/feedback` on a running gateway: who may say what of which answer, and what it changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.shared import Objective, Route
from gateway.settings.tree import RouteSettings
from tests.acceptance.driving import (
    ADMIN_KEY,
    ALICE_KEY,
    BOB_KEY,
    OPENAI,
    Answer,
    World,
    with_keys,
    world_in,
)
from tests.serving import with_worker

NOWHERE = "req_00000000000000000000000000"
CAREFUL = Objective(latency=0.05, errors=1.0, quality=1.0)


def careful(settings: Settings) -> Settings:
    """A route whose objective weighs quality, over two deployments that are alike."""
    route = Route(targets=("sim-openai/sim-chat", "sim-anthropic/sim-chat"), objective="careful")
    routes = {"twins": RouteSettings(name="twins", targets=route.targets, objective=route.objective)}
    return replace(settings, objectives={"careful": CAREFUL}, routes=routes)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("feedback"), with_keys, with_worker, careful) as made:
        yield made


def asked(world: World, said: str, key: str = ALICE_KEY, model: str = OPENAI, **more: Any) -> str:
    """The id of a request that was answered."""
    answer = world.chat(said, model, key=key, **more)
    assert answer.status == 200, answer.body
    return answer.headers["x-steelyard-request-id"]


def rate(world: World, request_id: str, key: str = ALICE_KEY, **vote: Any) -> Answer:
    return world.post("/api/feedback", {"request_id": request_id, **vote}, key=key)


def listed(world: World, query: str = "", key: str = ALICE_KEY) -> dict[str, Any]:
    answer = world.get(f"/api/feedback{query}", key)
    assert answer.status == 200, answer.body
    return answer.json


def votes_on(world: World, key: str) -> float:
    rows = world.get("/api/llm/dwa/stats", ADMIN_KEY).json["deployments"]
    return next(row["votes"] for row in rows if f"{row['provider']}/{row['model']}" == key)


def weight_of(world: World, key: str) -> float:
    answer = world.get("/api/llm/dwa/best-provider?model=twins", ADMIN_KEY)
    return next(row["weight"] for row in answer.json["ranking"] if row["key"] == key)


def test_a_vote_is_answered_by_what_was_recorded(world: World) -> None:
    request_id = asked(world, "hello", user="u7")
    answer = rate(world, request_id, score=0.25, metric="tone", comment="meh \u0000 …")
    assert answer.status == 201
    told = answer.json
    facts = {
        "request_id": request_id,
        "score": 0.25,
        "metric": "tone",
        "source": "alice/u7",
        "comment": "meh \ufffd …",
        "provider": "sim-openai",
        "model": "sim-chat",
        "route": OPENAI,
    }
    assert {name: told[name] for name in facts} == facts
    assert 0.0 < told["weight"] <= 1.0
    assert listed(world, f"?request_id={request_id}")["feedback"] == [told]


def test_a_second_vote_replaces_the_first_and_is_not_taught_twice(world: World) -> None:
    request_id = asked(world, "twice", model="sim-local/sim-chat")
    first = rate(world, request_id, thumbs="up")
    taught = votes_on(world, "sim-local/sim-chat")
    again = rate(world, request_id, thumbs="up")
    changed = rate(world, request_id, thumbs="down", comment="on second thought")
    assert (first.status, again.status, changed.status) == (201, 200, 200)
    assert votes_on(world, "sim-local/sim-chat") == pytest.approx(taught, rel=1e-3)
    (kept,) = listed(world, f"?request_id={request_id}")["feedback"]
    assert (kept["score"], kept["comment"], kept["id"]) == (0.0, "on second thought", first.json["id"])
    assert kept == changed.json
    rows = world.get("/api/llm/dwa/stats", ADMIN_KEY).json["deployments"]
    quality = next(row["quality"] for row in rows if row["provider"] == "sim-local" and row["model"] == "sim-chat")
    # As if it had been a down from the beginning: one vote of weight one, beside a prior worth twenty.
    assert quality == pytest.approx(20 / 21, abs=1e-3)


def test_metrics_are_votes_of_their_own(world: World) -> None:
    request_id = asked(world, "three things")
    assert [rate(world, request_id, score=0.5, metric=name).status for name in ("a", "b", "a")] == [201, 201, 200]
    assert len(listed(world, f"?request_id={request_id}")["feedback"]) == 2


@pytest.mark.parametrize("key", [BOB_KEY])
def test_anothers_request_is_not_there(world: World, key: str) -> None:
    request_id = asked(world, "mine")
    stranger, nothing = rate(world, request_id, key, score=1), rate(world, NOWHERE, key, score=1)
    assert stranger.status == nothing.status == 404
    assert stranger.json["error"]["message"].replace(request_id, "") == nothing.json["error"]["message"].replace(
        NOWHERE, ""
    )
    assert rate(world, request_id, score=1).status == 201
    assert listed(world, f"?request_id={request_id}", key)["feedback"] == []


def test_the_administrator_may_rate_and_read_anything(world: World) -> None:
    request_id = asked(world, "rated from above", user="u1")
    assert rate(world, request_id, score=0.9).status == 201
    answer = rate(world, request_id, ADMIN_KEY, score=0.1)
    assert (answer.status, answer.json["source"]) == (201, "admin")
    sources = {one["source"] for one in listed(world, f"?request_id={request_id}", ADMIN_KEY)["feedback"]}
    assert sources == {"alice/u1", "admin"}


def test_without_a_key_nobody_votes(world: World) -> None:
    assert world.post("/api/feedback", {"request_id": NOWHERE, "score": 1}).status == 401
    assert world.get("/api/feedback").status == 401


def test_what_nobody_answered_cannot_be_rated(world: World) -> None:
    failed = world.chat("who?", "no-such-model", key=ALICE_KEY)
    assert failed.status == 404
    answer = rate(world, failed.headers["x-steelyard-request-id"], score=0)
    assert answer.status == 409
    assert "no answer to rate" in answer.json["error"]["message"]
    assert answer.json["error"]["code"] == "conflict"


@pytest.mark.parametrize(
    ("vote", "named"),
    [
        ({}, "score"),
        ({"score": 1, "thumbs": "up"}, "score"),
        ({"score": 1.01}, "score"),
        ({"score": -0.01}, "score"),
        ({"score": "good"}, "score"),
        ({"score": True}, "score"),
        ({"thumbs": "sideways"}, "thumbs"),
        ({"score": 1, "comment": "x" * 2001}, "comment"),
        ({"score": 1, "metric": "a b"}, "metric"),
        ({"score": 1, "metric": ""}, "metric"),
        ({"score": 1, "stars": 5}, "stars"),
    ],
)
def test_what_is_no_vote_is_refused_by_name(world: World, vote: dict[str, Any], named: str) -> None:
    """With 400, as every request here that is not valid."""
    answer = rate(world, NOWHERE, **vote)
    assert answer.status == 400
    assert named in answer.json["error"]["message"]


def test_a_cached_answer_is_a_vote_on_whoever_wrote_it(world: World) -> None:
    body = {"model": "sim-gemini/sim-chat", "prompt": "again and again"}
    ids = [world.post("/api/llm/orchestrate", body, key=ALICE_KEY).headers["x-steelyard-request-id"] for _ in range(2)]
    assert world.record(ids[1], ADMIN_KEY)["cache"] == "hit"
    before = votes_on(world, "sim-gemini/sim-chat")
    answer = rate(world, ids[1], score=0.5)
    assert (answer.status, answer.json["provider"], answer.json["model"]) == (201, "sim-gemini", "sim-chat")
    assert votes_on(world, "sim-gemini/sim-chat") > before + 0.3


def test_pages_hold_every_vote_once_newest_first(world: World) -> None:
    ids = [asked(world, f"page {number}", BOB_KEY) for number in range(5)]
    for request_id in ids:
        assert rate(world, request_id, BOB_KEY, score=0.5).status == 201
    found: list[str] = []
    query = "?limit=2"
    while True:
        page = listed(world, query, BOB_KEY)
        found += [one["request_id"] for one in page["feedback"]]
        if page["next_cursor"] is None:
            break
        query = f"?limit=2&cursor={quote(page['next_cursor'])}"
    # Other tests vote as well.
    assert [one for one in found if one in ids] == ids[::-1]
    assert listed(world, "?since=2999-01-01T00:00:00Z", BOB_KEY)["feedback"] == []
    assert world.get("/api/feedback?cursor=x", BOB_KEY).status == 400
    assert world.get("/api/feedback?limit=0", BOB_KEY).status == 400


def test_feedback_shifts_traffic_where_quality_is_weighed(world: World) -> None:
    disliked, other = "sim-openai/sim-chat", "sim-anthropic/sim-chat"
    for number in range(40):
        answer = world.orchestrate(ALICE_KEY, prompt=f"rate me {number}", model="twins", user=f"user-{number}")
        meta = answer.headers
        wrote = f"{meta['x-steelyard-provider']}/{meta['x-steelyard-model']}"
        vote = "down" if wrote == disliked else "up"
        assert rate(world, meta["x-steelyard-request-id"], thumbs=vote).status == 201
    for number in range(6):
        # The other one has the traffic by now: what is left of the disliked one's fame goes by a pinned provider.
        answer = world.orchestrate(
            BOB_KEY, prompt=f"and me {number}", model="twins", providers=["sim-openai"], user=f"bobby-{number}"
        )
        assert rate(world, answer.headers["x-steelyard-request-id"], BOB_KEY, score=0).status == 201
    assert weight_of(world, disliked) < 0.05 < 0.9 < weight_of(world, other)
    served = Counter(
        world.orchestrate(ALICE_KEY, prompt=f"now {number}", model="twins").headers["x-steelyard-provider"]
        for number in range(30)
    )
    assert served["sim-anthropic"] >= 24


def test_one_angry_user_moves_little(world: World) -> None:
    """However often: at most what one source may."""
    model = "sim-anthropic/sim-chat"
    asked(world, "hm", BOB_KEY, model)
    before = votes_on(world, model)
    for number in range(12):
        request_id = asked(world, f"bah {number}", BOB_KEY, model, user="angry")
        assert rate(world, request_id, BOB_KEY, thumbs="down").status == 201
    assert votes_on(world, model) - before <= 1.5


def test_votes_survive_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("restart")
    with world_in(folder, with_keys) as first:
        assert rate(first, asked(first, "remember"), thumbs="down").status == 201
        before = votes_on(first, OPENAI)
    with world_in(folder, with_keys) as second:
        assert votes_on(second, OPENAI) == pytest.approx(before, rel=1e-3)
        assert len(listed(second)["feedback"]) == 1


def test_votes_are_counted(world: World) -> None:
    rate(world, asked(world, "count me"), score=1)
    assert b'steelyard_feedback_total{source="caller"}' in world.get("/metrics", ADMIN_KEY).body


def test_the_operations_are_documented_with_their_errors(world: World) -> None:
    document = world.get("/openapi.json").json
    item = document["paths"]["/api/feedback"]
    assert item["post"]["responses"].keys() >= {"200", "201", "400", "401", "404", "409", "503"}
    assert item["get"]["responses"].keys() >= {"200", "400", "401"}
    asked = document["components"]["schemas"]["FeedbackRequest"]
    assert asked["properties"].keys() == {"request_id", "score", "thumbs", "metric", "comment"}
    assert asked["required"] == ["request_id"]


def test_a_workflow_teaches_what_it_thinks_of_its_answers(world: World) -> None:
    nodes: Any = {
        "ideas": {
            "type": "map",
            "over": "['tea', 'ink']",
            "node": {"type": "prompt", "prompt": "Of {{ item }}.", "model": "twins", "cache": False},
        },
        "vote": {"type": "vote", "of": "ideas", "score": [1, 0.5], "comment": "as {{ input.whom }} says"},
    }
    spelled: Any = {
        "slug": "graded",
        "name": "Graded",
        "nodes": nodes,
        "edges": [{"source": "ideas", "target": "vote"}],
    }
    spelled["input_schema"] = {"type": "object", "properties": {"whom": {"type": "string"}}}
    assert world.post("/api/workflows", spelled, key=ADMIN_KEY).status == 201
    done = world.post("/api/workflows/graded/execute?wait=60", {"inputs": {"whom": "Ann"}}, key=ALICE_KEY).json
    assert (done["status"], done["outputs"]) == ("completed", {"vote": {"votes": 2}}), done
    own = [one for one in listed(world)["feedback"] if one["metric"] == "workflow"]
    assert sorted((one["score"], one["comment"]) for one in own) == [(0.5, "as Ann says"), (1.0, "as Ann says")]
    # Heard by the DWA, under the deployment that answered.
    assert all(one["weight"] > 0 for one in own)
    assert all(votes_on(world, f"{one['provider']}/{one['model']}") > 0 for one in own)
    assert "workflow" not in [one["metric"] for one in listed(world, key=BOB_KEY)["feedback"]]
