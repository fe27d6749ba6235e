"""The balancer's own laws: exclusions, last resort, strategies, affinity, reset, snapshots."""

from __future__ import annotations

import json
from collections import Counter
from random import Random

import pytest
from dwa_world import Host, World, pair
from hypothesis import given
from hypothesis import strategies as st

from dwa import STRATEGIES, Balancer, Candidate, Params, Shape
from dwa.ticket import Ticket


def hosts(*names: str, **fields: object) -> World:
    return World([Host(Candidate(f"{name}/m", 1e-6, 4e-6, **fields)) for name in names])  # pyright: ignore[reportArgumentType] - forwarded


def test_ranking_needs_candidates_and_a_known_strategy() -> None:
    world = hosts("a")
    with pytest.raises(ValueError, match="need candidates"):
        world.balancer.rank([], Shape(10))
    with pytest.raises(ValueError, match="round_robin"):
        world.rank(strategy="clever")


def test_a_single_candidate_is_the_reason() -> None:
    ranking = hosts("a").rank()
    assert ranking.reason == "only_candidate"
    assert ranking.explain()[0]["weight"] == 1.0
    assert hosts("a").balancer.preview([Candidate("a/m")], Shape(1)).reason == "only_candidate"


def test_the_ranking_says_who_is_excluded_and_why() -> None:
    world = hosts("a", "b", "c", "d")
    for key in ("a/m", "b/m", "c/m", "d/m"):
        world.teach(key, 1.0, 5)
    world.fail("a/m", 0.1, 3)
    world.begin("b/m").throttled(20.0)
    world.balancer.observe_quota("c/m", remaining_requests=0, limit_requests=10, reset_requests_s=5)
    world.balancer.observe_quota("unknown/m", remaining_requests=0)
    ranking = world.rank()
    assert [candidate.key for candidate in ranking.candidates] == ["d/m"]
    assert {key: why.split()[0] for key, why in ranking.excluded.items()} == {
        "a/m": "breaker_open",
        "b/m": "rate_limited",
        "c/m": "quota_spent",
    }
    rows = ranking.explain()
    assert [row["key"] for row in rows] == ["d/m", "a/m", "b/m", "c/m"]
    assert rows[2]["state"] == "rate_limited for 20.0 s"
    assert rows[1]["loss"] is None
    assert world.weights() == {"a/m": 0.0, "b/m": 0.0, "c/m": 0.0, "d/m": 1.0}


def test_expected_costs_are_told_of_all_the_excluded_ones_too() -> None:
    dear = Host(Candidate("dear/m", 2e-6, 8e-6))
    world = World([dear, Host(Candidate("broken/m", 1e-6, 4e-6)), Host(Candidate("waiting/m", 1e-6, 4e-6))])
    world.teach("dear/m", 1.0, 40, output=500)
    world.fail("broken/m", 0.1, 3)
    world.begin("waiting/m").throttled(20.0)
    ranking = world.balancer.preview(world.candidates, Shape(1000, 500))
    assert [one.key for one in ranking.candidates] == ["dear/m"]
    costs = ranking.expected_costs()
    assert costs.keys() == {"dear/m", "broken/m", "waiting/m"}
    assert costs["dear/m"] == pytest.approx(1000 * 2e-6 + 500 * 8e-6, rel=0.05)
    assert costs["broken/m"] == costs["waiting/m"] == pytest.approx(costs["dear/m"] / 2)
    world.begin("dear/m").throttled(20.0)
    world.begin("broken/m").throttled(20.0)
    nobody = world.balancer.preview(world.candidates, Shape(1000, 500))
    assert (nobody.candidates, nobody.expected_costs()) == ([], pytest.approx(costs))
    alone = world.balancer.preview([Candidate("broken/m", 1e-6, 4e-6)], Shape(1000, 500))
    assert alone.expected_costs().keys() == {"broken/m"}


def test_max_concurrency_is_kept() -> None:
    world = World([Host(Candidate("a/m", max_concurrency=1)), Host(Candidate("b/m", 1e-3, 1e-3))])
    ticket = world.begin("a/m")
    assert world.rank().excluded == {"a/m": "at_max_concurrency"}
    ticket.cancelled()
    assert "a/m" not in world.rank().excluded


def test_last_resort_overrules_our_caution_first_and_the_broken_last() -> None:
    world = World(
        [Host(Candidate("broken/m")), Host(Candidate("full/m", max_concurrency=1)), Host(Candidate("limited/m"))]
    )
    world.fail("broken/m", 0.1, 3)
    world.begin("full/m")
    world.begin("limited/m").throttled(30.0)
    ranking = world.rank()
    assert ranking.reason == "last_resort"
    assert [candidate.key for candidate in ranking.candidates] == ["full/m", "broken/m"]
    assert ranking.retry_after == 0.0
    assert [row["weight"] for row in ranking.explain()] == [1.0, 0.0, 0.0]


