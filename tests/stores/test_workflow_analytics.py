"""Figures of a period, counted on both engines as by hand."""

from __future__ import annotations

from typing import Any

from store_faults import DAY
from workflow_world import done, execution, running, step

from gateway.store.engine import Database
from gateway.store.totals import Percentiles
from gateway.store.workflows import analytics, attempts, executions, steps
from gateway.store.workflows.analytics import NodeFigures
from gateway.workflows.kept import Failure, Spent


def node(name: str, kind: str, spent: Spent, **facts: Any) -> NodeFigures:
    values: dict[str, Any] = {"succeeded": 0, "failed": 0, "skipped": 0, "tries": 0, "mean_s": None, "longest_s": None}
    values |= facts
    return NodeFigures(node_id=name, kind=kind, spent=spent, **values)


async def test_the_figures_of_a_period(database: Database) -> None:
    for number in range(1, 5):
        fence = await running(database, number)  # begun at 5, whatever its number
        cost = Spent(0.5 * number, 10, 5, number % 2)
        one = done("a", number, spent=cost, completed_at=DAY + 10 + number)
        await steps.put(database, fence, one, "step.succeeded", now=DAY + 10, spent=cost)
        await steps.put(database, fence, step("m", number, kind="map", tries=3), "step.started", now=DAY + 10)
        item = done("m", number, item=0, kind="template", spent=Spent(0.125), completed_at=DAY + 99)
        await steps.put(database, fence, item, "step.succeeded", now=DAY + 10, spent=Spent(0.125))
        failed = step("m", number, kind="map", status="failed", tries=3, error=Failure("x", "y"))
        await steps.put(database, fence, failed, "step.failed", now=DAY + 10)
        await steps.put(database, fence, step("z", number, status="skipped"), "step.skipped", now=DAY + 10)
        status = "failed" if number == 4 else "completed"
        await attempts.end(database, fence, status, now=DAY + 5 + 10 * number)
    await executions.submit(database, execution(5))
    await running(database, 6, slug="digest")
    await running(database, 9)  # after the period

    found = await analytics.figures(database, since=DAY + 1, until=DAY + 9, slug="review")
    assert (found.runs, found.statuses) == (5, {"completed": 3, "failed": 1, "pending": 1})
    assert (found.success_rate, found.spent) == (0.75, Spent(5.5, 40, 20, 2))
    assert found.duration_s == Percentiles(20.0, 30.0, 30.0)
    assert found.nodes == [
        node("a", "prompt", Spent(5.0, 40, 20, 2), succeeded=4, tries=4, mean_s=2.5, longest_s=4.0),
        node("m", "map", Spent(0.5), failed=4, tries=16),
        node("z", "prompt", Spent(), skipped=4),
    ]
    assert (found.slowest(), found.most_failing()) == (["a"], ["m"])
    assert (await analytics.figures(database, since=DAY, until=DAY + 9)).runs == 6
    assert await analytics.step_counts(database) == {"succeeded": 8, "failed": 4, "skipped": 4}


async def test_a_period_without_executions_has_no_rates(database: Database) -> None:
    found = await analytics.figures(database, since=DAY, until=DAY + 9)
    assert (found.runs, found.success_rate, found.nodes, found.spent) == (0, None, [], Spent())
    assert found.duration_s == Percentiles(None, None, None)
