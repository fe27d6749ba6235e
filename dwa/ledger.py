"""What one deployment taught this replica in one round, as sums that another replica can learn from.

    per kind of timing:  n, Σ log(T / forecast by the round's reference), Σ prompt, Σ answer, Σ busy
    outcomes:            failures and cuts counted, the last two dozen kept with their time of dispatch

A round begins with the deployment's own estimate, frozen as the reference: what is left of an observation when the
size of its request has been accounted for. Sums of raw latencies would not do: the mean of long and short answers says
more about who asked than about the host. Residuals against the moving estimate would not do either: the sender has
already learned from the first when it writes down the second, so their sum says the change twice.

A ledger exists only while somebody shares; without one a deployment pays nothing for it.
"""

from __future__ import annotations

from collections import deque
from math import log

from dwa.latency import GENERATION, INSTANT, LatencyModel

KINDS = 3
"""FIRST, GENERATION and TOTAL of `latency`."""
OUTCOMES = 24
"""Outcomes kept per round: as many as the breaker weighs. Doubled: no difference; halved: weaker proof for others."""


class Ledger:
    """One deployment, one round."""

    __slots__ = (
        "_latency",
        "cuts",
        "failures",
        "outcomes",
        "ratios",
        "reference",
        "sent",
        "successes",
        "times",
        "waste",
    )

    def __init__(self, latency: LatencyModel) -> None:
        self._latency = latency
        self.turn()

    def turn(self) -> None:
        """Begin a round."""
        latency = self._latency
        self.reference = (latency.first, latency.prefill, latency.token)
        self.times = [[0.0] * 5 for _ in range(KINDS)]
        """By kind: n, Σ log residual, Σ prompt tokens, Σ output tokens, Σ requests in flight at dispatch."""
        self.ratios = [0.0, 0.0]
        """n and Σ of observed over expected median: the tail."""
        self.successes = self.failures = self.cuts = self.sent = 0
        self.waste = 0.0
        """Seconds that the failures took."""
        self.outcomes: deque[tuple[float, bool]] = deque(maxlen=OUTCOMES)
        """(time of dispatch, failed), in order of arrival."""

    @property
    def empty(self) -> bool:
        """Nothing happened in this round."""
        return not (self.sent or self.successes or self.failures or self.cuts or any(row[0] for row in self.times))

    def timed(self, kind: int, seconds: float, prompt: float, answer: float, busy: int) -> None:
        """An observation of this kind; tokens that play no part in the kind are 0."""
        first, prefill, token = self.reference
        whole = prompt * prefill + answer * token
        if kind != GENERATION:
            whole += first
        row = self.times[kind]
        row[0] += 1.0
        row[1] += log(max(seconds, INSTANT) / whole)
        row[2] += prompt
        row[3] += answer
        row[4] += busy

    def whole(self, ratio: float) -> None:
        """A finished answer took so many times the median expected of it."""
        self.ratios[0] += 1.0
        self.ratios[1] += ratio

    def success(self, dispatched: float) -> None:
        """An answer."""
        self.successes += 1
        self.outcomes.append((dispatched, False))

    def failure(self, dispatched: float, seconds: float, *, caller_saw: bool) -> None:
        """A failure that was the host's."""
        if caller_saw:
            self.cuts += 1
        else:
            self.failures += 1
        self.waste += seconds
        self.outcomes.append((dispatched, True))
