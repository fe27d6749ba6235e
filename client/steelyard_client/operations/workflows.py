"""Definitions of workflows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from steelyard_client.answers.workflows import (
    AnalyticsAnswer,
    DraftAnswer,
    InputsChecked,
    NodeAnswer,
    NodesAnswer,
    WorkflowAnswer,
    WorkflowPage,
    WorkflowVersions,
)
from steelyard_client.asking import Ask, given
from steelyard_client.operation import Operation

_ALL, _ONE = "/api/workflows", "/api/workflows/{slug}"
_YAML = {"content-type": "application/yaml"}
#: A definition as a tree, or as the text of a YAML file.
Definition = Mapping[str, Any] | str


class Workflows:
    """`/api/workflows`; saved and deleted by the administrator."""

    @Operation
    @staticmethod
    def list_workflows(*, after: str | None = None, limit: int | None = None) -> Ask[WorkflowPage]:
        """A page of workflows by slug; `after` is the last page's `next_after`."""
        return Ask(method="GET", address=_ALL, query={"after": after, "limit": limit}, answer=WorkflowPage)

    @Operation
    @staticmethod
    def create_workflow(definition: Definition) -> Ask[WorkflowAnswer]:
        """Save a new workflow. Raises `Invalid` with all that is wrong, `Conflict` when its slug is taken."""
        return Ask(method="POST", address=_ALL, answer=WorkflowAnswer, **_written(definition))

    @Operation
    @staticmethod
    def save_workflow(slug: str, definition: Definition) -> Ask[WorkflowAnswer]:
        """Save the next version of a workflow, or the first; none if nothing differs."""
        return Ask(method="PUT", address=_ONE, place={"slug": slug}, answer=WorkflowAnswer, **_written(definition))

    @Operation
    @staticmethod
    def get_workflow(slug: str, *, version: int | None = None) -> Ask[WorkflowAnswer]:
        """Its newest version, or another."""
        query = {"version": version}
        return Ask(method="GET", address=_ONE, place={"slug": slug}, query=query, answer=WorkflowAnswer)

    @Operation
    @staticmethod
    def list_workflow_versions(slug: str) -> Ask[WorkflowVersions]:
        """All of them, newest first."""
        return Ask(method="GET", address=f"{_ONE}/versions", place={"slug": slug}, answer=WorkflowVersions)

    @Operation
    @staticmethod
    def delete_workflow(slug: str, *, force: bool | None = None) -> Ask[None]:
        """Begin no execution any more. `Conflict` while some have not ended, unless forced."""
        return Ask(method="DELETE", address=_ONE, place={"slug": slug}, query={"force": force}, answer=type(None))

    @Operation
    @staticmethod
    def validate_workflow_input(
        slug: str, inputs: Mapping[str, Any] | None = None, *, version: int | None = None
    ) -> Ask[InputsChecked]:
        """Whether an execution would begin with these inputs, and what keeps it from it."""
        return Ask(
            method="POST",
            address=f"{_ONE}/validate-input",
            place={"slug": slug},
            query={"version": version},
            body={"inputs": dict(inputs or {})},
            answer=InputsChecked,
            repeatable=True,
        )

    @Operation
    @staticmethod
    def get_workflow_steps(slug: str, *, version: int | None = None) -> Ask[NodesAnswer]:
        """Its nodes in an order in which they may run."""
        query = {"version": version}
        return Ask(method="GET", address=f"{_ONE}/steps", place={"slug": slug}, query=query, answer=NodesAnswer)

    @Operation
    @staticmethod
    def get_workflow_step(slug: str, step: str | int, *, version: int | None = None) -> Ask[NodeAnswer]:
        """One node, by its key or by its number from 1."""
        place, query = {"slug": slug, "step": str(step)}, {"version": version}
        return Ask(method="GET", address=f"{_ONE}/steps/{{step}}", place=place, query=query, answer=NodeAnswer)

    @Operation
    @staticmethod
    def get_workflow_analytics(
        slug: str, *, start_date: datetime | None = None, end_date: datetime | None = None
    ) -> Ask[AnalyticsAnswer]:
        """What its executions were like: of the last 30 days, or of a period."""
        query = {"start_date": start_date, "end_date": end_date}
        address = f"{_ONE}/analytics"
        return Ask(method="GET", address=address, place={"slug": slug}, query=query, answer=AnalyticsAnswer)

    @Operation
    @staticmethod
    def get_workflow_graph(
        slug: str,
        *,
        format: Literal["mermaid", "svg"] | None = None,
        version: int | None = None,
        execution_id: str | None = None,
    ) -> Ask[str]:
        """A drawing as SVG, or Mermaid's text; of an execution, coloured by its states."""
        query = {"format": format, "version": version, "execution_id": execution_id}
        return Ask(method="GET", address=f"{_ONE}/graph", place={"slug": slug}, query=query, answer=str)

    @Operation
    @staticmethod
    def plan_workflow(goal: str, *, model: str | None = None) -> Ask[DraftAnswer]:
        """A definition for a goal, written by a model and checked; never saved."""
        body = given(goal=goal, model=model)
        return Ask(method="POST", address=f"{_ALL}/plan", body=body, answer=DraftAnswer)


def _written(definition: Definition) -> dict[str, Any]:
    if isinstance(definition, str):
        return {"raw": definition.encode(), "headers": _YAML}
    return {"body": definition}
