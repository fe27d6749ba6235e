"""The budgets' ledger in the database: what rows charge is spent once, and nobody leases what there is not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select
from store_faults import DAY, exchange

from gateway.governance.budgets.ledger import Share
from gateway.store import leasing, migrate
from gateway.store.engine import Database
from gateway.store.leasing import Account
from gateway.store.record import AttemptRecord, Charge, ExchangeRecord
from gateway.store.tables import metadata, spend_accounts, spend_leases, spend_sums
from gateway.store.writing import Lane

_BUDGET = Account("key:app/month", int(DAY), "key", "app")
_DOLLAR = 10**10


async def _write(database: Database, *records: ExchangeRecord) -> None:
    lane = Lane(database, deadline=10)
    assert await lane.store(records) == []
    await lane.close()


def _charged(number: int, *charges: Charge, cost: float = 0.0, tags: tuple[str, ...] = ()) -> ExchangeRecord:
    attempt = AttemptRecord(
        seq=0, provider="openai", model="gpt-4o-mini", outcome="ok", input_tokens=2, output_tokens=3
    )
    attempt.cost_usd = cost
    return exchange(number, cost_usd=cost, attempts=[attempt], charges=charges, key_tags=tags)


async def _leased(database: Database) -> dict[str, float]:
    async with database.read() as connection:
        rows = await connection.execute(select(spend_leases.c.holder, spend_leases.c.usd))
        return {name: float(usd) for name, usd in rows}


async def _draw(database: Database, holder: str, need: int, limit: int = 10) -> leasing.Drawn:
    drawn = await leasing.draw(database, holder, _BUDGET, limit * _DOLLAR, need * _DOLLAR)
    assert drawn is not None
    return drawn


async def test_what_a_row_charges_is_spent_once_and_taken_from_its_lease(database: Database) -> None:
    await leasing.enter(database, "a")
    await leasing.enter(database, "b")
    assert (await _draw(database, "a", 2)).grant.amount == 3 * _DOLLAR  # and an eighth of the rest
    mine = Charge("a", _BUDGET.name, _BUDGET.start, _DOLLAR)
    gone = Charge("it's gone \\", _BUDGET.name, _BUDGET.start, 2 * _DOLLAR)
    rows = [_charged(1, mine), _charged(2, mine, gone)]
    await _write(database, *rows)
    await _write(database, rows[1], _charged(3, mine))  # one of them again, as a replay does
    seen = await leasing.look(database, [_BUDGET])
    assert [(one.spent, one.leased) for one in seen] == [(5 * _DOLLAR, 0)]
    drawn = await _draw(database, "b", 5)
    assert (drawn.standing.room, drawn.grant.enough) == (5 * _DOLLAR, True)


async def test_who_cannot_have_all_it_needs_goes_short_and_alone(database: Database) -> None:
    for name in ("a", "b"):
        await leasing.enter(database, name)
    assert (await _draw(database, "a", 6)).grant.enough
    short = await _draw(database, "b", 6)
    assert (short.grant.enough, short.grant.short) == (False, True)
    assert sum((await _leased(database)).values()) == 10
    other = await _draw(database, "a", 6)
    assert (other.grant.amount, other.grant.short, other.wanted) == (0, False, 2)
    await leasing.give_back(database, "b", [(_BUDGET, short.grant.amount)])
    assert (await _draw(database, "a", 6)).grant.short


async def test_the_dead_are_buried_and_the_living_are_not(database: Database) -> None:
    for name in ("a", "b", "c"):
        await leasing.enter(database, name)
        await _draw(database, name, 1)
    await _draw(database, "a", 90)
    assert await leasing.beat(database, "b")
    assert not await leasing.bury(database, "b", 0), "it has beaten since"
    assert await leasing.bury(database, "a", 0)
    assert sorted(await _leased(database)) == ["b", "c"]
    assert not await leasing.beat(database, "a")
    assert await leasing.draw(database, "a", _BUDGET, 10 * _DOLLAR, 1) is None
    assert (await _draw(database, "b", 90)).grant.short, "the dead one kept nobody from running short"
    await leasing.leave(database, "c")
    assert sorted(await _leased(database)) == ["b", "c"], "what it has not given back may be spent"
    assert await leasing.holders(database) == {"b": 1, "c": 0}


async def test_who_gave_back_everything_leaves_nothing(database: Database) -> None:
    await leasing.enter(database, "a")
    drawn = await _draw(database, "a", 4)
    await leasing.give_back(database, "a", [(_BUDGET, drawn.grant.amount)])
    await leasing.leave(database, "a")
    assert await leasing.holders(database) == {}
    assert await _leased(database) == {}


async def test_a_budget_begins_with_what_the_log_knows_and_may_begin_anew(database: Database) -> None:
    await _write(database, _charged(1, cost=1.5, tags=("blue",)), _charged(2, cost=2.0))
    await leasing.enter(database, "a")
    for kind, of, spent in (("key", "app", 3.5), ("tag", "blue", 1.5), ("provider", "openai", 3.5), ("key", "x", 0)):
        account = Account(f"{kind}:{of}/day", int(DAY), kind, of)
        drawn = await leasing.draw(database, "a", account, 10 * _DOLLAR, 1)
        assert drawn is not None
        assert drawn.standing.spent == spent * _DOLLAR
    mine = Account("key:app/day", int(DAY), "key", "app")
    assert await leasing.warn(database, mine)
    assert not await leasing.warn(database, mine)
    await leasing.reset(database, mine)
    await leasing.reset(database, Account("key:new/day", int(DAY), "key", "new"))
    seen = {one.name: (one.spent, one.warned) for one in await leasing.look(database, [mine])}
    assert seen == {mine.name: (0, False)}
    await leasing.charge(database, [Charge("a", mine.name, mine.start, _DOLLAR)])
    assert [one.spent for one in await leasing.look(database, [mine])] == [_DOLLAR]


async def test_two_hundred_askers_lease_no_more_than_there_is(database: Database) -> None:
    """Processes that ask at the same time, over connections of their own."""
    shares = {f"p{number}": Share() for number in range(8)}
    for name in shares:
        await leasing.enter(database, name)
    gone: list[str] = []

    async def ask(name: str) -> None:
        for _ in range(25):
            share = shares[name]
            if not share.fits(_DOLLAR):
                grant = (await _draw(database, name, -(-share.need(_DOLLAR) // _DOLLAR), limit=50)).grant
                share.leased += grant.amount
                share.short = grant.short
            if share.fits(_DOLLAR):
                share.take(_DOLLAR)
                gone.append(name)

    await asyncio.gather(*(ask(name) for name in shares))
    assert 50 - len(shares) <= len(gone) <= 50
    # As decimals, which is what they are: floats that add up to 50 may say 50.00000000000001.
    assert sum(Decimal(str(part)) for part in (await _leased(database)).values()) <= 50


_ROWS = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from(("openai", "it's $x$ \\")),
        st.sampled_from((0.0, 0.25, 0.0000000001)),
        st.sampled_from(((), ("blue",), ("blue", "réd", "blue"))),
        st.sampled_from((0.0, 86_399.999999, 86_400.0)),
    ),
    max_size=12,
)


@given(_ROWS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_books_are_what_a_recount_of_the_rows_finds(url: str, found: Sequence[tuple[object, ...]]) -> None:
    asyncio.run(_recounts(url, found))


async def _recounts(url: str, found: Sequence[tuple[object, ...]]) -> None:
    database = Database(url)
    async with database.write() as connection:
        for table in reversed(metadata.sorted_tables):
            await connection.execute(delete(table))
    rows: dict[int, ExchangeRecord] = {}
    for number, provider, cost, tags, after in found:
        row = _charged(number, Charge("h", "tag:ü/day", 0, 7), cost=cost, tags=tags)  # pyright: ignore[reportArgumentType] - drawn
        row.created_at = DAY + float(str(after))
        row.provider = row.attempts[0].provider = str(provider)
        await _write(database, row)
        rows.setdefault(int(str(number)), row)
    expected: dict[tuple[object, ...], tuple[float, ...]] = {}
    for row in rows.values():
        for tag in ("", *dict.fromkeys(row.key_tags)):
            key = (int(row.created_at // 86_400 * 86_400), tag, row.key_name, row.provider, row.attempts[0].model)
            a, b, c, d = expected.get(key, (0, 0, 0, 0.0))
            expected[key] = (a + 1, b + 2, c + 3, round(d + row.cost_usd, 10))
    async with database.read() as connection:
        told = {tuple(row)[:5]: (*row[5:8], float(row[8])) for row in await connection.execute(select(spend_sums))}
        spent = (await connection.execute(select(spend_accounts.c.spent_usd))).scalars().all()
    await database.dispose()
    assert told == expected
    assert [round(float(one) * _DOLLAR) for one in spent] == ([7 * len(rows)] if rows else [])


async def test_the_log_of_before_is_in_the_books(empty_url: str) -> None:
    await migrate.upgrade(empty_url)
    database = Database(empty_url)
    await _write(database, *(_charged(number, cost=0.5) for number in range(3)))
    await migrate.downgrade(empty_url, "0008")
    await migrate.upgrade(empty_url)
    async with database.read() as connection:
        (row,) = (await connection.execute(select(spend_sums))).all()
    await database.dispose()
    assert (row.key_name, row.requests, float(row.cost_usd)) == ("app", 3, 1.5)
