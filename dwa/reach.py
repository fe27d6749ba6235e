"""r ← max(r·f, log(T/due)),  w ← w·f + 1 or v ← v·f + 1,  f = ½^(t/hour):   how late answers come that do come.

Some requests take very long by themselves, at whatever host: deep thought among small talk. No forecast knows them, and
a spread that is fitted to all does not say how far the last of them is. So r, the latest answers of all hosts together,
is remembered: as long as nothing is proven against a host, one that waits for no longer than e^r times its due does not
prove it (`losing.py`).

Of a host that is known to lose requests, most that are late are lost, and need not be waited for so long. Whether that
is so is told by an experiment: who was given up is asked of another host, and waited for there to the end. One that was
lost is answered there in its time, one that thinks long is as late there as it was when it was given up. v and w count
those verdicts; while more than the tolerated share was wrong, r is waited for there too.

Waiting for r always was tried first: a straggler an hour, and what a host loses was waited for twenty times as long as
answers take. Never waiting for it gains more where hosts do lose requests, and where answers scatter widely some dozens
of requests are asked twice before it is known that they scatter.
"""

from __future__ import annotations

HALF_LIFE_S = 3600.0
"""s until half of it is forgotten. Doubled: after one freak of a minute a host that loses requests is found out late
for twice as long; halved: those who think long once in an hour are asked twice more often."""
WRONG = 0.15
"""Share that may be given up wrongly: who is lost less surely than 85 in a hundred is waited for. Doubled: where few
whole answers are lost four to six percent of the gap are gained, and where many think long a few more are asked twice;
halved: where whole answers are lost six percent of the gap are, and most of it where two in five are."""
SLACK = 0.5
"""Verdicts that say nothing yet: one that was wrong says enough. Doubled or halved: no difference in what is gained."""
MEMORY = 16.0
"""Verdicts remembered. Doubled or halved: no difference in what is gained; but it takes a quarter of them to see that
what was right for long is so no longer."""


class Reach:
    """Of one kind of request: streams until their first token, or whole answers. In log units."""

    __slots__ = ("_at", "_off", "_right", "_wrong")

    def __init__(self) -> None:
        self._off = self._at = self._right = self._wrong = 0.0

    def late(self, off: float, now: float) -> None:
        """An answer came e^`off` times later than due."""
        self._fade(now)
        self._off = max(self._off, off)

    def judged(self, now: float, *, wrong: bool) -> None:
        """One that was given up is answered elsewhere: as late as there, so it was not lost, or in its time."""
        self._fade(now)
        keep = MEMORY / max(self._right + self._wrong + 1.0, MEMORY)
        self._right = self._right * keep + (not wrong)
        self._wrong = self._wrong * keep + wrong

    def latest(self, now: float) -> float:
        """How late the latest answers came."""
        return self._off * self._faded(now)

    def bound(self, now: float) -> float:
        """Until how late nobody is lost at a host that loses requests: as those, or 0 where giving up was right."""
        wrong = self._wrong - WRONG * (self._wrong + self._right)
        return self.latest(now) if wrong * self._faded(now) > SLACK else 0.0

    def snapshot(self, now: float) -> dict[str, float]:
        """What `restore` takes."""
        self._fade(now)
        return {"late": self._off, "right": self._right, "wrong": self._wrong}

    def restore(self, state: dict[str, float], now: float, age: float) -> None:
        """Go on from a snapshot taken `age` seconds ago."""
        self._off, self._right, self._wrong = (max(0.0, state[name]) for name in ("late", "right", "wrong"))
        self._at = now - age

    def _fade(self, now: float) -> None:
        fade = self._faded(now)
        self._off, self._right, self._wrong, self._at = self._off * fade, self._right * fade, self._wrong * fade, now

    def _faded(self, now: float) -> float:
        return 0.5 ** ((now - self._at) / HALF_LIFE_S)
