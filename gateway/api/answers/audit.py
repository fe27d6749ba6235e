"""What `/api/audit` answers."""

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from gateway.governance.audit import Act


class ActAnswer(Struct):
    """What somebody did: `actor` is the name of a key, or `system` for whoever may signal the process.

    `before` and `after` are what it changed, without secrets; null where there was nothing, or nothing is to be told.
    """

    id: str
    at: datetime
    actor: str
    key_id: str | None
    action: str
    target: str | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    request_id: str | None
    address: str | None


class AuditPage(Struct):
    """Some acts, newest first; `next_cursor` leads to the next page, and is null on the last."""

    acts: list[ActAnswer]
    next_cursor: str | None


def shown(act: Act) -> ActAnswer:
    """An act for people: its time as a date."""
    return ActAnswer(
        id=act.id,
        at=datetime.fromtimestamp(act.at, UTC),
        actor=act.actor,
        key_id=act.key_id,
        action=act.action,
        target=act.target,
        before=act.before,
        after=act.after,
        request_id=act.request_id,
        address=act.address,
    )
