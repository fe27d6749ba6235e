"""load(n) = ⁸√(1 + (n/K)⁸), and who joins pays (1 + 2(n/K)⁸) / (1 + (n/K)⁸)^⅞: its own wait and that of the others.

    guesses           Kⱼ = κ·2^((j-9)/2) for j = 0 to 14, and one without a knee, of weights wⱼ, lognormal at first
    expected          log load(n) = Σ wⱼ·log loadⱼ(n);   charged(n) = Σ wⱼ·chargedⱼ(n)
    after an answer   eⱼ = log(T/forecast) - log loadⱼ(n) - bⱼ,   s² = v + noise:   wⱼ ∝ wⱼ·e^(-eⱼ²/4s²)
                      bⱼ += eⱼ·v/s²,   log κ -= 0.02·Σ wⱼ·eⱼ·(n/Kⱼ)⁸/(1 + (n/Kⱼ)⁸)

Below the knee K requests in flight hardly notice each other, as in servers that batch; far beyond it the host's
throughput is constant, so each waits in proportion to n. Where K is nobody tells, so sixteen guesses are held against
each answer, and the load is what they expect together: while nothing is known the bend is wide and early, and what
has been seen makes it sharp. They lie a factor of √2 apart and are moved together, by what the likely ones err beyond
their bend, so that one of them comes to lie right. Who joins a crowd slows all who are in it: n·∂load/∂n is what the
others lose and is charged to the joiner; without it every caller acts alone and the host is driven to twice the load
that is best for all.

What is expected of an answer is the mean of the logs, in which the latency model lives: the mean of the loads is that
of the wildest guess, and by it a guess of little weight moved the forecast so far that the others had to be wrong. What
is charged is the mean of the costs: whoever might be ruinous is entered with care.

Crowded or slow? Ten times slower at fifty in flight may be either, and only other loads tell. So each guess has its own
belief bⱼ of how far the forecast for an idle host is off if this guess is right, of a variance v they share: that of a
host nothing is known of at first, less with each answer, more with time, and much more when the latency model sees the
world change. What a guess explains by its bⱼ costs it as much as bⱼ was unlikely.

The road not taken: K as one more unknown of the Kalman filter, as it was here before. A filter follows slopes, and a
bend sharp enough to be true has none below it; so the bend had to be drawn out (⁴√) until it told of itself from afar,
which shunned hosts at nine tenths of what they can bear. Worse, it forgot what it was not shown: at a steady load it
could not tell the knee from the speed, and took one for the other.

Answers weigh half (e^-¼ for e^-½): no host bends exactly so, and neighbouring answers share their errors. No guess
falls below e⁻¹⁵ of the best, or a knee that has moved would be found late.
"""

from __future__ import annotations

from math import exp, log, sqrt
from struct import Struct
from typing import cast

UNLIMITED = 1 << 30
GUESSES, BELOW = 16, 9
"""How many knees are held possible, and how many below the prior: from a 22nd of it to 5.6 times, and none. Doubled:
twice the work; halved: hosts of three places or of three hundred are not known for what they are."""
STEP = 0.5 * log(2.0)
"""log units between two. Doubled: knees are 40 % off until κ has moved; halved: twice as many are needed."""
NEXT = exp(-8.0 * STEP)
"""(n/K)⁸ of the next guess, to that of this one."""
IDLE = 1e-3
"""(n/K)⁸ that is taken for nothing: a ten thousandth of a slow-down. Doubled or halved: no difference."""
EVIDENCE = 0.25
"""Weight of a squared surprise. Doubled: luck is taken for a knee; halved: late."""
MOVE = 0.02
"""log units of κ per log unit of error. Doubled: nervous; halved: a knee between two guesses is met late."""
FORGIVEN = exp(-15.0)
"""Least weight beside the best. Squared: a knee that falls is found three answers later; its root: chance revives what
was refuted."""
CLIP_SD = 3.0
"""s.d. at which a surprise is cut, as in the latency model. Doubled: a straggler decides; halved: a fallen knee is
found late."""
_PACKED = Struct(f"{GUESSES}d")
"""A third of what as many floats take, and quicker than an array where all are read and written at once."""


