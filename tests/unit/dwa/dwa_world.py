"""A small world on a fake clock: hosts with scripted behaviour, requests at a steady rate, answers in due time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from math import exp
from random import Random

from dwa import BALANCED, Balancer, Candidate, Objective, Params, Ranking, Shape, Ticket
from dwa.deployment import Deployment


@dataclass
class Host:
    """One simulated deployment; change its fields while the world runs."""

    candidate: Candidate
    seconds: float = 1.0
    spread: float = 0.2
    fails: float = 0.0
    hangs: bool = False
    refuses: float | None = None
    """Retry-After of its refusals; None: does not refuse."""
    timeout: float = 30.0


class World:
    """Drives a balancer; `first` records (time, key, reason) of every ranking."""

    def __init__(
        self,
        hosts: Iterable[Host] = (),
        *,
        seed: int = 7,
        params: Params | None = None,
        objective: Objective = BALANCED,
    ) -> None:
        self.now = 1000.0
        self.rng = Random(seed)
        self.balancer = Balancer(params, clock=lambda: self.now, rng=Random(seed + 1))
        self.hosts = {host.candidate.key: host for host in hosts}
        self.objective = objective
        self.first: list[tuple[float, str, str]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    @property
    def candidates(self) -> list[Candidate]:
        return [host.candidate for host in self.hosts.values()]

    def rank(self, **options: object) -> Ranking:
        return self.balancer.rank(self.candidates, Shape(1000), **options)  # pyright: ignore[reportArgumentType] - forwarded

    def teach(self, key: str, seconds: float, answers: int = 1, *, output: int = 100) -> None:
        """Answers of one host, one after the other."""
        for _ in range(answers):
            ticket = self.begin(key)
            self.now += seconds
            ticket.success(1000, output, None)

    def fail(self, key: str, seconds: float, failures: int = 1, *, caller_saw: bool = False) -> None:
        for _ in range(failures):
            ticket = self.begin(key)
            self.now += seconds
            ticket.failure("overloaded", caller_saw=caller_saw)

    def begin(self, key: str, after: Ticket | None = None) -> Ticket:
        candidate = self.hosts[key].candidate if key in self.hosts else Candidate(key)
        return self.balancer.begin(candidate, Shape(1000), after=after)

    def weights(self) -> dict[str, float]:
        return self.balancer.weights(self.candidates, Shape(1000), self.objective)

    def at(self, when: float, act: Callable[[], None]) -> None:
        heappush(self._events, (when, next(self._order), act))

    def run(self, seconds: float, rate: float = 20.0) -> Counter[str]:
        """Let requests come for a while; returns how many each host was asked first."""
        start = self.now
        seen = len(self.first)
        for i in range(int(seconds * rate)):
            self.at(start + i / rate, self._arrive)
        end = start + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, act = heappop(self._events)
            act()
        self.now = end
        return Counter(key for _, key, _ in self.first[seen:])

    def _arrive(self) -> None:
        ranking = self.balancer.rank(self.candidates, Shape(1000), objective=self.objective)
        if ranking.candidates:
            key = ranking.candidates[0].key
            self.first.append((self.now, key, ranking.reason))
            self._send(key)

    def _send(self, key: str) -> None:
        host, ticket = self.hosts[key], self.begin(key)
        if host.refuses is not None:
            wait = host.refuses
            self.at(self.now + 0.05, lambda: ticket.throttled(wait))
        elif host.hangs:
            self.at(self.now + host.timeout, lambda: ticket.failure("timed_out"))
        elif self.rng.random() < host.fails:
            self.at(self.now + 0.1, lambda: ticket.failure("overloaded"))
        else:
            took = host.seconds * exp(self.rng.gauss(0.0, host.spread))
            self.at(self.now + took, lambda: ticket.success(1000, 100, None))


def pair(*, price_out: float = 4e-6) -> World:
    """Two hosts, alike but for the output price of the second."""
    return World([Host(Candidate("a/m", 1e-6, 4e-6)), Host(Candidate("b/m", 1e-6, price_out))])


class Fleet:
    """Worlds of the same hosts on one clock, which exchange when told to."""

    def __init__(self, count: int, names: str = "abc", *, worlds: Sequence[World] = ()) -> None:
        self.worlds = worlds or [
            World([Host(Candidate(f"{name}/m")) for name in names], seed=place) for place in range(count)
        ]
        self.replicas = [world.balancer.join(f"r{place}") for place, world in enumerate(self.worlds)]
        for world in self.worlds:
            world.rank()
        self.exchange()

    @property
    def now(self) -> float:
        return self.worlds[0].now

    def wait(self, seconds: float) -> None:
        for world in self.worlds:
            world.now += seconds

    def told(self) -> dict[str, dict[str, object]]:
        """What all say, through a serialisation."""
        return {one.name: json.loads(json.dumps(one.tell(100.0))) for one in self.replicas}

    def exchange(self) -> None:
        told = self.told()
        for one in self.replicas:
            one.hear(told, 100.0)


def host(world: World, key: str) -> Deployment:
    return world.balancer._deployments[key]


def shared(world: World) -> float:
    """The learned probability that hosts fail together."""
    return world.balancer._together.rate(world.now)
