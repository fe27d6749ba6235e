"""Tries, pauses, timeouts, and what stands in for a failure."""

from __future__ import annotations

import logging
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_world import Tree, definition
from workflow_scene import Scene, refusing

from gateway.errors import BadRequest
from gateway.records import StoreUnavailable
from gateway.workflows.kept import Failure, Spent, Tried
from gateway.workflows.retrying import LONGEST_PAUSE, pause
from gateway.workflows.running import Context
from tests.unit.gateway.paused_time import paused, run


def ask(text: str = "q", **more: Any) -> Tree:
    return {"type": "prompt", "prompt": text, **more}


def one(**node: Any) -> Scene:
    return Scene(definition({"a": node or ask()}))


# ------------------------------------------------------------------------------------------------------------- retries


@pytest.mark.parametrize(("retries", "calls"), [(None, 4), (0, 1), (1, 2), (7, 8)])
def test_a_transient_fault_is_tried_as_often_as_allowed(retries: int | None, calls: int) -> None:
    async def fail() -> None:
        scene = one(**ask(retries=retries) if retries is not None else ask())
        scene.asked.plays["a"] = refusing(transient=True)
        assert (await scene.attempt()).status == "failed"
        assert scene.asked.calls["a", -1] == scene.shelf.of("a").tries == calls
        assert scene.shelf.types("a") == [
            *["step.started", "step.retrying"] * (calls - 1),
            "step.started",
            "step.failed",
        ]
        scene.shelf.next_attempt()
        await scene.attempt()
        assert scene.asked.calls["a", -1] == 2 * calls

    run(fail())


@paused
async def test_a_fault_for_good_is_not_tried_again() -> None:
    scene = one()
    scene.asked.plays["a"] = refusing(transient=False)
    await scene.attempt()
    assert scene.asked.calls["a", -1] == 1


@pytest.mark.parametrize(
    ("rule", "code", "transient", "calls"),
    [
        ("error.code == 'odd'", "odd", False, 3),
        ("error.code == 'odd'", "even", True, 1),
        ("error.type == 'api_error' and error.status is none", "x", False, 3),
        ("error.node_id.missing.deeply", "x", True, 1),
    ],
)
def test_a_rule_of_its_own_decides_instead(rule: str, code: str, transient: bool, calls: int) -> None:
    async def fail() -> None:
        scene = one(**ask(retries=2, retry_if=rule))
        scene.asked.plays["a"] = refusing(code, transient=transient)
        ended = await scene.attempt()
        assert scene.asked.calls["a", -1] == calls
        attempts = [Tried(number, code, "Refused.") for number in range(1, calls + 1)]
        assert ended.error == Failure("api_error", "Refused.", code, node_id="a", attempts=attempts)

    run(fail())


@given(st.integers(1, 200), st.integers(0, 2**32))
def test_pauses_grow_and_stay_within_their_bounds(tries: int, seed: int) -> None:
    seconds = pause(tries, random.Random(seed))
    assert 0.0 <= seconds <= min(LONGEST_PAUSE, 2.0 ** min(tries - 1, 20))


def test_pauses_use_the_whole_of_their_range() -> None:
    rng = random.Random(1)
    found = [pause(3, rng) for _ in range(400)]
    assert min(found) < 0.4
    assert 3.6 < max(found) <= 4.0


@paused
async def test_between_two_tries_it_pauses_and_holds_no_call() -> None:
    scene = one(**ask(retries=4))
    scene.asked.plays["a"] = refusing(transient=True)
    await scene.attempt()
    rng = random.Random(1)
    pauses = [pause(number, rng) for number in range(1, 5)]
    assert scene.wall() == pytest.approx(1000.0 + 5.0 + sum(pauses))


@paused
async def test_a_timeout_is_transient_and_gives_the_call_up() -> None:
    scene = one(**ask(timeout=10.0, retries=1))
    scene.asked.seconds = lambda _node, _item: 3600.0
    ended = await scene.attempt()
    assert scene.asked.calls["a", -1] == 2
    assert scene.asked.under_way == 0
    assert ended.error is not None
    assert (ended.error.type, ended.error.message) == ("timeout", "It took longer than 10 s.")
    assert scene.wall() < 1000.0 + 2 * 10.0 + 1.5


@pytest.mark.parametrize(
    ("raised", "kind", "code", "calls"),
    [
        (BadRequest("No.", param="x", code="bad"), "invalid_request_error", "bad", 1),
        (StoreUnavailable("away"), "api_error", "store_unavailable", 4),
        (ZeroDivisionError("secret"), "api_error", "internal_error", 1),
    ],
)
def test_whatever_a_body_raises_is_a_failure_of_its_step_alone(
    raised: Exception, kind: str, code: str, calls: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail() -> None:
        async def play(_context: Context, _node: Any) -> Any:
            raise raised

        scene = Scene(definition({"a": ask(), "b": ask()}))
        scene.asked.plays["a"] = play
        with caplog.at_level(logging.CRITICAL, logger="steelyard.workflows"):
            ended = await scene.attempt()
        assert ended.error is not None
        assert (ended.error.type, ended.error.code) == (kind, code)
        assert "secret" not in ended.error.message
        assert scene.asked.calls["a", -1] == calls
        assert scene.shelf.of("b").status == "succeeded"

    run(fail())


@paused
async def test_a_template_that_cannot_be_filled_is_said_and_not_tried_again() -> None:
    scene = Scene(definition({"a": ask(), "b": ask("{{ nodes.a.output.nothing }}")}, "a>b"))
    ended = await scene.attempt()
    assert ended.error is not None
    assert (ended.error.type, ended.error.node_id) == ("template_error", "b")
    assert scene.shelf.of("b").tries == 1
    assert scene.asked.calls["b", -1] == 0


# ------------------------------------------------------------------------------------------------------ forks and fails


@paused
async def test_a_default_stands_in_and_why_is_known() -> None:
    nodes = {
        "a": ask(on_error="default", default={"text": "none"}),
        "b": ask("{{ nodes.a.output.text }}{{ nodes.a.error.code }}"),
    }
    scene = Scene(definition(nodes, "a>b"))
    scene.asked.plays["a"] = refusing("why", spent=Spent(0.5))
    ended = await scene.attempt()
    assert ended.status == "completed"
    assert scene.shelf.of("b").output == {"text": "nonewhy"}
    assert scene.shelf.of("a").status == "succeeded"
    assert ended.spent.cost_usd == 0.75


@paused
async def test_a_fork_that_cannot_decide_goes_by_its_default() -> None:
    fork = {"type": "condition", "if": "nodes.a.output.nothing > 1", "on_error": "default", "default": "false"}
    ways = ({"source": "f", "target": "t", "branch": "true"}, {"source": "f", "target": "o", "branch": "false"})
    scene = Scene(definition({"a": ask(), "f": fork, "t": ask(), "o": ask()}, "a>f", *ways))
    assert (await scene.attempt()).status == "completed"
    assert (scene.shelf.of("t").status, scene.shelf.of("o").status) == ("skipped", "succeeded")
    assert scene.shelf.types("t") == ["step.skipped"]
