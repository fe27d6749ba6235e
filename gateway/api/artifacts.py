"""`/api/executions/{id}/artifacts`: the files that steps have made, listed and downloaded.

A file belongs to the key that began its execution; to another key it is not there. The administrator sees all.
"""

from typing import Annotated

from litestar import Controller, Request, Response, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.response import Stream

from gateway.api import attachments
from gateway.api.access import Gateway, caller, principal_of
from gateway.api.answers import artifacts as shown
from gateway.api.answers.artifacts import ArtifactAnswer, ArtifactPage

_Request = Request[object, object, State]


class Artifacts(Controller):
    """The files of one execution."""

    path = "/api/executions/{execution_id:str}/artifacts"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Executions"]  # noqa: RUF012 - as above

    @get(summary="The files of an execution")
    async def list_artifacts(
        self,
        gateway: Gateway,
        request: _Request,
        execution_id: FromPath[str],
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> ArtifactPage:
        """In the order in which they were made; those of earlier attempts stay, and say of which they are."""
        downloads = (await gateway.workflows.open()).downloads
        found = await downloads.listed(execution_id, principal_of(request), after=after, limit=limit + 1)
        return shown.page(found, limit)

    @get("/{artifact_id:str}", summary="One file of an execution")
    async def get_artifact(
        self, gateway: Gateway, request: _Request, execution_id: FromPath[str], artifact_id: FromPath[str]
    ) -> ArtifactAnswer:
        """What is known of it."""
        downloads = (await gateway.workflows.open()).downloads
        return shown.artifact(await downloads.get(execution_id, artifact_id, principal_of(request)))

    @get("/{artifact_id:str}/content", summary="Download a file of an execution")
    async def download_artifact(
        self, gateway: Gateway, request: _Request, execution_id: FromPath[str], artifact_id: FromPath[str]
    ) -> Stream:
        """Its bytes, once they were seen to be those that were written: 410 when they are not, or are gone.

        `ETag` is the checksum, for `If-None-Match` (304) and `If-Range`; `Range` takes one range of bytes (206, 416).
        """
        downloads = (await gateway.workflows.open()).downloads
        found = await downloads.get(execution_id, artifact_id, principal_of(request))
        which = attachments.part(request.headers, found.size, found.sha256)
        told = attachments.headers(which, name=found.name, size=found.size, sha256=found.sha256)
        if not which.length and which.status != 200:
            nothing: Response[None] = Response(None, status_code=which.status, headers=told)
            empty: Stream = nothing  # pyright: ignore[reportAssignmentType] - Litestar takes either; the document needs one
            return empty
        await downloads.check(found)
        content = downloads.pieces(found, which.start, which.length)
        # As a header, too: Litestar gives a text a charset of its own.
        told["content-type"] = found.media_type
        return Stream(content, media_type=found.media_type, headers=told, status_code=which.status)
