"""toll = max(0, μ + P·(⅔ - fill)),  μ' = I·(⅔ - fill),  fill = what is left of a full bucket, 0..1.

Who uses a scarce quota takes it from those who come after, as who joins a crowd slows the others (`load.py`), and is
charged for it. First come, first served gives a host that is cheap for long prompts and may be asked three times a
second to whoever asks first; with a toll it goes to those who gain most by it, and the others, who gain little, go to
the next best before they are turned away.

The toll is the shadow price of the limit (the Lagrange multiplier of "as many as are admitted"), found as such prices
are: it rises while less than about two thirds of the bucket are left and falls while more are. So it settles where as
many find the host worth it as it admits, and a quota that nobody exhausts costs nothing. The second term answers a rush
or a lull at once and keeps the first from swinging.

In shares of a typical request's loss (`Objective.typical`), and the same for requests of all sizes, as each uses one of
those admitted.
"""

from __future__ import annotations

AIM = 0.65
"""Fill that is aimed at: of the few tokens of a small bucket one is nearly always left for who gains most. By a quarter
higher: what is admitted is not used up; lower by as much: half of the time the bucket is empty, whoever asks."""
INTEGRAL = 0.03
"""1/s by which the toll rises per share of the bucket that is lacking. Doubled: no difference, with the other doubled;
halved: a minute until it is found."""
PROPORTIONAL = 0.4
"""Toll per share of the bucket that is lacking at the moment. Doubled: the last tokens are for nobody but the largest
requests; halved: swings."""
MOST = 1.0
"""Highest μ: as much as a typical request loses. Doubled: a minute until it is forgotten; halved: hosts that are better
than others by half are refused."""


class Toll:
    """What a request pays for the quota it uses, at one deployment. `now` in seconds on the caller's clock.

    `rest` before the first `adjust`: time counts from there.
    """

    __slots__ = ("_at", "_base", "price")

    def __init__(self) -> None:
        self._base = self._at = 0.0
        self.price = 0.0
        """As of the last `adjust`, in typical losses."""

    def adjust(self, now: float, fill: float) -> None:
        """So much of the bucket is left."""
        lack = AIM - fill
        passed, self._at = max(now - self._at, 0.0), now
        self._base = min(max(self._base + INTEGRAL * lack * passed, 0.0), MOST)
        self.price = max(self._base + PROPORTIONAL * lack, 0.0)

    def rest(self, now: float) -> None:
        """Nothing can be asked for now; how long that takes says nothing about what a request is worth."""
        self._at = now
