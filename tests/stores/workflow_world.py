"""Executions for the tests of their store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from store_faults import DAY

from gateway.store.engine import Database
from gateway.store.workflows import attempts, events, executions
from gateway.store.workflows.locked import Fence
from gateway.workflows.archive import Archive, Bounds
from gateway.workflows.files import Folder
from gateway.workflows.kept import Event, Execution, StepExecution


def no_archive() -> Archive:
    """For those who write no files: one that could not."""
    return Archive(Folder(Path("/dev/null"), "tests"), Bounds(inline=0, most=0), wall=lambda: DAY, new_id=str)


def execution(number: int = 1, **facts: Any) -> Execution:
    """An execution, submitted `number` seconds after `DAY`."""
    values: dict[str, Any] = {
        "id": f"wfexec_{number:04d}",
        "slug": "review",
        "version": 1,
        "status": "pending",
        "attempt": 1,
        "inputs": {"topic": "tea"},
        "key_name": "app",
        "created_at": DAY + number,
    }
    return Execution(**(values | facts))


def step(node: str = "draft", number: int = 1, **facts: Any) -> StepExecution:
    """A step of execution `number`."""
    item = facts.get("item", -1)
    values: dict[str, Any] = {
        "id": f"stepexec_{number:04d}_{node}_{item + 1}",
        "execution_id": f"wfexec_{number:04d}",
        "node_id": node,
        "kind": "prompt",
        "status": "running",
        "started_at": DAY + 10,
    }
    return StepExecution(**(values | facts))


def done(node: str = "draft", number: int = 1, **facts: Any) -> StepExecution:
    """The same, succeeded."""
    values: dict[str, Any] = {
        "status": "succeeded",
        "output": {"text": node},
        "tries": 1,
        "completed_at": DAY + 12.5,
    }
    return step(node, number, **(values | facts))


async def running(database: Database, number: int = 1, owner: str | None = None, **facts: Any) -> Fence:
    """An execution that is submitted and begun; who writes to it."""
    one = execution(number, **facts)
    assert (await executions.submit(database, one)).created
    fence = Fence(one.id, one.attempt, owner)
    assert await attempts.begin(database, fence, now=DAY + 5) is not None
    return fence


async def told(database: Database, number: int = 1) -> list[Event]:
    """All its events; that their numbers have no gaps is looked at each time."""
    found = await events.after(database, f"wfexec_{number:04d}")
    assert [event.seq for event in found] == list(range(1, len(found) + 1))
    return found


async def now_of(database: Database, number: int = 1) -> Execution:
    """The execution as it is."""
    found = await executions.get(database, f"wfexec_{number:04d}")
    assert found is not None
    return found
