"""log T = log((A + n_in·F + n_out·B) · load(n)) + noise: an extended Kalman filter over (log A, log F, log B).

A is the time to first token of an empty prompt, F the prefill per prompt token, B the time per output token; how a
crowd slows all of them is learned beside it (`load.py`). On the log scale a host twice as slow is one step away for
every request size, noise is about normal, and nothing can become negative. The derivative of log T by each unknown is
that part's share of T, so every observation teaches each part as much as it took part: a first token says nothing about
B, a total says something about all.

Why a filter and not an average of latencies: the length of the answer explains more of a latency than the host does.
An average ranks hosts by who got the short questions.

Why these departures from the textbook:
- *Time adds variance* (drift·dt), so silence becomes doubt, and doubt makes the next answer count more.
- *Surprises are cut* at `clip_sd`: one straggler in a hundred takes ten times as long, and says little.
- *A run of surprises of one sign* (a two-sided CUSUM of the cut surprises) means the world changed: variance is added
  at once, and four answers carry the estimate to the new level. A lone straggler does not fill the CUSUM.
- *What began before the change says nothing of the world after it*: when a host becomes fast again, the answers of its
  slow time keep coming for as long as they take. Each of them, believed, is a surprise of the other sign: the forecast
  swings between the two worlds, and the noise swells until both look ordinary. So once a run is complete, answers that
  began before the first one of the run are learned from only as far as they do not contradict it. (All of them left
  out, a false alarm made a busy host look quick: of what was sent after it, what came quickly comes first.)
- *The mean is predicted, not the median*: `tail` follows observed/forecast, uncut up to `tail_cap`. A host with a
  heavy tail costs its mean, whatever its median promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log, sqrt
from typing import cast

from dwa.fall import Fall
from dwa.load import Load
from dwa.params import Params

SIZE = 3
FIRST, GENERATION, TOTAL = range(3)
NOISE = (0.15, 0.05, 0.1)
"""log², first guess of the noise by kind of observation: first tokens scatter more than token rates."""
NOISE_FLOOR, NOISE_CEILING = 0.005, 1.0
"""log². Below the floor two equal answers would make a certainty; above the ceiling nothing would be learned."""
HEARD = 4
"""Observations of another replica's round that count as a run: as many as complete one. Doubled: no difference;
halved: a change that others have seen for sure is believed a second later."""
Triangle = tuple[float, float, float, float, float, float]
TYPICAL_PROMPT = 500.0
"""Prompt tokens of the request by which forecasts are called doubtful, or slower than before. Doubled or halved: no
difference."""
ONSET_SD = 1.0
"""s.d. below which a run of surprises has not begun. Doubled: no difference; halved: noise is taken for the beginning,
and more of what is from before a change is thought to be from after it."""
STALE_SD = 2.0
"""s.d. by which an answer from before a change must speak for the old world to be left out.
Doubled: steps of less than four s.d. are doubted for as long as an answer takes; halved: after a false alarm only what
came quickly is believed, and the host seems to hang."""
INSTANT = 1e-3
"""s. Shorter times are clock resolution; their logarithm would be a wild surprise."""


class LatencyModel:
    """What one deployment's answers taught about its speed. Times in seconds, on the caller's clock."""

    __slots__ = (
        "_at",
        "_calm",
        "_faster",
        "_faster_since",
        "_noise_first",
        "_noise_generation",
        "_noise_total",
        "_params",
        "_since",
        "_slower",
        "_slower_since",
        "_turned",
        "changes",
        "covariance",
        "fall",
        "first",
        "load",
        "prefill",
        "seen",
        "state",
        "tail",
        "token",
    )

    def __init__(self, params: Params, *, first_token_s: float, token_s: float, knee: float, now: float) -> None:
        self._params = params
        self.state = (log(first_token_s), log(params.prefill_s), log(token_s))
        own = params.prior_sd * params.prior_sd
        self.covariance: Triangle = (own, 0.0, 0.0, own, 0.0, own)
        """log², the upper triangle row by row: a covariance is symmetric, and this is updated with every answer."""
        self.load = Load(knee, params.knee_sd, own)
        # Three attributes, for a list of three takes three times as much.
        self._noise_first, self._noise_generation, self._noise_total = NOISE
        self._at = now
        self._slower = self._faster = 0.0
        self._slower_since = self._faster_since = self._since = -inf
        self._turned = 0.0
        self.changes = 0
        self.seen = 0
        self.tail = 1.1
        self.first = self.prefill = self.token = 0.0
        self.fall: Fall | None = None
        self._calm = 0.0
        """Seconds of a typical answer while nothing was suspicious; 0 before any."""
        self._publish()

    def _publish(self) -> None:
        first, prefill, token = self.state
        self.first, self.prefill, self.token = exp(first), exp(prefill), exp(token)

    def _learned(self) -> None:
        """Publish it, and see whether it is as it was before it fell, or is how it is while nothing is suspicious."""
        self._publish()
        typical = self.first + TYPICAL_PROMPT * self.prefill + self._params.output_tokens * self.token
        if self.fall is not None:
            if not self.fall.lasts(typical):
                self.fall = None
        elif not self._slower:
            self._calm = typical

    def median(self, prompt: float, answer: float, busy: int) -> float:
        """Seconds that half of the answers of this size take with `busy` requests in flight."""
        return (self.first + prompt * self.prefill + answer * self.token) * self.load.slowdown(busy)

    def first_token(self, now: float, seconds: float, prompt: float, busy: int) -> float:
        """Learn from a first token; returns the surprise in s.d., negative when faster than thought."""
        return self._learn(now, seconds, (self.first, prompt * self.prefill, 0.0), busy, FIRST)

    def generation(self, now: float, seconds: float, answer: float, busy: int) -> float:
        """Learn from the time between the first and the last token."""
        return self._learn(now, seconds, (0.0, 0.0, answer * self.token), busy, GENERATION)

    def total(self, now: float, seconds: float, prompt: float, answer: float, busy: int) -> float:
        """Learn from an answer of which only the whole duration is known."""
        return self._learn(now, seconds, (self.first, prompt * self.prefill, answer * self.token), busy, TOTAL)

    def whole(self, seconds: float, median: float) -> float:
        """Learn the ratio of mean to median from a finished answer and the median of its size; returns its own."""
        ratio = min(seconds / max(median, INSTANT), self._params.tail_cap)
        self.tail += self._params.tail_gain * (ratio - self.tail)
        self.seen += 1
        return ratio

    def hear(
        self,
        now: float,
        kind: int,
        reference: Sequence[float],
        count: float,
        residual: float,
        prompt: float,
        answer: float,
        busy: float,
    ) -> None:
        """Learn from another replica's round: `count` observations of a kind, with the means of what a `Ledger` sums.

        One step whose noise is the noise of a mean; the run of surprises hears of it as of that many, up to the few
        that complete one.
        """
        first, prefill, token = reference
        told = residual + log((0.0 if kind == GENERATION else first) + prompt * prefill + answer * token)
        self._forget(now)
        p0, p1, p2 = (0.0 if kind == GENERATION else self.first), prompt * self.prefill, answer * self.token
        whole = p0 + p1 + p2
        h0, h1, h2 = p0 / whole, p1 / whole, p2 / whole
        noise = self.noise(kind)
        told -= log(whole)
        surprise = told - log(self.load.slowdown(busy))
        reach, spread = self._reach(h0, h1, h2)
        for _ in range(min(int(count), HEARD)):
            if self._runs(surprise / sqrt(spread + noise), self._since):
                reach, spread = self._reach(h0, h1, h2)
        total = spread + noise / count
        clip = self._params.clip_sd * sqrt(total)
        step = min(max(surprise, -clip), clip) / total
        self._absorb(reach, step, total)
        self.load.learn(told, busy, noise / count, spread * step)
        self._learned()

    def hear_tail(self, count: float, total: float) -> None:
        """Learn the tail from another replica's ratios of observed to median: how many, and their sum."""
        if count:
            kept = (1.0 - self._params.tail_gain) ** count
            self.tail = kept * self.tail + (1.0 - kept) * total / count
            self.seen += int(count)

    def at_least(self, ratio: float) -> float:
        """Learn that an answer of which no more is known would have taken so many medians or longer.

        Returns the ratio that was learned from, as `whole` does; 0 when it is no more than expected of any.
        """
        if ratio <= self.tail:
            return 0.0
        ratio = min(ratio, self._params.tail_cap)
        self.tail += self._params.tail_gain * (ratio - self.tail)
        return ratio

    def doubt(self, now: float, prompt: float, answer: float) -> float:
        """Posterior s.d. of the log of the forecast for a request of this size, with what silence has added."""
        p0, p1, p2 = self.first, prompt * self.prefill, answer * self.token
        whole = p0 + p1 + p2
        _, spread = self._reach(p0 / whole, p1 / whole, p2 / whole)
        return sqrt(max(spread, 0.0) + self._params.drift * (now - self._at))

    def noise(self, kind: int) -> float:
        """log², how much answers scatter around their forecast; kind is FIRST, GENERATION or TOTAL."""
        if kind == FIRST:
            return self._noise_first
        return self._noise_generation if kind == GENERATION else self._noise_total

    def _learn(self, now: float, seconds: float, parts: tuple[float, float, float], busy: int, kind: int) -> float:
        self._forget(now)
        p0, p1, p2 = parts
        whole = p0 + p1 + p2
        h0, h1, h2 = p0 / whole, p1 / whole, p2 / whole
        noise = self.noise(kind)
        told = log((seconds if seconds > INSTANT else INSTANT) / whole)
        surprise = told - log(self.load.slowdown(busy))
        reach, spread = self._reach(h0, h1, h2)
        score = surprise / sqrt(spread + noise)
        if now - seconds < self._since and score * self._turned < -STALE_SD:
            return score  # from before the change
        if self._runs(score, now - seconds):
            reach, spread = self._reach(h0, h1, h2)
        total = spread + noise
        clip = self._params.clip_sd * sqrt(total)
        cut = clip if surprise > clip else -clip if surprise < -clip else surprise
        self._absorb(reach, cut / total, total)
        self.load.learn(told, busy, noise, spread * cut / total)
        excess = cut * cut - spread
        noise += self._params.noise_gain * ((excess if excess > 0.0 else 0.0) - noise)
        self._scatters(kind, min(max(noise, NOISE_FLOOR), NOISE_CEILING))
        self._learned()
        return score

    def _scatters(self, kind: int, noise: float) -> None:
        if kind == FIRST:
            self._noise_first = noise
        elif kind == GENERATION:
            self._noise_generation = noise
        else:
            self._noise_total = noise

    def _forget(self, now: float) -> None:
        passed = now - self._at
        if passed <= 0.0:
            return
        self._at = now
        self._raise(self._params.drift * passed, self._params.prior_sd * self._params.prior_sd)

    def _raise(self, doubt: float, ceiling: float) -> None:
        """Add doubt about A, F and B, of each up to the ceiling at which nothing is known of it."""
        a, ab, ac, b, bc, c = self.covariance
        self.covariance = (
            *(a if a >= ceiling else min(a + doubt, ceiling), ab, ac),
            *(b if b >= ceiling else min(b + doubt, ceiling), bc),
            c if c >= ceiling else min(c + doubt, ceiling),
        )
        self.load.doubt(doubt, ceiling)

    def _reach(self, h0: float, h1: float, h2: float) -> tuple[tuple[float, float, float], float]:
        """P·h and h·P·h."""
        a, ab, ac, b, bc, c = self.covariance
        r0 = a * h0 + ab * h1 + ac * h2
        r1 = ab * h0 + b * h1 + bc * h2
        r2 = ac * h0 + bc * h1 + c * h2
        return (r0, r1, r2), r0 * h0 + r1 * h1 + r2 * h2

    def _absorb(self, reach: tuple[float, float, float], step: float, total: float) -> None:
        r0, r1, r2 = reach
        s0, s1, s2 = self.state
        self.state = (s0 + r0 * step, s1 + r1 * step, s2 + r2 * step)
        a, ab, ac, b, bc, c = self.covariance
        k0, k1 = r0 / total, r1 / total
        self.covariance = (
            *(a - k0 * r0, ab - k0 * r1, ac - k0 * r2),
            *(b - k1 * r1, bc - k1 * r2),
            c - r2 / total * r2,
        )

    def _runs(self, score: float, began: float) -> bool:
        """Whether this surprise completes a run that means the world changed; then the doubt is already raised.

        `began`: when its answer, or the part of it that was timed, began.
        """
        params = self._params
        clip = params.clip_sd
        cut = clip if score > clip else -clip if score < -clip else score
        slower, faster = self._slower + cut - params.run_slack_sd, self._faster - cut - params.run_slack_sd
        if self._slower < ONSET_SD:
            self._slower_since = began
        if self._faster < ONSET_SD:
            self._faster_since = began
        self._slower = slower if slower > 0.0 else 0.0
        self._faster = faster if faster > 0.0 else 0.0
        if slower < params.run_limit_sd and faster < params.run_limit_sd:
            return False
        if slower >= params.run_limit_sd:
            self._since, self._turned = self._slower_since, 1.0
            if self.fall is not None:
                self.fall.at = self._at  # the same fall, but no older than its last step
            elif self._calm:
                self.fall = Fall(self._at, self._calm)
        else:
            self._since, self._turned = self._faster_since, -1.0
        self._slower = self._faster = 0.0
        self.changes += 1
        self._raise(params.run_inflate, inf)
        return True

    def snapshot(self, now: float) -> dict[str, object]:
        """Plain numbers, enough to go on later; the covariance as whole rows."""
        a, ab, ac, b, bc, c = self.covariance
        return {
            "state": list(self.state),
            "covariance": [[a, ab, ac], [ab, b, bc], [ac, bc, c]],
            "load": self.load.snapshot(),
            "noise": [self.noise(kind) for kind in (FIRST, GENERATION, TOTAL)],
            "tail": self.tail,
            "seen": self.seen,
            "idle_s": now - self._at,
        }

    def restore(self, row: dict[str, object], now: float, age: float) -> None:
        """Go on from a snapshot taken `age` seconds ago: the next observation finds the doubt it has grown.

        ValueError when it has another size.
        """
        state = tuple(float(x) for x in cast("list[float]", row["state"]))
        rows = [[float(x) for x in line] for line in cast("list[list[float]]", row["covariance"])]
        noise = [float(x) for x in cast("list[float]", row["noise"])]
        if [len(line) for line in (state, noise, *rows)] != [SIZE, len(NOISE), *[SIZE] * SIZE]:
            raise ValueError("snapshot of a latency model of another size")
        triangle = tuple(x for i, line in enumerate(rows) for x in line[i:])
        self.load.restore(cast("dict[str, object]", row["load"]))
        self.state, self.covariance = cast("tuple[float, float, float]", state), cast("Triangle", triangle)
        self._noise_first, self._noise_generation, self._noise_total = noise
        self.tail = cast("float", row["tail"])
        self.seen = cast("int", row["seen"])
        self._at = now - age - cast("float", row["idle_s"])
        self._publish()
