"""Processes that share budgets: none of them waits for ever, and all together spend no more than there is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from store_faults import exchange

from gateway.errors import Busy, DeadlineExceeded, QuotaExceeded
from gateway.governance.budgets.accounts import Accounts
from gateway.governance.budgets.claims import Claim, claim_of
from gateway.governance.budgets.ledger import UNITS
from gateway.governance.budgets.purses import Hold
from gateway.settings.limits import Budget
from gateway.store import leasing
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.record import Charge
from gateway.store.writing import Lane

_NOW = 1_795_219_200.0
_CENT = UNITS // 100


class _Undone(Exception):
    """What was written is taken back."""


class Clock:
    """The loop's own, which can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead


class Process:
    """Accounts as a gateway has them, and the log that its records go to."""

    def __init__(self, database: Database, name: str, warned: Callable[[Claim], None] = lambda _: None) -> None:
        self.clock = Clock()
        self.accounts = Accounts(database, name, monotonic=self.clock, warned=warned)
        self._lane = Lane(database, deadline=10)
        self._charges: list[Charge] = []
        self._writing = asyncio.Lock()
        self._keeping = asyncio.create_task(self.accounts.keep())

    async def take(self, claim: Claim, cents: int, within: float = 20.0) -> Hold:
        deadline = asyncio.get_running_loop().time() + within
        return (await self.accounts.reserve([claim], cents * _CENT, deadline))[0]

    def settle(self, hold: Hold, cents: int) -> None:
        charge = self.accounts.settle(hold, cents * _CENT)
        if charge is not None:
            self._charges.append(charge)

    async def write(self, first_id: int) -> None:
        """The log writes its records."""
        charges, self._charges = self._charges, []
        rows = [exchange(first_id + number, charges=(one,)) for number, one in enumerate(charges)]
        async with self._writing:
            assert not rows or await self._lane.store(rows) == []

    async def rest(self) -> None:
        """No look any more but those that a test takes."""
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)

    async def kill(self) -> None:
        """As a kill leaves it: nothing is given back."""
        await self.rest()
        await self._lane.close()


Starting = Callable[[str], Process]


@pytest.fixture
async def start(database: Database) -> AsyncGenerator[Starting]:
    started: list[Process] = []

    def begin(name: str) -> Process:
        started.append(Process(database, name))
        return started[-1]

    yield begin
    for one in started:
        await one.kill()


def _claim(usd: float, soft: float = 1.0) -> Claim:
    return claim_of("key", "app", Budget(usd=usd, period="day", soft=soft), _NOW)


async def _spent(database: Database, claim: Claim) -> Sequence[tuple[int, int]]:
    return [(one.spent, one.leased) for one in await leasing.look(database, [claim.account])]


async def test_two_hundred_at_once_over_three_processes(start: Starting, database: Database) -> None:
    claim, rng = _claim(1.0), random.Random(7)
    processes = [start(f"p{number}") for number in range(3)]
    spent, refused, ids = 0, 0, iter(range(0, 10**6, 1_000))

    async def ask(process: Process) -> None:
        nonlocal spent, refused
        try:
            hold = await process.take(claim, 5)
        except QuotaExceeded:
            refused += 1
            return
        await asyncio.sleep(0)
        cost = rng.randint(1, 5)
        spent += cost
        process.settle(hold, cost)
        await process.write(next(ids))

    await asyncio.gather(*(ask(processes[number % 3]) for number in range(200)))
    assert 100 <= spent < 105, "all of it, and less than one request more"
    assert refused > 0
    assert [amount for amount, _ in await _spent(database, claim)] == [spent * _CENT]


@pytest.mark.parametrize("usd", [1e10, 1e308])
async def test_a_budget_of_more_than_can_be_counted_is_never_spent(start: Starting, usd: float) -> None:
    one, other = start("one"), start("other")
    for process in (one, other):
        hold = await process.take(_claim(usd), 100)
        process.settle(hold, 100)
        await process.write(int(process is other) + 1)


async def test_what_others_wait_for_is_given_back(start: Starting, database: Database) -> None:
    rich, poor = start("rich"), start("poor")
    claim = _claim(1.0)
    hold = await rich.take(claim, 80)
    rich.settle(hold, 1)
    await rich.write(0)
    assert (await poor.take(claim, 90)).bound == 90 * _CENT


async def test_who_waits_longer_than_it_may_is_told_why(start: Starting) -> None:
    claim, process = _claim(0.1), start("p")
    await process.take(claim, 50)
    with pytest.raises(DeadlineExceeded, match="key 'app' is held by requests under way"):
        await process.take(claim, 50, within=0.05)


async def test_a_killed_process_costs_the_others_only_what_it_spent(start: Starting, database: Database) -> None:
    claim, dying, other = _claim(1.0), start("dying"), start("other")
    await other.take(claim, 1)
    await dying.take(claim, 80)
    hold = await dying.take(claim, 5)
    dying.settle(hold, 3)
    await dying.kill()
    await other.accounts.look()
    other.clock.ahead += 20  # a sign of life, and a first look at the other's
    await other.accounts.look()
    other.clock.ahead += 20
    await other.accounts.look()
    assert "dying" in await leasing.holders(database), "it may be slow"
    other.clock.ahead += 25
    await other.accounts.look()
    assert "dying" not in await leasing.holders(database)
    await dying.write(0)  # its journal, found by whoever
    assert (await other.take(claim, 90)).bound == 90 * _CENT
    assert [amount for amount, _ in await _spent(database, claim)] == [3 * _CENT]


