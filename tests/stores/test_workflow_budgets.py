"""A budget over a whole tree of executions, on both engines: reserved, settled, never exceeded by whoever is beside."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from store_faults import DAY
from workflow_office import ASK, ME, Office
from workflow_world import now_of, running

from gateway.store.engine import Database
from gateway.store.workflows import attempts, budgets, executions, forgetting
from gateway.store.workflows.budgets import Answer, Hold
from gateway.store.workflows.locked import Fence
from gateway.workflows.kept import Failure, Spent
from gateway.workflows.running import Context, Result, StepFailed


async def tree(database: Database, limit: float, *kids: float) -> list[list[str]]:
    """An execution with a budget and others within it, all running: the budgets of each."""
    chains: list[list[str]] = []
    for number, own in enumerate((limit, *kids), 1):
        await running(database, number, budget_usd=own, parent_id=None if number == 1 else "wfexec_0001")
        chains.append(await budgets.enter(database, await now_of(database, number)))
    return chains


def hold(number: int, least: float, most: float | None = None, *, kept: float = 0.0, name: str = "") -> Hold:
    return Hold(name or f"hold_{number}", f"wfexec_{number:04d}", least, least if most is None else most, kept)


async def test_all_of_a_tree_spend_from_one_budget(database: Database) -> None:
    mother, first, second = await tree(database, 1.0, 1.0, 0.3)
    assert (mother, first, second) == (["wfexec_0001"], ["wfexec_0001", "wfexec_0002"], ["wfexec_0001", "wfexec_0003"])
    assert await budgets.reserve(database, first, hold(2, 0.6)) == Answer(0.6, 1.0, 0.0, 0.0, 1.0)
    # Its own is the tighter one.
    assert await budgets.reserve(database, second, hold(3, 0.2, 0.9)) == Answer(0.3, 0.3, 0.0, 0.0, 0.3)
    assert await budgets.reserve(database, mother, hold(1, 0.2)) == Answer(None, 1.0, 0.0, 0.9, 1.0)
    assert await budgets.reserve(database, mother, hold(1, 0.05, 0.2)) == Answer(0.1, 1.0, 0.0, 0.9, 1.0)
    await budgets.settle(database, first, "hold_2", 0.25)
    assert await budgets.reserve(database, mother, hold(1, 0.4)) == Answer(0.4, 1.0, 0.25, 0.3, 0.75)
    assert await budgets.reserve(database, mother, hold(1, 0.9, kept=0.05)) == Answer(None, 1.0, 0.25, 0.3, 0.75)
    assert await budgets.reserve(database, first, hold(2, 0.4)) == Answer(0.4, 1.0, 0.25, 0.35, 0.75)


async def test_of_many_that_ask_at_once_only_those_who_fit_are_granted(database: Database) -> None:
    chains = await tree(database, 1.0, *[1.0] * 8)
    asked = [
        budgets.reserve(database, chain, hold(number, 0.3, name=f"{number}/{place}"))
        for place in range(2)
        for number, chain in enumerate(chains, 1)
    ]
    granted = [answer.granted for answer in await asyncio.gather(*asked)]
    assert sorted(usd for usd in granted if usd) == [0.3] * 3
    paid = [
        budgets.settle(database, chain, f"{number}/{place}", 0.01)
        for place in range(2)
        for number, chain in enumerate(chains, 1)
    ]
    await asyncio.gather(*paid)
    left = await budgets.reserve(database, chains[0], hold(1, 1.0))
    assert (left.granted, left.spent, left.held) == (None, 0.18, 0.0)


async def test_what_a_dead_process_held_is_given_back_and_what_it_pays_counts(database: Database) -> None:
    mother, kid = await tree(database, 1.0, 1.0)
    await budgets.reserve(database, kid, hold(2, 0.9))
    assert (await budgets.reserve(database, mother, hold(1, 0.2))).granted is None
    await budgets.enter(database, await now_of(database, 2))
    assert (await budgets.reserve(database, mother, hold(1, 0.2))).granted == 0.2
    # Thawed, it says what it has paid: its provider was, whoever runs the execution now.
    await budgets.settle(database, kid, "hold_2", 0.7)
    found = await budgets.reserve(database, mother, hold(1, 0.2))
    assert (found.granted, found.spent) == (0.2, 0.7)


async def test_what_runs_no_more_holds_nothing_and_is_forgotten(database: Database) -> None:
    mother, kid = await tree(database, 1.0, 1.0)
    await budgets.reserve(database, kid, hold(2, 0.9))
    await attempts.end(database, Fence("wfexec_0002", 1), "cancelled", now=DAY + 9)
    assert (await budgets.reserve(database, mother, hold(1, 0.8))).granted == 0.8
    await attempts.end(database, Fence("wfexec_0001", 1), "failed", now=DAY + 9)
    while (await forgetting.forget(database, DAY + 99)).executions:
        pass
    async with database.read() as connection:
        for table in (budgets.budgets, budgets.budget_holds):
            assert (await connection.execute(table.select())).all() == []


# ---------------------------------------------------------------------------------------------- together


class Shop(Office):
    """An office whose prompts cost money, and take a moment."""

    expected, cost = 1.0, 1.0

    def __init__(self, database: Database, folder: Path) -> None:
        super().__init__(database, folder)
        self.paid = 0.0
        self.at_once = self.most_at_once = 0

    async def ask(self, context: Context, node: Any, known: Any) -> Result:
        """A prompt, as the pipeline would ask it."""
        assert context.purse is not None
        async with context.purse.opened() as cap:
            cap.expected["p/m"] = self.expected
            await cap.reserve(["p/m"])
            if not cap.fits("p/m"):
                raise StepFailed(Failure("budget_exceeded", "Too dear."), transient=False)
            cap.take("p/m")
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await asyncio.sleep(0.02)
            self.at_once -= 1
            cap.cost = self.cost
            self.paid += self.cost
        return Result({"text": ""}, spent=Spent(self.cost))


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path / "artifacts")


def many(items: int, node: Any) -> dict[str, Any]:
    return {"type": "map", "over": str(list(range(items))), "node": node, "on_item_error": "null", "parallel": items}


KID: dict[str, Any] = {"type": "workflow", "slug": "kid"}


async def family(shop: Shop, limit: float, kids: int, grandkids: int = 0) -> None:
    """Prompts of an execution, of those within it, and of those within these, all side by side."""
    await shop.save("grandkid", {"a": ASK, "b": ASK})
    grand: dict[str, Any] = {"g": many(grandkids, KID | {"slug": "grandkid"})} if grandkids else {}
    await shop.save("kid", {"a": ASK, "b": ASK, **grand})
    await shop.save("top", {"own": ASK, "kids": many(kids, KID)}, budget_usd=limit)
    begun = await shop.desk.begin("top", {}, ME)
    await shop.run_side_by_side()
    ended = await executions.get(shop.database, begun.id)
    assert ended is not None
    assert ended.status in {"completed", "failed"}
    assert ended.spent.cost_usd == pytest.approx(shop.paid)


async def test_children_side_by_side_spend_no_more_than_the_budget(shop: Shop) -> None:
    await family(shop, 5.0, 4)
    # Nine prompts, of which five fit; and they do.
    assert shop.paid == 5.0
    assert shop.most_at_once > 1


async def test_grandchildren_do_not_either(shop: Shop) -> None:
    await family(shop, 7.5, 3, 2)
    assert shop.paid == 7.0


async def test_who_fits_once_others_are_done_is_not_refused(shop: Shop) -> None:
    shop.expected, shop.cost = 2.0, 0.5
    await family(shop, 5.0, 3)
    # Seven prompts at 0.5 are 3.5: the last is sent with 3.0 spent and 2.0 expected.
    assert shop.paid == 3.5
    assert shop.most_at_once == 2


async def test_it_is_exceeded_by_what_the_estimates_were_wrong_by(shop: Shop) -> None:
    shop.expected, shop.cost = 1.0, 1.5
    await family(shop, 4.0, 4)
    assert 4.0 <= shop.paid <= 6.0


async def test_what_was_spent_stays_spent_when_it_goes_on(shop: Shop) -> None:
    await family(shop, 3.0, 2)
    assert shop.paid == 3.0
    (top,) = [one for one in await all_of(shop) if one.slug == "top"]
    if top.status == "completed":
        await shop.desk.retry(top.id, ME, from_step=None, inputs=None, version=None)
    else:
        await shop.desk.resume(top.id, ME)
    await shop.run_side_by_side()
    assert shop.paid == 3.0


async def all_of(shop: Shop) -> list[Any]:
    return (await executions.listed(shop.database, executions.Filters())).items