def test_everyone_waiting_for_retry_after_leaves_nobody() -> None:
    world = hosts("a", "b")
    world.begin("a/m").throttled(30.0)
    world.begin("b/m").throttled(10.0)
    ranking = world.rank()
    assert ranking.candidates == []
    assert ranking.retry_after == pytest.approx(10.0)
    assert ranking.explain()[0]["weight"] == 0.0
    assert ranking.weights() == []
    assert world.weights() == {"a/m": 0.0, "b/m": 0.0}


def test_a_dear_losers_probe_waits() -> None:
    world = World([Host(Candidate("a/m", 1e-6, 4e-6)), Host(Candidate("b/m", 9e-6, 36e-6))])
    for key in ("a/m", "b/m"):
        world.teach(key, 1.0, 10)
    world.fail("b/m", 0.1, 3)
    world.now += 20.0
    ranking = world.rank()
    assert ranking.reason != "half_open_probe"
    assert ranking.excluded["b/m"] == "half_open"
    world.now += 60.0
    ranking = world.rank()
    assert ranking.reason == "half_open_probe"
    assert ranking.candidates[0].key == "b/m"
    assert ranking.explain()[0]["weight"] == 1.0


def test_a_dear_one_that_waits_keeps_no_other_from_its_probe() -> None:
    prices = {"d/m": 9e-6, "b/m": 1e-6, "a/m": 1e-6, "c/m": 1e-6, "e/m": 1e-6}
    world = World([Host(Candidate(key, price, 4 * price)) for key, price in prices.items()])
    for key in world.hosts:
        world.teach(key, 1.0, 10)
    for key in ("d/m", "b/m"):
        world.fail(key, 0.1, Params().dead_streak)
    world.now += 20.0
    ranking = world.rank()
    assert ranking.reason == "half_open_probe"
    assert ranking.candidates[0].key == "b/m"
    assert ranking.excluded["d/m"] == "half_open"


def test_a_dear_one_that_was_broken_before_a_restart_is_probed_at_once() -> None:
    """For how long it had waited by then nobody knows."""
    world = World([Host(Candidate("a/m", 1e-6, 4e-6)), Host(Candidate("b/m", 9e-6, 36e-6))])
    for key in world.hosts:
        world.teach(key, 1.0, 10)
    world.fail("b/m", 0.1, 3)
    after = World(world.hosts.values())
    after.balancer.restore(world.balancer.snapshot(), 1.0)
    assert after.rank().reason == "half_open_probe"


@pytest.mark.parametrize("seed", [7, 8])
def test_whoever_is_back_is_known_to_be_back_however_dear_and_however_many_broke_with_it(seed: int) -> None:
    """Of several that broke, those that take part all the same were asked nothing, and stayed half open for ever."""
    prices = {"a/m": 3e-6, "b/m": 3e-6, "c/m": 3e-6, "d/m": 1e-6}
    world = World([Host(Candidate(key, price, 4 * price)) for key, price in prices.items()], seed=seed)
    world.run(120.0, rate=1.0)
    for host in world.hosts.values():
        host.hangs = True
    world.run(15.0, rate=1.0)
    for host in world.hosts.values():
        host.hangs = False
    world.run(150.0, rate=1.0)
    assert {row.key: row.state for row in world.balancer.stats() if row.state not in ("closed", "ramp")} == {}


def test_a_probe_prefers_a_small_request() -> None:
    world = hosts("a", "b")
    for key in ("a/m", "b/m"):
        world.teach(key, 1.0, 10)
    for _ in range(20):
        world.rank()
    world.fail("b/m", 0.1, 3)
    world.now += 7.0
    large, small = Shape(60_000), Shape(1000, 20)
    assert world.balancer.rank(world.candidates, large).reason != "half_open_probe"
    assert world.balancer.rank(world.candidates, small).reason == "half_open_probe"


def test_a_probe_that_streams_is_not_lost_while_it_writes() -> None:
    world = hosts("a", "b")
    world.teach("b/m", 1.0, 10)
    world.fail("b/m", 0.1, 3)
    world.now += 8.0
    world.rank()
    probe = world.balancer.begin(world.hosts["b/m"].candidate, Shape(1000, stream=True))
    world.now += 0.3
    probe.first_token()
    world.now += 30.0
    assert world.rank().excluded["b/m"] == "half_open"
    probe.success(1000, 100, None)
    assert "b/m" not in world.rank().excluded


