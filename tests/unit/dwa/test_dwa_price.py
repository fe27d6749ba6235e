"""Replicas hold one shadow price: it is learned once, nothing counts twice, and it outlives a restart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import exp, log1p
from typing import cast

import pytest
from dwa_world import Fleet, Host, World
from hypothesis import given
from hypothesis import strategies as st

from dwa import Candidate, Shape, Slo, SloStats, cheapest_under
from dwa.price import HALF_LIFE_S, WINDOW, Price, PriceState
from dwa.sharing import FRESH_S, ROUNDS
from dwa.slo import LENGTH_PRIOR

FIVE = cheapest_under("prompt", Slo(5.0))
ALLOWED = 0.05
#: Far from both bounds, so that no order of steps can reach one.
MIDDLE = PriceState(2.0, 0.5, WINDOW, WINDOW, 0.0)


def level(price: Price) -> float:
    """log(1 + μ)."""
    return log1p(price.value)


def middling() -> Price:
    price = Price(ALLOWED)
    price.restore(MIDDLE, 0.0)
    return price


# --- the law of one price


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=100), st.integers(1, 20))
def test_who_hears_of_all_has_the_price_of_who_saw_all(requests: Sequence[tuple[int, bool]], every: int) -> None:
    """Four replicas; a turn of everybody after so many requests."""
    four, alone = [middling() for _ in range(4)], middling()

    def turn() -> None:
        for place, (count, missed) in enumerate([price.turn() for price in four]):
            for other in four[:place] + four[place + 1 :]:
                other.hear(count, missed)

    for number, (place, missed) in enumerate(requests):
        four[place].finished(float(missed))
        alone.finished(float(missed))
        if number % every == 0:
            turn()
    turn()
    for price in four:
        assert level(price) == pytest.approx(level(alone))
        assert price.count == alone.count


@given(st.lists(st.booleans(), min_size=1, max_size=WINDOW), st.integers(0, WINDOW))
def test_within_a_window_the_share_is_that_of_all_who_finished(missed: Sequence[bool], told: int) -> None:
    price = Price(ALLOWED)
    heard, own = missed[:told], missed[told:]
    price.hear(len(heard), float(sum(heard)))
    for one in own:
        price.finished(float(one))
    assert price.misses == pytest.approx(sum(missed) / len(missed))


def test_prices_that_came_apart_meet_between_and_one_without_others_stays() -> None:
    low, high, alone = middling(), middling(), middling()
    high.restore(MIDDLE._replace(level=4.0), 0.0)
    for _ in range(200):
        states = low.state, high.state
        low.agree([states[1]])
        high.agree([states[0]])
        alone.agree([])
    assert level(low) == pytest.approx(level(high), abs=1e-3)
    assert 2.5 < level(low) < 3.5
    assert level(alone) == pytest.approx(2.0)


def test_what_is_slack_elsewhere_gives_the_price_up_as_fast_as_here() -> None:
    here, there = Price(ALLOWED), Price(ALLOWED)
    for price in (here, there):
        price.restore(MIDDLE._replace(misses=0.0), 0.0)
        for _ in range(20 * WINDOW):
            price.foresee(0.0)
    for _ in range(WINDOW):
        here.finished(0.0)
    there.hear(WINDOW, 0.0)
    assert level(here) < 0.8
    assert level(there) == pytest.approx(level(here), abs=0.1)


@given(st.floats(0.0, 1e7))
def test_age_takes_a_price_back_and_never_up(age: float) -> None:
    price = Price(ALLOWED)
    price.restore(MIDDLE, age)
    assert level(price) == pytest.approx(2.0 * 0.5 ** (age / HALF_LIFE_S), abs=1e-9)


# --- among balancers


def miss(world: World, times: int = 1) -> None:
    """Answers that came too late."""
    for _ in range(times):
        world.balancer.begin(Candidate("a/m"), Shape(1000), None, FIVE, world.now - 6.0).success(1000, 10, None)


def told(world: World) -> SloStats:
    (row,) = world.balancer.slos()
    return row


def length(world: World) -> float:
    """What is thought of the scatter of answers' lengths."""
    return world.balancer._slos.of(FIVE.name, cast("Slo", FIVE.slo)).length


