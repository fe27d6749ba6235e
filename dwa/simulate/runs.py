"""Scenario x policy x seed → numbers. Every policy of a seed meets the same world, the same requests and the same luck.

`play` is one run, `compare` all policies of one scenario and seed (the unit of work that is spread over processes),
`pool` what the seeds of one scenario say together. The oracle and chance always run along: the gap needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from math import isnan, nan
from multiprocessing import get_context
from random import Random

from dwa.params import Params
from dwa.simulate.hedging import HedgedSimulation
from dwa.simulate.measure import gap_closed, interval, jain, quantile, time_to_leave, time_to_return
from dwa.simulate.oracle import Oracle
from dwa.simulate.physics import Line, Row, Simulation, World
from dwa.simulate.policy import Hedging, Ours, Policy, Setting
from dwa.simulate.rivals import RIVALS
from dwa.simulate.scenarios import SCENARIOS, Scenario, roles
from dwa.simulate.truth import typical

OURS, HEDGED, ORACLE, CHANCE = "dwa", "dwa_hedged", "oracle", "random"
OWN = (OURS, HEDGED)
POLICIES: tuple[str, ...] = (*OWN, *RIVALS, ORACLE)
DEAR = 1.1
"""A first choice counts as exploration when its true expected loss is so many times the best one's."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """One run. Seconds, USD per request, shares 0..1; nan where the question does not arise."""

    requests: int
    loss: float
    p50: float
    p95: float
    p99: float
    seen: float
    """Share of requests whose caller met a failure."""
    cost: float
    dear: float
    """Share of first choices at hosts dearer than they need be."""
    leave_s: float
    return_s: float
    fairness: float


def builder(name: str, params: Params | None = None) -> Callable[[Setting, Sequence[Line]], Policy]:
    """What makes the policy of that name. ValueError for a name that is none."""
    if name == OURS:
        return lambda setting, _: Ours(setting, params)
    if name == HEDGED:
        return lambda setting, _: Hedging(setting, params)
    if name == ORACLE:
        return Oracle
    if name not in RIVALS:
        raise ValueError(f"no policy {name!r}; there are {', '.join(POLICIES)}")
    maker = RIVALS[name]
    return lambda setting, _: maker(setting)


def play(world: World, policy: str, seed: int, params: Params | None = None) -> list[Row]:
    """One run, rows in order of arrival; the same every time."""
    simulate = HedgedSimulation if policy == HEDGED else Simulation
    return sorted(simulate(world, builder(policy, params), seed).run())


def numbers(scenario: Scenario, world: World, rows: Sequence[Row]) -> Numbers:
    """What one run amounts to. `rows` in order of arrival."""
    count = max(len(rows), 1)
    seconds = [row.seconds for row in rows]
    leave, back = _watched(scenario, world, rows)
    return Numbers(
        requests=len(rows),
        loss=sum(row.loss for row in rows) / count,
        p50=quantile(seconds, 0.50),
        p95=quantile(seconds, 0.95),
        p99=quantile(seconds, 0.99),
        seen=sum(row.seen for row in rows) / count,
        cost=sum(row.cost for row in rows) / count,
        dear=_dear(scenario, world, rows) / count,
        leave_s=leave,
        return_s=back,
        fairness=_fairness(scenario, world, rows),
    )


def compare(name: str, policies: Sequence[str], seed: int, seconds: float | None = None) -> dict[str, Numbers]:
    """The numbers of these policies, oracle and chance, on one seed of one scenario."""
    scenario = SCENARIOS[name].of(seed)
    world = scenario.world(seed, seconds)
    wanted = dict.fromkeys((*policies, ORACLE, CHANCE))
    return {policy: numbers(scenario, world, play(world, policy, seed)) for policy in wanted}


