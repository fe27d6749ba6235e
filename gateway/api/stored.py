"""`/v1/responses/{id}`: what `POST /v1/responses` kept, for the tenant it was kept for."""

from typing import Annotated, Literal, cast

from litestar import Controller, Request, Response, delete, get, post
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter
from litestar.status_codes import HTTP_200_OK

from gateway.api.access import Gateway, caller, principal_of
from gateway.api.answers.responses import DeletedResponse, InputItems, ResponseAnswer
from gateway.errors import BadRequest

_Request = Request[object, object, State]


class StoredResponses(Controller):
    """Kept unless the request said `store: false`; deleted by their owner."""

    path = "/v1/responses"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["OpenAI"]  # noqa: RUF012 - as above

    @get("/{response_id:str}", summary="Retrieve a response")
    async def get_response(
        self, gateway: Gateway, request: _Request, response_id: FromPath[str], stream: FromQuery[bool] = False
    ) -> Response[ResponseAnswer]:
        """As it was answered, with whatever the provider told besides. Streams cannot be read again."""
        if stream:
            raise BadRequest("A stored response cannot be streamed again. Leave 'stream' out.", param="stream")
        # Not read into the type, which would lose what it has no names for.
        return Response(cast("ResponseAnswer", await gateway.responses.get(principal_of(request).name, response_id)))

    @delete("/{response_id:str}", summary="Delete a response", status_code=HTTP_200_OK)
    async def delete_response(self, gateway: Gateway, request: _Request, response_id: FromPath[str]) -> DeletedResponse:
        """For good. Responses that go on from it can be read still, and no longer be gone on from."""
        await gateway.responses.delete(principal_of(request).name, response_id)
        return DeletedResponse(response_id, "response", True)

    @post("/{response_id:str}/cancel", summary="Cancel a response", status_code=HTTP_200_OK)
    async def cancel_response(
        self, gateway: Gateway, request: _Request, response_id: FromPath[str]
    ) -> Response[ResponseAnswer]:
        """Always refused: nothing runs in the background. A caller who hangs up cancels what he waits for."""
        await gateway.responses.get(principal_of(request).name, response_id)
        raise BadRequest("Cannot cancel a synchronous response.", param="response_id")

    @get("/{response_id:str}/input_items", summary="List a response's input items")
    async def list_input_items(
        self,
        gateway: Gateway,
        request: _Request,
        response_id: FromPath[str],
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20,
        order: FromQuery[Literal["asc", "desc"]] = "desc",
    ) -> InputItems:
        """All that the model was given, what earlier responses said included; last first unless `order` is `asc`."""
        tenant = principal_of(request).name
        found = await gateway.responses.given(
            tenant, response_id, after=after, limit=limit, newest_first=order == "desc"
        )
        return InputItems(**found)
