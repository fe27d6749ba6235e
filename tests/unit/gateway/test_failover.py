"""Failover: who is asked, in what order, how often, and what becomes of every ticket."""

from __future__ import annotations

import asyncio
from math import isclose

import pytest
from failover_scene import Scene, takes, until_deadline
from hypothesis import given, settings
from hypothesis import strategies as st
from paused_time import START, paused, run

from dwa import Shape
from gateway.errors import DeadlineExceeded, ProviderRejected
from gateway.failover import RetryPolicy
from providers.errors import (
    ContextTooLong,
    Cut,
    Fault,
    Garbled,
    Misconfigured,
    Overloaded,
    Refused,
    Rejected,
    Throttled,
    TimedOut,
    Unreachable,
)
from providers.transport import Timeouts

# ---------------------------------------------------------------------------------------------------- one fault each


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        (Misconfigured(), ("failure", "misconfigured", False)),
        (Throttled(retry_after=7.0), ("throttled", 7.0)),
        (Throttled(), ("throttled", None)),
        (Overloaded(), ("failure", "overloaded", False)),
        (TimedOut("first_byte", 1.0), ("failure", "timed_out", False)),
        (TimedOut("connect", 1.0), ("failure", "timed_out", False)),
        (Unreachable(), ("failure", "unreachable", False)),
        (Garbled(), ("failure", "garbled", False)),
    ],
    ids=lambda value: type(value).__name__,
)
@paused
async def test_a_fault_of_a_provider_or_operator_moves_on_and_is_blamed(
    fault: Fault, ending: tuple[object, ...]
) -> None:
    scene = Scene({"a": fault, "b": "fine"})
    won = await scene.run()
    assert won.answer == "fine"
    assert won.deployment.provider == "b"
    assert scene.calls == ["a", "b"]
    assert scene.outcomes() == [("a", fault.kind), ("b", "ok")]
    assert scene.balancer.endings() == [("a/m", *ending), ("b/m", "success", 10, 10, None, 0)]


@pytest.mark.parametrize("fault", [Rejected(), ContextTooLong(), Refused()], ids=lambda fault: type(fault).__name__)
@paused
async def test_a_fault_of_the_caller_ends_it_and_blames_nobody(fault: Fault) -> None:
    scene = Scene({"a": fault, "b": "never asked"}, policy=RetryPolicy())
    error = await scene.fails()
    assert isinstance(error, ProviderRejected)
    assert error.status == 400
    assert error.__cause__ is fault
    assert scene.calls == ["a"]
    assert scene.balancer.endings() == [("a/m", "caller_error")]
    assert error.attempts == [{"provider": "a", "model": "m", "outcome": fault.kind, "seconds": 0.0}]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Rejected(), 400, "invalid_request"),
        (Rejected(status=400, code="bad_tool"), 400, "bad_tool"),
        (Rejected(status=422), 422, "invalid_request"),
        (Rejected(status=413), 413, "invalid_request"),
        (Rejected(status=418), 400, "invalid_request"),
        (ContextTooLong(code="whatever"), 400, "context_length_exceeded"),
        (Refused(code="whatever"), 400, "content_policy_violation"),
    ],
)
@paused
async def test_the_callers_error_keeps_the_providers_verdict(fault: Fault, status: int, code: str) -> None:
    fault.param = "tools"
    error = await Scene({"a": fault}).fails()
    assert (error.status, error.code, error.param, error.source) == (status, code, "tools", "provider")


@paused
async def test_a_cut_before_anything_was_sent_ends_it_and_is_blamed() -> None:
    scene = Scene({"a": Cut(), "b": "never asked"})
    error = await scene.fails()
    assert error.status == 503
    assert scene.calls == ["a"]
    assert scene.balancer.endings() == [("a/m", "failure", "cut", False)]


