"""When to ask somebody again who did not answer: after a pause that doubles from 0.5 s to 10 s, and one alone.

Law: whoever asks meanwhile is told at once that nobody answers.
"""

from __future__ import annotations

from collections.abc import Callable

#: Seconds; long enough that a dead server costs a request in a hundred, short enough to notice a restart.
_FIRST_PAUSE = 0.5
#: Seconds; one that was restarted is used again within this time.
_LONGEST_PAUSE = 10.0


class Outage:
    """Of one server, as one process sees it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """There is none; `clock` tells seconds."""
        self._clock = clock
        self._resume_at = 0.0
        self._pause = _FIRST_PAUSE
        #: It did not answer the last time it was asked.
        self.on = False

    def may_ask(self) -> bool:
        """Whether it may be asked now; during an outage by one after each pause, whose answer decides for all."""
        now = self._clock()
        if now < self._resume_at:
            return False
        if self.on:
            self._resume_at = now + self._pause
        return True

    def failed(self) -> bool:
        """It did not answer; True when that is news."""
        news, self.on = not self.on, True
        self._resume_at = self._clock() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        return news

    def answered(self) -> bool:
        """It did; True when that is news."""
        news, self.on = self.on, False
        if news:
            self._resume_at, self._pause = 0.0, _FIRST_PAUSE
        return news

    @property
    def left(self) -> float:
        """Seconds until it may be asked."""
        return max(0.0, self._resume_at - self._clock())
