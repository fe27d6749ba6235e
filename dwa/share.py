"""P(p first) ∝ exp(-(J_p - J_best) / (T·J_best)), T = 2.5 %.

Within the temperature deployments are equals as far as anyone can tell: they share the traffic, so that both stay
known, both stay warm and neither is overrun. Five temperatures away the share is below 1 %: a clear winner gets all
but exploration. A power of the score (score⁴) has no such scale: a host twice as bad keeps 6 % for ever.

T is the noise of the estimates: two or three percent between two hosts that are truly equal. At 1 % one of four equals
got 40 % of the traffic for minutes, by luck. Adding each pair's own doubt to a smaller T was tried: no fairer, and at
a cold start, when all doubt is large, it went on sharing with the worse one.

One uniform number decides: it is cut along the cumulated shares, and the remainder, stretched back to 0..1, is again
uniform and decides the next choice. So the whole order follows from one draw, and a ranking is replayed from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

NEGLIGIBLE = 30.0
"""Temperatures beyond which exp() is not worth computing: e⁻³⁰. Doubled or halved: no difference."""


def shares(losses: Sequence[float], temperature: float) -> list[float]:
    """Probabilities that sum to one, in the order of `losses` (finite); never more for more loss.

    `temperature` is in the unit of the losses.
    """
    best = min(losses)
    scale = temperature or 1.0
    weights = [exp(max(-NEGLIGIBLE, (best - loss) / scale)) for loss in losses]
    total = sum(weights)
    return [weight / total for weight in weights]


def draw(weights: Sequence[float], uniform: float) -> tuple[int, float]:
    """An index with probability ∝ its weight, and a fresh uniform. All weights zero: all alike."""
    total = sum(weights)
    if total <= 0.0:
        return draw([1.0] * len(weights), uniform)
    mark = uniform * total
    last = 0
    for i, weight in enumerate(weights):
        if mark < weight:
            return i, mark / weight
        if weight > 0.0:
            last = i
            mark -= weight
    # Rounding left a crumb beyond the end: it belongs to the last that could be drawn.
    return last, 1.0 - 1e-12


def draw_order(weights: Sequence[float], uniform: float) -> list[int]:
    """All indices, drawn one after the other without replacement."""
    left = list(range(len(weights)))
    order: list[int] = []
    while left:
        place, uniform = draw([weights[i] for i in left], uniform)
        order.append(left.pop(place))
    return order


def draw_two(count: int, uniform: float) -> tuple[int, int]:
    """Two different positions of `count` (two or more), every pair alike."""
    place = min(int(uniform * count * (count - 1)), count * (count - 1) - 1)
    one, other = divmod(place, count - 1)
    return one, other + 1 if other >= one else other


def probabilities(losses: Sequence[float], admitted: Sequence[float], temperature: float, looks: float) -> list[float]:
    """What share of the traffic each will get: softmax, of which a recovering one keeps the part it is admitted.

    The rest of it goes to the steady ones as if it were not there. `temperature` and `looks` are shares of the best
    loss and of the traffic. Sums to one; never zero for a healthy deployment, because looks never are.
    """
    weights = shares(losses, temperature * min(losses))
    steady = [i for i, part in enumerate(admitted) if part >= 1.0]
    if steady and len(steady) < len(losses):
        rest = shares([losses[i] for i in steady], temperature * min(losses[i] for i in steady))
        kept = [weight * part for weight, part in zip(weights, admitted, strict=True)]
        freed = 1.0 - sum(kept)
        for i, part in zip(steady, rest, strict=True):
            kept[i] += freed * part
        weights = kept
    return [(1.0 - looks) * weight + looks / len(losses) for weight in weights]
