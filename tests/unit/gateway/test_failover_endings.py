"""Failover: what is told when nobody answers, and that every ticket ends once whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from failover_scene import Scene, Step, takes, until_deadline
from hypothesis import given, settings
from hypothesis import strategies as st
from paused_time import START, PausedLoop, paused, run, settle

from dwa import AlreadySettledError
from gateway.errors import BadRequest, GatewayError, ProvidersFailed
from gateway.failover import RetryPolicy, Won
from providers.dialect import Inexpressible
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

# ---------------------------------------------------------------------------------------------------- inexpressible


@paused
async def test_who_cannot_express_the_request_is_passed_over_without_an_attempt_or_blame() -> None:
    scene = Scene({"a": Inexpressible(("logit_bias",), "anthropic"), "b": "fine"})
    assert (await scene.run()).deployment.provider == "b"
    assert scene.encoded == ["a", "b"]
    assert scene.outcomes() == [("b", "ok")]
    assert [ending[0] for ending in scene.balancer.endings()] == ["b/m"]


@paused
async def test_when_nobody_can_express_it_the_fields_and_deployments_are_named() -> None:
    scene = Scene(
        {"a": Inexpressible(("seed", "logit_bias"), "anthropic"), "b": Inexpressible(("audio",), "gemini")},
        policy=RetryPolicy(),
    )
    error = await scene.fails()
    assert isinstance(error, BadRequest)
    assert (error.status, error.code, error.param) == (400, "unsupported_parameter", "audio")
    for name in ("a/m", "b/m", "audio", "logit_bias", "seed", "X-Steelyard-Drop-Params"):
        assert name in error.message
    assert error.attempts == []
    assert asyncio.get_running_loop().time() == START


@paused
async def test_the_verdict_is_on_those_that_were_called() -> None:
    scene = Scene({"a": Inexpressible(("seed",), "anthropic"), "b": Garbled()})
    assert (await scene.fails()).status == 502


@paused
async def test_the_inexpressible_are_not_asked_again() -> None:
    scene = Scene({"a": Inexpressible(("seed",), "anthropic"), "b": Overloaded()}, policy=RetryPolicy(rounds=1))
    await scene.fails()
    assert scene.encoded == ["a", "b", "b"]
    assert scene.calls == ["b", "b"]


@paused
async def test_passing_over_leaves_no_trace_in_the_statistics() -> None:
    scene = Scene({"a": Inexpressible(("seed",), "anthropic"), "b": "fine"})
    await scene.run()
    rows = {row.key: row for row in scene.balancer.stats()}
    assert rows["b/m"].requests == 1
    assert "a/m" not in rows or (rows["a/m"].requests, rows["a/m"].cancelled) == (0, 0)


# ---------------------------------------------------------------------------------------------------------- verdicts

_MANY = (503, "overloaded_error", "no_healthy_provider")


@pytest.mark.parametrize(
    ("faults", "verdict"),
    [
        ([Throttled(), Throttled()], (429, "rate_limit_error", "rate_limit_exceeded")),
        ([Garbled(), Garbled()], (502, "api_error", "bad_gateway")),
        ([Misconfigured(), Misconfigured()], (502, "api_error", "provider_misconfigured")),
        (
            [TimedOut("connect", 1.0), TimedOut("idle", 1.0), TimedOut("total", 1.0)],
            (504, "timeout_error", "provider_timeout"),
        ),
        ([Overloaded(), Overloaded()], _MANY),
        ([Unreachable(), Unreachable()], _MANY),
        ([Overloaded(), Unreachable()], _MANY),
        ([Throttled(), Overloaded()], _MANY),
        ([Throttled(), Garbled()], _MANY),
        ([TimedOut("connect", 1.0), Misconfigured()], _MANY),
        ([Throttled(), Throttled(), Misconfigured()], _MANY),
    ],
    ids=lambda value: ",".join(type(one).__name__ for one in value) if isinstance(value, list) else "",
)
@paused
async def test_the_verdict_is_what_all_did_alike_or_503(faults: Sequence[Fault], verdict: tuple[int, str, str]) -> None:
    # Their own total is shorter than the caller's deadline, so that one that passes is theirs.
    scene = Scene({f"p{number}": fault for number, fault in enumerate(faults)}, timeouts=Timeouts(total=1.0))
    error = await scene.fails()
    assert isinstance(error, ProvidersFailed)
    assert (error.status, error.type, error.code) == verdict
    assert error.source == "provider"
    assert [one["outcome"] for one in error.attempts] == [fault.kind for fault in faults]
    assert (error.retry_after or 0.0) > 0.0


@paused
async def test_the_verdict_tells_the_soonest_retry_after() -> None:
    error = await Scene({"a": Overloaded(retry_after=9.0), "b": Overloaded(retry_after=2.0), "c": Garbled()}).fails()
    assert error.retry_after == 2.0


@paused
async def test_the_verdict_names_the_last_three_and_what_they_said() -> None:
    error = await Scene({name: Overloaded(f"{name} is busy") for name in "abcd"}).fails()
    assert "a is busy" not in error.message
    for name in "bcd":
        assert f"{name}/m: {name} is busy" in error.message


# -------------------------------------------------------------------------------------------------------- cancelling


@paused
async def test_a_caller_that_hangs_up_blames_nobody() -> None:
    scene = Scene({"a": takes(5.0), "b": "never asked"})
    work = asyncio.create_task(scene.run())
    await settle()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert scene.calls == ["a"]
    assert scene.balancer.endings() == [("a/m", "cancelled")]
    assert scene.outcomes() == [("a", "cancelled")]


@paused
async def test_a_caller_that_hangs_up_during_the_pause_leaves_at_once() -> None:
    scene = Scene({"a": Throttled(retry_after=4.0)}, policy=RetryPolicy())
    work = asyncio.create_task(scene.run())
    await asyncio.sleep(1.0)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert asyncio.get_running_loop().time() == START + 1.0
    assert scene.balancer.endings() == [("a/m", "throttled", 4.0)]


_STEPS = st.sampled_from(
    [
        "ok",
        "slow",
        "hang",
        "defect",
        "inexpressible",
        *(Misconfigured, Throttled, Overloaded, Unreachable, Garbled, Rejected, ContextTooLong, Refused, Cut),
    ]
)


def _made(what: str | type[Fault], scene: Scene) -> Step:
    if isinstance(what, type):
        return what(retry_after=1.0)
    odd: dict[str, Step] = {
        "ok": "ok",
        "slow": takes(3.0),
        "hang": until_deadline(scene),
        "defect": ZeroDivisionError(),
        "inexpressible": Inexpressible(("seed",), "anthropic"),
    }
    return odd[what]


@given(
    scripts=st.lists(st.lists(_STEPS, min_size=1, max_size=3), min_size=1, max_size=4),
    split=st.integers(1, 4),
    hang_up=st.one_of(st.none(), st.floats(0.0, 12.0)),
    turns=st.integers(0, 12),
    rounds=st.integers(0, 3),
)
@settings(max_examples=150, deadline=None)
def test_whatever_happens_every_ticket_ends_once_and_every_call_is_recorded(
    scripts: list[list[str | type[Fault]]], split: int, hang_up: float | None, turns: int, rounds: int
) -> None:
    async def scenario() -> None:
        names = [f"p{number}" for number in range(len(scripts))]
        tiers = [tier for tier in (names[:split], names[split:]) if tier]
        blank: list[dict[str, Step | list[Step]]] = [dict.fromkeys(tier, "ok") for tier in tiers]
        scene = Scene(*blank, policy=RetryPolicy(rounds=rounds), timeout=11.0)
        for name, script in zip(names, scripts, strict=True):
            scene.scripts[f"{name}/m"] = [_made(what, scene) for what in script]
        work = asyncio.create_task(scene.run())
        if hang_up is not None:
            await asyncio.sleep(hang_up)
            await settle(turns)
            work.cancel()
        (result,) = await asyncio.gather(work, return_exceptions=True)
        assert not isinstance(result, (AlreadySettledError, AssertionError)), result
        endings = scene.balancer.endings()
        assert [key for key, *_ in endings] == [f"{name}/m" for name in scene.calls]
        assert [one.provider for one in scene.exchange.attempts] == scene.calls
        passed_over = len(scene.encoded) - len(scene.calls)
        assert 0 <= passed_over <= sum("inexpressible" in script for script in scripts)
        assert not any(row.in_flight for row in scene.balancer.stats())
        if isinstance(result, GatewayError):
            assert len(result.attempts) == len(scene.exchange.attempts)
        if isinstance(result, Won):
            assert scene.exchange.attempts[-1].outcome == "ok"

    run(scenario())


def test_paused_time_is_exact() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, PausedLoop)
        await asyncio.sleep(0.1)
        await asyncio.sleep(3600.0)
        assert loop.time() == START + 0.1 + 3600.0

    run(scenario())
