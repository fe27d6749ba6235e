"""What Litestar's requests lack: a body that is no text is the caller's mistake, as one that is no JSON is."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.datastructures import State

from gateway.api.nesting import require_shallow
from gateway.errors import BadRequest


class Asked(Request[object, object, State]):
    """A request to one of the ordinary routes."""

    async def json(self) -> Any:
        """The body. Raises `BadRequest`, and Litestar's own fault for what is not JSON."""
        require_shallow(await self.body(), self.app.state["parts"].settings.server.max_nesting)
        try:
            return await super().json()
        except UnicodeDecodeError as exc:
            raise BadRequest("The body is not UTF-8.", code="invalid_body") from exc
        except RecursionError as exc:
            raise BadRequest("The body is nested too deep.", code="invalid_body") from exc
