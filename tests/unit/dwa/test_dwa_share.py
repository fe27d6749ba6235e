"""Shares and draws: probabilities that behave."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwa.share import draw, draw_order, probabilities, shares

LOSSES = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20)


@given(LOSSES)
def test_weights_are_finite_sum_to_one_and_are_never_zero(losses: list[float]) -> None:
    weights = probabilities(losses, [1.0] * len(losses), 0.025, 0.01)
    assert sum(weights) == pytest.approx(1.0)
    assert all(0.0 < weight <= 1.0 for weight in weights)


@given(LOSSES)
def test_more_loss_never_gets_more_weight(losses: list[float]) -> None:
    weights = shares(losses, 0.025 * min(losses))
    for (loss, weight), (other, lesser) in zip(
        sorted(zip(losses, weights, strict=True)), sorted(zip(losses, weights, strict=True))[1:], strict=False
    ):
        assert other >= loss
        assert lesser <= weight or other == loss


@given(LOSSES, st.randoms(use_true_random=False))
def test_weights_do_not_depend_on_the_order_of_candidates(losses: list[float], rng: object) -> None:
    order = list(range(len(losses)))
    rng.shuffle(order)  # pyright: ignore[reportAttributeAccessIssue] - hypothesis hands in a Random
    straight = shares(losses, 0.025 * min(losses))
    mixed = shares([losses[i] for i in order], 0.025 * min(losses))
    assert mixed == pytest.approx([straight[i] for i in order])


def test_exact_equals_share_alike_and_free_ones_too() -> None:
    assert shares([2.0, 2.0], 0.1) == [0.5, 0.5]
    assert shares([0.0, 0.0], 0.0) == [0.5, 0.5]


def test_a_recovering_one_gets_its_part_only() -> None:
    assert probabilities([1.0, 1.0], [1.0, 0.25], 0.025, 0.0) == pytest.approx([0.875, 0.125])
    assert probabilities([1.0, 5.0, 5.0], [0.25, 1.0, 1.0], 0.025, 0.0) == pytest.approx([0.25, 0.375, 0.375])
    assert probabilities([1.0, 1.0], [0.25, 0.5], 0.025, 0.0) == [0.5, 0.5]


@given(st.lists(st.floats(0.0, 10.0), min_size=1, max_size=12), st.floats(0.0, 1.0, exclude_max=True))
def test_a_draw_never_picks_what_weighs_nothing(weights: list[float], uniform: float) -> None:
    place, rest = draw(weights, uniform)
    assert 0.0 <= rest < 1.0
    assert weights[place] > 0.0 or not any(weights)


def test_draws_follow_the_weights() -> None:
    rng = Random(1)
    counts = Counter(draw([1.0, 0.0, 3.0], rng.random())[0] for _ in range(4000))
    assert counts[1] == 0
    assert counts[2] / 4000 == pytest.approx(0.75, abs=0.03)


def test_one_uniform_number_orders_all_without_replacement() -> None:
    rng = Random(2)
    seen = Counter(tuple(draw_order([1.0, 1.0, 1.0], rng.random())) for _ in range(6000))
    assert len(seen) == 6
    assert min(seen.values()) > 800
