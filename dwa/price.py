"""The shadow price of one constraint, by dual ascent: its law is told in `slo.py`.

Replicas hold one price together, as nearly as they hear of each other. What finished elsewhere moves the price by its
count and its misses as if it had finished here, and what is in flight elsewhere is owed here too, so eight replicas
learn it from the misses of one, and none swings because the news of the others come late.

    heard    log(1 + μ) ← clamp(log(1 + μ) + η·(misses - count·aim)), the share over the window likewise
    agree    one that has seen less than a window takes the price of who has seen most; everybody else closes 1/20 of
             the gap to the mean of the others per exchange

Steps add up to the same price whoever takes them, but for the bounds, for what was lost while they could not hear of
each other, and for where each began. That difference would stay for ever, since steps balance at any level: some would
pay for the misses of others. Hence the second law, slow enough not to blunt what one has just learned.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import expm1, log1p
from typing import NamedTuple

AIM = 0.8
"""Share of the allowed misses that is aimed at. Doubled: the promise is broken; halved: half of what may be saved."""
STEP = 0.001
"""η·allowed, log(1 + μ) that a request may move when misses are as rare as allowed: 35 misses of 5 % until a miss is
worth a typical request. Doubled: one miss moves the price by more than the draw's band (swings); halved: 70 misses."""
STEP_MOST = 0.1
"""Largest η, log(1 + μ) per miss. Doubled: of a promise of 99.9 % each miss raises the price by a fifth; halved: a
promise of 99 % is learned in seven failures instead of fourteen."""
CEILING = 100.0
"""Bound of μ, in costs of a typical request per miss. Doubled: no difference but to hosts a hundred times as dear;
halved: a host fifty times as dear is not taken to save half of the misses."""
WINDOW = 200
"""Finished requests over which shares are observed. Doubled: slack is noticed after twice as many; halved: luck is
taken for slack, and the price given up too early."""
SLACK = 0.5
"""Share of the aim below which a constraint is clearly slack, if it is foreseen to be. Doubled: every lucky moment of a
host that is better than it looks lowers the price, which costs misses; halved: hardly ever, with 200 requests."""
RELEASE = 1 / 200
"""Share of log(1 + μ) given up per request while slack. Doubled: forgets in a lull what it learned; halved: from the
bound it takes 1600 requests instead of 800 to come down to what a typical request costs."""
PULL = 0.05
"""Share of the gap to the others' price that is closed per exchange. Doubled: a tenth of what one has just learned is
taken back before the others have heard of it; halved: after an outage of the exchange prices are apart for a minute."""
HALF_LIFE_S = 3600.0
"""s of age after which a saved price and its window count half. Doubled: after a night the dear are paid for what the
cheap were yesterday; halved: a restart of an hour's deployment learns most of its price again, by misses."""


class PriceState(NamedTuple):
    """How a price stands, in plain numbers: for other replicas, and for a snapshot."""

    level: float
    """log(1 + μ)."""
    misses: float
    weight: float
    """Finished requests that the share of misses stands for, at most `WINDOW`."""
    seen: int
    """Finished requests in all."""
    owed: float
    """Σ over what is in flight here of forecast - aim."""


class Price:
    """The shadow price of one constraint."""

    __slots__ = ("_aim", "_elsewhere", "_foreseen", "_level", "_owed", "_round", "_step", "_weight", "count", "misses")

    def __init__(self, allowed: float) -> None:
        self._aim = AIM * allowed
        self._step = min(STEP / allowed, STEP_MOST)
        self._foreseen = 1.0
        self._level = 0.0
        """log(1 + μ) by what has finished."""
        self._owed = self._elsewhere = 0.0
        """Σ over what is in flight of forecast - aim, here and at other replicas when last heard of."""
        self._round = [0, 0.0]
        """Finished here since `turn`, and missed of those."""
        self._weight = 0.0
        self.count = 0
        """Finished in all, here and as heard of."""
        self.misses = 0.0
        """Share over the window."""

    @property
    def value(self) -> float:
        """μ, with what is in flight at its forecast."""
        level = self._level + self._step * (self._owed + self._elsewhere)
        return expm1(min(level, log1p(CEILING))) if level > 0.0 else 0.0

    def foresee(self, forecast: float) -> None:
        """A request comes that whoever is cheapest would miss with this probability."""
        self._foreseen += (forecast - self._foreseen) / WINDOW

    def book(self, forecast: float) -> None:
        """A request leaves that will be missed with this probability."""
        self._owed += forecast - self._aim

    def strike(self, forecast: float) -> None:
        """It is no longer in flight."""
        self._owed -= forecast - self._aim

    def finished(self, missed: float) -> None:
        """A request was missed (1.0) or not (0.0)."""
        self._round[0] += 1
        self._round[1] += missed
        self._learn(1, missed)

    # --- among replicas ----------------------------------------------------------------------------------------

    def turn(self) -> tuple[int, float]:
        """How many finished here since the last turn, and were missed."""
        count, missed = self._round
        self._round = [0, 0.0]
        return int(count), missed

    def hear(self, count: int, missed: float) -> None:
        """So many finished at another replica, and were missed."""
        if count:
            self._learn(count, missed)

    def agree(self, others: Sequence[PriceState]) -> bool:
        """Come nearer to what the others hold it to be, and count what they have in flight; nobody: alone.

        True when theirs was taken over, for want of what we have seen.
        """
        self._elsewhere = sum(other.owed for other in others)
        settled = [other for other in others if other.weight >= WINDOW]
        if not settled:
            return False
        if self._weight < WINDOW:
            oldest = max(settled, key=lambda other: other.seen)
            self._level, self.misses, self._weight = oldest.level, oldest.misses, oldest.weight
            self.count = max(self.count, oldest.seen)
            return True
        mean = sum(other.level for other in settled) / len(settled)
        self._level += PULL * (mean - self._level)
        return False

    # --- over restarts -----------------------------------------------------------------------------------------

    @property
    def state(self) -> PriceState:
        """How it stands."""
        return PriceState(self._level, self.misses, self._weight, self.count, self._owed)

    def restore(self, state: PriceState, age: float) -> None:
        """Go on from how it stood `age` seconds ago; what was in flight then is not."""
        kept = 0.5 ** (age / HALF_LIFE_S)
        self._level = min(max(state.level * kept, 0.0), log1p(CEILING))
        self.misses, self._weight = min(max(state.misses, 0.0), 1.0), min(max(state.weight, 0.0), WINDOW) * kept
        self.count = int(state.seen)

    def _learn(self, count: int, missed: float) -> None:
        """Of several the order is not told: bounds hold for their sum."""
        self.count += count
        before = self._weight
        fresh = min(count, WINDOW - before)
        self._weight = min(before + count, WINDOW)
        kept = before / (before + fresh) * (1.0 - 1.0 / WINDOW) ** (count - fresh)
        self.misses += (missed / count - self.misses) * (1.0 - kept)
        level = self._level + self._step * (missed - count * self._aim)
        if self.misses < SLACK * self._aim and self._foreseen < self._aim:
            level *= (1.0 - RELEASE) ** count
        self._level = min(max(level, 0.0), log1p(CEILING))
