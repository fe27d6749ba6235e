"""Facts, the recorded policy in the model, the asked policy in the same model; and what none of it may be taken for.

    off     = model of the recorded policy / facts - 1       how far the model is from what happened
    change  = asked policy / recorded policy - 1             both in the model, with the same requests and luck

The recorded policy is the strategy and objective that most requests had; the asked one takes from it whatever was not
asked for. Each runs once per seed; a figure is the mean over the seeds with the least and the greatest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan

from dwa.candidate import Candidate
from dwa.objective import BALANCED, Objective
from dwa.simulate.physics import Line, Row, Simulation
from dwa.simulate.policy import REFUSED, Policy, Setting
from dwa.simulate.recorded.fit import Fitted, Speed
from dwa.simulate.recorded.limits import Told, sentences
from dwa.simulate.recorded.log import Fate, Figures, Recorded, facts_of, figures, taught
from dwa.simulate.recorded.world import Recording, Replayed
from dwa.strategies import LOAD_BALANCED, STRATEGIES

MEASURES = ("mean_s", "p50_s", "p95_s", "p99_s", "cost_usd", "error_share", "failovers")
"""The numbers of `Figures` that are compared."""
Tell = Callable[[int, int], None]
"""Told (runs done, runs in all)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to replay under; None: as recorded. `patience_s` is how long a request may be tried, as in the gateway."""

    strategy: str | None = None
    objective: Objective | None = None
    seeds: int = 3
    patience_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the seeds."""

    mean: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Run:
    """One policy in the model."""

    strategy: str
    objective: Objective
    requests: int
    spread: dict[str, Spread]
    """By the names in `MEASURES`; nan where nobody was answered."""
    shares: dict[str, Spread]
    """Of the answered requests, by who answered; largest first."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the model believes of one deployment. Prices in USD per token, as billed."""

    key: str
    attempts: int
    """That say something of it."""
    answers: int
    speed: Speed
    error_share: float
    """Of those attempts: failures, refusals and broken streams."""
    price_in: float
    price_out: float
    spells: int
    """Times between which its speed or its errors changed, one when never."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would have happened. Changes in per cent, by `MEASURES`; nan where the first is zero or unknown."""

    began: float
    """The first and the last replayed request, on the clock of the log."""
    ended: float
    facts: Figures
    left_out: dict[Fate, int]
    recorded: Run
    asked: Run
    off: dict[str, float]
    change: dict[str, float]
    deployments: list[Estimate]
    limits: list[str]


def replay(
    log: Sequence[Recorded],
    known: Mapping[str, Candidate],
    objectives: Mapping[str, Objective],
    asked: Asked,
    tell: Tell = lambda done, total: None,
) -> Outcome | None:
    """Replay a log; None when it holds nothing that can be replayed.

    Args:
        log: requests in any order.
        known: what the configuration says about deployments today, by key.
        objectives: those that the log's names mean.
        asked: the other policy.
        tell: is told of progress.
    """
    facts = facts_of(log)
    if not facts.requests:
        return None
    recording = Recording(facts, [attempt for one in log for attempt in one.attempts], known)
    strategy, objective, usual = _usual(facts.requests, objectives)
    pairs = (strategy, objective), (asked.strategy or strategy, asked.objective or objective)
    found: tuple[list[Figures], list[Figures]] = ([], [])
    for seed in range(asked.seeds):
        for place, (name, weights) in enumerate(pairs):
            tell(seed * 2 + place, asked.seeds * 2)
            found[place].append(_play(recording, name, weights, asked.patience_s, seed))
    tell(asked.seeds * 2, asked.seeds * 2)
    first, second = (_run(*pair, runs) for pair, runs in zip(pairs, found, strict=True))
    told = Told(
        facts=facts,
        fitted=recording.fitted,
        known=frozenset(known),
        usual=usual,
        unsized=recording.unsized,
        guessed=recording.guessed,
        refused=any(taught(attempt) == REFUSED for one in facts.requests for attempt in one.attempts),
    )
    real = {name: float(getattr(facts.figures, name)) for name in MEASURES}
    modelled = {name: spread.mean for name, spread in first.spread.items()}
    return Outcome(
        began=facts.requests[0].at,
        ended=facts.requests[-1].at,
        facts=facts.figures,
        left_out=facts.left_out,
        recorded=first,
        asked=second,
        off=_changes(real, modelled),
        change=_changes(modelled, {name: spread.mean for name, spread in second.spread.items()}),
        deployments=[_estimate(one) for one in recording.fitted],
        limits=sentences(told),
    )


def _estimate(one: Fitted) -> Estimate:
    return Estimate(
        one.key,
        one.attempts,
        one.answers,
        one.speed,
        one.failures / one.attempts if one.attempts else nan,
        one.candidate.price_in,
        one.candidate.price_out,
        len(one.spells),
    )


def _usual(requests: Sequence[Recorded], objectives: Mapping[str, Objective]) -> tuple[str, Objective, float]:
    """The strategy and objective most requests had, of those whose names still mean something; and their share."""
    counts = Counter(
        (one.strategy, one.objective) for one in requests if one.strategy in STRATEGIES and one.objective in objectives
    )
    if not counts:
        return LOAD_BALANCED, BALANCED, 0.0
    [((strategy, objective), count)] = counts.most_common(1)
    return strategy, objectives[objective], count / len(requests)


def _play(recording: Recording, strategy: str, objective: Objective, patience_s: float, seed: int) -> Figures:
    candidates = [one.candidate for one in recording.fitted]

    def make(setting: Setting, _: Sequence[Line]) -> Policy:
        return Replayed(setting, candidates, strategy)

    rows = Simulation(recording.world(objective, patience_s, seed), make, seed).run()
    return _figures(rows, [one.key for one in recording.fitted])


def _figures(rows: Sequence[Row], keys: Sequence[str]) -> Figures:
    answered = [row for row in rows if row.served >= 0]
    return figures(
        [row.seconds for row in answered],
        sum(row.cost for row in rows),
        len(rows) - len(answered),
        sum(row.attempts > 1 for row in rows),
        Counter(keys[row.served] for row in answered),
    )


def _run(strategy: str, objective: Objective, runs: Sequence[Figures]) -> Run:
    shares = {
        key: _spread([one.shares.get(key, 0.0) for one in runs])
        for key in dict.fromkeys(key for one in runs for key in one.shares)
    }
    return Run(
        strategy,
        objective,
        runs[0].requests,
        {name: _spread([float(getattr(one, name)) for one in runs]) for name in MEASURES},
        dict(sorted(shares.items(), key=lambda pair: -pair[1].mean)),
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(sum(values) / len(values), min(values), max(values))


def _changes(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: _change(before[name], after[name]) for name in MEASURES}


def _change(before: float, after: float) -> float:
    return 100.0 * (after / before - 1.0) if before and not isnan(before) else nan
