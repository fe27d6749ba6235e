"""Drawn worlds: the same for a seed, another for each, within what was measured, and survived by whatever chooses."""

from __future__ import annotations

from math import inf

import pytest

from dwa.simulate import CHANCE, ORACLE, OURS, SCENARIOS, compare
from dwa.simulate.measure import gap_closed
from dwa.simulate.scenarios.drawn import LONGEST_S, SHORTEST_S

SEEDS = range(40)
FAMILY = ("drawn", "drawn_limits")


@pytest.mark.parametrize("name", FAMILY)
def test_a_seed_always_draws_the_same_world_and_another_seed_another(name: str) -> None:
    family = SCENARIOS[name]
    assert [family.of(seed) for seed in SEEDS] == [family.of(seed) for seed in SEEDS]
    assert family.of(3).of(3) == family.of(3)
    assert len({(one.traffic.rate, one.hosts) for one in map(family.of, SEEDS)}) == len(SEEDS)
    first, second = (family.world(3, 5.0) for _ in range(2))
    assert first.requests == second.requests
    assert first.hosts == second.hosts


@pytest.mark.parametrize("name", FAMILY)
def test_they_are_of_all_sorts(name: str) -> None:
    drawn = [SCENARIOS[name].of(seed) for seed in SEEDS]
    assert {2, 3, 5, 12} <= {len(one.hosts) for one in drawn}
    assert min(one.traffic.rate for one in drawn) < 1.0 < 20.0 < max(one.traffic.rate for one in drawn)
    assert {one.objective.name for one in drawn} == {"balanced", "fastest", "cheapest", "reliable"}
    assert all(SHORTEST_S <= one.seconds <= LONGEST_S for one in drawn)
    assert {len(one.changes) > 0 for one in drawn} == {True, False}
    assert any(host.limit < inf for one in drawn for host in one.hosts) == (name == "drawn_limits")


@pytest.mark.parametrize("name", FAMILY)
def test_what_happens_to_a_host_is_over_in_the_end(name: str) -> None:
    for seed in SEEDS:
        world = SCENARIOS[name].world(seed, 1.0)
        last = {place: host for _, place, host in world.timeline}
        for place, host in last.items():
            start = world.hosts[place]
            for field in ("dead", "hangs", "fails", "cuts", "straggle", "knee"):
                assert getattr(host, field) == getattr(start, field), (seed, field)


def test_ours_loses_least_in_the_mean() -> None:
    policies = (OURS, "discounted_thompson", "exp3s", "c3")
    runs = [compare("drawn", policies, seed) for seed in (0, 1, 3)]
    chance, oracle = ([run[who].loss for run in runs] for who in (CHANCE, ORACLE))
    gaps = {policy: gap_closed(chance, [run[policy].loss for run in runs], oracle) for policy in policies}
    assert gaps[OURS] > 0.8
    assert gaps[OURS] > max(gaps[policy] for policy in policies if policy != OURS) + 0.05