@paused
async def test_a_defect_of_ours_is_nobodys_fault_and_is_not_retried() -> None:
    scene = Scene({"a": ZeroDivisionError(), "b": "never asked"}, policy=RetryPolicy())
    with pytest.raises(ZeroDivisionError):
        await scene.run()
    assert scene.calls == ["a"]
    assert scene.balancer.endings() == [("a/m", "cancelled")]
    assert scene.outcomes() == [("a", "cancelled")]


@paused
async def test_an_attempt_records_what_the_provider_said_and_how_long_it_took() -> None:
    fault = Overloaded("busy", status=529, code="overloaded_error")
    scene = Scene({"a": takes(2.0, fault), "b": takes(3.0)})
    await scene.run()
    failed, good = scene.exchange.attempts
    assert (failed.status, failed.code, failed.message) == (529, "overloaded_error", "busy")
    assert (failed.started, failed.seconds) == (0.0, 2.0)
    assert (good.started, good.seconds, good.outcome) == (2.0, 3.0, "ok")
    assert scene.exchange.upstream_seconds == 5.0


@paused
async def test_the_first_ranking_is_the_one_that_is_told() -> None:
    scene = Scene({"a": Garbled()}, {"b": "fine"})
    await scene.run()
    assert scene.exchange.ranking is not None
    assert [one.key for one in scene.exchange.ranking.candidates] == ["a/m"]
    assert scene.exchange.reason == "strategy:priority"


# ---------------------------------------------------------------------------------------------------------- retrying


@paused
async def test_another_deployment_is_always_tried_before_the_same_one_again() -> None:
    scene = Scene({"a": [Overloaded(), "again"], "b": Overloaded(), "c": Overloaded()}, policy=RetryPolicy())
    assert (await scene.run()).deployment.provider == "a"
    assert scene.calls == ["a", "b", "c", "a"]


@paused
async def test_each_tier_is_asked_when_all_before_it_have_failed() -> None:
    scene = Scene({"a": Garbled(), "b": Garbled()}, {"c": Garbled()}, {"d": "fine", "e": "never asked"})
    assert (await scene.run()).deployment.provider == "d"
    assert scene.calls == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("fault", "again"),
    [
        (Overloaded(), True),
        (Unreachable(), True),
        (Throttled(retry_after=0.1), True),
        (Misconfigured(), False),
        (Garbled(), False),
        (TimedOut("first_byte", 1.0), False),
    ],
    ids=lambda value: type(value).__name__,
)
@paused
async def test_only_what_may_pass_is_asked_again(fault: Fault, again: bool) -> None:
    scene = Scene({"a": [fault, "again"]}, policy=RetryPolicy(rounds=1))
    if again:
        assert (await scene.run()).answer == "again"
    else:
        await scene.fails()
    assert len(scene.calls) == 1 + again


@paused
async def test_retrying_ends_with_the_policys_rounds() -> None:
    scene = Scene({"a": Overloaded()}, policy=RetryPolicy(rounds=2))
    error = await scene.fails()
    assert scene.calls == ["a"] * 3
    assert len(error.attempts) == 3
    assert scene.outcomes() == [("a", "overloaded")] * 3


@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_pauses_double_and_are_jittered_by_half(seed: int) -> None:
    async def scenario() -> None:
        policy = RetryPolicy(rounds=3, first_pause=0.5, longest_pause=60.0)
        scene = Scene({"a": Overloaded()}, policy=policy, seed=seed)
        await scene.fails()
        pauses = [later - earlier for earlier, later in zip(scene.times, scene.times[1:], strict=False)]
        for number, pause in enumerate(pauses):
            middle = 0.5 * 2**number
            assert 0.5 * middle <= pause + 1e-9
            assert pause - 1e-9 <= 1.5 * middle
        assert len(pauses) == 3

    run(scenario())


