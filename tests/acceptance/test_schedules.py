"""`/api/schedules` on a running gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.store.engine import Database
from gateway.store.workflows import schedules
from gateway.workflows.kept import ScheduleChanges
from gateway.workflows.library import Library
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY, Answer, World, with_keys, world_in
from tests.serving import until, with_worker

DIGEST: dict[str, Any] = {
    "slug": "digest",
    "name": "Digest",
    "input_schema": {"type": "object", "required": ["topic"], "properties": {"topic": {"type": "string"}}},
    "nodes": {"say": {"type": "template", "template": "News of {{ input.topic }}"}},
    "outputs": {"said": "{{ nodes.say.output }}"},
}


def in_berlin(settings: Settings) -> Settings:
    return replace(settings, workflows=replace(settings.workflows, timezone=":Europe/Berlin", misfire_grace=77.0))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("schedules"), with_keys, with_worker, in_berlin) as made:
        asyncio.run(saved(made.serving.settings.database.url.reveal(), DIGEST))
        yield made


async def saved(url: str, definition: dict[str, Any]) -> None:
    database = Database(url)
    await Library(database, wall=time.time).save(definition, by="admin")
    await database.dispose()


def make(world: World, key: str = ALICE_KEY, **facts: Any) -> Answer:
    body = {"workflow": "digest", "cron": "30 6 * * mon-fri", "inputs": {"topic": "cheese"}, **facts}
    return world.post("/api/schedules", body, key=key)


def made(world: World, **facts: Any) -> dict[str, Any]:
    answer = make(world, **facts)
    assert answer.status == 201, answer.body
    return answer.json


def seen(world: World, one: dict[str, Any]) -> dict[str, Any]:
    return world.get(f"/api/schedules/{one['schedule_id']}", ALICE_KEY).json


def change(world: World, one: dict[str, Any], key: str = ALICE_KEY, **facts: Any) -> Answer:
    return world.call("PATCH", f"/api/schedules/{one['schedule_id']}", facts, key=key)


def test_a_schedule_shows_its_next_times(world: World) -> None:
    one = made(world)
    assert one["schedule_id"].startswith("sched_")
    assert one["created_by"] == "alice"
    assert (one["timezone"], one["misfire_grace_seconds"], one["enabled"]) == ("Europe/Berlin", 77.0, True)
    assert (one["version"], one["missed"], one["last_at"], one["last_execution_id"]) == (None, 0, None, None)
    assert one["next_at"] == one["next_times"][0]
    assert len(one["next_times"]) == 6
    times = [datetime.fromisoformat(text) for text in one["next_times"]]
    assert times == sorted(times)
    assert {moment.hour for moment in times} <= {4, 5}  # of UTC, by summer time or not
    assert seen(world, one) == one


def test_a_schedule_is_its_owners(world: World) -> None:
    one = made(world)
    where = f"/api/schedules/{one['schedule_id']}"
    for answer in (
        world.get(where, BOB_KEY),
        change(world, one, BOB_KEY, enabled=False),
        world.call("DELETE", where, key=BOB_KEY),
        world.post(f"{where}/run-now", {}, key=BOB_KEY),
    ):
        assert (answer.status, answer.json["error"]["code"]) == (404, "not_found")
    assert world.get("/api/schedules", BOB_KEY).json == {"items": [], "next_after": None}
    assert world.get("/api/schedules").status == 401
    page = world.get("/api/schedules?workflow=digest&limit=1", ADMIN_KEY).json
    assert page["items"] == [one]


def test_schedules_come_in_pages(world: World) -> None:
    wanted = [made(world)["schedule_id"] for _ in range(3)][::-1]
    first = world.get("/api/schedules?limit=2", ALICE_KEY).json
    rest = world.get(f"/api/schedules?limit=500&after={first['next_after']}", ALICE_KEY).json
    assert [one["schedule_id"] for one in (*first["items"], *rest["items"])][:3] == wanted
    assert rest["next_after"] is None


def test_a_pause_ends_with_the_first_time_from_now(world: World) -> None:
    one = made(world)
    paused = change(world, one, enabled=False).json
    assert (paused["enabled"], paused["next_at"], paused["next_times"]) == (False, None, [])
    moved = change(world, one, enabled=True, cron="0 12 1 1 *", timezone="UTC", version=1, inputs={"topic": "tea"}).json
    assert moved["next_at"].endswith("-01-01T12:00:00Z")
    assert (moved["version"], moved["inputs"]) == (1, {"topic": "tea"})
    assert change(world, one, version=None, misfire_grace_seconds=5).json["version"] is None
    assert world.call("DELETE", f"/api/schedules/{one['schedule_id']}", key=ALICE_KEY).status == 204
    assert world.get(f"/api/schedules/{one['schedule_id']}", ALICE_KEY).status == 404


@pytest.mark.parametrize(
    ("facts", "status", "param", "told"),
    [
        ({"cron": "soon"}, 422, "cron", "it takes five fields"),
        ({"cron": "0 0 31 2 *"}, 422, "cron", "it is never due"),
        ({"timezone": "Europe/Atlantis"}, 422, "timezone", "There is no time zone 'Europe/Atlantis'"),
        ({"inputs": {}}, 422, "inputs", "topic"),
        ({"workflow": "nothing"}, 404, None, "There is no workflow 'nothing'"),
        ({"version": 9}, 404, None, "version 9"),
        ({"misfire_grace_seconds": 0}, 400, "misfire_grace_seconds", "> 0"),
        ({"every": "day"}, 400, None, "every"),
    ],
)
def test_what_means_nothing_is_refused(
    world: World, facts: dict[str, Any], status: int, param: str | None, told: str
) -> None:
    answer = make(world, **facts)
    assert answer.status == status, answer.body
    assert told in answer.body.decode().replace("\\u003e", ">")
    if status == 422:
        assert answer.json["error"]["param"] == param


def test_a_change_of_nothing_is_refused(world: World) -> None:
    answer = change(world, made(world))
    assert answer.status == 400
    assert "Name what to change: cron, timezone" in answer.json["error"]["message"]


def test_run_now_runs_to_its_end(world: World) -> None:
    one = made(world, enabled=False)
    answer = world.post(f"/api/schedules/{one['schedule_id']}/run-now", {}, key=ALICE_KEY)
    assert answer.status == 202, answer.body
    begun = answer.json
    assert (begun["workflow_id"], begun["version"]) == ("digest", 1)
    assert seen(world, one)["last_execution_id"] == begun["execution_id"]


async def moved(url: str, schedule_id: str, next_at: float) -> None:
    database = Database(url)
    await schedules.change(database, schedule_id, ScheduleChanges(next_at=next_at))
    await database.dispose()


def test_a_time_that_has_come_is_held(world: World) -> None:
    # Due once a day, half a day from now; and moreover at a second to come, while the scheduler runs.
    hour = (datetime.now(UTC).hour + 12) % 24
    one = made(world, cron=f"30 {hour} * * *", timezone="UTC")
    comes = float(int(time.time()) + 2)
    asyncio.run(moved(world.serving.settings.database.url.reveal(), one["schedule_id"], comes))
    until(lambda: seen(world, one)["last_execution_id"] is not None, within=20)
    found = seen(world, one)
    assert comes <= datetime.fromisoformat(found["last_at"]).timestamp() <= comes + 20
    assert (found["next_at"], found["missed"]) == (one["next_at"], 0)
    held = world.get(f"/api/executions/{found['last_execution_id']}", ALICE_KEY).json
    assert (held["workflow_id"], held["inputs"]) == ("digest", {"topic": "cheese"})
    change(world, one, enabled=False)
