"""What `/api/keys` answers."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from gateway.governance.keys import Scope
from gateway.settings.limits import Budget, Rates
from gateway.settings.sections import CacheWhen


class KeyAnswer(Struct):
    """A key of the API, without its text; `prefix` is how that begins.

    Of `models`, `providers`, `routes` and `mcp_tools` null means all. `former_until`: until then texts from before its
    last rotations open, too.
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
    scopes: list[Scope]
    tags: list[str]
    models: list[str] | None
    providers: list[str] | None
    routes: list[str] | None
    mcp_tools: list[str] | None
    rates: Rates
    budget: Budget | None
    cache: CacheWhen | None
    log_bodies: bool | None
    strategy: str | None
    objective: str | None
    guardrails: list[str] = []


class NewKeyAnswer(KeyAnswer, kw_only=True):
    """The same with its text, `key`, which is told this once."""

    key: str


class KeyPage(Struct):
    """Some keys, newest first; `next_after` leads to the next page, and is null on the last."""

    keys: list[KeyAnswer]
    next_after: str | None
