"""A key may carry its own strategy and objective: the request's word goes before the route's before the key's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gateway.settings import RouteSettings, Settings
from gateway.settings.secrets import Secret
from gateway.settings.sections import Auth, Dwa
from gateway.settings.shared import Key
from tests.acceptance.driving import ADMIN_KEY, ALICE_KEY, BOB_KEY, OPENAI, Answer, World, world_in

CAROL_KEY = "carol-0123456789abcdef0123456789abcdef"


def opinionated(settings: Settings) -> Settings:
    """Alice and bob have their own ways, carol the gateway's; one route has a way of its own, the other has none."""
    keys = (
        Key(name="alice", key=Secret(ALICE_KEY), strategy="cost", objective="cheapest"),
        Key(name="bob", key=Secret(BOB_KEY), strategy="round_robin"),
        Key(name="carol", key=Secret(CAROL_KEY)),
    )
    routes = {
        "decided": RouteSettings(name="decided", targets=(OPENAI,), strategy="latency", objective="fastest"),
        "open": RouteSettings(name="open", targets=(OPENAI,)),
    }
    return replace(
        settings,
        keys=keys,
        routes=routes,
        auth=Auth(admin_key=Secret(ADMIN_KEY)),
        dwa=Dwa(strategy="priority", objective="reliable"),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("opinionated")
    with world_in(folder, opinionated) as world:
        yield world


def ways(world: World, answer: Answer) -> tuple[str, str]:
    """The strategy and the objective that a request was served by."""
    assert answer.status == 200
    record = world.record(answer.headers["x-steelyard-request-id"], ADMIN_KEY)
    assert record["strategy"] == answer.headers["x-steelyard-strategy"]
    return record["strategy"], record["objective"]


@pytest.mark.parametrize("model", ["sim-chat", "open"])
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (ALICE_KEY, ("cost", "cheapest")),
        (BOB_KEY, ("round_robin", "reliable")),
        (CAROL_KEY, ("priority", "reliable")),
        (ADMIN_KEY, ("priority", "reliable")),
    ],
    ids=["alice", "bob", "carol", "admin"],
)
def test_each_key_is_served_in_its_own_way(made: World, model: str, key: str, expected: tuple[str, str]) -> None:
    assert ways(made, made.chat("Hello", model, key=key)) == expected


def test_a_route_goes_before_the_key(made: World) -> None:
    for key in (ALICE_KEY, BOB_KEY, CAROL_KEY):
        assert ways(made, made.chat("Hello", "decided", key=key)) == ("latency", "fastest")


@pytest.mark.parametrize("model", ["sim-chat", "open", "decided"])
def test_the_request_goes_before_both(made: World, model: str) -> None:
    headers = {"X-Steelyard-Strategy": "random", "X-Steelyard-Objective": "balanced"}
    assert ways(made, made.chat("Hello", model, key=ALICE_KEY, headers=headers)) == ("random", "balanced")
    assert made.orchestrate(ALICE_KEY, prompt="Hello", model=model, strategy="p2c_ewma").json["metadata"][
        "strategy"
    ] == ("p2c_ewma")


def test_a_stream_is_served_in_the_keys_way_too(made: World) -> None:
    answer = made.chat("Hello", "sim-chat", key=BOB_KEY, stream=True)
    assert answer.headers["x-steelyard-strategy"] == "round_robin"


def test_what_would_be_chosen_is_told_by_the_keys_objective(made: World) -> None:
    def objective(path: str, key: str) -> str:
        return made.get(f"/api/llm/dwa/best-provider?{path}", key).json["objective"]

    assert [objective("model=sim-chat", key) for key in (ALICE_KEY, BOB_KEY)] == ["cheapest", "reliable"]
    assert objective("model=decided", ALICE_KEY) == "fastest"
    assert objective("model=decided&objective=balanced", ALICE_KEY) == "balanced"
