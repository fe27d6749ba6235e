"""What the executions of a period were like: how many ended how, how long they took, what they cost, and at which node.

Law: counts and sums are of all executions submitted in the period; percentiles, by nearest rank, of the newest
`SAMPLE` that completed. The cost of an execution is all that was paid for it; that of a node is what its step
executions bear, so what was paid for a result that a later attempt forgot is in the first alone.
"""

from __future__ import annotations

from math import ceil
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, RowMapping, case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.store.engine import Database
from gateway.store.tables import MoneySum
from gateway.store.text import scrubbed
from gateway.store.totals import Percentiles
from gateway.store.workflow_tables import executions, step_executions
from gateway.store.workflows.steps import of_key
from gateway.store.workflows.translating import moment
from gateway.workflows.kept import WHOLE, Spent

#: Durations that are ranked: the 99th percentile is then settled by a hundred of them.
SAMPLE = 10_000
_E, _S = executions.c, step_executions.c
_USD = ("cost_usd", "saved_usd")
_SUMS = (*_USD, "input_tokens", "output_tokens", "cached_steps")


class NodeFigures(Struct, frozen=True, kw_only=True):
    """One node over all executions; `spent` is that of its items too, seconds those of its successes."""

    node_id: str
    kind: str
    succeeded: int
    failed: int
    skipped: int
    tries: int
    mean_s: float | None
    longest_s: float | None
    spent: Spent


class Figures(Struct, frozen=True, kw_only=True):
    """All executions of a period.

    Attributes:
        statuses: how many are in which state.
        success_rate: completed among those that completed or failed, 0..1; None when none did.
        duration_s: from the start of an execution that completed to its end, waiting included.
        nodes: by their ids.
    """

    runs: int
    statuses: dict[str, int]
    success_rate: float | None
    duration_s: Percentiles
    spent: Spent
    nodes: list[NodeFigures]

    def slowest(self, count: int = 5) -> list[str]:
        """Nodes by the mean time of their successes."""
        timed = [(node.mean_s, node.node_id) for node in self.nodes if node.mean_s is not None]
        return [name for _, name in sorted(timed, key=lambda one: (-one[0], one[1]))][:count]

    def most_failing(self, count: int = 5) -> list[str]:
        """Nodes by how often they failed; none that never did."""
        failing = [(node.failed, node.node_id) for node in self.nodes if node.failed]
        return [name for _, name in sorted(failing, key=lambda one: (-one[0], one[1]))][:count]


async def figures(
    database: Database, *, since: float, until: float, slug: str | None = None, key_name: str | None = None
) -> Figures:
    """The executions submitted in since..until (Unix seconds, until exclusive), of one workflow and key or of all.

    Raises:
        StoreUnavailable: the database is away.
    """
    period = [_E.created_at >= moment(since), _E.created_at < moment(until)]
    if slug is not None:
        period.append(_E.slug == scrubbed(slug))
    if key_name is not None:
        period.append(_E.key_name == scrubbed(key_name))
    summed = [_sum(_E[name]) for name in _SUMS]
    query = select(_E.status, func.count().label("runs"), *summed).where(*period).group_by(_E.status)
    async with database.read() as connection:
        rows = (await connection.execute(query)).mappings().all()
        durations = await _durations(connection, period)
        nodes = await _nodes(connection, period)
    statuses = {row["status"]: int(row["runs"]) for row in rows}
    completed, failed = statuses.get("completed", 0), statuses.get("failed", 0)
    return Figures(
        runs=sum(statuses.values()),
        statuses=statuses,
        success_rate=completed / (completed + failed) if completed + failed else None,
        duration_s=durations,
        spent=_total([_spent(row) for row in rows]),
        nodes=nodes,
    )


async def step_counts(database: Database, *, key_name: str | None = None) -> dict[str, int]:
    """How many step executions, of those that one key began or of all, are in which state.

    Raises:
        StoreUnavailable: the database is away.
    """
    query = select(_S.status, func.count()).group_by(_S.status)
    if key_name is not None:
        query = query.where(of_key(key_name))
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return {status: int(count) for status, count in rows}


async def _durations(connection: AsyncConnection, period: list[ColumnElement[bool]]) -> Percentiles:
    query = select(_E.started_at, _E.completed_at).where(*period, _E.status == "completed")
    rows = await connection.execute(query.order_by(_E.created_at.desc(), _E.id.desc()).limit(SAMPLE))
    ranked = sorted((completed - started).total_seconds() for started, completed in rows if started is not None)
    found = [ranked[ceil(len(ranked) * percent / 100) - 1] if ranked else None for percent in (50, 95, 99)]
    return Percentiles(*found)


async def _nodes(connection: AsyncConnection, period: list[ColumnElement[bool]]) -> list[NodeFigures]:
    whole = _S.item == WHOLE
    took = case((whole & (_S.status == "succeeded"), _S.seconds))
    query = (
        select(
            _S.node_id,
            func.max(case((whole, _S.kind))).label("kind"),
            *(func.sum(case((whole & (_S.status == one), 1), else_=0)).label(one) for one in _COUNTED),
            func.sum(_S.tries).label("tries"),
            func.avg(took).label("mean_s"),
            func.max(took).label("longest_s"),
            *(_sum(_S[name]) for name in _SUMS),
        )
        .join_from(executions, step_executions, _S.execution_id == _E.id)
        .where(*period)
        .group_by(_S.node_id)
        .order_by(_S.node_id)
    )
    return [_figures(row) for row in (await connection.execute(query)).mappings()]


_COUNTED = ("succeeded", "failed", "skipped")


def _figures(row: RowMapping) -> NodeFigures:
    return NodeFigures(
        node_id=row["node_id"],
        kind=row["kind"] or "",
        **{name: int(row[name]) for name in (*_COUNTED, "tries")},
        mean_s=row["mean_s"],
        longest_s=row["longest_s"],
        spent=_spent(row),
    )


def _sum(column: ColumnElement[Any]) -> ColumnElement[Any]:
    name = column.key
    return func.sum(column, type_=MoneySum()).label(name) if name in _USD else func.sum(column).label(name)


def _spent(row: RowMapping) -> Spent:
    found: dict[str, Any] = {name: float(row[name]) if name in _USD else int(row[name]) for name in _SUMS}
    return Spent(**found)


def _total(many: list[Spent]) -> Spent:
    whole: dict[str, Any] = {name: sum(getattr(one, name) for one in many) for name in _SUMS}
    return Spent(**whole)
