"""`make bench-picking`: what the DWA's choices and books cost, what a deployment takes, how fast the simulator is.

No gateway, no socket: deployments that have been learned about, on a clock that moves a millisecond with each request,
as under a thousand requests a second. Each figure is the median of rounds; the quickest stands beside it, since what
others do to the machine only ever adds.
"""

from __future__ import annotations

import gc
import random
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.processes import keep_off_measured_core, prepare
from dwa import Balancer, Candidate, Shape
from dwa.native import is_compiled
from dwa.simulate import OURS, SCENARIOS, play

#: Seconds from one request to the next, and of an answer.
_STEP, _ANSWER = 0.001, 0.3
_SHAPE = Shape(500, 300, route="m")
_ROUNDS, _PICKS, _LEARNT = 9, 2_000, 20
_PLAYED = ("stationary_balanced", "mixed_day", "outage_hanging")


class World:
    """So many deployments, each learned about."""

    def __init__(self, size: int, shape: Shape = _SHAPE) -> None:
        self.now = 0.0
        self._shape = shape
        self.balancer = Balancer(clock=lambda: self.now, rng=random.Random(1))
        self.candidates = [Candidate(f"p{n}/m", (1 + n % 7) * 1e-6, (1 + n % 5) * 3e-6) for n in range(size)]
        for number in range(_LEARNT * size):
            self.serve(number)

    def pick(self, _: int) -> None:
        """One choice."""
        self.now += _STEP
        self.balancer.rank(self.candidates, _SHAPE)

    def serve(self, number: int) -> None:
        """One attempt, from its beginning to what is learned from it."""
        self.now += _STEP
        ticket = self.balancer.begin(self.candidates[number % len(self.candidates)], self._shape)
        self.now += _ANSWER / 2
        if self._shape.stream:
            ticket.first_token()
        self.now += _ANSWER / 2
        ticket.success(500, 200, 0.001, 0)


def microseconds(work: Callable[[int], None]) -> tuple[float, float]:
    """Of one turn: the median of the rounds, and the quickest."""
    found: list[float] = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        for number in range(_PICKS):
            work(number)
        found.append((time.perf_counter() - began) / _PICKS * 1e6)
    return median(found), min(found)


def kilobytes(stream: bool) -> float:
    """Of memory that a deployment takes once it is learned about, its candidate included."""
    shape = replace(_SHAPE, stream=stream)

    def taken(size: int) -> int:
        tracemalloc.start()
        world = World(size, shape)
        gc.collect()
        found, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return found if world.candidates else 0

    few, many = 20, 120
    return (taken(many) - taken(few)) / (many - few) / 1000


def decisions(scenario: str) -> float:
    """Requests a second that the simulator plays with our balancer, in seconds of CPU."""
    world = SCENARIOS[scenario].world(3)
    began = time.process_time()
    return len(play(world, OURS, 3)) / (time.process_time() - began)


def main() -> None:
    """Measure and print."""
    if len(sys.argv) > 1:
        sys.exit(f"{__doc__}\nIt takes no flags.")
    prepare()
    Console().print(f"The DWA is {'compiled' if is_compiled() else 'interpreted'}.")
    keep_off_measured_core()
    ten, hundred = World(10), World(100)
    rows = {
        "choice among 10": ten.pick,
        "choice among 100": hundred.pick,
        "an attempt begun and learned from": ten.serve,
    }
    table = Table("µs", "median", "quickest")
    for name, work in rows.items():
        table.add_row(name, *(f"{figure:.1f}" for figure in microseconds(work)))
    Console().print(table)
    whole, streams = kilobytes(False), kilobytes(True)
    Console().print(f"A deployment takes {whole:.1f} kB, one with streams {streams:.1f}.")
    played = " / ".join(f"{decisions(name):,.0f} ({name})" for name in _PLAYED)
    Console().print(f"Decisions a second in the simulator: {played}.")


if __name__ == "__main__":
    main()
