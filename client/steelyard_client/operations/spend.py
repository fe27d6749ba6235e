"""Money: what was spent, and how the budgets stand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from steelyard_client.answers.spend import BudgetAnswer, BudgetList, SpendAnswer
from steelyard_client.asking import Ask
from steelyard_client.operation import Operation

Dimension = Literal["day", "key", "tag", "provider", "model"]


class Spend:
    """`/api/spend`."""

    @Operation
    @staticmethod
    def spend(
        by: Sequence[Dimension] = ("key",),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        key: str | None = None,
        tag: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        limit: int | None = None,
    ) -> Ask[SpendAnswer]:
        """What was spent, of whole days (UTC): of your own key, or with the admin key of all."""
        query = _query(by, since, until, key, tag, provider, model, limit, "json")
        return Ask(method="GET", address="/api/spend", query=query, answer=SpendAnswer)

    @Operation
    @staticmethod
    def spend_csv(
        by: Sequence[Dimension] = ("key",),
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        key: str | None = None,
        tag: str | None = None,
        provider: str | None = None,
        model: str | None = None,
        limit: int | None = None,
    ) -> Ask[str]:
        """The same as CSV, under a line of names."""
        query = _query(by, since, until, key, tag, provider, model, limit, "csv")
        return Ask(method="GET", address="/api/spend", query=query, answer=str)

    @Operation
    @staticmethod
    def list_budgets() -> Ask[BudgetList]:
        """How your budget stands, and with the admin key everybody's, tags' and providers' too."""
        return Ask(method="GET", address="/api/spend/budgets", answer=BudgetList)

    @Operation
    @staticmethod
    def reset_budget(kind: Literal["key", "tag", "provider"], name: str) -> Ask[BudgetAnswer]:
        """Begin a budget anew: what was spent of it in its period counts no more. For the administrator."""
        body = {"kind": kind, "name": name}
        return Ask(method="POST", address="/api/spend/budgets/reset", body=body, repeatable=True, answer=BudgetAnswer)


def _query(by: Sequence[Dimension], *values: Any) -> dict[str, Any]:
    names = ("since", "until", "key", "tag", "provider", "model", "limit", "format")
    return {"by": ",".join(by), **dict(zip(names, values, strict=True))}
