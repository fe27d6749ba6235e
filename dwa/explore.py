"""Look again every τ = √(2·regret / (hazard·gain·λ)) seconds; all looks together at most 1 % of the requests.

A deployment that gets no traffic may have become better and nobody would know. A look costs its regret r = J - J_best
once; not looking costs, with hazard h per second that it has changed by now, a gain g on each of λ requests a second
until the next look. Looking every τ costs r/τ + h·g·λ·τ/2 per second, least at the τ above: dear losers are looked at
seldom, near misses often, and busy gateways look sooner because they have more to win.

Why a schedule and not chance or optimism: ε-greedy spends alike on the hopeless and the promising, and optimism
(subtract one s.d., growing with silence) looks at the wrong moment, with whatever request comes by. A look that is due
can wait a little for a *small* request, which costs a fraction and tells nearly as much.

- g is what it could win if its latency halved and its failures ended, not less than 2 % of the best: never zero, so
  nobody is forgotten. One that has become slower could be back at what it was, and the likelier the less time has
  passed since (`fall.py`).
- Looks are paid from a purse that fills by 1 % per request. A change anywhere (a breaker moved, a run of surprises)
  fills it up: where one thing changed others may have. Whoever fell is looked at on credit.
- Strangers get 4 looks at once, in turns, so that the answers of all come back early; and one more whenever none is
  under way, up to 12 answers, while their bad start may have been bad luck; unless price alone makes them hopeless. A
  look that surprises by 1.5 s.d. brings two more at once. (One more every half second, under way or not, was tried:
  whoever is slow to answer got the most of them.)
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, sqrt
from typing import TYPE_CHECKING

from dwa.fall import hazard
from dwa.latency import TYPICAL_PROMPT
from dwa.params import Params
from dwa.reach import Reach

if TYPE_CHECKING:
    from dwa.deployment import Deployment

GAIN_FLOOR = 0.02
"""Least gain, share of the best loss. Doubled: hopeless ones 1.4 times as often; halved: 0.7 times."""
NEAR = 1.03
"""Loss, in bests, up to which ordinary sharing gives enough traffic. Doubled: losers unseen; halved: wasted looks."""
SMALL = 0.6
"""Size, in typical requests, that a look accepts when it is just due, growing with the delay. Doubled: takes any
request; halved: waits too long."""
RETRY_S = 0.2
"""s until an unaffordable look is considered again. Doubled or halved: no difference."""
RATE_WINDOW_S = 20.0
"""s over which λ is measured. Doubled: slow to see a rush; halved: jumpy pauses."""
TYPICAL_GAIN = 0.02
"""Weight of one request in what is typical. Doubled or halved: no difference in a steady mix."""
TOGETHER_S = 30.0
"""s within which two deployments that fall silent are thought to do so for the same cause. Doubled: two hangs in a
minute are taken for a stall; halved: a stall that spreads slowly is taken for hangs."""


class Traffic:
    """What all deployments share: how much is asked, how long it takes and how late it comes, and who fell silent."""

    __slots__ = (
        "_at",
        "_began",
        "_count",
        "_lived",
        "_silences",
        "elsewhere",
        "first_token",
        "prompt",
        "rate",
        "seconds",
        "whole",
    )

    def __init__(self, now: float) -> None:
        self._at = self._began = now
        self._count = 0.0
        self._silences: dict[str, float] = {}
        self._lived: dict[str, float] = {}
        self.rate = 1.0
        """Rankings per second."""
        self.elsewhere = 0.0
        """Those of other replicas."""
        self.first_token, self.whole = Reach(), Reach()
        """How late first tokens come, and whole answers."""
        self.seconds = 2.0
        """Typical duration of an answer."""
        self.prompt = 1000.0
        """Typical prompt tokens."""

    def forget(self) -> None:
        """How late answers come is unknown again."""
        self.first_token, self.whole = Reach(), Reach()

    def arrive(self, now: float, prompt: int) -> None:
        """A ranking was asked for, for a prompt of so many tokens."""
        self.prompt += TYPICAL_GAIN * (prompt - self.prompt)
        self._count = self._count * exp((self._at - now) / RATE_WINDOW_S) + 1.0
        self._at = now
        # Until one window has passed the count is divided by what has passed, or a start would look like a lull.
        passed = now - self._began + 1.0
        self.rate = self._count / (passed if passed < RATE_WINDOW_S else RATE_WINDOW_S)

    @property
    def everywhere(self) -> float:
        """Rankings per second, other replicas included."""
        return self.rate + self.elsewhere

    def answered(self, seconds: float) -> None:
        """An answer took this long."""
        self.seconds += TYPICAL_GAIN * (seconds - self.seconds)

    def lived(self, key: str, dispatched: float) -> None:
        """A deployment showed life by a request of that time, its youngest yet."""
        self._lived[key] = dispatched

    def others_lived(self, key: str) -> float:
        """When the youngest request was dispatched by which another one showed life."""
        return max((at for other, at in self._lived.items() if other != key), default=-inf)

    def fell_silent(self, key: str, now: float) -> None:
        """A deployment is silent for so long that it may hang."""
        self._silences = {other: at for other, at in self._silences.items() if now - at < TOGETHER_S}
        self._silences[key] = now

    def others_silent(self, key: str, now: float) -> bool:
        """Whether another one may hang, now or just now."""
        return any(other != key and now - at < TOGETHER_S for other, at in self._silences.items())


class Explorer:
    """Decides which request is spent on which look."""

    __slots__ = ("_params", "_traffic", "purse")

    def __init__(self, params: Params, traffic: Traffic) -> None:
        self._params = params
        self._traffic = traffic
        self.purse = params.explore_burst
        """Looks that may be made now; may go below zero by urgent ones."""

    def earn(self) -> None:
        """A request came."""
        saved, full = self.purse + self._params.explore_cap, self._params.explore_burst
        self.purse = saved if saved < full else full

    def excite(self) -> None:
        """The world changed somewhere."""
        self.purse = self._params.explore_burst

    def pick(
        self,
        now: float,
        due: Sequence[int],
        deployments: Sequence[Deployment],
        losses: Sequence[float],
        hopes: Sequence[float],
        best: float,
        size: float,
    ) -> int | None:
        """The index of the deployment this request should look at, if any.

        `due` are the indices whose time may have come, `hopes` what a lucky change may take off each loss, `best` the
        least loss, `size` the request's size in typical requests.
        """
        chosen: int | None = None
        most = 0.0
        fewest = 0
        for i in due:
            urgency = self._urgency(now, deployments[i], losses[i], hopes[i], best, size)
            # Of several that are urgent the one least seen: a turn each tells more than four turns of one.
            turn = deployments[i].sent
            if urgency > most or (urgency == most > 0.0 and turn < fewest):
                chosen, most, fewest = i, urgency, turn
        if chosen is not None:
            self._pay(now, deployments[chosen])
        return chosen

    def _pay(self, now: float, deployment: Deployment) -> None:
        self.purse = max(self.purse - 1.0, -self._params.explore_burst)
        if deployment.bonus:
            deployment.bonus -= 1
        deployment.look_pending = True
        deployment.sent_at = now

    def _urgency(self, now: float, deployment: Deployment, loss: float, hope: float, best: float, size: float) -> float:
        """0: not now; inf: at once; else how overdue, in intervals."""
        params = self._params
        if deployment.bonus and self.purse > -params.explore_burst:
            return inf
        if loss - 2.0 * hope < best:
            if deployment.sent < params.early_looks:
                return inf
            if self._unproven(now, deployment, loss, hope, best):
                rested = now - deployment.sent_at >= params.early_every_s
                return inf if rested and not deployment.in_flight else 0.0
        if loss <= best * NEAR:
            deployment.look_at = now + RETRY_S
            return 0.0
        fall = deployment.latency.fall
        interval = self.interval(loss, hope, best, hazard(fall, now, params.hazard))
        due_at = deployment.sent_at + interval
        if now < due_at:
            deployment.look_at = due_at
            return 0.0
        if self.purse < (1.0 if fall is None else 1.0 - params.explore_burst):
            deployment.look_at = now + RETRY_S
            return 0.0
        overdue = (now - deployment.sent_at) / interval
        return overdue if size <= SMALL * overdue else 0.0

    def interval(self, loss: float, hope: float, best: float, chance: float) -> float:
        """Seconds between two looks at a deployment of this loss; `chance` per second, that it has changed."""
        floor = max(best, 1e-9)
        regret = max(loss - best, 0.01 * floor)
        gain = max(GAIN_FLOOR * floor, best - (loss - hope))
        return sqrt(2.0 * regret / (chance * gain * self._traffic.everywhere))

    def _unproven(self, now: float, deployment: Deployment, loss: float, hope: float, best: float) -> bool:
        latency = deployment.latency
        if latency.seen >= self._params.early_limit:
            return False
        doubt = latency.doubt(now, TYPICAL_PROMPT, self._params.output_tokens)
        return loss - 2.0 * hope * min(doubt, 1.0) < best
