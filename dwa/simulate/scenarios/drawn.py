"""Worlds that nobody thought of: hosts, traffic, objective and incidents are drawn, another world for each seed.

Scenarios ask what somebody feared. Six hundred drawn worlds showed what nobody had: a breaker that opened by chance at
forty requests a second, a best host left alone for ten minutes after half a minute of trouble, a rate limit of which
half was left unused. They are kept as scenarios, so that the next such fault is met before a gateway meets it.

Speeds and prices are drawn log-uniformly from within the measurements that `hosts.py` gives, hosts alike now and then;
up to four incidents may overlap, and hit the best host three times as often as another. Some worlds have more traffic
than their hosts can bear, and in some all hosts are nearly alike, so single worlds mean little: their mean does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp, inf, log
from random import Random

from dwa.objective import BALANCED, CHEAPEST, FASTEST, RELIABLE
from dwa.simulate.hosts import Change, Headers, Host, drift
from dwa.simulate.physics import World
from dwa.simulate.scenarios.model import Scenario
from dwa.simulate.traffic import Surge, Traffic

REQUESTS = 6000
"""About how many a world has; more where 300 s bring more, fewer where 2400 s bring fewer."""
SHORTEST_S, LONGEST_S = 300.0, 2400.0
MIXES = (
    (("chat", 1.0),),
    (("chat", 0.7), ("code", 0.3)),
    (("chat", 0.5), ("code", 0.3), ("long", 0.2)),
    (("code", 1.0),),
)
Incident = Callable[[Random, float], tuple[dict[str, float | bool], dict[str, float], dict[str, float]]]
"""Of a generator and the traffic's rate: fields put, fields scaled, and fields scaled when it is over."""


def _between(rng: Random, least: float, most: float) -> float:
    return exp(rng.uniform(log(least), log(most)))


def _slower(rng: Random, *fields: str) -> tuple[dict[str, float | bool], dict[str, float], dict[str, float]]:
    factor = _between(rng, 1.3, 10.0)
    return {}, dict.fromkeys(fields, factor), dict.fromkeys(fields, 1.0)


INCIDENTS: tuple[Incident, ...] = (
    lambda _rng, _rate: ({"dead": True}, {}, {"dead": 1.0}),
    lambda _rng, _rate: ({"hangs": 1.0}, {}, {"hangs": 1.0}),
    lambda rng, _rate: ({"hangs": rng.uniform(0.05, 0.5)}, {}, {"hangs": 1.0}),
    lambda rng, _rate: ({"fails": rng.uniform(0.05, 0.8)}, {}, {"fails": 1.0}),
    lambda rng, _rate: ({"cuts": rng.uniform(0.01, 0.2)}, {}, {"cuts": 1.0}),
    lambda rng, _rate: ({"straggle": rng.uniform(0.03, 0.3)}, {}, {"straggle": 1.0}),
    lambda rng, rate: ({"knee": max(2.0, rate * _between(rng, 0.2, 1.5))}, {}, {"knee": 1.0}),
    lambda rng, _rate: _slower(rng, "first_token_s", "token_s"),
    lambda rng, _rate: _slower(rng, "first_token_s"),
)