async def test_who_was_taken_for_dead_begins_anew(start: Starting, database: Database) -> None:
    claim, frozen = _claim(1.0), start("frozen")
    hold = await frozen.take(claim, 50)
    (beats,) = (await leasing.holders(database)).values()
    assert await leasing.bury(database, "frozen", beats)
    frozen.clock.ahead += 60
    assert (await frozen.take(claim, 90)).bound == 90 * _CENT, "of nothing that was taken from it"
    frozen.settle(hold, 2)
    await frozen.write(0)
    assert [amount for amount, _ in await _spent(database, claim)] == [2 * _CENT]


async def test_what_the_log_has_lost_is_charged_all_the_same(start: Starting, database: Database) -> None:
    claim, process = _claim(1.0), start("p")
    hold = await process.take(claim, 5)
    charge = process.accounts.settle(hold, 4 * _CENT)
    assert charge is not None
    process.accounts.owe([charge])
    await process.accounts.look()
    assert [amount for amount, _ in await _spent(database, claim)] == [4 * _CENT]


async def test_what_the_log_has_lost_is_owed_until_it_is_charged(
    start: Starting, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, process = _claim(1.0), start("p")
    await process.rest()
    charge = process.accounts.settle(await process.take(claim, 5), 4 * _CENT)
    assert charge is not None
    process.accounts.owe([charge])
    for problem in (StoreUnavailable("away"), KeyError("a defect"), asyncio.CancelledError("a stop")):

        async def fails(*_: object, problem: BaseException = problem) -> None:
            raise problem

        with monkeypatch.context() as broken:
            broken.setattr(leasing, "charge", fails)
            with pytest.raises(type(problem)):
                await process.accounts.look()
    await process.accounts.stop()
    assert [amount for amount, _ in await _spent(database, claim)] == [4 * _CENT]


async def test_a_stop_gives_back_what_is_free(start: Starting, database: Database) -> None:
    claim, process = _claim(1.0), start("p")
    process.settle(await process.take(claim, 5), 4)
    await process.write(0)
    await process.accounts.stop()
    assert await _spent(database, claim) == [(4 * _CENT, 0)]
    assert await leasing.holders(database) == {}


async def test_one_warning_for_all_processes(database: Database) -> None:
    told: list[str] = []
    processes = [Process(database, name, lambda claim: told.append(claim.title)) for name in ("a", "b")]
    claim = _claim(1.0, soft=0.5)
    for number, process in enumerate(processes):
        process.settle(await process.take(claim, 30), 30)
        await process.write(number)
    for process in processes:
        await process.accounts.look()
        await process.kill()
    assert told == ["key 'app'"]


async def test_while_the_database_is_away_what_was_leased_is_spent_and_no_more(proxied_url: str, proxy: Any) -> None:
    database = Database(proxied_url)
    process, claim = Process(database, "p"), _claim(8.0)
    await process.take(claim, 10)
    await proxy.cut()
    served: list[Hold] = []

    async def go_on() -> None:
        while True:
            served.append(await process.take(claim, 10))

    with pytest.raises(Busy, match="the database is not available"):
        await go_on()
    assert 0 < len(served) < 20, "an eighth of what was left, and nothing beyond"
    await proxy.heal()
    await process.take(claim, 10)
    process.clock.ahead += 40  # so long without a sign of life that others may have what it had
    await proxy.cut()
    with pytest.raises(Busy):
        await process.take(claim, 1)
    await process.kill()
    await database.dispose()


async def test_what_the_database_refuses_to_take_back_is_ours_still(
    start: Starting, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, process = _claim(1.0), start("p")
    process.settle(await process.take(claim, 5), 0)

    async def refuse(*_: object) -> None:
        error = StoreUnavailable("cannot execute UPDATE in a read-only transaction")
        error.refused = True
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(leasing, "give_back", refuse)
        process.clock.ahead += 6
        with pytest.raises(StoreUnavailable):
            await process.accounts.look()
    # All there is, so also what nobody else could have.
    await process.take(claim, 100)


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("change", ["draw", "give_back"])
async def test_what_became_of_a_change_is_found_when_the_connection_broke_on_its_last_word(
    start: Starting, database: Database, monkeypatch: pytest.MonkeyPatch, change: str, arrives: bool
) -> None:
    claim, process = _claim(1.0), start("p")
    process.settle(await process.take(claim, 5), 0)
    true: Any = getattr(leasing, change)
    write = database.write

    @asynccontextmanager
    async def broken() -> AsyncGenerator[Any]:
        if arrives:
            async with write() as connection:
                yield connection
        else:
            with suppress(_Undone):
                async with write() as connection:
                    yield connection
                    raise _Undone
        raise StoreUnavailable("the connection broke")

    async def breaks(*arguments: Any) -> object:
        with monkeypatch.context() as now:
            now.setattr(database, "write", broken)
            return await true(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(leasing, change, breaks)
        if change == "draw":
            with pytest.raises(Busy):
                await process.take(claim, 50)
        else:
            process.clock.ahead += 6
            with pytest.raises(StoreUnavailable):
                await process.accounts.look()
    # All there is, by one that must not run short for it; and then it is nobody's.
    hold = await process.take(claim, 100)
    assert (hold.share.leased, hold.share.short) == (100 * _CENT, False)
    assert await _spent(database, claim) == [(0, 100 * _CENT)]
    process.settle(hold, 0)
    await process.accounts.stop()
    assert await _spent(database, claim) == [(0, 0)]


async def test_an_unused_share_is_given_back(start: Starting, database: Database) -> None:
    claim, process = _claim(1.0), start("p")
    process.settle(await process.take(claim, 5), 0)
    process.clock.ahead += 6
    await process.accounts.look()
    assert await _spent(database, claim) == [(0, 0)]
    assert process.accounts.purses == ()
