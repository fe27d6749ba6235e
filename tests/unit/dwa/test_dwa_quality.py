"""What people say of answers: heard, bounded, faded, and in the loss where the objective asks for it."""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random

import pytest
from dwa_world import Host, World, pair
from hypothesis import given
from hypothesis import strategies as st

from dwa import Balancer, Candidate, Objective, Shape
from dwa.quality import CROWD_CAP, HALF_LIFE_S, JUDGE, JUDGE_CAP, LEAN, PAIRS, SOURCE_CAP, SOURCES, Quality

CAREFUL = Objective("careful", 0.3, 0.3, 4.0, quality=1.0)
A = Candidate("a/m", quality=0.8)
scores = st.floats(0, 1)
people = st.integers(0, 6).map(lambda n: f"person-{n}")
#: (who, score, seconds until the next vote).
votes = st.lists(st.tuples(people, scores, st.floats(0, HALF_LIFE_S)), max_size=40)


def bound(cap: float) -> float:
    """The most that evidence of weight `cap` can move q, through both levels."""
    return 1.0 - (LEAN / (LEAN + cap)) ** 2


def taught(said: list[tuple[str, float, float]], route: str = "r") -> tuple[Quality, float]:
    quality, now = Quality(), 0.0
    for source, score, pause in said:
        quality.rate("a/m", route, score, source, 1.0, now)
        now += pause
    return quality, now


def test_without_votes_the_configuration_counts() -> None:
    assert Quality().of("r", 0.0, A) == A.quality


@given(votes)
def test_q_lies_between_what_was_configured_and_what_was_said(said: list[tuple[str, float, float]]) -> None:
    quality, now = taught(said)
    heard = [A.quality, *(score for _, score, _ in said)]
    assert min(heard) - 1e-9 <= quality.of("r", now, A) <= max(heard) + 1e-9


@given(votes, scores, st.lists(st.integers(0, 40), max_size=60))
def test_no_source_moves_q_by_more_than_its_cap(
    said: list[tuple[str, float, float]], score: float, places: list[int]
) -> None:
    """However often the angry one votes, and when: q differs from what the others say by a bounded share."""
    loud = list(said)
    for place in sorted(places):
        loud.insert(place, ("angry", score, 0.0))
    (calm, now), (stormy, same) = taught(said), taught(loud)
    assert now == pytest.approx(same)
    assert abs(stormy.of("r", now, A) - calm.of("r", now, A)) <= bound(SOURCE_CAP) + 1e-9


@given(st.integers(1, 300))
def test_a_crowd_of_invented_users_is_one_crowd(users: int) -> None:
    quality = Quality()
    for number in range(users):
        quality.rate("a/m", "r", 0.0, f"user-{number}", 1.0, 0.0, crowd="one caller")
    assert quality.votes("a/m", 0.0) <= CROWD_CAP + 1e-9
    assert A.quality - quality.of("r", 0.0, A) <= bound(CROWD_CAP) * A.quality + 1e-9


def test_the_judge_has_a_cap_of_its_own() -> None:
    quality = Quality()
    for _ in range(500):
        quality.rate("a/m", "r", 0.0, JUDGE, 1.0, 0.0)
    assert SOURCE_CAP < quality.votes("a/m", 0.0) <= JUDGE_CAP + 1e-9


def test_each_further_vote_of_a_source_counts_less() -> None:
    quality = Quality()
    weights = [quality.rate("a/m", "r", 1.0, "x", 1.0, 0.0) for _ in range(10)]
    assert weights[0] == 1.0
    assert all(later < earlier for earlier, later in pairwise(weights))
    assert sum(weights) < SOURCE_CAP


@given(st.lists(scores, max_size=20), st.randoms(use_true_random=False))
def test_the_order_in_which_sources_vote_does_not_matter(given_scores: list[float], chance: Random) -> None:
    said = [(f"person-{number}", score, 0.0) for number, score in enumerate(given_scores)]
    mixed = list(said)
    chance.shuffle(mixed)
    assert taught(mixed)[0].of("r", 0.0, A) == pytest.approx(taught(said)[0].of("r", 0.0, A))


@given(votes, st.randoms(use_true_random=False))
def test_the_order_of_a_sources_own_votes_matters_within_its_cap(
    said: list[tuple[str, float, float]], chance: Random
) -> None:
    at_once = [(source, score, 0.0) for source, score, _ in said]
    mixed = list(at_once)
    chance.shuffle(mixed)
    repeated = len({source for source, _, _ in said if [s for s, _, _ in said].count(source) > 1})
    apart = abs(taught(mixed)[0].of("r", 0.0, A) - taught(at_once)[0].of("r", 0.0, A))
    assert apart <= bound(repeated * SOURCE_CAP) + 1e-9


