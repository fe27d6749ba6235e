"""A host that hangs for some of its requests: those are given up, and whoever is only late is left in peace."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import exp, log
from random import Random

import pytest
from dwa_world import Host, World, host
from hypothesis import given
from hypothesis import strategies as st

from dwa import Candidate, Shape, Ticket
from dwa.losing import _overtaken, lost, proof
from dwa.reach import Reach

RATE = 10.0
TIMEOUT = 60.0


class Scene:
    """Requests at a steady rate to the host a/m, while b/m answers others; who was told, and after how long."""

    def __init__(self, *, stream: bool = False, seed: int = 3, again: float | None = None) -> None:
        """`again`: seconds that b/m takes for whoever was given up at a/m; None: nobody is asked again."""
        self.again = again
        self.world = World([Host(Candidate("a/m", 1e-6, 4e-6)), Host(Candidate("b/m", 2e-6, 8e-6))])
        self.stream = stream
        self.rng = Random(seed)
        self.told: list[tuple[Ticket, float]] = []
        self.fled: list[Ticket] = []
        """Told for another reason: the breaker found that nobody is answered."""
        self.lost: list[Ticket] = []
        self.others_answer = True
        for key in self.world.hosts:
            self.world.teach(key, 1.0, 30)

    def run(self, seconds: float, takes: Callable[[int], float | None]) -> None:
        """`takes` tells of the nth request how long its answer takes, None for one that is lost."""
        world, start = self.world, self.world.now
        for n in range(int(seconds * RATE)):
            world.at(start + n / RATE, lambda n=n: self._send("a/m", takes(n)))
            if self.others_answer:
                world.at(start + n / RATE + 0.01, lambda: self._send("b/m", 1.0))
        world.run(seconds, rate=0.0)

    def _send(self, key: str, took: float | None, after: Ticket | None = None) -> None:
        world = self.world
        world.rank()
        shape = Shape(1000, stream=self.stream)
        ticket = world.balancer.begin(world.hosts[key].candidate, shape, after=after)
        ticket.on_hang = lambda: self._tell(ticket)
        if took is None:
            self.lost.append(ticket)
            world.at(world.now + TIMEOUT, lambda: self._end(ticket, lambda: ticket.failure("timed_out")))
            return
        took *= exp(self.rng.gauss(0.0, 0.2))
        if self.stream:
            world.at(world.now + 0.3 * took, lambda: self._end(ticket, ticket.first_token))
        world.at(world.now + took, lambda: self._end(ticket, lambda: ticket.success(1000, 100, None)))

    def _tell(self, ticket: Ticket) -> None:
        if host(self.world, "a/m").breaker.hung:
            self.fled.append(ticket)
        else:
            self.told.append((ticket, self.world.now - ticket.started))
        ticket.failure("timed_out")
        if self.again is not None:
            self._send("b/m", self.again, after=ticket)

    def _end(self, ticket: Ticket, ending: Callable[[], None]) -> None:
        if ticket.on_hang is not None:
            ending()


@pytest.mark.parametrize("every", [3, 5, 10, 20])
@pytest.mark.parametrize("stream", [False, True])
def test_lost_requests_are_given_up_long_before_their_timeout_and_no_others(every: int, stream: bool) -> None:
    scene = Scene(stream=stream)
    scene.run(120.0, lambda n: 1.0 if n % every else None)
    given_up = [ticket for ticket, _ in scene.told]
    assert {id(ticket) for ticket in given_up} <= {id(ticket) for ticket in scene.lost}
    due = [ticket for ticket in scene.lost if scene.world.now - ticket.started > TIMEOUT / 2]
    assert sum(ticket in given_up for ticket in due) > 0.9 * len(due)
    assert host(scene.world, "a/m").breaker.state == "closed"


def test_a_stream_is_given_up_sooner_than_an_answer_of_unknown_length() -> None:
    waits: list[float] = []
    for stream in (False, True):
        scene = Scene(stream=stream)
        scene.run(120.0, lambda n: 1.0 if n % 5 else None)
        waits.append(sorted(wait for _, wait in scene.told)[len(scene.told) // 2])
    assert waits[1] < waits[0] / 2


@pytest.mark.parametrize("factor", [2.0, 5.0, 10.0])
@pytest.mark.parametrize("stream", [False, True])
def test_a_host_that_becomes_slow_loses_nothing(factor: float, stream: bool) -> None:
    scene = Scene(stream=stream)
    scene.run(30.0, lambda _: 1.0)
    scene.run(60.0, lambda _: factor)
    scene.run(60.0, lambda _: 1.0)
    assert scene.told == []
    assert host(scene.world, "a/m").overdue.losing == 0.0


@pytest.mark.parametrize("stream", [False, True])
def test_stragglers_are_waited_for(stream: bool) -> None:
    scene = Scene(stream=stream)
    scene.run(300.0, lambda n: 1.0 if n % 50 else 9.0)
    assert scene.told == []


def test_that_younger_ones_are_answered_there_is_enough_and_no_other_host_need_have_been_asked() -> None:
    scene = Scene()
    scene.others_answer = False
    scene.run(50.0, lambda n: 1.0 if n % 5 else None)
    assert len(scene.told) > 0.5 * len(scene.lost)


def test_who_is_given_up_has_failed_as_any_other() -> None:
    scene = Scene()
    before = host(scene.world, "a/m").reliability.rate(scene.world.now)
    scene.run(50.0, lambda n: 1.0 if n % 5 else None)
    assert scene.told
    assert host(scene.world, "a/m").reliability.rate(scene.world.now) > before + 0.1


def test_it_is_forgotten_once_all_are_answered() -> None:
    scene = Scene()
    scene.run(60.0, lambda n: 1.0 if n % 5 else None)
    assert host(scene.world, "a/m").overdue.losing > 0.1
    scene.run(60.0, lambda _: 1.0)
    scene.told.clear()
    assert host(scene.world, "a/m").overdue.losing < 0.01
    scene.run(60.0, lambda n: 1.0 if n % 50 else 9.0)
    assert scene.told == []


@pytest.mark.parametrize("stream", [False, True])
def test_where_some_requests_take_long_at_any_host_they_are_soon_waited_for_again(stream: bool) -> None:
    scene = Scene(stream=stream, again=40.0)
    scene.run(100.0, lambda n: 1.0 if n % 5 else 40.0)
    first = len(scene.told)
    assert 0 < first <= 100, "those of the first forty seconds, until one of them was answered"
    scene.told.clear()
    scene.run(300.0, lambda n: 1.0 if n % 5 else 40.0)
    assert scene.told == []


def test_who_has_failed_elsewhere_before_is_waited_for() -> None:
    scene = Scene()
    scene.run(50.0, lambda n: 1.0 if n % 5 else None)
    world, a = scene.world, host(scene.world, "a/m")
    world.fail("b/m", 0.1)
    failed = world.begin("b/m")
    failed.failure("overloaded")
    told: list[Ticket] = []
    again, other = world.begin("a/m", after=failed), world.begin("a/m")
    again.on_hang, other.on_hang = lambda: told.append(again), lambda: told.append(other)
    a.overdue.losing = 0.2
    world.run(50.0, rate=0.0)
    world.teach("b/m", 1.0)
    world.rank()
    assert told == [other]


def test_whoever_was_not_overtaken_is_no_sign_of_it() -> None:
    scene = Scene()
    scene.run(20.0, lambda n: 1.0 if n < 100 else None)
    a = host(scene.world, "a/m")
    assert a.breaker.hung, "this one answers nobody, which its breaker sees"
    assert lost(a, scene.world.now) == []


def test_the_last_ones_before_it_was_left_are_given_up_too_once_another_answers() -> None:
    scene = Scene()
    scene.run(60.0, lambda n: 1.0 if n % 5 else None)
    scene.others_answer = False
    scene.run(0.2, lambda _: None)
    world, last = scene.world, {id(ticket) for ticket in scene.lost[-2:]}
    world.run(30.0, rate=0.0)
    world.rank()
    assert not last & {id(ticket) for ticket, _ in scene.told}, "nobody has answered since"
    world.teach("b/m", 1.0)
    world.rank()
    assert last <= {id(ticket) for ticket, _ in scene.told}


def losing(*, stream: bool = False, share: float = 0.2) -> tuple[World, Ticket, list[Ticket]]:
    """A host that is known to lose some, whoever waits there, and who is told."""
    world = Scene().world
    host(world, "a/m").overdue.losing = share
    told: list[Ticket] = []
    ticket = world.balancer.begin(world.hosts["a/m"].candidate, Shape(1000, stream=stream))
    ticket.on_hang = lambda: told.append(ticket)
    return world, ticket, told


@pytest.mark.parametrize("stream", [False, True])
def test_right_after_its_dispatch_it_is_expected_when_it_is_due(stream: bool) -> None:
    world, ticket, _ = losing(stream=stream)
    a = host(world, "a/m")
    assert a.overdue.expects(ticket, a.latency) == pytest.approx(ticket.due)


SHARP, WIDE = 7.0, 0.7


@pytest.mark.parametrize(("sharpness", "times"), [(SHARP, 1.9), (WIDE, 3.0)])
@pytest.mark.parametrize(("before", "since"), [(1.0, 4.0), (4.0, 1.0)])
def test_of_two_forecasts_the_longer_counts(before: float, since: float, sharpness: float, times: float) -> None:
    world = Scene().world
    world.teach("a/m", before, 60)
    ticket, told = world.begin("a/m"), list[Ticket]()
    ticket.on_hang = lambda: told.append(ticket)
    a = host(world, "a/m")
    while world.now - ticket.started < 4.0:
        others = [world.begin("a/m") for _ in range(60)]
        world.now += since
        for other in others:
            other.success(1000, 100)
    a.overdue.losing, ticket.sharpness = 0.2, sharpness
    world.now = ticket.started + times * exp(max(ticket.due, a.overdue.expects(ticket, a.latency)))
    world.rank()
    assert told == [], "before twice its time nobody is late, however sharp the forecast"
    world.now += 200.0
    world.rank()
    assert told == [ticket]


def test_a_stream_may_stray_for_twenty_medians() -> None:
    world, ticket, told = losing(stream=True)
    strays = host(world, "a/m").overdue.strays
    strays.share = 0.2
    median = exp(ticket.due + strays.usual)
    for factor, expected in ((10.0, []), (30.0, [ticket])):
        world.now = ticket.started + factor * median
        world.teach("a/m", 0.001)
        host(world, "a/m").overdue.losing = 0.2
        world.now += 0.2
        world.rank()
        assert told == expected


@pytest.mark.parametrize("wrong", [True, False])
@pytest.mark.parametrize(("stream", "margin"), [(False, 1.0), (True, 2.0)])
def test_where_it_was_wrong_nobody_is_lost_before_the_latest_answers_and_no_first_token_before_twice_that(
    stream: bool, margin: float, wrong: bool
) -> None:
    for factor, count in ((0.9, int(not wrong)), (1.2, 1)):
        world, ticket, told = losing(stream=stream)
        a = host(world, "a/m")
        reach = a.traffic.first_token if stream else a.traffic.whole
        reach.late(log(50.0), world.now)
        reach.judged(world.now, wrong=wrong)
        world.now += 50.0 * exp(ticket.due) * margin * factor
        world.teach("b/m", 0.001)
        world.now += 0.2
        world.rank()
        assert len(told) == count


@pytest.mark.parametrize("stream", [False, True])
def test_who_waits_no_longer_than_the_latest_answers_proves_nothing(stream: bool) -> None:
    for latest, proven in ((0.0, True), (log(60.0), False)):
        scene = Scene(stream=stream)
        traffic = host(scene.world, "a/m").traffic
        (traffic.first_token if stream else traffic.whole).late(latest, scene.world.now)
        scene.run(15.0, lambda n: 1.0 if n % 5 else None)
        assert bool(scene.told) is proven


@pytest.mark.parametrize("stream", [False, True])
def test_one_answer_that_came_late_keeps_the_lost_waiting_no_longer(stream: bool) -> None:
    scene = Scene(stream=stream, again=1.0)
    scene.run(60.0, lambda n: 1.0 if n % 5 else None)
    traffic = host(scene.world, "a/m").traffic
    before = sorted(wait for _, wait in scene.told)[len(scene.told) // 2]
    scene.told.clear()
    for reach in (traffic.first_token, traffic.whole):
        reach.late(log(60.0), scene.world.now)
    scene.run(60.0, lambda n: 1.0 if n % 5 else None)
    assert len(scene.told) > 80
    assert sorted(wait for _, wait in scene.told)[len(scene.told) // 2] < 2.0 * before


def verdicts(reach: Reach, now: float) -> tuple[float, float]:
    """How many were given up rightly, and wrongly."""
    state = reach.snapshot(now)
    return state["right"], state["wrong"]


@pytest.mark.parametrize(("takes", "wrong"), [(1.0, False), (60.0, True)])
@pytest.mark.parametrize("stream", [False, True])
def test_whether_giving_up_was_right_is_told_by_the_next_host(stream: bool, takes: float, wrong: bool) -> None:
    world, ticket, told = losing(stream=stream)
    world.now += 20.0 * exp(ticket.due)
    world.teach("b/m", 1.0)
    world.rank()
    assert told == [ticket]
    ticket.failure("timed_out")
    again = world.balancer.begin(world.hosts["b/m"].candidate, Shape(1000, stream=stream), after=ticket)
    world.now += takes * exp(again.due)
    if stream:
        again.first_token()
    again.success(1000, 100)
    traffic = host(world, "a/m").traffic
    reaches = (traffic.first_token, traffic.whole) if stream else (traffic.whole, traffic.first_token)
    assert [verdicts(reach, world.now) for reach in reaches] == [(not wrong, wrong), (0.0, 0.0)]
    assert (reaches[0].bound(world.now) > 0.0) is wrong


def test_a_host_that_answers_nobody_is_no_such_verdict() -> None:
    scene = Scene(again=1.0)
    scene.run(20.0, lambda n: 1.0 if n < 100 else None)
    assert scene.fled
    assert all(ticket.late is None for ticket in scene.fled)
    assert verdicts(host(scene.world, "a/m").traffic.whole, scene.world.now) == (0.0, 0.0)


def test_in_a_quiet_hour_they_are_found_by_whoever_looks_after_them() -> None:
    world, ticket, told = losing()
    world.now += 50.0
    world.teach("b/m", 1.0)
    host(world, "a/m").review_at = world.now + 0.05
    idle = host(world, "b/m").review_at
    world.balancer.review()
    assert told == [], "no more often than while others ask"
    world.now += 0.1
    world.balancer.review()
    assert told == [ticket]
    assert host(world, "b/m").review_at == idle, "nobody waits there"


def test_one_that_few_overtook_is_lost_too_when_it_is_later_than_answers_vary() -> None:
    world, ticket, told = losing(share=0.1)
    younger = [world.begin("a/m") for _ in range(5)]
    world.now += exp(ticket.due)
    for one in younger:
        one.success(1000, 100)
    for times, expected in ((10.0, []), (20.0, [ticket])):
        world.now = ticket.started + times * exp(ticket.due)
        host(world, "a/m").overdue.losing = 0.1
        world.teach("b/m", 0.001)
        world.now += 0.2
        world.rank()
        assert told == expected


def test_a_long_answer_is_no_late_first_token() -> None:
    world, ticket, _ = losing(stream=True)
    world.now += 0.3
    ticket.first_token()
    world.now += 100.0
    ticket.success(1000, 5000)
    assert host(world, "a/m").traffic.first_token.latest(world.now) == 0.0


def test_the_latest_answer_is_remembered_and_half_of_it_forgotten_in_an_hour() -> None:
    reach = Reach()
    assert reach.latest(5.0) == 0.0
    reach.late(3.0, 5.0)
    reach.late(1.0, 5.0)
    assert reach.latest(5.0) == 3.0
    assert reach.latest(3605.0) == pytest.approx(1.5)
    reach.late(1.0, 3605.0)
    assert reach.latest(3605.0) == pytest.approx(1.5)
    reach.late(2.0, 3605.0)
    assert reach.latest(3605.0) == 2.0


def test_it_binds_while_more_than_the_tolerated_share_was_given_up_wrongly() -> None:
    reach = Reach()
    reach.late(3.0, 0.0)
    assert reach.bound(0.0) == 0.0
    reach.judged(0.0, wrong=True)
    assert reach.bound(0.0) == 3.0
    for _ in range(3):
        reach.judged(0.0, wrong=False)
    assert reach.bound(0.0) == 0.0, "one in four may be bad luck"
    reach.judged(0.0, wrong=True)
    assert reach.bound(0.0) == 3.0, "two in five are not"
    assert reach.bound(3600.0) == pytest.approx(1.5)
    assert reach.bound(3600.0 * 3) == 0.0, "and half of that is forgotten in an hour as well"


def test_verdicts_of_hours_ago_count_for_little() -> None:
    for hours, binds in ((0, False), (4, True)):
        reach = Reach()
        reach.late(3.0, 0.0)
        for _ in range(10):
            reach.judged(0.0, wrong=False)
        reach.judged(3600.0 * hours, wrong=True)
        assert (reach.bound(3600.0 * hours) > 0.0) is binds


def test_a_thousand_that_were_rightly_given_up_are_outweighed_by_a_handful_that_were_not() -> None:
    reach = Reach()
    reach.late(3.0, 0.0)
    for _ in range(1000):
        reach.judged(0.0, wrong=False)
    for wrong in range(1, 6):
        reach.judged(0.0, wrong=True)
        assert (reach.bound(0.0) > 0.0) is (wrong >= 4)


def test_how_late_answers_come_is_forgotten_with_all_hosts_and_not_with_one() -> None:
    world = losing()[0]
    traffic = host(world, "a/m").traffic
    traffic.first_token.late(4.0, world.now)
    traffic.whole.late(4.0, world.now)
    world.balancer.reset("b/m")
    assert traffic.first_token.latest(world.now) == traffic.whole.latest(world.now) == 4.0
    world.balancer.reset()
    assert traffic.first_token.latest(world.now) == traffic.whole.latest(world.now) == 0.0


def test_how_late_answers_come_survives_a_restart_and_an_old_snapshot_lacks_it() -> None:
    world = losing()[0]
    traffic = host(world, "a/m").traffic
    for reach, late in ((traffic.first_token, 4.0), (traffic.whole, 2.0)):
        reach.late(late, world.now)
        for _ in range(3):
            reach.judged(world.now, wrong=True)
    state = json.loads(json.dumps(world.balancer.snapshot()))
    del (old := dict(state))["reach"]
    for saved, first_token, whole in ((state, 2.0, 1.0), (old, 0.0, 0.0)):
        after = Scene().world
        after.balancer.restore(saved, 3600.0)
        traffic = host(after, "a/m").traffic
        for reach, expected in ((traffic.first_token, first_token), (traffic.whole, whole)):
            assert reach.latest(after.now) == pytest.approx(expected)
            assert reach.bound(after.now) == pytest.approx(expected)


def test_one_that_nobody_overtook_is_lost_only_where_losing_is_proven() -> None:
    for share, lost_ in ((0.005, 0), (0.02, 1)):
        world, _, told = losing(share=share)
        world.now += 50.0
        world.teach("b/m", 1.0)
        world.rank()
        assert len(told) == lost_


def test_whoever_is_lost_more_likely_than_85_in_a_hundred_is_given_up() -> None:
    for share, given_up in ((0.3, 0), (0.5, 1)):
        world, ticket, told = losing(share=share)
        world.now += 49.0 * exp(ticket.due)
        world.teach("b/m", exp(ticket.due))
        # At fifty times its due: P(T > age) is 0.12, so it is lost with 78 or 89 in a hundred.
        ticket.sharpness = 0.831 / log(50.0)
        world.rank()
        assert len(told) == given_up


def test_who_waits_with_the_late_is_no_answer_against_them() -> None:
    scene = Scene()
    scene.run(10.0, lambda n: 1.0 if n % 5 else None)
    a, now = host(scene.world, "a/m"), scene.world.now
    late, survivals = _overtaken(a, now)
    assert late == a.overdue.overtaken()
    assert survivals[0] < 0.2 < survivals[-1]


CHANCE = st.floats(0.001, 1.0)


@given(survivals=st.lists(CHANCE, min_size=1, max_size=20), answered=st.integers(0, 200), share=st.floats(0.001, 0.9))
def test_each_answer_speaks_against_it_and_each_second_of_waiting_for_it(
    survivals: list[float], answered: int, share: float
) -> None:
    count = len(survivals) + answered
    known = proof(survivals, count, share)
    assert proof(survivals, count + 1, share) < known
    assert proof([survival / 2.0 for survival in survivals], count, share) > known


def test_one_that_surely_would_have_been_answered_is_worth_the_odds_of_a_loss() -> None:
    assert proof([1.0], 1, 0.2) == pytest.approx(0.0)
    assert exp(proof([0.01], 1, 0.2)) == pytest.approx(20.8)
    assert exp(proof([], 1, 0.2)) == pytest.approx(0.8)
