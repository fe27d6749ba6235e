"""What `/api/spend` answers."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from gateway.governance.budgets.office import Balance
from gateway.governance.budgets.spending import Dimension, Spending, Spent

#: Beginnings of cells that spreadsheets take for formulas.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


class SpendSums(Struct):
    """Requests, tokens that were paid for, and USD."""

    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class SpendRow(Struct):
    """The sums of one day (UTC), key, tag, provider and model; null where they are not told apart by it.

    An empty provider is that of requests that reached none. `requests` are counted where they were answered, also from
    the cache; tokens and USD where they were paid for, by attempts that failed too.
    """

    day: str | None
    key: str | None
    tag: str | None
    provider: str | None
    model: str | None
    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


class SpendAnswer(Struct):
    """What was spent on the days from `since` up to `until` (exclusive), told apart by `by`: the dearest first.

    `total` counts each request once; a request whose key has several tags is in the row of each. `truncated`: there are
    more rows than were asked for.
    """

    since: datetime
    until: datetime
    by: list[Literal["day", "key", "tag", "provider", "model"]]
    rows: list[SpendRow]
    total: SpendSums
    truncated: bool


class BudgetAnswer(Struct):
    """How a budget stands. `kind` is whose it is: a key's, a tag's or a provider's.

    `spent_usd` is written down; `held_usd` is reserved for requests under way, or at hand in one of the gateway's
    processes; `left_usd` is neither. From the share `soft` on there are warnings. The period is `since`..`until`; a
    budget that does not begin anew has no `until`.
    """

    kind: Literal["key", "tag", "provider"]
    name: str
    usd: float
    period: Literal["hour", "day", "week", "month", "total"]
    soft: float
    spent_usd: float
    held_usd: float
    left_usd: float
    since: datetime
    until: datetime | None


class BudgetList(Struct):
    """Budgets and how they stand."""

    budgets: list[BudgetAnswer]


def spend(found: Spending, by: Sequence[Dimension]) -> SpendAnswer:
    """Spending for people: days as dates, money as numbers."""
    return SpendAnswer(
        since=_moment(found.since),
        until=_moment(found.until),
        by=list(by),
        rows=[SpendRow(_day(one), one.key, one.tag, one.provider, one.model, *_sums(one)) for one in found.rows],
        total=SpendSums(*_sums(found.total)),
        truncated=found.more,
    )


def spend_csv(found: Spending, by: Sequence[Dimension]) -> str:
    """The same rows for a spreadsheet (RFC 4180), under a line of names."""
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow([*by, "requests", "input_tokens", "output_tokens", "cost_usd"])
    for one in found.rows:
        told = {"day": _day(one), "key": one.key, "tag": one.tag, "provider": one.provider, "model": one.model}
        cost = f"{one.cost_usd:f}"
        lines.writerow(
            [*(_cell(told[name] or "") for name in by), one.requests, one.input_tokens, one.output_tokens, cost]
        )
    return text.getvalue()


def budget(one: Balance) -> BudgetAnswer:
    """A budget for people."""
    return BudgetAnswer(
        kind=one.kind,
        name=one.name,
        usd=one.budget.usd,
        period=one.budget.period,
        soft=one.budget.soft,
        spent_usd=one.spent,
        held_usd=one.held,
        left_usd=one.left,
        since=_moment(one.since),
        until=None if one.until is None else _moment(one.until),
    )


def _sums(one: Spent) -> tuple[int, int, int, float]:
    return one.requests, one.input_tokens, one.output_tokens, float(one.cost_usd)


def _day(one: Spent) -> str | None:
    return None if one.day is None else _moment(one.day).date().isoformat()


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _cell(text: str) -> str:
    """A name that no spreadsheet computes."""
    return f"'{text}" if text.startswith(_FORMULAS) else text
