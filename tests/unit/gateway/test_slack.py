"""Memory is given back once after a pile, when it has been gone for a while, and never in ordinary traffic."""

from __future__ import annotations

import platform

import pytest

from gateway.slack import CALM_S, GONE, PILE, Slack, trimmer


class Watched:
    """Seconds in which so many calls are under way; counts what was given back."""

    def __init__(self) -> None:
        self.busy = self.given_back = 0
        self.slack = Slack(lambda: self.busy, self._trim)

    def _trim(self) -> None:
        self.given_back += 1

    def during(self, seconds: int, busy: int) -> int:
        self.busy = busy
        for _ in range(seconds):
            self.slack.look()
        return self.given_back


def test_after_a_pile_memory_is_given_back_once() -> None:
    it = Watched()
    assert it.during(5, PILE) == 0
    assert it.during(CALM_S - 1, PILE // GONE) == 0
    assert it.during(1, PILE // GONE) == 1
    assert it.during(10 * CALM_S, 5) == 1


def test_each_pile_counts() -> None:
    it = Watched()
    for piles in (1, 2, 3):
        it.during(1, 5 * PILE)
        assert it.during(2 * CALM_S, 3) == piles


@pytest.mark.parametrize(("before", "after"), [(PILE - 1, 0), (10 * PILE, 10 * PILE // GONE + 1)])
def test_without_a_pile_that_has_gone_nothing_is_given_back(before: int, after: int) -> None:
    it = Watched()
    it.during(5, before)
    assert it.during(5 * CALM_S, after) == 0


def test_a_pile_that_comes_back_is_waited_for_anew() -> None:
    it = Watched()
    it.during(1, PILE)
    it.during(CALM_S - 1, 0)
    it.during(1, PILE)
    assert it.during(CALM_S - 1, 0) == 0
    assert it.during(1, 0) == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has malloc_trim")
def test_the_c_library_is_asked() -> None:
    assert trimmer()() in (0, 1)
