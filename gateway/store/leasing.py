"""The budgets' ledger in the database: one transaction per function.

Law: whoever changes what is leased of a budget has locked its account, and several by their names; so what is leased is
decided by one process at a time, and nobody waits in a circle (see `posting`). The rules are those of the pure
`governance.budgets.ledger`. Amounts are whole units of 10⁻¹⁰ USD.

A process that has leases is written down, and beats. One whose beats do not grow is taken for dead by another, who
deletes it and what it had leased; it may have been frozen only, and then finds itself deleted and begins anew. What its
requests have cost comes with their rows, whoever writes them. No clock of one machine is compared with another's.

An account is begun with what the log says that was spent in its period: a budget that is set in mid-month counts all of
it. (Of hours, which the sums of spending do not tell, it counts from then on.)
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import ColumnElement, and_, delete, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.governance.budgets.ledger import Grant, Standing, granted
from gateway.store import audit
from gateway.store.audit import Act
from gateway.store.engine import Database
from gateway.store.posting import Posts, summed
from gateway.store.record import Charge
from gateway.store.tables import MONEY_PLACES, MoneySum, spend_accounts, spend_holders, spend_leases, spend_sums
from gateway.store.text import scrubbed
from gateway.store.workflows.locked import inserting

_A, _L, _H, _S = spend_accounts.c, spend_leases.c, spend_holders.c, spend_sums.c
_NOTHING = Decimal(0)
#: Seconds for which accounts of past periods are kept, for those who look: a little more than a year.
_KEPT = 400 * 86_400


class Account(Struct, frozen=True):
    """A budget in one period.

    `kind` is `key`, `tag` or `provider`, and `of` the name; `in_days`: sums of whole days tell it.
    """

    name: str
    start: int
    kind: str
    of: str
    in_days: bool = True


class Drawn(Struct, frozen=True):
    """What a process was given, how the budget stands, and how often somebody has waited for it."""

    grant: Grant
    standing: Standing
    wanted: int


class Change(Struct):
    """A change of a lease, by its number (no two of a process have the same), and what it came to.

    `grant` is set before the transaction's last word: should the connection break on that, `arrived` tells.
    """

    number: int = 0
    grant: Grant | None = None


class Seen(Struct, frozen=True):
    """An account as it stands: what counts as spent, what all have leased."""

    name: str
    start: int
    spent: int
    leased: int
    wanted: int
    warned: bool


async def enter(database: Database, holder: str) -> None:
    """This process has leases from now on. Raises `StoreUnavailable`."""
    async with database.write() as connection:
        await connection.execute(
            inserting(connection.dialect.name, spend_holders).values(id=holder, beats=0).on_conflict_do_nothing()
        )


async def beat(database: Database, holder: str) -> bool:
    """It lives; False: it was taken for dead, and has no leases any more. Raises `StoreUnavailable`."""
    async with database.write() as connection:
        done = await connection.execute(update(spend_holders).where(_H.id == holder).values(beats=_H.beats + 1))
        return done.rowcount == 1


async def holders(database: Database) -> dict[str, int]:
    """Every process that has leases, and its beats. Raises `StoreUnavailable`."""
    async with database.read() as connection:
        return {name: beats for name, beats in (await connection.execute(select(_H.id, _H.beats))).all()}


async def draw(
    database: Database, holder: str, account: Account, limit: int, need: int, change: Change | None = None
) -> Drawn | None:
    """Lease what a process needs, or what there is; None: it was taken for dead.

    Raises:
        StoreUnavailable: the database is away; nothing was leased, unless the connection broke on the last word.
    """
    change = Change() if change is None else change
    async with database.write() as connection:
        alive = select(_H.id).where(_H.id == holder).with_for_update(read=True)
        if (await connection.execute(alive)).first() is None:
            return None
        row = await _locked(connection, account) or await _begun(connection, account)
        leases = select(_L.holder, _L.usd).where(_L.account == account.name, _L.start == account.start)
        had = {name: _units(usd) for name, usd in (await connection.execute(leases)).all()}
        standing = Standing(
            limit=limit,
            spent=_units(row.spent_usd - row.forgiven_usd),
            others=sum(max(0, usd) for name, usd in had.items() if name != holder),
            own=had.get(holder, 0),
            short_elsewhere=row.short not in ("", holder),
        )
        grant = granted(standing, need)
        if grant.amount or grant.short:
            lease = {"account": account.name, "start": account.start, "holder": holder, "usd": _usd(grant.amount)}
            adding = inserting(connection.dialect.name, spend_leases).values(lease | {"change": change.number})
            keys = [_L.account, _L.start, _L.holder]
            more = {"usd": _L.usd + _usd(grant.amount), "change": change.number}
            await connection.execute(adding.on_conflict_do_update(index_elements=keys, set_=more))
        short = holder if grant.short else ("" if row.short == holder else row.short)
        wanted = row.wanted + (not grant.enough)
        if (short, wanted) != (row.short, row.wanted):
            await connection.execute(update(spend_accounts).where(_is(account)).values(short=short, wanted=wanted))
        change.grant = grant
    return Drawn(grant, standing, wanted)


async def arrived(database: Database, holder: str, account: Account, number: int, *, giving: bool) -> bool:
    """Whether the last change of a lease, by which it was given back or drawn, was made.

    Raises:
        StoreUnavailable: the database is away, and nobody knows still.
    """
    async with database.write() as connection:
        # Behind it, if it is under way.
        await _locked(connection, account)
        mine = and_(_L.account == account.name, _L.start == account.start, _L.holder == holder)
        found = (await connection.execute(select(_L.change).where(mine))).scalar_one_or_none()
    # A lease that is given back whole is no more.
    return giving if found is None else found == number


async def give_back(database: Database, holder: str, amounts: Sequence[tuple[Account, int]], number: int = 0) -> None:
    """A process needs no more of these, and does not run short; a change by that number.

    Raises:
        StoreUnavailable: as `draw`.
    """
    async with database.write() as connection:
        for account, amount in sorted(amounts, key=lambda one: (one[0].name, one[0].start)):
            row = await _locked(connection, account)
            mine = and_(_L.account == account.name, _L.start == account.start, _L.holder == holder)
            await connection.execute(update(spend_leases).where(mine).values(usd=_L.usd - _usd(amount), change=number))
            await connection.execute(delete(spend_leases).where(mine, _L.usd == _NOTHING))
            if row is not None and row.short == holder:
                await connection.execute(update(spend_accounts).where(_is(account)).values(short=""))


async def look(database: Database, accounts: Sequence[Account]) -> list[Seen]:
    """How these stand; those that nobody has leased yet are left out. Raises `StoreUnavailable`."""
    leased = select(func.coalesce(func.sum(_L.usd, type_=MoneySum()), _NOTHING)).where(
        _L.account == _A.account, _L.start == _A.start, _L.usd > _NOTHING
    )
    names = tuple_(_A.account, _A.start).in_([(one.name, one.start) for one in accounts])
    query = select(spend_accounts, leased.scalar_subquery().label("leased")).where(names)
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return [
        Seen(
            row.account, row.start, _units(row.spent_usd - row.forgiven_usd), _units(row.leased), row.wanted, row.warned
        )
        for row in rows
    ]


async def warn(database: Database, account: Account) -> bool:
    """Whether this is the first to warn of this budget in its period. Raises `StoreUnavailable`."""
    async with database.write() as connection:
        first = update(spend_accounts).where(_is(account), ~_A.warned).values(warned=True)
        return (await connection.execute(first)).rowcount == 1


async def reset(database: Database, account: Account, act: Act | None = None) -> None:
    """What was spent of it until now does not count any more; and keep the act. Raises `StoreUnavailable`."""
    async with database.write() as connection:
        row = await _locked(connection, account) or await _begun(connection, account)
        begun_anew = {"forgiven_usd": _A.spent_usd, "warned": False}
        await connection.execute(update(spend_accounts).where(_is(account)).values(begun_anew))
        if act is not None:
            spent = float(row.spent_usd - row.forgiven_usd)
            act = replace(act, before={"spent_usd": spent}, after={"spent_usd": 0.0})
        await audit.write(connection, act)


async def charge(database: Database, charges: Sequence[Charge]) -> None:
    """Charge what no row of the log will: the log has lost it. Raises `StoreUnavailable`."""
    _, accounts, leases = summed([Posts((), tuple(charges))])
    async with database.write() as connection:
        for name, start, amount in accounts:
            values = _empty(name, start, _usd(amount))
            adding = inserting(connection.dialect.name, spend_accounts).values(values)
            more = {"spent_usd": _A.spent_usd + _usd(amount)}
            await connection.execute(adding.on_conflict_do_update(index_elements=[_A.account, _A.start], set_=more))
        for one in leases:
            mine = and_(_L.account == one.account, _L.start == one.start, _L.holder == one.holder)
            await connection.execute(update(spend_leases).where(mine).values(usd=_L.usd - _usd(one.amount)))


async def bury(database: Database, holder: str, beats: int) -> bool:
    """Take a process for dead, unless it has beaten again: others may have what it had leased.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    async with database.write() as connection:
        gone = delete(spend_holders).where(_H.id == holder, _H.beats == beats)
        if (await connection.execute(gone)).rowcount == 0:
            return False
        await _forget(connection, _L.holder.not_in(select(_H.id)))
    return True


