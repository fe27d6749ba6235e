"""The runner: a database that is away ends nothing, and nothing leaves an execution that nobody runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from plan_world import definition
from workflow_scene import LIMITS, Scene, Shelf

from gateway.records import StoreUnavailable
from gateway.workflows.kept import Execution, StepExecution
from gateway.workflows.runner import Patient, Runner
from gateway.workflows.spec import Definition
from tests.unit.gateway.paused_time import paused

ASK = {"type": "prompt", "prompt": "q"}


class Run:
    """A runner over a scene; who was told that an attempt is over."""

    def __init__(self, scene: Scene, *, away: int = 0) -> None:
        self.scene = scene
        self.told: list[str] = []
        self.away = away
        self.runner = Runner(
            scene.shelf, self.definition, scene.performer, limits=LIMITS, wall=scene.wall, ended=self.ended
        )

    async def definition(self, _slug: str, _version: int) -> Definition:
        self._answer()
        return self.scene.definition

    async def ended(self, execution: Execution) -> None:
        self._answer()
        await self.heard(execution)

    async def heard(self, execution: Execution) -> None:
        self.told.append(execution.id)

    async def __call__(self, attempt: int = 1) -> Execution:
        await self.runner("wfexec_1", attempt, self.scene.around)
        return self.scene.shelf.execution

    def _answer(self) -> None:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")


@paused
async def test_an_attempt_is_run_to_its_end_and_that_is_told() -> None:
    run = Run(Scene(definition({"a": ASK})))
    assert (await run()).status == "completed"
    assert run.told == ["wfexec_1"]


@paused
async def test_a_database_that_is_away_at_any_time_is_waited_for() -> None:
    for place in range(8):
        scene = Scene(definition({"a": ASK, "b": ASK}, "a>b"))
        run = Run(scene, away=3)
        answers = 0
        real = scene.shelf._answer

        def answer(real: Callable[[], None] = real, scene: Scene = scene, place: int = place) -> None:
            nonlocal answers
            answers += 1
            if answers == place:
                scene.shelf.away = 5
            real()

        scene.shelf._answer = answer
        began = scene.wall()
        assert (await run()).status == "completed"
        assert scene.wall() - began >= 3.0
        assert scene.asked.calls == {("a", -1): 1, ("b", -1): 1}
        assert run.told == ["wfexec_1"]


@paused
async def test_a_wish_that_cannot_be_read_is_none() -> None:
    shelf = Shelf()
    shelf.away = 1
    assert await Patient(shelf).cancelled("wfexec_1", 1) == (False, frozenset())


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "waiting"])
async def test_an_execution_that_has_ended_is_not_run(status: Any) -> None:
    run = Run(Scene(definition({"a": ASK})))
    run.scene.shelf.execution.status = status
    await run()
    assert (run.scene.began, run.told) == ([], [])


async def test_an_attempt_that_was_superseded_is_not_run_and_not_told() -> None:
    run = Run(Scene(definition({"a": ASK})))
    run.scene.shelf.execution.attempt = 2
    await run(1)
    assert (run.scene.began, run.told) == ([], [])


@paused
async def test_one_that_is_superseded_while_it_runs_ends_nothing() -> None:
    run = Run(Scene(definition({"a": ASK})))
    running = asyncio.create_task(run())
    await asyncio.sleep(0.5)
    run.scene.shelf.execution.attempt = 2
    assert (await running).status == "running"
    assert run.told == []


@paused
async def test_a_success_whose_last_word_was_lost_is_neither_lost_nor_counted_twice() -> None:
    class Forgetful(Shelf):
        lost = False

        async def put(self, attempt: int, step: StepExecution, event: str, **more: Any) -> bool:
            won = await super().put(attempt, step, event, **more)
            if event == "step.succeeded" and not self.lost:
                self.lost = True
                raise StoreUnavailable("the connection broke on the last word")
            return won

    run = Run(Scene(definition({"a": ASK}), shelf=Forgetful()))
    ended = await run()
    assert (ended.status, ended.spent.cost_usd) == ("completed", 0.25)
    assert ended.outputs == {"a": {"text": "q"}}


@paused
async def test_what_somebody_else_has_kept_is_what_counts() -> None:
    scene = Scene(definition({"a": ASK, "b": {"type": "prompt", "prompt": "{{ nodes.a.output.text }}"}}, "a>b"))
    run = Run(scene)
    running = asyncio.create_task(run())
    await asyncio.sleep(0.5)
    step = scene.shelf.of("a")
    step.status, step.output = "succeeded", {"text": "theirs"}
    assert (await running).status == "completed"
    assert scene.shelf.of("b").output == {"text": "theirs"}


@pytest.mark.parametrize("where", ["put", "steps"])
def test_a_defect_ends_the_execution_and_is_told(where: str, caplog: pytest.LogCaptureFixture) -> None:
    @paused
    async def broken() -> None:
        shelf = Shelf()

        async def fail(*_args: Any, **_more: Any) -> Any:
            raise ZeroDivisionError("secret")

        setattr(shelf, where, fail)
        run = Run(Scene(definition({"a": ASK, "b": ASK}), shelf=shelf))
        with caplog.at_level(logging.CRITICAL, logger="steelyard.workflows"):
            ended = await run()
        assert ended.status == "failed"
        assert ended.error is not None
        assert ended.error.code == "internal_error"
        assert "secret" not in ended.error.message
        assert run.told == ["wfexec_1"]

    broken()


@paused
async def test_a_definition_that_cannot_be_read_any_more_fails_its_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(Scene(definition({"a": ASK})))

    def unreadable() -> None:
        raise ValueError("of another time")

    monkeypatch.setattr(run, "_answer", unreadable)
    monkeypatch.setattr(run.runner, "_ended", run.heard)
    ended = await run()
    assert ended.error is not None
    assert (ended.status, ended.error.code) == ("failed", "internal_error")
    assert run.told == ["wfexec_1"]
