"""Hedging: when a second host is asked, when never, and what a loser teaches."""

from __future__ import annotations

from itertools import pairwise
from math import exp
from random import Random

import pytest
from dwa_world import Fleet, Host, World

from dwa import BALANCED, FASTEST, Candidate, DeploymentStats, Objective, Shape, Ticket
from dwa.hedge import BURST, BURST_USD, SHARE

STREAM = Shape(100, stream=True)
FIRST_S, WHOLE_S = 0.3, 1.3


def taught(*, price_b: float = 4e-6, slower_b: float = 1.0, answers: int = 60, sd: float = 0.2) -> World:
    """Two hosts with streams behind them: the first token after about 0.3 s, the end a second later."""
    world = World([Host(Candidate("a/m", 1e-6, 4e-6)), Host(Candidate("b/m", price_b / 4, price_b))])
    rng = Random(3)
    for key, factor in (("a/m", 1.0), ("b/m", slower_b)):
        for _ in range(answers):
            ticket = stream(world, key)
            world.now += FIRST_S * factor * exp(rng.gauss(0.0, sd))
            ticket.first_token()
            world.now += (WHOLE_S - FIRST_S) * factor
            ticket.success(100, 100, None)
    for _ in range(200):
        world.balancer.rank(world.candidates, STREAM)
    return world


def stream(world: World, key: str) -> Ticket:
    return world.balancer.begin(world.hosts[key].candidate, STREAM)


def may_hedge(world: World, ticket: Ticket, key: str = "b/m", objective: Objective = BALANCED) -> bool:
    return world.balancer.may_hedge(ticket, world.hosts[key].candidate, objective)


def row(world: World, key: str) -> DeploymentStats:
    return next(stats for stats in world.balancer.stats() if stats.key == key)


# --------------------------------------------------------------------------------------------------------------- when


def test_about_one_healthy_request_in_twenty_is_overdue() -> None:
    world = taught(answers=300)
    rng = Random(9)
    overdue = 0
    for _ in range(1000):
        ticket = stream(world, "a/m")
        took = FIRST_S * exp(rng.gauss(0.0, 0.2))
        overdue += world.balancer.hedge_at(ticket) < world.now + took
        world.now += took
        ticket.first_token()
        ticket.success(100, 100, None)
    assert 20 <= overdue <= 100


def test_strays_do_not_widen_what_is_promised_nor_are_they_forgotten() -> None:
    world, rng = taught(answers=60), Random(9)
    for number in range(600):
        ticket = stream(world, "a/m")
        world.now += FIRST_S * exp(rng.gauss(0.0, 0.2)) * (8.0 if number % 10 == 0 else 1.0)
        ticket.first_token()
        ticket.success(100, 100, None)
    ticket = stream(world, "a/m")
    at = world.balancer.hedge_at(ticket)
    assert FIRST_S < at - world.now < 2.0 * FIRST_S
    # Twice as late as usual, one is more likely to stray than not: no need to wait until nothing else explains it.
    world.now += 2.0 * FIRST_S
    assert may_hedge(world, ticket, objective=FASTEST)


def test_nothing_is_hedged_before_it_is_overdue_nor_after_its_first_token() -> None:
    world = taught()
    ticket = stream(world, "a/m")
    at = world.balancer.hedge_at(ticket)
    assert FIRST_S < at - world.now < 4 * FIRST_S
    world.now = at - 0.001
    assert not may_hedge(world, ticket)
    world.now += 2.0
    ticket.first_token()
    assert not may_hedge(world, ticket)


def test_what_is_refused_is_looked_at_again_and_later_each_time() -> None:
    world = taught()
    ticket = stream(world, "a/m")
    looks = [world.balancer.hedge_at(ticket)]
    for _ in range(5):
        world.now = looks[-1]
        looks.append(world.balancer.hedge_at(ticket))
    gaps = [later - sooner for sooner, later in pairwise(looks)]
    assert gaps == sorted(gaps)
    assert gaps[0] > 0.0


def test_a_stuck_stream_is_hedged_within_a_few_medians() -> None:
    world = taught()
    ticket = stream(world, "a/m")
    began = world.now
    world.now = world.balancer.hedge_at(ticket)
    while not may_hedge(world, ticket):
        world.now = world.balancer.hedge_at(ticket)
    assert world.now - began < 5 * FIRST_S


