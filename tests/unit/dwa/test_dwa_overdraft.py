"""Out of turn: who would lose twice as much elsewhere may try a paced host, one at a time; a refusal costs no cap."""

from __future__ import annotations

from itertools import pairwise

import pytest
from dwa_world import World, host

from dwa import Candidate, Params, Shape
from dwa.overdraft import FIRST_S, MOST_S, Overdraft
from dwa.quota import Quota

A, B = Candidate("a/m"), Candidate("b/m")


def world(other_s: float) -> World:
    """`a/m` takes a second and has just refused a request; `b/m` takes `other_s`."""
    it = World()
    for key, seconds in (("a/m", 1.0), ("b/m", other_s)):
        it.teach(key, seconds, 40)
    refuse(it)
    it.now += Params().refusal_pause_s
    assert host(it, "a/m").gate(it.now, 100.0)[0] == "paced"
    return it


def refuse(it: World, after_s: float | None = None) -> None:
    ticket = it.begin("a/m")
    it.now += 0.05
    ticket.throttled(after_s)


def ranked(it: World, **options: object) -> tuple[list[str], str]:
    ranking = it.balancer.rank([A, B], Shape(1000), **options)  # pyright: ignore[reportArgumentType] - forwarded
    return [candidate.key for candidate in ranking.candidates], ranking.reason


def test_one_that_is_far_better_is_asked_before_its_turn_and_the_others_stand_behind_it() -> None:
    assert ranked(world(other_s=10.0)) == (["a/m", "b/m"], "out_of_turn")


def test_where_the_next_best_is_nearly_as_good_nobody_is() -> None:
    assert ranked(world(other_s=1.5)) == (["b/m"], "only_candidate")


def test_one_at_a_time_and_the_pauses_double_while_they_are_refused() -> None:
    it = world(other_s=10.0)
    cap = host(it, "a/m").quota.cap(it.now)
    tried: list[float] = []
    start = it.now
    while it.now < start + 120.0:
        order, reason = ranked(it)
        if reason == "out_of_turn":
            tried.append(it.now)
            refuse(it)
        elif order[0] == "a/m":
            it.begin("a/m").success(1000, 100, None)  # its turn
        it.now += 0.05
    gaps = [later - sooner for sooner, later in pairwise(tried)]
    assert gaps == sorted(gaps)
    assert gaps[0] < 1.0
    assert gaps[-3:] == pytest.approx([MOST_S] * 3, rel=0.1)
    assert (host(it, "a/m").quota.cap(it.now) or 0.0) >= (cap or 0.0), "they were sent beyond the cap"


def test_the_pause_after_a_refusal_is_kept() -> None:
    it = world(other_s=10.0)
    refuse(it)
    paused_until = host(it, "a/m").quota.paused_until
    assert paused_until > it.now + 0.9, "the second at once"
    assert ranked(it)[0] == ["b/m"]
    it.now = paused_until
    assert ranked(it)[1] == "out_of_turn"


@pytest.mark.parametrize("strategy", ["round_robin", "latency", "random"])
def test_a_strategy_that_weighs_nothing_sends_none(strategy: str) -> None:
    assert ranked(world(other_s=10.0), strategy=strategy)[0] == ["b/m"]


def test_what_the_host_itself_has_forbidden_is_not_tried() -> None:
    told = world(other_s=10.0)
    refuse(told, after_s=5.0)
    assert ranked(told)[0] == ["b/m"]
    spent = world(other_s=10.0)
    host(spent, "a/m").quota.remaining_requests = 0.0
    host(spent, "a/m").quota.requests_reset_at = spent.now + 5.0
    assert ranked(spent)[0] == ["b/m"]


def test_a_broken_host_is_not_tried() -> None:
    it = world(other_s=10.0)
    it.fail("a/m", 0.05, 12)
    assert host(it, "a/m").breaker.state != "closed"
    assert ranked(it)[1] != "out_of_turn"


def test_a_refusal_out_of_turn_says_nothing_about_the_cap() -> None:
    quota = Quota(Params())
    quota.refused(10.0, 10.0, None)
    cap, overdraft = quota.cap(12.0), quota.overdraft
    assert overdraft is not None
    assert quota.out_of_turn(12.0) is overdraft
    overdraft.lease(12.0)
    quota.sent(12.01, 1)
    quota.refused(12.05, 12.01, None)
    assert quota.cap(12.0) == cap
    assert quota.out_of_turn(12.05) is None
    assert quota.paused_until < 12.0
    quota.refused(12.06, 12.06, 30.0)
    assert quota.verdict(40.0, 1)[0] == "rate_limited", "a Retry-After is obeyed whoever was given it"


@pytest.mark.parametrize(("retry_after", "dares"), [(None, True), (1.0, True), (30.0, False)])
def test_where_a_refusal_costs_half_a_minute_none_is_risked(retry_after: float | None, *, dares: bool) -> None:
    quota = Quota(Params())
    for place in range(60):
        quota.sent(10.0 + place / 2.0, 1)
    quota.refused(40.0, 40.0, retry_after)
    assert (quota.out_of_turn(41.0) is not None) == dares, "two a second were admitted"
    quota.refused(41.0, 41.0, 30.0)
    assert quota.out_of_turn(90.0) is None, "it asked for little before, and for much now"


def test_pauses_halve_while_they_are_admitted_and_others_endings_change_nothing() -> None:
    overdraft, now = Overdraft(), 0.0
    for place in range(6):
        overdraft.lease(now)
        overdraft.sent(now)
        assert not overdraft.refused(now + 0.1, now - 1.0), "another request"
        assert overdraft.refused(now + 0.1, now)
        pause = FIRST_S * 2.0 ** (place + 1)
        assert not overdraft.due(now + 0.1 + 0.9 * pause)
        now += 0.1 + pause
        assert overdraft.due(now)
    for place in range(8):
        overdraft.lease(now)
        overdraft.sent(now)
        overdraft.admitted(now - 1.0)
        overdraft.admitted(now)
        now += max(FIRST_S * 2.0 ** (6 - place), FIRST_S)
        assert overdraft.due(now)
    overdraft.lease(now)
    assert overdraft.due(now + FIRST_S)
