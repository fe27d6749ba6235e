"""A person decides: the step waits and holds no worker; the decision ends it, and a new attempt goes on from there."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.workflows.archive import KEEP
from gateway.workflows.bind import Scope
from gateway.workflows.running import Context, Result
from gateway.workflows.spec import Approval, keep_as


class Approvals:
    """Asks for decisions."""

    def __init__(self, wall: Callable[[], float]) -> None:
        """With a clock for their expiry."""
        self._wall = wall

    async def __call__(self, context: Context, node: Approval, known: Scope) -> Result:
        """Wait for a decision; what is to be decided stands in the step's data."""
        expires = None if node.expires_after is None else self._wall() + node.expires_after
        data = {"message": node.message, "payload": node.payload, "form_schema": node.form_schema}
        if node.artifact is not None:
            # Whoever decides does so elsewhere: as what the decision is to be kept is known here alone.
            data[KEEP] = msgspec.to_builtins(keep_as(node))
        return Result(waiting=True, data=data | {"expires_at": expires})
