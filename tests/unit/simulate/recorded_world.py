"""Logs as a gateway would have written them, of simulated worlds whose parameters are known."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from dwa import BALANCED, PRESETS, Candidate, Objective, Shape
from dwa.simulate.hosts import Host
from dwa.simulate.physics import Row, Simulation, World
from dwa.simulate.policy import CUT, FAILED, OK, REFUSED, Attempt, Ours, Setting
from dwa.simulate.recorded import Recorded, Tried
from dwa.simulate.traffic import Traffic
from dwa.simulate.truth import Yardstick

WORDS = {OK: "ok", FAILED: "overloaded", CUT: "cut", REFUSED: "throttled"}
EPOCH = 1_800_000_000.0
KEYS = ("quick/m", "sound/m", "cheap/m")
HOSTS = (
    Host(KEYS[0], 0.24, 1 / 95, 2.0e-6, 6.0e-6, fails=0.01, cuts=0.0, straggle=0.0),
    Host(KEYS[1], 0.37, 1 / 65, 0.9e-6, 2.6e-6, fails=0.01, cuts=0.0, straggle=0.0),
    Host(KEYS[2], 0.83, 1 / 34, 0.2e-6, 0.6e-6, fails=0.01, cuts=0.0, straggle=0.0),
)
KNOWN = {host.name: Candidate(host.name, host.price_in, host.price_out, priority=i) for i, host in enumerate(HOSTS)}


class Noted(Ours):
    """The balancer, with a note of every attempt by the shape of its request."""

    def __init__(self, setting: Setting, strategy: str) -> None:
        self.noted: dict[int, list[tuple[Attempt, float]]] = {}
        super().__init__(setting, strategy=strategy)

    def finish(self, attempt: Attempt, now: float) -> None:
        self.noted.setdefault(id(attempt.shape), []).append((attempt, now))
        super().finish(attempt, now)


def recorded(
    count: int,
    hosts: Sequence[Host] = HOSTS,
    *,
    strategy: str = "load_balanced",
    objective: Objective = BALANCED,
    timeline: Sequence[tuple[float, int, Host]] = (),
    rate: float = 4.0,
    seed: int = 1,
    before: int = 500,
) -> list[Recorded]:
    """The log of a balancer in front of these hosts, which had served so many requests `before` the log begins."""
    traffic = Traffic(rate=rate)
    requests = traffic.requests((count + before) / rate * 1.5, 1, Random(seed))[: count + before]
    began = requests[before].at
    timeline = [(began + at, place, host) for at, place, host in timeline]
    pairs = [(one, Shape(one.prompt, route="m")) for one in requests]
    world = World(tuple(hosts), tuple(timeline), pairs, Yardstick.of(objective, hosts, traffic), 1, requests[-1].at)
    simulation = Simulation(world, lambda setting, _: Noted(setting, strategy), seed)
    rows = {row.at: row for row in simulation.run()}
    [policy] = simulation.policies
    assert isinstance(policy, Noted)
    names = [host.name for host in hosts]
    epoch = EPOCH - began
    return [_of(rows[one.at], shape, policy, names, (strategy, objective.name), epoch) for one, shape in pairs[before:]]


def _of(row: Row, shape: Shape, policy: Noted, names: Sequence[str], under: tuple[str, str], epoch: float) -> Recorded:
    tried = tuple(
        Tried(
            names[attempt.host],
            WORDS[attempt.kind],
            epoch + attempt.started,
            now - attempt.started,
            None,
            shape.input_tokens if attempt.kind == OK else 0,
            attempt.answer,
            attempt.cost,
        )
        for attempt, now in policy.noted.get(id(shape), [])
    )
    won = row.served >= 0
    return Recorded(
        at=epoch + row.at,
        model="m",
        route=None,
        outcome="ok" if won else "error",
        blame=None if won else "provider",
        cache="bypass",
        stream=False,
        prompt=tried[-1].prompt,
        answer=tried[-1].answer,
        cost=row.cost,
        seconds=row.seconds,
        strategy=under[0],
        objective=under[1],
        candidates=tuple(names),
        attempts=tried,
    )


def plain(at: float, **facts: Any) -> Recorded:
    """One answered request of `quick/m`, changed by `facts`."""
    attempts = (Tried(KEYS[0], "ok", EPOCH + at, 1.0, None, 100, 50, 0.001),)
    usual = Recorded(
        at=EPOCH + at,
        model="m",
        route=None,
        outcome="ok",
        blame=None,
        cache="bypass",
        stream=False,
        prompt=100,
        answer=50,
        cost=0.001,
        seconds=1.0,
        strategy="load_balanced",
        objective="balanced",
        candidates=KEYS,
        attempts=attempts,
    )
    return usual._replace(**facts)


OBJECTIVES = dict(PRESETS)
