"""The latency model: what an answer teaches, and what it must not."""

from __future__ import annotations

from math import exp, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwa.latency import GENERATION, TOTAL, LatencyModel
from dwa.params import Params


def model() -> LatencyModel:
    return LatencyModel(Params(), first_token_s=0.6, token_s=1 / 60, knee=64.0, now=0.0)


def taught(answers: int, first: float, prefill: float, token: float, *, streamed: bool, seed: int = 3) -> LatencyModel:
    rng, latency = Random(seed), model()
    for i in range(answers):
        prompt, answer = int(exp(rng.gauss(7, 1))), int(exp(rng.gauss(4.9, 1))) + 1
        start = (first + prompt * prefill) * exp(rng.gauss(0, 0.3))
        writing = answer * token * exp(rng.gauss(0, 0.15))
        if streamed:
            latency.first_token(float(i), start, prompt, 1)
            latency.generation(float(i), writing, answer, 1)
        else:
            latency.total(float(i), start + writing, prompt, answer, 1)
        latency.whole(start + writing, latency.median(prompt, answer, 1))
    return latency


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("size", [(200, 20), (1000, 150), (8000, 1000)])
def test_forecast_is_right_for_every_request_size(streamed: bool, size: tuple[int, int]) -> None:
    latency = taught(600, 0.4, 1e-4, 1 / 90, streamed=streamed)
    true = 0.4 + size[0] * 1e-4 + size[1] / 90
    assert latency.median(*size, 1) == pytest.approx(true, rel=0.2)


def test_one_straggler_does_not_move_the_world() -> None:
    latency = taught(200, 0.4, 1e-4, 1 / 90, streamed=False)
    before = latency.median(1000, 150, 1)
    latency.total(201.0, 10 * before, 1000, 150, 1)
    latency.whole(10 * before, before)
    assert latency.median(1000, 150, 1) < 1.05 * before
    assert latency.tail < 1.2
    assert latency.changes == 0


@pytest.mark.parametrize("factor", [3.0, 1 / 3])
def test_a_step_is_followed_within_eight_answers(factor: float) -> None:
    latency = taught(200, 0.4, 1e-4, 1 / 90, streamed=False)
    before = latency.median(1000, 150, 1)
    for i in range(8):
        latency.total(201.0 + i, factor * before, 1000, 150, 1)
    assert latency.changes >= 1
    assert latency.median(1000, 150, 1) == pytest.approx(factor * before, rel=0.3)


def test_silence_becomes_doubt() -> None:
    latency = taught(200, 0.4, 1e-4, 1 / 90, streamed=False)
    assert latency.doubt(3600.0, 1000, 150) > 2 * latency.doubt(200.0, 1000, 150)


def test_doubt_never_exceeds_the_prior() -> None:
    latency = taught(50, 0.4, 1e-4, 1 / 90, streamed=False)
    latency.total(1e9, 2.0, 1000, 150, 1)
    latency.total(2e9, 2.0, 1000, 150, 1)
    assert latency.covariance[0] < 1.0


def test_heavy_tail_raises_the_mean_above_the_median() -> None:
    latency = model()
    for i in range(400):
        latency.whole(10.0 if i % 20 == 0 else 1.0, 1.0)
    assert latency.tail > 1.2


def test_noise_is_learned_per_kind() -> None:
    latency = taught(300, 0.4, 1e-4, 1 / 90, streamed=True)
    assert latency.noise(GENERATION) < 0.06
    assert latency.noise(TOTAL) == 0.1


def corner(busy: int, knee: float) -> float:
    """How much a host slows that serves so many at a time."""
    return max(1.0, busy / knee)


def test_the_knee_is_learned_from_crowded_answers() -> None:
    rng, latency = Random(5), model()
    for i in range(600):
        busy = rng.randrange(1, 40)
        latency.total(float(i), 2.0 * corner(busy, 10) * exp(rng.gauss(0, 0.1)), 1000, 100, busy)
    assert latency.median(1000, 100, 30) == pytest.approx(6.0, rel=0.15)
    assert latency.median(1000, 100, 9) == pytest.approx(2.0, rel=0.15)


