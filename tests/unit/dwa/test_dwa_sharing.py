"""Replicas that tell each other: nothing counts twice, nothing lost, the broken left together, no herd."""

from __future__ import annotations

from random import Random

import pytest
from dwa_world import Fleet, Host, World, host

from dwa import Candidate, Ticket
from dwa.sharing import FRESH_S, ROUNDS, Replica


def test_what_one_learns_of_a_speed_the_others_believe() -> None:
    fleet = Fleet(2)
    fleet.worlds[0].teach("a/m", 8.0, 30)
    before = host(fleet.worlds[1], "a/m").latency.median(1000, 100, 1)
    fleet.wait(30 * 8.0)
    fleet.exchange()
    mine, theirs = (host(world, "a/m").latency.median(1000, 100, 1) for world in fleet.worlds)
    assert before < 4.0
    assert mine == pytest.approx(8.0, rel=0.1)
    assert theirs == pytest.approx(8.0, rel=0.15)


def test_a_first_token_is_told_though_nothing_else_happened_meanwhile() -> None:
    fleet = Fleet(2)
    ticket = fleet.worlds[0].begin("a/m")
    fleet.exchange()
    before = host(fleet.worlds[1], "a/m").latency.first
    fleet.wait(3.0)
    ticket.first_token()
    fleet.exchange()
    assert host(fleet.worlds[1], "a/m").latency.first > 1.5 * before


def test_a_round_heard_again_changes_nothing() -> None:
    fleet = Fleet(2)
    fleet.worlds[0].teach("a/m", 3.0, 10)
    told = fleet.told()
    listener = fleet.replicas[1]
    listener.hear(told, 100.0)
    once = host(fleet.worlds[1], "a/m")
    state, sent, rate = once.latency.state, once.sent, once.reliability.rate(fleet.now)
    listener.hear(told, 100.0)
    assert (once.latency.state, once.sent, once.reliability.rate(fleet.now)) == (state, sent, rate)


@pytest.mark.parametrize(("lost", "heard"), [(ROUNDS - 1, True), (ROUNDS, False)])
def test_lost_exchanges_lose_nothing_for_as_long_as_rounds_are_told(lost: int, heard: bool) -> None:
    fleet = Fleet(2)
    fleet.worlds[0].teach("a/m", 3.0, 10)
    for _ in range(lost):
        fleet.told()
    fleet.exchange()
    assert (host(fleet.worlds[1], "a/m").sent == 10) is heard


def test_a_breaker_that_opens_here_is_open_everywhere_and_one_probes_first() -> None:
    fleet = Fleet(8)
    fleet.worlds[3].fail("a/m", 0.1, 3)
    fleet.exchange()
    assert [host(world, "a/m").breaker.state for world in fleet.worlds] == ["open"] * 8
    assert all("a/m" in world.rank().excluded for world in fleet.worlds)
    first = host(fleet.worlds[3], "a/m").breaker.reopens_at
    assert all(
        host(world, "a/m").breaker.reopens_at > first + 1.0 for place, world in enumerate(fleet.worlds) if place != 3
    )


def test_evidence_adds_up_across_replicas() -> None:
    """No one of them has proof; together they have."""
    fleet = Fleet(3)
    for world in fleet.worlds:
        world.fail("a/m", 0.1, 1)
    assert {host(world, "a/m").breaker.state for world in fleet.worlds} == {"closed"}
    fleet.exchange()
    assert {host(world, "a/m").breaker.state for world in fleet.worlds} == {"open"}


def test_a_recovery_seen_by_one_lets_all_back_in() -> None:
    fleet = Fleet(4)
    fleet.worlds[0].fail("a/m", 0.1, 3)
    fleet.exchange()
    fleet.wait(2.0)
    for world in fleet.worlds:
        world.rank()
    prober = fleet.worlds[0]
    prober.begin("a/m").success(1000, 100)
    fleet.exchange()
    assert [host(world, "a/m").breaker.state for world in fleet.worlds] == ["ramp"] * 4


def test_an_older_transition_does_not_overrule_a_newer_one() -> None:
    fleet = Fleet(2)
    fleet.worlds[0].fail("a/m", 0.1, 3)
    old = fleet.told()
    fleet.wait(0.5)
    fleet.worlds[1].fail("a/m", 0.1, 3)
    fleet.wait(2.0)
    fleet.worlds[1].rank()
    fleet.worlds[1].begin("a/m").success(1000, 100)
    fleet.replicas[1].hear(old, 100.0)
    assert host(fleet.worlds[1], "a/m").breaker.state == "ramp"


