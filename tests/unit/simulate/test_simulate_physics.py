"""The laws of the simulated world."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from math import exp
from random import Random
from typing import ClassVar

import pytest
from simulate_world import InOrder, request, world

from dwa import Shape
from dwa.simulate.hosts import FIVE, Change, Host
from dwa.simulate.physics import REJECT_S, Line, Simulation
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.runs import play
from dwa.simulate.scenarios import SCENARIOS
from dwa.simulate.traffic import KINDS, Luck, Surge, Traffic
from dwa.simulate.truth import FIRST_TIMEOUT_S

SURE = Host("sure", fails=0.0, cuts=0.0, straggle=0.0)


def test_every_request_ends_exactly_once() -> None:
    for name in ("outage_hanging", "storm_429", "bad_callers", "eight_replicas_outage", "everything_down"):
        made = SCENARIOS[name].world(3, 60.0)
        rows = play(made, "random", 3)
        assert sorted(row.at for row in rows) == [one.at for one, _ in made.requests]


def test_what_begins_also_ends_and_nobody_stays_in_flight() -> None:
    made = SCENARIOS["brown_out"].world(1, 200.0)
    simulation = Simulation(made, InOrder, 1)
    simulation.run()
    policy = simulation.policies[0]
    assert isinstance(policy, InOrder)
    begun = [attempt for kind, _, attempt in policy.told if kind == "begin"]
    assert len(begun) == len(policy.kinds())
    assert [line.in_flight for line in simulation.lines] == [0] * 5


def test_the_same_seed_is_the_same_world_and_the_same_run() -> None:
    scenario = SCENARIOS["mixed_day"]
    first, second = scenario.world(7, 60.0), scenario.world(7, 60.0)
    assert first == second
    assert play(first, "dwa", 7) == play(second, "dwa", 7)
    assert scenario.world(8, 60.0).hosts != first.hosts


def test_seconds_are_first_token_and_writing() -> None:
    [row] = Simulation(world([SURE], [request(1.0)]), InOrder, 0).run()
    assert row.seconds == pytest.approx(0.4 + 1000 * 4e-5 + 100 / 60)
    assert row.cost == pytest.approx(1000 * 1e-6 + 100 * 3e-6)
    assert (row.first, row.served, row.seen, row.attempts) == (0, 0, False, 1)


def test_mean_seconds_are_those_the_oracle_reckons_with() -> None:
    host = Host("noisy", fails=0.0, cuts=0.0, first_sd=0.3, straggle=0.02)
    requests = [one._replace(answer=200, prompt=1000) for one in Traffic(rate=10.0).requests(800.0, 1, _rng())]
    rows = Simulation(world([host], requests), InOrder, 0).run()
    assert sum(row.seconds for row in rows) / len(rows) == pytest.approx(host.seconds(1000, 200), rel=0.02)


def test_littles_law_holds_for_what_an_arrival_finds() -> None:
    class Counting(InOrder):
        found: ClassVar[list[int]] = []

        def rank(self, shape: Shape, now: float) -> Sequence[int]:
            self.found.append(self.lines[0].in_flight)
            return self.order

    requests = Traffic(rate=20.0).requests(600.0, 1, _rng())
    rows = Simulation(world([SURE], requests), Counting, 0).run()
    settled = Counting.found[len(requests) // 10 :]
    seconds = sum(row.seconds for row in rows) / len(rows)
    assert sum(settled) / len(settled) == pytest.approx(20.0 * seconds, rel=0.05)


def test_a_knee_slows_those_beyond_it_and_no_other() -> None:
    requests = [request(0.001 * place) for place in range(20)]
    rows = sorted(Simulation(world([replace(SURE, knee=10.0)], requests), InOrder, 0).run())
    assert rows[9].seconds == pytest.approx(rows[0].seconds)
    assert rows[19].seconds == pytest.approx(2 * rows[0].seconds)


@pytest.mark.parametrize("headers", ["retry_after", "remaining", "none"])
def test_a_limit_admits_its_rate_and_refuses_the_rest_quickly(headers: str) -> None:
    host = replace(SURE, limit=2.0, headers=headers)
    requests = [request(place / 10) for place in range(600)]
    simulation = Simulation(world([host], requests), InOrder, 0)
    rows = simulation.run()
    assert sum(row.served == 0 for row in rows) == pytest.approx(2.0 * 60 + host.limit_burst_s * 2.0, abs=2)
    refused = [row for row in rows if row.served < 0]
    assert all(row.seen and row.seconds == pytest.approx(REJECT_S) for row in refused)
    policy = simulation.policies[0]
    assert isinstance(policy, InOrder)
    told = [attempt for kind, _, attempt in policy.told if kind == "refused"]
    assert all((attempt.retry_after is not None) == (headers == "retry_after") for attempt in told)
    assert all((attempt.remaining is not None) == (headers == "remaining") for attempt in told)


def test_who_waits_as_long_as_retry_after_says_is_admitted() -> None:
    host = replace(SURE, limit=0.5, headers="retry_after")
    early = [request(0.01 * place) for place in range(3)]
    simulation = Simulation(world([host], [*early, request(2.2)]), InOrder, 0)
    rows = sorted(simulation.run())
    policy = simulation.policies[0]
    assert isinstance(policy, InOrder)
    [retry_after] = {attempt.retry_after for kind, _, attempt in policy.told if kind == "refused"}
    assert retry_after == 2.0
    assert rows[-1].served == 0


def test_a_failure_is_tried_at_the_next_and_its_time_is_lost() -> None:
    dead = replace(SURE, name="dead", dead=True, fail_s=0.3)
    [row] = Simulation(world([dead, SURE], [request(0.0)]), InOrder, 0).run()
    [direct] = Simulation(world([SURE], [request(0.0)]), InOrder, 0).run()
    assert (row.first, row.served, row.attempts) == (0, 1, 2)
    assert row.seconds == pytest.approx(direct.seconds + 0.3)
    assert row.cost == direct.cost


def test_a_hang_costs_the_timeout() -> None:
    hanging = replace(SURE, name="hanging", hangs=1.0)
    [row] = Simulation(world([hanging, SURE], [request(0.0)]), InOrder, 0).run()
    assert row.seconds > FIRST_TIMEOUT_S
    assert row.served == 1


def test_attempts_are_bounded_and_then_the_caller_sees_it() -> None:
    dead = replace(SURE, dead=True)
    hosts = [replace(dead, name=str(place)) for place in range(5)]
    [row] = Simulation(world(hosts, [request(0.0)]), InOrder, 0).run()
    assert (row.attempts, row.seen, row.served) == (3, True, -1)


def test_a_cut_stream_is_seen_by_the_caller_and_half_of_it_is_billed() -> None:
    luck = Luck(0.0, 0.0, 0.5, 0.5, 0.99)
    [row] = Simulation(world([replace(SURE, cuts=0.05), SURE], [request(0.0, luck=luck)]), InOrder, 0).run()
    assert (row.seen, row.attempts, row.served) == (True, 1, -1)
    assert row.cost == pytest.approx(1000 * 1e-6 + 50 * 3e-6)


def test_a_bad_request_ends_at_once_and_nobody_fails() -> None:
    simulation = Simulation(world([SURE], [request(0.0, bad=True)]), InOrder, 0)
    [row] = simulation.run()
    assert (row.seconds, row.cost, row.seen, row.attempts) == (pytest.approx(REJECT_S), 0.0, False, 1)


def test_the_first_token_is_told_of_streams_only_and_before_the_end() -> None:
    simulation = Simulation(world([SURE], [request(0.0, stream=True), request(50.0)]), InOrder, 0)
    simulation.run()
    policy = simulation.policies[0]
    assert isinstance(policy, InOrder)
    assert [kind for kind, _, _ in policy.told] == ["begin", "first", "ok", "begin", "ok"]
    assert policy.told[1][1] == pytest.approx(0.44)


def test_feedback_comes_at_the_end_and_requests_taken_before_a_death_are_answered() -> None:
    dead = replace(SURE, dead=True)
    simulation = Simulation(world([SURE], [request(0.0), request(1.0)], [(0.5, 0, dead)]), InOrder, 0)
    simulation.run()
    policy = simulation.policies[0]
    assert isinstance(policy, InOrder)
    assert [(kind, round(now, 1)) for kind, now, _ in policy.told if kind != "begin"] == [("failed", 1.3), ("ok", 2.1)]


def test_a_listed_price_is_announced_and_a_hidden_one_only_billed() -> None:
    dearer, hidden = replace(SURE, price_in=2e-6), replace(SURE, hidden_price=3.0)
    listed = Simulation(world([SURE], [request(1.0)], [(0.5, 0, dearer)]), InOrder, 0)
    silent = Simulation(world([SURE], [request(1.0)], [(0.5, 0, hidden)]), InOrder, 0)
    [dear], [billed] = listed.run(), silent.run()
    assert dear.cost == pytest.approx(2.3e-3)
    assert billed.cost == pytest.approx(3.9e-3)
    relistings = [policy.relistings for policy in (*listed.policies, *silent.policies) if isinstance(policy, InOrder)]
    assert relistings == [[1.0], []]  # with the next event after the change


def test_a_change_scales_the_start_and_not_the_present() -> None:
    start = FIVE[0]
    twice = Change(1.0, "1st", scale={"token_s": 2.0})
    assert twice.apply(twice.apply(start, start, None), start, None).token_s == pytest.approx(2 * start.token_s)
    assert Change(1.0, "1st", like="2nd").apply(start, start, FIVE[1]).token_s == FIVE[1].token_s


def test_traffic_has_its_rate_its_surges_and_its_lengths() -> None:
    surging = Traffic(rate=20.0, surges=(Surge(100.0, 50.0, 3.0),))
    requests = surging.requests(300.0, 2, _rng())
    inside = sum(100.0 <= one.at < 150.0 for one in requests)
    assert inside == pytest.approx(3000, rel=0.06)
    assert len(requests) - inside == pytest.approx(5000, rel=0.06)
    assert {one.replica for one in requests} == {0, 1}
    assert sum(one.answer for one in requests) / len(requests) == pytest.approx(211, rel=0.05)
    assert sum(one.prompt for one in requests) / len(requests) == pytest.approx(1155, rel=0.06)
    gaps = [b.at - a.at for a, b in itertools.pairwise(requests) if b.at < 100.0]
    mean = sum(gaps) / len(gaps)
    assert sum((gap - mean) ** 2 for gap in gaps) / len(gaps) == pytest.approx(mean**2, rel=0.15)


def test_bursty_gaps_vary_more() -> None:
    requests = Traffic(rate=20.0, cv=3.0).requests(300.0, 1, _rng())
    gaps = [b.at - a.at for a, b in itertools.pairwise(requests)]
    mean = sum(gaps) / len(gaps)
    assert (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5 / mean == pytest.approx(3.0, rel=0.2)


def test_mixture_means_are_those_of_the_traces() -> None:
    assert KINDS["code"].answer.mean() == pytest.approx(28, rel=0.08)
    assert KINDS["code"].prompt.mean() == pytest.approx(2048, rel=0.06)
    assert KINDS["long"].prompt.mean() == pytest.approx(12035, rel=0.06)
    assert exp(4.64 + 0.7**2 / 2) < KINDS["chat"].answer.mean()


def _rng() -> Random:
    return Random(11)


class Impatient(InOrder):
    """Forsakes what waits at the first host as soon as another request is ranked."""

    def __init__(self, setting: Setting, lines: Sequence[Line]) -> None:
        super().__init__(setting, lines)
        self.waiting: list[Attempt] = []

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        for attempt in self.waiting:
            assert attempt.forsake is not None
            attempt.forsake()
        self.waiting = []
        return super().rank(shape, now)

    def begin(self, attempt: Attempt, now: float) -> None:
        super().begin(attempt, now)
        if attempt.host == 0:
            self.waiting.append(attempt)


def test_what_is_forsaken_goes_on_at_the_next_host_at_that_moment_and_is_paid_for() -> None:
    simulation = Simulation(world([SURE, SURE], [request(1.0), request(1.5)]), Impatient, 0)
    first, second = sorted(simulation.run())
    takes = 0.4 + 1000 * 4e-5 + 100 / 60
    assert first.seconds == pytest.approx(0.5 + takes)
    assert (first.served, first.attempts, first.seen) == (1, 2, False)
    assert first.cost == pytest.approx(2 * (1000 * 1e-6 + 100 * 3e-6))
    assert (second.seconds, second.served) == (pytest.approx(takes), 0)
    assert [line.in_flight for line in simulation.lines] == [0, 0]
    policy = simulation.policies[0]
    assert isinstance(policy, Impatient)
    assert policy.kinds() == ["failed", "ok", "ok"]


def test_what_is_forsaken_with_nobody_left_to_ask_goes_on_where_it_is() -> None:
    rows = Simulation(world([SURE], [request(1.0), request(1.5)]), Impatient, 0).run()
    assert [(row.served, row.attempts) for row in rows] == [(0, 1), (0, 1)]
