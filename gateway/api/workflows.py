"""`/api/workflows`: definitions, by the administrator; read, checked and drawn by everybody who has a key."""

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from litestar import Controller, Request, Response, delete, get, post, put
from litestar.datastructures import State
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, Struct, convert, to_builtins

from gateway.api.access import Gateway, acting, admin, caller, principal_of, reader
from gateway.api.answers.workflows import (
    AnalyticsAnswer,
    DraftAnswer,
    InputsChecked,
    NodeAnswer,
    NodesAnswer,
    Problem,
    WorkflowAnswer,
    WorkflowPage,
    WorkflowVersion,
    WorkflowVersions,
    date,
    figures,
    masked,
    summary,
    workflow,
)
from gateway.api.nesting import require_shallow
from gateway.api.times import date_or_time
from gateway.errors import BadRequest, Invalid, NotFound, TooLarge
from gateway.settings.trees import NoTree, tree_of
from gateway.workflows.spec import MOST_VERSIONS

_Request = Request[object, object, State]
_Version = Annotated[int | None, QueryParameter(ge=1, le=MOST_VERSIONS, required=False)]
_YAML = ("application/yaml", "application/x-yaml", "text/yaml")
#: Bytes of a definition. Each execution reads it again; what is larger is data, which comes by the inputs.
_LARGEST = 1024 * 1024
#: Seconds that analytics are about when nobody says: a month.
_MONTH = 30 * 86_400.0
_MEDIA = {"mermaid": "text/plain; charset=utf-8", "svg": "image/svg+xml"}


class InputsToCheck(Struct, forbid_unknown_fields=True):
    """Inputs as for an execution."""

    inputs: dict[str, Any] = {}


class PlanRequest(Struct, forbid_unknown_fields=True):
    """What a workflow is to do, in words; `model` is a model, `provider/model`, a route, or `auto`."""

    goal: Annotated[str, Meta(min_length=1, max_length=20_000)]
    model: Annotated[str, Meta(min_length=1)] = "auto"


