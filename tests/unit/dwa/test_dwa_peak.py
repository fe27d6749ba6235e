"""Peak-EWMA and power of two choices: what an ending teaches, and who is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import e

import pytest
from dwa_world import Host, World
from hypothesis import given
from hypothesis import strategies as st

from dwa import Candidate, Params, Ticket
from dwa.peak import PENALTY_S, TAU_S, PeakEwma
from dwa.share import draw_two

SECONDS = st.floats(0.0, 600.0)
ENDINGS = st.lists(st.tuples(st.booleans(), st.floats(0.0, 100.0), SECONDS), max_size=20)


def told(endings: list[tuple[bool, float, float]]) -> tuple[PeakEwma, float]:
    """A mean that has seen these (ok?, seconds since the last, seconds it took), and the time of the last."""
    peak, now = PeakEwma(4.0, 0.0), 0.0
    for ok, passed, seconds in endings:
        now += passed
        (peak.answered if ok else peak.failed)(now, seconds)
    return peak, now


def hosts(**seconds: float) -> World:
    """Hosts whose last answer took that long, all at the same moment."""
    world = World([Host(Candidate(f"{name}/m", 1e-6, 4e-6, first_token_s=1e-3, token_s=1e-6)) for name in seconds])
    tickets = {name: world.begin(f"{name}/m") for name in seconds}
    start = world.now
    for name, took in sorted(seconds.items(), key=lambda pair: pair[1]):
        world.now = start + took
        tickets[name].success(1000, 100, None)
    return world


# --- the mean -------------------------------------------------------------------------------------------------------


def test_one_slow_answer_is_believed_at_once_and_quick_ones_bring_it_down_slowly() -> None:
    peak = PeakEwma(1.0, 0.0)
    peak.answered(0.0, 9.0)
    assert peak.at(0.0) == 9.0
    peak.answered(TAU_S, 1.0)
    assert peak.at(TAU_S) == pytest.approx(9.0 / e + 1.0 * (1.0 - 1.0 / e))


def test_silence_decays_to_nothing_and_asking_changes_nothing() -> None:
    peak = PeakEwma(4.0, 0.0)
    assert [peak.at(TAU_S), peak.at(0.0), peak.at(TAU_S)] == pytest.approx([4.0 / e, 4.0, 4.0 / e])
    assert peak.at(1e9) == 0.0


@given(ENDINGS, st.floats(0.0, 100.0), SECONDS)
def test_fast_failure_costs_more_than_the_last_answer_however_slow_and_no_less_than_an_answer_as_fast(
    endings: list[tuple[bool, float, float]], passed: float, seconds: float
) -> None:
    (well, now), (ill, _) = told(endings), told(endings)
    now += passed
    usual = next((took for ok, _, took in reversed(endings) if ok), 4.0)
    well.answered(now, seconds)
    ill.failed(now, seconds)
    assert ill.at(now) >= usual + PENALTY_S - 1e-9
    assert ill.at(now) >= well.at(now) - 1e-9


@given(ENDINGS, st.floats(0.0, 100.0), SECONDS)
def test_no_ending_makes_a_host_cheaper_than_silence_would(
    endings: list[tuple[bool, float, float]], passed: float, seconds: float
) -> None:
    for ok in (True, False):
        peak, now = told(endings)
        silent = peak.at(now + passed)
        (peak.answered if ok else peak.failed)(now + passed, seconds)
        assert peak.at(now + passed) >= silent - 1e-9


@given(ENDINGS)
def test_the_mean_stays_between_nothing_and_the_worst_that_was_seen(endings: list[tuple[bool, float, float]]) -> None:
    peak, now = told(endings)
    worst = max([4.0, *(took for _, _, took in endings)])
    failed = any(not ok for ok, _, _ in endings)
    assert 0.0 <= peak.at(now) <= worst + PENALTY_S * failed + 1e-9


# --- who is taught what ---------------------------------------------------------------------------------------------


def peak_of(world: World, key: str) -> float:
    """The cost a ranking found, of a host with nothing in flight."""
    decision = world.rank(strategy="p2c_ewma").decision()
    return decision.peaks[decision.keys.index(key)]


def test_a_stranger_costs_what_the_configuration_says_of_it() -> None:
    world = World([Host(Candidate("a/m", first_token_s=2.0, token_s=0.05)), Host(Candidate("b/m"))])
    prior = Params()
    assert peak_of(world, "a/m") == pytest.approx(2.0 + 0.05 * prior.output_tokens)
    assert peak_of(world, "b/m") == pytest.approx(prior.first_token_s + prior.token_s * prior.output_tokens)


def test_answers_and_failures_teach() -> None:
    world = hosts(a=3.0, b=3.0)
    assert peak_of(world, "a/m") == 3.0
    world.fail("a/m", 0.0)
    assert peak_of(world, "a/m") == 3.0 + PENALTY_S
    world.teach("b/m", 20.0)
    assert peak_of(world, "b/m") == 20.0


@pytest.mark.parametrize("ending", [Ticket.throttled, Ticket.cancelled, Ticket.caller_error])
def test_refusals_hang_ups_and_callers_mistakes_teach_nothing(ending: Callable[[Ticket], None]) -> None:
    taught, untaught = hosts(a=3.0, b=4.0), hosts(a=3.0, b=4.0)
    ticket = taught.begin("a/m")
    taught.now += 30.0
    ending(ticket)
    # Later, when no rate limit keeps it out of the ranking any more.
    taught.now += 30.0
    untaught.now += 60.0
    assert peak_of(taught, "a/m") == peak_of(untaught, "a/m")


# --- the two choices ------------------------------------------------------------------------------------------------


@given(st.integers(2, 12))
def test_every_pair_is_drawn_alike(count: int) -> None:
    cells = count * (count - 1)
    drawn = Counter(frozenset(draw_two(count, (cell + 0.5) / cells)) for cell in range(cells))
    assert len(drawn) == cells // 2
    assert set(drawn.values()) == {2}
    assert all(len(pair) == 2 and max(pair) < count for pair in drawn)


@given(st.integers(2, 1000), st.floats(0.0, 1.0))
def test_a_pair_is_two_places_that_are_there(count: int, uniform: float) -> None:
    one, other = draw_two(count, uniform)
    assert one != other
    assert {one, other} <= set(range(count))


def test_of_two_the_cheaper_is_first_and_more_in_flight_is_dearer() -> None:
    world = hosts(quick=2.0, slow=3.0)
    first = Counter(world.rank(strategy="p2c_ewma").candidates[0].key for _ in range(50))
    assert first == {"quick/m": 50}
    world.begin("quick/m")
    assert world.rank(strategy="p2c_ewma").candidates[0].key == "slow/m"
    assert world.rank(strategy="p2c_ewma").reason == "strategy:p2c_ewma"


def test_the_rest_of_the_order_follows_by_cost() -> None:
    world = hosts(a=1.0, b=2.0, c=3.0, d=4.0)
    for _ in range(40):
        first, *rest = [candidate.key for candidate in world.rank(strategy="p2c_ewma").candidates]
        assert rest == sorted(rest)
        assert first != "d/m"


def test_the_odds_are_those_of_the_draw_and_are_told_as_they_were() -> None:
    world = hosts(a=1.0, b=2.0, c=3.0, d=4.0)
    ranking = world.rank(strategy="p2c_ewma")
    expected = [3 / 6, 2 / 6, 1 / 6, 0.0]
    assert ranking.weights() == pytest.approx(expected)
    drawn = Counter(world.rank(strategy="p2c_ewma").candidates[0].key for _ in range(3000))
    assert [drawn[f"{name}/m"] / 3000 for name in "abcd"] == pytest.approx(expected, abs=0.03)
    for _ in range(5):
        world.begin("a/m")
    world.now += 1.0
    assert ranking.weights() == pytest.approx(expected), "what changed since does not change the choice"


def test_a_single_candidate_is_certain() -> None:
    ranking = hosts(a=1.0).rank(strategy="p2c_ewma")
    assert [candidate.key for candidate in ranking.candidates] == ["a/m"]
    assert ranking.weights() == [1.0]
