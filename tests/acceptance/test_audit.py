"""The audit log from outside: whatever an administrator does is there, with who, what, when and from where."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, Answer, World
from tests.serving import until

TREE: dict[str, Any] = {
    "slug": "audited",
    "name": "Audited",
    "nodes": {"say": {"type": "template", "template": "Hello"}},
}


@pytest.fixture(scope="module", autouse=True)
def migrated(keyed: World) -> None:
    until(lambda: keyed.get("/api/audit", ADMIN_KEY).status == 200)


def do(world: World, method: str, path: str, body: object = None, key: str = ADMIN_KEY) -> Answer:
    answer = world.call(method, path, body, key=key)
    assert answer.status < 300, answer.body
    return answer


def acts(world: World, query: str = "") -> list[dict[str, Any]]:
    return do(world, "GET", f"/api/audit{query}").json["acts"]


def newest(world: World, action: str) -> dict[str, Any]:
    return acts(world, f"?action={action}&limit=1")[0]


def test_acts_without_a_transaction_are_there_when_they_are_answered(keyed: World) -> None:
    answer = do(keyed, "DELETE", "/api/db/cache/clear?model=sim-chat")
    act = newest(keyed, "cache.clear")
    assert (act["actor"], act["key_id"], act["target"], act["address"]) == ("admin", None, "sim-chat", "127.0.0.1")
    assert act["after"] == {"dropped": answer.json["cleared"]}
    assert act["request_id"] == answer.headers["request-id"]
    assert act["at"].endswith("Z")
    do(keyed, "POST", "/api/llm/dwa/reset", {"provider": "sim-openai"})
    assert newest(keyed, "dwa.reset")["target"] == "sim-openai"


def test_keys_leave_their_life_without_their_text(keyed: World) -> None:
    made = do(keyed, "POST", "/api/keys", {"name": "audited", "tags": ["a"]}).json
    place = f"/api/keys/{made['id']}"
    do(keyed, "PATCH", place, {"tags": ["a", "b"], "models": ["sim-chat"]})
    rotated = do(keyed, "POST", f"{place}/rotate", {"overlap": 60}).json
    for _ in range(2):
        do(keyed, "DELETE", place)
    assert keyed.call("PATCH", place, {"tags": []}, key=ADMIN_KEY).status == 409
    found = acts(keyed, f"?target={made['id']}")
    assert [one["action"] for one in found] == ["key.revoke", "key.rotate", "key.update", "key.create"]
    revoked, turned, updated, created = found
    assert (created["before"], created["after"]["name"], created["after"]["tags"]) == (None, "audited", ["a"])
    assert updated["before"] == {"tags": ["a"], "models": None}
    assert updated["after"] == {"tags": ["a", "b"], "models": ["sim-chat"]}
    assert turned["after"] == {"prefix": rotated["prefix"], "overlap": 60.0}
    assert revoked["before"] == {"revoked_at": None}
    for text in (made["key"], rotated["key"]):
        assert text not in str(found)


def test_workflows_and_schedules_are_told_with_what_changed(keyed: World) -> None:
    do(keyed, "PUT", "/api/workflows/audited", TREE)
    body = {"workflow": "audited", "cron": "30 6 * * *", "inputs": {"secret": "hunter2"}}
    one = do(keyed, "POST", "/api/schedules", body, ALICE_KEY).json["schedule_id"]
    do(keyed, "PATCH", f"/api/schedules/{one}", {"enabled": False, "inputs": {"secret": "hunter3"}}, ALICE_KEY)
    do(keyed, "POST", f"/api/schedules/{one}/run-now", {}, ALICE_KEY)
    do(keyed, "DELETE", f"/api/schedules/{one}")
    do(keyed, "DELETE", "/api/workflows/audited?force=true")
    deleted, run, updated, created = acts(keyed, f"?target={one}")
    assert [one["actor"] for one in (created, updated, run, deleted)] == ["alice", "alice", "alice", "admin"]
    assert (created["action"], created["after"]["cron"]) == ("schedule.create", "30 6 * * *")
    assert (updated["before"]["enabled"], updated["after"]["enabled"]) == (True, False)
    assert updated["after"]["inputs"] == "changed"
    assert run["after"]["execution_id"].startswith("wfexec_")
    assert (deleted["after"], deleted["before"]["slug"]) == (None, "audited")
    archived, saved = acts(keyed, "?target=audited")
    assert (saved["action"], saved["before"], saved["after"]["version"]) == ("workflow.save", None, 1)
    assert (archived["action"], archived["after"]["archived"]) == ("workflow.archive", True)
    assert "hunter" not in str([created, updated, run, deleted])


def test_what_an_administrator_does_with_anothers_execution_is_told(keyed: World) -> None:
    do(keyed, "PUT", "/api/workflows/interfered", {**TREE, "slug": "interfered"})
    ids: list[str] = []
    for key in (ADMIN_KEY, ALICE_KEY):
        begun = do(keyed, "POST", "/api/workflows/interfered/execute", {}, ALICE_KEY).json["execution_id"]
        ids.append(begun)
        do(keyed, "POST", f"/api/executions/{begun}/cancel", {}, key)
    do(keyed, "POST", f"/api/executions/{ids[0]}/resume", {})
    resumed, cancelled = acts(keyed, f"?target={ids[0]}")
    assert (cancelled["action"], cancelled["actor"], cancelled["after"]) == (
        "execution.cancel",
        "admin",
        {"attempt": 1},
    )
    assert (resumed["action"], resumed["after"]) == ("execution.resume", {"attempt": 2})
    assert acts(keyed, f"?target={ids[1]}") == []  # one's own: everybody may


def test_pages_lead_to_the_end(keyed: World) -> None:
    for _ in range(3):
        do(keyed, "POST", "/api/llm/dwa/reset", {})
    seen: list[str] = []
    path: str | None = "/api/audit?action=dwa.&limit=2"
    while path is not None:
        page = do(keyed, "GET", path).json
        seen += [one["id"] for one in page["acts"]]
        path = (
            page["next_cursor"] and f"/api/audit?action=dwa.&limit=2&cursor={page['next_cursor'].replace('+', '%2B')}"
        )
    assert len(seen) == len(set(seen)) >= 3
    assert seen == sorted(seen, reverse=True)


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("wrong", 401), (ALICE_KEY, 403), (ADMIN_KEY, 200)])
def test_only_administrators_read_it(keyed: World, key: str | None, status: int) -> None:
    assert keyed.get("/api/audit", key).status == status


@pytest.mark.parametrize("query", ["cursor=rubbish", "since=1960-01-01T00:00:00Z", "limit=0", "until=soon"])
def test_what_means_nothing_is_refused(keyed: World, query: str) -> None:
    assert keyed.get(f"/api/audit?{query}", ADMIN_KEY).status == 400