def test_a_whole_answer_may_just_be_long() -> None:
    world = World([Host(Candidate("a/m", 1e-6, 4e-6)), Host(Candidate("b/m", 1e-6, 4e-6))])
    world.rank()
    for key in ("a/m", "b/m"):
        world.teach(key, 2.0, 60)
    ticket = world.begin("a/m")
    world.now = world.balancer.hedge_at(ticket)
    assert not may_hedge(world, ticket)
    world.now += 60.0
    assert may_hedge(world, ticket)


# ------------------------------------------------------------------------------------------------------------ whether


def test_no_one_asks_a_host_that_takes_longer_than_the_wait() -> None:
    world = taught(slower_b=30.0)
    ticket = stream(world, "a/m")
    world.now += 3 * FIRST_S
    assert not may_hedge(world, ticket)


def test_the_objective_says_what_a_second_is_worth() -> None:
    world = taught(price_b=60e-6)
    ticket = stream(world, "a/m")
    world.now += 4 * FIRST_S
    assert not may_hedge(world, ticket, objective=BALANCED)
    assert may_hedge(world, ticket, objective=FASTEST)


def test_hedges_stay_a_share_of_the_traffic() -> None:
    world = taught()
    granted, sent = 0, 400
    for _ in range(sent):
        ticket = stream(world, "a/m")
        world.balancer.hedge_at(ticket)
        world.now += 5 * FIRST_S
        granted += may_hedge(world, ticket)
        ticket.cancelled()
    assert 0.5 * SHARE * sent <= granted <= SHARE * sent + BURST


def test_hedges_stay_a_share_of_the_spend() -> None:
    world = taught(price_b=40e-6)
    own, dear = 100 * 1e-6 + 100 * 4e-6, 100 * 10e-6 + 100 * 40e-6
    granted, sent = 0, 1000
    for _ in range(sent):
        ticket = stream(world, "a/m")
        world.balancer.hedge_at(ticket)
        world.now += 50 * FIRST_S
        granted += may_hedge(world, ticket, objective=FASTEST)
        ticket.cancelled()
    assert 0 < granted <= (SHARE * sent + BURST_USD) * own / dear * 1.1 + 1


@pytest.mark.parametrize("trouble", ["broken", "overdue", "full", "rate_limited"])
def test_a_suspicious_host_is_never_the_second(trouble: str) -> None:
    world = taught()
    ticket = stream(world, "a/m")
    if trouble == "broken":
        world.fail("b/m", 0.1, 5)
    elif trouble == "full":
        world.hosts["b/m"].candidate = Candidate("b/m", 1e-6, 4e-6, max_concurrency=1)
        world.rank()
        stream(world, "b/m")
    elif trouble == "rate_limited":
        world.begin("b/m").throttled(60.0)
    else:
        for _ in range(3):
            stream(world, "b/m")
    world.now += 5 * FIRST_S
    assert not may_hedge(world, ticket)


def test_when_everything_is_slow_nobody_is_asked_twice() -> None:
    world = taught()
    granted = 0
    waiting: list[Ticket] = []
    for number in range(200):
        ticket = stream(world, ("a/m", "b/m")[number % 2])
        world.balancer.hedge_at(ticket)
        waiting.append(ticket)
        world.now += 0.05
        for other in waiting:
            key = "b/m" if other.key == "a/m" else "a/m"
            if world.now >= other.started + 2 * FIRST_S:
                granted += may_hedge(world, other, key)
    assert granted <= BURST


# ---------------------------------------------------------------------------------------------------- what losing says


def test_a_host_that_hangs_and_is_always_hedged_is_left_within_seconds() -> None:
    world = taught()
    began = world.now
    for _ in range(8):
        ticket = stream(world, "a/m")
        world.now = world.balancer.hedge_at(ticket) + FIRST_S
        ticket.outrun()
        world.now += 0.2
        if row(world, "a/m").state == "open":
            break
    assert row(world, "a/m").state == "open"
    assert world.now - began < 10.0
    assert row(world, "a/m").failures == 0


def test_an_answer_refutes_what_was_given_up_before_it() -> None:
    world = taught()
    for _ in range(20):
        for _ in range(2):
            ticket = stream(world, "a/m")
            world.now += 4 * FIRST_S
            ticket.outrun()
        ticket = stream(world, "a/m")
        world.now += FIRST_S
        ticket.first_token()
        world.now += 1.0
        ticket.success(100, 100, None)
    assert row(world, "a/m").state == "closed"


