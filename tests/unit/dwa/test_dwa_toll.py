"""The toll on scarce quota: a shadow price that finds itself, and what it does to who is sent where."""

from __future__ import annotations

from collections import Counter, deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dwa import Balancer, Candidate, Shape, Ticket
from dwa.decision import Decision
from dwa.toll import MOST, PROPORTIONAL, Toll


@given(st.lists(st.tuples(st.floats(0.0, 600.0), st.floats(0.0, 1.0)), min_size=1))
def test_it_is_never_negative_and_bounded(looks: list[tuple[float, float]]) -> None:
    toll, now = Toll(), 0.0
    for passed, fill in looks:
        now += passed
        toll.adjust(now, fill)
        assert 0.0 <= toll.price <= MOST + PROPORTIONAL


@given(st.floats(0.0, 100.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_the_emptier_the_dearer(passed: float, one: float, other: float) -> None:
    prices: list[float] = []
    for fill in sorted((one, other)):
        toll = Toll()
        toll.adjust(passed, fill)
        prices.append(toll.price)
    assert prices[0] >= prices[1]


def test_a_quota_that_is_not_used_up_costs_nothing() -> None:
    toll = Toll()
    for second in range(600):
        toll.adjust(float(second), 0.7)
        assert toll.price == 0.0


def test_it_settles_where_as_much_is_asked_as_is_admitted() -> None:
    toll, level = Toll(), 3.0
    asked = 0.0
    for step in range(12_000):
        # Ten a second, whose gains are spread evenly over 0..0.5; three are admitted.
        wants = 10.0 * max(0.0, 1.0 - toll.price / 0.5)
        taken = min(wants * 0.1, level)
        level = min(level - taken + 0.3, 3.0)
        toll.adjust(step * 0.1, level / 3.0)
        asked += wants * 0.1 if step >= 6_000 else 0.0
    assert asked / 600.0 == pytest.approx(3.0, rel=0.05)


def test_time_at_rest_does_not_count() -> None:
    toll = Toll()
    toll.adjust(10.0, 0.0)
    before = toll.price
    toll.rest(500.0)
    toll.adjust(500.0, 0.0)
    assert toll.price == before


LONG, SHORT = Shape(4_000), Shape(400)


def busy() -> tuple[Counter[tuple[str, Shape]], list[Decision]]:
    """A bargain that admits two of ten requests a second beside a dearer host: who was answered where, the decisions.

    One prompt in ten is long and gains ten times as much by the lower price.
    """
    now = 0.0
    balancer = Balancer(clock=lambda: now, rng=Random(7))
    bargain, usual = Candidate("bargain/m", 0.3e-6, 1e-6), Candidate("usual/m", 1e-6, 3e-6)
    answered: Counter[tuple[str, Shape]] = Counter()
    waiting: deque[tuple[float, Ticket, Shape]] = deque()
    level = 4.0
    decisions: list[Decision] = []
    rng = Random(8)
    for turn in range(3_000):
        now = turn / 10
        while waiting and waiting[0][0] <= now:
            _, ticket, shape = waiting.popleft()
            ticket.success(shape.input_tokens, 100, None)
        level = min(level + 0.2, 4.0)
        shape = LONG if rng.random() < 0.1 else SHORT
        ranking = balancer.rank([bargain, usual], shape)
        decisions.append(ranking.decision())
        for candidate in ranking.candidates:
            ticket = balancer.begin(candidate, shape)
            if candidate is bargain and level < 1.0:
                ticket.throttled(1.0)
                continue
            level -= candidate is bargain
            waiting.append((now + 1.0, ticket, shape))
            answered[candidate.key, shape] += turn >= 1_000
            break
    return answered, decisions


def test_scarce_quota_goes_to_those_who_gain_most() -> None:
    answered, _ = busy()
    long, short = ({key: answered[key, shape] for key in ("bargain/m", "usual/m")} for shape in (LONG, SHORT))
    assert long["bargain/m"] > 2 * long["usual/m"], "first come, first served would give them one in five"
    used = (long["bargain/m"] + short["bargain/m"]) / 200.0
    assert used == pytest.approx(2.0, rel=0.15), "nothing that is admitted is left unused"


def test_it_is_part_of_the_loss_and_told_as_load() -> None:
    _, decisions = busy()
    decision = next(one for one in reversed(decisions) if one.tolls)
    place = decision.keys.index("bargain/m")
    assert [at for at, toll in decision.tolls if toll > 0.0] == [place]
    for i, loss in enumerate(decision.losses):
        assert sum(decision.terms(i).values()) == pytest.approx(loss)
    assert decision.terms(place)["load"] >= decision.tolls[0][1] > 0.0