@paused
async def test_two_requests_do_not_wait_equally_long() -> None:
    first = Scene({"a": Overloaded()}, policy=RetryPolicy(rounds=1), seed=1)
    await first.fails()
    between = asyncio.get_running_loop().time() - START
    second = Scene({"a": Overloaded()}, policy=RetryPolicy(rounds=1), seed=2)
    await second.fails()
    assert not isclose(first.times[1], second.times[1] - between)


@paused
async def test_retry_after_is_obeyed_to_the_letter() -> None:
    scene = Scene({"a": [Throttled(retry_after=4.0), "again"]}, policy=RetryPolicy(rounds=1, first_pause=0.1))
    assert (await scene.run()).answer == "again"
    assert scene.times[0] == 0.0
    assert 4.0 <= scene.times[1] < 4.01


@paused
async def test_the_pause_ends_with_the_first_that_may_be_asked() -> None:
    scene = Scene(
        {"a": Throttled(retry_after=40.0), "b": [Throttled(retry_after=3.0), "again"]}, policy=RetryPolicy(rounds=1)
    )
    assert (await scene.run()).deployment.provider == "b"
    assert 3.0 <= scene.times[2] < 3.01
    assert scene.calls == ["a", "b", "b"]


@paused
async def test_a_throttled_deployment_is_not_asked_before_its_time_while_another_is_retried() -> None:
    scene = Scene({"a": Throttled(retry_after=30.0), "b": [Overloaded(), "again"]}, policy=RetryPolicy(rounds=1))
    assert (await scene.run()).deployment.provider == "b"
    assert scene.calls == ["a", "b", "b"]


@paused
async def test_a_pause_longer_than_the_policys_ends_it_with_429_and_retry_after() -> None:
    scene = Scene({"a": Throttled(retry_after=30.0), "b": Throttled(retry_after=20.0)}, policy=RetryPolicy())
    error = await scene.fails()
    assert (error.status, error.type, error.code) == (429, "rate_limit_error", "rate_limit_exceeded")
    assert error.retry_after == 20.0
    assert scene.calls == ["a", "b"]
    assert asyncio.get_running_loop().time() == START


@paused
async def test_the_excluded_are_asked_once_they_may_be() -> None:
    scene = Scene({"a": "back"}, policy=RetryPolicy(rounds=1))
    scene.balancer.begin(scene.tiers[0][0].candidate, Shape(100)).throttled(2.0)
    assert (await scene.run()).answer == "back"
    assert 2.0 <= scene.times[0] < 2.01


@paused
async def test_nobody_is_asked_while_everybody_is_excluded_for_long() -> None:
    scene = Scene({"a": "too early"}, policy=RetryPolicy())
    scene.balancer.begin(scene.tiers[0][0].candidate, Shape(100)).throttled(50.0)
    error = await scene.fails()
    assert scene.calls == []
    assert isclose(error.retry_after or 0.0, 50.0)
    assert (error.status, error.type) == (429, "rate_limit_error")
    assert error.attempts == []


@paused
async def test_the_excluded_of_an_earlier_tier_are_waited_for() -> None:
    scene = Scene({"a": "back"}, {"b": Garbled()}, policy=RetryPolicy(rounds=1))
    scene.balancer.begin(scene.tiers[0][0].candidate, Shape(100)).throttled(3.0)
    assert (await scene.run()).answer == "back"
    assert scene.calls == ["b", "a"]


def test_a_timer_that_is_rounded_down_costs_no_round() -> None:
    async def scenario() -> None:
        scene = Scene({"a": [Throttled(retry_after=4.0), "again"]}, policy=RetryPolicy(rounds=1, first_pause=0.1))
        assert (await scene.run()).answer == "again"

    run(scenario(), early=0.0004)


# ---------------------------------------------------------------------------------------------------------- deadline


