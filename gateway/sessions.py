"""Conversations that the gateway keeps: earlier turns are sent along, the new ones are added after the answer.

Law: a session belongs to its tenant, and lives in the database. When that is away a request with a session is refused,
because answering it without its past would be answering another question. A failed request adds nothing.

Earlier messages are trimmed, oldest first, to three quarters of the largest window among the candidates, so that the
question and the answer have room; the estimate is the same as everywhere (a quarter of the bytes).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.errors import BadRequest, Busy, NotFound
from gateway.store import sessions
from gateway.store.engine import Database
from gateway.store.errors import StoreUnavailable
from gateway.store.record import Json

#: Messages of a session that are kept; the window trims what is sent long before that.
_KEPT = 400
_ROOM = 0.75
#: Tokens assumed for a model whose window is not known.
_UNKNOWN_WINDOW = 8_192


class Sessions:
    """The tenants' conversations."""

    def __init__(self, database: Database, *, wall: Callable[[], float]) -> None:
        """Keep them in `database`; `wall` tells Unix seconds."""
        self._database = database
        self._wall = wall

    async def recall(self, tenant: str, identity: str, windows: Sequence[int | None]) -> list[Json]:
        """The earlier messages, trimmed to the candidates' windows (tokens). Raises `Busy`."""
        try:
            found = await sessions.load(self._database, tenant, identity)
        except StoreUnavailable as exc:
            raise _away(exc) from exc
        window = max((window or _UNKNOWN_WINDOW for window in windows), default=_UNKNOWN_WINDOW)
        return _trimmed(found.messages, int(window * _ROOM)) if found else []

    async def remember(self, tenant: str, identity: str, messages: Sequence[Json]) -> None:
        """Add a turn. Raises `Busy`."""
        try:
            await sessions.append(self._database, tenant, identity, messages, now=self._wall(), keep=_KEPT)
        except StoreUnavailable as exc:
            raise _away(exc) from exc

    async def listed(self, tenant: str, *, after: str | None, limit: int) -> dict[str, Any]:
        """A page of the tenant's sessions, last used first, from behind the session `after` on."""
        last = None
        if after is not None:
            last = await sessions.load(self._database, tenant, after)
            if last is None:
                raise BadRequest(f"'after' names no session of yours: '{after}'.", param="after")
        found = await sessions.list_sessions(self._database, tenant, after=last, limit=limit + 1)
        page = found[:limit]
        return {
            "sessions": [_shown(one) for one in page],
            "next_after": page[-1].id if len(found) > limit else None,
        }

    async def get(self, tenant: str, identity: str) -> dict[str, Any]:
        """A session with its messages. Raises `NotFound`."""
        found = await sessions.load(self._database, tenant, identity)
        if found is None:
            raise NotFound(f"There is no session '{identity}'.")
        return {**_shown(found), "messages": found.messages}

    async def delete(self, tenant: str, identity: str) -> None:
        """Forget a session. Raises `NotFound`."""
        if not await sessions.delete_session(self._database, tenant, identity):
            raise NotFound(f"There is no session '{identity}'.")


def _away(exc: StoreUnavailable) -> Busy:
    return Busy(f"Sessions need the database, which is not available: {exc}", retry_after=5.0)


def _trimmed(messages: list[Json], tokens: int) -> list[Json]:
    """The newest messages that fit; the first of them is a user's, since no dialect begins with an answer."""
    kept: list[Json] = []
    left = tokens * 4
    for message in reversed(messages):
        left -= len(msgspec.json.encode(message))
        if left < 0:
            break
        kept.append(message)
    kept.reverse()
    while kept and kept[0].get("role") not in {"user", "system", "developer"}:
        kept.pop(0)
    return kept


def _shown(one: sessions.Session) -> dict[str, Any]:
    return {
        "id": one.id,
        "created_at": _iso(one.created_at),
        "updated_at": _iso(one.updated_at),
        "turns": one.turns,
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
