"""log T = log((A + n_in·F + n_out·B) · load(n)) + noise: an extended Kalman filter over (log A, log F, log B, log 1/K).

A is the time to first token of an empty prompt, F the prefill per prompt token, B the time per output token, K the
load knee. On the log scale a host twice as slow is one step away for every request size, noise is about normal, and
nothing can become negative. The derivative of log T by each unknown is that part's share of T, so every observation
teaches each part as much as it took part: a first token says nothing about B, a total says something about all.

Why a filter and not an average of latencies: the length of the answer explains more of a latency than the host does.
An average ranks hosts by who got the short questions.

Why these departures from the textbook:
- *Time adds variance* (drift·dt), so silence becomes doubt, and doubt makes the next answer count more.
- *Surprises are cut* at `clip_sd`: one straggler in a hundred takes ten times as long, and says little.
- *A run of surprises of one sign* (a two-sided CUSUM of the cut surprises) means the world changed: variance is added
  at once, and four answers carry the estimate to the new level. A lone straggler does not fill the CUSUM.
- *The mean is predicted, not the median*: `tail` follows observed/forecast, uncut up to `tail_cap`. A host with a
  heavy tail costs its mean, whatever its median promises.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import cast

from dwa.load import slope, slowdown
from dwa.params import Params

SIZE = 4
FIRST, GENERATION, TOTAL = range(3)
NOISE = (0.15, 0.05, 0.1)
"""log², first guess of the noise by kind of observation: first tokens scatter more than token rates."""
NOISE_FLOOR, NOISE_CEILING = 0.005, 1.0
"""log². Below the floor two equal answers would make a certainty; above the ceiling nothing would be learned."""
HEARD = 4
"""Observations of another replica's round that count as a run: as many as complete one. Doubled: no difference;
halved: a change that others have seen for sure is believed a second later."""
INSTANT = 1e-3
"""s. Shorter times are clock resolution; their logarithm would be a wild surprise."""


class LatencyModel:
    """What one deployment's answers taught about its speed. Times in seconds, on the caller's clock."""

    __slots__ = (
        "_at",
        "_faster",
        "_noise",
        "_params",
        "_slower",
        "changes",
        "covariance",
        "first",
        "inverse_knee",
        "prefill",
        "seen",
        "state",
        "tail",
        "token",
    )

    def __init__(self, params: Params, *, first_token_s: float, token_s: float, knee: float, now: float) -> None:
        self._params = params
        self.state = [log(first_token_s), log(params.prefill_s), log(token_s), -log(knee)]
        self.covariance = [[0.0] * SIZE for _ in range(SIZE)]
        for i, sd in enumerate((params.prior_sd, params.prior_sd, params.prior_sd, params.knee_sd)):
            self.covariance[i][i] = sd * sd
        self._noise = list(NOISE)
        self._at = now
        self._slower = self._faster = 0.0
        self.changes = 0
        self.seen = 0
        self.tail = 1.1
        self.first = self.prefill = self.token = self.inverse_knee = 0.0
        self._publish()

    def _publish(self) -> None:
        first, prefill, token, knee = self.state
        self.first, self.prefill, self.token, self.inverse_knee = exp(first), exp(prefill), exp(token), exp(knee)

    def median(self, prompt: float, answer: float, busy: int) -> float:
        """Seconds that half of the answers of this size take with `busy` requests in flight."""
        return (self.first + prompt * self.prefill + answer * self.token) * slowdown(busy, self.inverse_knee)

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
        reference: tuple[float, float, float, float],
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
        first, prefill, token, knee = reference
        theirs = (0.0 if kind == GENERATION else first) + prompt * prefill + answer * token
        told = residual + log(theirs * slowdown(busy, knee))
        self._forget(now)
        p0, p1, p2 = (0.0 if kind == GENERATION else self.first), prompt * self.prefill, answer * self.token
        whole = p0 + p1 + p2
        h0, h1, h2, h3 = p0 / whole, p1 / whole, p2 / whole, slope(busy, self.inverse_knee)
        noise = self._noise[kind]
        surprise = told - log(whole * slowdown(busy, self.inverse_knee))
        reach, spread = self._reach(h0, h1, h2, h3)
        for _ in range(min(int(count), HEARD)):
            if self._runs(surprise / sqrt(spread + noise)):
                reach, spread = self._reach(h0, h1, h2, h3)
        total = spread + noise / count
        clip = self._params.clip_sd * sqrt(total)
        self._absorb(reach, min(max(surprise, -clip), clip) / total, total)
        self._publish()

    def hear_tail(self, count: float, total: float) -> None:
        """Learn the tail from another replica's ratios of observed to median: how many, and their sum."""
        if count:
            kept = (1.0 - self._params.tail_gain) ** count
            self.tail = kept * self.tail + (1.0 - kept) * total / count
            self.seen += int(count)

    def at_least(self, ratio: float) -> None:
        """Learn that an answer of which no more is known would have taken so many medians or longer."""
        if ratio > self.tail:
            self.tail += self._params.tail_gain * (min(ratio, self._params.tail_cap) - self.tail)

    def doubt(self, now: float, prompt: float, answer: float) -> float:
        """Posterior s.d. of the log of the forecast for a request of this size, with what silence has added."""
        parts = (self.first, prompt * self.prefill, answer * self.token)
        whole = sum(parts)
        shares = [part / whole for part in parts]
        spread = sum(shares[i] * shares[j] * self.covariance[i][j] for i in range(SIZE - 1) for j in range(SIZE - 1))
        return sqrt(max(spread, 0.0) + self._params.drift * (now - self._at))

    def noise(self, kind: int) -> float:
        """log², how much answers scatter around their forecast; kind is FIRST, GENERATION or TOTAL."""
        return self._noise[kind]

    def _learn(self, now: float, seconds: float, parts: tuple[float, float, float], busy: int, kind: int) -> float:
        self._forget(now)
        whole = parts[0] + parts[1] + parts[2]
        h0, h1, h2 = parts[0] / whole, parts[1] / whole, parts[2] / whole
        h3 = slope(busy, self.inverse_knee)
        noise = self._noise[kind]
        surprise = log(max(seconds, INSTANT) / (whole * slowdown(busy, self.inverse_knee)))
        reach, spread = self._reach(h0, h1, h2, h3)
        score = surprise / sqrt(spread + noise)
        if self._runs(score):
            reach, spread = self._reach(h0, h1, h2, h3)
        width = sqrt(spread + noise)
        clip = self._params.clip_sd * width
        step = min(max(surprise, -clip), clip) / (spread + noise)
        self._absorb(reach, step, spread + noise)
        excess = min(surprise * surprise, clip * clip) - spread
        noise += self._params.noise_gain * (max(excess, 0.0) - noise)
        self._noise[kind] = min(max(noise, NOISE_FLOOR), NOISE_CEILING)
        self._publish()
        return score

    def _forget(self, now: float) -> None:
        passed = now - self._at
        if passed <= 0.0:
            return
        self._at = now
        growth = self._params.drift * passed
        ceiling = self._params.prior_sd * self._params.prior_sd
        for i in range(SIZE - 1):
            row = self.covariance[i]
            if row[i] < ceiling:
                row[i] = min(row[i] + growth, ceiling)

    def _reach(self, h0: float, h1: float, h2: float, h3: float) -> tuple[list[float], float]:
        """P·h and h·P·h."""
        reach = [p0 * h0 + p1 * h1 + p2 * h2 + p3 * h3 for p0, p1, p2, p3 in self.covariance]
        return reach, reach[0] * h0 + reach[1] * h1 + reach[2] * h2 + reach[3] * h3

    def _absorb(self, reach: list[float], step: float, total: float) -> None:
        r0, r1, r2, r3 = reach
        s0, s1, s2, s3 = self.state
        self.state = [s0 + r0 * step, s1 + r1 * step, s2 + r2 * step, s3 + r3 * step]
        shares = (r0 / total, r1 / total, r2 / total, r3 / total)
        self.covariance = [
            [p0 - share * r0, p1 - share * r1, p2 - share * r2, p3 - share * r3]
            for share, (p0, p1, p2, p3) in zip(shares, self.covariance, strict=True)
        ]

    def _runs(self, score: float) -> bool:
        """Whether this surprise completes a run that means the world changed; then the doubt is already raised."""
        params = self._params
        cut = min(max(score, -params.clip_sd), params.clip_sd)
        slower, faster = self._slower + cut - params.run_slack_sd, self._faster - cut - params.run_slack_sd
        self._slower = slower if slower > 0.0 else 0.0
        self._faster = faster if faster > 0.0 else 0.0
        if slower < params.run_limit_sd and faster < params.run_limit_sd:
            return False
        self._slower = self._faster = 0.0
        self.changes += 1
        for i in range(SIZE - 1):
            self.covariance[i][i] += params.run_inflate
        return True

    def snapshot(self, now: float) -> dict[str, object]:
        """Plain numbers, enough to go on later."""
        return {
            "state": list(self.state),
            "covariance": [list(row) for row in self.covariance],
            "noise": list(self._noise),
            "tail": self.tail,
            "seen": self.seen,
            "idle_s": now - self._at,
        }

    def restore(self, row: dict[str, object], now: float, age: float) -> None:
        """Go on from a snapshot taken `age` seconds ago: the next observation finds the doubt it has grown.

        ValueError when it has another size.
        """
        state = [float(x) for x in cast("list[float]", row["state"])]
        covariance = [[float(x) for x in line] for line in cast("list[list[float]]", row["covariance"])]
        noise = [float(x) for x in cast("list[float]", row["noise"])]
        if [len(line) for line in (state, noise, *covariance)] != [SIZE, len(NOISE), *[SIZE] * SIZE]:
            raise ValueError("snapshot of a latency model of another size")
        self.state, self.covariance, self._noise = state, covariance, noise
        self.tail = cast("float", row["tail"])
        self.seen = cast("int", row["seen"])
        self._at = now - age - cast("float", row["idle_s"])
        self._publish()
