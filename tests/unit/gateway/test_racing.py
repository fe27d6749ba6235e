"""Races that were asked for: several from the start, the first good answer wins, what is spent stays in its bound."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import isclose

import pytest
from failover_scene import Scene, Step, takes, until_deadline
from hypothesis import given, settings
from hypothesis import strategies as st
from paused_time import paused, run, settle

from dwa import BALANCED, Shape
from gateway.capping import Cap
from gateway.errors import BadRequest, DeadlineExceeded, ProviderRejected, ProvidersFailed
from gateway.failover import Choosing, RetryPolicy
from providers.dialect import Inexpressible
from providers.errors import Overloaded, Rejected


def race(width: int, **steps: Step | list[Step]) -> Scene:
    scene = Scene(dict(steps))
    scene.exchange.preferences.race = width
    return scene


def bounded(scene: Scene, answers: float) -> Scene:
    """As much money as so many answers are expected to cost."""
    tier = scene.tiers[0]
    (each,) = set(scene.failover.expected_costs(tier, Choosing(Shape(100), "priority", BALANCED)).values())
    scene.exchange.cap = Cap(each * answers)
    return scene


def alone() -> bool:
    """Nothing of the gateway's runs but the test."""
    return asyncio.all_tasks() == {asyncio.current_task()}


def refused(scene: Scene) -> set[str]:
    assert scene.exchange.cap is not None
    return {one.provider for one in scene.exchange.cap.unstarted()}


@paused
async def test_so_many_are_asked_at_once_and_the_quickest_wins() -> None:
    scene = race(2, a=takes(9.0), b=takes(0.5, "here"), c="never asked")
    won = await scene.run()
    assert (won.answer, scene.calls, scene.times) == ("here", ["a", "b"], [0.0, 0.0])
    assert scene.outcomes() == [("a", "hedged"), ("b", "ok")]
    assert scene.balancer.endings() == [("a/m", "outrun"), ("b/m", "success", 10, 10, None, 0)]
    assert isclose(scene.exchange.upstream_seconds, 0.5)
    assert alone()


@paused
async def test_whoever_fails_is_replaced_at_once() -> None:
    scene = race(2, a=takes(1.0, Overloaded()), b=takes(9.0), c=takes(0.5, "third"), d="never asked")
    assert (await scene.run()).answer == "third"
    assert (scene.calls, scene.times) == (["a", "b", "c"], [0.0, 0.0, 1.0])
    assert scene.outcomes() == [("a", "overloaded"), ("b", "hedged"), ("c", "ok")]
    assert alone()


@paused
async def test_one_that_cannot_be_asked_leaves_its_place_to_the_next() -> None:
    scene = race(2, a=Inexpressible(("top_k",), "openai"), b=takes(1.0, "here"), c=takes(9.0))
    assert (await scene.run()).answer == "here"
    assert scene.calls == ["b", "c"]


@paused
async def test_what_one_rejects_another_may_answer() -> None:
    scene = race(2, a=takes(0.1, Rejected()), b=takes(1.0, "here"), c="never asked")
    assert (await scene.run()).answer == "here"
    assert scene.outcomes() == [("a", "rejected"), ("b", "ok")]


@paused
async def test_a_rejection_counts_when_nobody_answers_and_nobody_else_is_asked_after_it() -> None:
    scene = race(2, a=takes(0.1, Rejected()), b=takes(1.0, Overloaded()), c="never asked")
    assert isinstance(await scene.fails(), ProviderRejected)
    assert scene.calls == ["a", "b"]
    assert alone()


@paused
async def test_two_answers_at_the_same_moment_are_both_paid_for() -> None:
    scene = race(2, a=takes(1.0, "one"), b=takes(1.0, "other"))
    won = await scene.run()
    assert [won.answer, *scene.discarded] in (["one", "other"], ["other", "one"])
    assert [ending[1] for ending in scene.balancer.endings()] == ["success", "success"]
    assert sorted(outcome for _, outcome in scene.outcomes()) == ["hedged", "ok"]


