"""Budgets that several executions spend from, and what they hold of them.

Law: whoever changes a budget has locked its row, and all budgets that it changes by their ids, so that two that want
the same ones never wait for each other. What is held counts as long as the execution that holds it runs. A payment is
made once: who pays strikes out the hold, and a hold that is gone, since another process has taken over, is paid all the
same, because the provider was.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.engine import Database
from gateway.store.tables import MoneySum
from gateway.store.workflow_tables import budget_holds, budgets, executions
from gateway.store.workflows.locked import inserting
from gateway.store.workflows.translating import money
from gateway.workflows.kept import Execution

_E, _B, _H = executions.c, budgets.c, budget_holds.c


class Hold(Struct, frozen=True):
    """What an execution wants held for a prompt: at least, at most, and what stays held when there is no room."""

    id: str
    execution_id: str
    least: float
    most: float
    kept: float = 0.0


class Answer(Struct, frozen=True):
    """What is held for a prompt now (None: there was no room), and how the tightest budget stands without it.

    Attributes:
        held: what others hold.
        left: what there would be if they held nothing.
    """

    granted: float | None
    limit: float
    spent: float
    held: float
    left: float


async def enter(database: Database, execution: Execution) -> list[str]:
    """An execution begins, or is taken over: the ids of its budget and of those around it.

    What it held before is given back.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    async with database.write() as connection:
        found = {execution.id: (execution.budget_usd, execution.spent.cost_usd)}
        parent = execution.parent_id
        while parent is not None:
            query = select(_E.budget_usd, _E.cost_usd, _E.parent_id).where(_E.id == parent)
            row = (await connection.execute(query)).one_or_none()
            if row is None or row.budget_usd is None:
                break
            found[parent] = (float(row.budget_usd), float(row.cost_usd))
            parent = row.parent_id
        chain = sorted(found)
        for name in chain:
            limit, spent = found[name]
            assert limit is not None, "a child of one that has a budget has one"
            values = {"execution_id": name, "limit_usd": money(limit), "spent_usd": money(spent)}
            query = inserting(connection.dialect.name, budgets).values(values)
            await connection.execute(query.on_conflict_do_nothing())
        await connection.execute(delete(budget_holds).where(_H.execution_id == execution.id))
    return chain


async def reserve(database: Database, chain: Sequence[str], hold: Hold) -> Answer:
    """Hold money of all these budgets, instead of what was held under that name.

    Raises:
        StoreUnavailable: the database is away; nothing was done.
    """
    least, most = money(hold.least), money(hold.most)
    async with database.write() as connection:
        rows = await _locked(connection, chain)
        held = await _held(connection, chain, hold.id)
        rooms = {row.execution_id: row.limit_usd - row.spent_usd - held.get(row.execution_id, _NOTHING) for row in rows}
        tightest = min(rows, key=lambda row: rooms[row.execution_id])
        room = rooms[tightest.execution_id]
        granted = max(least, min(most, room)) if least <= room else None
        await connection.execute(delete(budget_holds).where(_H.id == hold.id))
        usd = money(hold.kept) if granted is None else granted
        if usd > 0:
            held_now = [
                {"id": hold.id, "budget_id": name, "execution_id": hold.execution_id, "usd": usd} for name in chain
            ]
            await connection.execute(insert(budget_holds), held_now)
    return Answer(
        # No less than was asked for, though the tables round.
        granted=None if granted is None else max(hold.least, float(granted)),
        limit=float(tightest.limit_usd),
        spent=float(tightest.spent_usd),
        held=float(held.get(tightest.execution_id, _NOTHING)),
        left=float(min(row.limit_usd - row.spent_usd for row in rows)),
    )


async def settle(database: Database, chain: Sequence[str], name: str, cost: float) -> None:
    """What was held under that name has become this cost.

    Raises:
        StoreUnavailable: the database is away; nothing was done, unless the connection broke on the last word.
    """
    async with database.write() as connection:
        await _locked(connection, chain)
        await connection.execute(delete(budget_holds).where(_H.id == name))
        if cost:
            spending = update(budgets).where(_B.execution_id.in_(chain))
            await connection.execute(spending.values(spent_usd=_B.spent_usd + money(cost)))


async def _locked(connection: AsyncConnection, chain: Sequence[str]) -> Sequence[Any]:
    query = select(_B.execution_id, _B.limit_usd, _B.spent_usd).where(_B.execution_id.in_(chain))
    return (await connection.execute(query.order_by(_B.execution_id).with_for_update())).all()


async def _held(connection: AsyncConnection, chain: Sequence[str], but: str) -> dict[str, Decimal]:
    query = (
        select(_H.budget_id, func.sum(_H.usd, type_=MoneySum()))
        .join_from(budget_holds, executions, _H.execution_id == _E.id)
        .where(_H.budget_id.in_(chain), _H.id != but, _E.status == "running")
        .group_by(_H.budget_id)
    )
    return {name: usd for name, usd in (await connection.execute(query)).all()}


_NOTHING = Decimal(0)
