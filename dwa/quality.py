"""q(route, d) = (k·q(d) + Σ w·score) / (k + Σ w),   q(d) = (k·configured + Σ w·score over all routes) / (k + Σ w).

    w = 2^(-age/H) · (1 - used/cap),   Σ and used fade by 2^(-t/H)

What people and the judge say of answers, per route and deployment: a route with few votes leans on all votes of the
deployment, and those on the quality that was configured. Votes fade, because hosts change models without a word, and
silence leads back to the configuration. A vote counts as of the time of its answer, so it does not matter how late it
comes, nor in which order votes of different sources come.

One angry user must not move the world. `used` is what is left of a source's earlier votes on the deployment: it fades
as they do, so a source never holds more than `cap` of the evidence, and without its votes no q would differ by more
than 1 - (k/(k + cap))²: 13 % of the scale at a cap of 1.5. Sources come in crowds (the end users of one caller), which
are capped too: names of users cost nothing to invent. The judge is one source with the cap of a crowd.

Memory is bounded: the least recently rated deployment, pair, source and crowd is dropped. A source is forgotten only
when 32 others have rated the deployment since, which bounds its share as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from dwa.candidate import Candidate

K = TypeVar("K")
V = TypeVar("V")

HALF_LIFE_S = 604_800.0
"""s (a week) after which a vote counts half. Doubled: a model that got worse is liked for a month; halved: where a
handful rates in a day, hardly more than the configuration counts."""
LEAN = 20.0
"""Votes that the next wider opinion is worth. Doubled: a route needs 40 voters to speak for itself; halved: five votes
decide, and one source moves q by 24 %."""
SOURCE_CAP = 1.5
"""Votes' weight of one source. Doubled: one source moves q by a quarter of the scale; halved: a first vote fills it,
and what somebody says next counts for nothing."""
CROWD_CAP = 20.0
"""Votes' weight of one crowd. Doubled: one caller that invents users has two thirds of the say; halved: a gateway with
a single caller learns only a third from its users."""
JUDGE_CAP = 20.0
"""Votes' weight of the judge. Doubled: it outvotes the configuration 2:1; halved: it hardly speaks."""
DEPLOYMENTS = 256
"""Deployments remembered. Doubled: more memory; halved: rarely rated ones fall back to their configuration."""
PAIRS = 512
"""(route, deployment) pairs remembered. Doubled: more memory; halved: rare routes lean on their deployments alone."""
SOURCES = 32
"""Sources, and as many crowds, remembered per deployment. Doubled: larger snapshots; halved: whoever votes every
seventeenth time counts in full each time."""
FORGOTTEN = 0.01
"""Weight below which a source's past is not worth a line in a snapshot."""
JUDGE = "judge"
"""The judge's name as a source."""


class Faded:
    """Weight and score of votes, both halved by every half life. Times in seconds on the balancer's clock."""

    __slots__ = ("at", "total", "weight")

    def __init__(self, at: float, weight: float = 0.0, total: float = 0.0) -> None:
        self.at = at
        self.weight = max(weight, 0.0)
        self.total = min(max(total, 0.0), self.weight)

    def add(self, now: float, weight: float, total: float) -> None:
        """Count in; the mean stays between 0 and 1 whatever is added."""
        fade = _fade(now - self.at)
        self.at = now
        self.weight = self.weight * fade + weight
        self.total = min(max(self.total * fade + total, 0.0), self.weight)

    def mean(self, now: float, wider: float) -> float:
        """The mean score, leaning on the `wider` opinion."""
        fade = _fade(now - self.at)
        return (LEAN * wider + fade * self.total) / (LEAN + fade * self.weight)


class Holdings:
    """How much of the evidence each name holds; the least recent is dropped."""

    __slots__ = ("_used",)

    def __init__(self) -> None:
        self._used: dict[str, tuple[float, float]] = {}

    def used(self, name: str, now: float) -> float:
        """The weight left of what was booked."""
        weight, at = self._used.get(name, (0.0, now))
        return weight * _fade(now - at)

    def book(self, name: str, weight: float, now: float) -> None:
        """Add to it."""
        weight += self.used(name, now)
        self._used.pop(name, None)
        self._used[name] = (weight, now)
        if len(self._used) > SOURCES:
            del self._used[next(iter(self._used))]

    def snapshot(self, now: float) -> dict[str, float]:
        """Name → weight left, least recent first."""
        left = {name: self.used(name, now) for name in self._used}
        return {name: weight for name, weight in left.items() if weight >= FORGOTTEN}


class Ratings:
    """All votes on one deployment, and whose they are."""

    __slots__ = ("crowds", "sources", "votes")

    def __init__(self, votes: Faded) -> None:
        self.votes = votes
        self.sources = Holdings()
        self.crowds = Holdings()