@paused
async def test_when_all_have_failed_the_loop_goes_on_as_ever() -> None:
    scene = Scene({"a": [Overloaded(), "again"], "b": Overloaded()}, {"c": Overloaded()}, policy=RetryPolicy(rounds=1))
    scene.exchange.preferences.race = 2
    assert (await scene.run()).answer == "again"
    assert scene.calls[:3] == ["a", "b", "c"]


@paused
async def test_the_deadline_ends_it_for_all() -> None:
    scene = Scene({"a": "", "b": "", "c": ""}, timeout=5.0)
    scene.exchange.preferences.race = 3
    for key in scene.scripts:
        scene.scripts[key] = [until_deadline(scene)]
    assert isinstance(await scene.fails(), DeadlineExceeded)
    assert len(scene.balancer.endings()) == 3
    assert alone()


@paused
async def test_a_caller_who_leaves_takes_all_calls_along() -> None:
    scene = race(3, a=takes(9.0), b=takes(9.0), c=takes(9.0))
    work = asyncio.create_task(scene.run())
    await settle()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert {ending[1] for ending in scene.balancer.endings()} == {"cancelled"}
    assert {outcome for _, outcome in scene.outcomes()} == {"cancelled"}
    assert alone()


# Bounds on costs


@paused
async def test_only_so_many_are_started_as_can_be_afforded() -> None:
    scene = bounded(race(4, a=takes(9.0), b=takes(1.0, "here"), c="never asked", d="never asked"), 2.5)
    assert (await scene.run()).answer == "here"
    assert scene.calls == ["a", "b"]
    assert refused(scene) == {"c", "d"}


@paused
async def test_what_one_that_failed_would_have_cost_is_there_for_another() -> None:
    scene = bounded(race(4, a=takes(1.0, Overloaded()), b=takes(1.0, Overloaded()), c="here"), 1.5)
    assert (await scene.run()).answer == "here"
    assert (scene.calls, scene.times) == (["a", "b", "c"], [0.0, 1.0, 2.0])
    assert refused(scene) == set()


@paused
async def test_below_everybody_nobody_is_asked() -> None:
    scene = bounded(race(4, a="never", b="never"), 0.5)
    error = await scene.fails()
    assert (type(error), error.param, error.code) == (BadRequest, "max_cost_usd", "max_cost_exceeded")
    assert scene.calls == []


@paused
async def test_the_bound_holds_for_those_asked_one_by_one_and_failures_give_back() -> None:
    scene = bounded(Scene({"a": Overloaded(), "b": Overloaded(), "c": "here"}), 1.0)
    assert (await scene.run()).answer == "here"
    assert scene.calls == ["a", "b", "c"]


ENDS = st.sampled_from([None, "good", "down", "wrong"])


@settings(max_examples=60, deadline=None)
@given(
    script=st.lists(st.tuples(st.integers(0, 5), ENDS), min_size=1, max_size=6),
    width=st.integers(1, 4),
    money=st.one_of(st.none(), st.integers(1, 4)),
)
def test_however_it_goes_every_ticket_ends_once_and_nobody_runs_on(
    script: Sequence[tuple[int, str | None]], width: int, money: int | None
) -> None:
    async def play() -> None:
        ends: dict[str | None, str | BaseException] = {"down": Overloaded(), "wrong": Rejected()}
        steps = {
            chr(97 + n): takes(600.0 if end is None else float(after), ends.get(end, "good"))
            for n, (after, end) in enumerate(script)
        }
        scene = race(width, **steps)
        if money is not None:
            bounded(scene, money)
        try:
            won = await scene.run()
        except (ProvidersFailed, ProviderRejected):
            assert not any(end in ("good", None) for _, end in script[: len(scene.calls)])
        else:
            assert won.answer == "good"
        scene.balancer.endings()
        assert len(scene.exchange.attempts) == len(scene.calls)
        assert alone()
        starts = [one.started for one in scene.exchange.attempts]
        at_once = min(width, money or width, len(script))
        assert starts.count(0.0) >= 1
        quick = any(after == 0 for after, _ in script)
        assert quick or starts.count(0.0) <= at_once

    run(play())
