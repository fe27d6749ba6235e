"""Who became slower may come back: it is looked at sooner, and supposed to be what it was."""

from __future__ import annotations

from math import exp
from random import Random
from statistics import median

import pytest
from dwa_world import Host, World, host

from dwa import FASTEST, Candidate, Params
from dwa.fall import LUCK, TAIL, Fall, hazard, relief
from dwa.latency import LatencyModel

USUAL = 1 / 300


def test_it_is_hoped_to_be_what_it_was_and_the_less_the_longer_it_lasts() -> None:
    fall = Fall(100.0, 2.0)
    assert fall.lasts(16.0)
    assert relief(fall) == pytest.approx(1 - 2 / 16)
    assert hazard(fall, 110.0, USUAL) == pytest.approx(TAIL / 10)
    assert hazard(fall, 110.0, USUAL) > hazard(fall, 120.0, USUAL) > USUAL
    assert hazard(fall, 1000.0, USUAL) == USUAL
    assert (relief(None), hazard(None, 110.0, USUAL)) == (LUCK, USUAL)


def test_it_is_over_when_it_is_back() -> None:
    fall = Fall(100.0, 2.0)
    assert fall.lasts(4.0)
    assert relief(fall) == pytest.approx(0.5)
    assert not fall.lasts(2.4)


def teach(latency: LatencyModel, now: float, factor: float, answers: int) -> float:
    """Requests of all sizes, one a second, at so many times the usual seconds; returns when the last one ended."""
    for i in range(answers):
        prompt, answer = ((200, 20), (1000, 300), (3000, 60), (400, 150))[i % 4]
        latency.total(now + i, factor * (0.3 + 1e-4 * prompt + 0.01 * answer), prompt, answer, 1)
    return now + answers


def test_a_step_up_is_a_fall_and_a_second_one_is_younger_but_from_as_high() -> None:
    latency = LatencyModel(Params(), first_token_s=0.5, token_s=0.01, knee=64.0, now=0.0)
    now = teach(latency, 0.0, 1.0, 200)
    assert latency.fall is None
    now = teach(latency, now, 4.0, 12)
    assert latency.fall is not None
    first = latency.fall.at
    now = teach(latency, now, 16.0, 12)
    second = latency.fall
    assert second is not None
    assert second.at > first
    assert second.relief == pytest.approx(1 - 1 / 16, abs=0.02)
    teach(latency, now, 1.0, 30)
    assert latency.fall is None


def test_a_stranger_cannot_fall() -> None:
    latency = LatencyModel(Params(), first_token_s=0.5, token_s=0.01, knee=64.0, now=0.0)
    teach(latency, 0.0, 60.0, 4)
    assert latency.changes
    assert latency.fall is None


def test_the_best_is_asked_again_soon_after_an_incident() -> None:
    waited: list[float] = []
    for seed in range(8):
        good, next_best = Host(Candidate("good/m"), 2.0), Host(Candidate("next/m"), 6.0)
        world = World([good, next_best], objective=FASTEST, seed=seed)
        world.run(600.0, rate=1.0)
        good.seconds = 40.0
        world.run(60.0, rate=1.0)
        assert world.run(60.0, rate=1.0)["good/m"] < 30, "left while it is slow"
        good.seconds = 2.0
        back = next(i for i in range(60) if world.run(20.0, rate=1.0)["good/m"] > 15)
        waited.append(20.0 * back)
    # By the schedule of those that never fell: eleven minutes.
    assert median(waited) <= 160.0


def test_answers_from_before_a_change_do_not_undo_it() -> None:
    medians: list[float] = []
    for seed in range(8):
        rng = Random(seed)
        latency = LatencyModel(Params(), first_token_s=0.5, token_s=0.01, knee=64.0, now=0.0)
        for i in range(400):
            latency.total(float(i), 12.0 * exp(rng.gauss(0, 0.25)), 1000, 100, 1)
        # Fast from 400 s on, one request a second; those of the last ten seconds are still to come.
        for i in range(10):
            latency.total(402.0 + i, 2.0 * exp(rng.gauss(0, 0.25)), 1000, 100, 1)
            latency.total(402.5 + i, 13.0 * exp(rng.gauss(0, 0.1)), 1000, 100, 1)
        medians.append(latency.median(1000, 100, 1))
    # Half-way between both worlds it was before, whichever the seed: 5.3.
    assert median(medians) < 3.5


@pytest.mark.parametrize("seed", range(4))
def test_a_false_alarm_does_not_make_a_host_look_quick(seed: int) -> None:
    # Forty a second, eight seconds each: what comes first of what was sent after an alarm is what came quickly.
    rng = Random(seed)
    latency = LatencyModel(Params(), first_token_s=2.0, token_s=0.05, knee=1000.0, now=0.0)
    ends = sorted((i / 40 + took, took) for i in range(8000) if (took := 8.0 * exp(rng.gauss(0, 0.2))))
    seen: list[float] = []
    for now, took in ends:
        latency.total(now, took, 1000, 100, 320)
        seen.append(latency.median(1000, 100, 320))
    assert latency.changes > 2
    assert min(seen[1000:]) > 5.0


def test_a_busy_host_that_fails_as_usual_is_hardly_ever_shut() -> None:
    openings: list[int] = []
    for seed in range(4):
        world = World([Host(Candidate("busy/m"), 3.0, fails=0.05)], seed=seed)
        world.run(30.0, rate=40.0)
        before = host(world, "busy/m").breaker.openings
        world.run(300.0, rate=40.0)
        openings.append(host(world, "busy/m").breaker.openings - before)
    # Six to nine before the bar rose with the rate, and before those in flight counted for what they are.
    assert median(openings) <= 3
