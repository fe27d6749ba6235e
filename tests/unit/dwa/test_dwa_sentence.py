"""A decision in words: every reason is told, nobody is left unnamed, and the numbers are the decision's."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import get_args

import pytest
from dwa_world import Host, World
from hypothesis import given
from hypothesis import strategies as st

from dwa import Candidate, Decision, Reason, Shape, sentence
from dwa.share import draw_two
from dwa.wording import count, listed, money, number, percent, seconds

REASONS: tuple[str, ...] = get_args(Reason)
TOLD = {
    "best_performance": "because its expected loss under the objective balanced was the least of two candidates",
    "near_equal_share": "by lot among near-equals",
    "exploration": "to see how well it does now",
    "half_open_probe": "as a probe",
    "out_of_turn": "out of its turn: it was held back lest it refuse",
    "only_candidate": "because it was the only candidate",
    "last_resort": "as a last resort, because no candidate was healthy",
    "sticky_session": "because the prompt cache of this session was expected to be warm there",
    "strategy:round_robin": "by the strategy round_robin, which takes the one with the longest time since its",
    "strategy:random": "by the strategy random, which draws among all alike",
    "strategy:priority": "by the strategy priority, which takes the one with the first place in the configured order",
    "strategy:weighted": "by the strategy weighted, which draws by the configured weights",
    "strategy:least_busy": "by the strategy least_busy, which takes the one with the fewest requests in flight",
    "strategy:latency": "by the strategy latency, which takes the one with the shortest expected time",
    "strategy:cost": "by the strategy cost, which takes the one with the least expected cost",
    "strategy:p2c_ewma": "by the strategy p2c_ewma, which takes the better of two drawn at random",
}
COST_UNIT = 100.0


def judged(
    *,
    reason: str = "best_performance",
    idle: tuple[float, ...] = (1.0, 1.0),
    load: tuple[float, ...] = (0.0, 0.0),
    costs: tuple[float, ...] = (0.001, 0.001),
    errors: tuple[float, ...] = (0.01, 0.01),
    quality: tuple[float, ...] = (0.9, 0.9),
    excluded: dict[str, str] | None = None,
) -> Decision:
    """A decision whose losses are made as those of the balancer are: one unit per second, 100 per USD."""
    whole = [one + more for one, more in zip(idle, load, strict=True)]
    worth = [s + COST_UNIT * c + 2.0 * (1.0 - q) for s, c, q in zip(whole, costs, quality, strict=True)]
    names = "abcdefghijkl"[: len(idle)]
    return Decision(
        reason=reason,
        strategy="load_balanced",
        objective="balanced",
        seed=0.5,
        keys=[f"{name}/m" for name in names],
        order=list(range(len(idle))),
        idle=list(idle),
        seconds=whole,
        costs=list(costs),
        quality=list(quality),
        errors=list(errors),
        worth=worth,
        losses=[own + 5.0 * error for own, error in zip(worth, errors, strict=True)],
        latency_unit=1.0,
        quality_unit=2.0,
        temperature=0.025,
        looks=0.01,
        excluded=excluded or {},
    )


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Any columns of equal length, any reason, whether or not they would go together."""
    many = draw(st.integers(0, 6))
    positive = st.floats(0.0, 1e9)
    share = st.floats(0.0, 1.0)

    def column(values: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(values, min_size=many, max_size=many))

    left = st.floats(0.1, 1e6).map(lambda time: f" for {time:.1f} s")
    state = st.sampled_from(
        ["breaker_open", "half_open", "rate_limited", "paced", "quota_spent", "at_max_concurrency", "resting"]
    )
    why = st.builds(str.__add__, state, st.just("") | left)
    names = [f"host{i}/m" for i in range(many)]
    keys = st.sampled_from([*names, "y/m", "z/m"])
    judgement = draw(st.booleans())
    idle = column(positive)
    return Decision(
        reason=draw(st.sampled_from([*REASONS, "unheard_of"])),
        strategy="load_balanced",
        objective="balanced",
        seed=draw(st.floats(0.0, 1.0, exclude_max=True)),
        keys=names,
        order=draw(st.permutations(range(many))),
        idle=idle if judgement else [],
        seconds=[one * 1.5 for one in idle] if judgement else [],
        costs=column(positive) if judgement else [],
        quality=column(share) if judgement else [],
        errors=column(share) if judgement else [],
        worth=column(positive) if judgement else [],
        losses=column(positive) if judgement else [],
        latency_unit=draw(positive),
        quality_unit=draw(positive),
        temperature=draw(share),
        looks=draw(share),
        ramping=draw(st.lists(st.tuples(st.integers(0, many - 1), share), max_size=1)) if many else [],
        peaks=column(positive) if draw(st.booleans()) else [],
        weights=column(share) if draw(st.booleans()) else None,
        excluded=draw(st.dictionaries(keys, why, max_size=4)),
    )