class Quality:
    """What was said of answers. Scores and qualities 0..1; `now` in seconds on any clock that only grows."""

    __slots__ = ("_deployments", "_pairs")

    def __init__(self) -> None:
        self._deployments: dict[str, Ratings] = {}
        self._pairs: dict[tuple[str, str], Faded] = {}

    def of(self, route: str, now: float, candidate: Candidate) -> float:
        """The quality to expect of an answer to this route."""
        rated = self._deployments.get(candidate.key)
        quality = candidate.quality if rated is None else rated.votes.mean(now, candidate.quality)
        pair = self._pairs.get((route, candidate.key))
        return quality if pair is None else pair.mean(now, quality)

    def on(self, route: str, now: float) -> Callable[[Candidate], float]:
        """The same as a function of the candidate."""
        return partial(self.of, route, now)

    def votes(self, key: str, now: float) -> float:
        """The weight of all that was said of a deployment, as of now."""
        rated = self._deployments.get(key)
        return 0.0 if rated is None else rated.votes.weight * _fade(now - rated.votes.at)

    def rate(
        self,
        key: str,
        route: str,
        score: float,
        source: str,
        weight: float,
        now: float,
        *,
        crowd: str | None = None,
        age: float = 0.0,
    ) -> float:
        """Somebody rates an answer given `age` seconds ago; returns the weight that it was counted with.

        ValueError unless score is 0..1, weight above 0 and at most 1, and age not negative.
        """
        if not (0.0 <= score <= 1.0 and 0.0 < weight <= 1.0 and 0.0 <= age < float("inf")):
            raise ValueError("a vote has a score of 0..1, a weight above 0 and up to 1, and an age not below 0")
        rated = self._deployments.pop(key, None) or Ratings(Faded(now))
        self._deployments[key] = rated
        _bound(self._deployments, DEPLOYMENTS)
        weight *= _fade(age)
        if source == JUDGE:
            booked = [(rated.crowds, source, JUDGE_CAP)]
        else:
            booked = [(rated.sources, source, SOURCE_CAP)]
            if crowd is not None:
                booked.append((rated.crowds, crowd, CROWD_CAP))
        for held, name, cap in booked:
            weight *= max(1.0 - held.used(name, now) / cap, 0.0)
        for held, name, _ in booked:
            held.book(name, weight, now)
        rated.votes.add(now, weight, weight * score)
        pair = self._pairs.pop((route, key), None) or Faded(now)
        self._pairs[route, key] = pair
        _bound(self._pairs, PAIRS)
        pair.add(now, weight, weight * score)
        return weight

    def revise(self, key: str, route: str, change: float, weight: float, now: float, *, age: float = 0.0) -> None:
        """Somebody thought better of a vote counted with `weight`, `age` seconds ago: its score changes by `change`.

        Of what was not counted here, or is forgotten, nothing changes.
        """
        change *= weight * _fade(age)
        rated, pair = self._deployments.get(key), self._pairs.get((route, key))
        if rated is not None:
            rated.votes.add(now, 0.0, change)
        if pair is not None:
            pair.add(now, 0.0, change)

    def forget(self, provider_or_key: str | None) -> None:
        """Drop all that was said of one deployment, all of one provider, or (None) everything."""
        for key in [key for key in self._deployments if _meant(key, provider_or_key)]:
            del self._deployments[key]
        for pair in [pair for pair in self._pairs if _meant(pair[1], provider_or_key)]:
            del self._pairs[pair]

    def snapshot(self, now: float) -> dict[str, object]:
        """JSON-able rows as of now: [weight, score·weight] with whose they are, per deployment and per pair."""
        return {
            "deployments": {
                key: {
                    "votes": _row(rated.votes, now),
                    "sources": rated.sources.snapshot(now),
                    "crowds": rated.crowds.snapshot(now),
                }
                for key, rated in self._deployments.items()
            },
            "routes": [[route, key, *_row(votes, now)] for (route, key), votes in self._pairs.items()],
        }

    def restore(self, saved: dict[str, object], now: float, age: float) -> None:
        """Take over a snapshot taken `age` seconds ago. KeyError, TypeError or ValueError when it is damaged."""
        fade = _fade(age)
        self._deployments.clear()
        self._pairs.clear()
        for key, row in list(cast("dict[str, dict[str, object]]", saved["deployments"]).items())[-DEPLOYMENTS:]:
            weight, total = cast("list[float]", row["votes"])
            rated = self._deployments[key] = Ratings(Faded(now, weight * fade, total * fade))
            for held, name in ((rated.sources, "sources"), (rated.crowds, "crowds")):
                for source, used in cast("dict[str, float]", row[name]).items():
                    held.book(source, used * fade, now)
        for route, key, weight, total in cast("list[list[Any]]", saved["routes"])[-PAIRS:]:
            self._pairs[route, key] = Faded(now, weight * fade, total * fade)


def _fade(seconds: float) -> float:
    return 0.5 ** (seconds / HALF_LIFE_S)


def _meant(key: str, provider_or_key: str | None) -> bool:
    return provider_or_key in (None, key, key.partition("/")[0])


def _row(votes: Faded, now: float) -> list[float]:
    fade = _fade(now - votes.at)
    return [votes.weight * fade, votes.total * fade]


def _bound(remembered: dict[K, V], limit: int) -> None:
    if len(remembered) > limit:
        del remembered[next(iter(remembered))]
