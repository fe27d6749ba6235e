"""What is forgotten is forgotten by a clock that can be believed."""

from __future__ import annotations

import pytest

from gateway.reckoning import Reckoning

HOUR, DAY, YEAR = 3_600.0, 86_400.0, 365 * 86_400.0


class Clocks:
    """Both, set by hand."""

    def __init__(self) -> None:
        self.wall, self.steady = 10 * YEAR, 50.0
        self.reckoning = Reckoning(wall=lambda: self.wall, monotonic=lambda: self.steady)

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def test_before_it_begins_nothing_is_old(clocks: Clocks) -> None:
    assert clocks.reckoning.now() == 0.0
    assert not clocks.reckoning.begun


@pytest.mark.parametrize("newest", [None, 10 * YEAR - 60.0, 10 * YEAR + DAY])
def test_it_is_the_clock_of_the_wall_as_long_as_that_runs_evenly(clocks: Clocks, newest: float | None) -> None:
    clocks.reckoning.begin(newest)
    for seconds in (0.0, HOUR, 3 * DAY):
        clocks.passes(seconds)
        assert clocks.reckoning.now() == clocks.wall


def test_a_jump_ahead_is_not_believed_for_a_day_and_then_it_is(clocks: Clocks) -> None:
    clocks.reckoning.begin(None)
    before = clocks.wall
    clocks.wall += YEAR
    assert clocks.reckoning.now() == before
    for _ in range(23):
        clocks.passes(HOUR)
        assert clocks.reckoning.now() < before + DAY
    clocks.passes(HOUR)
    assert clocks.reckoning.now() == clocks.wall


def test_a_clock_that_is_set_right_again_is_believed_at_once_and_doubted_anew_the_next_time(clocks: Clocks) -> None:
    clocks.reckoning.begin(None)
    for _ in range(3):
        clocks.wall += YEAR
        clocks.passes(HOUR)
        assert clocks.reckoning.now() == clocks.wall - YEAR
        clocks.wall -= YEAR
        clocks.passes(12 * HOUR)
        assert clocks.reckoning.now() == clocks.wall


def test_a_clock_that_is_wrong_at_the_start_is_doubted_by_what_is_there(clocks: Clocks) -> None:
    newest = clocks.wall
    clocks.wall += YEAR
    clocks.reckoning.begin(newest)
    assert clocks.reckoning.now() == pytest.approx(newest + HOUR)
    clocks.passes(5 * HOUR)
    assert clocks.reckoning.now() == pytest.approx(newest + 6 * HOUR)


def test_a_jump_back_is_followed_and_forgets_nothing_more(clocks: Clocks) -> None:
    clocks.reckoning.begin(None)
    clocks.wall -= YEAR
    assert clocks.reckoning.now() == clocks.wall