def alike(one: World, other: World, rel: float = 1e-9) -> bool:
    """They hold the same price, and have seen the same."""
    ours, theirs = told(one), told(other)
    return (ours.within, ours.failed, ours.requests) == (theirs.within, theirs.failed, theirs.requests) and (
        ours.latency_price == pytest.approx(theirs.latency_price, rel=rel)
    )


def test_what_one_misses_all_pay_for_and_once() -> None:
    fleet = Fleet(3)
    miss(fleet.worlds[0], 40)
    fleet.exchange()
    rows = [told(world) for world in fleet.worlds]
    assert rows[0].latency_price > 0.5
    assert all(alike(world, fleet.worlds[0]) for world in fleet.worlds)
    assert all(length(world) > 3 * LENGTH_PRIOR for world in fleet.worlds)
    for _ in range(ROUNDS + 1):
        fleet.exchange()
    assert [told(world) for world in fleet.worlds] == rows


@pytest.mark.parametrize(("lost", "heard"), [(ROUNDS - 1, True), (ROUNDS, False)])
def test_lost_exchanges_lose_no_miss_for_as_long_as_rounds_are_told(lost: int, heard: bool) -> None:
    fleet = Fleet(2)
    miss(fleet.worlds[0], 40)
    for _ in range(lost):
        fleet.told()
    fleet.exchange()
    assert (told(fleet.worlds[1]).requests == 40) is heard


def test_who_is_new_takes_the_price_as_it_stands() -> None:
    fleet = Fleet(2)
    miss(fleet.worlds[0], WINDOW)
    fleet.exchange()
    miss(fleet.worlds[1], 20)
    fleet.exchange()
    for _ in range(ROUNDS + 1):  # its misses are no longer told, one by one
        fleet.exchange()
    late = World([Host(Candidate("a/m"))])
    replica = late.balancer.join("late")
    replica.hear(fleet.told(), 100.0)
    assert alike(late, fleet.worlds[0], rel=0.01)
    assert length(late) == pytest.approx(length(fleet.worlds[0]), rel=0.01) != LENGTH_PRIOR


def test_what_others_have_in_flight_raises_the_price_until_they_are_gone() -> None:
    fleet = Fleet(2)
    for world in fleet.worlds:
        world.teach("a/m", 20.0, 10)
    for _ in range(50):
        fleet.worlds[0].balancer.begin(Candidate("a/m"), Shape(1000), None, FIVE)
    fleet.wait(200.0)
    fleet.exchange()
    assert told(fleet.worlds[1]).latency_price == pytest.approx(told(fleet.worlds[0]).latency_price) != 0.0
    fleet.wait(FRESH_S + 0.1)
    fleet.replicas[1].hear({}, 100.0)
    assert told(fleet.worlds[1]).latency_price == 0.0


def test_a_reset_is_not_undone_by_those_who_have_not_heard_of_it() -> None:
    fleet = Fleet(3)
    miss(fleet.worlds[0], WINDOW)
    fleet.exchange()
    before = fleet.told()
    fleet.worlds[0].balancer.reset()
    fleet.replicas[0].announce_reset(None)
    fleet.replicas[0].hear(before, 100.0)
    assert [row.latency_price for row in fleet.worlds[0].balancer.slos()] in ([], [0.0])
    fleet.exchange()
    fleet.exchange()
    assert all(row.latency_price == 0.0 for world in fleet.worlds for row in world.balancer.slos())
    # And they go on together.
    miss(fleet.worlds[2], 40)
    fleet.exchange()
    assert all(alike(world, fleet.worlds[0]) for world in fleet.worlds)
    assert told(fleet.worlds[0]).latency_price > 0.5