class Workflows(Controller):
    """Kept in versions that never change. Saved as JSON, or as YAML with `Content-Type: application/yaml`."""

    path = "/api/workflows"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Workflows"]  # noqa: RUF012 - as above

    @get(summary="List workflows")
    async def list_workflows(
        self,
        gateway: Gateway,
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> WorkflowPage:
        """A page by slug, without those that were deleted; `next_after` leads to the next."""
        found, more = await (await gateway.workflows.open()).library.listed(after=after, limit=limit)
        return WorkflowPage([summary(one) for one in found], more)

    @post(summary="Create a workflow", guards=[admin])
    async def create_workflow(self, gateway: Gateway, request: _Request) -> WorkflowAnswer:
        """422 with all that is wrong with it, 409 when its slug is taken."""
        tree = await _tree(request)
        library = (await gateway.workflows.open()).library
        saved, changed = await library.save(
            tree, by=principal_of(request).name, new=True, act=acting(request, "workflow.save")
        )
        return workflow(saved.kept, whole=True, changed=changed, warnings=saved.warnings)

    @post("/plan", summary="Draft a workflow for a goal", status_code=HTTP_200_OK)
    async def plan_workflow(self, gateway: Gateway, request: _Request, data: JSONBody[PlanRequest]) -> DraftAnswer:
        """A definition written by a model and checked, sent back to it once with its problems; never saved.

        502 with what is still wrong after that. Costs what the model costs, and is recorded like any request.
        """
        service = await gateway.workflows.open()
        return convert(
            await service.drafts.draft(data.goal, data.model, principal_of(request)), DraftAnswer, from_attributes=True
        )

    @get("/{slug:str}", summary="One workflow")
    async def get_workflow(
        self, gateway: Gateway, request: _Request, slug: FromPath[str], version: _Version = None
    ) -> WorkflowAnswer:
        """Its newest version, or another; of one that was deleted only by its number."""
        found = await (await gateway.workflows.open()).library.get(slug, version)
        return workflow(found.kept, whole=principal_of(request).admin)

    @put("/{slug:str}", summary="Save a workflow", guards=[admin])
    async def save_workflow(self, gateway: Gateway, request: _Request, slug: FromPath[str]) -> WorkflowAnswer:
        """The next version of it, or the first; none if nothing differs. Executions keep the version they have."""
        tree = await _tree(request)
        library = (await gateway.workflows.open()).library
        saved, changed = await library.save(
            tree, by=principal_of(request).name, slug=slug, act=acting(request, "workflow.save")
        )
        return workflow(saved.kept, whole=True, changed=changed, warnings=saved.warnings)

    @delete("/{slug:str}", summary="Delete a workflow", guards=[admin])
    async def delete_workflow(
        self, gateway: Gateway, request: _Request, slug: FromPath[str], force: FromQuery[bool] = False
    ) -> None:
        """No execution begins any more; its versions stay, and saving it again revives it.

        409 while executions have not ended; with `force` they go on to their end.
        """
        await (await gateway.workflows.open()).library.archive(
            slug, force=force, act=acting(request, "workflow.archive")
        )

    @get("/{slug:str}/versions", summary="The versions of a workflow")
    async def list_versions(self, gateway: Gateway, slug: FromPath[str]) -> WorkflowVersions:
        """Newest first."""
        found = await (await gateway.workflows.open()).library.versions(slug)
        return WorkflowVersions(
            slug, [WorkflowVersion(one.version, date(one.created_at), one.created_by) for one in found]
        )

    @post("/{slug:str}/validate-input", summary="Check inputs", status_code=HTTP_200_OK)
    async def validate_input(
        self,
        gateway: Gateway,
        slug: FromPath[str],
        data: JSONBody[InputsToCheck],
        version: _Version = None,
    ) -> InputsChecked:
        """Whether an execution would begin with them. 200 either way."""
        try:
            await (await gateway.workflows.open()).desk.check(slug, data.inputs, version)
        except Invalid as exc:
            return InputsChecked(False, convert(exc.problems, list[Problem]))
        return InputsChecked(True, [])

    @get("/{slug:str}/steps", summary="The nodes of a workflow")
    async def list_nodes(
        self, gateway: Gateway, request: _Request, slug: FromPath[str], version: _Version = None
    ) -> NodesAnswer:
        """In an order in which they may run, numbered from 1."""
        return NodesAnswer(slug, await _nodes(gateway, request, slug, version))

    @get("/{slug:str}/steps/{step:str}", summary="One node of a workflow")
    async def get_node(
        self,
        gateway: Gateway,
        request: _Request,
        slug: FromPath[str],
        step: FromPath[str],
        version: _Version = None,
    ) -> NodeAnswer:
        """By its number or its key."""
        nodes = await _nodes(gateway, request, slug, version)
        found = next((one for one in nodes if step in (one.key, str(one.number))), None)
        if found is None:
            raise NotFound(f"There is no step '{step:.80}'; there are {', '.join(one.key for one in nodes)}.")
        return found

    @get("/{slug:str}/analytics", summary="What the executions of a workflow were like", guards=[reader])
    async def analytics(
        self,
        gateway: Gateway,
        request: _Request,
        slug: FromPath[str],
        start_date: FromQuery[str | None] = None,
        end_date: FromQuery[str | None] = None,
    ) -> AnalyticsAnswer:
        """Of the last 30 days, or of a period; those of your own key, or with the admin key all.

        Dates, the last of them included, or times in ISO 8601.
        """
        until = date_or_time(end_date, "end_date", end=True) if end_date else gateway.wall()
        since = date_or_time(start_date, "start_date") if start_date else max(0.0, until - _MONTH)
        if since >= until:
            raise BadRequest("'start_date' must lie before 'end_date'.", param="start_date")
        reading = (await gateway.workflows.open()).reading
        found = await reading.figures(slug, principal_of(request), since=since, until=until)
        return figures(slug, found, since=since, until=until)

    @get(
        "/{slug:str}/graph",
        summary="A workflow as a picture",
        responses={
            HTTP_200_OK: ResponseSpec(
                str, generate_examples=False, media_type="image/svg+xml", description="The picture."
            )
        },
    )
    async def graph(
        self,
        gateway: Gateway,
        request: _Request,
        slug: FromPath[str],
        version: _Version = None,
        execution_id: FromQuery[str | None] = None,
        form: Annotated[Literal["mermaid", "svg"], QueryParameter(name="format")] = "svg",
    ) -> Response[str]:
        """As SVG, or as Mermaid's text; with an execution that one's version, coloured by its states."""
        reading = (await gateway.workflows.open()).reading
        drawn = await reading.picture(slug, version, principal_of(request), form=form, execution_id=execution_id)
        # An SVG opened by itself is a page of this address: it may run and load nothing.
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(drawn, media_type=_MEDIA[form], headers=headers, status_code=HTTP_200_OK)


async def _nodes(gateway: Any, request: _Request, slug: str, version: int | None) -> list[NodeAnswer]:
    whole = principal_of(request).admin
    found = await (await gateway.workflows.open()).reading.nodes(slug, version)
    trees = [to_builtins(one.node) for one in found]
    return [
        NodeAnswer(one.number, one.key, one.kind, one.after, tree if whole else masked(tree))
        for one, tree in zip(found, trees, strict=True)
    ]


async def _tree(request: _Request) -> Any:
    """The body as a JSON tree, whichever way it is written. Raises `BadRequest`, and `TooLarge`."""
    body = await request.body()
    if len(body) > _LARGEST:
        raise TooLarge(f"A definition has at most {_LARGEST:,} bytes.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _YAML:
        require_shallow(body, request.app.state["parts"].settings.server.max_nesting)
    try:
        # YAML in a thread: a megabyte of it takes ten seconds.
        return await asyncio.to_thread(tree_of, body) if kind in _YAML else msgspec.json.decode(body)
    except (NoTree, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        what = str(exc) if isinstance(exc, NoTree) else f"The body is not JSON: {exc}."
        raise BadRequest(what, code="invalid_body") from exc
