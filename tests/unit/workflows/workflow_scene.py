"""Attempts without an engine and without a database: a memory that forgets nothing and can die at any write."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping
from itertools import count
from typing import Any

import msgspec

from gateway.records import StoreUnavailable
from gateway.workflows.archive import Archive, Bounds
from gateway.workflows.attempt import Attempt, Body
from gateway.workflows.bind import Scope
from gateway.workflows.files import Files
from gateway.workflows.kept import (
    WHOLE,
    Artifact,
    Execution,
    ExecutionStatus,
    Failure,
    Json,
    Spent,
    StepExecution,
    Superseded,
)
from gateway.workflows.memo import Memory
from gateway.workflows.performing import Limits, Performer
from gateway.workflows.running import Bodies, Context, Result, StepFailed
from gateway.workflows.spec import Definition, Node
from gateway.workflows.steps.approval import Approvals
from gateway.workflows.steps.fanning import map_items, repeat
from gateway.workflows.steps.plain import condition, switch, template

LIMITS = Limits(timeout=5400.0, retries=3, parallel=5)
ENDED = ("completed", "failed", "cancelled")
DONE = ("succeeded", "failed", "skipped", "cancelled")


class Killed(BaseException):
    """The process is gone."""


def copied(step: StepExecution) -> StepExecution:
    return msgspec.convert(msgspec.to_builtins(step), StepExecution)


def execution(**facts: Any) -> Execution:
    values: dict[str, Any] = {
        "id": "wfexec_1",
        "slug": "s",
        "version": 1,
        "status": "pending",
        "attempt": 1,
        "inputs": {"topic": "tea"},
        "key_name": "app",
        "created_at": 0.0,
    }
    return Execution(**(values | facts))


class Shelf(Memory):
    """One execution, fenced by its attempt. `kill_at`: the write at which the process dies, and whether it is kept."""

    def __init__(self, one: Execution | None = None) -> None:
        self.execution = one or execution()
        self.kept: dict[tuple[str, int], StepExecution] = {}
        self.artifacts: dict[str, Artifact] = {}
        self.events: list[tuple[str, str | None, int]] = []
        self.aside_of: dict[tuple[str, int], Json] = {}
        self.puts = 0
        self.kill_at: tuple[int, bool] | None = None
        self.dead = False
        self.away = 0
        self.stop_all = False
        self.stop_steps: set[str] = set()
        self.looks = 0

    def of(self, node: str, item: int = WHOLE) -> StepExecution:
        return self.kept[node, item]

    def types(self, node: str | None = None) -> list[str]:
        return [kind for kind, key, item in self.events if node is None or (key == node and item == WHOLE)]

    def next_attempt(self) -> None:
        """As resuming does it: what was cut off is pending, what has succeeded stays."""
        self.execution.attempt += 1
        self.execution.status = "pending"
        self.execution.error = None
        self.stop_all = False
        self.stop_steps.clear()
        for step in self.kept.values():
            if step.status == "running":
                step.status, step.error = "pending", None

    def revive(self) -> None:
        self.dead, self.kill_at = False, None

    async def begin(self, execution_id: str, attempt: int) -> Execution | None:
        self._answer()
        if attempt != self.execution.attempt or self.execution.status not in {"pending", "running"}:
            return None
        self.execution.status = "running"
        return msgspec.convert(msgspec.to_builtins(self.execution), Execution)

    async def steps(self, execution_id: str) -> list[StepExecution]:
        self._answer()
        return [copied(step) for step in self.kept.values()]

    async def put(
        self,
        attempt: int,
        step: StepExecution,
        event: str,
        *,
        spent: Spent | None = None,
        made: Collection[Artifact] = (),
        begun: bool = False,
    ) -> bool:
        self._answer()
        place, self.puts = self.puts, self.puts + 1
        killed = self.kill_at is not None and self.kill_at[0] == place
        if killed and self.kill_at is not None and not self.kill_at[1]:
            self._die()
        won = self._put(attempt, step, [*(["step.started"] if begun else []), event], spent or Spent())
        self.artifacts |= {one.id: one for one in made} if won else {}
        if killed:
            self._die()
        # As a database, it lets others go on meanwhile.
        await asyncio.sleep(0)
        return won

    async def artifact(self, identity: str) -> Artifact | None:
        self._answer()
        return self.artifacts.get(identity)

    async def set_aside(self, step: StepExecution, answer: Json) -> None:
        self._answer()
        self.aside_of[step.node_id, step.item] = answer

    async def aside(self, step: StepExecution) -> Json:
        self._answer()
        return self.aside_of.get((step.node_id, step.item))

    async def end(
        self, execution_id: str, attempt: int, status: ExecutionStatus, *, outputs: Json, error: Failure | None
    ) -> bool:
        self._answer()
        if attempt != self.execution.attempt or self.execution.status != "running":
            return False
        self.execution.status, self.execution.outputs, self.execution.error = status, outputs, error
        self.events.append((f"execution.{status}", None, WHOLE))
        return True

    async def cancelled(self, execution_id: str, attempt: int) -> tuple[bool, frozenset[str]]:
        self._answer()
        self.looks += 1
        if attempt != self.execution.attempt or self.execution.status != "running":
            raise Superseded
        return self.stop_all, frozenset(self.stop_steps)

    def _put(self, attempt: int, step: StepExecution, events: list[str], spent: Spent) -> bool:
        if attempt != self.execution.attempt or self.execution.status != "running":
            raise Superseded
        known = self.kept.get((step.node_id, step.item))
        if known is not None and known.status == "succeeded":
            return False
        self.kept[step.node_id, step.item] = copied(step)
        if step.status != "running":
            self.aside_of.pop((step.node_id, step.item), None)
        self.events.extend((event, step.node_id, step.item) for event in events)
        for name in Spent.__struct_fields__:
            total = getattr(self.execution.spent, name) + getattr(spent, name)
            setattr(self.execution.spent, name, total)
        return True

    def _answer(self) -> None:
        if self.dead:
            raise Killed
        if self.away:
            self.away -= 1
            raise StoreUnavailable("The database is away.")

    def _die(self) -> None:
        self.dead = True
        raise Killed


class Drawer:
    """Files in memory, which can be full."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.full = False

    def path(self, execution_id: str, artifact_id: str) -> str:
        return f"memory/{execution_id}/{artifact_id}"

    async def write(self, path: str, pieces: AsyncIterator[bytes]) -> None:
        content = b"".join([piece async for piece in pieces])
        if self.full:
            raise OSError("No space left on device")
        assert path not in self.files
        self.files[path] = content

    async def read(self, path: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes]:
        if path not in self.files:
            raise FileNotFoundError(path)
        yield self.files[path][start : None if length is None else start + length]

    async def delete(self, path: str) -> None:
        self.files.pop(path, None)

    async def old(self, before: float) -> AsyncIterator[list[str]]:
        yield list(self.files)


