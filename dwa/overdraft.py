"""2·J < J_best → ask it out of its turn;   pause' = 2·pause if that was refused, ½·pause if it was admitted.

A host whose rate limit was learned from refusals (`quota.py`) is paced at a little less than it seems to admit, and
what it seems to admit is told by what was asked of it. That is cautious, and right while the next best is nearly as
good. Where it is not, because all together admit less than comes and the one without a limit is overrun, caution costs
more than a refusal, which takes a tenth of a second and then goes where it would have gone at once.

So the request that would lose twice as much anywhere else is sent there although it is not the host's turn. One at a
time, a pause between them that doubles with each refusal: who really admits no more is asked in vain four times a
minute at most. Such a refusal says nothing about the cap, which it was sent beyond. A Retry-After, a quota that the
host's own headers call spent, and the pause after a refusal are obeyed as before; and a host whose Retry-After lasts as
long as several requests (`quota.DEAR`) is sent none, since each refusal would cost those.

Each process does so for itself, as each learns its own cap.
"""

from __future__ import annotations

FIRST_S = 0.25
"""s from one to the next while they are admitted. Doubled: a quarter percent of the gap less where one host in five
is limited; halved: as much more, but a second is sent before the first can have been refused."""
MOST_S = 16.0
"""s at most. Doubled or halved: no difference."""
WORTH = 2.0
"""Ratio of what the request would lose elsewhere to what it would there. Doubled: hardly any are sent, a percent of
the gap less; 1.4: they take the place of those that gain more where one host is limited, and gain where all are."""


class Overdraft:
    """The requests that one deployment is sent out of its turn. `now` in seconds on the caller's clock."""

    __slots__ = ("_due", "_leased", "_pause", "_sent")

    def __init__(self) -> None:
        self._pause = FIRST_S
        self._due = self._sent = float("-inf")
        self._leased = False

    def due(self, now: float) -> bool:
        """Whether it is time for one."""
        return now >= self._due

    def lease(self, now: float) -> None:
        """The next request that is sent is one."""
        self._due = now + self._pause
        self._leased = True

    def sent(self, now: float) -> None:
        """A request was dispatched."""
        if self._leased:
            self._leased, self._sent = False, now

    def refused(self, now: float, dispatched: float) -> bool:
        """Whether the request that was refused was one; then the next comes later."""
        if dispatched != self._sent:
            return False
        self._pause = min(2.0 * self._pause, MOST_S)
        self._due = now + self._pause
        return True

    def admitted(self, dispatched: float) -> None:
        """A request was answered; if it was one, the next may come sooner."""
        if dispatched == self._sent:
            self._pause = max(0.5 * self._pause, FIRST_S)