@given(st.lists(st.tuples(scores, st.floats(0, 3 * HALF_LIFE_S)), min_size=1, max_size=15))
def test_feedback_that_comes_late_counts_as_of_its_answer(said: list[tuple[float, float]]) -> None:
    """At once, answer by answer, or all of it at the end: the same q."""
    end = max(at for _, at in said)
    prompt, late = Quality(), Quality()
    for number, (score, at) in enumerate(sorted(said, key=lambda vote: vote[1])):
        prompt.rate("a/m", "r", score, f"person-{number}", 1.0, at)
    for number, (score, at) in enumerate(said):
        late.rate("a/m", "r", score, f"person-{number}", 1.0, end, age=end - at)
    assert late.of("r", end, A) == pytest.approx(prompt.of("r", end, A))


def test_votes_fade_by_half_each_half_life_and_silence_leads_home() -> None:
    quality, _ = taught([(f"person-{n}", 0.0, 0.0) for n in range(30)])
    before = quality.votes("a/m", 0.0)
    assert quality.votes("a/m", HALF_LIFE_S) == pytest.approx(before / 2)
    distances = [A.quality - quality.of("r", weeks * HALF_LIFE_S, A) for weeks in (0, 1, 2, 20)]
    assert all(later < earlier for earlier, later in pairwise(distances))
    assert distances[-1] < 1e-4


def test_a_route_with_votes_of_its_own_speaks_for_itself_and_others_lean_on_the_whole() -> None:
    quality = Quality()
    for number in range(60):
        quality.rate("a/m", "poems", 1.0, f"poet-{number}", 1.0, 0.0)
        quality.rate("a/m", "code", 0.0, f"coder-{number}", 1.0, 0.0)
    poems, code, new = (quality.of(route, 0.0, A) for route in ("poems", "code", "new"))
    assert code < new < poems
    assert quality.of("poems", 0.0, Candidate("b/m", quality=0.8)) == 0.8


@given(scores, scores)
def test_a_vote_thought_over_counts_as_if_it_had_been_right_at_once(first: float, second: float) -> None:
    changed, right = Quality(), Quality()
    weight = changed.rate("a/m", "r", first, "x", 1.0, 0.0)
    changed.revise("a/m", "r", second - first, weight, 1000.0, age=1000.0)
    right.rate("a/m", "r", second, "x", 1.0, 0.0)
    assert changed.of("r", 2000.0, A) == pytest.approx(right.of("r", 2000.0, A))


@given(votes, st.floats(-1, 1), st.floats(0, 1))
def test_no_revision_leaves_the_scale(said: list[tuple[str, float, float]], change: float, weight: float) -> None:
    """Not even of a vote that another process was taught."""
    quality, now = taught(said)
    quality.revise("a/m", "r", change, weight, now)
    quality.revise("b/m", "r", change, weight, now)
    assert 0.0 <= quality.of("r", now, A) <= 1.0
    assert quality.of("r", now, Candidate("b/m", quality=0.3)) == 0.3


def test_memory_is_bounded_and_keeps_the_recent() -> None:
    quality = Quality()
    for number in range(3 * PAIRS):
        quality.rate(f"p/{number}", f"route-{number}", 0.0, "x", 1.0, 0.0)
    for number in range(3 * SOURCES):
        quality.rate("a/m", "r", 0.0, f"person-{number}", 1.0, 0.0, crowd=f"crowd-{number}")
    kept = quality.snapshot(0.0)
    assert len(kept["routes"]) == PAIRS  # pyright: ignore[reportArgumentType] - a list
    assert quality.of(f"route-{3 * PAIRS - 1}", 0.0, Candidate(f"p/{3 * PAIRS - 1}")) < 1.0
    assert quality.of("route-0", 0.0, Candidate("p/0")) == 1.0
    assert json.dumps(kept).count("person-") == json.dumps(kept).count("crowd-") == SOURCES


@given(votes, st.floats(0, 2 * HALF_LIFE_S))
def test_a_snapshot_goes_on_where_it_was_taken(said: list[tuple[str, float, float]], age: float) -> None:
    quality, now = taught(said)
    restored = Quality()
    restored.restore(json.loads(json.dumps(quality.snapshot(now))), 5e6, age)
    later = quality.of("r", now + age, A)
    assert restored.of("r", 5e6, A) == pytest.approx(later)
    # Who has voted is remembered as well: a restart gives nobody a second voice.
    for known, at in ((quality, now + age), (restored, 5e6)):
        known.rate("a/m", "r", 0.0, "person-0", 1.0, at)
    assert restored.votes("a/m", 5e6) == pytest.approx(quality.votes("a/m", now + age), abs=0.02)


