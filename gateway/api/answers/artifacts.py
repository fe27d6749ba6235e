"""What the files of executions are shown as."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from gateway.api.answers.workflows import date
from gateway.workflows.kept import WHOLE, Artifact


class ArtifactAnswer(Struct):
    """A file that a step has made, in that attempt of its execution. `size` in bytes, `sha256` in hexadecimal digits.

    `item` is that of a map or the round of a loop, from 0; null for the node itself. `download` is where its bytes are.
    """

    artifact_id: str
    execution_id: str
    node_id: str
    item: int | None
    attempt: int
    name: str
    media_type: str
    size: int
    sha256: str
    created_at: datetime
    download: str


class ArtifactPage(Struct):
    """Some files in the order in which they were made; `next_after` leads to the next page, and is null on the last."""

    artifacts: list[ArtifactAnswer]
    next_after: str | None


def artifact(one: Artifact) -> ArtifactAnswer:
    """A file."""
    return ArtifactAnswer(
        artifact_id=one.id,
        execution_id=one.execution_id,
        node_id=one.node_id,
        item=None if one.item == WHOLE else one.item,
        attempt=one.attempt,
        name=one.name,
        media_type=one.media_type,
        size=one.size,
        sha256=one.sha256,
        created_at=date(one.created_at),
        download=f"/api/executions/{one.execution_id}/artifacts/{one.id}/content",
    )


def page(found: list[Artifact], limit: int) -> ArtifactPage:
    """A page of `limit` of them, for which one more was asked."""
    shown = found[:limit]
    return ArtifactPage([artifact(one) for one in shown], shown[-1].id if len(found) > limit else None)
