"""Keys that are made, changed, rotated and revoked by `/api/keys`."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec import convert

from gateway.governance.grants import FIELDS
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, Answer, World

_names = (f"app-{number}" for number in itertools.count())


def make(world: World, **given: Any) -> dict[str, Any]:
    """A new key with its text."""
    answer = world.post("/api/keys", {"name": next(_names), **given}, key=ADMIN_KEY)
    assert answer.status == 201, answer.body
    return answer.json


def change(world: World, made: dict[str, Any], **changes: Any) -> Answer:
    return world.call("PATCH", f"/api/keys/{made['id']}", changes, key=ADMIN_KEY)


def revoke(world: World, made: dict[str, Any]) -> Answer:
    return world.call("DELETE", f"/api/keys/{made['id']}", key=ADMIN_KEY)


def rotate(world: World, made: dict[str, Any], **how: Any) -> Answer:
    return world.post(f"/api/keys/{made['id']}/rotate", how, key=ADMIN_KEY)


def opens(world: World, key: str) -> bool:
    return world.get("/v1/models", key).status == 200


def test_a_key_is_told_once_and_opens_at_once(keyed: World) -> None:
    made = make(keyed, tags=["team:search"])
    assert made["key"].startswith(f"{made['prefix']}")
    assert made["key"].startswith("sk-sy-")
    assert len(made["key"]) == len("sk-sy-") + 43
    assert keyed.chat("Hello.", key=made["key"]).status == 200
    shown = keyed.get(f"/api/keys/{made['id']}", ADMIN_KEY).json
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert made["key"] not in keyed.get("/api/keys", ADMIN_KEY).body.decode()
    assert (shown["state"], shown["created_by"], shown["scopes"]) == ("active", "admin", ["use", "read"])


def test_a_key_is_a_tenant_of_its_own(keyed: World) -> None:
    made = make(keyed)
    asked = keyed.chat("Whose is this?", key=made["key"])
    record = keyed.record(asked.headers["x-steelyard-request-id"], ADMIN_KEY)
    assert record["key_name"] == made["name"]


def test_a_revoked_key_opens_nothing_and_its_row_stays(keyed: World) -> None:
    made = make(keyed)
    assert revoke(keyed, made).json["state"] == "revoked"
    assert keyed.get("/v1/models", made["key"]).status == 401
    shown = keyed.get(f"/api/keys/{made['id']}", ADMIN_KEY).json
    assert shown["state"] == "revoked"
    assert revoke(keyed, made).json == shown  # a second time changes nothing
    assert change(keyed, made, tags=[]).status == 409
    assert rotate(keyed, made).status == 409
    again = keyed.post("/api/keys", {"name": made["name"]}, key=ADMIN_KEY)
    assert (again.status, again.json["error"]["code"]) == (409, "name_taken")


def test_a_rotation_ends_the_former_text_or_lets_it_overlap(keyed: World) -> None:
    made = make(keyed)
    first, second = made["key"], rotate(keyed, made).json
    assert (opens(keyed, first), opens(keyed, second["key"]), second["former_until"]) == (False, True, None)
    third = rotate(keyed, made, overlap=600).json
    assert opens(keyed, second["key"])
    assert opens(keyed, third["key"])
    assert third["former_until"] is not None
    assert third["prefix"] != second["prefix"]
    fourth = rotate(keyed, made).json
    assert [opens(keyed, one["key"]) for one in (second, third, fourth)] == [False, False, True]


def test_only_so_many_former_texts_are_open(keyed: World) -> None:
    made = make(keyed)
    answers = [rotate(keyed, made, overlap=600).status for _ in range(11)]
    assert answers == [200] * 10 + [409]


def test_what_a_key_may_do_is_changed_at_once(keyed: World) -> None:
    made = make(keyed, models=["sim-chat"], rates={"rpm": 5}, expires_at="2999-01-01T00:00:00Z")
    changed = change(keyed, made, models=None, rates={"tpm": 7}, expires_at=None, budget={"usd": 2}).json
    assert changed["models"] is None
    assert changed["rates"] == {"tpm": 7}
    assert changed["budget"] == {"usd": 2.0, "period": "month", "soft": 0.8}
    assert changed["expires_at"] is None
    assert opens(keyed, made["key"])
    assert change(keyed, made).status == 400
    assert change(keyed, made, name="another").status == 400


@pytest.mark.parametrize(
    ("given", "status", "param"),
    [
        ({"name": ""}, 400, None),
        ({"name": "a/b"}, 400, None),
        ({"name": "x", "scopes": []}, 400, None),
        ({"name": "x", "scopes": ["root"]}, 400, None),
        ({"name": "x", "tags": ["two words"]}, 400, None),
        ({"name": "x", "rpm": 5}, 400, None),
        ({"name": "x", "rates": {"rmp": 5}}, 400, None),
        ({"name": "x", "budget": {"usd": 0}}, 400, None),
        ({"name": "x", "expires_at": "2001-01-01T00:00:00Z"}, 400, "expires_at"),
        ({"name": "alice"}, 409, "name"),
        ({"name": "admin"}, 409, "name"),
        ({"name": "anonymous"}, 409, "name"),
        ({"name": "judge"}, 409, "name"),
        ({"name": "system"}, 409, "name"),
        ({"name": "x", "models": ["sim-chat", "sim-chatt"]}, 422, "models"),
        ({"name": "x", "providers": ["nobody"]}, 422, "providers"),
        ({"name": "x", "routes": ["nowhere"]}, 422, "routes"),
        ({"name": "x", "mcp_tools": ["none/add"]}, 422, "mcp_tools"),
        ({"name": "x", "strategy": "magic"}, 422, "strategy"),
        ({"name": "x", "objective": "fame"}, 422, "objective"),
        ({"name": "x", "guardrails": ["none"]}, 422, "guardrails"),
    ],
    ids=str,
)
def test_a_key_that_makes_no_sense_is_refused(keyed: World, given: Any, status: int, param: str | None) -> None:
    answer = keyed.post("/api/keys", given, key=ADMIN_KEY)
    assert (answer.status, answer.json["error"]["param"]) == (status, param)


def test_a_wrong_name_is_told_with_the_right_one(keyed: World) -> None:
    answer = keyed.post("/api/keys", {"name": "x", "models": ["sim-chatt"], "routes": ["r"]}, key=ADMIN_KEY).json
    assert [one["path"] for one in answer["error"]["problems"]] == ["$.routes[0]", "$.models[0]"]
    assert "Did you mean 'sim-chat'?" in answer["error"]["message"]


def test_keys_are_listed_by_pages_newest_first(keyed: World) -> None:
    made = [make(keyed, tags=["paged", "even" if number % 2 == 0 else "odd"])["id"] for number in range(5)]
    found: list[str] = []
    path = "/api/keys?tag=paged&limit=2"
    after = ""
    while True:
        page = keyed.get(path + after, ADMIN_KEY).json
        found += [one["id"] for one in page["keys"]]
        if page["next_after"] is None:
            break
        after = f"&after={page['next_after']}"
    assert found == made[::-1]
    even = keyed.get("/api/keys?tag=even", ADMIN_KEY).json
    assert [one["id"] for one in even["keys"]] == [made[4], made[2], made[0]]
    assert keyed.get("/api/keys?limit=2", ADMIN_KEY).json["next_after"] == made[3]


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("GET", "/api/keys"),
        ("POST", "/api/keys"),
        ("GET", "/api/keys/key_1"),
        ("PATCH", "/api/keys/key_1"),
        ("DELETE", "/api/keys/key_1"),
        ("POST", "/api/keys/key_1/rotate"),
    ],
)
def test_only_an_administrator_sees_or_makes_keys(keyed: World, verb: str, path: str) -> None:
    reader = make(keyed)["key"]
    body: Any = {"name": "mine"} if verb == "POST" and path == "/api/keys" else {}
    for key, status in ((None, 401), (ALICE_KEY, 403), (reader, 403)):
        assert keyed.call(verb, path, body, key=key).status == status
    if "key_1" in path:
        body = {"tags": []} if verb == "PATCH" else {}
        assert keyed.call(verb, path, body, key=ADMIN_KEY).status == 404


def test_a_key_with_the_scope_admin_is_an_administrator(keyed: World) -> None:
    made = make(keyed, scopes=["admin"])
    assert keyed.get("/api/keys", made["key"]).status == 200
    assert keyed.chat("And it may ask.", key=made["key"]).status == 200
    child = keyed.post("/api/keys", {"name": next(_names)}, key=made["key"]).json
    assert child["created_by"] == made["name"]
    assert change(keyed, made, scopes=["use"]).status == 200
    assert keyed.get("/api/keys", made["key"]).status == 403


def test_without_any_key_none_is_made(world: World) -> None:
    answer = world.post("/api/keys", {"name": "first"})
    assert answer.status == 409
    assert "STEELYARD_ADMIN_KEY" in answer.json["error"]["message"]


def test_health_counts_the_keys(keyed: World) -> None:
    made = make(keyed)
    before = keyed.get("/api/health", ADMIN_KEY).json["services"]["keys"]
    revoke(keyed, made)
    after = keyed.get("/api/health", ADMIN_KEY).json["services"]["keys"]
    assert (before["status"], before["active"] - after["active"], before["unusable"]) == ("healthy", 1, 0)


def test_whatever_can_be_given_can_be_changed(keyed: World) -> None:
    document = keyed.get("/openapi.json").json["components"]["schemas"]
    given = set(convert(document["KeyRequest"]["properties"], dict[str, Any]))
    changed = set(document["KeyChange"]["properties"])
    assert given - changed == {"name"}
    assert changed == {*FIELDS, "expires_at"}
    assert {*FIELDS} <= set(document["KeyAnswer"]["properties"])