@pytest.mark.parametrize(
    ("score", "weight", "age"),
    [(1.1, 1, 0), (-0.1, 1, 0), (0.5, 0, 0), (0.5, 2, 0), (0.5, 1, -1), (float("nan"), 1, 0)],
)
def test_a_vote_beyond_the_scale_is_refused(score: float, weight: float, age: float) -> None:
    quality = Quality()
    with pytest.raises(ValueError, match="score"):
        quality.rate("a/m", "r", score, "x", weight, 0.0, age=age)
    assert quality.votes("a/m", 0.0) == 0.0


# --- in the balancer -------------------------------------------------------------------------------------------


def rated(objective: Objective, route: str = "") -> World:
    world = World([Host(Candidate("a/m", 1e-6, 4e-6)), Host(Candidate("b/m", 1e-6, 4e-6))], objective=objective)
    for number in range(20):
        world.balancer.rate("b/m", route, 0.0, f"person-{number}")
    return world


def test_bad_answers_drive_traffic_away_where_quality_is_weighed() -> None:
    counts = rated(CAREFUL).run(60.0)
    assert counts["a/m"] > 0.9 * counts.total()


def test_without_a_weight_nobody_is_judged_by_quality() -> None:
    weights = rated(pair().objective).weights()
    assert weights["a/m"] == pytest.approx(weights["b/m"])


def test_one_route_may_dislike_what_another_likes() -> None:
    world = World([Host(Candidate("a/m")), Host(Candidate("b/m"))])
    for number in range(20):
        world.balancer.rate("a/m", "poems", 0.0, f"poet-{number}")
        world.balancer.rate("b/m", "code", 0.0, f"coder-{number}")
    chosen = {
        route: world.balancer.preview(world.candidates, Shape(1000, route=route), CAREFUL).candidates[0].key
        for route in ("poems", "code")
    }
    assert chosen == {"poems": "b/m", "code": "a/m"}


def test_a_decision_tells_the_quality_it_used_and_its_terms_still_sum_to_the_loss() -> None:
    world = rated(CAREFUL)
    ranking = world.rank(objective=CAREFUL)
    decision = ranking.decision()
    world.balancer.rate("b/m", "", 0.0, "somebody later")
    assert dict(zip(decision.keys, decision.quality, strict=True)) == {"a/m": 1.0, "b/m": pytest.approx(0.25)}
    for row in decision.explain():
        assert sum(row["terms"].values()) == pytest.approx(row["loss"])  # pyright: ignore[reportAttributeAccessIssue] - a dict
    by_key = {row["key"]: row["terms"] for row in decision.explain()}
    assert by_key["b/m"]["quality"] == pytest.approx(0.75)  # pyright: ignore[reportIndexIssue] - a dict


def test_a_host_on_probation_is_judged_by_its_learned_quality_as_well() -> None:
    world = rated(CAREFUL)
    world.teach("a/m", 1.0, 20)
    world.fail("b/m", 0.1, 8)
    world.now += 60.0
    decision = world.rank(objective=CAREFUL).decision()
    assert len(decision.quality) == len(decision.keys) == len(decision.losses)


def test_stats_show_what_was_learned_over_all_routes() -> None:
    world = rated(CAREFUL, "r")
    world.rank()
    rows = {row.key: row for row in world.balancer.stats(CAREFUL)}
    assert (rows["a/m"].quality, rows["a/m"].votes) == (1.0, 0.0)
    assert rows["b/m"].quality == pytest.approx(0.5)
    assert rows["b/m"].votes == pytest.approx(20.0)


def test_quality_survives_a_restart_and_an_old_snapshot_lacks_it() -> None:
    world = rated(CAREFUL)
    world.rank()
    state = json.loads(json.dumps(world.balancer.snapshot()))
    for saved, expected in ((state, 0.25), ({k: v for k, v in state.items() if k != "quality"}, 1.0)):
        fresh = Balancer(clock=lambda: 0.0, rng=Random(1))
        fresh.restore(saved, 0.0)
        shape = Shape(1000)
        decision = fresh.preview(world.candidates, shape, CAREFUL).decision()
        assert decision.quality[decision.keys.index("b/m")] == pytest.approx(expected)


@pytest.mark.parametrize("section", [[], {"deployments": {"a/m": {}}, "routes": []}, {"deployments": {}}, {"a": 1}])
def test_a_damaged_section_is_refused(section: object) -> None:
    world = rated(CAREFUL)
    state = {**world.balancer.snapshot(), "quality": section}
    with pytest.raises(ValueError, match="snapshot"):
        Balancer(clock=lambda: 0.0, rng=Random(1)).restore(state, 0.0)


@pytest.mark.parametrize("target", ["b", "b/m", None])
def test_reset_forgets_votes_too(target: str | None) -> None:
    world = rated(CAREFUL)
    world.rank()
    world.balancer.reset(target)
    weights = world.weights()
    assert weights["a/m"] == pytest.approx(weights["b/m"])