def outlive_one_probe(world: World, waited: float) -> Ticket:
    probe = world.begin("b/m")
    world.now += waited / 4
    assert world.rank().reason != "half_open_probe", "one at a time"
    assert world.rank().excluded["b/m"] == "half_open"
    world.now += waited
    return probe


@pytest.mark.parametrize(("failures_take", "waited"), [(0.1, 1.0), (5.0, 8.0)])
def test_a_probe_that_outlives_the_failures_it_is_about_is_not_waited_for(failures_take: float, waited: float) -> None:
    world = hosts("a", "b")
    for key in ("a/m", "b/m"):
        world.teach(key, 12.0, 10)
    world.fail("b/m", failures_take, 3)
    world.now += 8.0
    assert world.rank().reason == "half_open_probe"
    outlive_one_probe(world, waited)
    assert world.rank().reason == "half_open_probe", "one may be luck"
    probe = outlive_one_probe(world, waited)
    ranking = world.rank()
    assert ranking.reason != "half_open_probe"
    assert "b/m" not in ranking.excluded
    states = {row.key: row.state for row in world.balancer.stats()}
    assert states == {"a/m": "closed", "b/m": "ramp"}
    world.now += 60.0
    probe.outrun()
    assert {row.key: row.state for row in world.balancer.stats()} == states, (
        "it is no probe any more that could be lost"
    )


def test_a_probe_that_hangs_where_failures_were_quick_does_not_hold_the_slot() -> None:
    world = hosts("a", "b")
    for key in ("a/m", "b/m"):
        world.teach(key, 1.0, 10)
    world.fail("b/m", 0.1, 3)
    world.now += 8.0
    assert world.rank().reason == "half_open_probe"
    world.begin("b/m")
    world.now += 9.0
    assert world.rank().reason == "half_open_probe"


def test_a_hanging_probe_does_not_hold_the_slot() -> None:
    world = hosts("a", "b")
    for key in ("a/m", "b/m"):
        world.teach(key, 1.0, 10)
    waiting = [world.begin("b/m") for _ in range(6)]
    world.now += 10.0
    assert world.rank().excluded["b/m"].startswith("breaker_open")
    for ticket in waiting:
        ticket.failure("timed_out")
    world.now += 20.0
    assert world.rank().reason == "half_open_probe"
    world.begin("b/m")
    world.now += 0.3
    assert world.rank().excluded["b/m"] == "half_open"
    world.now += 9.0
    assert world.rank().excluded["b/m"].startswith("breaker_open")


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_every_strategy_ranks_all_once_and_honours_exclusions(strategy: str) -> None:
    world = hosts("a", "b", "c")
    for key in ("a/m", "b/m", "c/m"):
        world.teach(key, 1.0, 5)
    ranking = world.rank(strategy=strategy)
    assert sorted(candidate.key for candidate in ranking.candidates) == ["a/m", "b/m", "c/m"]
    assert sum(ranking.weights()) == pytest.approx(1.0)
    world.fail("b/m", 0.1, 3)
    ranking = world.rank(strategy=strategy)
    assert "b/m" not in [candidate.key for candidate in ranking.candidates]
    if strategy != "load_balanced":
        assert ranking.reason == f"strategy:{strategy}"


def test_each_strategy_orders_by_its_rule() -> None:
    world = World(
        [
            Host(Candidate("cheap/m", 1e-6, 1e-6, priority=2, weight=0.0)),
            Host(Candidate("fast/m", 9e-6, 9e-6, priority=1, weight=1.0)),
        ]
    )
    world.teach("cheap/m", 3.0, 20)
    world.teach("fast/m", 1.0, 20)
    world.begin("cheap/m")

    def first(strategy: str) -> str:
        return world.rank(strategy=strategy).candidates[0].key

    assert first("cost") == "cheap/m"
    assert first("latency") == first("priority") == first("weighted") == first("least_busy") == "fast/m"
    assert [first("round_robin") for _ in range(3)] in (
        ["cheap/m", "fast/m", "cheap/m"],
        ["fast/m", "cheap/m", "fast/m"],
    )
    assert set(Counter(first("random") for _ in range(50))) == {"cheap/m", "fast/m"}


def test_all_weights_zero_share_alike() -> None:
    world = hosts("a", "b", weight=0.0)
    assert world.rank(strategy="weighted").weights() == [0.5, 0.5]


