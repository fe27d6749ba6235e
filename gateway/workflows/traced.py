"""Executions in traces: a span for each attempt of one, below it one for each try of a step, below that what it asks.

    POST /api/workflows/{slug}/execute
    └ invoke_workflow review        attempt 1, until it waits for a person
      └ step draft  ─ prompt draft ─ chat gpt-4o-mini
    └ invoke_workflow review        attempt 2, on whichever worker

The numbers of these spans follow from the names of what they stand for, so that whoever takes over goes on in the same
trace, and nothing is kept for that but the place in which the execution was begun: the `traceparent` of its first
event. Begun by nobody's request (a schedule), it is a trace of its own, whose number follows from the execution's id.

A span is sent when what it stands for has been kept; of an attempt that a crash cut off there is one, from whoever ran
it again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from gateway.tracing.places import Here, Place, Trace, derived, enter, here, read_text
from gateway.tracing.spans import Span, Value, masked
from gateway.tracing.tracer import Tracer
from gateway.workflows.kept import (
    WHOLE,
    Event,
    Execution,
    ExecutionStatus,
    Failure,
    Spent,
    StepExecution,
)
from gateway.workflows.memo import Memory
from gateway.workflows.running import Body, Context, Result
from gateway.workflows.tallying import Counted, Tally

#: In the data of an execution's first event: where it was begun.
BEGUN_IN = "traceparent"
#: What an event says that ends a try.
_ENDS = {
    "step.succeeded": "succeeded",
    "step.failed": "failed",
    "step.cancelled": "cancelled",
    "step.retrying": "failed",
    "step.waiting": "waiting",
}


class _Attempt(Struct):
    """One that runs here; `wholes` are the spans of nodes that have items, by node."""

    execution: Execution
    trace: Trace
    wholes: dict[str, int]
    start: float


class Traces:
    """The spans of what runs here."""

    def __init__(self, tracer: Callable[[], Tracer | None], *, wall: Callable[[], float]) -> None:
        """By this tracer, which may be another one after a reload."""
        self._tracer = tracer
        self._wall = wall
        self._attempts: dict[str, _Attempt] = {}

    @property
    def on(self) -> bool:
        """Traces are sent."""
        tracer = self._tracer()
        return tracer is not None and tracer.on

    def begin(self, execution: Execution, origin: Place | None) -> None:
        """An attempt runs here from now on."""
        enter(Here("", execution.id))
        tracer = self._tracer()
        if tracer is None:
            return
        first = derived(64, execution.id, 1)
        above = origin.span if origin is not None else 0 if execution.attempt == 1 else first
        trace = origin.trace if origin is not None else derived(128, execution.id)
        resumed = tracer.resumed(trace, derived(64, execution.id, execution.attempt), above, origin)
        if resumed is not None:
            enter(Here("", execution.id, resumed))
            self._attempts[execution.id] = _Attempt(execution, resumed, {}, self._wall())

    def within(self, step: StepExecution) -> Trace | None:
        """The span of the try of a step that runs now."""
        run = self._attempts.get(step.execution_id)
        if run is None:
            return None
        trace = run.trace.below(f"step {step.node_id}")
        trace.span = _number(step)
        if step.item == WHOLE:
            run.wholes[step.node_id] = trace.span
        else:
            trace.parent = run.wholes.get(step.node_id, run.trace.span)
        return trace

    def tried(self, step: StepExecution, event: str, spent: Spent | None) -> None:
        """A try of a step has ended, and is kept."""
        run, tracer, outcome = self._attempts.get(step.execution_id), self._tracer(), _ENDS.get(event)
        if run is None or tracer is None or outcome is None or not run.trace.sampled:
            return
        facts: dict[str, Value] = _of(run.execution) | {
            "steelyard.node": step.node_id,
            "steelyard.node.kind": step.kind,
            "steelyard.step_execution_id": step.id,
            "steelyard.step.try": step.tries,
            "steelyard.step.status": "retrying" if event == "step.retrying" else step.status,
            "steelyard.cost_usd": spent.cost_usd if spent is not None else 0.0,
        }
        if step.item != WHOLE:
            facts["steelyard.step.item"] = step.item
        now, above = self._wall(), run.trace.span
        if step.item != WHOLE:
            above = run.wholes.get(step.node_id, above)
        self._send(
            tracer, run, f"step {step.node_id}", (_number(step), above), (step.started_at or now, now), facts,
            step.error if outcome == "failed" else None,
        )  # fmt: skip

    def ended(self, execution_id: str, status: ExecutionStatus, error: Failure | None) -> None:
        """An attempt has ended, and that is kept."""
        run, tracer = self._attempts.get(execution_id), self._tracer()
        if run is None or tracer is None or not run.trace.sampled:
            return
        facts = _of(run.execution) | {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": run.execution.slug,
            "steelyard.workflow.version": run.execution.version,
            "steelyard.execution.status": status,
            "steelyard.key": run.execution.key_name,
        }
        numbers = run.trace.span, run.trace.parent
        name = f"invoke_workflow {run.execution.slug}"
        self._send(tracer, run, name, numbers, (run.start, self._wall()), facts, error)

    def left(self, execution_id: str) -> None:
        """Its attempt runs here no more: what is to be told of it is told, here or by whoever goes on with it."""
        self._attempts.pop(execution_id, None)

    def _send(
        self,
        tracer: Tracer,
        run: _Attempt,
        name: str,
        numbers: tuple[int, int],
        times: tuple[float, float],
        facts: dict[str, Value],
        error: Failure | None,
    ) -> None:
        said = masked(error.message if error is not None else None)
        if error is not None:
            facts["error.type"] = error.code or error.type
        trace, span = run.trace, Span(name, "internal", run.trace.trace, *numbers, *times, facts)
        span.state, span.failed, span.error = trace.state, error is not None, said
        tracer.ended(span)


def _of(execution: Execution) -> dict[str, Value]:
    return {
        "steelyard.execution_id": execution.id,
        "steelyard.workflow": execution.slug,
        "steelyard.execution.attempt": execution.attempt,
    }


def _number(step: StepExecution) -> int:
    return derived(64, step.id, step.tries)


class Traced(Counted):
    """A memory whose writes are counted, and told to traces."""

    def __init__(
        self, memory: Memory, tally: Tally, traces: Traces, first: Callable[[str], Awaitable[list[Event]]]
    ) -> None:
        """Of this one; `first` finds the first event of an execution."""
        super().__init__(memory, tally)
        self._traces = traces
        self._first = first

    async def begin(self, execution_id: str, attempt: int) -> Execution | None:
        """See `Memory`."""
        # Before the attempt is begun: a database that is away then has it asked once more.
        origin = await self._origin(execution_id) if self._traces.on else None
        execution = await super().begin(execution_id, attempt)
        if execution is not None:
            self._traces.begin(execution, origin)
        return execution

    def kept(self, step: StepExecution, event: str, spent: Spent | None) -> None:
        """See `Counted`."""
        super().kept(step, event, spent)
        self._traces.tried(step, event, spent)

    def ended(self, execution_id: str, status: ExecutionStatus, error: Failure | None) -> None:
        """See `Counted`."""
        super().ended(execution_id, status, error)
        self._traces.ended(execution_id, status, error)

    def left(self, execution_id: str) -> None:
        """See `Counted`."""
        super().left(execution_id)
        self._traces.left(execution_id)

    async def _origin(self, execution_id: str) -> Place | None:
        events = await self._first(execution_id)
        told = events[0].data.get(BEGUN_IN) if events else None
        return read_text(told) if isinstance(told, str) else None


def placed(body: Body, traces: Traces) -> Body:
    """The same, within the span of its try: what it asks is below that, and lines of the log say so."""

    async def placed_body(context: Context, node: Any, known: Any) -> Result:
        before = here()
        enter(Here("", context.step.execution_id, traces.within(context.step)))
        try:
            return await body(context, node, known)
        finally:
            enter(before)

    return placed_body
