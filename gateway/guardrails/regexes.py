"""The only door to RE2: expressions that are matched in time linear in the text, whoever wrote them.

Python's own engine backtracks: one unlucky expression and one long word would stop every caller for minutes. RE2 has no
lookaround and no references back for this reason, and says so when the configuration is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import re2

#: Without types of its own.
_re2: Any = re2
#: Bytes of memory for one expression: RE2's own default. What needs more is refused.
_MEMORY = 8 * 1024 * 1024


class Found(Protocol):
    """A match."""

    def span(self, group: int = 0) -> tuple[int, int]:
        """Where, in characters."""
        ...


class Regex(Protocol):
    """A compiled expression."""

    def search(self, text: str) -> Found | None:
        """The first match."""
        ...

    def finditer(self, text: str) -> Iterator[Found]:
        """All that do not overlap."""
        ...


class BadRegex(ValueError):
    """RE2 does not take this expression."""


def compiled(expression: str) -> Regex:
    """The expression, ready. Raises `BadRegex`."""
    options = _re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    try:
        return _re2.compile(expression, options)
    except _re2.error as exc:
        reason: Any = exc.args[0] if exc.args else "it cannot be read"
        raise BadRegex(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)) from exc


def either(expressions: Sequence[str]) -> Regex:
    """Any of these."""
    return compiled("|".join(f"(?:{one})" for one in expressions))
