"""Hedging: a second deployment is asked beside one that is overdue, the first good answer wins, no task outlives it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import isclose

import pytest
from failover_scene import Scene, takes, until_deadline
from hypothesis import given, settings
from hypothesis import strategies as st
from paused_time import paused, run, settle

from gateway.errors import DeadlineExceeded, GatewayError, ProviderRejected
from gateway.failover import RetryPolicy
from providers.dialect import Inexpressible
from providers.errors import Fault, Overloaded, Rejected, Throttled

#: Seconds after which a taught deployment's first token is overdue, and surely by when it is.
DUE, LATE = 0.25, 1.5


def now() -> float:
    return asyncio.get_running_loop().time()


def alone() -> bool:
    """Nothing of the gateway's runs but the test."""
    return asyncio.all_tasks() == {asyncio.current_task()}


def hangs(left: list[str], who: str) -> Callable[[], Awaitable[str]]:
    """Never answers; says when its call is closed."""

    async def step() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            left.append(who)
        return "never"

    return step


@paused
async def test_an_overdue_request_is_sent_to_the_next_and_the_first_answer_wins() -> None:
    left: list[str] = []
    scene = Scene({"a": "", "b": takes(0.2, "here"), "c": "never asked"}, hedge=True)
    scene.scripts["a/m"] = [hangs(left, "a")]
    won = await scene.run()
    assert (won.answer, scene.calls, left) == ("here", ["a", "b"], ["a"])
    assert DUE < scene.times[1] < LATE
    assert scene.outcomes() == [("a", "hedged"), ("b", "ok")]
    assert scene.balancer.endings() == [("a/m", "outrun"), ("b/m", "success", 10, 10, None, 0)]
    assert alone()


@paused
async def test_time_waited_is_counted_once_and_attempts_tell_when_each_began() -> None:
    scene = Scene({"a": takes(90.0), "b": takes(0.2, "here")}, hedge=True)
    await scene.run()
    waited = now() - scene.exchange.began
    assert isclose(scene.exchange.upstream_seconds, waited)
    first, second = scene.exchange.attempts
    assert (first.started, isclose(first.seconds, waited)) == (0.0, True)
    assert isclose(second.started, scene.times[1])
    assert isclose(second.started + second.seconds, waited)


@paused
async def test_off_by_default_the_slow_is_waited_for() -> None:
    scene = Scene({"a": takes(50.0, "late"), "b": "never asked"})
    assert (await scene.run()).answer == "late"
    assert scene.calls == ["a"]


@paused
async def test_one_that_is_in_time_is_asked_alone() -> None:
    scene = Scene({"a": takes(0.2, "in time"), "b": "never asked"}, hedge=True)
    assert (await scene.run()).answer == "in time"
    assert (scene.calls, scene.outcomes()) == (["a"], [("a", "ok")])
    assert isclose(scene.exchange.upstream_seconds, 0.2)


@paused
async def test_the_first_may_win_after_all_and_is_told_of_last() -> None:
    left: list[str] = []
    scene = Scene({"a": takes(3.0, "after all"), "b": ""}, hedge=True)
    scene.scripts["b/m"] = [hangs(left, "b")]
    assert (await scene.run()).answer == "after all"
    assert (scene.outcomes(), left) == ([("b", "hedged"), ("a", "ok")], ["b"])
    assert scene.balancer.endings() == [("a/m", "success", 10, 10, None, 0), ("b/m", "outrun")]
    assert alone()


@pytest.mark.parametrize("fault", [Overloaded(), Throttled()], ids=lambda fault: type(fault).__name__)
@paused
async def test_if_one_fails_the_other_goes_on_as_the_failover(fault: Fault) -> None:
    scene = Scene({"a": takes(2.0, fault), "b": takes(5.0, "saved"), "c": "never asked"}, hedge=True)
    # Nobody is left to be asked when b is overdue too.
    scene.tiers = (scene.tiers[0][:2],)
    assert (await scene.run()).answer == "saved"
    assert (scene.calls, scene.outcomes()) == (["a", "b"], [("a", fault.kind), ("b", "ok")])
    assert isclose(now() - scene.exchange.began, scene.times[1] + 5.0)
    assert alone()


@paused
async def test_the_failover_may_be_hedged_itself() -> None:
    scene = Scene({"a": takes(2.0, Overloaded()), "b": takes(90.0), "c": takes(0.2, "third")}, hedge=True)
    assert (await scene.run()).answer == "third"
    assert scene.outcomes() == [("a", "overloaded"), ("b", "hedged"), ("c", "ok")]


@paused
async def test_when_both_fail_the_rest_are_asked() -> None:
    scene = Scene({"a": takes(0.5, Overloaded()), "b": takes(0.1, Overloaded()), "c": "third"}, {"d": "-"}, hedge=True)
    assert (await scene.run()).answer == "third"
    assert scene.calls == ["a", "b", "c"]
    assert [outcome for _, outcome in scene.outcomes()] == ["overloaded", "overloaded", "ok"]


@paused
async def test_when_all_fail_every_attempt_is_told() -> None:
    scene = Scene({"a": takes(2.0, Overloaded()), "b": takes(0.3, Overloaded())}, hedge=True)
    error = await scene.fails()
    assert [(one["provider"], one["outcome"]) for one in error.attempts] == [("b", "overloaded"), ("a", "overloaded")]
    assert isclose(scene.exchange.upstream_seconds, 2.0)


