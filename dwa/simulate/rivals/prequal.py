"""Hot-cold lexicographic choice over a pool of probes: the fastest among those with few requests in flight.

Source: Wydrowski et al., "Load is not what you should balance: Introducing Prequal", NSDI 2024: three probes per
request to random servers, a pool of sixteen, each used at most a few times and dropped when old; a probe carries
requests in flight and latency; above the 0.84-quantile of in-flight counts a probe is hot; take the cold one with the
least latency, or if all are hot the one with fewest in flight.

A provider of language models answers no probes. Here a probe reads what the gateway itself knows: its own requests in
flight there and the median of the last nine latencies. Failures count as the penalty the paper leaves to "error
aversion": a latency of ten seconds.

What it gives away: price and request size; its strength, queues inside servers, is invisible from outside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from dwa.candidate import Shape
from dwa.simulate.policy import Attempt, Setting
from dwa.simulate.rivals.rival import Rival, answered

PROBES = 3
POOL = 16
OLD_S = 1.0
USES = 2
HOT = 0.84
SAMPLES = 9
FAILURE_S = 10.0


class Prequal(Rival):
    """A pool of (place, in flight, latency, until, uses left)."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._latencies = [deque[float](maxlen=SAMPLES) for _ in range(self.count)]
        self._pool: deque[tuple[int, int, float, float, int]] = deque(maxlen=POOL)

    def rank(self, shape: Shape, now: float) -> Sequence[int]:
        """Probe, choose, and leave the rest to latency."""
        for place in (self.rng.choice(self.places) for _ in range(PROBES)):
            self._pool.append((place, self.in_flight[place], self._latency(place), now + OLD_S, USES))
        fresh = [probe for probe in self._pool if probe[3] > now and probe[0] in self.places]
        counts = sorted(probe[1] for probe in fresh)
        edge = counts[int(HOT * (len(counts) - 1))]
        cold = [probe for probe in fresh if probe[1] <= edge]
        best = min(cold, key=lambda probe: probe[2]) if cold else min(fresh, key=lambda probe: probe[1])
        self._use(best)
        rest = [place for place in self.places if place != best[0]]
        return [best[0], *self.by(self._latency, rest)]

    def learn(self, attempt: Attempt, now: float) -> None:
        """A latency, or the penalty."""
        self._latencies[attempt.host].append(now - attempt.started if answered(attempt) else FAILURE_S)

    def _latency(self, place: int) -> float:
        samples = self._latencies[place]
        return sorted(samples)[len(samples) // 2] if samples else 0.0

    def _use(self, probe: tuple[int, int, float, float, int]) -> None:
        place, waiting, latency, until, uses = probe
        self._pool.remove(probe)
        if uses > 1:
            self._pool.append((place, waiting + 1, latency, until, uses - 1))
