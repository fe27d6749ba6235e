"""What hosts have in common is measured by their failovers, and fades in silence."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwa import Candidate, Params, Shape, Ticket
from dwa.together import Together
from tests.unit.dwa.dwa_world import Host, World, shared

PRIOR = Params().failover_fails


def taught(outcomes: list[bool], expected: float = 0.0) -> Together:
    together = Together(Params(), 0.0)
    for failed in outcomes:
        together.learn(0.0, expected, failed=failed)
    return together


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 1.0))), st.floats(0.0, 1e9))
def test_it_is_a_probability_whatever_happened(outcomes: list[tuple[bool, float]], later: float) -> None:
    together = Together(Params(), 0.0)
    for failed, expected in outcomes:
        together.learn(0.0, expected, failed=failed)
    assert 0.0 <= together.rate(later) <= 1.0


def test_failovers_that_answer_take_the_prior_away_and_silence_brings_it_back() -> None:
    together = taught([False] * 60)
    assert together.rate(0.0) < PRIOR / 3
    halfway = (together.rate(0.0) + PRIOR) / 2
    assert together.rate(Params().error_half_life_s) == pytest.approx(halfway)
    assert together.rate(1e6) == pytest.approx(PRIOR)


def test_hosts_that_fail_by_themselves_are_no_accomplices_and_those_that_fail_at_once_are() -> None:
    luck = Random(5)
    alone = taught([luck.random() < 0.3 for _ in range(500)], expected=0.3)
    assert alone.rate(0.0) < PRIOR
    assert taught([True] * 60).rate(0.0) > 0.7


def world() -> World:
    return World([Host(Candidate(f"{name}/m", 1e-6, 4e-6)) for name in "abc"])


def fail_over(it: World, end: Callable[[Ticket], None], times: int = 40) -> None:
    """A fails and b is asked in its place; a answers twice before, so that its breaker stays shut."""
    for _ in range(times):
        it.teach("a/m", 1.0, 2)
        first = it.begin("a/m")
        first.failure("overloaded")
        end(it.begin("b/m", after=first))


def errors_of_a(it: World) -> float:
    """What its failures add to the loss of a, per failure."""
    decision = it.balancer.preview(it.candidates, Shape(1000)).decision()
    place = decision.keys.index("a/m")
    return decision.terms(place)["errors"] / decision.errors[place]


def answered(ticket: Ticket) -> None:
    ticket.success(1000, 100)


def failed(ticket: Ticket) -> None:
    ticket.failure("overloaded")


def test_failures_cost_less_where_another_answers_and_more_where_all_fail_together() -> None:
    costs: list[float] = []
    for end in (answered, Ticket.cancelled, failed):
        it = world()
        fail_over(it, end)
        it.teach("b/m", 1.0, 60)
        costs.append(errors_of_a(it))
    assert costs[0] < costs[1] < costs[2]


def test_another_try_after_a_refusal_or_of_its_own_tells_nothing() -> None:
    it = world()
    refused = it.begin("a/m")
    refused.throttled()
    it.begin("b/m", after=refused).success(1000, 100)
    it.begin("b/m").success(1000, 100)
    assert shared(it) == PRIOR


def test_a_host_whose_breaker_is_open_tells_nothing_since_its_rate_is_that_of_better_days() -> None:
    it = world()
    it.fail("b/m", 0.1, 4)
    first = it.begin("a/m")
    first.failure("overloaded")
    it.begin("b/m", after=first).failure("overloaded")
    assert shared(it) == PRIOR


def cut(ticket: Ticket) -> None:
    ticket.failure("stream_broken", caller_saw=True)


@pytest.mark.parametrize(
    "end",
    [
        Ticket.cancelled,
        Ticket.caller_error,
        Ticket.throttled,
        Ticket.outrun,
        cut,
    ],
    ids=["cancelled", "caller_error", "throttled", "outrun", "cut"],
)
def test_other_endings_tell_nothing(end: Callable[[Ticket], None]) -> None:
    it = world()
    fail_over(it, end, times=3)
    assert shared(it) == PRIOR
