"""e = slow mean of failures, which jumps to a fast mean when that is 4 s.d. worse or 2.5 s.d. better.

The slow mean (weight 1/60) is what an ordinary error rate is; one failure in a hundred must not reroute traffic. The
fast mean (weight 1/8) knows the last dozen outcomes. Where it leaves the spread it would have under the slow one,
sqrt(e(1-e)·g/(2-g)), that is a brown-out or its end and not bad luck, and the slow mean gives way to it. Two
means and a test, instead of one mean of middle speed, because the middle is wrong in both worlds. For the better the
bar is lower: a memory of eight outcomes cannot show more than 3 s.d. of "no failures at all".

Silence pulls e to the prior.

What an open breaker says is not said again by e: when it opens, e returns to what it was at the last calm moment, since
a host that was dead and is back is as good as before. One that breaks again before it was ever calm was not dead, it
fails one time in two or three; then e stays, and the breaker measures by it. (Forgiven each time, such a host was taken
back as a healthy one every few seconds, for as long as it failed.)

Three rates are kept apart because they cost differently: `error` is a failure that may be tried elsewhere, `cut` one
the caller saw (nothing can be retried; `cuts.py`), and `waste` the seconds a failure took. Requests that were wrong by
themselves and callers that hung up are not outcomes and never come here; nor does a refusal (429).
"""

from __future__ import annotations

from math import sqrt

from dwa.cuts import Cuts
from dwa.params import Params

SPREAD_FLOOR = 0.02
"""Least e(1-e) in the disagreement test: with e near 0 a single failure would be many s.d. away. Doubled: brown-outs
are believed an outcome later; halved: a single failure is one."""
HEARD = 120
"""Outcomes of another replica's round that are counted one by one: twice the memory of the slow mean. Doubled: no
difference; halved: a busy replica's news count for half."""
WASTE_S = 1.0
"""s. What a failure wastes before one was seen. Doubled or halved: forgotten after the first failures."""
WASTE_GAIN = 0.3
"""Weight of one failure's duration. Doubled: the last failure alone; halved: hangs are thought short for a while."""


class Reliability:
    """The failures of one deployment. Rates per request, 0..1."""

    __slots__ = ("_calm", "_cuts", "_fast", "_params", "_slow", "_touched", "_usual", "_well", "waste")

    def __init__(self, params: Params, *, now: float) -> None:
        self._params = params
        self._slow = self._fast = self._calm = params.error_prior
        self._touched = now
        self._cuts = Cuts()
        self._usual = self._slow
        self._well = True  # there was a calm moment since the breaker last opened
        self.waste = WASTE_S

    def success(self, now: float) -> None:
        """An answer arrived whole."""
        self._move(now, 0.0, 0.0)

    def failure(self, now: float, seconds: float, *, caller_saw: bool) -> None:
        """A failure after `seconds`; `caller_saw` when nothing could be tried elsewhere."""
        self._move(now, 0.0 if caller_saw else 1.0, 1.0 if caller_saw else 0.0)
        self.waste += WASTE_GAIN * (seconds - self.waste)

    def hear(self, now: float, successes: int, failures: int, cuts: int, waste: float) -> None:
        """Outcomes of another replica, in an even mix since their order is not told; `waste` seconds in all."""
        count = successes + failures + cuts
        bad, cut = 0.0, 0.0
        for _ in range(min(count, HEARD)):
            bad += failures / count
            cut += cuts / count
            failed, broke = bad >= 1.0, cut >= 1.0
            bad -= failed
            cut -= broke
            self._move(now, float(failed), float(broke))
        if failures + cuts:
            self.waste += WASTE_GAIN * (waste / (failures + cuts) - self.waste)

    def rate(self, now: float) -> float:
        """Expected share of retryable failures at `now`."""
        params = self._params
        kept = 0.5 ** ((now - self._touched) / params.error_half_life_s)
        return params.error_prior + (self._slow - params.error_prior) * kept

    def cut(self, now: float) -> float:
        """Expected share of streams that break at `now`, which no retry can hide."""
        return self._cuts.rate(now - self._touched)

    def usual(self) -> float:
        """The failure rate, of any kind, at the last calm moment: what the breaker compares an incident with.

        Not the present rate: three failures raise that so far that the fourth would look ordinary.
        """
        return self._usual

    def calm(self) -> None:
        """Nothing speaks against the host: remember the present rates, to compare with and to return to."""
        self._calm = self._slow
        self._usual = self._slow + self._cuts.rate(0.0)
        self._well = True

    def broke(self) -> None:
        """The breaker opened; when it does so again without a calm moment between, this is how the host is."""
        if not self._well:
            self.calm()
        self._well = False
        self.forgive()

    def forgive(self) -> None:
        """The breaker has taken the incident over: what it added to the rate would be counted twice."""
        self._slow = self._fast = min(self._slow, self._calm)

    def _move(self, now: float, failed: float, cut: float) -> None:
        idle_s = now - self._touched
        kept = 0.5 ** (idle_s / self._params.error_half_life_s)
        prior = self._params.error_prior
        self._touched = now
        self._slow = prior + (self._slow - prior) * kept
        self._fast = prior + (self._fast - prior) * kept
        self._slow += self._params.error_gain * (failed - self._slow)
        self._fast += self._params.error_fast_gain * (failed - self._fast)
        self._cuts.learn(cut, idle_s)
        self._give_way()

    def _give_way(self) -> None:
        params = self._params
        gain = params.error_fast_gain
        spread = sqrt(max(self._slow * (1.0 - self._slow), SPREAD_FLOOR) * gain / (2.0 - gain))
        ahead = self._fast - self._slow
        if ahead > params.error_worse_sd * spread or -ahead > params.error_better_sd * spread:
            self._slow = self._fast

    def snapshot(self, now: float) -> dict[str, float]:
        """Plain numbers."""
        return {
            "slow": self._slow,
            "fast": self._fast,
            "waste": self.waste,
            "idle_s": now - self._touched,
            **self._cuts.snapshot(),
        }

    def restore(self, row: dict[str, float], now: float, age: float) -> None:
        """Go on from a snapshot taken `age` seconds ago: the age is silence."""
        self._slow, self._fast, self.waste = row["slow"], row["fast"], row["waste"]
        self._cuts.restore(row)
        self.calm()
        self._touched = now - age - row["idle_s"]