def test_the_crowd_of_others_counts_and_is_forgotten_with_them() -> None:
    fleet = Fleet(3)
    for _ in range(20):
        fleet.worlds[0].begin("a/m")
    fleet.exchange()
    seen = host(fleet.worlds[1], "a/m")
    assert seen.crowd == 20
    assert fleet.worlds[1].begin("a/m").busy >= 21
    fleet.wait(FRESH_S + 0.1)
    silent = fleet.told()
    del silent["r0"]
    fleet.replicas[1].hear(silent, 100.0)
    assert seen.crowd == 1
    assert set(fleet.replicas[1].peers) == {"r2"}


def test_between_two_exchanges_others_are_taken_to_do_as_we_do() -> None:
    fleet = Fleet(5)
    fleet.exchange()
    mine = host(fleet.worlds[0], "a/m")
    for _ in range(3):
        fleet.worlds[0].begin("a/m")
    assert mine.crowd == 3 + 4 * 3


def test_a_retry_after_holds_for_all() -> None:
    fleet = Fleet(2)
    fleet.worlds[0].begin("a/m").throttled(30.0)
    fleet.exchange()
    assert "rate_limited" in fleet.worlds[1].rank().excluded["a/m"]


def test_a_reset_reaches_all_who_were_there_once() -> None:
    fleet = Fleet(3)
    for world in fleet.worlds:
        world.teach("a/m", 5.0, 10)
    fleet.exchange()
    fleet.worlds[0].balancer.reset("a")
    fleet.replicas[0].announce_reset("a")
    fleet.exchange()
    assert all("a/m" not in world.balancer._deployments for world in fleet.worlds)
    for world in fleet.worlds:
        world.rank()
        world.teach("a/m", 5.0, 3)
    fleet.exchange()
    assert all("a/m" in world.balancer._deployments for world in fleet.worlds)
    newcomer = World([Host(Candidate("a/m"))])
    newcomer.teach("a/m", 5.0, 3)
    late = newcomer.balancer.join("late")
    late.hear(fleet.told(), 100.0)
    assert "a/m" in newcomer.balancer._deployments


def test_who_was_restarted_under_the_same_name_is_heard_again() -> None:
    fleet = Fleet(2)
    for _ in range(5):
        fleet.exchange()
    reborn = World([Host(Candidate("a/m"))])
    reborn.now = fleet.now
    again = reborn.balancer.join("r0")
    reborn.rank()
    again.tell(100.0)
    reborn.teach("a/m", 2.0, 4)
    fleet.replicas[1].hear({"r0": again.tell(100.0)}, 100.0)
    assert host(fleet.worlds[1], "a/m").sent == 4


def test_another_version_or_an_unknown_host_is_passed_over() -> None:
    fleet = Fleet(1, "a")
    other = World([Host(Candidate("z/m"))])
    stranger = other.balancer.join("z")
    other.rank()
    stranger.tell(100.0)
    other.teach("z/m", 1.0, 3)
    foreign = {**stranger.tell(100.0), "version": 99}
    fleet.replicas[0].hear({"z": stranger.tell(100.0), "y": foreign}, 100.0)
    assert list(fleet.worlds[0].balancer._deployments) == ["a/m"]
    assert list(fleet.replicas[0].peers) == ["z"]


def test_alone_nothing_is_different() -> None:
    lonely, joined = (World([Host(Candidate(f"{name}/m")) for name in "abc"]) for _ in range(2))
    replica: Replica = joined.balancer.join("only")
    rng = Random(5)
    for _ in range(50):
        key, seconds = rng.choice(["a/m", "b/m", "c/m"]), rng.random() * 3
        for world in (lonely, joined):
            world.rank()
            world.teach(key, seconds)
        replica.hear({"only": replica.tell(0.0)}, 0.0)
    assert lonely.weights() == joined.weights()


def test_an_opening_heard_again_by_jittering_clocks_puts_off_no_probe() -> None:
    fleet = Fleet(4)
    fleet.worlds[0].fail("a/m", 0.1, 3)
    fleet.exchange()
    first = host(fleet.worlds[0], "a/m").breaker.reopens_at
    jitter = Random(3)
    for _ in range(4):
        fleet.wait(0.2)
        told = fleet.told()
        for one in fleet.replicas:
            one.hear(told, 100.0 + jitter.uniform(-0.01, 0.01))
    assert host(fleet.worlds[0], "a/m").breaker.reopens_at == first


