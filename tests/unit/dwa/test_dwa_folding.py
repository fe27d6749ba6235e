"""A decision that was folded, kept as JSON and read again explains the choice as the ranking itself does."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert

from dwa import STRATEGIES, Candidate, Decision, Objective, Slo, cheapest_under, sentence, unfolded
from dwa.folding import FOLDED, folded
from dwa.ranking import Ranking
from tests.unit.dwa.dwa_world import Host, World

OBJECTIVES = (
    Objective.of("balanced"),
    Objective("careful", 0.3, 0.3, 4.0, quality=1.0),
    cheapest_under("promised", Slo(2.0)),
)
#: Seven digits.
CLOSE = 2e-7


def hosts(*keys: str) -> World:
    return World([Host(Candidate(key, 1e-6, 4e-6)) for key in keys])


def kept(ranking: Ranking) -> Decision:
    """As somebody reads it from the log."""
    return convert(unfolded(json.loads(json.dumps(ranking.record()))), Decision)


def close(one: Any, other: Any) -> bool:
    """Alike to seven digits of whatever is largest there."""
    return one == pytest.approx(other, rel=CLOSE, abs=CLOSE)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: one.name)
def test_what_is_kept_explains_as_the_ranking_does(strategy: str, objective: Objective) -> None:
    world = hosts("a/m", "b/m", "c/m", "d/m")
    for key, number in (("a/m", 3), ("b/m", 1), ("c/m", 2)):
        world.teach(key, 0.3 * number, answers=number)
    ranking = world.rank(strategy=strategy, objective=objective)
    read, made = kept(ranking), ranking.decision()
    for name, value in asdict(made).items():
        found = getattr(read, name)
        assert close(found, value) if name in FOLDED else found == json.loads(json.dumps(value)), name
    assert sentence(read) == sentence(made)
    for one, other in zip(read.explain(), made.explain(), strict=True):
        assert (one["key"], one["state"]) == (other["key"], other["state"])
        # A chance is by differences in fortieths of a loss.
        assert one["weight"] == pytest.approx(other["weight"], abs=40 * CLOSE)
        for name in ("score", "loss", "terms", "expected"):
            assert close(one[name], other[name]), name
        assert sum(cast("dict[str, float]", one["terms"]).values()) == pytest.approx(one["loss"])


def test_among_a_hundred_it_takes_less_than_half_of_what_plain_lists_take() -> None:
    world = hosts(*(f"provider-{number}/model" for number in range(100)))
    for key in world.hosts:
        ticket = world.begin(key)
        world.now += 1.7
        ticket.success(1000, 90, None)
    ranking = world.rank()
    assert len(json.dumps(ranking.record())) < 0.5 * len(json.dumps(ranking.columns()))


@st.composite
def columns(draw: st.DrawFn) -> dict[str, list[float]]:
    size = draw(st.integers(0, 5))
    numbers = st.lists(st.floats(width=32, allow_nan=False), min_size=size, max_size=size)
    return {name: draw(numbers) for name in draw(st.lists(st.sampled_from(FOLDED), unique=True, min_size=1))}


@given(columns())
def test_numbers_of_four_bytes_come_back_as_they_were(lists: dict[str, list[float]]) -> None:
    assert unfolded(folded({"seed": 0.1}, lists)) == {"seed": 0.1, **lists}


def test_what_four_bytes_do_not_take_is_kept_as_it_is() -> None:
    assert folded({"seed": 0.1}, {"costs": [1e40, 1.0]}) == {"seed": 0.1, "costs": [1e40, 1.0]}


def test_nobody_could_be_tried() -> None:
    world = hosts("a/m")
    world.begin("a/m").throttled(30.0)
    ranking = world.rank()
    assert not ranking.candidates
    assert kept(ranking) == ranking.decision()


def test_rows_of_before_are_read_as_they_are() -> None:
    old: dict[str, object] = {"reason": "only_candidate", "keys": ["a/m"], "losses": [0.5]}
    assert unfolded(old) == old


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": "idle"},
        {"numbers": "AAAA"},
        {"columns": "idle", "numbers": 5},
        {"columns": "seed", "numbers": "AAAAAA=="},
        {"columns": "idle seconds", "numbers": "AAAAAA=="},
        {"columns": "idle", "numbers": "not base64!"},
        {"columns": "", "numbers": "AAAAAA=="},
    ],
    ids=str,
)
def test_what_nobody_folded_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind: a row is either read or not
        unfolded(wrong)


def test_a_candidate_is_told_whatever_it_is_called() -> None:
    strange = 'a "b"\n\u0000/m'
    assert kept(hosts(strange).rank()).keys == [strange]
