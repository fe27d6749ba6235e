"""Who may do what: without a key, with a caller's, with the administrator's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.sections import Auth
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY, World, with_keys, world_in

PUBLIC = ["/health", "/health/live", "/health/ready", "/docs", "/openapi.json"]
FOR_CALLERS = [
    "/metrics",
    "/v1/models",
    "/v1/models/sim-chat",
    "/v1beta/models",
    "/v1beta/models/sim-chat",
    "/api/llm/providers",
    "/api/llm/models",
    "/api/llm/routes",
    "/api/llm/dwa/stats",
    "/api/llm/dwa/best-provider",
    "/api/sessions",
]
#: Of what is one's own, for who has a name; whoever comes without a key has none.
FOR_WHO_HAS_A_NAME = [
    ("GET", "/api/db/stats"),
    ("GET", "/api/db/requests/recent"),
    ("GET", "/api/feedback"),
    ("GET", "/api/sessions"),
    ("GET", "/api/executions"),
    ("GET", "/api/step-executions"),
    ("GET", "/api/checkpoints"),
    ("GET", "/api/schedules"),
]
FOR_THE_ADMIN = [
    ("GET", "/api/db/cache/stats"),
    ("DELETE", "/api/db/cache/clear"),
    ("POST", "/api/llm/dwa/reset"),
]


@pytest.mark.parametrize("path", PUBLIC)
@pytest.mark.parametrize("key", [None, "wrong", ALICE_KEY], ids=["none", "wrong", "alice"])
def test_some_addresses_need_no_key(keyed: World, path: str, key: str | None) -> None:
    assert keyed.get(path, key).status == 200


@pytest.mark.parametrize("path", FOR_CALLERS)
@pytest.mark.parametrize(
    ("key", "status"),
    [(None, 401), ("wrong", 401), (ALICE_KEY, 200), (ADMIN_KEY, 200)],
    ids=["none", "wrong", "alice", "admin"],
)
def test_most_need_any_key(keyed: World, path: str, key: str | None, status: int) -> None:
    assert keyed.get(path, key).status == status


@pytest.mark.parametrize(("method", "path"), FOR_THE_ADMIN)
@pytest.mark.parametrize(
    ("key", "status"),
    [(None, 401), ("wrong", 401), (ALICE_KEY, 403), (ADMIN_KEY, 200)],
    ids=["none", "wrong", "alice", "admin"],
)
def test_some_need_the_admin_key(keyed: World, method: str, path: str, key: str | None, status: int) -> None:
    answer = keyed.call(method, path, {} if method == "POST" else None, key=key)
    assert answer.status == status
    if status == 403:
        error = answer.json["error"]
        assert (error["type"], error["code"], error["source"]) == ("permission_error", "permission_denied", "policy")


@pytest.mark.parametrize(("method", "path"), FOR_WHO_HAS_A_NAME)
@pytest.mark.parametrize(
    ("key", "status"),
    [(None, 401), ("wrong", 401), (ALICE_KEY, 200), (ADMIN_KEY, 200)],
    ids=["none", "wrong", "alice", "admin"],
)
def test_some_need_a_key_and_tell_of_its_own_only(
    keyed: World, method: str, path: str, key: str | None, status: int
) -> None:
    assert keyed.call(method, path, key=key).status == status


def test_a_record_and_an_explanation_need_its_owner_or_the_admin(keyed: World) -> None:
    identity = keyed.chat("Hello", key=ALICE_KEY).headers["x-steelyard-request-id"]
    assert keyed.record(identity, ADMIN_KEY)["key_name"] == "alice"
    for key, status in ((None, 401), (ALICE_KEY, 200), (BOB_KEY, 404), (ADMIN_KEY, 200)):
        assert keyed.get(f"/api/db/requests/{identity}", key).status == status
        assert keyed.get(f"/api/llm/dwa/explain/{identity}", key).status == status


def test_a_key_sees_its_own_requests_and_their_totals_only(keyed: World) -> None:
    mine = keyed.chat("One", key=BOB_KEY).headers["x-steelyard-request-id"]
    theirs = keyed.chat("Two", key=ALICE_KEY).headers["x-steelyard-request-id"]
    keyed.record(mine, ADMIN_KEY)
    keyed.record(theirs, ADMIN_KEY)
    seen = keyed.get("/api/db/requests/recent?limit=500", BOB_KEY).json["requests"]
    assert mine in {one["id"] for one in seen}
    assert {one["key_name"] for one in seen} == {"bob"}
    assert keyed.get("/api/db/requests/recent?key=bob", BOB_KEY).status == 200
    assert keyed.get("/api/db/requests/recent?key=alice", BOB_KEY).status == 403
    told = keyed.get("/api/db/stats", BOB_KEY).json
    assert told["totals"]["requests"] == len(seen)
    assert sum(one["requests"] for one in told["deployments"]) == len(seen)
    assert told["totals"]["cost_usd"] == pytest.approx(sum(one["cost_usd"] for one in seen))
    good = sorted(one["duration_s"] for one in seen if one["outcome"] == "ok")
    assert told["duration_s"]["p50"] == pytest.approx(good[(len(good) * 50 + 99) // 100 - 1])


def test_the_log_keeps_no_key(keyed: World) -> None:
    answer = keyed.chat("Hello", key=ALICE_KEY)
    record = keyed.get(f"/api/db/requests/{answer.headers['x-steelyard-request-id']}", ADMIN_KEY)
    assert ALICE_KEY not in record.body.decode()


def public_metrics(settings: Settings) -> Settings:
    return replace(settings, metrics=replace(settings.metrics, public=True))


def without_admin(settings: Settings) -> Settings:
    return replace(with_keys(settings), auth=Auth())


def with_anonymous(settings: Settings) -> Settings:
    keyed = with_keys(settings)
    return replace(keyed, auth=replace(keyed.auth, allow_anonymous=True))


@pytest.fixture(scope="module")
def friendly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Keys are known, but nobody needs one; metrics are public."""
    with world_in(tmp_path_factory.mktemp("friendly"), with_anonymous, public_metrics) as made:
        yield made