def compare_all(
    names: Sequence[str], policies: Sequence[str], seeds: Sequence[int], *, seconds: float | None, workers: int
) -> Iterator[tuple[str, int, dict[str, Numbers]]]:
    """`compare` for every scenario and seed as they get ready: (scenario, seed, numbers)."""
    jobs = [(name, seed) for name in names for seed in seeds]
    if workers <= 1:
        for name, seed in jobs:
            yield name, seed, compare(name, policies, seed, seconds)
        return
    # Spawned, not forked: a fork of a process with a progress thread may inherit a held lock.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(compare, name, policies, seed, seconds): (name, seed) for name, seed in jobs}
        for done in as_completed(running):
            name, seed = running[done]
            yield name, seed, done.result()


@dataclass(frozen=True, slots=True)
class Pooled:
    """A policy in a scenario, all seeds together."""

    policy: str
    gap: float
    low: float
    high: float
    mean: Numbers
    """Means over seeds; times to leave and to return over those seeds where they arose."""
    wasted: float
    """Exploration: first choices dearer than need be, beyond the oracle's own (limits and knees force some)."""


def pool(by_seed: Mapping[int, Mapping[str, Numbers]]) -> dict[str, Pooled]:
    """What the seeds of one scenario say together, policy by policy."""
    seeds = sorted(by_seed)
    chance = [by_seed[seed][CHANCE].loss for seed in seeds]
    oracle = [by_seed[seed][ORACLE].loss for seed in seeds]
    forced = _mean([by_seed[seed][ORACLE].dear for seed in seeds])
    found: dict[str, Pooled] = {}
    for policy in by_seed[seeds[0]]:
        runs = [by_seed[seed][policy] for seed in seeds]
        losses = [run.loss for run in runs]
        low, high = interval(chance, losses, oracle, Random(len(seeds)))
        mean = Numbers(
            requests=sum(run.requests for run in runs),
            loss=_mean(losses),
            p50=_mean([run.p50 for run in runs]),
            p95=_mean([run.p95 for run in runs]),
            p99=_mean([run.p99 for run in runs]),
            seen=_mean([run.seen for run in runs]),
            cost=_mean([run.cost for run in runs]),
            dear=_mean([run.dear for run in runs]),
            leave_s=_mean([run.leave_s for run in runs]),
            return_s=_mean([run.return_s for run in runs]),
            fairness=_mean([run.fairness for run in runs]),
        )
        wasted = max(mean.dear - forced, 0.0)
        found[policy] = Pooled(policy, gap_closed(chance, losses, oracle), low, high, mean, wasted)
    return found


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not isnan(value)]
    return sum(known) / len(known) if known else nan


def _watched(scenario: Scenario, world: World, rows: Sequence[Row]) -> tuple[float, float]:
    watch = scenario.watch
    if watch is None:
        return nan, nan
    host = roles(world.hosts, world.yardstick, scenario.traffic, watch.who)[0]
    choices = [(row.at, row.first) for row in rows]
    leave = time_to_leave(choices, host, watch.broken_at)
    back = time_to_return(choices, host, watch.broken_at, watch.back_at)
    return (nan if leave is None else leave), (nan if back is None else back)


def _fairness(scenario: Scenario, world: World, rows: Sequence[Row]) -> float:
    if not scenario.equals:
        return nan
    places = [place for place, host in enumerate(world.hosts) if host.name in scenario.equals]
    return jain([float(sum(row.first == place for row in rows)) for place in places])


def _dear(scenario: Scenario, world: World, rows: Sequence[Row]) -> int:
    prompt, answer = typical(scenario.traffic)
    hosts = list(world.hosts)
    idle = [1.0] * len(hosts)
    dear = _dear_places(world.yardstick.expected(hosts, idle, prompt, answer))
    count = turn = 0
    timeline = world.timeline
    for row in rows:
        if turn < len(timeline) and timeline[turn][0] <= row.at:
            while turn < len(timeline) and timeline[turn][0] <= row.at:
                hosts[timeline[turn][1]] = timeline[turn][2]
                turn += 1
            dear = _dear_places(world.yardstick.expected(hosts, idle, prompt, answer))
        count += row.first in dear
    return count


def _dear_places(losses: Sequence[float]) -> set[int]:
    best = min(losses)
    return {place for place, loss in enumerate(losses) if loss > DEAR * best}
