"""Cut a series where it changed: the piece i..j whose log-likelihood apart from the rest gains most, again and again.

    gain(i, j) = ℓ(before) + ℓ(i..j) + ℓ(after) - ℓ(all)    cut while gain > 2·ln n + 4

The piece looked at is the best run of per-value scores (the largest sum of neighbours, one pass), proposed once for
each of a few changes in level; so a short outage amid a quiet day is found, which halving at the best single place
would miss. 2·ln n is the price of choosing two places among n; the four keep two failures in a row from being an
outage. Cost O(n · pieces).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise
from math import log

from dwa.simulate.measure import quantile

MOST = 100
"""Pieces at most. Doubled: noise of a busy log is followed; halved: a day of outages is averaged away."""
STEPS = (0.9, 0.3)
"""Of the way from the usual failure rate to certainty: an outage, a brown-out."""
CLIP_SD = 5.0
"""s.d. at which a value is cut: one straggler among `LEAST` values is no new level, however late it was. Doubled: it is
one; halved: a slow hour needs twice as many values to be seen."""
LEAST = 5
"""Values of a level. Doubled: short slow spells are averaged away; halved: two stragglers are one."""
_SD_OF_DIFFERENCES = 1.4826 / 2**0.5

Pieces = list[tuple[int, int]]
"""(from, to) positions, to exclusive; one after another, all of the series."""


def rates(failed: Sequence[bool]) -> Pieces:
    """Pieces of a constant rate of failure."""
    sums = [0, *accumulate(int(one) for one in failed)]

    def likelihood(start: int, end: int) -> float:
        count, total = sums[end] - sums[start], end - start
        if not 0 < count < total:
            return 0.0
        return count * log(count / total) + (total - count) * log(1.0 - count / total)

    def proposals(start: int, end: int) -> Iterable[list[float]]:
        usual = (sums[end] - sums[start] + 0.5) / (end - start + 1.0)
        for step in STEPS:
            worse = usual + step * (1.0 - usual)
            bad, good = log(worse / usual), log((1.0 - worse) / (1.0 - usual))
            yield [bad if one else good for one in failed[start:end]]

    return _cut(len(failed), likelihood, proposals)


def levels(values: Sequence[float]) -> Pieces:
    """Pieces of a constant mean amid noise; single stragglers are no change."""
    if len(values) < 3:
        return [(0, len(values))] if values else []
    sd = _SD_OF_DIFFERENCES * quantile([abs(b - a) for a, b in pairwise(values)], 0.5) or 1e-9
    middle = quantile(values, 0.5)
    clipped = [min(max(value - middle, -CLIP_SD * sd), CLIP_SD * sd) for value in values]
    sums = [0.0, *accumulate(clipped)]

    def likelihood(start: int, end: int) -> float:
        if start == end:
            return 0.0
        return (sums[end] - sums[start]) ** 2 / (2.0 * sd * sd * (end - start))

    def proposals(start: int, end: int) -> Iterable[list[float]]:
        mean = (sums[end] - sums[start]) / (end - start)
        for step in (2.0 * sd, -2.0 * sd):
            yield [(value - mean) * step - step * step / 2.0 for value in clipped[start:end]]

    return _cut(len(values), likelihood, proposals, least=LEAST)


def _cut(
    count: int,
    likelihood: Callable[[int, int], float],
    proposals: Callable[[int, int], Iterable[list[float]]],
    least: int = 1,
) -> Pieces:
    waiting: Pieces = [(0, count)] if count else []
    done: Pieces = []
    price = 2.0 * log(count) + 4.0 if count else 0.0
    while waiting:
        start, end = waiting.pop()
        best, found = price, (start, end)
        if len(waiting) + len(done) < MOST:
            for scores in proposals(start, end):
                first, last = _best_run(scores)
                first, last = start + first, start + last
                if last - first < least:
                    continue
                gain = likelihood(start, first) + likelihood(first, last) + likelihood(last, end)
                gain -= likelihood(start, end)
                if gain > best:
                    best, found = gain, (first, last)
        first, last = found
        if found == (start, end):
            done.append(found)
        else:
            waiting += [piece for piece in ((start, first), found, (last, end)) if piece[0] < piece[1]]
    return sorted(done)


def _best_run(scores: Sequence[float]) -> tuple[int, int]:
    """(from, to) of the neighbours with the largest sum."""
    best = total = 0.0
    start, found = 0, (0, 0)
    for place, score in enumerate(scores):
        if total <= 0.0:
            total, start = 0.0, place
        total += score
        if total > best:
            best, found = total, (start, place + 1)
    return found
