"""The loss: monotone in everything that hurts, explained by parts that sum to it."""

from __future__ import annotations

import pytest
from dwa_world import Host, World, pair
from hypothesis import given
from hypothesis import strategies as st

from dwa import BALANCED, PRESETS, Candidate, Objective, Shape


def test_all_else_equal_the_dearer_gets_less() -> None:
    weights = pair(price_out=6e-6).weights()
    assert weights["b/m"] < weights["a/m"]


def test_all_else_equal_the_slower_gets_less() -> None:
    world = pair()
    world.teach("a/m", 1.0, 20)
    world.teach("b/m", 1.3, 20)
    weights = world.weights()
    assert weights["b/m"] < weights["a/m"]


@pytest.mark.parametrize("caller_saw", [True, False])
def test_all_else_equal_the_more_failing_gets_less(caller_saw: bool) -> None:
    world = pair()
    for key in ("a/m", "b/m"):
        world.teach(key, 1.0, 30)
    world.fail("b/m", 0.05, caller_saw=caller_saw)
    weights = world.weights()
    assert weights["b/m"] < weights["a/m"]


def test_fast_failure_costs_more_than_slow_success() -> None:
    world = pair()
    for key in ("a/m", "b/m"):
        world.teach(key, 1.0, 60)
    world.teach("a/m", 1.3)
    world.fail("b/m", 0.02)
    weights = world.weights()
    assert weights["b/m"] < weights["a/m"]


def test_failures_are_never_fast_answers() -> None:
    world = pair()
    world.teach("a/m", 1.0, 30)
    before = world.balancer.stats()[0]
    world.fail("a/m", 0.001, 2)
    after = world.balancer.stats()[0]
    assert after.expected_s == pytest.approx(before.expected_s, rel=0.01)
    assert after.latency == before.latency


@given(
    prices=st.lists(st.floats(0, 1e-4), min_size=2, max_size=8),
    seconds=st.floats(0.05, 20),
    prompt=st.integers(0, 200_000),
)
def test_weights_are_finite_sum_to_one_and_never_zero_for_the_healthy(
    prices: list[float], seconds: float, prompt: int
) -> None:
    world = World([Host(Candidate(f"p{i}/m", price, 4 * price)) for i, price in enumerate(prices)])
    world.teach("p0/m", seconds, 3)
    weights = world.balancer.weights(world.candidates, Shape(prompt))
    assert sum(weights.values()) == pytest.approx(1.0)
    assert all(0.0 < weight <= 1.0 for weight in weights.values())


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_terms_sum_to_the_loss_and_score_is_relative_to_the_best(name: str) -> None:
    world = World([Host(Candidate(f"{n}/m", 1e-6 * (i + 1), 4e-6, quality=1 - i / 10)) for i, n in enumerate("abcd")])
    world.teach("a/m", 2.0, 5)
    world.fail("b/m", 0.5)
    preset = Objective.of(name)
    objective = Objective("own", preset.latency, preset.cost, preset.errors, 0.5)
    rows = world.balancer.preview(world.candidates, Shape(1000), objective).explain()
    for row in rows:
        terms = row["terms"]
        assert isinstance(terms, dict)
        assert sum(terms.values()) == pytest.approx(row["loss"])
        assert set(terms) == {"latency", "cost", "errors", "load", "quality"}
    scores = [row["score"] for row in rows]
    assert scores[0] == 1.0
    assert scores == sorted(scores, reverse=True)  # pyright: ignore[reportArgumentType, reportCallIssue] - floats


def test_neither_load_nor_a_block_moves_the_rate_of_exchange() -> None:
    world = World([Host(Candidate(f"{name}/m", 1e-6, 4e-6)) for name in "abc"])
    for seconds, key in enumerate(world.hosts, 1):
        world.teach(key, float(seconds), 20)

    def rate() -> float:
        return world.balancer.preview(world.candidates, Shape(1000)).decision().latency_unit

    idle = rate()
    crowd = [world.begin(key) for key in world.hosts for _ in range(100)]
    assert rate() == idle
    for ticket in crowd:
        ticket.cancelled()
    world.begin("a/m").throttled(60.0)
    assert "a/m" in world.balancer.preview(world.candidates, Shape(1000)).excluded
    assert rate() == idle


def test_quality_decides_where_it_weighs() -> None:
    world = World([Host(Candidate("good/m", 1e-6, 4e-6)), Host(Candidate("poor/m", 1e-6, 4e-6, quality=0.2))])
    objective = Objective("quality", 0.2, 0.2, 1.0, 2.0)
    assert world.rank(objective=objective).candidates[0].key == "good/m"


def test_free_models_are_compared_by_speed_alone() -> None:
    world = World([Host(Candidate("a/m")), Host(Candidate("b/m"))])
    world.teach("a/m", 1.0, 20)
    world.teach("b/m", 3.0, 20)
    assert world.weights()["a/m"] > 0.95


@pytest.mark.parametrize("weights", [(-1.0, 1.0, 1.0, 0.0), (0.0, 0.0, 0.0, 0.0), (float("nan"), 1.0, 1.0, 0.0)])
def test_senseless_weights_are_refused(weights: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        Objective("own", *weights)


def test_an_unknown_objective_names_the_choices() -> None:
    assert Objective.of("balanced") is BALANCED
    with pytest.raises(ValueError, match="balanced, fastest"):
        Objective.of("quickest")


def test_negative_prices_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Candidate("a/m", price_in=-1.0)
