"""What is done before the first answers are in."""

from __future__ import annotations

from random import Random

import pytest
from dwa_world import Host, World

from dwa import Balancer, Candidate, Params, Shape


def three() -> World:
    return World(Host(Candidate(key, 1e-6, 3e-6)) for key in ("p/a", "p/b", "p/c"))


def test_strangers_are_looked_at_in_turns() -> None:
    world = three()
    for turn in range(Params().early_looks):
        seen: set[str] = set()
        for _ in world.hosts:
            ranking = world.rank()
            seen.add(ranking.candidates[0].key)
            world.begin(ranking.candidates[0].key)
            world.now += 0.01
        assert seen == set(world.hosts), turn


def test_a_stranger_that_owes_an_answer_is_not_looked_at_again() -> None:
    world = World([Host(Candidate("p/good", 1e-6, 3e-6)), Host(Candidate("p/odd", 1e-6, 3e-6))])
    world.teach("p/good", 1.0, 12)
    for _ in range(Params().early_looks - 1):
        world.begin("p/odd").cancelled()
    owed = world.begin("p/odd")
    world.now += Params().early_every_s
    assert world.rank().reason != "exploration"
    owed.cancelled()
    ranking = world.rank()
    assert (ranking.reason, ranking.candidates[0].key) == ("exploration", "p/odd")


def seconds_expected(balancer: Balancer) -> float:
    """What the balancer expects of its only deployment now."""
    found = balancer.stats()[0].expected_s
    assert found is not None
    return found


@pytest.mark.parametrize(("stream", "grows"), [(False, True), (True, False)])
def test_a_stranger_is_believed_slower_while_it_is_silent(stream: bool, grows: bool) -> None:
    now = 0.0
    candidate = Candidate("p/a", 1e-6, 3e-6)
    balancer = Balancer(clock=lambda: now, rng=Random(1))
    shape = Shape(1000, stream=stream)
    for _ in range(3):
        balancer.begin(candidate, shape)
    believed: list[float] = []
    for _ in range(3):
        now += 0.15
        believed.append(seconds_expected(balancer))
    assert (believed[0] < believed[1] < believed[2]) is grows


def test_silence_of_a_host_that_is_known_says_nothing_yet() -> None:
    now = 0.0
    candidate = Candidate("p/a", 1e-6, 3e-6)
    balancer = Balancer(clock=lambda: now, rng=Random(1))
    for _ in range(Params().early_limit):
        ticket = balancer.begin(candidate, Shape(1000))
        now += 3.0
        ticket.success(1000, 200, None)
    for _ in range(3):
        balancer.begin(candidate, Shape(1000))
    # With those three, which crowd it by a hair; the silence of one second, of answers of three, adds nothing.
    before = seconds_expected(balancer)
    now += 1.0
    assert seconds_expected(balancer) == pytest.approx(before, rel=1e-3)
