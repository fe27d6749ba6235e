"""Several hosts silent at a time: what they have in common is to blame, more likely than all of them."""

from __future__ import annotations

from sys import getsizeof

import pytest
from dwa_world import Host, World, host

from dwa import Candidate, Ticket

WAITING = 8


def taught() -> World:
    """Three hosts that answer within a second, the first the cheapest."""
    prices = {"a/m": 1e-6, "b/m": 1.2e-6, "c/m": 1.5e-6}
    world = World([Host(Candidate(key, price, 4 * price)) for key, price in prices.items()])
    for key in world.hosts:
        world.teach(key, 1.0, 20)
    return world


def silent(world: World, *keys: str) -> dict[str, list[Ticket]]:
    """Each is asked several times and says nothing for ten seconds."""
    waiting: dict[str, list[Ticket]] = {key: [] for key in keys}
    for _ in range(WAITING):
        for key in keys:
            waiting[key].append(world.begin(key))
        world.now += 0.05
    world.now += 10.0
    world.rank()
    return waiting


def first_choices(world: World) -> set[str]:
    return {candidate.key for candidate in world.rank().candidates}


def test_one_that_is_silent_by_itself_is_left() -> None:
    world = taught()
    silent(world, "a/m")
    assert host(world, "a/m").breaker.hung
    assert first_choices(world) == {"b/m", "c/m"}


def test_of_two_that_are_silent_none_is_fled_while_the_third_has_shown_no_life() -> None:
    world = taught()
    silent(world, "a/m", "b/m")
    assert first_choices(world) == {"a/m", "b/m", "c/m"}
    world.teach("c/m", 1.0)
    assert first_choices(world) == {"c/m"}, "they hang: others answer meanwhile"


def test_two_that_fell_silent_one_after_the_other_have_nothing_in_common() -> None:
    world = taught()
    silent(world, "a/m")
    world.teach("b/m", 1.0)
    silent(world, "b/m")
    assert "b/m" in world.rank().excluded, "it answered when a/m was silent"


def test_nor_have_two_that_did_so_half_a_minute_apart() -> None:
    world = taught()
    silent(world, "a/m")
    world.now += 30.0
    silent(world, "b/m")
    assert "a/m" in world.rank().excluded


def test_life_from_before_they_fell_silent_proves_nothing() -> None:
    world = taught()
    old = world.begin("c/m")
    silent(world, "a/m", "b/m")
    old.success(1000, 100)
    assert first_choices(world) == {"a/m", "b/m", "c/m"}


def test_when_all_are_silent_they_are_asked_by_expected_loss() -> None:
    world = taught()
    silent(world, "a/m", "b/m", "c/m")
    ranking = world.rank()
    assert ranking.reason != "last_resort"
    assert len(ranking.candidates) == len(world.hosts)


@pytest.mark.parametrize("others", [(), ("b/m",)])
def test_a_late_answer_excuses_those_that_wait_where_others_are_silent_too(others: tuple[str, ...]) -> None:
    world = taught()
    waiting = silent(world, "a/m", *others)
    assert host(world, "a/m").breaker.state == "open"
    waiting["a/m"][0].success(1000, 100)
    assert (host(world, "a/m").breaker.state == "ramp") is bool(others)


def test_an_answer_in_time_excuses_nobody() -> None:
    world = taught()
    silent(world, "a/m", "b/m")
    late = world.begin("a/m")
    world.now += 0.5
    before = [ticket.due for ticket in host(world, "a/m").overdue.fresh]
    host(world, "a/m").overdue.put_off(late, world.now)
    assert [ticket.due for ticket in host(world, "a/m").overdue.fresh] == before


def test_silences_half_a_minute_apart_are_not_one() -> None:
    world = taught()
    for ticket in silent(world, "b/m")["b/m"]:
        ticket.failure("timed_out")
    world.teach("c/m", 1.0, 40)
    waiting = silent(world, "a/m")
    waiting["a/m"][0].success(1000, 100)
    assert host(world, "a/m").breaker.state == "open"


def waits(world: World, key: str, count: int = WAITING, *, told: list[Ticket]) -> None:
    """So many wait there, and note when they need not any longer."""
    for _ in range(count):
        ticket = world.begin(key)
        ticket.on_hang = lambda ticket=ticket: told.append(ticket)
        world.now += 0.05


def test_whoever_waits_at_a_host_that_hangs_is_told_once_others_have_answered_younger_ones() -> None:
    world, told = taught(), list[Ticket]()
    waits(world, "a/m", told=told)
    world.now += 10.0
    world.rank()
    assert host(world, "a/m").breaker.hung
    assert told == [], "nobody has shown life since"
    world.teach("b/m", 1.0)
    world.rank()
    assert len(told) == len(set(told)) == WAITING
    for ticket in told:
        ticket.failure("timed_out")
    world.now += 1.0
    world.rank()
    assert len(told) == WAITING


def test_whoever_is_not_overdue_itself_is_left_where_it_is() -> None:
    world, told = taught(), list[Ticket]()
    waits(world, "a/m", told=told)
    world.now += 10.0
    young = world.begin("a/m")
    young.on_hang = lambda: told.append(young)
    world.teach("b/m", 0.5)
    world.rank()
    assert young not in told
    assert len(told) == WAITING
    world.now += 10.0
    world.teach("b/m", 0.5)
    world.rank()
    assert told[-1] is young


def test_nobody_is_told_while_the_host_may_only_be_slow() -> None:
    world, told = taught(), list[Ticket]()
    waits(world, "a/m", 2, told=told)
    world.now += 4.0
    world.teach("b/m", 1.0)
    world.rank()
    assert not host(world, "a/m").breaker.hung
    assert told == []


def test_a_stream_that_has_begun_is_not_forsaken() -> None:
    world, told = taught(), list[Ticket]()
    spoken = world.begin("a/m")
    spoken.on_hang = lambda: told.append(spoken)
    spoken.first_token()
    waits(world, "a/m", told=told)
    world.now += 20.0
    world.teach("b/m", 1.0)
    world.rank()
    assert len(told) == WAITING
    assert spoken not in told


@pytest.mark.parametrize("gap_s", [0.0, 0.01], ids=["an answer settles all", "each ends by itself"])
@pytest.mark.parametrize("answered", [0, 1], ids=["the last is cancelled", "the last is answered"])
def test_what_has_ended_leaves_no_room_behind(answered: int, gap_s: float) -> None:
    world = World([Host(Candidate("a/m"))])
    waiting: list[Ticket] = []
    for _ in range(100):
        waiting.append(world.begin("a/m"))
        world.now += gap_s
    world.now += 1.0
    for place, ticket in enumerate(waiting):
        if place % 2 == answered:
            ticket.success(1000, 100, None)
        else:
            ticket.cancelled()
    # A dict keeps what it once needed: 4.6 kB here, of every deployment that was ever busy.
    assert getsizeof(host(world, "a/m").overdue.fresh) == getsizeof({})
