"""The measures, against figures reckoned by hand."""

from __future__ import annotations

from math import isnan, nan
from random import Random

import pytest

from dwa import BALANCED
from dwa.simulate.hosts import Host
from dwa.simulate.measure import gap_closed, interval, jain, quantile, time_to_leave, time_to_return
from dwa.simulate.runs import Numbers, pool
from dwa.simulate.truth import Yardstick


def test_gap_is_pooled_and_not_averaged() -> None:
    assert gap_closed([1.0, 3.0], [0.5, 2.0], [0.5, 1.0]) == pytest.approx(1.5 / 2.5)
    assert gap_closed([1.0], [1.5], [0.5]) == -1.0
    assert isnan(gap_closed([1.0], [1.0], [1.0]))


def test_interval_holds_the_gap_and_shrinks_to_it_when_seeds_agree() -> None:
    assert interval([1.0] * 5, [0.6] * 5, [0.5] * 5, Random(1)) == (pytest.approx(0.8), pytest.approx(0.8))
    chance, policy, oracle = [1.0, 2.0, 1.5, 1.2], [0.6, 0.9, 1.0, 0.7], [0.5, 0.8, 0.6, 0.6]
    low, high = interval(chance, policy, oracle, Random(1))
    assert low < gap_closed(chance, policy, oracle) < high
    assert (low, high) == interval(chance, policy, oracle, Random(1))


def test_quantiles() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [quantile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 51.0, 100.0, 100.0]
    assert isnan(quantile([], 0.5))


def test_jain_is_one_for_equals_and_one_over_n_for_a_monopoly() -> None:
    assert jain([5.0, 5.0, 5.0]) == 1.0
    assert jain([9.0, 0.0, 0.0]) == pytest.approx(1 / 3)
    assert jain([3.0, 1.0]) == pytest.approx(16 / 20)
    assert isnan(jain([0.0, 0.0]))


def test_leaving_and_returning_are_counted_from_the_change() -> None:
    choices = [(float(at), 0 if at < 103 or at >= 160 else 1) for at in range(300)]
    assert time_to_leave(choices, 0, 100.0) == pytest.approx(1.0)
    choices = [(at, 1 - host if at in (125, 145) else host) for at, host in choices]
    assert time_to_leave(choices, 0, 100.0) == pytest.approx(1.0)
    assert time_to_return(choices, 0, 100.0, 150.0) == pytest.approx(0.0)


def test_one_probe_is_no_return() -> None:
    choices = [(float(at), 0 if at < 100 or at == 130 else 1) for at in range(300)]
    assert time_to_leave(choices, 0, 100.0) == 0.0
    assert time_to_return(choices, 0, 100.0, 120.0) is None


def test_who_was_never_there_neither_leaves_nor_returns() -> None:
    choices = [(float(at), 1) for at in range(300)]
    assert time_to_leave(choices, 0, 100.0) is None
    assert time_to_return(choices, 0, 100.0, 120.0) is None
    assert time_to_leave([(float(at), 0) for at in range(300)], 0, 100.0) is None


def test_loss_adds_seconds_dollars_quality_and_failures() -> None:
    yardstick = Yardstick(BALANCED, 2.0, 0.01)
    assert yardstick.loss(1.0, 0.005, 1.0, seen=False) == pytest.approx(0.4 * 0.5 + 0.4 * 0.5)
    assert yardstick.loss(1.0, 0.0, 1.0, seen=True) == pytest.approx(0.2 + 4.0)


def test_expected_loss_charges_a_failure_its_time_and_the_next_best() -> None:
    good = Host("good", fails=0.0, cuts=0.0)
    dead = Host("dead", dead=True, fail_s=1.0)
    yardstick = Yardstick(BALANCED, 2.0, 0.01)
    alone, broken = yardstick.expected([good, dead], [1.0, 1.0], 1000, 100)
    worth = 0.4 * good.seconds(1000, 100) / 2.0 + 0.4 * good.dollars(1000, 100) / 0.01
    assert alone == pytest.approx(worth)
    assert broken == pytest.approx(worth + 0.4 * 1.0 / 2.0)


def test_a_dead_only_host_costs_what_the_caller_sees() -> None:
    dead = Host("dead", dead=True)
    [loss] = Yardstick(BALANCED, 2.0, 0.01).expected([dead], [1.0], 1000, 100)
    assert loss > BALANCED.errors


def test_pooling_ignores_what_did_not_arise() -> None:
    def run(loss: float, leave: float) -> Numbers:
        return Numbers(10, loss, 1.0, 2.0, 3.0, 0.0, 0.1, 0.2, leave, nan, nan)

    found = pool(
        {
            seed: {"dwa": run(0.6, leave), "random": run(1.0, nan), "oracle": run(0.5, nan)}
            for seed, leave in ((1, 2.0), (2, nan))
        }
    )
    assert found["dwa"].gap == pytest.approx(0.8)
    assert found["dwa"].mean.leave_s == 2.0
    assert isnan(found["dwa"].mean.return_s)
    assert found["dwa"].mean.requests == 20
    assert found["oracle"].gap == 1.0
