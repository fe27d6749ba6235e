"""Failure rates: slow to accuse, quick to notice, forgetful in silence."""

from __future__ import annotations

from dwa.params import Params
from dwa.reliability import Reliability


def seasoned(successes: int = 100) -> Reliability:
    reliability = Reliability(Params(), now=0.0)
    for i in range(successes):
        reliability.success(float(i))
    return reliability


def test_one_failure_is_not_a_brown_out() -> None:
    reliability = seasoned()
    reliability.failure(100.0, 0.2, caller_saw=False)
    assert 0.01 < reliability.rate(100.0) < 0.04


def test_a_brown_out_is_believed_within_a_dozen_outcomes() -> None:
    reliability = seasoned()
    for i in range(12):
        if i % 2:
            reliability.failure(100.0 + i, 0.2, caller_saw=False)
        else:
            reliability.success(100.0 + i)
    assert reliability.rate(112.0) > 0.25


def test_the_end_of_a_brown_out_is_believed_too() -> None:
    reliability = seasoned()
    for i in range(200):
        reliability.failure(100.0 + i, 0.2, caller_saw=False)
    for i in range(25):
        reliability.success(300.0 + i)
    assert reliability.rate(325.0) < 0.1


def test_silence_forgets_towards_the_prior() -> None:
    reliability = seasoned()
    for i in range(100):
        reliability.failure(100.0 + i, 0.2, caller_saw=False)
    assert reliability.rate(200.0) > 0.5
    assert reliability.rate(200.0 + 3600.0) < 0.02
    reliability.success(200.0 + 3600.0)
    assert reliability.rate(200.0 + 3600.0) < 0.02


def test_what_the_caller_saw_is_kept_apart() -> None:
    reliability = seasoned()
    before = reliability.rate(100.0)
    reliability.failure(100.0, 4.0, caller_saw=True)
    assert reliability.cut(100.0) > 0.01
    assert reliability.rate(100.0) <= before
    assert reliability.usual() < reliability.cut(100.0), "the breaker compares with the calm before"
    reliability.calm()
    assert reliability.usual() > reliability.cut(100.0)
    assert reliability.waste > 1.5


def test_an_incident_the_breaker_took_over_is_not_counted_twice() -> None:
    reliability = seasoned()
    reliability.calm()
    calm = reliability.rate(100.0)
    for _ in range(5):
        reliability.failure(100.0, 0.1, caller_saw=False)
    reliability.forgive()
    assert reliability.rate(100.0) <= calm + 1e-9


def incident(reliability: Reliability, at: float) -> None:
    """Four failures and a success, and the breaker opens."""
    for place in range(5):
        if place == 1:
            reliability.success(at + place)
        else:
            reliability.failure(at + place, 0.1, caller_saw=False)
    reliability.broke()


def test_whoever_breaks_again_before_it_was_calm_is_not_forgiven() -> None:
    reliability = seasoned()
    reliability.calm()
    calm = reliability.rate(100.0)
    incident(reliability, 100.0)
    assert reliability.rate(105.0) <= calm + 1e-9, "it may have been dead, and back as good as before"
    incident(reliability, 110.0)
    fails = reliability.rate(115.0)
    assert fails > 0.2
    assert reliability.usual() > 0.2, "so that the breaker does not open for what is ordinary here"
    reliability.forgive()
    assert reliability.rate(115.0) == fails, "nor is it when a probe is answered"


def test_a_host_that_was_calm_between_two_outages_is_forgiven_both() -> None:
    reliability = seasoned()
    reliability.calm()
    incident(reliability, 100.0)
    for place in range(20):
        reliability.success(110.0 + place)
    reliability.calm()
    calm = reliability.rate(130.0)
    incident(reliability, 130.0)
    assert reliability.rate(135.0) <= calm + 1e-9
