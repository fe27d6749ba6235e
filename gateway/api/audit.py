"""`/api/audit`: what administrators did, for administrators."""

from datetime import datetime
from typing import Annotated

from litestar import Controller, get
from litestar.params import FromQuery, QueryParameter

from gateway.api.access import Gateway, admin
from gateway.api.answers.audit import AuditPage, shown
from gateway.api.times import unix
from gateway.governance.audit import Wanted


class AuditLog(Controller):
    """Administrative acts."""

    path = "/api/audit"
    guards = [admin]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Audit"]  # noqa: RUF012 - as above

    @get(summary="List administrative acts, newest first")
    async def listed(
        self,
        gateway: Gateway,
        actor: FromQuery[str | None] = None,
        action: FromQuery[str | None] = None,
        target: FromQuery[str | None] = None,
        since: FromQuery[datetime | None] = None,
        until: FromQuery[datetime | None] = None,
        cursor: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> AuditPage:
        """Who did what to what, when, from where. An `action` such as `key.` stands for all that begin so."""
        wanted = Wanted(actor, action, target, unix(since) if since else None, unix(until, "until") if until else None)
        page = await gateway.audit.listed(wanted, cursor=cursor, limit=limit)
        return AuditPage([shown(act) for act in page.items], page.next)