def test_a_breaker_that_never_changed_is_no_news_however_young_its_clock() -> None:
    """A machine that has just been started tells times of its own beginning."""
    world, young = (World([Host(Candidate("a/m")), Host(Candidate("b/m"))]) for _ in range(2))
    young.now = 0.1
    here, there = world.balancer.join("here"), young.balancer.join("young")
    young.rank()
    world.fail("a/m", 0.1, 3)
    world.now += 0.5
    here.hear({"young": there.tell(world.now - young.now)}, 0.0)
    assert host(world, "a/m").breaker.state == "open"


def test_what_a_host_may_have_in_flight_is_shared_out_and_all_of_it_ones_own_again() -> None:
    fleet = Fleet(2)
    for world in fleet.worlds:
        world.hosts["a/m"].candidate = Candidate("a/m", max_concurrency=4)
        world.rank()

    def admitted(world: World) -> int:
        """How many more it sends there before it calls the host full."""
        tickets = []
        while "a/m" not in world.rank().excluded:
            tickets.append(world.begin("a/m"))
        for ticket in tickets:
            ticket.cancelled()
        return len(tickets)

    one, other = fleet.worlds
    assert admitted(one) == 4
    held = [one.begin("a/m") for _ in range(3)]
    fleet.exchange()
    # One place is left, and a fair share of four is two.
    assert admitted(other) == 2
    held.pop().cancelled()
    held.pop().cancelled()
    fleet.exchange()
    assert admitted(other) == 3
    # A limit that is reloaded is shared out at once, and not at the next exchange.
    other.hosts["a/m"].candidate = Candidate("a/m", max_concurrency=3)
    assert admitted(other) == 2
    other.hosts["a/m"].candidate = Candidate("a/m", max_concurrency=4)
    fleet.wait(FRESH_S + 1)
    fleet.replicas[1].hear({}, 100.0)
    assert admitted(other) == 4


def probed(world: World) -> Ticket:
    """The request that looks whether a is back."""
    world.rank()
    assert host(world, "a/m").breaker.state == "half_open"
    return world.begin("a/m")


def broken_for(seconds: float) -> tuple[Fleet, World, World]:
    """Two, of which the first has found a broken and told the other, so long ago."""
    fleet = Fleet(2)
    one, other = fleet.worlds
    one.fail("a/m", 0.1, 3)
    fleet.exchange()
    fleet.wait(seconds)
    return fleet, one, other


def states(fleet: Fleet) -> list[str]:
    return [host(world, "a/m").breaker.state for world in fleet.worlds]


def test_who_climbs_late_does_not_bring_back_what_others_have_found_broken_since() -> None:
    fleet, one, other = broken_for(8.0)
    probe = probed(one)
    fleet.wait(1.0)
    probe.success(1000, 100)
    fleet.exchange()
    assert states(fleet) == ["ramp", "ramp"]
    before = [one.begin("a/m") for _ in range(6)]
    fleet.wait(0.5)
    other.fail("a/m", 0.01, 3)
    fleet.wait(0.5)
    for ticket in before:
        ticket.success(1000, 100)
    assert states(fleet) == ["closed", "open"]
    fleet.exchange()
    assert states(fleet) == ["open", "open"]


def test_a_probe_from_before_anothers_opening_proves_nothing() -> None:
    fleet, one, other = broken_for(12.0)
    probe = probed(other)
    fleet.wait(0.1)
    probed(one).success(1000, 100)
    fleet.wait(0.5)
    one.fail("a/m", 0.01, 3)
    fleet.exchange()
    fleet.wait(0.5)
    probe.success(1000, 100)
    assert states(fleet) == ["open", "open"]
    # And it holds no place: the next one may look when it is time.
    fleet.wait(12.0)
    probed(other).success(1000, 100)
    assert states(fleet)[1] == "ramp"


def test_a_recovery_is_as_late_as_the_request_that_proved_it() -> None:
    fleet, one, other = broken_for(12.0)
    probe = probed(one)
    fleet.wait(0.5)  # more than the clocks of the two differ
    probed(other).success(1000, 100)
    other.fail("a/m", 0.01, 3)
    fleet.wait(0.5)
    probe.success(1000, 100)
    assert states(fleet) == ["ramp", "open"]
    fleet.exchange()
    assert states(fleet) == ["open", "open"]
