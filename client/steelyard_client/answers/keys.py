"""Answers: keys. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(kw_only=True)
class Rates:
    """How much at a time; None: no bound. `rpm` and `tpm` are requests and tokens (in and out) within any minute."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None


@dataclass(kw_only=True)
class Budget:
    """What may be spent, in USD, per calendar period in UTC (weeks begin on Monday; `total`: once and for all).

    From the share `soft` of it on there are warnings.
    """

    usd: float
    period: Literal["hour", "day", "week", "month", "total"] | None = None
    soft: float | None = None


@dataclass(kw_only=True)
class KeyAnswer:
    """A key of the API, without its text; `prefix` is how that begins.

    Of `models`, `providers`, `routes` and `mcp_tools` null means all. `former_until`: until then texts from before
    its last rotations open, too.
    """

    id: str
    name: str
    prefix: str
    state: Literal["active", "expired", "revoked"]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    former_until: datetime | None
    scopes: list[Literal["admin", "use", "read"]]
    tags: list[str]
    models: list[str] | None
    providers: list[str] | None
    routes: list[str] | None
    mcp_tools: list[str] | None
    rates: Rates
    budget: Budget | None
    cache: Literal["never", "deterministic", "always", None]
    log_bodies: bool | None
    strategy: str | None
    objective: str | None
    guardrails: list[str] | None = None


@dataclass(kw_only=True)
class KeyPage:
    """Some keys, newest first; `next_after` leads to the next page, and is null on the last."""

    keys: list[KeyAnswer]
    next_after: str | None


@dataclass(kw_only=True)
class NewKeyAnswer:
    """The same with its text, `key`, which is told this once."""

    id: str
    name: str
    prefix: str
    state: Literal["active", "expired", "revoked"]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    former_until: datetime | None
    scopes: list[Literal["admin", "use", "read"]]
    tags: list[str]
    models: list[str] | None
    providers: list[str] | None
    routes: list[str] | None
    mcp_tools: list[str] | None
    rates: Rates
    budget: Budget | None
    cache: Literal["never", "deterministic", "always", None]
    log_bodies: bool | None
    strategy: str | None
    objective: str | None
    guardrails: list[str] | None = None
    key: str