@paused
async def test_the_deadline_ends_everything() -> None:
    scene = Scene({"a": "", "b": "never asked"}, policy=RetryPolicy(), timeout=30.0)
    scene.scripts["a/m"] = [until_deadline(scene)]
    error = await scene.fails()
    assert isinstance(error, DeadlineExceeded)
    assert error.status == 408
    assert scene.calls == ["a"]
    assert asyncio.get_running_loop().time() == START + 30.0
    assert error.attempts == [{"provider": "a", "model": "m", "outcome": "timed_out", "seconds": 30.0}]


@pytest.mark.parametrize(
    ("allowed", "ending"),
    [(9.9, ("cancelled",)), (10.0, ("failure", "timed_out", False)), (60.0, ("failure", "timed_out", False))],
)
@paused
async def test_the_deadline_blames_only_who_had_a_fair_chance(allowed: float, ending: tuple[object, ...]) -> None:
    scene = Scene({"a": ""}, timeout=allowed)
    scene.scripts["a/m"] = [until_deadline(scene)]
    await scene.fails()
    assert scene.balancer.endings() == [("a/m", *ending)]


@paused
async def test_who_was_asked_late_is_not_blamed_for_the_deadline() -> None:
    scene = Scene({"a": takes(25.0, Overloaded()), "b": ""}, timeout=30.0)
    scene.scripts["b/m"] = [until_deadline(scene)]
    assert (await scene.fails()).status == 408
    assert scene.balancer.endings() == [("a/m", "failure", "overloaded", False), ("b/m", "cancelled")]


def test_a_deadline_that_goes_off_early_is_still_the_deadline() -> None:
    async def scenario() -> None:
        scene = Scene({"a": "", "b": ""}, timeout=0.1)
        scene.scripts["a/m"] = [until_deadline(scene)]
        scene.scripts["b/m"] = [until_deadline(scene)]
        error = await scene.fails()
        assert [ending[1] for ending in scene.balancer.endings()] == ["cancelled"] * len(scene.calls)
        assert error.status == 408

    run(scenario(), early=0.0004)


@paused
async def test_a_timeout_of_the_deployments_own_is_no_deadline() -> None:
    scene = Scene({"a": takes(5.0, TimedOut("first_byte", 5.0)), "b": "fine"}, timeout=30.0)
    assert (await scene.run()).answer == "fine"
    assert scene.balancer.endings()[0] == ("a/m", "failure", "timed_out", False)


@paused
async def test_a_total_of_the_deployments_own_that_passes_before_the_deadline_is_no_deadline() -> None:
    own = Timeouts(total=5.0)
    scene = Scene({"a": takes(5.0, TimedOut("total", 5.0)), "b": "fine"}, timeout=30.0, timeouts=own)
    assert (await scene.run()).answer == "fine"
    assert scene.balancer.endings()[0] == ("a/m", "failure", "timed_out", False)


@paused
async def test_no_attempt_begins_after_the_deadline() -> None:
    scene = Scene({"a": takes(31.0, Overloaded()), "b": "never asked"}, timeout=30.0)
    assert isinstance(await scene.fails(), DeadlineExceeded)
    assert scene.calls == ["a"]


@paused
async def test_a_pause_beyond_the_deadline_is_not_begun() -> None:
    scene = Scene({"a": Throttled(retry_after=4.0)}, policy=RetryPolicy(), timeout=3.0)
    error = await scene.fails()
    assert error.status == 429
    assert error.retry_after == 4.0
    assert asyncio.get_running_loop().time() == START


@paused
async def test_only_the_first_try_of_another_after_a_failure_tells_whether_they_fail_together() -> None:
    scene = Scene(
        {"a": Overloaded(), "b": [Throttled(retry_after=0.5), Overloaded()], "c": [Overloaded(), "again"]},
        policy=RetryPolicy(rounds=1),
    )
    assert (await scene.run()).answer == "again"
    assert scene.calls == ["a", "b", "c", "a", "c"]
    # b refused, so c comes after no failure; and the second round asks nobody for the first time.
    assert scene.sequels == ["b"]
