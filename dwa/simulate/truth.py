"""J*_p = (1-e)(w·L + w·C + w·(1-q) + w_err·cut) + e·(w·t_fail + J_next) + w_err·e·e_next·e_third.

What a request may be expected to lose at a host whose momentary state is known and whose noise is not: the yardstick of
the oracle, of the roles in scenarios ("1st" is the best host), and of what counts as exploration. The length of the
answer is not the host's state and nobody knows it beforehand: here it is the true mean of the request's kind.

L_ref and C_ref are the seconds and dollars of the scenario's mean request at its median host, at the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dwa.objective import Objective
from dwa.simulate.hosts import Host
from dwa.simulate.traffic import KINDS, Traffic

FIRST_TIMEOUT_S = 15.0
"""A host that says nothing for so long has failed."""
WHOLE_TIMEOUT_S = 120.0
"""An answer that takes longer is given up."""


@dataclass(frozen=True, slots=True)
class Yardstick:
    """Turns seconds, dollars and failures into loss, for one scenario."""

    objective: Objective
    seconds: float
    """L_ref."""
    dollars: float
    """C_ref."""

    @classmethod
    def of(cls, objective: Objective, hosts: Sequence[Host], traffic: Traffic) -> Yardstick:
        """References of the median host for the mean request of the traffic."""
        prompt, answer = typical(traffic)
        seconds = sorted(host.seconds(prompt, answer) for host in hosts)
        dollars = sorted(host.dollars(prompt, answer) for host in hosts)
        return cls(objective, seconds[len(hosts) // 2], dollars[len(hosts) // 2] or 1.0)

    def loss(self, seconds: float, dollars: float, quality: float, *, seen: bool) -> float:
        """What one request lost; `seen`: the caller met a failure, and no answer had a quality."""
        objective = self.objective
        loss = objective.latency * seconds / self.seconds + objective.cost * dollars / self.dollars
        return loss + (objective.errors if seen else objective.quality * (1.0 - quality))

    def expected(
        self, hosts: Sequence[Host], crowds: Sequence[float], prompt: float, answer: float, spent: Sequence[bool] = ()
    ) -> list[float]:
        """J* of each host. `crowds` are slow-downs, 1 when idle; `spent` those that would refuse."""
        objective = self.objective
        worths = [
            objective.latency * host.seconds(prompt, answer) * crowd / self.seconds
            + objective.cost * host.dollars(prompt, answer) / self.dollars
            + objective.quality * (1.0 - host.quality)
            + objective.errors * host.cuts
            for host, crowd in zip(hosts, crowds, strict=True)
        ]
        fails = [_fails(host) for host in hosts]
        if spent:
            fails = [1.0 if out else share for share, out in zip(fails, spent, strict=True)]
        wastes = [objective.latency * _waste(host) / self.seconds for host in hosts]
        naive = [w + e * (t + 1.0) for w, e, t in zip(worths, fails, wastes, strict=True)]
        order = sorted(range(len(hosts)), key=naive.__getitem__)
        found: list[float] = []
        for i, worth in enumerate(worths):
            others = [j for j in order if j != i][:2]
            alternative = naive[others[0]] if others else worth
            seen = fails[i]
            for j in others:
                seen *= fails[j]
            risk = fails[i]
            found.append((1.0 - risk) * worth + risk * (wastes[i] + alternative) + objective.errors * seen)
        return found


def typical(traffic: Traffic) -> tuple[float, float]:
    """Mean tokens of prompt and answer."""
    total = sum(share for _, share in traffic.mix)
    prompt = sum(share * KINDS[name].prompt.mean() for name, share in traffic.mix) / total
    answer = sum(share * KINDS[name].answer.mean() for name, share in traffic.mix) / total
    return prompt, answer


def _fails(host: Host) -> float:
    if host.dead or not host.present:
        return 1.0
    return min(host.hangs + host.fails, 1.0)


def _waste(host: Host) -> float:
    if host.dead or not host.hangs:
        return host.fail_s
    return (host.hangs * FIRST_TIMEOUT_S + host.fails * host.fail_s) / (host.hangs + host.fails)
