"""The oracle, the rivals and ours in every scenario, briefly."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest
from simulate_world import InOrder, request, world

from dwa import Shape
from dwa.simulate.hosts import FIVE, Host
from dwa.simulate.physics import Simulation, World
from dwa.simulate.policy import Attempt, Policy
from dwa.simulate.rivals import RIVALS, WEAKNESSES
from dwa.simulate.rivals.gomodel import COOLDOWN_S
from dwa.simulate.rivals.rival import PeakEwma
from dwa.simulate.runs import CHANCE, ORACLE, OURS, builder, play
from dwa.simulate.scenarios import FAMILIES, SCENARIOS, Scenario, roles


def _short(scenario: Scenario) -> float:
    """Seconds that hold the scenario's first change and what becomes of it."""
    if scenario.traffic.rate < 1.0 or scenario.of(0) is not scenario:
        return 1500.0
    first = min((change.at for change in scenario.changes if change.at > 0.0), default=20.0)
    return min(first + 30.0, scenario.seconds)


def _losses(name: str, seeds: Sequence[int], policies: Sequence[str], seconds: float) -> dict[str, float]:
    worlds = [(seed, SCENARIOS[name].world(seed, seconds)) for seed in seeds]
    return {
        policy: sum(sum(row.loss for row in play(made, policy, seed)) / len(made.requests) for seed, made in worlds)
        for policy in policies
    }


@cache  # worlds are frozen, and making them takes longer than most policies take to run through
def _brief(name: str, seconds: float) -> World:
    return SCENARIOS[name].world(5, seconds)


@pytest.mark.parametrize("name", SCENARIOS)
def test_chance_is_beaten_by_ours_and_by_the_oracle(name: str) -> None:
    losses = _losses(name, (1, 2), (CHANCE, ORACLE, OURS), _short(SCENARIOS[name]))
    assert losses[OURS] < losses[CHANCE]
    assert losses[ORACLE] < losses[CHANCE]


@pytest.mark.parametrize("policy", RIVALS)
def test_a_rival_runs_every_scenario(policy: str) -> None:
    for name, scenario in SCENARIOS.items():
        made = _brief(name, 60.0 if scenario.traffic.rate < 1.0 else 3.0)
        rows = play(made, policy, 5)
        assert len(rows) == len(made.requests)
        assert all(-1 <= row.first < len(made.hosts) for row in rows)


@pytest.mark.parametrize("policy", RIVALS)
def test_a_rival_meets_trouble_and_never_ranks_twice_or_who_is_absent(policy: str) -> None:
    class Watching:
        def __init__(self, inner: Policy) -> None:
            self.inner = inner
            self.begin, self.first_token = inner.begin, inner.first_token
            self.finish, self.relisted = inner.finish, inner.relisted

        def rank(self, shape: Shape, now: float) -> Sequence[int]:
            order = list(self.inner.rank(shape, now))
            assert len(order) == len(set(order))
            if now < 150.0:
                assert absent not in order
            return order

    made = _brief("new_provider", 165.0)
    absent = next(place for place, host in enumerate(made.hosts) if host.name == "quick")
    make = builder(policy)
    rows = Simulation(made, lambda setting, lines: Watching(make(setting, lines)), 2).run()
    assert any(row.first == absent for row in rows)


def test_every_rival_has_its_weakness_written_down() -> None:
    assert list(RIVALS) == list(WEAKNESSES)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="no policy 'luck'"):
        builder("luck")


def test_scenarios_are_told_apart_and_some_are_held_out() -> None:
    members = [one for family in FAMILIES.values() for one in family]
    assert len(members) == len(SCENARIOS)
    assert sum(one.holdout for one in members) >= 3
    assert all(one.asks.startswith("Hold-out: ") == one.holdout for one in members)


def test_roles_follow_the_loss() -> None:
    made = SCENARIOS["stationary_balanced"].world(4, 1.0)
    traffic = SCENARIOS["stationary_balanced"].traffic
    losses = made.yardstick.expected(made.hosts, [1.0] * 5, 1155, 211)
    best = roles(made.hosts, made.yardstick, traffic, "1st")[0]
    assert losses[best] == min(losses)
    assert losses[roles(made.hosts, made.yardstick, traffic, "last")[0]] == max(losses)
    assert roles(made.hosts, made.yardstick, traffic, "all") == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="no host '6th'"):
        roles(made.hosts, made.yardstick, traffic, "6th")


def test_the_oracle_avoids_the_dead_the_spent_and_the_crowded() -> None:
    dead = Host("dead", token_s=0.001, dead=True)
    spent = Host("spent", token_s=0.001, limit=0.001)
    crowded = Host("crowded", token_s=1 / 70, knee=1.0)
    plain = Host("plain", fails=0.0, cuts=0.0)
    rows = sorted(
        Simulation(world([dead, spent, crowded, plain], [request(0.1 * n) for n in range(4)]), builder(ORACLE), 0).run()
    )
    assert [row.first for row in rows] == [1, 2, 3, 3]


def test_ours_hears_of_every_ending() -> None:
    simulation = Simulation(SCENARIOS["mixed_day"].world(1, 600.0), builder(OURS), 1)
    rows = simulation.run()
    policy = simulation.policies[0]
    stats = getattr(policy, "balancer").stats()  # noqa: B009  # the protocol does not name it
    assert sum(one.requests for one in stats) == sum(row.attempts for row in rows)
    assert all(one.in_flight == 0 for one in stats)


def test_peak_ewma_jumps_up_and_comes_down_slowly() -> None:
    trip = PeakEwma(10.0)
    trip.add(1.0, 0.0)
    trip.add(3.0, 1.0)
    assert trip.value == 3.0
    trip.add(1.0, 11.0)
    assert trip.value == pytest.approx(3.0 / 2.718281828 + 1.0 - 1.0 / 2.718281828)


@pytest.mark.parametrize(("policy", "failures"), [("gomodel", 3), ("envoy", 5), ("litellm_shuffle", 5)])
def test_a_rival_sets_a_failing_host_aside_as_published(policy: str, failures: int) -> None:
    made = world(FIVE, [request(0.0)])
    rival = Simulation(made, builder(policy), 0).policies[0]
    for other in range(1, 5):
        _ends(rival, other, "ok", 20.0, 20.0)  # all the others are slow: not a bad record but the rule keeps it out
    for _ in range(failures):
        assert _tries_first(rival, 0, 21.0)
        _ends(rival, 0, "failed", 21.0, 0.3)
    assert not _tries_first(rival, 0, 21.1)
    assert _tries_first(rival, 0, 21.0 + COOLDOWN_S + 0.1)


def _ends(policy: Policy, host: int, kind: str, now: float, seconds: float) -> None:
    attempt = Attempt(host, 0, Shape(1000), now - seconds)
    policy.begin(attempt, attempt.started)
    attempt.kind = kind
    policy.finish(attempt, now)


def _tries_first(policy: Policy, host: int, now: float) -> bool:
    return any(policy.rank(Shape(1000), now)[0] == host for _ in range(200))


def test_a_policy_by_hand_is_a_policy() -> None:
    policy: Policy = Simulation(world(FIVE, [request(0.0)]), InOrder, 0).policies[0]
    assert policy.rank(Shape(1), 0.0) == [0, 1, 2]
