"""`/openapi.json`; the page at `/docs` shows the same document."""

from typing import Any

from litestar import Request, get
from litestar.datastructures import State


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def document(request: Request[object, object, State]) -> dict[str, Any]:
    """The OpenAPI document."""
    return request.app.openapi_schema.to_schema()
