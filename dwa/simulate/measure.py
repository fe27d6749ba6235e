"""gap closed = (random - policy) / (random - oracle) of mean loss, pooled over seeds; and what is shown beside it.

0 is choosing by chance, 1 is the clairvoyant oracle; above 1 is possible where the oracle's greed or its ignorance of
the noise can be beaten, below 0 is worse than chance. Pooled: losses are summed over seeds before the division, for a
seed whose hosts happen to be alike would otherwise divide by nothing. The interval is a bootstrap over seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random


def gap_closed(chance: Sequence[float], policy: Sequence[float], oracle: Sequence[float]) -> float:
    """The pooled gap; one mean loss per seed in each, same order. nan when the oracle gains nothing over chance."""
    span = sum(chance) - sum(oracle)
    return (sum(chance) - sum(policy)) / span if span else float("nan")


def interval(
    chance: Sequence[float],
    policy: Sequence[float],
    oracle: Sequence[float],
    rng: Random,
    draws: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Bootstrap bounds of the pooled gap: seeds drawn with replacement, the same seeds of all three."""
    seeds = range(len(chance))
    found: list[float] = []
    for _ in range(draws):
        drawn = rng.choices(seeds, k=len(seeds))
        found.append(gap_closed([chance[i] for i in drawn], [policy[i] for i in drawn], [oracle[i] for i in drawn]))
    found.sort()
    tail = (1.0 - level) / 2
    return found[int(tail * draws)], found[min(int((1.0 - tail) * draws), draws - 1)]


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed; nan of none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def jain(shares: Sequence[float]) -> float:
    """Jain's fairness (Σx)²/(n·Σx²): 1 when all are equal, 1/n when one has all. nan when there is nothing."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else float("nan")


WINDOW = 20
"""First choices looked at ahead when asking whether a host was left or is back."""
LEFT = 0.1
"""Share of them below which it is left: a look or a probe is no return."""
USED = 0.25
"""Share of the choices before that makes the question meaningful at all."""

Choices = Sequence[tuple[float, int]]
"""(time, host first chosen), in order of time."""


def time_to_leave(choices: Choices, host: int, broken_at: float) -> float | None:
    """Seconds after `broken_at` until at most a tenth of the next 20 choices fall on the host.

    None when it was hardly used before, or was not left at all.
    """
    if not _used(choices, host, broken_at):
        return None
    return _first(choices, host, broken_at, lambda share: share <= LEFT)


def time_to_return(choices: Choices, host: int, broken_at: float, back_at: float) -> float | None:
    """Seconds after `back_at` until the host has half of the share it had before `broken_at`, over 20 choices."""
    usual = _used(choices, host, broken_at)
    if not usual:
        return None
    return _first(choices, host, back_at, lambda share: share >= usual / 2)


def _used(choices: Choices, host: int, before: float) -> float:
    """Its share in the quarter of the time before that came last; 0 when below USED."""
    recent = [chosen for at, chosen in choices if before * 0.75 <= at < before]
    share = recent.count(host) / len(recent) if recent else 0.0
    return share if share >= USED else 0.0


def _first(choices: Choices, host: int, after: float, holds: Callable[[float], bool]) -> float | None:
    later = [(at, chosen == host) for at, chosen in choices if at >= after]
    for start in range(len(later) - WINDOW + 1):
        window = later[start : start + WINDOW]
        if holds(sum(hit for _, hit in window) / WINDOW):
            return later[start][0] - after
    return None
