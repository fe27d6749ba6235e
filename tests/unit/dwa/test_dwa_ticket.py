"""Tickets: every ending once, and blame only where it belongs."""

from __future__ import annotations

import pytest
from dwa_world import Host, World, pair

from dwa import AlreadySettledError, Candidate, DeploymentStats, Shape


def row(world: World, key: str = "a/m") -> DeploymentStats:
    return next(stats for stats in world.balancer.stats() if stats.key == key)


@pytest.mark.parametrize("ending", ["success", "failure", "throttled", "caller_error", "cancelled"])
def test_a_ticket_settles_once_and_leaves_nothing_in_flight(ending: str) -> None:
    world = pair()
    arguments: dict[str, tuple[object, ...]] = {
        "success": (10, 10, 0.1),
        "failure": ("overloaded",),
        "throttled": (1.0,),
    }
    ticket = world.begin("a/m")
    assert ticket.key == "a/m"
    assert row(world).in_flight == 1
    getattr(ticket, ending)(*arguments.get(ending, ()))
    assert row(world).in_flight == 0
    with pytest.raises(AlreadySettledError, match="a/m"):
        ticket.cancelled()
    assert row(world).in_flight == 0


def test_leaving_unsettled_counts_as_cancelled() -> None:
    world = pair()
    with world.begin("a/m"):
        pass
    with pytest.raises(KeyError), world.begin("a/m"):
        raise KeyError
    with world.begin("a/m") as ticket:
        ticket.success(10, 10, 0.0)
    assert (row(world).cancelled, row(world).successes, row(world).in_flight) == (2, 1, 0)


def test_caller_errors_and_hang_ups_blame_nobody() -> None:
    world = pair()
    for key in ("a/m", "b/m"):
        world.teach(key, 1.0, 20)
    before = world.weights()
    for _ in range(50):
        world.begin("a/m").caller_error()
        world.begin("a/m").cancelled()
    assert world.weights() == pytest.approx(before, abs=1e-6)
    assert row(world).caller_errors == 50
    assert row(world).success_rate == 1.0


def test_a_refusal_is_no_error_and_no_latency() -> None:
    world = pair()
    world.teach("a/m", 1.0, 20)
    before = row(world)
    world.begin("a/m").throttled(None)
    after = row(world)
    assert (after.error_rate, after.latency) == (pytest.approx(before.error_rate), before.latency)
    world.now += 60
    assert row(world).expected_s == pytest.approx(before.expected_s)


def test_first_token_is_measured_once_and_sharpens_the_forecast() -> None:
    world = pair()
    for _ in range(30):
        ticket = world.balancer.begin(world.hosts["a/m"].candidate, Shape(1000, stream=True))
        world.now += 0.2
        ticket.first_token()
        world.now += 1.0
        ticket.first_token()
        ticket.success(1000, 100, None)
        ticket.first_token()
    stats = row(world)
    assert stats.first_token.p50 == pytest.approx(0.2, rel=0.1)
    assert stats.latency.mean == pytest.approx(1.2)
    assert stats.tokens_per_s == pytest.approx(100.0)
    assert stats.expected_s is not None


def test_a_streamed_answer_of_one_token_has_no_rate() -> None:
    world = pair()
    ticket = world.balancer.begin(world.hosts["a/m"].candidate, Shape(1000, stream=True))
    world.now += 0.2
    ticket.first_token()
    ticket.success(1000, 1, None)
    assert row(world).successes == 1


def test_a_streaming_host_that_hangs_is_found_by_its_missing_first_tokens() -> None:
    world = pair()
    for _ in range(40):
        ticket = world.balancer.begin(world.hosts["a/m"].candidate, Shape(1000, stream=True))
        world.now += 0.3
        ticket.first_token()
        ticket.success(1000, 1, None)
    for _ in range(10):
        world.balancer.begin(world.hosts["a/m"].candidate, Shape(1000, stream=True))
        world.now += 0.1
    world.now += 2.0
    assert world.rank().excluded["a/m"].startswith("breaker_open")


def test_answers_that_come_after_all_refute_a_hang() -> None:
    world = pair()
    world.teach("a/m", 1.0, 40)
    tickets = []
    for _ in range(20):
        world.now += 0.01
        tickets.append(world.begin("a/m"))
    world.now += 8.0
    assert "a/m" in world.rank().excluded
    for ticket in tickets[:3]:
        ticket.success(1000, 100, None)
    assert "a/m" in world.rank().excluded, "seventeen younger ones are still silent"
    tickets[-1].success(1000, 100, None)
    assert "a/m" not in world.rank().excluded
    assert row(world).state == "ramp"


def test_a_probe_that_tells_nothing_frees_its_slot() -> None:
    world = World([Host(Candidate("a/m"))])
    world.fail("a/m", 0.1, 3)
    world.now += 10.0
    assert world.rank().reason == "last_resort"
    world.begin("a/m").cancelled()
    world.begin("a/m").throttled(0.5)
    world.now += 1.0
    world.begin("a/m").success(1000, 100, None)
    assert row(world).state == "ramp"


def test_the_price_factor_ignores_free_and_absurd_bills() -> None:
    world = pair()
    world.begin("a/m").success(1000, 100, 1e9)
    world.balancer.begin(Candidate("free/m"), Shape(10)).success(10, 10, 0.5)
    expected = row(world).expected_cost
    assert expected is not None
    assert expected < 10 * (1000 * 1e-6 + 500 * 4e-6)
    assert row(world, "free/m").expected_cost == 0.0


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_recovering_host_gets_a_quarter_first_wherever_it_is_listed(place: int) -> None:
    world = World([Host(Candidate(f"{name}/m", 1e-6, 4e-6)) for name in "abc"])
    back = f"{'abc'[place]}/m"
    for key in world.hosts:
        world.teach(key, 1.0 if key == back else 2.0, 30)
    world.fail(back, 0.1, 4)
    world.now += 10.0
    while row(world, back).state != "half_open":
        world.rank()
        world.now += 0.1
    world.begin(back).success(1000, 100, None)
    assert row(world, back).state == "ramp"
    firsts = [world.rank().candidates[0].key for _ in range(400)]
    assert 0.15 < firsts.count(back) / 400 < 0.35