@given(decisions(), st.booleans())
def test_any_decision_is_told_in_one_paragraph_that_names_the_first_and_the_excluded(
    decision: Decision, planned: bool
) -> None:
    told = sentence(decision, planned=planned)
    assert told.endswith(".")
    assert "\n" not in told
    assert "  " not in told
    assert not re.search(r"[{}]|\de[+-]?\d|nan|inf\b|None (?!of)", told)
    if decision.order:
        assert told.startswith(decision.keys[decision.order[0]])
    for key in decision.excluded:
        assert key in told


@given(decisions())
def test_every_number_that_is_told_is_one_of_the_decision(decision: Decision) -> None:
    told = sentence(decision)
    if decision.order and decision.losses:
        first = decision.order[0]
        assert f"to take {seconds(decision.seconds[first])}," in told
        assert f"fail in {percent(decision.errors[first])} of" in told
        assert f"cost {money(decision.costs[first])}" in told or not decision.costs[first]


def test_the_list_of_reasons_is_closed() -> None:
    assert set(TOLD) == set(REASONS)


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_is_told_in_its_own_words(reason: str) -> None:
    assert sentence(judged(reason=reason)).startswith(f"a/m was chosen {TOLD[reason]}")


def test_a_choice_that_is_not_made_is_told_in_the_present() -> None:
    decision = judged(idle=(1.0, 1.02), excluded={"c/m": "paced for 0.4 s"})
    told = sentence(decision, planned=True)
    assert f"the least of two candidates; its chance to be first is {percent(decision.odds()[0])}." in told
    assert told.startswith("a/m would be chosen because its expected loss under the objective balanced is the least")
    assert "It is expected to take 1 s" in told
    assert "b/m, has" in told
    assert "Held back is c/m" in told
    assert " was " not in told


@pytest.mark.parametrize(
    ("decision", "difference"),
    [
        (judged(idle=(1.0, 1.5)), "its latency (1.5 s instead of 1 s)"),
        (judged(costs=(0.0004, 0.0123)), "its cost ($0.0123 instead of $0.0004)"),
        (judged(errors=(0.01, 0.125)), "its failures (12.5 % instead of 1 %)"),
        (judged(load=(0.25, 0.75)), "its load (0.75 s instead of 0.25 s)"),
        (judged(quality=(0.9, 0.5)), "its quality (0.5 instead of 0.9)"),
    ],
    ids=["latency", "cost", "errors", "load", "quality"],
)
def test_the_term_that_made_the_difference_is_told_in_numbers(decision: Decision, difference: str) -> None:
    ratio = decision.losses[1] / decision.losses[0]
    more = f"{number(ratio)} times as much" if ratio >= 2.0 else f"{percent(ratio - 1.0)} more"
    assert f"The runner-up, b/m, had {more} expected loss, mainly for {difference}." in sentence(decision)


