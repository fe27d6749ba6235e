"""What may be used at most, by a key, by those who share a tag, of a route: in the configuration and by the API."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from gateway.settings.sections import Count, Seconds

Period = Literal["hour", "day", "week", "month", "total"]


class Rates(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """How much at a time; None: no bound. `rpm` and `tpm` are requests and tokens (in and out) within any minute."""

    rpm: Count | None = None
    tpm: Count | None = None
    concurrency: Count | None = None


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be spent, in USD, per calendar period in UTC (weeks begin on Monday; `total`: once and for all).

    From the share `soft` of it on there are warnings.
    """

    usd: Annotated[float, Meta(gt=0)]
    period: Period = "month"
    soft: Annotated[float, Meta(gt=0, le=1)] = 0.8


class Queue(Struct, frozen=True, kw_only=True):
    """Let requests beyond a limit wait for their turn, so long and so many at most (per process); else they fail."""

    seconds: Seconds
    size: Count = 1000


class Limits(Struct, frozen=True, kw_only=True):
    """How much callers may ask at a time.

    `default` is for what a key does not say itself, `tags` for all keys together that have the tag.
    """

    default: Rates = Rates()
    tags: dict[str, Rates] = field(default_factory=dict[str, Rates])
    queue: Queue | None = None


class Budgets(Struct, frozen=True, kw_only=True):
    """What may be spent: `tags` for all keys together that have the tag. A key's and a provider's stand with them."""

    tags: dict[str, Budget] = field(default_factory=dict[str, Budget])
