"""Nodes of many steps: a map runs its inner node for each item of a list, a loop again and again until it is content.

Each item and each round is a step execution of its own, hence kept and never paid twice; the node itself is one, too,
and sums them up. After a crash a map asks only for the items that are missing, a loop goes on after its last round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from itertools import count
from typing import Any, TypeVar

from gateway.workflows.bind import Scope
from gateway.workflows.kept import Failure, StepExecution
from gateway.workflows.plan import FAILED
from gateway.workflows.running import Context, Result, StepFailed
from gateway.workflows.spec import Json, Loop, Map, elements
from gateway.workflows.templates import evaluate

_T = TypeVar("_T")


async def map_items(context: Context, node: Map, known: Scope) -> Result:
    """All items, at most `parallel` at a time. Raises `StepFailed`."""
    items = elements(evaluate(node.over, known))
    if items is None:
        raise _final("invalid_input", f"'{node.over}' is no list.")
    if len(items) > node.max_items:
        raise _final("too_many_items", f"There are {len(items)} items, and 'max_items' is {node.max_items}.")
    room = asyncio.Semaphore(node.parallel)
    ended = count(1)

    async def one(index: int) -> StepExecution:
        async with room:
            scope = {**known, "item": items[index], "index": index}
            done = await context.inner(node.node, scope, index)
        if done.status in FAILED and node.on_item_error == "stop":
            raise _stopped(done, index)
        if done.status != "waiting":
            await context.progress(next(ended), len(items))
        return done

    done = await _together([one(index) for index in range(len(items))])
    if any(each.status == "waiting" for each in done):
        return Result(waiting=True)
    kept = [each for each in done if each.status == "succeeded" or node.on_item_error == "null"]
    failed = sum(each.status in FAILED for each in done)
    return Result({"items": [each.output for each in kept], "failed": failed})


async def repeat(context: Context, node: Loop, known: Scope) -> Result:
    """Round after round. Raises `StepFailed`."""
    previous: Json = None
    for iteration in range(1, node.max_iterations + 1):
        scope = {**known, "previous": previous, "iteration": iteration}
        done = await context.inner(node.node, scope, iteration - 1)
        if done.status == "waiting":
            return Result(waiting=True)
        if done.status in FAILED:
            raise _stopped(done, iteration)
        previous = done.output
        await context.progress(iteration, node.max_iterations)
        if evaluate(node.until, {**scope, "output": previous}):
            return Result({"output": previous, "iterations": iteration, "done": True})
    return Result({"output": previous, "iterations": node.max_iterations, "done": False})


def _final(kind: str, message: str) -> StepFailed:
    return StepFailed(Failure(kind, message), transient=False)


def _stopped(step: StepExecution, number: int) -> StepFailed:
    """Its inner step has been tried as often as it may: to try the whole again would not ask it again."""
    why = step.error or Failure("api_error", "It failed.")
    return StepFailed(Failure(why.type, f"Item {number}: {why.message}", why.code, why.status), transient=False)


async def _together(work: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
    """All of them; when one raises the others are given up, and that is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as exc:
        raise exc.exceptions[0] from None
    return [task.result() for task in tasks]
