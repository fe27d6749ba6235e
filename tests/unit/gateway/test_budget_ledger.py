"""The ledger's laws: nobody overspends by a whole request, nothing is lost, and whoever may go is let go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from gateway.governance.budgets.ledger import UNITS, Share, Standing, dollars, granted, units
from gateway.governance.budgets.periods import end_of, start_of
from gateway.settings.limits import Period

_PROCESSES = 3
_LIMIT = 1_000
_MOMENTS = st.integers(0, 4_102_444_800)
_PERIODS = st.sampled_from(get_args(Period))


class World:
    """Processes, the database between them, and what requests truly cost."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.shares = [Share() for _ in range(_PROCESSES)]
        self.written = [0] * _PROCESSES
        self.short: int | None = None
        self.running: list[tuple[int, int]] = []
        #: What died with a process, and is found in its journal.
        self.lost_rows = 0
        self.spent = 0
        self.dearest = 0

    def owns(self, who: int) -> int:
        return self.shares[who].leased - self.written[who]

    @property
    def counted(self) -> int:
        return self._gone + sum(self.written)

    _gone = 0

    def standing(self, who: int) -> Standing:
        others = sum(max(0, self.owns(one)) for one in range(_PROCESSES) if one != who)
        elsewhere = self.short is not None and self.short != who
        return Standing(self.limit, self.counted, others, self.owns(who), elsewhere)

    def ask(self, who: int, bound: int) -> bool:
        """A request comes; whether it went."""
        share = self.shares[who]
        if not share.fits(bound):
            grant = granted(self.standing(who), share.need(bound))
            share.leased += grant.amount
            share.short = grant.short
            self.short = who if grant.short else (None if self.short == who else self.short)
            if not grant.enough and not grant.short:
                self.give_back(who)
        if not share.fits(bound):
            return False
        share.take(bound)
        self.running.append((who, bound))
        self.dearest = max(self.dearest, bound)
        return True

    def end(self, place: int, cost: int) -> None:
        who, bound = self.running.pop(place % len(self.running))
        self.shares[who].settle(bound, min(cost, bound))
        self.spent += min(cost, bound)

    def write(self, who: int) -> None:
        self.written[who] = self.shares[who].spent

    def give_back(self, who: int) -> None:
        share = self.shares[who]
        if share.free < 0:
            return
        share.gave_back(share.spare())
        self.short = None if self.short == who else self.short

    def kill(self, who: int) -> None:
        """Killed; its rows are found in its journal before what it had leased is free for others."""
        self.write(who)
        self._gone += self.written[who]
        self.running = [one for one in self.running if one[0] != who]
        self.shares[who], self.written[who] = Share(), 0
        self.short = None if self.short == who else self.short


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, _PROCESSES - 1), st.integers(1, 400)),
        st.tuples(st.just("ask"), st.integers(0, _PROCESSES - 1), st.integers(1, 40)),
        st.tuples(st.just("end"), st.integers(0, 50), st.integers(0, 400)),
        st.tuples(st.just("write"), st.integers(0, _PROCESSES - 1), st.just(0)),
        st.tuples(st.just("back"), st.integers(0, _PROCESSES - 1), st.just(0)),
        st.tuples(st.just("kill"), st.integers(0, _PROCESSES - 1), st.just(0)),
    ),
    max_size=120,
)


def _step(world: World, what: str, a: int, b: int) -> None:
    match what:
        case "ask":
            world.ask(a, b)
        case "end":
            if world.running:
                world.end(a, b)
        case "write":
            world.write(a)
        case "back":
            world.give_back(a)
        case _:
            world.kill(a)


@given(_STEPS)
def test_nobody_overspends_by_a_whole_request(steps: list[tuple[str, int, int]]) -> None:
    world = World(_LIMIT)
    for step in steps:
        _step(world, *step)
        committed = world.spent + sum(bound for _, bound in world.running)
        assert committed < _LIMIT + max(1, world.dearest)
        if not any(share.free < 0 for share in world.shares):
            held = sum(max(0, world.owns(who)) for who in range(_PROCESSES))
            assert world.counted + held <= _LIMIT, "what is leased and spent is never beyond the limit"


