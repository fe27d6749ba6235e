"""Spending: told by key, tag, provider, model and day, to each caller his own; and budgets that begin anew."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from gateway.cli import main
from gateway.settings import Settings
from gateway.settings.limits import Budget
from gateway.settings.secrets import Secret
from gateway.settings.shared import Key
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, ANTHROPIC, OPENAI, World, with_keys, world_in
from tests.serving import until

_CAROL = "carol-0123456789abcdef0123456789abcdef"
_DORA = "dora-0123456789abcdef0123456789abcdef"


def _tagged(settings: Settings) -> Settings:
    settings = with_keys(settings)
    carol = Key(name="carol", key=Secret(_CAROL), tags=("red", "=blue"), budget=Budget(usd=5, period="month"))
    dora = Key(name="dora", key=Secret(_DORA), budget=Budget(usd=1, period="week"))
    return replace(settings, keys=(*settings.keys, carol, dora))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("shop"), _tagged) as made:
        for key, model, count in ((ALICE_KEY, OPENAI, 2), (_CAROL, OPENAI, 1), (_CAROL, ANTHROPIC, 1)):
            for _ in range(count):
                assert made.chat(f"{uuid.uuid4()} #sim tokens=50", model, key=key).status == 200
        until(lambda: _spend(made, "")["total"]["requests"] >= 4)
        yield made


def _spend(shop: World, query: str, key: str = ADMIN_KEY) -> Any:
    answer = shop.get(f"/api/spend?{query}", key)
    assert answer.status == 200, answer.body
    return answer.json


def test_spending_is_told_apart_by_what_is_asked(shop: World) -> None:
    found = _spend(shop, "by=key,provider")
    found["rows"] = [row for row in found["rows"] if row["key"] != "dora"]
    assert found["by"] == ["key", "provider"]
    told = {(row["key"], row["provider"]): row["requests"] for row in found["rows"]}
    assert told == {("alice", "sim-openai"): 2, ("carol", "sim-openai"): 1, ("carol", "sim-anthropic"): 1}
    assert all(row["cost_usd"] > 0 and row["output_tokens"] == 50 * row["requests"] for row in found["rows"])
    alone = _spend(shop, "by=provider&key=carol")
    assert sum(row["cost_usd"] for row in alone["rows"]) == pytest.approx(alone["total"]["cost_usd"])
    assert [row["cost_usd"] for row in found["rows"]] == sorted((r["cost_usd"] for r in found["rows"]), reverse=True)
    tags = {row["tag"]: row["requests"] for row in _spend(shop, "by=tag")["rows"]}
    assert tags == {"red": 2, "=blue": 2}
    days = _spend(shop, "by=day&provider=sim-openai&key=alice")["rows"]
    assert [(len(row["day"]), row["requests"], row["key"]) for row in days] == [(10, 2, None)]
    assert _spend(shop, "by=model&tag=red&model=sim-chat")["total"]["requests"] == 2
    assert _spend(shop, "until=2020-01-01T00:00:00Z&since=2019-01-01T00:00:00Z")["total"]["requests"] == 0
    assert _spend(shop, "by=key&limit=1")["truncated"]


def test_everybody_sees_his_own(shop: World) -> None:
    assert [row["key"] for row in _spend(shop, "by=key", ALICE_KEY)["rows"]] == ["alice"]
    assert shop.get("/api/spend?key=carol", ALICE_KEY).status == 403
    assert shop.get("/api/spend").status == 401
    assert shop.get("/api/spend?by=colour", ALICE_KEY).status == 400
    assert shop.get("/api/spend/budgets", ALICE_KEY).json == {"budgets": []}
    (own,) = shop.get("/api/spend/budgets", _CAROL).json["budgets"]
    assert (own["kind"], own["name"], own["usd"], own["period"]) == ("key", "carol", 5.0, "month")
    assert own["spent_usd"] == pytest.approx(_spend(shop, "", _CAROL)["total"]["cost_usd"])
    assert own["left_usd"] == pytest.approx(5 - own["spent_usd"] - own["held_usd"])


def test_csv_is_for_spreadsheets(shop: World) -> None:
    told = shop.get("/api/spend?by=tag,provider&format=csv", ADMIN_KEY)
    assert told.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(told.body.decode())))
    assert {row["tag"] for row in rows} == {"red", "'=blue"}, "nothing that a spreadsheet would compute"
    assert all(float(row["cost_usd"]) > 0 for row in rows)
    accepted = shop.call("GET", "/api/spend?by=tag,provider", key=ADMIN_KEY, accept="text/csv")
    assert sorted(accepted.body.splitlines()) == sorted(told.body.splitlines())


def test_a_budget_begins_anew_when_it_is_told_to(shop: World) -> None:
    (own,) = shop.get("/api/spend/budgets", _DORA).json["budgets"]
    assert shop.orchestrate(_DORA, model=OPENAI, prompt="Hello", cache=False).status == 200
    until(lambda: shop.get("/api/spend/budgets", _DORA).json["budgets"][0]["spent_usd"] > own["spent_usd"])
    body = {"kind": "key", "name": "dora"}
    assert shop.post("/api/spend/budgets/reset", body, key=_DORA).status == 403
    assert shop.post("/api/spend/budgets/reset", {**body, "name": "bob"}, key=ADMIN_KEY).status == 404
    anew = shop.post("/api/spend/budgets/reset", body, key=ADMIN_KEY).json
    assert anew["spent_usd"] == 0
    (act, *_) = shop.get("/api/audit?action=budget.reset", ADMIN_KEY).json["acts"]
    assert (act["actor"], act["target"], act["after"]) == ("admin", "key:dora", {"spent_usd": 0.0})
    assert act["before"]["spent_usd"] > 0
    assert _spend(shop, "", _DORA)["total"]["cost_usd"] > 0


def test_the_command_tells_the_same(shop: World) -> None:
    def run(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["spend", "--url", shop.url, "--key", ADMIN_KEY, *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    assert "carol" in run("--by", "key,model", "--since", "2026-01-01")
    assert run("--csv", "--by", "provider").startswith("provider,requests,")
    assert '"total"' in run("--json", "--tag", "red")
    assert "key carol" in run("--budgets")
