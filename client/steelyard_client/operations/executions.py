"""Executions of workflows: begun, followed, stopped, taken up again, decided upon."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from steelyard_client.answers.executions import (
    ArtifactAnswer,
    ArtifactPage,
    EventAnswer,
    EventPage,
    ExecutionAnswer,
    ExecutionBegun,
    ExecutionPage,
    ExecutionResumed,
    StepAnswer,
    StepMetrics,
    StepPage,
    StepsAnswer,
)
from steelyard_client.asking import Ask, Follow, given, keyed
from steelyard_client.events import ServerEvent
from steelyard_client.operation import Operation, Streaming
from steelyard_client.reading import read

_EXECUTE = "/api/workflows/{slug}/execute"
_ALL, _ONE = "/api/executions", "/api/executions/{execution_id}"
_STEPS = "/api/step-executions"
_FILES = f"{_ONE}/artifacts"
_ENDS = frozenset({"execution.completed", "execution.failed", "execution.cancelled"})


class Executions:
    """`/api/executions`, `/api/step-executions`, `/api/checkpoints`."""

    @Operation
    @staticmethod
    def execute_workflow(
        slug: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        version: int | None = None,
        budget_usd: float | None = None,
        deadline: float | None = None,
        idempotency_key: str | None = None,
    ) -> Ask[ExecutionBegun]:
        """Begin an execution, and do not wait for it. `deadline` in seconds.

        It is begun once however often it is sent: without an `idempotency_key` of yours each call has its own.
        """
        return Ask(
            method="POST",
            address=_EXECUTE,
            place={"slug": slug},
            body=given(inputs=dict(inputs or {}), version=version, budget_usd=budget_usd, deadline=deadline),
            headers=keyed(idempotency_key),
            answer=ExecutionBegun,
            repeatable=True,
        )

    @Operation
    @staticmethod
    def run_workflow(
        slug: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        wait: float = 300.0,
        version: int | None = None,
        budget_usd: float | None = None,
        deadline: float | None = None,
        idempotency_key: str | None = None,
    ) -> Ask[ExecutionAnswer | ExecutionBegun]:
        """Begin an execution and wait up to `wait` seconds (300 at most); one that has not ended by then is `begun`."""
        kinds: Any = ExecutionBegun
        return Ask(
            method="POST",
            address=_EXECUTE,
            place={"slug": slug},
            query={"wait": wait},
            body=given(inputs=dict(inputs or {}), version=version, budget_usd=budget_usd, deadline=deadline),
            headers=keyed(idempotency_key),
            answer=kinds,
            answers={200: ExecutionAnswer},
            repeatable=True,
        )

    @Streaming
    @staticmethod
    def execute_workflow_stream(
        slug: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        version: int | None = None,
        budget_usd: float | None = None,
        deadline: float | None = None,
        idempotency_key: str | None = None,
    ) -> Follow[EventAnswer]:
        """Begin an execution and follow it to its end, over lost connections, too. Hanging up ends nothing."""
        return Follow(
            method="POST",
            address=f"{_EXECUTE}/stream",
            place={"slug": slug},
            body=given(inputs=dict(inputs or {}), version=version, budget_usd=budget_usd, deadline=deadline),
            headers=keyed(idempotency_key),
            repeatable=True,
            understand=_understood,
            ends=_last,
            resumable=True,
        )

    @Streaming
    @staticmethod
    def watch(execution_id: str, *, after: int | None = None) -> Follow[EventAnswer]:
        """The events of an execution, from the first or behind `after`, until it has ended."""
        return Follow(
            method="GET",
            address=f"{_ONE}/events",
            place={"execution_id": execution_id},
            query={"after": after},
            understand=_understood,
            ends=_last,
            resumable=True,
        )

    @Operation
    @staticmethod
    def get_execution_status(execution_id: str) -> Ask[ExecutionAnswer]:
        """How far it is, what each node is doing, what came out and what it cost."""
        return Ask(method="GET", address=_ONE, place={"execution_id": execution_id}, answer=ExecutionAnswer)

    @Operation
    @staticmethod
    def list_executions(
        *,
        slug: str | None = None,
        status: Literal["pending", "running", "waiting", "completed", "failed", "cancelled"] | None = None,
        parent_id: str | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Ask[ExecutionPage]:
        """A page of executions, newest first; `cursor` is the last page's `next_cursor`."""
        query = {
            "slug": slug,
            "status": status,
            "parent_id": parent_id,
            "since": since,
            "cursor": cursor,
            "limit": limit,
        }
        return Ask(method="GET", address=_ALL, query=query, answer=ExecutionPage)

    @Operation
    @staticmethod
    def get_execution_steps(execution_id: str) -> Ask[StepsAnswer]:
        """One for each node that has begun, with its output."""
        return Ask(method="GET", address=f"{_ONE}/steps", place={"execution_id": execution_id}, answer=StepsAnswer)

    @Operation
    @staticmethod
    def get_node_executions(execution_id: str) -> Ask[StepsAnswer]:
        """The same, and each item of a map and each round of a loop."""
        place = {"execution_id": execution_id}
        return Ask(method="GET", address=f"{_ONE}/node-executions", place=place, answer=StepsAnswer)

    @Operation
    @staticmethod
    def list_execution_events(
        execution_id: str, *, after: int | None = None, limit: int | None = None
    ) -> Ask[EventPage]:
        """A page of what befell it; `watch` follows."""
        query, place = {"after": after, "limit": limit}, {"execution_id": execution_id}
        return Ask(method="GET", address=f"{_ONE}/events", place=place, query=query, answer=EventPage)

    @Operation
    @staticmethod
    def list_artifacts(execution_id: str, *, after: str | None = None, limit: int | None = None) -> Ask[ArtifactPage]:
        """A page of the files that its steps have made, in their order; `after` is the last page's `next_after`."""
        query, place = {"after": after, "limit": limit}, {"execution_id": execution_id}
        return Ask(method="GET", address=_FILES, place=place, query=query, answer=ArtifactPage)

    @Operation
    @staticmethod
    def get_artifact(execution_id: str, artifact_id: str) -> Ask[ArtifactAnswer]:
        """What is known of a file."""
        place = {"execution_id": execution_id, "artifact_id": artifact_id}
        return Ask(method="GET", address=f"{_FILES}/{{artifact_id}}", place=place, answer=ArtifactAnswer)

    @Operation
    @staticmethod
    def download_artifact(execution_id: str, artifact_id: str) -> Ask[bytes]:
        """A file's bytes, checked against its checksum. `save_artifact` holds no large file in memory."""
        place = {"execution_id": execution_id, "artifact_id": artifact_id}
        return Ask(method="GET", address=f"{_FILES}/{{artifact_id}}/content", place=place, answer=bytes)

    @Operation
    @staticmethod
    def save_artifact(execution_id: str, artifact_id: str, into: str | PathLike[str]) -> Ask[Path]:
        """A file, saved as it comes in; where it is. What was there stays until the new one has come whole."""
        place = {"execution_id": execution_id, "artifact_id": artifact_id}
        address = f"{_FILES}/{{artifact_id}}/content"
        return Ask(method="GET", address=address, place=place, answer=Path, into=Path(into))

    @Operation
    @staticmethod
    def cancel_execution(execution_id: str) -> Ask[ExecutionAnswer]:
        """Stop it and those it has begun; what has ended stays."""
        place = {"execution_id": execution_id}
        return Ask(method="POST", address=f"{_ONE}/cancel", place=place, answer=ExecutionAnswer, repeatable=True)

    @Operation
    @staticmethod
    def resume_execution(execution_id: str) -> Ask[ExecutionResumed]:
        """Go on with one that failed or was cancelled; what has succeeded is not paid again."""
        return Ask(
            method="POST", address=f"{_ONE}/resume", place={"execution_id": execution_id}, answer=ExecutionResumed
        )

    @Operation
    @staticmethod
    def retry_execution(
        execution_id: str,
        *,
        from_step: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        version: int | None = None,
    ) -> Ask[ExecutionResumed]:
        """Run a step and all that comes after it anew, or everything, perhaps with other inputs."""
        body = given(from_step=from_step, inputs=inputs, version=version)
        place = {"execution_id": execution_id}
        return Ask(method="POST", address=f"{_ONE}/retry", place=place, body=body, answer=ExecutionResumed)

    @Operation
    @staticmethod
    def approve(
        execution_id: str,
        decision: Literal["approve", "reject"] = "approve",
        *,
        node: str | None = None,
        data: Any = None,
    ) -> Ask[StepAnswer]:
        """Decide on a step that waits; `node` may be left out where one alone does. The first decision counts."""
        body = given(decision=decision, node=node, data=data)
        place = {"execution_id": execution_id}
        return Ask(method="POST", address=f"{_ONE}/approve", place=place, body=body, answer=StepAnswer)

    @Operation
    @staticmethod
    def list_active_steps(*, after: str | None = None, limit: int | None = None) -> Ask[StepPage]:
        """A page of the steps that have not ended, newest first, over all executions."""
        return Ask(method="GET", address=_STEPS, query={"after": after, "limit": limit}, answer=StepPage)

    @Operation
    @staticmethod
    def get_step_execution(step_id: str) -> Ask[StepAnswer]:
        """One step with its output, its error, and the requests it made."""
        return Ask(method="GET", address=f"{_STEPS}/{{step_id}}", place={"step_id": step_id}, answer=StepAnswer)

    @Operation
    @staticmethod
    def cancel_step_execution(step_id: str) -> Ask[StepAnswer]:
        """It fails as cancelled; its `on_error` says what follows."""
        place = {"step_id": step_id}
        return Ask(method="POST", address=f"{_STEPS}/{{step_id}}/cancel", place=place, answer=StepAnswer)

    @Operation
    @staticmethod
    def step_execution_metrics() -> Ask[StepMetrics]:
        """How many step executions are in which state."""
        return Ask(method="GET", address="/api/metrics/step-executions", answer=StepMetrics)

    @Operation
    @staticmethod
    def list_checkpoints(
        *, workflow_slug: str | None = None, after: str | None = None, limit: int | None = None
    ) -> Ask[StepPage]:
        """A page of the steps that have succeeded: what going on would not pay again."""
        query = {"workflow_slug": workflow_slug, "after": after, "limit": limit}
        return Ask(method="GET", address="/api/checkpoints", query=query, answer=StepPage)


def _understood(event: ServerEvent) -> EventAnswer:
    return read(EventAnswer, event.data)


def _last(event: ServerEvent) -> bool:
    return event.type in _ENDS
