"""Budgets of a running gateway: nobody spends more than there is, and whoever is turned away learns why."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.limits import Budget, Budgets
from gateway.settings.secrets import Secret
from gateway.settings.shared import Key
from tests.acceptance.driving import ADMIN_KEY, OPENAI, Answer, World, with_keys, world_in
from tests.serving import until

#: A model whose 100 tokens of answer cost 0.001 USD, and what a request for that many reserves at most.
LARGE, TOKENS, COST = "sim-openai/sim-gpt-large", 100, 0.001


def _key(name: str) -> str:
    return f"{name}-0123456789abcdef0123456789abcdef"


def _budgeted(settings: Settings) -> Settings:
    settings = with_keys(settings)
    many = [
        Key(name="poor", key=Secret(_key("poor")), budget=Budget(usd=0.02, period="total")),
        Key(name="broke", key=Secret(_key("broke")), budget=Budget(usd=0.0000001, period="month")),
        Key(name="warned", key=Secret(_key("warned")), budget=Budget(usd=0.01, period="day", soft=0.05)),
        Key(name="red", key=Secret(_key("red")), tags=("team", "unbudgeted")),
        Key(name="blue", key=Secret(_key("blue")), tags=("team",)),
        Key(name="elsewhere", key=Secret(_key("elsewhere"))),
    ]
    anthropic = replace(settings.providers["sim-anthropic"], budget=Budget(usd=0.0000001, period="week"))
    return replace(
        settings,
        keys=(*settings.keys, *many),
        budgets=Budgets(tags={"team": Budget(usd=0.0000001, period="hour")}),
        providers={**settings.providers, "sim-anthropic": anthropic},
    )


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("bank"), _budgeted) as made:
        yield made


def _ask(bank: World, key: str, model: str = LARGE, **more: Any) -> Answer:
    return bank.chat(f"{uuid.uuid4()} #sim tokens={TOKENS}", model, key=_key(key), max_tokens=TOKENS, **more)


def test_two_hundred_at_once_overspend_by_less_than_one_request(bank: World) -> None:
    with ThreadPoolExecutor(40) as pool:
        answers = [*pool.map(_ask, [bank] * 200, ["poor"] * 200)]
    good = [answer for answer in answers if answer.status == 200]
    assert {answer.status for answer in answers} == {200, 429}
    spent = sum(float(answer.headers["x-steelyard-cost-usd"]) for answer in good)
    assert 0.02 <= spent < 0.02 + 2 * COST, "all of it was spent, and less than one more request"
    told = next(answer for answer in answers if answer.status == 429)
    assert told.json["error"]["type"] == told.json["error"]["code"] == "insufficient_quota"
    assert told.json["error"]["source"] == "policy"
    assert "retry-after" not in told.headers, "it does not begin anew"
    assert told.headers["x-should-retry"] == "false"


def test_every_dialect_is_told_by_its_own_error(bank: World) -> None:
    assert _ask(bank, "broke").status == 200, "something was left"
    until(lambda: _ask(bank, "broke").status == 429)
    refused = _ask(bank, "broke")
    assert "key 'broke'" in refused.json["error"]["message"]
    assert "per month" in refused.json["error"]["message"]
    assert int(refused.headers["retry-after"]) > 0
    message = {"model": LARGE, "max_tokens": 5, "messages": [{"role": "user", "content": "Hello"}]}
    anthropic = bank.post("/v1/messages", message, key=_key("broke"))
    assert (anthropic.status, anthropic.json["error"]["code"]) == (429, "insufficient_quota")
    contents = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    gemini = bank.post(f"/v1beta/models/{LARGE}:generateContent", contents, key=_key("broke"))
    assert (gemini.status, gemini.json["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert "steelyard_budget_refusals_total" in bank.get("/metrics", ADMIN_KEY).body.decode()
    assert _ask(bank, "broke", "sim-local/sim-chat").status == 200, "what costs nothing needs no money"


def test_a_tag_is_one_purse_for_all_its_keys(bank: World) -> None:
    assert _ask(bank, "red").status == 200
    until(lambda: _ask(bank, "red").status == 429)
    refused = _ask(bank, "blue")
    assert refused.status == 429
    assert "tag 'team'" in refused.json["error"]["message"]
    assert _ask(bank, "alice").status == 200


def test_a_warning_comes_before_the_end(bank: World) -> None:
    assert "x-steelyard-budget-warning" not in _ask(bank, "warned").headers
    until(lambda: "x-steelyard-budget-warning" in _ask(bank, "warned", OPENAI).headers)
    told = _ask(bank, "warned", OPENAI).headers["x-steelyard-budget-warning"]
    assert told.startswith("key 'warned': ")
    assert "of 0.01 USD per day" in told


def test_a_key_of_the_api_has_a_budget_that_can_be_raised_at_once(bank: World) -> None:
    wanted = {"name": "made", "budget": {"usd": 0.0000001, "period": "day"}}
    made = bank.post("/api/keys", wanted, key=ADMIN_KEY).json

    def ask() -> Answer:
        return bank.chat(f"{uuid.uuid4()}", LARGE, key=made["key"], max_tokens=TOKENS)

    assert ask().status == 200, "something was left"
    until(lambda: ask().status == 429)
    assert (
        bank.call("PATCH", f"/api/keys/{made['id']}", {"budget": {"usd": 1.0, "period": "day"}}, key=ADMIN_KEY).status
        == 200
    )
    assert ask().status == 200
    told = bank.get("/api/spend/budgets", ADMIN_KEY).json["budgets"]
    assert {(one["kind"], one["name"], one["usd"]) for one in told} > {("key", "made", 1.0), ("tag", "team", 0.0000001)}


def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    with world_in(tmp_path, _budgeted) as before:
        assert _ask(before, "broke").status == 200
    with world_in(tmp_path, _budgeted) as after:
        assert _ask(after, "broke").status == 429


def test_a_provider_whose_budget_is_spent_is_asked_no_more(bank: World) -> None:
    said: Any = {"model": "sim-chat", "providers": ["sim-anthropic", "sim-openai"], "mode": "fallback", "cache": False}

    def ask(**more: Any) -> Answer:
        return bank.orchestrate(_key("alice"), prompt=str(uuid.uuid4()), **(said | more))

    assert ask().json["results"][0]["provider"] == "sim-anthropic"
    until(lambda: ask().json["results"][0]["provider"] == "sim-openai")
    alone = ask(providers=["sim-anthropic"])
    assert (alone.status, alone.json["error"]["code"]) == (429, "insufficient_quota")
    assert "provider 'sim-anthropic'" in alone.json["error"]["message"]
