"""Errors of the ordinary routes: ours, Litestar's, and defects.

They have OpenAI's shape, but where the answer would have had Anthropic's or Google's: there their clients read them.
"""

import logging
from typing import Any

from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException

from gateway.api.faults import anthropic_body, defect, google_body, openai_body, retry_after
from gateway.api.models import Reader, reader
from gateway.errors import BadRequest, Busy, GatewayError, NotFound, WrongMethod
from gateway.records import StoreUnavailable

_log = logging.getLogger("steelyard.api")
_Request = Request[object, object, State]
_BODIES = {Reader.OPENAI: openai_body, Reader.ANTHROPIC: anthropic_body, Reader.GOOGLE: google_body}


def of_gateway(request: _Request, exc: GatewayError) -> Response[dict[str, Any]]:
    """One of ours."""
    request.app.state["parts"].metrics.turned_away("api", str(exc.status)).inc()
    headers = {"retry-after": seconds} if (seconds := retry_after(exc)) else {}
    request_id: str = request.scope["state"]["request_id"]
    return Response(_BODIES[reader(request)](exc, request_id), status_code=exc.status, headers=headers)


def of_http(request: _Request, exc: HTTPException) -> Response[dict[str, Any]]:
    """One of Litestar's: no such route, a wrong method, a parameter that does not parse."""
    if exc.status_code == 404:
        error: GatewayError = NotFound(f"There is nothing at {request.method} {request.url.path}. See /docs.")
    elif exc.status_code == 405:
        allowed = (exc.headers or {}).get("allow", "")
        error = WrongMethod(f"{request.url.path} does not take {request.method}, but {allowed}.")
    elif exc.status_code < 500:
        error = BadRequest(_told(exc))
    else:
        error = GatewayError("The gateway failed to serve this request.")
    error.status = exc.status_code
    answer = of_gateway(request, error)
    answer.headers.update(exc.headers or {})
    return answer


def of_store(request: _Request, exc: StoreUnavailable) -> Response[dict[str, Any]]:
    """The database is away: requests are served, but their records cannot be read."""
    _log.warning("the database is away", extra={"path": request.url.path, "error": str(exc)})
    return of_gateway(request, Busy("The database is not available right now.", retry_after=5.0))


def of_defect(request: _Request, exc: Exception) -> Response[dict[str, Any]]:
    """A mistake of ours: logged in full, told in brief."""
    _log.error("request failed", extra={"path": request.url.path}, exc_info=exc)
    return of_gateway(request, defect(exc, debug=request.app.state["parts"].settings.server.debug))


def _told(exc: HTTPException) -> str:
    """Litestar's message, with the parameters it complains of."""
    extra: list[dict[str, Any]] = exc.extra if isinstance(exc.extra, list) else []
    places = [f"{one['key']}: {one['message']}" for one in extra if "key" in one and "message" in one]
    return "; ".join([exc.detail, *places])
