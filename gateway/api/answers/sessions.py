"""What `/api/sessions` answers."""

from datetime import datetime
from typing import Any

from msgspec import Struct


class SessionSummary(Struct):
    """A conversation; `turns` counts the exchanges, also those whose messages were trimmed."""

    id: str
    created_at: datetime
    updated_at: datetime
    turns: int


class SessionPage(Struct):
    """Some sessions, last used first; `next_after` leads to the next page, and is null on the last."""

    sessions: list[SessionSummary]
    next_after: str | None


class SessionAnswer(SessionSummary):
    """A conversation with its messages, in OpenAI's vocabulary, oldest first."""

    messages: list[dict[str, Any]]
