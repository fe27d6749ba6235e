"""What an execution may spend, with prompts side by side, whatever their fates: laws over all courses."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from gateway.workflows.budget import Purse, PurseCap
from tests.unit.gateway.paused_time import run

LIMIT = 5.0
#: What no sum of floats is off by, and no price comes near.
ROUNDING = 1e-9


class Fate(Struct, frozen=True):
    """A prompt: when it comes, how long it takes, what it is expected to cost and does, and how it ends."""

    at: float
    seconds: float
    expected: float
    cost: float
    ends: str


class Till:
    """What was paid, and whether a prompt was sent that did not fit."""

    def __init__(self, purse: Purse) -> None:
        self.purse = purse
        self.paid = purse.spent
        self.wrong_by = 0.0
        self.most = 0.0
        self.refused: list[tuple[float, float]] = []
        self.sent: list[int] = []

    async def prompt(self, number: int, fate: Fate) -> None:
        await asyncio.sleep(fate.at)
        async with self.purse.opened() as cap:
            # Before the answer begins it may fail over to another that costs the same.
            for key in ("a/m", "b/m")[: 1 + (fate.ends == "failover")]:
                if not await self._take(cap, key, fate.expected):
                    self.refused.append((self.purse.spent, fate.expected))
                    return
                self.sent.append(number)
                await asyncio.sleep(fate.seconds / 2)
                if fate.ends == "failed" or (fate.ends == "failover" and key == "a/m"):
                    cap.give_back(key)
                    if fate.ends == "failed":
                        return
            await asyncio.sleep(fate.seconds / 2)
            cap.cost = fate.cost
            self.paid += fate.cost
            self.wrong_by += max(0.0, fate.cost - fate.expected)

    async def _take(self, cap: PurseCap, key: str, expected: float) -> bool:
        cap.expected[key] = expected
        await cap.reserve([key])
        if not cap.fits(key):
            return False
        cap.take(key)
        self.most = max(self.most, self.purse.spent + self.purse.held)
        return True


def fates(cost: Any) -> Any:
    dollars = st.integers(0, 300).map(lambda cents: cents / 100)

    def fate(at: float, seconds: float, expected: float, cost: float | None, ends: str) -> Fate:
        return Fate(at, seconds, expected, expected if cost is None else cost, ends)

    return st.builds(
        fate,
        st.integers(0, 9).map(float),
        st.integers(0, 9).map(float),
        dollars,
        cost,
        st.sampled_from(["answered", "answered", "failed", "failover", "given up"]),
    )


async def course(prompts: list[Fate], spent: float) -> Till:
    till = Till(Purse(LIMIT, spent))
    tasks = [asyncio.create_task(till.prompt(number, one)) for number, one in enumerate(prompts)]
    for task, one in zip(tasks, prompts, strict=True):
        if one.ends == "given up":
            asyncio.get_running_loop().call_later(one.at + one.seconds / 4, task.cancel)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() or task.exception() is None for task in tasks)
    assert till.purse.held == pytest.approx(0.0, abs=ROUNDING)
    assert till.purse.spent == pytest.approx(till.paid)
    return till


@given(st.lists(fates(st.none()), max_size=15), st.sampled_from([0.0, 1.0, 5.0, 6.0]))
def test_with_exact_estimates_a_budget_is_never_exceeded(prompts: list[Fate], spent: float) -> None:
    till = run(course(prompts, spent))
    assert till.paid <= max(LIMIT, spent) + ROUNDING
    assert till.most <= max(LIMIT, spent) + ROUNDING
    for had, wanted in till.refused:
        # Nobody is refused as long as the money was there: it would have waited for those under way.
        assert had + wanted > LIMIT - ROUNDING


@given(st.lists(fates(st.integers(0, 600).map(lambda cents: cents / 100)), max_size=15), st.just(1.0))
def test_a_budget_is_exceeded_by_no_more_than_the_estimates_were_wrong_by(prompts: list[Fate], spent: float) -> None:
    till = run(course(prompts, spent))
    assert till.paid <= LIMIT + till.wrong_by + ROUNDING


@pytest.mark.parametrize("many", [1, 3])
def test_who_fits_only_when_others_are_done_waits_for_them(many: int) -> None:
    prompts = [Fate(0.0, 8.0, 2.5, 1.0, "answered") for _ in range(2 + many)]
    till = run(course(prompts, 0.0))
    expected = {1: 3.0, 3: 3.0}[many]  # 2 at once, then 1, then 2.5 does not fit beside 3
    assert (till.paid, len(till.refused)) == (expected, many - 1)


def test_a_prompt_that_fits_exactly_fits_whatever_floats_say() -> None:
    async def fit() -> list[bool]:
        till = Till(Purse(0.3))
        async with till.purse.opened() as first, till.purse.opened() as second:
            return [await till._take(first, "p/m", 0.1), await till._take(second, "p/m", 0.2)]

    assert 0.1 + 0.2 > 0.3
    assert run(fit()) == [True, True]


def test_who_has_paid_for_something_does_not_wait_for_another_who_has() -> None:
    async def both() -> list[bool]:
        till = Till(Purse(2.0))
        async with till.purse.opened() as first, till.purse.opened() as second:
            for cap in (first, second):
                assert await till._take(cap, "a/m", 0.6)
            # Both answers were paid for and are no good; for another one each would need the other's money.
            return list(await asyncio.gather(*(till._take(cap, "b/m", 1.0) for cap in (first, second))))

    assert run(both()) == [False, False]
