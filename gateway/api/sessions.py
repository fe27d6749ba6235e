"""`/api/sessions`: the conversations of the caller's own tenant."""

from typing import Annotated

from litestar import Controller, Request, delete, get
from litestar.datastructures import State
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import convert

from gateway.api.access import Gateway, caller, named, principal_of
from gateway.api.answers.sessions import SessionAnswer, SessionPage

_Request = Request[object, object, State]


class Sessions(Controller):
    """Kept by `session_id` of orchestrate."""

    path = "/api/sessions"
    guards = [caller]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Sessions"]  # noqa: RUF012 - as above

    @get(summary="List sessions, last used first", guards=[named])
    async def list_sessions(
        self,
        gateway: Gateway,
        request: _Request,
        after: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> SessionPage:
        """A page; `next_after` leads to the next, and is null on the last."""
        found = await gateway.sessions.listed(principal_of(request).name, after=after, limit=limit)
        return convert(found, SessionPage)

    @get("/{session_id:str}", summary="One session with its messages")
    async def get_session(self, gateway: Gateway, request: _Request, session_id: FromPath[str]) -> SessionAnswer:
        """What would be sent along, untrimmed."""
        return convert(await gateway.sessions.get(principal_of(request).name, session_id), SessionAnswer)

    @delete("/{session_id:str}", summary="Forget a session")
    async def delete_session(self, gateway: Gateway, request: _Request, session_id: FromPath[str]) -> None:
        """Delete its messages for good."""
        await gateway.sessions.delete(principal_of(request).name, session_id)
