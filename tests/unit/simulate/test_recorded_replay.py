"""Replays: near the facts under the recorded policy, plainly elsewhere under another, and honest about the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from math import isnan

import pytest
from recorded_world import EPOCH, HOSTS, KEYS, KNOWN, OBJECTIVES, plain, recorded

from dwa import BALANCED, CHEAPEST, FASTEST, Objective
from dwa.simulate.recorded import MEASURES, Asked, Fate, Outcome, Recorded, Tried, replay
from providers import errors
from providers.errors import Fault

SHORT = 1500


@cache
def log(strategy: str = "load_balanced", count: int = SHORT) -> tuple[Recorded, ...]:
    return tuple(recorded(count, strategy=strategy))


def replayed(found: Sequence[Recorded], asked: Asked | None = None) -> Outcome:
    outcome = replay(found, KNOWN, OBJECTIVES, asked or Asked())
    assert outcome is not None
    return outcome


@pytest.mark.parametrize("strategy", ["load_balanced", "round_robin", "cost"])
def test_the_recorded_policy_in_the_model_is_near_the_facts(strategy: str) -> None:
    outcome = replayed(log(strategy))
    assert (outcome.recorded.strategy, outcome.recorded.objective) == (strategy, BALANCED)
    for name, tolerance in (("mean_s", 8.0), ("p50_s", 8.0), ("p95_s", 12.0), ("cost_usd", 12.0)):
        assert abs(outcome.off[name]) < tolerance, name
    for key, share in outcome.facts.shares.items():
        assert outcome.recorded.shares[key].mean == pytest.approx(share, abs=0.1)


def test_the_same_policy_changes_nothing() -> None:
    outcome = replayed(log(), Asked("load_balanced", BALANCED))
    assert outcome.asked == outcome.recorded
    assert {change for change in outcome.change.values() if not isnan(change)} == {0.0}


def test_what_is_not_asked_for_stays_as_recorded() -> None:
    outcome = replayed(log("cost"), Asked(objective=FASTEST, seeds=1))
    assert (outcome.asked.strategy, outcome.asked.objective) == ("cost", FASTEST)
    outcome = replayed(log("cost"), Asked("random", seeds=1))
    assert (outcome.asked.strategy, outcome.asked.objective) == ("random", BALANCED)


def test_cost_is_cheaper_and_slower_than_latency() -> None:
    cheap, fast = replayed(log(), Asked("cost")), replayed(log(), Asked("latency"))
    assert cheap.asked.spread["cost_usd"].most < fast.asked.spread["cost_usd"].least
    assert cheap.asked.spread["mean_s"].least > fast.asked.spread["mean_s"].most
    assert cheap.change["cost_usd"] < -20.0
    assert fast.change["mean_s"] < -10.0
    assert next(iter(cheap.asked.shares)) == KEYS[2]


def test_objectives_pull_the_way_they_say() -> None:
    cheap, fast = replayed(log(), Asked(objective=CHEAPEST)), replayed(log(), Asked(objective=FASTEST))
    assert cheap.asked.spread["cost_usd"].mean < fast.asked.spread["cost_usd"].mean
    assert cheap.asked.spread["mean_s"].mean > fast.asked.spread["mean_s"].mean


def test_a_counterfactual_is_near_what_that_policy_really_does() -> None:
    asked = replayed(log("round_robin"), Asked("load_balanced")).asked.spread
    real = replayed(log("load_balanced")).facts
    assert asked["mean_s"].mean == pytest.approx(real.mean_s, rel=0.1)
    assert asked["cost_usd"].mean == pytest.approx(real.cost_usd, rel=0.15)


def test_an_outage_in_the_log_is_an_outage_in_the_replay() -> None:
    dead = replace(HOSTS[1], dead=True)
    broken = recorded(SHORT, strategy="round_robin", timeline=[(100.0, 1, dead), (220.0, 1, HOSTS[1])])
    outcome = replayed(broken, Asked("priority"))
    calm = replayed(log("round_robin"), Asked("priority"))
    assert outcome.recorded.spread["failovers"].least > calm.recorded.spread["failovers"].most
    alone = [one._replace(candidates=KEYS[1:2], attempts=one.attempts[-1:]) for one in broken if one.served == KEYS[1]]
    down = replayed(alone + [_failed(n) for n in range(100, 220, 2)])
    assert down.recorded.spread["error_share"].mean == pytest.approx(down.facts.error_share, rel=0.15)


def _failed(n: int) -> Recorded:
    tried = Tried(KEYS[1], "unreachable", EPOCH + n, 0.3, None, 0, 0, 0.0)
    return plain(n, outcome="error", blame="provider", prompt=0, answer=0, candidates=KEYS[1:2], attempts=(tried,))


def test_figures_lie_between_the_seeds() -> None:
    outcome = replayed(log(), Asked("random", seeds=4))
    for name in MEASURES:
        spread = outcome.asked.spread[name]
        assert spread.least <= spread.mean <= spread.most
    assert outcome.asked.spread["mean_s"].least < outcome.asked.spread["mean_s"].most
    assert sum(one.mean for one in outcome.asked.shares.values()) == pytest.approx(1.0)


def test_a_replay_is_the_same_every_time_and_in_any_order() -> None:
    assert replayed(log()[::-1], Asked("random")) == replayed(log(), Asked("random"))


def test_progress_is_told_until_the_end() -> None:
    told: list[tuple[int, int]] = []
    replay(log(count=50), KNOWN, OBJECTIVES, Asked("cost", seeds=2), lambda done, total: told.append((done, total)))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_nothing_to_replay_is_nothing() -> None:
    assert replay([], KNOWN, OBJECTIVES, Asked()) is None
    assert replay([plain(0, cache="hit", attempts=())], KNOWN, OBJECTIVES, Asked()) is None


@pytest.mark.parametrize(
    ("fate", "facts"),
    [
        ("answered", {}),
        ("cached", {"cache": "hit", "attempts": ()}),
        ("cached", {"cache": "coalesced", "attempts": ()}),
        ("left", {"outcome": "cancelled"}),
        ("unknown", {"attempts": ()}),
        ("caller", {"outcome": "error", "blame": "caller", "attempts": ()}),
        ("caller", {"outcome": "error", "blame": "policy", "attempts": ()}),
        ("caller", {"outcome": "error", "blame": "provider", "attempts": ("rejected",)}),
        ("failed", {"outcome": "error", "blame": "provider", "attempts": ("overloaded", "timed_out")}),
        ("failed", {"outcome": "error", "blame": "provider", "attempts": ()}),
        ("unknown", {"outcome": "error", "blame": "provider", "attempts": (), "candidates": ()}),
        ("left", {"outcome": "error", "blame": "gateway", "attempts": ("timed_out",)}),
    ],
)
def test_only_what_deployments_did_is_replayed(fate: Fate, facts: dict[str, object]) -> None:
    kinds = facts.pop("attempts", ("ok",))
    assert isinstance(kinds, tuple)
    tried = tuple(
        Tried(KEYS[0], kind, EPOCH, 1.0, None, 100, 50, 0.0, facts.get("blame") == "gateway") for kind in kinds
    )
    assert plain(0, attempts=tried, **facts).fate == fate


def test_every_kind_of_fault_means_what_the_gateway_makes_of_it() -> None:
    kinds = {one.kind: one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Fault)}
    for kind, fault in kinds.items():
        one = plain(0, outcome="error", blame="provider", attempts=(plain(0).attempts[0]._replace(outcome=kind),))
        assert one.fate == ("caller" if fault.blame == "caller" else "failed"), kind


def test_an_unanswered_request_gets_the_usual_lengths() -> None:
    found = [plain(n, prompt=100 + n, answer=50) for n in range(0, 60, 2)] + [_unanswered(n) for n in range(1, 20, 2)]
    outcome = replayed(found, Asked(seeds=1))
    assert outcome.recorded.requests == 40
    assert any(one.startswith("10 of 40 requests were never answered") for one in outcome.limits)


def _unanswered(n: int) -> Recorded:
    return plain(n, outcome="error", blame="provider", prompt=0, answer=0, attempts=())


def test_a_log_without_any_answer_can_be_replayed() -> None:
    outcome = replayed([_failed(n) for n in range(30)], Asked("random", seeds=1))
    assert outcome.recorded.spread["error_share"].mean == 1.0
    assert isnan(outcome.recorded.spread["mean_s"].mean)
    assert isnan(outcome.change["mean_s"])


def test_a_fallback_is_tried_when_the_first_tier_has_failed() -> None:
    found: list[Recorded] = []
    for n in range(60):
        failed = Tried(KEYS[0], "overloaded", EPOCH + n, 0.1, None, 0, 0, 0.0)
        saved = Tried(KEYS[1], "ok", EPOCH + n + 0.1, 1.0, None, 100, 50, 0.001)
        found.append(plain(n, route="r", candidates=KEYS[:1], attempts=(failed, saved), seconds=1.1))
    # Whether or not this one fell back itself: its route does.
    alone = Tried(KEYS[0], "overloaded", EPOCH + 70, 0.1, None, 0, 0, 0.0)
    found.append(plain(70, route="r", candidates=KEYS[:1], attempts=(alone,), outcome="error", blame="provider"))
    outcome = replayed(found, Asked(seeds=1))
    assert outcome.recorded.shares == {KEYS[1]: outcome.recorded.shares[KEYS[1]]}
    assert outcome.recorded.spread["error_share"].mean == 0.0
    assert outcome.recorded.spread["failovers"].mean == 61


def test_without_recorded_candidates_those_of_the_same_model_stand_in() -> None:
    other = plain(0).attempts[0]._replace(key=KEYS[1])
    found = [plain(n, candidates=()) for n in range(30)] + [
        plain(n, candidates=(), attempts=(other,)) for n in (40, 41)
    ]
    outcome = replayed(found, Asked("round_robin", seeds=1))
    assert outcome.asked.shares.keys() == {KEYS[0], KEYS[1]}
    assert outcome.asked.shares[KEYS[1]].mean == pytest.approx(0.5)
    assert any(one.startswith("The candidates of 32 of 32 requests") for one in outcome.limits)


def test_requests_choose_among_whom_they_had() -> None:
    found = [plain(n, candidates=KEYS[:1] if n % 2 else KEYS[1:]) for n in range(60)]
    outcome = replayed(found, Asked("random", seeds=1))
    assert outcome.asked.shares[KEYS[0]].mean == 0.5


def test_streams_break_as_often_as_they_did() -> None:
    found = [plain(n, stream=True, candidates=KEYS[:1]) for n in range(500)]
    for n in range(0, 500, 5):
        cut = found[n].attempts[0]._replace(outcome="cut", seconds=0.4)
        found[n] = found[n]._replace(outcome="error", blame="provider", attempts=(cut,))
    outcome = replayed(found)
    assert outcome.facts.error_share == 0.2
    assert outcome.recorded.spread["error_share"].mean == pytest.approx(0.2, abs=0.03)


def test_limits_name_what_this_log_lacks() -> None:
    throttled = plain(0).attempts[0]._replace(outcome="throttled", key="gone/m")
    found = [
        *(plain(n) for n in range(30)),
        plain(31, cache="hit", attempts=()),
        plain(32, outcome="error", blame="caller", attempts=()),
        plain(33, objective="custom"),
        plain(34, attempts=(throttled, plain(34).attempts[0]), candidates=(*KEYS, "gone/m")),
    ]
    said = " ".join(replayed(found, Asked("cost", seeds=1)).limits)
    assert "1 answered from the cache or by another's answer, 1 wrong in themselves or not allowed" in said
    assert "sound/m has 0 answers" in said
    assert "quick/m has" not in said
    assert "No longer configured, and replayed as recorded: gone/m." in said
    assert "cost nothing: gone/m." in said
    assert "Rate limits are replayed" in said
    assert "is the one of 97 % of the requests" in said
    assert "modelled" in said


def test_a_policy_whose_name_means_nothing_any_more_is_replaced_by_the_usual_one() -> None:
    outcome = replayed([plain(n, strategy="", objective="gone") for n in range(5)], Asked("cost", seeds=1))
    assert (outcome.recorded.strategy, outcome.recorded.objective) == ("load_balanced", BALANCED)
    own = Objective("gone", 1.0, 0.0, 0.0)
    renamed = replay([plain(n, objective="gone") for n in range(5)], KNOWN, {"gone": own}, Asked("cost", seeds=1))
    assert renamed is not None
    assert renamed.recorded.objective == own
