"""`/api/workflows/{slug}/execute` and `/api/executions`: begun, followed, stopped, taken up again, decided upon.

An execution belongs to the key that began it; to another key it is not there. The administrator sees all.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from msgspec import Meta, Struct
from msgspec.structs import replace

from gateway.api import following
from gateway.api.access import Gateway, acting, caller, named, principal_of, staying
from gateway.api.answers import executions as shown
from gateway.api.answers.executions import (
    EventPage,
    ExecutionAnswer,
    ExecutionBegun,
    ExecutionPage,
    ExecutionResumed,
    StepAnswer,
    StepsAnswer,
)
from gateway.api.times import unix
from gateway.governance.keys import Principal
from gateway.parts import Parts
from gateway.workflows.kept import WHOLE, Execution, ExecutionStatus
from gateway.workflows.spec import Budget, Version

_Request = Request[object, object, State]
_ENDED = ("completed", "failed", "cancelled")
#: Longest that an answer is waited for: proxies give up before.
_LONGEST_WAIT = 300
_IdempotencyKey = Annotated[
    str | None, HeaderParameter(name="Idempotency-Key", min_length=1, max_length=200, required=False)
]


class ExecuteRequest(Struct, forbid_unknown_fields=True):
    """Inputs, and what else differs from the definition: the version, the budget in USD, the deadline in seconds."""

    inputs: dict[str, Any] = {}
    version: Version | None = None
    budget_usd: Budget | None = None
    deadline: Annotated[float, Meta(gt=0, le=2_592_000)] | None = None


_Deadline = Annotated[float, Meta(gt=0, le=2_592_000)]


class ResumeRequest(Struct, forbid_unknown_fields=True):
    """The deadline in seconds from now; null: as many as it had, from now on."""

    deadline: _Deadline | None = None


class RetryRequest(Struct, forbid_unknown_fields=True):
    """Where to begin (a node's key; null: everywhere), with which inputs and version (null: as before).

    `deadline` as with `resume`.
    """

    from_step: str | None = None
    inputs: dict[str, Any] | None = None
    version: Version | None = None
    deadline: _Deadline | None = None


class ApproveRequest(Struct, forbid_unknown_fields=True):
    """A decision; `node` may be left out where one alone waits. `data` follows the node's `form_schema`, if any."""

    decision: Literal["approve", "reject"]
    node: str | None = None
    data: Any = None


class Executing(Controller):
    """Beginning executions."""

    path = "/api/workflows/{slug:str}/execute"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Executions"]  # noqa: RUF012 - as above

    @post(
        summary="Execute a workflow",
        status_code=HTTP_202_ACCEPTED,
        responses={
            HTTP_200_OK: ResponseSpec(ExecutionAnswer, generate_examples=False, description="It ended in time.")
        },
    )
    async def execute(
        self,
        gateway: Gateway,
        request: _Request,
        slug: FromPath[str],
        data: JSONBody[ExecuteRequest],
        idempotency_key: _IdempotencyKey = None,
        wait: Annotated[float, QueryParameter(ge=0, le=_LONGEST_WAIT)] = 0,
    ) -> Response[ExecutionBegun]:
        """202 at once; with `wait` (seconds) 200 and the whole execution when it has ended by then.

        A second request with the same `Idempotency-Key` begins nothing: it is answered for the execution that the first
        has begun. 409 when it asks for something else.
        """
        by = principal_of(request)
        one = await _begin(gateway, by, slug, data, idempotency_key)
        if wait:
            service = await gateway.workflows.open()
            one = await service.desk.ended_within(one.id, by, wait)
            if one.status in _ENDED:
                whole: Any = await _whole(gateway, one, by)
                return Response(whole, status_code=HTTP_200_OK)
        return Response(shown.begun(one), status_code=HTTP_202_ACCEPTED)

    @post("/stream", summary="Execute a workflow and follow it", status_code=HTTP_200_OK)
    async def execute_stream(
        self,
        gateway: Gateway,
        request: _Request,
        slug: FromPath[str],
        data: JSONBody[ExecuteRequest],
        idempotency_key: _IdempotencyKey = None,
    ) -> Stream:
        """Its events until it has ended. Whoever hangs up ends nothing.

        To go on, ask again with the same `Idempotency-Key` and the last event's id as `Last-Event-ID`, or follow
        `/api/executions/{id}/events`.
        """
        by, after = principal_of(request), following.seen(request.headers)
        one = await _begin(gateway, by, slug, data, idempotency_key)
        service = await gateway.workflows.open()
        return following.stream(service.desk.watch(one.id, by, after=after), staying(request, by))


class Executions(Controller):
    """Executions that were begun."""

    path = "/api/executions"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Executions"]  # noqa: RUF012 - as above

    @get(summary="List executions, newest first", guards=[named])
    async def list_executions(
        self,
        gateway: Gateway,
        request: _Request,
        slug: FromQuery[str | None] = None,
        status: FromQuery[ExecutionStatus | None] = None,
        parent_id: FromQuery[str | None] = None,
        since: FromQuery[datetime | None] = None,
        cursor: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> ExecutionPage:
        """Your own, or with the admin key all; `next_cursor` leads to the next page."""
        page = await (await gateway.workflows.open()).desk.listed(
            principal_of(request),
            slug=slug,
            status=status,
            parent_id=parent_id,
            since=unix(since) if since else None,
            cursor=cursor,
            limit=limit,
        )
        return ExecutionPage([shown.brief(one) for one in page.items], page.next)

    @get("/{execution_id:str}", summary="One execution")
    async def get_execution(self, gateway: Gateway, request: _Request, execution_id: FromPath[str]) -> ExecutionAnswer:
        """How far it is, what each node is doing, what came out and what it cost."""
        by = principal_of(request)
        return await _whole(gateway, await (await gateway.workflows.open()).desk.get(execution_id, by), by)

    @get("/{execution_id:str}/steps", summary="The steps of an execution")
    async def list_steps(self, gateway: Gateway, request: _Request, execution_id: FromPath[str]) -> StepsAnswer:
        """One for each node that has begun, with its output."""
        found = await (await gateway.workflows.open()).desk.steps(execution_id, principal_of(request))
        return StepsAnswer(execution_id, [shown.step(one) for one in found if one.item == WHOLE])

    @get("/{execution_id:str}/node-executions", summary="The steps of an execution and their items")
    async def list_node_executions(
        self, gateway: Gateway, request: _Request, execution_id: FromPath[str]
    ) -> StepsAnswer:
        """As the steps, and beside them each item of a map and each round of a loop."""
        found = await (await gateway.workflows.open()).desk.steps(execution_id, principal_of(request))
        return StepsAnswer(execution_id, [shown.step(one) for one in found])

    @get("/{execution_id:str}/events", summary="What befell an execution")
    async def list_events(
        self,
        gateway: Gateway,
        request: _Request,
        execution_id: FromPath[str],
        after: Annotated[int, QueryParameter(ge=0, le=following.MOST_SEQ)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=1000)] = 500,
    ) -> Response[EventPage]:
        """A page from behind the number `after`. With `Accept: text/event-stream` all, until the execution has ended.

        There an event's id is its number, and `Last-Event-ID` goes before `after`.
        """
        by, desk = principal_of(request), (await gateway.workflows.open()).desk
        if following.wanted(request.headers):
            after = following.seen(request.headers, after)
            await desk.get(execution_id, by)  # while a status can still be told
            stream: Any = following.stream(desk.watch(execution_id, by, after=after), staying(request, by))
            return stream
        found = await desk.events(execution_id, by, after=after, limit=limit)
        page = EventPage([shown.event(one) for one in found], found[-1].seq if found else after)
        return Response(page, headers={"vary": "accept"}, status_code=HTTP_200_OK)

    @post("/{execution_id:str}/cancel", summary="Cancel an execution", status_code=HTTP_200_OK)
    async def cancel(self, gateway: Gateway, request: _Request, execution_id: FromPath[str]) -> ExecutionAnswer:
        """Stop it and those it has begun: at once what waits, within a second what runs. What has ended stays."""
        by = principal_of(request)
        cancelled = await (await gateway.workflows.open()).desk.cancel(execution_id, by)
        await told(gateway, request, "execution.cancel", cancelled)
        return await _whole(gateway, cancelled, by)

    @post("/{execution_id:str}/resume", summary="Go on with an execution", status_code=HTTP_202_ACCEPTED)
    async def resume(
        self,
        gateway: Gateway,
        request: _Request,
        execution_id: FromPath[str],
        data: JSONBody[ResumeRequest | None] = None,
    ) -> ExecutionResumed:
        """One that failed or was cancelled goes on; what has succeeded is not paid again. 409 for any other.

        The body may be left out.
        """
        desk = (await gateway.workflows.open()).desk
        deadline = None if data is None else data.deadline
        resumed, saved = await desk.resume(execution_id, principal_of(request), deadline=deadline)
        await told(gateway, request, "execution.resume", resumed)
        return shown.resumed(resumed, saved)

    @post("/{execution_id:str}/retry", summary="Run an execution anew from a step", status_code=HTTP_202_ACCEPTED)
    async def retry(
        self, gateway: Gateway, request: _Request, execution_id: FromPath[str], data: JSONBody[RetryRequest]
    ) -> ExecutionResumed:
        """That step and all that comes after it, or everything. 409 while it has not ended."""
        desk = (await gateway.workflows.open()).desk
        rerun, saved = await desk.retry(
            execution_id,
            principal_of(request),
            from_step=data.from_step,
            inputs=data.inputs,
            version=data.version,
            deadline=data.deadline,
        )
        await told(gateway, request, "execution.retry", rerun)
        return shown.resumed(rerun, saved)

    @post("/{execution_id:str}/approve", summary="Decide on a step that waits", status_code=HTTP_200_OK)
    async def approve(
        self, gateway: Gateway, request: _Request, execution_id: FromPath[str], data: JSONBody[ApproveRequest]
    ) -> StepAnswer:
        """Approve or reject. The first decision counts: 409 for a later one, and when nothing waits."""
        desk = (await gateway.workflows.open()).desk
        act = acting(request, "execution.decide")
        decided = await desk.approve(execution_id, data.node, data.decision, data.data, principal_of(request), act)
        return shown.step(decided)


async def _begin(gateway: Any, by: Principal, slug: str, data: ExecuteRequest, key: str | None) -> Execution:
    return await (await gateway.workflows.open()).desk.begin(
        slug,
        data.inputs,
        by,
        version=data.version,
        idempotency_key=key,
        budget_usd=data.budget_usd,
        deadline=data.deadline,
    )


async def told(gateway: Parts, request: _Request, action: str, one: Execution, **more: str) -> None:
    """For the audit log: what an administrator did with another's execution. With one's own everybody may do it."""
    by = principal_of(request)
    if by.admin and by.name != one.key_name:
        await gateway.audit.record(replace(acting(request, action, one.id), after={"attempt": one.attempt, **more}))


async def _whole(gateway: Any, one: Execution, by: Principal) -> ExecutionAnswer:
    service = await gateway.workflows.open()
    definition = (await service.library.get(one.slug, one.version)).definition
    order = [node.key for node in await service.reading.nodes(one.slug, one.version)]
    return shown.execution(one, await service.desk.steps(one.id, by), definition, order)
