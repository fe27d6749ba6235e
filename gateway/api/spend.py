"""`/api/spend`: what was spent, by whom and for what, and how the budgets stand."""

from datetime import datetime
from typing import Annotated, Literal

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State
from litestar.openapi import ResponseSpec
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import Struct

from gateway.api.access import Gateway, acting, admin, principal_of, records_reader
from gateway.api.answers.spend import BudgetAnswer, BudgetList, SpendAnswer, budget, spend, spend_csv
from gateway.api.times import unix
from gateway.errors import BadRequest, NotFound
from gateway.governance.budgets.spending import DIMENSIONS, Dimension, Wanted, spent_by
from gateway.governance.keys import Principal
from gateway.parts import Parts
from gateway.settings.limits import Budget

_Request = Request[object, object, State]
#: Seconds for which spending is told when nobody says: a month of days.
_MONTH = 30 * 86_400.0
_CSV = "text/csv"


class ResetRequest(Struct, forbid_unknown_fields=True):
    """Whose budget is begun anew."""

    kind: Literal["key", "tag", "provider"]
    name: str


class Spend(Controller):
    """Money."""

    path = "/api/spend"
    guards = [records_reader]  # noqa: RUF012 - Litestar reads it from the class
    tags = ["Spending"]  # noqa: RUF012 - as above

    @get(
        summary="What was spent, by key, tag, provider, model or day",
        responses={
            HTTP_200_OK: ResponseSpec(SpendAnswer, generate_examples=False, description="The sums; or the same as CSV.")
        },
    )
    async def spent(
        self,
        gateway: Gateway,
        request: _Request,
        by: Annotated[str, QueryParameter(description="Any of day, key, tag, provider, model, with commas.")] = "key",
        since: FromQuery[datetime | None] = None,
        until: FromQuery[datetime | None] = None,
        key: FromQuery[str | None] = None,
        tag: FromQuery[str | None] = None,
        provider: FromQuery[str | None] = None,
        model: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=100_000)] = 1_000,
        form: Annotated[Literal["json", "csv"] | None, QueryParameter(name="format")] = None,
    ) -> Response[SpendAnswer | str]:
        """Of whole days (UTC), by default the last thirty and today; of your own key, or with the admin key of all.

        As CSV by `format=csv`, or for who accepts `text/csv`.
        """
        wanted_by, now = _dimensions(by), gateway.wall()
        wanted = Wanted(
            since=unix(since) if since else max(0.0, now - _MONTH),
            until=unix(until, "until") if until else now + 1.0,
            key=key,
            tag=tag,
            provider=provider,
            model=model,
        )
        found = await spent_by(gateway.records, principal_of(request), wanted_by, wanted, limit)
        headers = {"vary": "accept"}
        if form == "csv" or (form is None and _CSV in request.headers.get("accept", "")):
            return Response(spend_csv(found, wanted_by), media_type=_CSV, headers=headers)
        return Response(spend(found, wanted_by), headers=headers)

    @get("/budgets", summary="How the budgets stand")
    async def budgets(self, gateway: Gateway, request: _Request) -> BudgetList:
        """Yours, and with the admin key all keys', tags' and providers'."""
        principal = principal_of(request)
        keys = _keys(gateway) if principal.admin else [principal]
        owned = [(one.name, one.budget) for one in keys if one.budget is not None]
        return BudgetList([budget(one) for one in await gateway.budgets.balances(owned, configured=principal.admin)])

    @post("/budgets/reset", summary="Begin a budget anew", status_code=HTTP_200_OK, guards=[admin])
    async def reset(self, gateway: Gateway, request: _Request, data: JSONBody[ResetRequest]) -> BudgetAnswer:
        """What was spent of it in its period until now counts no more; the spending itself is told as before."""
        found = _budget(gateway, data)
        if found is None:
            raise NotFound(f"There is no {data.kind} '{data.name:.100}' with a budget.")
        act = acting(request, "budget.reset", f"{data.kind}:{data.name}")
        await gateway.budgets.reset(data.kind, data.name, found, act)
        return budget(await gateway.budgets.balance(data.kind, data.name, found))


def _keys(gateway: Parts) -> list[Principal]:
    return gateway.principals.everyone()


def _budget(gateway: Parts, data: ResetRequest) -> Budget | None:
    if data.kind != "key":
        return gateway.budgets.budget_of(data.kind, data.name)
    return next((one.budget for one in _keys(gateway) if one.name == data.name), None)


def _dimensions(text: str) -> list[Dimension]:
    """What to tell apart by. Raises `BadRequest`."""
    asked = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    wrong = [name for name in asked if name not in DIMENSIONS]
    if wrong:
        raise BadRequest(f"'by' takes {', '.join(DIMENSIONS)}, not '{wrong[0]:.100}'.", param="by")
    return [name for name in DIMENSIONS if name in asked]