def test_what_spoke_for_the_runner_up_is_told_unless_it_is_a_trifle() -> None:
    told = sentence(judged(idle=(1.5, 1.0), costs=(0.001, 0.021)))
    assert "mainly for its cost ($0.021 instead of $0.001), in spite of its latency (1 s instead of 1.5 s)." in told
    assert "in spite" not in sentence(judged(idle=(1.1, 1.0), costs=(0.001, 0.021)))


def test_a_runner_up_with_less_loss_is_said_to_have_less() -> None:
    told = sentence(judged(reason="strategy:cost", idle=(4.0, 1.0), costs=(0.0, 0.001)))
    assert re.search(r"b/m, had [\d.]+ % less expected loss, mainly for its latency \(1 s instead of 4 s\)", told), told
    assert "to cost nothing and" in told


def test_equals_are_said_to_be_equals() -> None:
    assert "The runner-up, b/m, had about the same expected loss." in sentence(judged())


def test_numbers_that_read_the_same_or_point_the_other_way_are_left_out() -> None:
    alike = replace(judged(), losses=[1.0, 1.5], worth=[0.5, 0.5])
    assert "had 50 % more expected loss, mainly for its failures." in sentence(alike)
    against = replace(judged(errors=(0.02, 0.01)), losses=[1.0, 1.5], worth=[0.5, 0.5])
    assert "mainly for its failures." in sentence(against)


def test_near_equals_are_told_their_distance_and_their_chance() -> None:
    decision = judged(reason="near_equal_share", idle=(1.05, 1.0))
    above = decision.losses[0] / decision.losses[1] - 1.0
    told = sentence(decision)
    assert f"was {percent(above)} above the least; its chance to be first was {percent(decision.odds()[0])}." in told


def test_exploration_says_what_it_gives_up_and_how_often() -> None:
    told = sentence(judged(reason="exploration", idle=(2.0, 1.0)))
    assert "now, although its expected loss was not the least (exploration, kept to about 1 % of the traffic)" in told
    assert "although" not in sentence(judged(reason="exploration", idle=(1.0, 2.0)))


@pytest.mark.parametrize(
    ("why", "words"),
    [
        ("breaker_open for 3.2 s", "breaker open, after failures or silence, for another 3.2 s"),
        ("half_open", "breaker half open: only a probe may go there"),
        ("rate_limited for 240.0 s", "rate limited for another 4 min"),
        ("paced for 0.4 s", "paced below its rate limit, free in 0.4 s"),
        ("quota_spent for 9000.0 s", "quota spent, renewed in 2.5 h"),
        ("at_max_concurrency", "as many requests in flight as it may have"),
        ("resting for a while", "resting for a while"),
    ],
)
def test_who_was_held_back_is_told_why_and_for_how_long(why: str, words: str) -> None:
    assert f"Held back was c/m ({words})." in sentence(judged(excluded={"c/m": why}))


def test_one_two_and_many_are_told_with_their_grammar() -> None:
    excluded = {"x/m": "half_open", "y/m": "half_open", "z/m": "half_open"}
    half = "(breaker half open: only a probe may go there)"
    told = sentence(judged(excluded=excluded))
    assert f"Held back were x/m {half}, y/m {half} and z/m {half}." in told
    assert "the only one of four candidates that could" in sentence(judged(reason="only_candidate", excluded=excluded))
    nobody = replace(judged(), keys=[], order=[], losses=[])
    assert sentence(nobody) == "There was no candidate."
    assert sentence(replace(nobody, excluded={"x/m": "half_open"})) == (
        f"The only candidate could not be tried. Held back was x/m {half}."
    )
    del excluded["z/m"]
    assert sentence(replace(nobody, excluded=excluded)) == (
        f"Neither of the two candidates could be tried. Held back were x/m {half} and y/m {half}."
    )
    assert sentence(replace(nobody, excluded=excluded | {"z/m": "half_open"}), planned=True).startswith(
        "None of the three candidates can be tried. Held back are"
    )


