"""The breaker: evidence in order of dispatch, one probe, a ramp."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwa.breaker import CLOSED, HALF_OPEN, OPEN, RAMP, Breaker
from dwa.params import Params

USUAL = 0.01


def outcome(breaker: Breaker, now: float, dispatched: float, *, failed: bool, usual: float = USUAL) -> bool:
    return breaker.outcome(now, dispatched, failed=failed, usual=usual, pause=0.0)


def opened(at: float = 10.0) -> Breaker:
    breaker = Breaker(Params())
    for i in range(3):
        outcome(breaker, at, at - 1 + i / 10, failed=True)
    assert breaker.state == OPEN
    return breaker


def half_open(at: float = 10.0) -> Breaker:
    breaker = opened(at)
    breaker.wake(at + 1.0)
    assert breaker.state == HALF_OPEN
    return breaker


def test_two_failures_are_bad_luck_and_three_are_proof() -> None:
    breaker = Breaker(Params())
    assert not outcome(breaker, 1.0, 0.0, failed=True)
    assert not outcome(breaker, 1.1, 0.1, failed=True)
    assert breaker.state == CLOSED
    assert outcome(breaker, 1.2, 0.2, failed=True)
    assert breaker.state == OPEN


def test_old_successes_arriving_late_do_not_excuse_new_failures() -> None:
    breaker = Breaker(Params())
    for i in range(3):  # each failure is followed by the success of an older request
        outcome(breaker, 10.0 + i, 9.0 + i, failed=True)
        outcome(breaker, 10.5 + i, 1.0 + i, failed=False)
    assert breaker.state == OPEN


def test_young_successes_do_excuse_old_failures() -> None:
    breaker = Breaker(Params())
    for i in range(20):
        outcome(breaker, 10.0 + i, 1.0 + i, failed=i % 4 == 0)
    assert breaker.state == CLOSED


def test_a_host_that_always_fails_a_third_is_not_broken_by_it() -> None:
    breaker = Breaker(Params())
    for i in range(200):
        outcome(breaker, float(i), float(i), failed=i % 3 == 0, usual=0.33)
    assert breaker.state == CLOSED


def test_evidence_older_than_the_window_is_carried() -> None:
    breaker = Breaker(Params(evidence=2))
    outcome(breaker, 1.0, 1.0, failed=True)
    outcome(breaker, 2.0, 2.0, failed=True)
    outcome(breaker, 3.0, 0.5, failed=False)  # older than all: drops out at once, excuses nothing
    assert breaker.evidence(USUAL) > 7.0
    assert outcome(breaker, 4.0, 4.0, failed=True)
    breaker = Breaker(Params(evidence=1))
    for i in range(6):
        outcome(breaker, float(i), float(i), failed=i == 0)
    assert breaker.evidence(USUAL) == 0.0


def test_what_came_out_long_ago_is_outweighed_by_what_has_since() -> None:
    breaker = Breaker(Params())
    for i in range(30):
        outcome(breaker, 100.0 + i, 100.0 + i, failed=False)
    for i in range(6):  # requests of a minute earlier run into their timeouts
        outcome(breaker, 130.0 + i, 40.0 + i, failed=True)
    assert breaker.state == CLOSED
    assert breaker.evidence(USUAL) == 0.0


@pytest.mark.parametrize(("false_alarm_s", "openings"), [(Params().false_alarm_s, 0), (1e-9, 10)])
def test_at_any_rate_a_host_that_fails_as_usual_is_left_in_peace(false_alarm_s: float, openings: int) -> None:
    found, params = 0, Params(false_alarm_s=false_alarm_s)
    for seed in range(4):
        rng, breaker = Random(seed), Breaker(params)
        for i in range(40_000):  # forty a second
            at = i / 40
            if outcome(breaker, at, at, failed=rng.random() < 0.04, usual=0.04):
                found += breaker.state == OPEN
                breaker = Breaker(params)
    # With a bar that does not know the rate, ten in an hour and seven minutes.
    assert found == openings


@pytest.mark.parametrize(("rate", "most"), [(1.0, 3), (40.0, 5), (1000.0, 6)])
def test_at_any_rate_a_dead_host_is_left_after_a_few_failures(rate: float, most: int) -> None:
    breaker = Breaker(Params())
    for i in range(100):
        outcome(breaker, i / rate, i / rate, failed=False)
    died = 100 / rate
    failures = 0
    while breaker.state == CLOSED:
        outcome(breaker, died + failures / rate, died + failures / rate, failed=True)
        failures += 1
    assert failures <= most


def test_those_in_flight_that_should_have_failed_too_count_as_answered() -> None:
    def judged(share: float) -> str:
        breaker = Breaker(Params())
        for i in range(3):
            alive = [(9.05 + i + place / 10, share) for place in range(9)]
            breaker.outcome(10.5 + i, 10.0 + i, failed=True, usual=USUAL, pause=0.0, alive=alive)
        return breaker.state

    assert judged(1.0) == judged(0.5) == CLOSED
    assert judged(0.01) == OPEN


def test_only_the_pause_wakes_it() -> None:
    breaker = opened(10.0)
    breaker.wake(10.5)
    assert breaker.state == OPEN
    breaker.wake(11.0)
    assert breaker.state == HALF_OPEN


def test_one_probe_at_a_time() -> None:
    breaker = half_open()
    assert breaker.probe_free(11.0)
    breaker.lease_probe(11.0)
    assert not breaker.probe_free(11.5)
    assert breaker.probe_free(12.5), "a probe that was never dispatched frees its slot"
    breaker.dispatched(12.5)
    assert not breaker.probe_free(20.0)
    breaker.probe_void()
    assert breaker.probe_free(20.0)


@pytest.mark.parametrize(("pause", "ceiling"), [(0.0, 2.0), (0.4, 4.0), (1.0, 6.0)])
def test_a_failed_probe_pauses_for_longer_up_to_a_ceiling_by_what_it_burns(pause: float, ceiling: float) -> None:
    breaker = opened(10.0)
    pauses: list[float] = []
    for _ in range(8):
        now = breaker.reopens_at
        breaker.wake(now)
        breaker.dispatched(now)
        assert breaker.outcome(now + 0.1, now, failed=True, usual=0.01, pause=pause)
        pauses.append(round(breaker.reopens_at - now - 0.1, 9))
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(1.5)
    assert pauses[-1] == pytest.approx(ceiling)
    assert breaker.openings == 1


def test_recovery_ramps_and_closes() -> None:
    breaker = half_open()
    breaker.dispatched(11.0)
    assert outcome(breaker, 12.0, 11.0, failed=False)
    assert (breaker.state, breaker.ramp) == (RAMP, 0.25)
    for i in range(4):
        outcome(breaker, 13.0 + i, 12.0 + i, failed=False)
    assert (breaker.state, breaker.ramp) == (CLOSED, 1.0)


def test_two_failures_during_the_ramp_reopen_it() -> None:
    breaker = half_open()
    outcome(breaker, 12.0, 11.0, failed=False)
    outcome(breaker, 13.0, 12.5, failed=True)
    assert breaker.state == OPEN or outcome(breaker, 13.1, 12.6, failed=True)
    assert breaker.state == OPEN


def test_failures_from_before_the_recovery_say_nothing() -> None:
    breaker = half_open()
    outcome(breaker, 12.0, 11.0, failed=False)
    for i in range(10):
        assert not outcome(breaker, 13.0 + i, 9.0, failed=True)
    assert breaker.state == RAMP


def test_outcomes_from_before_the_opening_do_not_close_it() -> None:
    breaker = opened(10.0)
    assert not outcome(breaker, 10.5, 9.5, failed=False)
    assert breaker.state == OPEN


def test_a_hang_that_was_none_comes_back_by_the_ramp() -> None:
    breaker = Breaker(Params())
    breaker.hang(10.0, 3.0)
    assert breaker.hung
    assert breaker.reopens_at == 13.0
    breaker.relent(11.0)
    assert breaker.state == RAMP


def test_a_lost_probe_counts_as_failed() -> None:
    breaker = half_open()
    breaker.dispatched(11.0)
    breaker.probe_lost(15.0, 0.0)
    assert breaker.state == OPEN
    assert breaker.reopens_at == pytest.approx(16.5)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(outcomes: list[tuple[float, bool]], rng: object) -> None:
    params = Params(breaker_limit=1e9, evidence=100)
    in_order, shuffled = Breaker(params), Breaker(params)
    for dispatched, failed in sorted(outcomes):
        outcome(in_order, 200.0, dispatched, failed=failed)
    mixed = list(outcomes)
    rng.shuffle(mixed)  # pyright: ignore[reportAttributeAccessIssue] - hypothesis hands in a Random
    for dispatched, failed in mixed:
        outcome(shuffled, 200.0, dispatched, failed=failed)
    assert in_order.evidence(USUAL) == pytest.approx(shuffled.evidence(USUAL))