def test_a_recovering_host_gets_a_quarter_of_its_traffic_under_any_strategy() -> None:
    world = World(
        [Host(Candidate("a/m", priority=1)), Host(Candidate("b/m", priority=2)), Host(Candidate("c/m", priority=3))]
    )
    world.fail("a/m", 0.1, 3)
    world.now += 8.0
    world.teach("a/m", 1.0)
    counts = Counter(world.rank(strategy="priority").candidates[0].key for _ in range(400))
    assert 60 < counts["a/m"] < 140
    weights = world.weights()
    assert weights["a/m"] == pytest.approx(0.25, abs=0.01)


def test_when_all_recover_at_once_nobody_is_held_back() -> None:
    world = hosts("a")
    world.fail("a/m", 0.1, 3)
    world.now += 5.0
    world.teach("a/m", 1.0)
    assert world.rank(strategy="priority").candidates[0].key == "a/m"
    assert world.weights() == {"a/m": pytest.approx(1.0)}


def test_a_session_stays_where_its_prompt_cache_is_warm_for_what_it_saves() -> None:
    world = World([Host(Candidate(f"{n}/m", 1e-6, 4e-6, price_cached=1e-7)) for n in "ab"])
    for key in ("a/m", "b/m"):
        world.teach(key, 1.0, 20)
    for _ in range(3):
        world.balancer.begin(world.hosts["b/m"].candidate, Shape(20_000), "sess").success(20_000, 50, None, 18_000)
    shape = Shape(20_000)
    ranking = world.balancer.rank(world.candidates, shape, sticky="sess")
    assert (ranking.candidates[0].key, ranking.reason) == ("b/m", "sticky_session")
    assert world.balancer.rank(world.candidates, shape, sticky="other").reason != "sticky_session"
    world.now += 1.0
    world.teach("b/m", 30.0, 12)
    world.balancer.begin(world.hosts["b/m"].candidate, Shape(20_000), "sess").success(20_000, 50, None, 18_000)
    assert world.balancer.rank(world.candidates, shape, sticky="sess").candidates[0].key == "a/m", "not at any price"
    world.now += 3600.0
    assert world.balancer.rank(world.candidates, shape, sticky="sess").reason != "sticky_session"


def test_a_provider_without_prompt_cache_keeps_nobody() -> None:
    world = World([Host(Candidate(f"{n}/m", 1e-6, 4e-6)) for n in "ab"])
    for _ in range(60):
        world.balancer.begin(world.hosts["b/m"].candidate, Shape(20_000), "sess").success(20_000, 50, None, 0)
    plain = world.balancer.preview(world.candidates, Shape(20_000)).explain()
    warm = world.balancer.preview(world.candidates, Shape(20_000), sticky="sess").explain()
    loss = {row["key"]: row["loss"] for row in plain}
    assert {row["key"]: row["loss"] for row in warm} == pytest.approx(loss, rel=0.01)


def test_sessions_and_routes_are_bounded() -> None:
    params = Params(sessions=2, routes=2)
    world = World([Host(Candidate("a/m"))], params=params)
    candidate = world.candidates[0]
    for i in range(5):
        shape = Shape(1000, route=f"route{i}")
        world.balancer.rank([candidate], shape)
        world.balancer.begin(candidate, shape, f"s{i}").success(1000, 10, None)
    lengths = world.balancer.snapshot()["lengths"]
    assert isinstance(lengths, dict)
    assert len(lengths["routes"]) == 2


def test_output_length_is_learned_per_route_and_capped_by_the_caller() -> None:
    world = hosts("a")
    candidate = world.candidates[0]
    for _ in range(60):
        world.balancer.begin(candidate, Shape(1000, route="essay")).success(1000, 2000, None)
        world.balancer.begin(candidate, Shape(1000, route="label")).success(1000, 4, None)

    def cost(shape: Shape) -> float:
        expected = world.balancer.preview([candidate], shape).explain()[0]["expected"]
        assert isinstance(expected, dict)
        return expected["cost"]

    assert cost(Shape(1000, route="essay")) > 3 * cost(Shape(1000, route="label"))
    assert cost(Shape(1000, 10, route="essay")) == pytest.approx(1000 * 1e-6 + 10 * 4e-6)


def test_reset_forgets_one_provider_or_all() -> None:
    world = World([Host(Candidate(key)) for key in ("x/one", "x/two", "y/one")])
    for key in world.hosts:
        world.teach(key, 1.0)
    assert world.balancer.reset("x") == 2
    assert world.balancer.reset("y/one") == 1
    assert world.balancer.reset("nobody") == 0
    assert world.balancer.stats() == []
    world.teach("x/one", 1.0)
    assert world.balancer.reset() == 1