def test_metrics_may_be_public(friendly: World) -> None:
    answer = friendly.get("/metrics")
    assert "steelyard" in answer.body.decode()
    # Prometheus reads no page whose type it cannot parse, and none that names a parameter twice.
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_anonymous_callers_may_be_let_in_but_not_as_administrators(friendly: World) -> None:
    answer = friendly.chat("Hello")
    assert answer.status == 200
    assert friendly.get("/api/llm/models").status == 200
    identity = answer.headers["x-steelyard-request-id"]
    assert friendly.record(identity, ADMIN_KEY)["key_name"] == "anonymous"
    # Another caller without a key may have asked.
    assert friendly.get(f"/api/llm/dwa/explain/{identity}").status == 403
    for method, path in [*FOR_WHO_HAS_A_NAME, *FOR_THE_ADMIN]:
        answer = friendly.call(method, path, {} if method == "POST" else None)
        assert answer.status == 403
    assert friendly.get("/api/db/stats", ADMIN_KEY).status == 200


def test_a_wrong_key_is_no_anonymous_caller(friendly: World) -> None:
    assert friendly.chat("Hello", key="wrong").status == 401


def test_without_an_admin_key_no_caller_is_one(tmp_path: Path) -> None:
    with world_in(tmp_path, without_admin) as made:
        for method, path in FOR_THE_ADMIN:
            body: Any = {} if method == "POST" else None
            assert made.call(method, path, body, key=ALICE_KEY).status == 403
            assert made.call(method, path, body).status == 401


def test_without_any_key_everything_is_open(world: World) -> None:
    for path in (*PUBLIC, *FOR_CALLERS, "/api/db/stats"):
        assert world.get(path).status == 200
    # A key that nobody knows is not needed, and does no harm: SDKs insist on sending one.
    assert world.chat("Hello", key="any").status == 200