async def leave(database: Database, holder: str) -> bool:
    """A process ends: whether it has no leases left.

    What its requests have spent and no row tells yet stays leased, until it is taken for dead.

    Raises:
        StoreUnavailable: the database is away; then others will take it for dead.
    """
    async with database.write() as connection:
        await _forget(connection, and_(_L.holder == holder, _L.usd <= _NOTHING))
        left = select(_L.account).where(_L.holder == holder).limit(1)
        settled = (await connection.execute(left)).first() is None
        if settled:
            await connection.execute(delete(spend_holders).where(_H.id == holder))
    return settled


async def _forget(connection: AsyncConnection, which: ColumnElement[bool]) -> None:
    """Delete leases, their accounts locked before; whose they were runs short no more."""
    names = select(_L.account, _L.start).where(which).distinct()
    locked = select(_A.account).where(tuple_(_A.account, _A.start).in_(names)).order_by(_A.account, _A.start)
    await connection.execute(locked.with_for_update())
    await connection.execute(delete(spend_leases).where(which))
    orphaned = and_(_A.short != "", _A.short.not_in(select(_H.id)))
    await connection.execute(update(spend_accounts).where(orphaned).values(short=""))


async def _locked(connection: AsyncConnection, account: Account) -> Any | None:
    return (await connection.execute(select(spend_accounts).where(_is(account)).with_for_update())).one_or_none()


