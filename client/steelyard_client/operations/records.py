"""What was recorded: the request log, the cache's counts, sessions, votes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from steelyard_client.answers.records import (
    CacheAnswer,
    ClearedAnswer,
    FeedbackAnswer,
    FeedbackPage,
    LogAnswer,
    RecordAnswer,
    RecordPage,
    SessionAnswer,
    SessionPage,
)
from steelyard_client.asking import Ask, given
from steelyard_client.operation import Operation

_SESSION = "/api/sessions/{session_id}"


class Records:
    """`/api/db/*`, for the administrator, `/api/sessions` and `/api/feedback`."""

    @Operation
    @staticmethod
    def db_stats(*, since: datetime | None = None) -> Ask[LogAnswer]:
        """Totals of the request log: of the last day, or since a time."""
        return Ask(method="GET", address="/api/db/stats", query={"since": since}, answer=LogAnswer)

    @Operation
    @staticmethod
    def recent_requests(
        *,
        provider: str | None = None,
        model: str | None = None,
        status: int | None = None,
        key: str | None = None,
        cached: bool | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Ask[RecordPage]:
        """A page of requests, newest first; `cursor` is the last page's `next_cursor`."""
        query = {
            "provider": provider,
            "model": model,
            "status": status,
            "key": key,
            "cached": cached,
            "since": since,
            "cursor": cursor,
            "limit": limit,
        }
        return Ask(method="GET", address="/api/db/requests/recent", query=query, answer=RecordPage)

    @Operation
    @staticmethod
    def get_request(request_id: str) -> Ask[RecordAnswer]:
        """One request with its attempts; known after the log's flush interval."""
        place = {"request_id": request_id}
        return Ask(method="GET", address="/api/db/requests/{request_id}", place=place, answer=RecordAnswer)

    @Operation
    @staticmethod
    def cache_stats() -> Ask[CacheAnswer]:
        """Hits, misses, writes, evictions, errors."""
        return Ask(method="GET", address="/api/db/cache/stats", answer=CacheAnswer)

    @Operation
    @staticmethod
    def clear_cache(*, model: str | None = None, prefix: str | None = None) -> Ask[ClearedAnswer]:
        """Drop every kept answer, or those of a model, or those whose key begins with `prefix`."""
        query = {"model": model, "prefix": prefix}
        return Ask(method="DELETE", address="/api/db/cache/clear", query=query, answer=ClearedAnswer)

    @Operation
    @staticmethod
    def list_sessions(*, after: str | None = None, limit: int | None = None) -> Ask[SessionPage]:
        """A page of sessions, last used first; `after` is the last page's `next_after`."""
        return Ask(method="GET", address="/api/sessions", query={"after": after, "limit": limit}, answer=SessionPage)

    @Operation
    @staticmethod
    def get_session(session_id: str) -> Ask[SessionAnswer]:
        """One session with its messages."""
        return Ask(method="GET", address=_SESSION, place={"session_id": session_id}, answer=SessionAnswer)

    @Operation
    @staticmethod
    def delete_session(session_id: str) -> Ask[None]:
        """Forget its messages for good."""
        return Ask(method="DELETE", address=_SESSION, place={"session_id": session_id}, answer=type(None))

    @Operation
    @staticmethod
    def give_feedback(
        request_id: str,
        *,
        score: float | None = None,
        thumbs: Literal["up", "down"] | None = None,
        metric: str | None = None,
        comment: str | None = None,
    ) -> Ask[FeedbackAnswer]:
        """Rate an answer by exactly one of `score` (0..1) and `thumbs`; a later vote replaces yours."""
        body = given(request_id=request_id, score=score, thumbs=thumbs, metric=metric, comment=comment)
        return Ask(method="POST", address="/api/feedback", body=body, answer=FeedbackAnswer, repeatable=True)

    @Operation
    @staticmethod
    def list_feedback(
        *,
        request_id: str | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Ask[FeedbackPage]:
        """A page of votes, newest first; `cursor` is the last page's `next_cursor`."""
        query = {"request_id": request_id, "since": since, "cursor": cursor, "limit": limit}
        return Ask(method="GET", address="/api/feedback", query=query, answer=FeedbackPage)
