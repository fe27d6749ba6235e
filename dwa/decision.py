"""One choice as it was made, in columns by position, and the explanation that follows from them.

A request that goes well pays for this record and nobody reads it, so what is kept is the columns that ranking had
computed anyway; probabilities, scores and terms are worked out when somebody asks, from these numbers alone: explaining
later, twice, or in another process says the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dwa.share import probabilities


@dataclass(frozen=True, slots=True)
class Decision:
    """A ranking's numbers. Lists are by position; seconds, USD, rates 0..1; losses in shares of a typical request."""

    reason: str
    strategy: str
    objective: str
    seed: float
    """The one uniform number that was drawn: with the rest enough to replay the choice."""
    keys: list[str]
    order: list[int]
    """Positions, first choice first."""
    idle: list[float] = field(default_factory=list[float])
    """Expected seconds on an idle host."""
    seconds: list[float] = field(default_factory=list[float])
    """With load, the slow-down of others included."""
    costs: list[float] = field(default_factory=list[float])
    quality: list[float] = field(default_factory=list[float])
    """Of their answers; empty when it was not weighed, and is in no loss."""
    errors: list[float] = field(default_factory=list[float])
    worth: list[float] = field(default_factory=list[float])
    """Loss without failures."""
    losses: list[float] = field(default_factory=list[float])
    misses: list[float] = field(default_factory=list[float])
    """The part of it that is the price of missing an SLO; empty without one."""
    tolls: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    """(position, the part of it that is charged for scarce quota)."""
    latency_unit: float = 0.0
    """Loss per second."""
    quality_unit: float = 0.0
    """Loss of an answer worth nothing."""
    temperature: float = 0.0
    """Share of the best loss within which candidates are equals."""
    looks: float = 0.0
    """Share of the traffic that is exploration."""
    ramping: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    """(position, admitted share) of the recovering ones."""
    peaks: list[float] = field(default_factory=list[float])
    """Under `p2c_ewma`: the cost of each, in seconds; a probe joined later and has none."""
    weights: list[float] | None = None
    """Probability to be first, where it does not follow from the losses."""
    excluded: dict[str, str] = field(default_factory=dict[str, str])
    """Who was not tried: key → why."""

    def odds(self) -> list[float]:
        """By position: the probability to be first; they sum to one. Empty when nobody could be tried."""
        if self.weights is not None or not self.losses:
            return self.weights or []
        admitted = [1.0] * len(self.losses)
        for i, part in self.ramping:
            admitted[i] = part
        return probabilities(self.losses, admitted, self.temperature, self.looks)

    def score(self, key: str) -> float | None:
        """J_best/J of one candidate; None for one that was not compared."""
        if key not in self.keys or not self.losses:
            return None
        loss = self.losses[self.keys.index(key)]
        return min(self.losses) / loss if loss > 0.0 else 1.0

    def terms(self, place: int) -> dict[str, float]:
        """The named parts of one loss; they sum to it. `load` is what others lose, by the crowd or the quota used."""
        latency = self.latency_unit * self.idle[place]
        load = self.latency_unit * self.seconds[place] - latency
        load += sum(toll for i, toll in self.tolls if i == place)
        if self.misses:
            latency += self.misses[place]
        missing = self.quality_unit * (1.0 - self.quality[place]) if self.quality else 0.0
        return {
            "latency": latency,
            "cost": self.worth[place] - latency - load - missing,
            "errors": self.losses[place] - self.worth[place],
            "load": load,
            "quality": missing,
        }

    def explain(self) -> list[dict[str, object]]:
        """One plain dict per candidate in order, the excluded ones last.

        key, weight (its probability to be first), score (J_best/J), loss, terms (they sum to the loss), expected
        {seconds, cost, error_rate}, state ("ok", or why it is excluded).
        """
        rows: list[dict[str, object]] = []
        weights = self.odds()
        for i in self.order if self.losses else ():
            key = self.keys[i]
            expected = {"seconds": self.seconds[i], "cost": self.costs[i], "error_rate": self.errors[i]}
            rows.append(
                {
                    "key": key,
                    "weight": weights[i],
                    "score": self.score(key),
                    "loss": self.losses[i],
                    "terms": self.terms(i),
                    "expected": expected,
                    "state": self.excluded.get(key, "ok"),
                }
            )
        blank: dict[str, object] = {"weight": 0.0, "score": None, "loss": None, "terms": {}, "expected": None}
        rows += [{"key": key, **blank, "state": why} for key, why in self.excluded.items() if key not in self.keys]
        return rows
