"""Where a page of a listing ended, as text that a caller hands back: the row's time and id.

Law: newest first, and a page never shifts while rows arrive, because the next one starts behind the last row seen
(keyset), not at a count.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from gateway.store.text import scrubbed


class Position(NamedTuple):
    """A row's place in a listing by time."""

    at: datetime
    id: str


def cursor_of(at: datetime, identity: str) -> str:
    """The cursor that leads behind this row."""
    return f"{at.isoformat()}~{identity}"


def position(cursor: str) -> Position:
    """The place a cursor stands for. Raises `ValueError` for one that no page gave."""
    moment, mark, identity = cursor.partition("~")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not mark or not identity:
        raise ValueError("not a cursor of this listing")
    return Position(at, scrubbed(identity))