@paused
async def test_a_fault_of_the_caller_ends_both() -> None:
    left: list[str] = []
    scene = Scene({"a": "", "b": takes(0.1, Rejected())}, hedge=True)
    scene.scripts["a/m"] = [hangs(left, "a")]
    assert isinstance(await scene.fails(), ProviderRejected)
    assert left == ["a"]
    assert scene.balancer.endings() == [("a/m", "cancelled"), ("b/m", "caller_error")]
    assert alone()


@paused
async def test_a_caller_who_goes_away_cancels_both() -> None:
    left: list[str] = []
    scene = Scene({"a": "", "b": ""}, hedge=True)
    scene.scripts.update({f"{name}/m": [hangs(left, name)] for name in "ab"})
    asking = asyncio.create_task(scene.run())
    await asyncio.sleep(LATE)
    asking.cancel()
    # Impatient callers cancel twice: nothing may be left behind all the same.
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (sorted(left), scene.calls) == (["a", "b"], ["a", "b"])
    assert [ending[1] for ending in scene.balancer.endings()] == ["cancelled", "cancelled"]
    assert sorted(scene.outcomes()) == [("a", "cancelled"), ("b", "cancelled")]
    assert alone()


@paused
async def test_the_deadline_holds_for_both() -> None:
    scene = Scene({"a": "", "b": ""}, hedge=True, timeout=20.0, policy=RetryPolicy())
    scene.scripts.update({f"{name}/m": [until_deadline(scene)] for name in "ab"})
    error = await scene.fails()
    assert isinstance(error, DeadlineExceeded)
    assert isclose(now(), scene.deadline)
    assert len(scene.balancer.endings()) == 2
    assert alone()


@paused
async def test_of_two_answers_at_once_one_is_discarded_and_paid_for() -> None:
    both = asyncio.Event()

    async def step() -> str:
        await both.wait()
        return "here"

    scene = Scene({"a": step, "b": step}, hedge=True)
    asking = asyncio.create_task(scene.run())
    await asyncio.sleep(LATE)
    both.set()
    assert (await asking).answer == "here"
    assert scene.discarded == ["here"]
    assert [outcome for _, outcome in scene.outcomes()] == ["hedged", "ok"]
    assert [ending[1] for ending in scene.balancer.endings()] == ["success", "success"]
    assert alone()


@paused
async def test_an_answer_that_comes_as_the_caller_leaves_is_discarded() -> None:
    ready = asyncio.Event()

    async def step() -> str:
        await ready.wait()
        return "here"

    scene = Scene({"a": step, "b": "-"}, hedge=True)
    asking = asyncio.create_task(scene.run())
    await settle()
    ready.set()
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (scene.discarded, scene.outcomes()) == (["here"], [("a", "cancelled")])
    assert alone()


@paused
async def test_who_cannot_express_the_request_is_passed_over() -> None:
    scene = Scene({"a": takes(90.0), "b": Inexpressible(("x",), "openai"), "c": takes(0.2, "third")}, hedge=True)
    assert (await scene.run()).answer == "third"
    assert scene.outcomes() == [("a", "hedged"), ("c", "ok")]


@paused
async def test_only_those_of_the_same_tier_are_asked_beside() -> None:
    scene = Scene({"a": takes(5.0, "late")}, {"b": "never asked"}, hedge=True)
    assert (await scene.run()).answer == "late"
    assert scene.calls == ["a"]


@paused
async def test_no_more_than_two_are_asked_at_once() -> None:
    scene = Scene({name: takes(30.0, name) for name in "abcd"}, hedge=True)
    assert (await scene.run()).answer == "a"
    assert scene.calls == ["a", "b"]


@settings(deadline=None, max_examples=60)
@given(
    steps=st.lists(
        st.tuples(st.floats(0.0, 6.0), st.sampled_from(["ok", "overloaded", "rejected"])), min_size=1, max_size=4
    ),
    leaves=st.one_of(st.none(), st.floats(0.0, 8.0)),
    early=st.sampled_from([0.0, 0.0004]),
)
def test_whatever_happens_each_ticket_ends_once_and_no_task_is_left(
    steps: list[tuple[float, str]], leaves: float | None, early: float
) -> None:
    ends: dict[str, str | Fault] = {"ok": "here", "overloaded": Overloaded(), "rejected": Rejected()}

    async def scenario() -> None:
        script = {name: takes(seconds, ends[end]) for name, (seconds, end) in zip("abcd", steps, strict=False)}
        scene = Scene({**script}, hedge=True)
        asking = asyncio.create_task(scene.run())
        if leaves is not None:
            await asyncio.sleep(leaves)
            asking.cancel()
        with suppress(GatewayError, asyncio.CancelledError):
            await asking
        assert alone()
        assert len(scene.balancer.endings()) == len(scene.calls) == len(scene.exchange.attempts)
        assert len(set(scene.calls)) == len(scene.calls)
        assert scene.exchange.upstream_seconds <= now() - scene.exchange.began + 1e-9
        assert all(row.in_flight == 0 for row in scene.balancer.stats())
        if not asking.cancelled() and asking.exception() is None:
            assert scene.exchange.attempts[-1].outcome == "ok"

    run(scenario(), early=early)