def test_a_steady_load_takes_neither_the_knee_for_the_speed_nor_the_speed_for_the_knee() -> None:
    rng, latency = Random(7), model()
    for i in range(3000):
        busy = rng.randrange(1, 40) if i < 300 else rng.randrange(8, 12)
        latency.total(0.1 * i, 2.0 * corner(busy, 10) * exp(rng.gauss(0, 0.2)), 1000, 100, busy)
    assert latency.median(1000, 100, 1) == pytest.approx(2.0, rel=0.15)
    assert latency.median(1000, 100, 30) == pytest.approx(6.0, rel=0.25)


def far_below_its_knee() -> LatencyModel:
    """Learned under loads of one to forty, of which none slowed it."""
    rng, latency = Random(5), model()
    for i in range(600):
        latency.total(float(i), 2.0 * exp(rng.gauss(0, 0.1)), 1000, 100, rng.randrange(1, 41))
    assert latency.median(1000, 100, 40) / latency.median(1000, 100, 1) < 1.1
    return latency


def test_a_knee_that_falls_far_below_the_load_is_found_as_the_crowd_grows() -> None:
    latency, rng, now = far_below_its_knee(), Random(6), 600.0
    for i in range(100):
        now += 0.3
        busy = 20 if i < 8 else 60 if i < 16 else rng.randrange(10, 41)
        latency.total(now, 2.0 * corner(busy, 8) * exp(rng.gauss(0, 0.1)), 1000, 100, busy)
    assert latency.changes >= 2
    assert latency.median(1000, 100, 40) == pytest.approx(2.0 * corner(40, 8), rel=0.3)
    assert latency.median(1000, 100, 4) < 4.0, "the host is not slow, it is crowded"


@pytest.mark.parametrize(("busy", "factor"), [(3, 9.0), (40, 2.5)])
def test_a_host_that_is_slower_under_any_load_is_slow_and_not_crowded(busy: int, factor: float) -> None:
    latency, rng = far_below_its_knee(), Random(6)
    for i in range(60):
        crowd = busy if i < 6 else rng.randrange(1, 41)
        latency.total(600.0 + i, 2.0 * factor, 1000, 100, crowd)
    assert latency.median(1000, 100, 1) == pytest.approx(2.0 * factor, rel=0.2)
    assert latency.median(1000, 100, 40) == pytest.approx(2.0 * factor, rel=0.2)


def test_a_snapshot_of_another_size_is_refused() -> None:
    latency = model()
    row = latency.snapshot(0.0)
    with pytest.raises(ValueError, match="another size"):
        latency.restore({**row, "state": [1.0]}, 0.0, 0.0)
    with pytest.raises(ValueError, match="another size"):
        latency.restore({**row, "load": {**latency.load.snapshot(), "off": [0.0]}}, 0.0, 0.0)


@given(st.floats(0.0, 1e4), st.integers(1, 200_000), st.integers(1, 8_000), st.integers(1, 500))
def test_any_observation_leaves_a_finite_positive_forecast(seconds: float, prompt: int, answer: int, busy: int) -> None:
    latency = model()
    for i in range(12):
        latency.total(float(i), seconds, prompt, answer, busy)
    assert 0.0 < latency.median(prompt, answer, busy) < 1e6


@given(st.floats(0.05, 5.0), st.floats(1.5, 5.0))
def test_slower_answers_never_forecast_faster(seconds: float, factor: float) -> None:
    quick, slow = model(), model()
    for i in range(10):
        quick.total(float(i), seconds, 1000, 100, 1)
        slow.total(float(i), seconds * factor, 1000, 100, 1)
    assert log(slow.median(1000, 100, 1)) > log(quick.median(1000, 100, 1))
