"""Who began an execution, as its steps need to know it: what its key may do now, and not what it could then.

Law: a key that was revoked, or has expired, asks no model, calls no tool and reaches no server any more, also not by
what it began before.
"""

from __future__ import annotations

from typing import Protocol

from gateway.errors import Forbidden
from gateway.governance.keys import Principal, require_lasting
from gateway.workflows.kept import Execution


class Known(Protocol):
    """Everyone who may begin executions."""

    def named(self, name: str) -> Principal | None:
        """Whose name that is; None: nobody's any more."""
        ...


def caller_of(execution: Execution, known: Known) -> Principal:
    """In whose name its steps are done. Raises `Forbidden` when that key is no more."""
    found = known.named(execution.key_name)
    if found is None or not (found.admin or "use" in found.scopes):
        raise Forbidden(f"The key '{execution.key_name}', with which this execution was begun, may do this no more.")
    return found


def require_to_go_on(execution: Execution, by: Principal) -> None:
    """Raise `Forbidden` for a token that has what it began with another done anew, and might not begin it itself.

    An administrator has another's done, in whose name it goes on.
    """
    if execution.key_name == by.name:
        require_lasting(by, "An execution")
