"""relief = max(½, 1 - calm/now),   hazard = max(h, ½/t):   who fell t seconds ago may be back, and is then what it was.

What makes a host slow is mostly an incident: it ends, and how long it has lasted says about how long it will last yet
(whoever has been down for a minute is likelier up in a minute than whoever has been for an hour; Lindy's law, hazard
α/t for durations whose tail falls like t^-α). A world that changes once in five minutes whatever happened before, as
`explore.py` thinks of everyone else, left the best host alone for ten minutes after half a minute of trouble: eight
times as slow it looked so hopeless that it was looked at every four minutes.

So a run of surprises for the worse (`latency.py`) marks a fall. From then on looks suppose that it may be what it was
before, not only twice as fast as now, and they come the sooner the younger the fall; until it is back, within a
quarter of its old level. One who never comes back is looked at less and less, as everybody else.
"""

from __future__ import annotations

LUCK = 0.5
"""Share of its latency that a lucky change is imagined to take off a deployment that never fell. Doubled: losers look
promising; halved: hardly anything does."""
TAIL = 0.5
"""α. Doubled: whoever stays slow costs half a percent of the gap; halved: less is gained where it is back."""
LEAST_S = 1.0
"""s of age below which a fall is not younger. Doubled or halved: no difference."""
BACK = 1.25
"""Of its old level at which it is back. Doubled: it is thought back while it is not; halved: hardly ever."""


class Fall:
    """That one deployment became slower than it was, since when, and what it could win by coming back."""

    __slots__ = ("_calm", "at", "relief")

    def __init__(self, now: float, calm: float) -> None:
        """Noticed `now`; `calm` in seconds, of a typical answer before."""
        self.at = now
        self._calm = calm
        self.relief = LUCK
        """Share of its latency that it might lose, 0..1."""

    def lasts(self, seconds: float) -> bool:
        """A typical answer is now thought to take so long: False when that is as good as before."""
        self.relief = max(LUCK, 1.0 - self._calm / seconds)
        return seconds > BACK * self._calm


def relief(fall: Fall | None) -> float:
    """Share of its latency that a deployment might lose, 0..1."""
    return LUCK if fall is None else fall.relief


def hazard(fall: Fall | None, now: float, usual: float) -> float:
    """1/s, how soon a deployment may have changed again; `usual` for those that did not fall."""
    return usual if fall is None else max(usual, TAIL / max(now - fall.at, LEAST_S))
