"""What may be used at most, by a key, by those who share a tag, of a route: in the configuration and by the API."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Period = Literal["hour", "day", "week", "month", "total"]
_Most = Annotated[int, Meta(ge=1)]


class Rates(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much at a time; None: no bound. `rpm` and `tpm` are requests and tokens (in and out) within any minute."""

    rpm: _Most | None = None
    tpm: _Most | None = None
    concurrency: _Most | None = None


class Budget(Struct, frozen=True, kw_only=True):
    """What may be spent, in USD, per calendar period in UTC (weeks begin on Monday; `total`: once and for all).

    From the share `soft` of it on there are warnings.
    """

    usd: Annotated[float, Meta(gt=0)]
    period: Period = "month"
    soft: Annotated[float, Meta(gt=0, le=1)] = 0.8