def test_nor_is_the_reset_of_one_who_came_after_an_earlier_one() -> None:
    fleet = Fleet(2)
    for one in (*fleet.worlds, fleet.worlds[0]):
        one.balancer.reset()
    miss(fleet.worlds[0], WINDOW)
    fleet.exchange()
    before = fleet.told()
    late = World([Host(Candidate("a/m"))])
    replica = late.balancer.join("late")
    replica.hear(before, 100.0)
    assert told(late).latency_price > 0.5
    late.balancer.reset()
    replica.hear(before, 100.0)
    assert late.balancer.slos() == []


def test_another_promise_of_the_same_name_is_not_mixed_in() -> None:
    fleet = Fleet(2)
    other = cheapest_under(FIVE.name, Slo(20.0))
    fleet.worlds[1].balancer.begin(Candidate("a/m"), Shape(1000), None, other).success(1000, 10, None)
    before = told(fleet.worlds[1])
    miss(fleet.worlds[0], WINDOW)
    fleet.exchange()
    assert told(fleet.worlds[1]) == before


class Shop(World):
    """Sends under an SLO; `late` counts the answers that came after its time."""

    late = 0

    def _send(self, key: str) -> None:
        one = self.hosts[key]
        ticket = self.balancer.begin(one.candidate, Shape(1000), None, self.objective)
        took = one.seconds * exp(self.rng.gauss(0.0, one.spread))

        def answer() -> None:
            ticket.success(1000, 100, None)
            self.late += took > 5.0

        self.at(self.now + took, answer)


def eight() -> list[Shop]:
    cheap, dear = Candidate("cheap/m", 1e-6, 4e-6), Candidate("dear/m", 5e-6, 20e-6)
    return [Shop([Host(cheap, 8.0), Host(dear, 1.0)], objective=FIVE, seed=place) for place in range(8)]


def test_eight_learn_a_price_from_the_misses_of_one_and_hold_the_share_together() -> None:
    together, apart = eight(), eight()
    fleet = Fleet(8, worlds=together)
    for _ in range(240):
        for shop in (*together, *apart):
            shop.run(1.0, rate=4)
        fleet.exchange()
    sent = 8 * 240 * 4
    learned = sum(shop.late for shop in together)
    assert learned < 0.065 * sent
    assert learned < 0.8 * sum(shop.late for shop in apart)


# --- over restarts


def saved(world: World) -> dict[str, object]:
    return json.loads(json.dumps(world.balancer.snapshot()))


def test_a_price_survives_a_restart_and_fades_with_age() -> None:
    world, again, later, old = (World([Host(Candidate("a/m"))]) for _ in range(4))
    miss(world, WINDOW)
    again.balancer.restore(saved(world), 0.0)
    assert told(again) == told(world)
    later.balancer.restore(saved(world), HALF_LIFE_S)
    assert log1p(told(later).latency_price) == pytest.approx(log1p(told(world).latency_price) / 2)
    without = {name: part for name, part in saved(world).items() if name != "slos"}
    old.balancer.restore(without, 0.0)
    assert old.balancer.slos() == []


@pytest.mark.parametrize(
    "section",
    [
        {"prompt": [[5.0, 0.95, 0.01], [[1.0, 0.5], [0, 0, 0, 0, 0], 0.1]]},
        {"prompt": [[5.0, 2.0, 0.01], [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], 0.1]]},
        {"prompt": [[5.0, 0.95, 0.01], [["x", 0, 0, 0, 0], [0, 0, 0, 0, 0], 0.1]]},
        {"prompt": None},
        ["prompt"],
    ],
)
def test_a_damaged_section_is_refused(section: object) -> None:
    world = World([Host(Candidate("a/m"))])
    with pytest.raises(ValueError, match=r"snapshot|SLO"):
        world.balancer.restore({**saved(world), "slos": section}, 0.0)
