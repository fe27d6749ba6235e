"""p' ∝ p·v^x·(1-v)^(1-x),   cut = u + p·(v - u): streams that break come one by one, or in bursts.

A stream that breaks after its first token cannot be asked elsewhere, so it costs its caller what a whole answer is
worth, and one in a thousand is what sound hosts have. So rare a thing is not told by a mean of any length: a short one
takes each for the beginning of the end (a sixtieth of twelve answers' worth: minutes without the best host), a long one
counts a hundred callers before it believes that something has happened.

Hence two states. A host breaks streams at its usual rate u, or a burst is on and it breaks them at a rate v; p is the
probability of a burst, by Bayes' rule after each outcome x (1: broke). Bursts begin and end by themselves, so between
outcomes p drifts to the share of the time that they take: who was left alone because of one is forgiven in minutes.
Each outcome counts for u by 1 - p and for v by p (expectation maximisation, one outcome at a time).

The expectation of a stranger weighs little, less than a Poisson of that mean would have it: hosts differ in this by a
hundred times, and one that broke none of a thousand is of those that hardly do.

One broken stream after a thousand whole ones is worth 0.3 % then, and 0.2 % after ten more whole ones; a second and a
third soon after are a burst, of 16 % and more.

Source: the channel of Gilbert (1960) and Elliott (1963), a hidden Markov model of two states, with its forward filter.
"""

from __future__ import annotations

from math import exp

USUAL, USUAL_WEIGHT = 0.001, 50.0
"""Rate expected of a stranger, and how many answers that expectation is worth. Doubled or halved: no difference."""
MEMORY = 1000.0
"""Outcomes that u remembers. Doubled: who was worse once is avoided for long; halved: no difference."""
HALF_LIFE_S = 1800.0
"""s until half of them are forgotten. Doubled or halved: no difference."""
BURST, BURST_WEIGHT = 0.1, 3.0
"""v before a burst was seen, and how many outcomes that is worth. Either doubled: a percent less of the gap, as each
broken stream says less; halved: no difference."""
BURST_MEMORY = 50.0
"""Outcomes that v remembers. Doubled or halved: no difference."""
APART_S = 86_400.0
"""s from one burst to the next. Doubled or halved: no difference; a tenth: who was not asked for minutes looks worse
than who was."""
LASTS_S = 100.0
"""s that a burst is expected to last. Doubled: who was left alone for it comes back late; halved: a host that breaks
one stream in a hundred is thought to do so now and then."""
PACE = 1.0 / APART_S + 1.0 / LASTS_S
"""1/s, at which p drifts."""
REST = 1.0 / APART_S / PACE
"""Share of the time that bursts take: where p drifts to."""


class Cuts:
    """The broken streams of one deployment. Rates per answer, 0..1."""

    __slots__ = ("_burst_cuts", "_burst_seen", "_bursting", "_cuts", "_seen")

    def __init__(self) -> None:
        self._seen = self._cuts = 0.0  # outcomes at the usual rate, and those of them that broke
        self._burst_seen = self._burst_cuts = 0.0
        self._bursting = 0.0

    def rate(self, idle_s: float) -> float:
        """Expected share of streams that break, `idle_s` after the last outcome."""
        # Asked mostly at once, while the outcome is learned from.
        usual = self._mean(0.5 ** (idle_s / HALF_LIFE_S) if idle_s else 1.0)
        return usual + self._now(idle_s) * (self._burst(usual) - usual)

    def learn(self, cut: float, idle_s: float) -> None:
        """An outcome: 1 for a stream that broke, else 0; `idle_s` after the one before."""
        kept = 0.5 ** (idle_s / HALF_LIFE_S)
        bursting, usual = self._now(idle_s), self._mean(kept)
        burst = self._burst(usual)
        if cut:
            one, other = bursting * burst, (1.0 - bursting) * usual
        else:
            one, other = bursting * (1.0 - burst), (1.0 - bursting) * (1.0 - usual)
        bursting = self._bursting = one / (one + other)
        self._burst_seen += bursting * (1.0 - self._burst_seen / BURST_MEMORY)
        self._burst_cuts += bursting * (cut - self._burst_cuts / BURST_MEMORY)
        calm = 1.0 - bursting
        kept *= 1.0 - calm / MEMORY
        self._seen = self._seen * kept + calm
        self._cuts = self._cuts * kept + calm * cut

    def _now(self, idle_s: float) -> float:
        return REST + (self._bursting - REST) * exp(-PACE * idle_s) if idle_s else self._bursting

    def _mean(self, kept: float) -> float:
        return (self._cuts * kept + USUAL * USUAL_WEIGHT) / (self._seen * kept + USUAL_WEIGHT)

    def _burst(self, usual: float) -> float:
        burst = (self._burst_cuts + BURST * BURST_WEIGHT) / (self._burst_seen + BURST_WEIGHT)
        return burst if burst > usual else usual

    def snapshot(self) -> dict[str, float]:
        """Plain numbers."""
        return {
            "seen": self._seen,
            "cuts": self._cuts,
            "burst_seen": self._burst_seen,
            "burst_cuts": self._burst_cuts,
            "bursting": self._bursting,
        }

    def restore(self, row: dict[str, float]) -> None:
        """Go on from a snapshot; from one of a version that kept a mean only, afresh."""
        if "bursting" not in row:
            return
        self._seen, self._cuts, self._bursting = row["seen"], row["cuts"], row["bursting"]
        self._burst_seen, self._burst_cuts = row["burst_seen"], row["burst_cuts"]