def experienced() -> World:
    world = World(
        [Host(Candidate(f"{n}/m", 1e-6, 4e-6), seconds) for n, seconds in (("a", 1.0), ("b", 2.0), ("c", 3.0))]
    )
    world.run(30)
    return world


def test_snapshot_round_trip_through_json_keeps_what_was_learned() -> None:
    world = experienced()
    weights = world.weights()
    other = World(world.hosts.values(), seed=9)
    other.balancer.restore(json.loads(json.dumps(world.balancer.snapshot())), 0.0)
    assert other.weights() == pytest.approx(weights, rel=0.05)


def test_age_becomes_doubt() -> None:
    world = experienced()
    snapshot = world.balancer.snapshot()
    fresh, old = World(world.hosts.values()), World(world.hosts.values())
    fresh.balancer.restore(snapshot, 0.0)
    old.balancer.restore(snapshot, 7 * 86400.0)
    for other in (fresh, old):
        other.teach("c/m", 0.5, 3)
    assert old.weights()["c/m"] > fresh.weights()["c/m"]


def test_a_broken_host_comes_back_half_open_and_retry_after_keeps_its_end() -> None:
    world = experienced()
    world.fail("a/m", 0.1, 3)
    world.begin("b/m").throttled(60.0)
    snapshot = world.balancer.snapshot()
    other = World(world.hosts.values())
    other.balancer.restore(snapshot, 10.0)
    ranking = other.rank()
    assert ranking.reason == "half_open_probe"
    assert ranking.excluded["b/m"] == "rate_limited for 50.0 s"
    late = World(world.hosts.values())
    late.balancer.restore(snapshot, 100.0)
    assert "b/m" not in late.rank().excluded


REACH = {"late": 1.0, "right": 0.0, "wrong": 0.0}


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 99},
        {"lengths": None},
        {"deployments": {"a/m": {}}},
        {"deployments": [float("nan")]},
        {"deployments": {"a/m": {"price": float("inf")}}},
        {"reach": {"first_token": REACH}},
        {"reach": {"first_token": REACH, "whole": {"late": 1.0}}},
        {"reach": {"first_token": REACH, "whole": {**REACH, "late": "long"}}},
    ],
)
def test_damaged_snapshots_are_refused(damage: dict[str, object]) -> None:
    snapshot = {**experienced().balancer.snapshot(), **damage}
    with pytest.raises(ValueError, match="snapshot"):
        hosts("a").balancer.restore(snapshot, 0.0)


def test_an_age_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="age"):
        hosts("a").balancer.restore(experienced().balancer.snapshot(), -1.0)


def test_explaining_later_says_the_same() -> None:
    world = experienced()
    ranking = world.rank()
    before = ranking.explain()
    world.fail("a/m", 1.0, 2)
    world.teach("b/m", 9.0, 9)
    assert ranking.explain() == before


def test_preview_spends_nothing() -> None:
    world = experienced()
    snapshot = world.balancer.snapshot()
    for _ in range(100):
        world.balancer.preview(world.candidates, Shape(1000))
    assert world.balancer.snapshot() == snapshot


@given(
    st.lists(st.sampled_from(["ok", "fail", "cut", "429", "cancel", "bad", "open"]), max_size=60), st.integers(0, 99)
)
def test_any_history_leaves_finite_weights_and_a_sane_count(history: list[str], seed: int) -> None:
    clock = [0.0]
    balancer = Balancer(clock=lambda: clock[0], rng=Random(seed))
    rng = Random(seed)
    candidates = [Candidate("a/m", 1e-6, 4e-6), Candidate("b/m", 2e-6, 2e-6), Candidate("c/m")]
    pending = 0
    for what in history:
        clock[0] += rng.expovariate(1.0)
        ranking = balancer.rank(candidates, Shape(rng.randrange(1, 9000)))
        if not ranking.candidates:
            continue
        ticket = balancer.begin(ranking.candidates[0], Shape(500))
        clock[0] += rng.expovariate(2.0)
        match what:
            case "ok":
                ticket.success(500, 50, 0.001)
            case "fail":
                ticket.failure("overloaded")
            case "cut":
                ticket.failure("cut", caller_saw=True)
            case "429":
                ticket.throttled(rng.choice([None, 1.0]))
            case "bad":
                ticket.caller_error()
            case "cancel":
                ticket.cancelled()
            case _:
                pending += 1
    weights = balancer.weights(candidates, Shape(500))
    assert sum(weights.values()) == pytest.approx(1.0) or not any(weights.values())
    assert sum(stats.in_flight for stats in balancer.stats()) == pending


def test_two_alike_start_alike() -> None:
    assert set(pair().weights().values()) == {0.5}
