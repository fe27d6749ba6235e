"""Lengths are learned in the order in which answers were asked for, whatever the order in which they come."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwa import Candidate, Params, Shape, Ticket
from dwa.length import AWAITED
from tests.unit.dwa.dwa_world import Host, World

PRIOR = Params().output_tokens


def world() -> World:
    return World([Host(Candidate("a/m")), Host(Candidate("b/m"))])


def expected(it: World) -> float:
    return it.balancer._lengths.expect(Shape(1000))


def asked(it: World, *keys: str) -> list[Ticket]:
    return [it.begin(key) for key in keys]


def test_the_short_answers_that_come_first_wait_for_the_long_ones_asked_for_before() -> None:
    it = world()
    long, *short = asked(it, "a/m", "a/m", "b/m")
    for ticket in short:
        ticket.success(1000, 10)
    assert expected(it) == PRIOR
    long.success(1000, 1000)
    assert expected(it) > PRIOR


@given(st.permutations(list(range(6))))
def test_the_order_in_which_answers_come_does_not_matter(order: list[int]) -> None:
    found: list[float] = []
    for way in (list(range(6)), order):
        it = world()
        tickets = asked(it, *"aaabab".replace("a", "a/m ").replace("b", "b/m ").split())
        for number in way:
            tickets[number].success(1000, 10 * 3**number)
        found.append(expected(it))
    assert found[0] == found[1]


def failed(ticket: Ticket) -> None:
    ticket.failure("overloaded")


@pytest.mark.parametrize(
    "end",
    [Ticket.cancelled, Ticket.caller_error, Ticket.throttled, Ticket.outrun, failed],
    ids=["cancelled", "caller_error", "throttled", "outrun", "failure"],
)
def test_who_ends_without_an_answer_holds_nobody_up(end: Callable[[Ticket], None]) -> None:
    it = world()
    first, second = asked(it, "a/m", "b/m")
    second.success(1000, 10)
    end(first)
    assert expected(it) < PRIOR


def test_one_that_hangs_is_waited_for_so_long_and_counts_when_it_comes() -> None:
    it = world()
    (hanging,) = asked(it, "a/m")
    for _ in range(AWAITED - 1):
        it.begin("b/m").success(1000, 10)
    assert expected(it) == PRIOR
    it.begin("b/m").success(1000, 10)
    before = expected(it)
    assert before < PRIOR / 2
    hanging.success(1000, 1000)
    assert expected(it) > before
