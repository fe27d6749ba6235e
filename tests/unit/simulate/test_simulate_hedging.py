"""Two attempts side by side in the simulator: the quicker wins, the loser is paid for, nothing is left in flight."""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose

import pytest
from simulate_world import PLAIN_LUCK, InOrder, request, world

from dwa.simulate.hedging import HedgedSimulation
from dwa.simulate.hosts import Host
from dwa.simulate.physics import Line, Row
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.runs import HEDGED, ORACLE, OURS, builder, play
from dwa.simulate.scenarios import SCENARIOS
from dwa.simulate.traffic import Request

SLOW = Host("slow", first_token_s=5.0, prefill_s=0.0, token_s=0.01, fails=0.0, cuts=0.0)
QUICK = Host("quick", first_token_s=1.0, prefill_s=0.0, token_s=0.01, fails=0.0, cuts=0.0)


class After(InOrder):
    """Hedges after so many seconds, always."""

    seconds = 2.0

    def hedge_at(self, attempt: Attempt, now: float) -> float:
        return attempt.started + self.seconds

    def may_hedge(self, attempt: Attempt, host: int, now: float) -> bool:
        return True

    def outrun(self, attempt: Attempt, now: float) -> None:
        self.told.append(("outrun", now, attempt))


def simulate(hosts: Sequence[Host], asked: Request) -> tuple[Row, After]:
    made: list[After] = []

    def make(setting: Setting, lines: Sequence[Line]) -> After:
        made.append(After(setting, lines))
        return made[0]

    simulation = HedgedSimulation(world(hosts, [asked]), make, 1)
    rows = simulation.run()
    assert len(rows) == 1
    assert all(line.in_flight == 0 for line in simulation.lines)
    return rows[0], made[0]


def test_a_second_is_asked_and_wins_with_its_first_token() -> None:
    row, policy = simulate([SLOW, QUICK], request(0.0, stream=True))
    assert [(kind, at, attempt.host) for kind, at, attempt in policy.told] == [
        ("begin", 0.0, 0),
        ("begin", 2.0, 1),
        ("first", 3.0, 1),
        ("outrun", 3.0, 0),
        ("ok", 4.0, 1),
    ]
    assert (row.served, row.attempts, row.seen) == (1, 2, False)
    assert isclose(row.seconds, 4.0)


def test_the_loser_is_paid_for_what_it_read_and_wrote() -> None:
    row, _ = simulate([SLOW, QUICK], request(0.0, stream=True))
    assert isclose(row.cost, QUICK.dollars(1000, 100) + SLOW.dollars(1000, 0))
    # Whole answers: the slow one, quick now, has written half of its answer when the second is done.
    slower = Host("slower", first_token_s=2.5, prefill_s=0.0, token_s=0.02, fails=0.0, cuts=0.0)
    quickest = Host("quickest", first_token_s=0.5, prefill_s=0.0, token_s=0.01, fails=0.0, cuts=0.0)
    row, policy = simulate([slower, quickest], request(0.0))
    assert policy.told[-1][0] == "outrun"
    assert isclose(row.cost, quickest.dollars(1000, 100) + slower.dollars(1000, 50))


def test_who_is_in_time_runs_alone_and_who_is_first_after_all_wins() -> None:
    row, policy = simulate([QUICK, SLOW], request(0.0, stream=True))
    assert (row.attempts, policy.kinds()) == (1, ["ok"])
    row, policy = simulate(
        [Host("late", 2.5, 0.01, prefill_s=0.0, fails=0.0, cuts=0.0), SLOW], request(0.0, stream=True)
    )
    assert (row.served, row.attempts, policy.kinds()) == (0, 2, ["outrun", "ok"])


def test_if_one_fails_the_other_goes_on() -> None:
    failing = Host("failing", fails=1.0, fail_s=2.5)
    row, policy = simulate([failing, QUICK, SLOW], request(0.0, stream=True))
    assert (row.served, row.attempts, policy.kinds()) == (1, 2, ["failed", "ok"])
    row, policy = simulate([failing, failing, QUICK], request(0.0, stream=True))
    assert (row.served, row.attempts, policy.kinds()) == (2, 3, ["failed", "failed", "ok"])
    assert isclose(row.seconds, 4.0 + 2.0)


def test_every_request_ends_once_and_every_ticket_is_settled() -> None:
    scenario = SCENARIOS["outage_hanging"].world(1, 150.0)
    simulation = HedgedSimulation(scenario, builder(HEDGED), 1)
    rows = simulation.run()
    assert len(rows) == len(scenario.requests)
    stats = getattr(simulation.policies[0], "balancer").stats()  # noqa: B009  # the protocol does not name it
    assert sum(one.requests for one in stats) == sum(row.attempts for row in rows)
    assert all(one.in_flight == 0 for one in stats)
    assert all(line.in_flight == 0 for line in simulation.lines)


def test_bad_requests_are_not_asked_twice() -> None:
    row, policy = simulate([QUICK, SLOW], request(0.0, bad=True, luck=PLAIN_LUCK))
    assert (row.attempts, policy.kinds()) == (1, ["bad"])


def test_only_policies_that_hedge_can_be_raced() -> None:
    with pytest.raises(ValueError, match="does not hedge"):
        HedgedSimulation(world([QUICK], []), builder(ORACLE), 1)
    made = SCENARIOS["stationary_balanced"].world(1, 20.0)
    assert len(play(made, HEDGED, 1)) == len(play(made, OURS, 1)) == len(made.requests)
