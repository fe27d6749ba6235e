"""What a node's body is given, and what it gives back. Bodies are plain coroutines over these; they know no engine.

    async (context, node with its templates filled in, what is known) → Result, or raise StepFailed

So the same bodies could run elsewhere, as activities of another durable engine, say.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct, field

from gateway.workflows.bind import Scope
from gateway.workflows.budget import Purse
from gateway.workflows.kept import Artifact, Execution, Failure, Spent, StepExecution
from gateway.workflows.spec import Json, KeepAs, Node


class StepFailed(Exception):
    """A step failed; `transient` when the same might succeed if tried again. `spent` is what it cost all the same."""

    def __init__(
        self,
        failure: Failure,
        *,
        transient: bool,
        spent: Spent | None = None,
        data: Mapping[str, Json] | None = None,
    ) -> None:
        """Why, and whether to try again; `data` is kept with the step."""
        super().__init__(failure.message)
        self.failure = failure
        self.transient = transient
        self.spent = spent or Spent()
        self.data = data or {}


class Result(Struct):
    """What a step came to. `waiting` ends no step: somebody else (a person, another execution) will.

    `made` are files that were written, `keep` says as what the output is to be kept besides.
    """

    output: Json = None
    branch: str | None = None
    spent: Spent = field(default_factory=Spent)
    provider: str | None = None
    model: str | None = None
    request_ids: list[str] = field(default_factory=list[str])
    waiting: bool = False
    data: dict[str, Any] = field(default_factory=dict[str, Any])
    made: list[Artifact] = field(default_factory=list[Artifact])
    keep: KeepAs | None = None


#: Performs the inner node of a map or a loop as a step of its own: node, what is known, number of the item or round.
Inner = Callable[[Node, Scope, int], Awaitable[StepExecution]]


class Context(Struct):
    """Of one try of one step: whose it is, its money, and how to run steps within it."""

    execution: Execution
    step: StepExecution
    purse: Purse | None
    inner: Inner

    @property
    def idempotency_key(self) -> str:
        """Names this try, the same after a crash: a call under it that has finished need not be paid again."""
        one = self.step
        return f"{one.execution_id}/{one.node_id}/{one.item}/{one.tries}"


Body = Callable[[Context, Any, Scope], Awaitable[Result]]
Bodies = Mapping[str, Body]
