"""Broken streams: one in a thousand is bad luck, the third in a row is not, and what has passed is forgiven."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwa.cuts import Cuts

if TYPE_CHECKING:
    from collections.abc import Iterable


def told(outcomes: Iterable[int], cuts: Cuts | None = None, gap_s: float = 0.1) -> Cuts:
    cuts = cuts or Cuts()
    for outcome in outcomes:
        cuts.learn(float(outcome), gap_s)
    return cuts


def seasoned() -> Cuts:
    return told([0] * 1000)


def test_one_broken_stream_after_a_thousand_whole_ones_is_bad_luck() -> None:
    cuts = told([1], seasoned())
    assert cuts.rate(0.0) < 0.005, "a mean of sixty answers says 0.017"
    told([0] * 10, cuts)
    assert cuts.rate(0.0) < 0.0025


def test_who_was_not_asked_is_no_worse_than_who_was() -> None:
    assert seasoned().rate(3600.0) < seasoned().rate(0.0) + 0.001
    assert Cuts().rate(3600.0) < Cuts().rate(0.0) * 1.2


def test_three_within_thirty_are_a_burst() -> None:
    cuts = told([1, *[0] * 12, 1, *[0] * 12, 1], seasoned())
    assert cuts.rate(0.0) > 0.15


def test_after_eighty_whole_answers_a_burst_is_over() -> None:
    cuts = told([int(place % 10 == 0) for place in range(200)], seasoned())
    assert cuts.rate(0.0) > 0.05
    told([0] * 80, cuts)
    assert cuts.rate(0.0) < 0.015


def test_a_burst_is_over_some_minutes_after_nobody_was_sent_there() -> None:
    cuts = told([1, 0, 1, 0, 1], seasoned())
    rates = [cuts.rate(idle_s) for idle_s in (0.0, 30.0, 100.0, 300.0, 3600.0)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.15
    assert rates[2] < rates[0] / 2
    assert rates[3] < 0.03


@pytest.mark.parametrize("share", [0.003, 0.01, 0.05, 0.3])
def test_who_always_breaks_so_many_is_known_by_it(share: float) -> None:
    rng = Random(5)
    cuts, rates = Cuts(), list[float]()
    for place in range(12_000):
        told([int(rng.random() < share)], cuts)
        if place > 2000:
            rates.append(cuts.rate(0.1))
    assert share / 1.5 < sum(rates) / len(rates) < share * 1.5


def test_what_breaks_in_a_burst_is_not_held_against_the_host_afterwards() -> None:
    burst = [int(place % 8 == 0) for place in range(400)]
    mended = told([0] * 100, told(burst, seasoned()))
    always = told([int(place % 8 == 0) for place in range(1500)])
    assert mended.rate(0.0) < 0.01, "fifty of its last five hundred broke"
    assert always.rate(0.0) > 0.1


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 0.01, 1.0, 1e3, 1e7])), max_size=200))
def test_a_rate_is_a_share_and_a_broken_stream_never_lowers_it(outcomes: list[tuple[float, float]]) -> None:
    cuts = Cuts()
    for outcome, gap_s in outcomes:
        before = cuts.rate(gap_s)
        cuts.learn(outcome, gap_s)
        after = cuts.rate(0.0)
        assert 0.0 < after < 1.0
        assert after >= before if outcome else after <= before


def test_a_snapshot_goes_on_where_it_was() -> None:
    first, second = told([1, 0, 0, 1, 0, 1, 0]), Cuts()
    second.restore(first.snapshot())
    assert second.rate(5.0) == first.rate(5.0)
    assert told([0, 1], second).rate(0.0) == told([0, 1], first).rate(0.0)


def test_a_snapshot_of_a_version_that_kept_a_mean_only_is_taken_afresh() -> None:
    cuts = Cuts()
    cuts.restore({"slow": 0.01, "fast": 0.01, "cut": 0.2, "waste": 1.0, "idle_s": 0.0})
    assert cuts.rate(0.0) == Cuts().rate(0.0)
