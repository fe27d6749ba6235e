"""Answers: spend. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(kw_only=True)
class SpendRow:
    """The sums of one day (UTC), key, tag, provider and model; null where they are not told apart by it.

    An empty provider is that of requests that reached none. `requests` are counted where they were answered, also
    from the cache; tokens and USD where they were paid for, by attempts that failed too.
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


@dataclass(kw_only=True)
class SpendSums:
    """Requests, tokens that were paid for, and USD."""

    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: float


@dataclass(kw_only=True)
class SpendAnswer:
    """What was spent on the days from `since` up to `until` (exclusive), told apart by `by`: the dearest first.

    `total` counts each request once; a request whose key has several tags is in the row of each. `truncated`: there
    are more rows than were asked for.
    """

    since: datetime
    until: datetime
    by: list[Literal["day", "key", "tag", "provider", "model"]]
    rows: list[SpendRow]
    total: SpendSums
    truncated: bool


@dataclass(kw_only=True)
class BudgetAnswer:
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


@dataclass(kw_only=True)
class BudgetList:
    """Budgets and how they stand."""

    budgets: list[BudgetAnswer]
