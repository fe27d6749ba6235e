"""Keys of others, and what administrators did: for the administrator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from steelyard_client.answers.audit import AuditPage
from steelyard_client.answers.keys import KeyAnswer, KeyPage, NewKeyAnswer
from steelyard_client.asking import Ask, given
from steelyard_client.operation import Operation

_ALL, _ONE = "/api/keys", "/api/keys/{key_id}"


class Keys:
    """`/api/keys` and `/api/audit`."""

    @Operation
    @staticmethod
    def create_key(
        name: str,
        *,
        scopes: Sequence[Literal["admin", "use", "read"]] | None = None,
        tags: Sequence[str] | None = None,
        models: Sequence[str] | None = None,
        providers: Sequence[str] | None = None,
        routes: Sequence[str] | None = None,
        mcp_tools: Sequence[str] | None = None,
        rates: Mapping[str, int] | None = None,
        budget: Mapping[str, Any] | None = None,
        cache: Literal["never", "deterministic", "always"] | None = None,
        log_bodies: bool | None = None,
        guardrails: Sequence[str] | None = None,
        strategy: str | None = None,
        objective: str | None = None,
        expires_at: datetime | None = None,
    ) -> Ask[NewKeyAnswer]:
        """A new key. Its text, `key`, is told this once, so the request is never sent twice."""
        body = given(
            name=name,
            scopes=scopes,
            tags=tags,
            models=models,
            providers=providers,
            routes=routes,
            mcp_tools=mcp_tools,
            rates=rates,
            budget=budget,
            cache=cache,
            log_bodies=log_bodies,
            guardrails=guardrails,
            strategy=strategy,
            objective=objective,
            expires_at=_moment(expires_at),
        )
        return Ask(method="POST", address=_ALL, body=body, answer=NewKeyAnswer)

    @Operation
    @staticmethod
    def list_keys(*, tag: str | None = None, after: str | None = None, limit: int | None = None) -> Ask[KeyPage]:
        """A page of keys, newest first, revoked ones among them; `after` is the last page's `next_after`."""
        return Ask(method="GET", address=_ALL, query={"tag": tag, "after": after, "limit": limit}, answer=KeyPage)

    @Operation
    @staticmethod
    def get_key(key_id: str) -> Ask[KeyAnswer]:
        """One key, without its text."""
        return Ask(method="GET", address=_ONE, place={"key_id": key_id}, answer=KeyAnswer)

    @Operation
    @staticmethod
    def update_key(key_id: str, **changes: Any) -> Ask[KeyAnswer]:
        """Change what it may do, by the names of `create_key`; the rest stays, and `None` takes a restriction away."""
        if "expires_at" in changes:
            changes["expires_at"] = _moment(changes["expires_at"])
        place = {"key_id": key_id}
        return Ask(method="PATCH", address=_ONE, place=place, body=changes, answer=KeyAnswer, repeatable=True)

    @Operation
    @staticmethod
    def rotate_key(key_id: str, *, overlap: float | None = None) -> Ask[NewKeyAnswer]:
        """Another text for it; the former one opens for `overlap` more seconds."""
        place = {"key_id": key_id}
        return Ask(
            method="POST", address=f"{_ONE}/rotate", place=place, body=given(overlap=overlap), answer=NewKeyAnswer
        )

    @Operation
    @staticmethod
    def revoke_key(key_id: str) -> Ask[KeyAnswer]:
        """For good, and everywhere within a second."""
        return Ask(method="DELETE", address=_ONE, place={"key_id": key_id}, answer=KeyAnswer)

    @Operation
    @staticmethod
    def list_acts(
        *,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Ask[AuditPage]:
        """A page of the audit log, newest first; an `action` such as `key.` stands for all that begin so."""
        query = {"actor": actor, "action": action, "target": target, "since": since, "until": until}
        return Ask(
            method="GET", address="/api/audit", query={**query, "cursor": cursor, "limit": limit}, answer=AuditPage
        )


def _moment(moment: Any) -> Any:
    """As JSON has it."""
    return moment.isoformat() if isinstance(moment, datetime) else moment