def test_what_was_given_up_is_forgotten_in_time() -> None:
    world = taught()
    for _ in range(30):
        ticket = stream(world, "a/m")
        world.now += 4 * FIRST_S
        ticket.outrun()
        world.now += 120.0
    assert row(world, "a/m").state == "closed"


def test_who_loses_by_a_hair_is_not_punished() -> None:
    world = taught()
    before = row(world, "b/m")
    for _ in range(100):
        ticket = stream(world, "b/m")
        world.now += 0.9 * FIRST_S
        ticket.outrun()
    after = row(world, "b/m")
    assert after.expected_s == pytest.approx(before.expected_s, rel=0.02)
    assert (after.state, after.failures, after.in_flight) == ("closed", 0, 0)


def test_who_is_left_behind_counts_as_that_slow_at_least_and_no_slower_than_if_it_had_come() -> None:
    expected: dict[str, float] = {}
    for ending in ("in time", "outrun", "answered"):
        world = taught()
        for late in (ending != "in time", False):
            ticket = stream(world, "a/m")
            world.now += 3 * FIRST_S if late else FIRST_S
            if late and ending == "outrun":
                ticket.outrun()
                continue
            ticket.first_token()
            world.now += WHOLE_S - FIRST_S
            ticket.success(100, 100, None)
        expected[ending] = row(world, "a/m").expected_s or 0.0
    assert 0.0 < expected["in time"] < expected["outrun"] <= expected["answered"] * 1.001


@pytest.mark.parametrize("streamed", [True, False])
def test_what_was_outrun_tells_other_replicas_that_the_host_is_slower(streamed: bool) -> None:
    expected: dict[int, float] = {}
    for outrun in (0, 4):
        fleet = Fleet(2, worlds=[taught(), taught()])
        here, there = fleet.worlds
        shape = Shape(100, stream=streamed)
        for _ in range(outrun):
            ticket = here.balancer.begin(here.hosts["a/m"].candidate, shape)
            here.now += 6 * WHOLE_S
            ticket.outrun()
        # The answer that proves that it was slow, and no hang.
        ticket = here.balancer.begin(here.hosts["a/m"].candidate, shape)
        here.now += WHOLE_S
        ticket.success(100, 100, None)
        there.now = here.now
        fleet.exchange()
        expected[outrun] = row(there, "a/m").expected_s or 0.0
        assert expected[outrun] <= (row(here, "a/m").expected_s or 0.0) * 1.001
    assert expected[4] > 1.03 * expected[0]


def test_a_hang_says_nothing_of_how_slow_a_host_is() -> None:
    world = taught()
    before = row(world, "a/m").expected_s
    for _ in range(3):
        ticket = stream(world, "a/m")
        world.now += 3 * FIRST_S
        ticket.outrun()
    # Long enough for the silence itself to be no reason any more.
    world.now += 600.0
    assert row(world, "a/m").expected_s == before


def test_being_outrun_is_no_failure_and_frees_the_place() -> None:
    world = taught()
    for _ in range(3):
        stream(world, "a/m").outrun()
    found = row(world, "a/m")
    assert (found.in_flight, found.failures, found.cancelled, found.success_rate) == (0, 0, 3, 1.0)


def test_a_probe_that_is_hedged_away_does_not_block_the_next() -> None:
    world = taught()
    world.fail("a/m", 0.1, 5)
    assert row(world, "a/m").state == "open"
    probes = 0
    for _ in range(100):
        world.now += 0.1
        ranking = world.balancer.rank(world.candidates, STREAM)
        if ranking.reason == "half_open_probe":
            probes += 1
            ticket = stream(world, "a/m")
            world.now = world.balancer.hedge_at(ticket) + 3 * FIRST_S
            assert may_hedge(world, ticket), "a caller who looks for all is not left waiting"
            ticket.outrun()
        else:
            ticket = stream(world, "b/m")
            world.now += FIRST_S
            ticket.first_token()
            world.now += WHOLE_S - FIRST_S
            ticket.success(100, 100, None)
    assert probes >= 3
    assert row(world, "a/m").state in {"open", "half_open"}
