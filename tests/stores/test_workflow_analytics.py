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
        cost = Spent(0.5 * number, 10, 5, number % 2, 0.25 * (number % 2))
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
    assert (found.success_rate, found.spent) == (0.75, Spent(5.5, 40, 20, 2, 0.5))
    assert found.duration_s == Percentiles(20.0, 30.0, 30.0)
    assert found.nodes == [
        node("a", "prompt", Spent(5.0, 40, 20, 2, 0.5), succeeded=4, tries=4, mean_s=2.5, longest_s=4.0),
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


async def test_percentiles_and_rankings_as_by_hand(database: Database) -> None:
    """Twenty executions, of 1 to 20 seconds; by nearest rank the 10th, the 19th and the 20th of them."""
    for number in range(1, 21):
        fence = await running(database, number)
        for name, seconds, kinds in (("quick", 0.5, "failed"), ("slow", float(number), "succeeded"), ("mid", 2.0, "x")):
            fails = (kinds == "failed" and number % 4 == 0) or (kinds == "x" and number == 7)
            one = done(name, number, completed_at=DAY + 10 + seconds, spent=Spent(0.001, number, 2 * number))
            if fails:
                one = step(name, number, status="failed", tries=2, error=Failure("x", "y"), completed_at=DAY + 99)
            await steps.put(database, fence, one, f"step.{one.status}", now=DAY + 10, spent=one.spent)
        await attempts.end(database, fence, "completed", now=DAY + 5 + number)
    found = await analytics.figures(database, since=DAY, until=DAY + 60)
    assert found.duration_s == Percentiles(10.0, 19.0, 20.0)
    by_name = {one.node_id: one for one in found.nodes}
    assert by_name["slow"].mean_s == 10.5  # (1 + … + 20) / 20
    assert by_name["slow"].longest_s == 20.0
    assert (by_name["quick"].mean_s, by_name["quick"].succeeded, by_name["quick"].failed) == (0.5, 15, 5)
    assert (by_name["mid"].mean_s, by_name["mid"].succeeded, by_name["mid"].failed) == (2.0, 19, 1)
    assert (by_name["quick"].tries, by_name["mid"].tries) == (15 + 10, 19 + 2)
    # 210 in all, without the 4th, 8th … 20th (60), and without the 7th.
    assert [by_name[name].spent.input_tokens for name in ("slow", "quick", "mid")] == [210, 150, 203]
    assert [by_name[name].spent.output_tokens for name in ("slow", "quick", "mid")] == [420, 300, 406]
    assert found.spent == Spent(0.054, 563, 1126)
    assert found.slowest() == ["slow", "mid", "quick"]
    assert found.most_failing() == ["quick", "mid"]
