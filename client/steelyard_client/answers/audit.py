"""Answers: audit. Written by `python -m tests.client` from the gateway's OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(kw_only=True)
class ActAnswer:
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


@dataclass(kw_only=True)
class AuditPage:
    """Some acts, newest first; `next_cursor` leads to the next page, and is null on the last."""

    acts: list[ActAnswer]
    next_cursor: str | None
