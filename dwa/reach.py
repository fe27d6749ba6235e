"""r ← max(r·½^(t/hour), log(T/due)):   how late answers come that do come.

Some requests take very long by themselves, at whatever host: deep thought among small talk. No forecast knows them, and
a spread that is fitted to all does not say how far the last of them is. So the latest answers are remembered, of all
hosts together, and whoever is not later than those is lost to nobody (`losing.py`). Shares of late answers were
counted first: given up, such requests are no answers, so the share fell as it was used, and they were given up again.
"""

from __future__ import annotations

HALF_LIFE_S = 3600.0
"""s until half of it is forgotten. Doubled: after one freak of a minute lost requests are waited for until their
timeouts for twice as long; halved: those who think long once in an hour are asked twice more often."""


class Reach:
    """Of one kind of request: streams until their first token, or whole answers. In log units."""

    __slots__ = ("_at", "_off")

    def __init__(self) -> None:
        self._off = self._at = 0.0

    def late(self, off: float, now: float) -> None:
        """An answer came e^`off` times later than due."""
        self._off, self._at = max(self.off(now), off), now

    def restore(self, off: float, now: float, age: float) -> None:
        """Go on from what `off` said `age` seconds ago."""
        self._off, self._at = max(off, 0.0), now - age

    def off(self, now: float) -> float:
        """Up to how late answers come."""
        return self._off * 0.5 ** ((now - self._at) / HALF_LIFE_S)
