"""What a Claude knows, by its name here and at resellers. A model with any other name is taken for a new one."""

from __future__ import annotations

import re

_BEFORE = r"claude-(?:v?[23]\b|instant|"
#: Claude 2 to 4.5.
_OLD = re.compile(_BEFORE + r"(?:opus|sonnet|haiku)-4(?:-[015]\b|-\d{8}|@|$))")
#: Claude 2 to 4.
_SHAPELESS = re.compile(_BEFORE + r"(?:opus|sonnet)-4(?:-0\b|-\d{8}|@|$))")
#: Claude 2 to Opus 4.7.
_SYSTEM_FIRST = re.compile(_BEFORE + r"(?:sonnet|haiku)-4|opus-4(?:-[0-7]\b|-\d{8}|@|$))")


def prefills(model: str) -> bool:
    """Whether it goes on from a last message that is its own ("What's new in Claude 4.6": a 400 from there on)."""
    return _OLD.search(model) is not None


def adapts(model: str) -> bool:
    """Whether it decides how long to think, by an effort in words; older ones are given a budget of tokens."""
    return _OLD.search(model) is None


def shapes(model: str) -> bool:
    """Whether it binds an answer to a schema ("Structured outputs": from Sonnet 4.5 and Opus 4.1 on)."""
    return _SHAPELESS.search(model) is None


def instructs(model: str) -> bool:
    """Whether it takes instructions amid a conversation ("What's new in Claude Opus 4.8").

    Older ones refuse them with a 400: `role 'system' is not supported on this model`.
    """
    return _SYSTEM_FIRST.search(model) is None