async def _begun(connection: AsyncConnection, account: Account) -> Any:
    """The account of a period that begins for us: with what the log knows of it."""
    spent = _NOTHING
    if account.in_days:
        query = select(func.sum(_S.cost_usd)).where(_S.start >= account.start, _of(account))
        spent = (await connection.execute(query)).scalar_one() or _NOTHING
    values = _empty(account.name, account.start, spent)
    await connection.execute(inserting(connection.dialect.name, spend_accounts).values(values).on_conflict_do_nothing())
    old = and_(_A.account == account.name, _A.start < account.start - _KEPT)
    await connection.execute(delete(spend_accounts).where(old))
    return await _locked(connection, account)


def _of(account: Account) -> ColumnElement[bool]:
    """The sums of spending that a budget is about."""
    of = scrubbed(account.of)
    if account.kind == "tag":
        return _S.tag == of
    return and_(_S.tag == "", (_S.key_name if account.kind == "key" else _S.provider) == of)


def _empty(name: str, start: int, spent: Decimal) -> dict[str, Any]:
    return {
        "account": name,
        "start": start,
        "spent_usd": spent,
        "forgiven_usd": _NOTHING,
        "short": "",
        "wanted": 0,
        "warned": False,
    }


def _is(account: Account) -> ColumnElement[bool]:
    return and_(_A.account == account.name, _A.start == account.start)


def _units(usd: Decimal) -> int:
    return int(usd.scaleb(MONEY_PLACES).to_integral_value())


def _usd(amount: int) -> Decimal:
    return Decimal(amount).scaleb(-MONEY_PLACES)