@given(_STEPS)
def test_all_of_it_can_be_spent(steps: list[tuple[str, int, int]]) -> None:
    """Whatever happened: when nothing is under way and all is given back, what is left is there for anyone."""
    world = World(_LIMIT)
    for step in steps:
        _step(world, *step)
    while world.running:
        world.end(0, 0)
    for who in range(_PROCESSES):
        world.write(who)
        world.give_back(who)
    assert world.counted == world.spent, "nothing is counted twice or not at all"
    assert world.ask(0, 1) == (world.spent < _LIMIT)
    if world.spent < _LIMIT:
        assert world.ask(0, _LIMIT), "what does not fit goes with what is left, if it is alone"
        assert not world.ask(1, 1), "and nobody goes beside it"


@given(_STEPS, st.integers(1, 60))
def test_who_waits_is_served_until_all_is_spent(steps: list[tuple[str, int, int]], bound: int) -> None:
    """Nobody rests, so nobody gives back of his own accord; all ask again and again, as those in line do."""
    world = World(_LIMIT)
    for step in steps:
        _step(world, *step)
    idle = 0
    while idle < 3:
        while world.running:
            world.end(0, bound)
        for who in range(_PROCESSES):
            world.write(who)
        went = [world.ask(who, bound) for who in range(_PROCESSES)]
        idle = 0 if any(went) else idle + 1
    assert world.spent >= _LIMIT


@given(st.integers(1, 400), st.integers(0, 2_000), st.integers(0, 1_000), st.integers(0, 1_000))
def test_a_lease_shrinks_as_the_end_nears(need: int, limit: int, spent: int, others: int) -> None:
    standing = Standing(limit, spent, others, 0, short_elsewhere=False)
    grant = granted(standing, need)
    assert 0 <= grant.amount <= max(0, standing.room)
    assert grant.enough == (need <= standing.room)
    assert grant.short == (not grant.enough and spent < limit)
    less = granted(Standing(limit, spent + 10, others, 0, short_elsewhere=False), need)
    assert less.amount <= grant.amount
    elsewhere = granted(Standing(limit, spent, others, 0, short_elsewhere=True), need)
    assert not elsewhere.short
    assert elsewhere.enough == grant.enough


def test_two_hundred_at_once_overspend_by_less_than_one() -> None:
    world, went = World(_LIMIT), 0
    for number in range(200):
        went += world.ask(number % _PROCESSES, 30)
    assert _LIMIT // 30 - _PROCESSES < went <= _LIMIT // 30 + 1
    while world.running:
        world.end(0, 30)
    assert _LIMIT - _PROCESSES * 30 < world.spent < _LIMIT + 30


@given(st.floats(0, 10_000))
def test_units_are_never_less_than_the_money(usd: float) -> None:
    amount = units(usd)
    assert usd - 1e-9 * max(1.0, usd) <= dollars(amount) <= usd + 2 / UNITS + 1e-12 * usd


@given(_PERIODS, _MOMENTS)
def test_every_moment_is_in_its_period(period: Period, now: int) -> None:
    start = start_of(period, now)
    end = end_of(period, start)
    assert start <= now
    assert start_of(period, start) == start
    if end is None:
        assert period == "total"
    else:
        assert now < end == start_of(period, end)
        assert start_of(period, end - 1) == start


def test_periods_are_those_of_the_calendar() -> None:
    now = datetime(2028, 2, 29, 13, 59, 59, tzinfo=UTC).timestamp()  # a Tuesday
    starts = {period: datetime.fromtimestamp(start_of(period, now), UTC).isoformat() for period in get_args(Period)}
    assert starts == {
        "hour": "2028-02-29T13:00:00+00:00",
        "day": "2028-02-29T00:00:00+00:00",
        "week": "2028-02-28T00:00:00+00:00",
        "month": "2028-02-01T00:00:00+00:00",
        "total": "1970-01-01T00:00:00+00:00",
    }
    december = start_of("month", datetime(2028, 12, 31, 23, tzinfo=UTC).timestamp())
    assert end_of("month", december) == datetime(2029, 1, 1, tzinfo=UTC).timestamp()
