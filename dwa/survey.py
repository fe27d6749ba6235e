"""One pass over the candidates: who may be sent this request, how long it would take there and what it would cost.

This is the hot loop of the gateway, so it reads published attributes, writes into flat lists by position, and asks a
mechanism only when the deployment's `guarded` bit or its review time says there is something to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf

from dwa.affinity import Affinity
from dwa.breaker import RAMP
from dwa.candidate import Candidate, Shape
from dwa.deployment import Deployment
from dwa.explore import TOGETHER_S
from dwa.params import Params


class Survey:
    """What was found, position by position over the candidates that may be tried."""

    __slots__ = (
        "answer",
        "blocked",
        "candidates",
        "costs",
        "deployments",
        "due",
        "excluded",
        "half_open",
        "idle",
        "now",
        "peaks",
        "prompt",
        "ramping",
        "seconds",
        "tolls",
        "warm",
    )

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.deployments: list[Deployment] = []
        self.idle: list[float] = []
        """Expected seconds on an idle host."""
        self.seconds: list[float] = []
        """With load, the slow-down of others included."""
        self.costs: list[float] = []
        self.due: list[int] = []
        """Positions at which a look may be due."""
        self.ramping: list[tuple[int, float]] = []
        """(position, admitted share) of the recovering ones."""
        self.tolls: list[tuple[int, float]] = []
        """(position, toll) of those whose quota is scarce, in typical losses."""
        self.half_open: tuple[Deployment, ...] = ()
        """Those that wait for a probe, none of which is under way there."""
        self.warm: int | None = None
        self.now = 0.0
        """When it was made, on the clock."""
        self.prompt, self.answer = 0, 0.0
        """The size of the request, tokens; of the answer the expected one."""
        self.peaks: list[float] = []
        """Costs under `p2c_ewma`, seconds; empty under any other strategy."""
        self.excluded: dict[str, str] = {}
        self.blocked: list[tuple[Deployment, str, float]] = []
        """Excluded ones: why, and until when on the clock."""

    def look(
        self,
        known: Mapping[str, Deployment],
        meet: Callable[[Candidate], Deployment],
        candidates: Sequence[Candidate],
        prompt: int,
        answer: float,
        now: float,
    ) -> None:
        """Fill the lists. `prompt` and `answer` in tokens; `meet` makes the deployment of one not known yet."""
        self.now, self.prompt, self.answer = now, prompt, answer
        # The interpreter multiplies two floats at a third of what it takes for an integer and a float.
        size = float(prompt)
        deployments = self.deployments
        idle, seconds, costs = self.idle, self.seconds, self.costs
        for candidate in candidates:
            try:
                d = known[candidate.key]
            except KeyError:
                d = meet(candidate)
            if d.candidate is not candidate:
                d.adopt(candidate)
            if now >= d.review_at:
                d.review(now)
            if d.guarded and self._excludes(d, prompt + answer, now):
                continue
            plain = d.first + size * d.prefill + answer * d.token
            if now >= d.look_at:
                self.due.append(len(deployments))
            deployments.append(d)
            idle.append(plain)
            seconds.append(plain * d.crowding)
            costs.append((size * candidate.price_in + answer * candidate.price_out) * d.price)
        self.candidates = [d.candidate for d in deployments] if self.excluded else list(candidates)

    def add(self, d: Deployment) -> None:
        """Append one that the pass left out (a probe, a last resort)."""
        seconds, cost = self._expects(d)
        self.candidates.append(d.candidate)
        self.deployments.append(d)
        self.idle.append(seconds)
        self.seconds.append(seconds * d.crowding)
        self.costs.append(cost)

    def pardon(self, params: Params) -> None:
        """Where several are broken, failing is no exception: let them take part, but the dead and the hanging.

        Those that hang do take part when several fell silent and nobody has shown life since, they neither: what they
        have in common is to blame then, and fleeing from one to the next ends with everything at the worst.

        Whoever takes part and is the dearest is asked nothing, and would never be known to be back: it stays a probe
        once its patience, `probe_dear_wait_s`, is over.
        """
        broken = [d for d, why, _ in self.blocked if why in ("breaker_open", "half_open")]
        if len(broken) < 2 or len(self.candidates) >= params.panic * (len(self.candidates) + len(broken)):
            return
        hangs = [d.breaker.opened_at for d in broken if d.breaker.hung]
        stall = len(hangs) > 1 and max(hangs) - min(hangs) < TOGETHER_S
        stall = stall and all(d.overdue.proven < min(hangs) for d in (*self.deployments, *broken))
        if not (self.candidates or stall):
            return  # nobody is left to compare them with: the last resort asks several whether they are back
        for d in broken:
            if d.breaker.streak < params.dead_streak and (stall or not d.breaker.hung):
                if d in self.half_open:
                    if self.now - d.breaker.reopens_at >= params.probe_dear_wait_s:
                        continue
                    self.half_open = tuple(other for other in self.half_open if other is not d)
                self.add(d)
                del self.excluded[d.key]

    def everyone(self) -> tuple[list[float], list[float]]:
        """Idle seconds and costs of all candidates, the excluded ones too: what `reference` makes its medians of."""
        idle, costs = self.idle.copy(), self.costs.copy()
        for d, _, _ in self.blocked:
            if d.key in self.excluded:
                seconds, cost = self._expects(d)
                idle.append(seconds)
                costs.append(cost)
        return idle, costs

    def forecast(self) -> dict[str, float]:
        """Expected cost, USD, of every candidate by key, the excluded ones too."""
        _, costs = self.everyone()
        waiting = [d.key for d, _, _ in self.blocked if d.key in self.excluded]
        return dict(zip([*(candidate.key for candidate in self.candidates), *waiting], costs, strict=True))

    def retract(self) -> None:
        """Undo the last `add`."""
        del self.candidates[-1], self.deployments[-1], self.idle[-1], self.seconds[-1], self.costs[-1]

    def credit(self, affinity: Affinity, params: Params, sticky: str, shape: Shape, now: float) -> None:
        """Subtract what the warm prompt cache of this session saves."""
        warm = affinity.warm(sticky, now)
        if warm is None:
            return
        key, last_prompt = warm
        for i, d in enumerate(self.deployments):
            if d.key == key:
                cached = min(shape.cached_tokens or last_prompt, shape.input_tokens) * d.hit
                prefill = cached * d.prefill * (1.0 - params.warm_prefill)
                self.seconds[i] -= prefill * self.seconds[i] / self.idle[i]
                self.idle[i] -= prefill
                price = d.candidate.price_in if d.candidate.price_cached is None else d.candidate.price_cached
                self.costs[i] -= cached * (d.candidate.price_in - price) * d.price
                self.warm = i

    def held_back(self) -> list[Candidate]:
        """Excluded, but not forbidden: neither waiting for a Retry-After, nor full, nor hanging. Soonest first."""
        found = [
            (until, d.candidate)
            for d, why, until in self.blocked
            if why in ("paced", "quota_spent", "half_open", "breaker_open") and not d.breaker.hung
        ]
        return [candidate for _, candidate in sorted(found, key=lambda pair: pair[0])]

    def soonest(self) -> float:
        """The earliest time on the clock at which an excluded one may return; inf without any."""
        return min((until for _, _, until in self.blocked), default=inf)

    def _expects(self, d: Deployment) -> tuple[float, float]:
        """Idle seconds and cost there."""
        seconds = d.first + self.prompt * d.prefill + self.answer * d.token
        return seconds, (self.prompt * d.candidate.price_in + self.answer * d.candidate.price_out) * d.price

    def _excludes(self, d: Deployment, tokens: float, now: float) -> bool:
        why, until = d.gate(now, tokens) if d.guarded else ("", now)
        if not why and d.in_flight >= d.limit:
            why, until = "at_max_concurrency", now
        if not why:
            if d.breaker.state == RAMP:
                self.ramping.append((len(self.deployments), d.breaker.ramp))
            toll = d.quota.toll
            if toll is not None and toll.price > 0.0:
                self.tolls.append((len(self.deployments), toll.price))
            return False
        if why == "half_open" and d.breaker.probe_free(now):
            self.half_open += (d,)
        self.excluded[d.key] = f"{why} for {until - now:.1f} s" if until > now else why
        self.blocked.append((d, why, until))
        return True