class Load:
    """What one host's answers taught about how it bears a crowd."""

    __slots__ = ("_off", "_prior", "_scale", "_shift", "_variance", "weights")

    def __init__(self, knee: float, sd: float, variance: float) -> None:
        """Knee as first guessed (requests in flight), s.d. of its log, and variance of the log of the forecast."""
        self._prior = self._scale = exp(BELOW * STEP) / knee
        found = [exp(-0.5 * ((place - BELOW) * STEP / sd) ** 2) for place in range(GUESSES)]
        total = sum(found)
        self.weights = [weight / total for weight in found]
        self._off = bytes(8 * GUESSES)
        """How far the forecast is off, by guess; less by `_shift` what the forecast has moved since."""
        self._shift = 0.0
        self._variance = variance

    def slowdown(self, busy: float) -> float:
        """How much slower an answer is with `busy` requests in flight, itself included; 1 when idle."""
        power, more = self._power(busy), 0.0
        for place in range(GUESSES - 1):
            if power < IDLE:
                break
            more += self.weights[place] * log(1.0 + power)
            power *= NEXT
        return exp(more / 8.0)

    def charged(self, busy: float) -> float:
        """What joining as the `busy`-th request costs, in idle answers: its own slow-down and that of the others."""
        power, more = self._power(busy), 0.0
        for place in range(GUESSES - 1):
            if power < IDLE:
                break
            more += self.weights[place] * ((1.0 + 2.0 * power) * _root(power) / (1.0 + power) - 1.0)
            power *= NEXT
        return 1.0 + more

    def learn(self, told: float, busy: float, noise: float, moved: float) -> None:
        """An answer took e^`told` times the idle forecast; its log² of noise, and by how much it moved the forecast."""
        total = self._variance + noise
        gain, clip, weigh = self._variance / total, CLIP_SD * sqrt(total), EVIDENCE / total
        power, told, pull, best = self._power(busy), told - self._shift, 0.0, 0.0
        weights: list[float] = []
        offs: list[float] = []
        for place, off in enumerate(cast("tuple[float, ...]", _PACKED.unpack(self._off))):
            weight, crowded = self.weights[place], power >= IDLE and place < GUESSES - 1
            miss = told - off
            if crowded:
                miss -= log(1.0 + power) / 8.0
            miss = clip if miss > clip else -clip if miss < -clip else miss
            if crowded:
                pull += weight * miss * power / (1.0 + power)
                power *= NEXT
            weight *= exp(-weigh * miss * miss)
            best = weight if weight > best else best
            weights.append(weight)
            offs.append(off + gain * miss)
        self._off = _PACKED.pack(*offs)
        self._normalise(weights, best)
        self._move(pull)
        self._variance -= gain * self._variance
        self._shift -= moved

    def doubt(self, more: float, most: float) -> None:
        """The forecast for an idle host may have changed by so much: log², and what it may come to."""
        if self._variance < most:
            self._variance = min(self._variance + more, most)

    def snapshot(self) -> dict[str, object]:
        """Plain numbers, enough to go on later."""
        off = [off + self._shift for off in _PACKED.unpack(self._off)]
        moved = self._scale / self._prior
        return {"weights": self.weights, "off": off, "variance": self._variance, "moved": moved}

    def restore(self, row: dict[str, object]) -> None:
        """Go on from a snapshot. ValueError when it has another size."""
        weights = [float(x) for x in cast("list[float]", row["weights"])]
        off = [float(x) for x in cast("list[float]", row["off"])]
        if len(weights) != GUESSES or len(off) != GUESSES or min(weights) < 0.0 or not max(weights):
            raise ValueError("snapshot of a load of another size")
        self._off, self._shift, self._variance = _PACKED.pack(*off), 0.0, cast("float", row["variance"])
        self._normalise(weights, max(weights))
        self._scale = self._prior
        self._move(log(cast("float", row["moved"])) / MOVE)

    def _power(self, busy: float) -> float:
        """(n/K)⁸ of the first guess."""
        square = (busy * self._scale) ** 2
        square *= square
        return square * square

    def _normalise(self, weights: list[float], best: float) -> None:
        least, total = best * FORGIVEN, 0.0
        for weight in weights:
            total += weight if weight > least else least
        share, none = 1.0 / total, least / total  # one float for all that are refuted
        self.weights = [weight * share if weight > least else none for weight in weights]

    def _move(self, pull: float) -> None:
        """Beyond half a step the next guess would take over, and those at the ends would leave their hosts."""
        scale, most = self._scale * exp(MOVE * pull), exp(0.5 * STEP)
        self._scale = min(max(scale, self._prior / most), self._prior * most)


def allotted(most: int | None, peers: int, elsewhere: int) -> int:
    """Of what `peers` replicas and we may have in flight together, ours: what they left as last told, or a fair share.

    The share keeps those who fill their places again and again from starving one that looks once a second.
    """
    if most is None:
        return UNLIMITED
    return max(most - elsewhere, most // (1 + peers), 1) if peers else most


def _root(power: float) -> float:
    return sqrt(sqrt(sqrt(1.0 + power)))