def test_the_recovering_are_told_with_their_part() -> None:
    told = sentence(replace(judged(idle=(1.0, 2.0)), ramping=[(1, 0.25)]))
    assert "was the least of those of two candidates that admitted this request." in told
    assert "Recovering, and admitting a part of its requests, was b/m (25 %)." in told


def test_a_probe_is_not_said_to_be_held_back_and_a_last_resort_says_what_speaks_against_all() -> None:
    state = {"a/m": "half_open", "z/m": "half_open"}
    assert "Held back was z/m" in sentence(judged(reason="half_open_probe", excluded=state))
    state = {"a/m": "paced for 2.0 s", "z/m": "paced for 2.0 s"}
    assert "Held back was z/m" in sentence(judged(reason="out_of_turn", excluded=state))
    told = sentence(judged(reason="last_resort", excluded={"a/m": "at_max_concurrency", "b/m": "breaker_open"}))
    assert "The next was b/m. Reasons against: a/m (as many requests in flight as it may have) and b/m (" in told


@given(st.floats(0.0, 1.0, exclude_max=True), st.permutations([1.0, 2.0, 3.0, 4.0]))
def test_the_two_that_were_drawn_are_named_with_their_costs(seed: float, peaks: list[float]) -> None:
    ranks = sorted(range(4), key=peaks.__getitem__)
    cheap, dear = (ranks[place] for place in sorted(draw_two(4, seed)))
    made = judged(idle=(1.0,) * 4, load=(0.0,) * 4, costs=(0.0,) * 4, errors=(0.0,) * 4, quality=(1.0,) * 4)
    order = [cheap, *(i for i in ranks if i != cheap)]
    told = sentence(replace(made, reason="strategy:p2c_ewma", seed=seed, peaks=peaks, order=order))
    names = "abcd"
    assert f"p2c_ewma: {names[cheap]}/m and {names[dear]}/m were drawn at random, and it had less peak latency" in told
    assert f"({seconds(peaks[cheap])} against {seconds(peaks[dear])})" in told


def test_the_balancers_own_decisions_are_told_as_they_were_made() -> None:
    world = World([Host(Candidate(f"{name}/m", 1e-6, 4e-6)) for name in "abcd"])
    for key, took in (("a/m", 1.0), ("b/m", 2.0), ("c/m", 3.0), ("d/m", 4.0)):
        world.teach(key, took, 20)
    for _ in range(20):
        decision = world.rank(strategy="p2c_ewma").decision()
        assert re.search(r"\w/m and \w/m were drawn at random, and (it had less|by) ", sentence(decision))
    world.fail("a/m", 0.1, 3)
    world.begin("b/m").throttled(30.0)
    told = sentence(world.balancer.preview(world.candidates, Shape(1000)).decision(), planned=True)
    assert "b/m (rate limited for another 30 s)" in told
    assert "c/m would be chosen" in told


# --- numbers and lists ----------------------------------------------------------------------------------------------


def test_numbers_have_three_digits_and_no_exponent() -> None:
    assert [number(value) for value in (0.0, 1.0, 1.2345, 0.000012345, 12345.0, 99.96)] == [
        *("0", "1", "1.23", "0.0000123", "12,300", "100")
    ]
    assert [seconds(value) for value in (0.0, 0.05, 0.1, 119.0, 120.0, 7200.0)] == [
        *("0 s", "50 ms", "0.1 s", "119 s", "2 min", "2 h")
    ]
    assert (money(0.00042), percent(0.025)) == ("$0.00042", "2.5 %")


def test_counts_and_lists_know_one_two_and_many() -> None:
    assert [count(many, "provider") for many in (0, 1, 2, 13)] == [
        *("no providers", "one provider", "two providers", "13 providers")
    ]
    assert [listed(items) for items in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
