"""The time by which things are forgotten: that of the wall clock, unless it has just jumped ahead.

    now   =   wall clock                           it is at most `_LEAP` ahead of what was reckoned
              last time + what has passed since    else, until it has been ahead for `_BELIEVED`

A clock that is wrong by a year (a dead battery, a typing error, a snapshot of a machine) is right again soon; what was
deleted by it as too old is not there again. So where it jumps, nothing is forgotten by it for a day. That a gateway was
off, or asked for nothing, looks the same at its start: then, too, forgetting lags behind, for a day at most.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

_log = logging.getLogger("steelyard.reckoning")
#: Seconds that the clock may be ahead without being doubted. Doubled: one that is wrong by less makes things go two
#: hours too early; halved: clocks of machines that were suspended for a moment are doubted.
_LEAP = 3_600.0
#: Seconds after which it is believed all the same. Doubled: whoever sets a clock right has as much longer; halved: what
#: should be forgotten is, after a pause, so much earlier.
_BELIEVED = 86_400.0


class Reckoning:
    """Unix seconds to forget by."""

    def __init__(self, *, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        """Before `begin`, nothing is old."""
        self._wall, self._monotonic = wall, monotonic
        self._last: tuple[float, float] | None = None
        self._doubted_from: float | None = None

    @property
    def begun(self) -> bool:
        """Whether there is anything to reckon from."""
        return self._last is not None

    def begin(self, newest: float | None) -> None:
        """Reckon from the newest thing that there is (Unix seconds), or else from now."""
        wall = self._wall()
        self._last = (wall if newest is None else min(wall, newest + _LEAP), self._monotonic())

    def now(self) -> float:
        """Unix seconds."""
        if self._last is None:
            return 0.0
        wall, passed = self._wall(), self._monotonic()
        reckoned = self._last[0] + passed - self._last[1]
        if wall > reckoned + _LEAP:
            if self._doubted_from is None:
                self._doubted_from = passed
                _log.warning(
                    "the clock has jumped ahead: nothing is forgotten by it yet", extra={"by": wall - reckoned}
                )
            if passed < self._doubted_from + _BELIEVED:
                self._last = (reckoned, passed)
                return reckoned
        self._doubted_from = None
        self._last = (wall, passed)
        return wall
