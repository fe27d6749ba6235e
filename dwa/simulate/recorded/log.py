"""A recorded request, what its end means for a replay, and figures: of the facts as of a run.

A request can be replayed when somebody answered it, or when deployments are to blame that nobody did. Left out, and
counted, are answers from the cache (nobody was asked), requests that were wrong in themselves or not allowed, callers
that went away, and requests for which no candidates are known.

An attempt teaches what it would have taught the balancer: success, failure, refusal (429), a broken stream, or nothing
(cancelled; the caller's own mistake; a caller in too great a hurry).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Literal, NamedTuple

from dwa.simulate.measure import quantile
from dwa.simulate.policy import CUT, FAILED, OK, REFUSED

NOTHING = ""
"""Of an attempt that teaches nothing."""
FAIR_CHANCE_S = 10.0
"""s. A timeout before that under a caller's own deadline says nothing about the deployment."""
_MEANINGS: Mapping[str, str] = {
    "ok": OK,
    "cut": CUT,
    "throttled": REFUSED,
    "cancelled": NOTHING,
    "rejected": NOTHING,
    "context_too_long": NOTHING,
    "refused": NOTHING,
}
CALLERS = ("rejected", "context_too_long", "refused")
"""Outcomes of an attempt whose request was wrong in itself."""

Fate = Literal["answered", "failed", "cached", "caller", "left", "unknown"]
"""What became of a request; the first two can be replayed."""


class Tried(NamedTuple):
    """One recorded attempt. Times in seconds; `at` on the clock of `Recorded.at`."""

    key: str
    outcome: str
    """As the log has it: `ok`, `cancelled`, or the fault's kind."""
    at: float
    seconds: float
    ttft_s: float | None
    prompt: int
    answer: int
    cost: float
    hurried: bool = False
    """The request failed by its caller's own deadline."""


class Recorded(NamedTuple):
    """One recorded request. Times in seconds, money in USD."""

    at: float
    model: str
    """As the caller asked for it."""
    route: str | None
    outcome: str
    """`ok`, `error` or `cancelled`."""
    blame: str | None
    """`caller`, `policy`, `gateway` or `provider`, of an error."""
    cache: str
    stream: bool
    prompt: int
    answer: int
    cost: float
    seconds: float
    strategy: str
    objective: str
    candidates: tuple[str, ...]
    """Who was ranked or excluded when it was decided; empty when that is not recorded."""
    attempts: tuple[Tried, ...]

    @property
    def fate(self) -> Fate:
        """What became of it."""
        if self.cache in ("hit", "coalesced"):
            return "cached"
        if self.outcome == "cancelled":
            return "left"
        kinds = [taught(one) for one in self.attempts]
        if self.outcome == "ok":
            return "answered" if OK in kinds else "unknown"
        if self.blame in ("caller", "policy") or any(one.outcome in CALLERS for one in self.attempts):
            return "caller"
        if any(kinds) or (self.candidates and not self.attempts and self.blame == "provider"):
            return "failed"
        return "left" if self.attempts else "unknown"

    @property
    def served(self) -> str | None:
        """The key of who answered."""
        return next((one.key for one in reversed(self.attempts) if one.outcome == "ok"), None)


def taught(attempt: Tried) -> str:
    """What an attempt teaches about its deployment: an ending of `dwa.simulate.policy`, or `NOTHING`."""
    if attempt.outcome == "timed_out" and attempt.hurried and attempt.seconds < FAIR_CHANCE_S:
        return NOTHING
    return _MEANINGS.get(attempt.outcome, FAILED)


@dataclass(frozen=True, slots=True)
class Figures:
    """What requests amounted to. Seconds are of answered requests, first attempt to last byte; nan without any."""

    requests: int
    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    cost_usd: float
    """All requests together."""
    error_share: float
    """Of the requests, whose caller met a failure."""
    failovers: int
    """Requests that took more than one attempt."""
    shares: dict[str, float]
    """Of the answered requests, by who answered; largest first."""


def figures(seconds: Sequence[float], cost: float, failed: int, failovers: int, served: Counter[str]) -> Figures:
    """The figures of some requests; `seconds` and `served` of the answered ones."""
    answered = len(seconds)
    total = answered + failed
    return Figures(
        requests=total,
        mean_s=sum(seconds) / answered if answered else nan,
        p50_s=quantile(seconds, 0.50),
        p95_s=quantile(seconds, 0.95),
        p99_s=quantile(seconds, 0.99),
        cost_usd=cost,
        error_share=failed / total if total else nan,
        failovers=failovers,
        shares={key: count / answered for key, count in served.most_common()},
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What happened: the requests that can be replayed, their figures, and how many cannot be, by why."""

    requests: tuple[Recorded, ...]
    """In order of time."""
    figures: Figures
    left_out: dict[Fate, int]


def facts_of(log: Sequence[Recorded]) -> Facts:
    """Sort a log out."""
    replayed: list[Recorded] = []
    left_out: Counter[Fate] = Counter()
    for one in sorted(log, key=lambda one: one.at):
        fate = one.fate
        if fate in ("answered", "failed"):
            replayed.append(one)
        else:
            left_out[fate] += 1
    answered = [one for one in replayed if one.outcome == "ok"]
    told = figures(
        [one.seconds for one in answered],
        sum(one.cost for one in replayed),
        len(replayed) - len(answered),
        sum(len(one.attempts) > 1 for one in replayed),
        Counter(one.served or "" for one in answered),
    )
    return Facts(tuple(replayed), told, dict(left_out))
