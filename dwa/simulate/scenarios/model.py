"""A scenario: hosts, traffic, an objective, and changes addressed to roles; with a seed it becomes a world.

Roles are resolved per seed, after every host's speed and price were moved by up to some fifteen percent: "1st" is the
host of least expected loss at the start, "2nd" the next, "last" the worst, "all" everyone. So an outage always hits
whoever is best, and no policy can be tuned to a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import exp
from random import Random

from dwa.objective import BALANCED, Objective
from dwa.simulate.hosts import FIVE, Change, Host
from dwa.simulate.physics import World
from dwa.simulate.traffic import Sized, Traffic
from dwa.simulate.truth import Yardstick, typical


@dataclass(frozen=True, slots=True)
class Watch:
    """A host that breaks and comes back: what the times to leave and to return are measured on."""

    who: str
    broken_at: float
    back_at: float


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing to withstand."""

    name: str
    asks: str
    """One sentence."""
    hosts: tuple[Host, ...] = FIVE
    changes: tuple[Change, ...] = ()
    traffic: Traffic = field(default_factory=Traffic)
    objective: Objective = BALANCED
    seconds: float = 400.0
    replicas: int = 1
    late_s: float | None = None
    """How late replicas hear of each other, beyond the second between two exchanges; None: not at all."""
    spread: float = 0.15
    """s.d. of the log by which speeds and prices differ from seed to seed."""
    bar: float | None = None
    """Gap closed, in percent, that issue 3 asks for; None where it asks for none."""
    holdout: bool = False
    """Not looked at while tuning."""
    watch: Watch | None = None
    equals: tuple[str, ...] = ()
    """Names of hosts that are equal and should get equal shares."""

    def of(self, seed: int) -> Scenario:
        """What is played under this seed: itself, but where worlds are drawn."""
        return self

    def world(self, seed: int, seconds: float | None = None) -> World:
        """The world of one seed; the same every time. `seconds` cuts or stretches the run."""
        rng = Random(seed * 7919 + sum(self.name.encode()))
        hosts = [self._moved(host, rng) for host in self.hosts]
        rng.shuffle(hosts)
        yardstick = Yardstick.of(self.objective, hosts, self.traffic)
        length = self.seconds if seconds is None else seconds
        requests = self.traffic.requests(length, self.replicas, rng)
        shapes = [(one, Sized(one.prompt, stream=one.stream, kind=one.kind)) for one in requests]
        timeline = self._timeline(hosts, yardstick)
        return World(tuple(hosts), timeline, shapes, yardstick, self.replicas, length, self.late_s)

    def _moved(self, host: Host, rng: Random) -> Host:
        if not self.spread:
            return host
        speed = exp(rng.gauss(0, self.spread))
        price = exp(rng.gauss(0, self.spread))
        return replace(
            host,
            first_token_s=host.first_token_s * exp(rng.gauss(0, self.spread)),
            token_s=host.token_s * speed,
            price_in=host.price_in * price,
            price_out=host.price_out * price,
        )

    def _timeline(self, hosts: Sequence[Host], yardstick: Yardstick) -> tuple[tuple[float, int, Host], ...]:
        now = list(hosts)
        found: list[tuple[float, int, Host]] = []
        for change in sorted(self.changes, key=lambda change: change.at):
            other = None
            if change.like is not None:
                other = hosts[roles(hosts, yardstick, self.traffic, change.like)[0]]
            for place in roles(hosts, yardstick, self.traffic, change.who):
                now[place] = change.apply(now[place], hosts[place], other)
                found.append((change.at, place, now[place]))
        return tuple(found)


def roles(hosts: Sequence[Host], yardstick: Yardstick, traffic: Traffic, who: str) -> list[int]:
    """The positions a role or a host's name stands for. ValueError when nobody is meant."""
    if who == "all":
        return list(range(len(hosts)))
    named = [place for place, host in enumerate(hosts) if host.name == who]
    if named:
        return named
    losses = yardstick.expected(hosts, [1.0] * len(hosts), *typical(traffic))
    order = sorted(range(len(hosts)), key=losses.__getitem__)
    ranks = {"1st": 0, "2nd": 1, "3rd": 2, "4th": 3, "last": len(hosts) - 1}
    if who not in ranks or ranks[who] >= len(hosts):
        raise ValueError(f"no host {who!r}; a name, all, or one of {', '.join(ranks)}")
    return [order[ranks[who]]]
