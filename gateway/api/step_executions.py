"""`/api/step-executions`, `/api/checkpoints`: steps over all executions of a caller, or of all callers."""

from typing import Annotated

from litestar import Controller, Request, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.status_codes import HTTP_200_OK

from gateway.api.access import Gateway, caller, named, principal_of, reader
from gateway.api.answers import executions as shown
from gateway.api.answers.executions import StepAnswer, StepMetrics, StepPage
from gateway.api.executions import told

_Request = Request[object, object, State]
_Limit = Annotated[int, QueryParameter(ge=1, le=500)]


class StepExecutions(Controller):
    """Steps of your own executions; with the admin key of all."""

    path = "/api"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Executions"]  # noqa: RUF012 - as above

    @get("/step-executions", summary="Steps that have not ended, newest first", guards=[named])
    async def list_active(
        self, gateway: Gateway, request: _Request, after: FromQuery[str | None] = None, limit: _Limit = 50
    ) -> StepPage:
        """Those that run, wait for somebody, or are to be run again."""
        reading = (await gateway.workflows.open()).reading
        return shown.steps_page(await reading.active(principal_of(request), after=after, limit=limit + 1), limit)

    @get("/step-executions/{step_id:str}", summary="One step execution")
    async def get_step(self, gateway: Gateway, request: _Request, step_id: FromPath[str]) -> StepAnswer:
        """With its output, its error, and the requests it made."""
        return shown.step(await (await gateway.workflows.open()).desk.step(step_id, principal_of(request)))

    @post("/step-executions/{step_id:str}/cancel", summary="Cancel a step", status_code=HTTP_200_OK)
    async def cancel_step(self, gateway: Gateway, request: _Request, step_id: FromPath[str]) -> StepAnswer:
        """It fails as cancelled, in a second if it runs; its `on_error` says what follows. 409 when it has ended."""
        by, desk = principal_of(request), (await gateway.workflows.open()).desk
        cancelled = await desk.cancel_step(step_id, by)
        whole = await desk.get(cancelled.execution_id, by)
        await told(gateway, request, "step.cancel", whole, step=step_id, node=cancelled.node_id)
        return shown.step(cancelled)

    @get("/metrics/step-executions", summary="Counts of step executions", guards=[reader])
    async def count_steps(self, gateway: Gateway, request: _Request) -> StepMetrics:
        """How many are in which state."""
        return shown.metrics(await (await gateway.workflows.open()).reading.step_counts(principal_of(request)))

    @get("/checkpoints", summary="Steps that have succeeded, newest first", guards=[named])
    async def list_checkpoints(
        self,
        gateway: Gateway,
        request: _Request,
        workflow_slug: FromQuery[str | None] = None,
        after: FromQuery[str | None] = None,
        limit: _Limit = 50,
    ) -> StepPage:
        """What going on with an execution would not pay again."""
        reading = (await gateway.workflows.open()).reading
        found = await reading.checkpoints(principal_of(request), slug=workflow_slug, after=after, limit=limit + 1)
        return shown.steps_page(found, limit)
