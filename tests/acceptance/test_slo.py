"""An objective with an SLO on a running gateway: by header, by body and by route, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from gateway.settings import Settings
from gateway.settings.shared import Objective, Slo
from tests.acceptance.driving import OPENAI, World, impatient, world_in


def with_slos(settings: Settings) -> Settings:
    slos = {"prompt": Slo(seconds=30.0, share=0.9), "impossible": Slo(seconds=1e-6, errors=0.2)}
    return replace(settings, objectives={name: Objective(slo=slo) for name, slo in slos.items()})


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("slo"), with_slos, impatient) as made:
        yield made


@pytest.fixture
def slow(gateway: World) -> Iterator[World]:
    gateway.forget()
    yield gateway
    gateway.forget()


def slos(world: World) -> dict[str, dict[str, Any]]:
    return {row["objective"]: row for row in world.get("/api/llm/dwa/stats").json["slos"]}


def by(objective: str) -> dict[str, str]:
    return {"X-Steelyard-Objective": objective, "X-Steelyard-Cache": "off"}


def test_an_slo_is_kept_and_told(slow: World) -> None:
    assert slos(slow) == {}
    answer = slow.chat("Hello", "sim-chat", headers=by("prompt"))
    assert answer.status == 200
    assert answer.headers["x-steelyard-provider"] == "sim-local"  # the cheapest: it costs nothing
    assert slow.chat("Hello", "sim-chat", headers=by("prompt"), stream=True).status == 200
    body = slow.orchestrate(prompt="Hello to you", model="sim-chat", objective="prompt").json
    assert body["metadata"]["objective"] == "prompt"
    assert slos(slow) == {
        "prompt": {
            "objective": "prompt",
            "seconds": 30.0,
            "share": 0.9,
            "errors": 0.01,
            "within": 1.0,
            "failed": 0.0,
            "requests": 3,
            "prices": {"latency": 0.0, "errors": 0.0},
        }
    }


def test_every_miss_raises_the_price(slow: World) -> None:
    prices: list[float] = []
    for _ in range(3):
        assert slow.chat("Hello", "sim-chat", headers=by("impossible")).status == 200
        prices.append(slos(slow)["impossible"]["prices"]["latency"])
    assert 0.0 < prices[0] < prices[1] < prices[2]
    row = slos(slow)["impossible"]
    assert (row["within"], row["failed"], row["requests"]) == (0.0, 0.0, 3)


def test_a_request_nobody_answers_is_one_error_however_many_were_asked(slow: World) -> None:
    for provider in slow.running.state():
        slow.running.control(provider, "down")
    assert slow.chat("Hello", "sim-chat", headers=by("prompt")).status == 503
    row = slos(slow)["prompt"]
    assert (row["within"], row["failed"], row["requests"]) == (None, 1.0, 1)
    assert row["prices"]["errors"] > 0.0


def test_a_failure_that_another_makes_good_is_none(slow: World) -> None:
    slow.running.control("sim-local", "down")
    assert slow.chat("Hello", "sim-chat", headers=by("prompt")).status == 200
    row = slos(slow)["prompt"]
    assert (row["within"], row["failed"], row["requests"]) == (1.0, 0.0, 1)


def test_the_decision_is_explained_by_terms_that_sum(slow: World) -> None:
    request_id = slow.chat("Hello", "sim-chat", headers=by("impossible")).headers["x-steelyard-request-id"]
    slow.record(request_id)
    found = slow.get(f"/api/llm/dwa/explain/{request_id}").json
    assert found["decision"]["objective"] == "impossible"
    for row in found["decision"]["candidates"]:
        assert sum(row["terms"].values()) == pytest.approx(row["loss"])
    ranking = slow.get("/api/llm/dwa/best-provider?model=sim-chat&objective=prompt").json
    assert ranking["objective"] == "prompt"
    assert ranking["best"]


def test_a_wrong_request_is_no_error_of_the_slo(slow: World) -> None:
    answer = slow.chat("Hello", OPENAI, headers=by("prompt"), temperature=-5)
    assert 400 <= answer.status < 500
    assert slos(slow).get("prompt", {"requests": 0})["requests"] == 0
