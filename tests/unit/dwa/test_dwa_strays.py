"""First tokens that stray, told apart from those that scatter."""

from __future__ import annotations

from math import isfinite, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwa.strays import LEAST, Strays


def taught(share: float, sd: float, *, answers: int = 3000, off: float = 0.0, seed: int = 5) -> Strays:
    strays, rng = Strays(), Random(seed)
    for _ in range(answers):
        stray = log(rng.uniform(5.0, 12.0)) if rng.random() < share else 0.0
        strays.learn(off + rng.gauss(0.0, sd) + stray)
    return strays


@pytest.mark.parametrize("sd", [0.15, 0.3, 0.5])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.15])
def test_share_and_spread_are_found_whatever_the_other_is(share: float, sd: float) -> None:
    strays = taught(share, sd)
    assert strays.share == pytest.approx(share, abs=0.06)
    assert strays.spread == pytest.approx(sd, rel=0.25)
    assert strays.usual == pytest.approx(0.0, abs=0.12)


def test_a_forecast_that_is_off_is_not_taken_for_strays() -> None:
    strays = taught(0.05, 0.3, off=-0.25)
    assert strays.usual == pytest.approx(-0.25, abs=0.1)
    assert strays.share < 0.1


def test_what_was_given_up_counts_by_how_late_it_was() -> None:
    early, late = taught(0.05, 0.3), taught(0.05, 0.3)
    before = early.share
    for _ in range(10):
        early.outlived(log(1.2))
        late.outlived(log(4.0))
    assert before - 0.01 < early.share < before + 0.03 < late.share < before + 0.12


@given(st.lists(st.floats(-14.0, 14.0), max_size=60), st.lists(st.floats(-14.0, 14.0), max_size=20))
def test_anything_leaves_a_share_and_a_spread(learned: list[float], given_up: list[float]) -> None:
    strays = Strays()
    for off in learned:
        strays.learn(off)
    for off in given_up:
        strays.outlived(off)
    assert 0.0 < strays.share < 1.0
    assert LEAST**0.5 <= strays.spread < 20.0
    assert isfinite(strays.usual)