@dataclass(frozen=True, slots=True)
class Drawn(Scenario):
    """A family of worlds. `of` is the scenario of one seed."""

    limited: bool = False
    """Whether some of the hosts admit only so many requests a second."""

    def of(self, seed: int) -> Scenario:
        """What is drawn for this seed: the same every time."""
        rng = Random(f"{self.name} {seed}")
        rate = _between(rng, 0.3, 40.0)
        seconds = min(max(REQUESTS / rate, SHORTEST_S), LONGEST_S)
        hosts = self._hosts(rng, rate)
        return replace(
            self,
            hosts=hosts,
            changes=_changes(rng, len(hosts), rate, seconds),
            traffic=_traffic(rng, rate, seconds),
            objective=rng.choice((BALANCED, BALANCED, FASTEST, CHEAPEST, RELIABLE)),
            seconds=seconds,
        )

    def world(self, seed: int, seconds: float | None = None) -> World:
        """As of every scenario."""
        # By name: a dataclass with slots is made anew, and `super()` would mean the one before.
        return Scenario.world(self.of(seed), seed, seconds)

    def _hosts(self, rng: Random, rate: float) -> tuple[Host, ...]:
        crowded = rng.random() < 0.3
        found: list[Host] = []
        for place in range(rng.choice((2, 3, 3, 4, 5, 5, 6, 8, 12))):
            if found and rng.random() < 0.15:
                found.append(replace(found[-1], name=f"drawn_{place}"))
                continue
            price = _between(rng, 0.13, 2.65) * 1e-6
            host = Host(
                f"drawn_{place}",
                _between(rng, 0.13, 0.83),
                1.0 / _between(rng, 16.0, 180.0),
                price,
                price * rng.uniform(1.0, 3.0),
                _between(rng, 1e-5, 1e-4),
                first_sd=rng.uniform(0.07, 0.55),
                token_sd=rng.uniform(0.04, 0.3),
                straggle=rng.choice((0.0, 0.01, 0.012, 0.03)),
                fails=rng.choice((0.0, 0.001, 0.005, 0.005, 0.02, 0.05)),
                fail_s=rng.choice((0.05, 0.3, 1.5)),
                cuts=rng.choice((0.0, 0.0005, 0.0005, 0.005)),
                knee=max(2.0, rate * _between(rng, 0.3, 3.0)) if crowded and rng.random() < 0.7 else inf,
            )
            if self.limited and rng.random() < 0.6:
                headers: tuple[Headers, ...] = ("retry_after", "remaining", "none")
                host = replace(host, limit=max(rate * rng.uniform(0.15, 1.0), 0.2), headers=rng.choice(headers))
            found.append(host)
        return tuple(found)


def _changes(rng: Random, hosts: int, rate: float, seconds: float) -> tuple[Change, ...]:
    others = [*("2nd", "3rd", "4th")[: hosts - 1], "last"]
    found: list[Change] = []
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4))):
        at = rng.uniform(0.1, 0.7) * seconds
        over = at + min(_between(rng, 5.0, 200.0), 0.6 * seconds)
        who = "all" if rng.random() < 0.05 else rng.choice(["1st"] * 3 + others)
        kind = rng.randrange(len(INCIDENTS) + 3)
        if kind == len(INCIDENTS):
            found += drift(at, over, who, _between(rng, 0.4, 3.0))
        elif kind > len(INCIDENTS):
            factor = _between(rng, 0.3, 3.0)
            fields = (("first_token_s", "token_s"), ("price_in", "price_out"))[kind - len(INCIDENTS) - 1]
            found.append(Change(at, who, scale=dict.fromkeys(fields, factor)))
        else:
            put, scale, end = INCIDENTS[kind](rng, rate)
            found += [Change(at, who, put, scale), Change(over, who, scale=end)]
    return tuple(found)


def _traffic(rng: Random, rate: float, seconds: float) -> Traffic:
    surges = tuple(
        Surge(rng.uniform(0.1, 0.8) * seconds, _between(rng, 5.0, 60.0), _between(rng, 1.5, 6.0))
        for _ in range(rng.choice((0, 0, 0, 1, 3)))
    )
    return Traffic(
        rate=rate,
        cv=rng.choice((1.0, 1.0, 1.0, 1.5, 3.0)),
        mix=rng.choice((MIXES[0], *MIXES)),
        surges=surges,
        day_s=rng.choice((0.0, 0.0, 0.0, seconds / 2)),
        streamed=rng.choice((0.0, 0.0, 0.5, 1.0)),
        bad=rng.choice((0.0, 0.0, 0.1)),
    )


DRAWN = (
    Drawn("drawn", "Another world for each seed, drawn at random: what happens that nobody thought of?", spread=0.0),
    Drawn("drawn_limits", "The same, and some hosts are limited, with or without headers.", spread=0.0, limited=True),
)
