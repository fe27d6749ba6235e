"""Least request of two random choices, with outlier detection.

Source: Envoy documentation, "Weighted least request" (choice count 2, equal weights) and "Outlier detection", November
2026, defaults: ejected after five consecutive 5xx; every 10 s after a success rate more than 1.9 s.d. below the mean,
among at least five hosts with a hundred requests in the interval; for 30 s times the number of its ejections; at most
10 % of the hosts, but always at least one. Timeouts count as 5xx (504); 429 does not. When more than half are ejected
or none is left, all are used (panic).

What it gives away: price, latency except through the number in flight, and any second broken host.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from dwa.candidate import Shape
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.rivals.rival import Rival, failed

IN_A_ROW = 5
EVERY_S = 10.0
EJECT_S = 30.0
MOST = 0.10
DEVIATIONS = 1.9
HOSTS, REQUESTS = 5, 100


class LeastRequest(Rival):
    """P2C on requests in flight, minus the ejected."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._row = [0] * self.count
        self._until = [0.0] * self.count
        self._times = [0] * self.count
        self._good = [0] * self.count
        self._all = [0] * self.count
        self._next = EVERY_S

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """Two choices among the others."""
        if now >= self._next:
            self._sweep(now)
            self._next = now + EVERY_S
        kept = [place for place in self.places if self._until[place] <= now]
        if len(kept) * 2 < len(self.places):
            kept = list(self.places)
        out = [place for place in self.places if place not in kept]
        return self.two_choices(lambda place: float(self.in_flight[place]), kept) + out

    def learn(self, attempt: Attempt, now: float) -> None:
        """Consecutive failures."""
        place = attempt.host
        self._all[place] += 1
        if not failed(attempt):
            self._row[place] = 0
            self._good[place] += 1
            return
        self._row[place] += 1
        if self._row[place] >= IN_A_ROW:
            self._eject(place, now)

    def _eject(self, place: int, now: float) -> None:
        ejected = sum(until > now for until in self._until)
        if self._until[place] > now or ejected >= max(1, int(MOST * len(self.places))):
            return
        self._times[place] += 1
        self._row[place] = 0
        self._until[place] = now + EJECT_S * self._times[place]

    def _sweep(self, now: float) -> None:
        rates = {place: self._good[place] / self._all[place] for place in self.places if self._all[place] >= REQUESTS}
        if len(rates) >= HOSTS:
            mean = sum(rates.values()) / len(rates)
            sd = sqrt(sum((rate - mean) ** 2 for rate in rates.values()) / len(rates))
            for place, rate in rates.items():
                if rate < mean - DEVIATIONS * sd:
                    self._eject(place, now)
        self._good = [0] * self.count
        self._all = [0] * self.count
        for place in self.places:
            if self._until[place] <= now:
                self._times[place] = max(0, self._times[place] - 1)
