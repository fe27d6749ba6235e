"""What an execution may spend: a prompt is sent only if it is expected to fit beside all that was spent and is held.

    spent + expected costs of prompts under way + this one's ≤ the budget

The expectation is the cap's (`gateway.capping`), which says how good it is. A prompt that is done gives back what was
expected of it and takes what it has cost.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from msgspec import Struct

from gateway.capping import ROUNDING, Cap


class Purse(Struct):
    """The money of one execution, in USD: its budget, what is spent, and what is expected of prompts under way."""

    limit: float
    spent: float = 0.0
    held: float = 0.0

    @contextmanager
    def opened(self) -> Generator[PurseCap]:
        """The cap of one prompt; `settle` it with what the prompt has cost."""
        cap = PurseCap(limit=self.limit, purse=self)
        try:
            yield cap
        finally:
            self.held -= cap.taken

    def settle(self, cost: float) -> None:
        """So much was spent."""
        self.spent += cost


class PurseCap(Cap, kw_only=True):
    """A cap whose room is what the purse still has."""

    purse: Purse

    def has_room(self, key: str) -> bool:
        """Whether the purse has room for it."""
        return self.purse.spent + self.purse.held + self.expected.get(key, 0.0) <= self.limit + ROUNDING

    def take(self, key: str) -> None:
        """It is asked now."""
        Cap.take(self, key)
        self.purse.held += self.expected.get(key, 0.0)

    def give_back(self, key: str) -> None:
        """It failed before its answer began."""
        Cap.give_back(self, key)
        self.purse.held -= self.expected.get(key, 0.0)
