"""`/api/sessions`: the conversations of the caller's own tenant."""

from typing import Annotated, Any

from litestar import Controller, Request, delete, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter

from gateway.api.access import Gateway, caller, principal_of

_Request = Request[object, object, State]


class Sessions(Controller):
    """Kept by `session_id` of orchestrate."""

    path = "/api/sessions"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Sessions"]  # noqa: RUF012 - as above

    @get(summary="List sessions, last used first")
    async def list_sessions(
        self,
        gateway: Gateway,
        request: _Request,
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        """A page; `next_after` leads to the next, and is null on the last."""
        return await gateway.sessions.listed(principal_of(request).name, after=after, limit=limit)

    @get("/{session_id:str}", summary="One session with its messages")
    async def get_session(self, gateway: Gateway, request: _Request, session_id: FromPath[str]) -> dict[str, Any]:
        """What would be sent along, untrimmed."""
        return await gateway.sessions.get(principal_of(request).name, session_id)

    @delete("/{session_id:str}", summary="Forget a session")
    async def delete_session(self, gateway: Gateway, request: _Request, session_id: FromPath[str]) -> None:
        """Delete its messages for good."""
        await gateway.sessions.delete(principal_of(request).name, session_id)
