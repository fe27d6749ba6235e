"""Who in this process waits for what befalls an execution.

Law: an ear hears what comes from its opening on, also while its owner is busy; so whoever opens one, then looks, and
then waits, misses nothing. What an ear hears is only that it is worth while to look: the tables are the truth.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Literal

#: `event`: anything; `end`: it has ended; `wish`: whoever runs it is to look (a request to stop, another who runs it).
Topic = Literal["event", "end", "wish"]
_ENDS = frozenset({"execution.completed", "execution.failed", "execution.cancelled"})
_WISHES = frozenset({"execution.cancel_requested", "step.cancel_requested", "execution.started"})


def topic(kind: str) -> Topic:
    """What an event of this type is, besides an `event`."""
    if kind in _ENDS:
        return "end"
    return "wish" if kind in _WISHES else "event"


class Ear:
    """Waits for what befalls one execution."""

    def __init__(self, what: Topic) -> None:
        """For this, and nothing else."""
        self.what = what
        self.rung = asyncio.Event()

    async def wait(self, seconds: float | None = None) -> bool:
        """Until something came, since the opening or the last wait; False: not within so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self.rung.wait()
        except TimeoutError:
            return False
        self.rung.clear()
        return True


class Ears:
    """All of this process."""

    def __init__(self) -> None:
        """None yet."""
        self._of: dict[str, list[Ear]] = {}
        #: Set while there are any.
        self.open = asyncio.Event()

    @contextmanager
    def listening(self, execution_id: str, what: Topic) -> Generator[Ear]:
        """An ear, for as long as the block lasts."""
        ear = Ear(what)
        self._of.setdefault(execution_id, []).append(ear)
        self.open.set()
        try:
            yield ear
        finally:
            left = self._of[execution_id]
            left.remove(ear)
            if not left:
                del self._of[execution_id]
            if not self._of:
                self.open.clear()

    def watched(self) -> list[str]:
        """The executions that somebody waits for."""
        return list(self._of)

    def ring(self, execution_id: str, what: Topic) -> None:
        """Something of this kind has befallen it."""
        for ear in self._of.get(execution_id, ()):
            if ear.what in {what, "event"}:
                ear.rung.set()

    def ring_all(self, executions: Iterable[str]) -> None:
        """Anything may have befallen these."""
        for identity in executions:
            for ear in self._of.get(identity, ()):
                ear.rung.set()
