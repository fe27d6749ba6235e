"""Load: where a host bends, found by holding guesses against answers."""

from __future__ import annotations

import json
from math import exp, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwa.load import GUESSES, Load

PRIOR = 64.0


def load() -> Load:
    return Load(PRIOR, 1.0, 0.5)


def taught(knee: float, most: int, *, answers: int = 800, noise: float = 0.2) -> Load:
    """Answers of a host that serves `knee` at a time, with up to `most` in flight."""
    found, rng = load(), Random(4)
    for _ in range(answers):
        busy = rng.randrange(1, most)
        found.learn(log(max(1.0, busy / knee)) + rng.gauss(0.0, noise), busy, noise * noise, 0.0)
    return found


def test_nobody_is_slowed_by_being_alone_and_a_stranger_by_few() -> None:
    assert load().slowdown(0) == load().charged(0) == 1.0
    assert load().slowdown(1) == pytest.approx(1.0, abs=1e-3)
    assert load().charged(8) < 1.2


@pytest.mark.parametrize("knee", [3.0, 5.0, 10.0, 13.5, 16.0, 54.0, 64.0, 76.0, 150.0])
def test_any_knee_is_found_also_one_between_two_guesses(knee: float) -> None:
    found = taught(knee, int(4 * knee))
    assert found.slowdown(2 * knee) == pytest.approx(2.0, rel=0.12)
    assert found.slowdown(0.8 * knee) < 1.1


@pytest.mark.parametrize("most", [30, 300, 3000])
def test_who_never_slows_is_never_thought_crowded(most: int) -> None:
    assert taught(1e9, most).slowdown(most) < 1.1


def test_what_was_never_tried_is_not_claimed() -> None:
    found = taught(1e9, 12)
    assert 1.0 < found.slowdown(200) < 5.0, "the prior speaks where no answer did"


def test_a_knee_that_rises_is_found() -> None:
    found, rng = taught(10.0, 40), Random(8)
    for _ in range(60):
        found.doubt(0.01, 0.5)
        busy = rng.randrange(5, 60)
        found.learn(rng.gauss(0.0, 0.2), busy, 0.04, 0.0)
    assert found.slowdown(40) < 1.15


def test_a_host_that_slows_by_the_same_at_any_load_has_no_new_knee() -> None:
    found, rng = taught(1e9, 40), Random(8)
    found.doubt(0.3, 1.0)
    for _ in range(60):
        found.learn(log(3.0) + rng.gauss(0.0, 0.2), rng.randrange(1, 40), 0.04, 0.0)
    assert found.slowdown(39) < 1.15


def test_what_the_forecast_takes_over_is_no_longer_off() -> None:
    """A forecast that follows, and one that stays: the same host, so the same knee."""
    stays, follows, rng, told = load(), load(), Random(2), 0.0
    for _ in range(400):
        busy = rng.randrange(1, 60)
        level = log(2.0) + log(max(1.0, busy / 20.0)) + rng.gauss(0.0, 0.1)
        stays.learn(level, busy, 0.01, 0.0)
        moved = 0.05 * (log(2.0) - told)
        follows.learn(level - told, busy, 0.01, moved)
        told += moved
    assert told == pytest.approx(log(2.0), rel=0.01)
    assert follows.slowdown(50) == pytest.approx(stays.slowdown(50), rel=0.02)


answers = st.lists(st.tuples(st.floats(-9.0, 9.0), st.integers(1, 5000), st.floats(0.005, 1.0)), max_size=40)


@given(answers, st.integers(0, 2000), st.integers(1, 2000))
def test_more_in_flight_is_never_faster_nor_cheaper(told: list[tuple[float, int, float]], busy: int, more: int) -> None:
    found = load()
    for level, crowd, noise in told:
        found.learn(level, crowd, noise, 0.0)
    assert sum(found.weights) == pytest.approx(1.0)
    assert min(found.weights) > 0.0
    # To the ten thousandth from which on a guess counts as idle.
    assert found.slowdown(busy + more) >= found.slowdown(busy) * 0.9997 >= 0.9997
    assert found.charged(busy + more) >= found.charged(busy) * 0.998
    assert found.charged(busy) >= found.slowdown(busy) * 0.9997


def test_a_snapshot_goes_on_as_if_nothing_had_happened() -> None:
    before, after = taught(13.5, 50), load()
    before.learn(0.3, 20, 0.04, 0.1)
    after.restore(json.loads(json.dumps(before.snapshot())))
    for found in (before, after):
        found.learn(0.5, 25, 0.04, 0.0)
    assert after.weights == pytest.approx(before.weights)
    assert after.slowdown(33) == pytest.approx(before.slowdown(33))


@pytest.mark.parametrize(
    "damage",
    [
        {"weights": [1.0]},
        {"off": [0.0] * (GUESSES + 1)},
        {"weights": [0.0] * GUESSES},
        {"weights": [-1.0] + [1.0] * (GUESSES - 1)},
    ],
)
def test_a_snapshot_of_another_size_or_of_nothing_is_refused(damage: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="another size"):
        load().restore({**load().snapshot(), **damage})


def test_a_snapshot_moves_the_guesses_no_further_than_learning_would() -> None:
    found = load()
    found.restore({**found.snapshot(), "moved": exp(9.0)})
    assert found.slowdown(PRIOR) < 2.0 * load().slowdown(PRIOR)