def archive_of(files: Files, *, inline: int = 1_000, most: int = 10_000) -> Archive:
    """An archive on no clock, whose artifacts are `artifact_1` …"""
    number = count(1)
    return Archive(files, Bounds(inline=inline, most=most), wall=lambda: 1.0, new_id=lambda: f"artifact_{next(number)}")


Play = Callable[[Context, Any], Awaitable[Json]]


class Asked:
    """The body of prompts: what was asked, how many at once, and what each is to answer."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.calls: Counter[tuple[str, int]] = Counter()
        self.keys: list[str] = []
        self.again: list[tuple[str, int]] = []
        self.plays: dict[str, Play] = {}
        self.under_way = 0
        self.most = 0
        self.seconds: Callable[[str, int], float] = lambda _node, _item: 1.0

    async def __call__(self, context: Context, node: Any, known: Scope) -> Result:
        step = context.step
        where = step.node_id, step.item
        kept = self.shelf.kept.get(where)
        if kept is not None and kept.status == "succeeded":
            self.again.append(where)
        self.calls[where] += 1
        self.keys.append(context.idempotency_key)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.seconds(*where))
            play = self.plays.get(step.node_id)
            output = {"text": node.prompt} if play is None else await play(context, node)
            return output if isinstance(output, Result) else Result(output, spent=Spent(0.25, 3, 4))
        finally:
            self.under_way -= 1


def refusing(code: str = "no", *, transient: bool = False, times: int = 10**9, spent: Spent | None = None) -> Play:
    """Fails so often, then answers."""
    left = count()

    async def play(_context: Context, _node: Any) -> Json:
        if next(left) < times:
            raise StepFailed(Failure("api_error", "Refused.", code), transient=transient, spent=spent)
        return {"text": "at last"}

    return play


class Scene:
    """A definition, its memory, and whoever answers its prompts. For a loop on paused time."""

    def __init__(
        self,
        definition: Definition,
        *,
        shelf: Shelf | None = None,
        limits: Limits = LIMITS,
        bodies: Mapping[str, Any] | None = None,
        memory: Callable[[Shelf], Memory] = lambda shelf: shelf,
        inline: int = 100_000,
        most: int = 1_000_000,
    ) -> None:
        self.drawer = Drawer()
        self.archive = archive_of(self.drawer, inline=inline, most=most)
        self.definition = definition
        self.shelf = shelf or Shelf()
        self.asked = Asked(self.shelf)
        self.began: list[str] = []
        #: How long the engine takes to look a node up, and to take it down.
        self.lag = 0.0
        #: Nodes of which the engine says that they have run.
        self.remembered: set[str] = set()
        self._running: set[str] = set()
        self.limits = limits
        self.memory = memory(self.shelf)
        self._number = count(1)
        self.bodies: Bodies = {
            "prompt": self.asked,
            "condition": condition,
            "switch": switch,
            "template": template,
            "map": map_items,
            "loop": repeat,
            "approval": Approvals(self.wall),
            **(bodies or {}),
        }

    @staticmethod
    def wall() -> float:
        return asyncio.get_running_loop().time()

    def performer(self, memory: Memory | None = None) -> Performer:
        return Performer(
            memory or self.memory,
            self.bodies,
            self.limits,
            self.archive,
            wall=self.wall,
            rng=random.Random(1),
            new_id=lambda: f"stepexec_{next(self._number)}",
        )

    async def attempt(self) -> Execution:
        """The next attempt, or the same again after a kill; the execution as it is then."""
        begun = await self.memory.begin(self.shelf.execution.id, self.shelf.execution.attempt)
        if begun is not None:
            run = Attempt(self.memory, self.performer(), self.definition, parallel=self.limits.parallel, wall=self.wall)
            await run.run(begun, self.around)
        return self.shelf.execution

    async def around(self, key: str, body: Body) -> None:
        assert key not in self._running  # the engine's number is for one use
        self._running.add(key)
        self.began.append(key)
        try:
            await asyncio.sleep(self.lag)
            if key not in self.remembered:
                await body()
            await asyncio.sleep(self.lag)
        finally:
            self._running.remove(key)

    async def killed_at(self, place: int, *, kept: bool) -> bool:
        """An attempt that dies at this write of its own; False: it came to its end before."""
        self.shelf.kill_at = (self.shelf.puts + place, kept)
        try:
            await self.attempt()
        except Killed:
            return True
        finally:
            self.shelf.revive()
        return False

    def ended(self) -> tuple[Any, ...]:
        """What an execution came to, for comparison: no times, no numbers of tries."""
        steps = {
            (one.node_id, one.item): (one.status, one.output, one.branch, one.error.code if one.error else None)
            for one in self.shelf.kept.values()
            # Which items a failure cuts off is chance.
            if one.item == WHOLE or self.shelf.of(one.node_id).error is None
        }
        now = self.shelf.execution
        return now.status, now.outputs, now.error and now.error.code, steps


def inner(context: Context, node: Node) -> str:
    """Which node and item a body is asked for."""
    return f"{context.step.node_id}/{context.step.item}/{node.__struct_config__.tag}"
