"""Thinking in words and in tokens.

Google's own table for `reasoning_effort` (OpenAI compatibility, in the API's documentation) says which budget a word
stands for. It is read both ways: a budget is a bound, so its word is the longest thinking that stays within it.
"""

from __future__ import annotations

#: From the shortest on.
BUDGETS = {"minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}


def word_within(budget: int) -> str:
    """The longest thinking that takes no more tokens than this; the shortest there is, when none does."""
    within = [word for word, tokens in BUDGETS.items() if tokens <= budget]
    return within[-1] if within else "minimal"
