"""`make bench-curves`: does a request take longer when there is more of everything?

Three curves through the whole gateway, everything on: deployments of the model that is asked for (3 to 100), keys (10
to 100,000, a few dozen of them calling), the size of the prompt (0.2 to 400 kB). A point is measured by several
gateways, each started anew, in rounds over the whole curve, so that an hour that wavers wavers for all points alike;
each figure is the median of the rounds. The log's growth is `bench.growth`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import gateway, upstreams
from bench.arithmetic import median
from bench.certificate import certificate_in
from bench.gateway import KEY, Plan
from bench.measure import Leg, Row
from bench.processes import cost, keep_off_measured_core, prepare
from bench.workloads import BY_NAME, Workload, chat

OUT = Path("bench/out/curves.json")
#: Callers at once: alone for the latency, many for the throughput.
ALONE, MANY = 1, 32
#: Keys that call, of however many there are: their order of arrival shall not decide what is found.
CALLING = 32
console = Console(stderr=True)


@dataclass(frozen=True)
class Point:
    """One place on a curve: a gateway, and what it is asked."""

    curve: str
    size: int
    workload: Workload = BY_NAME["chat"]
    deployments: int = 4
    keys: Sequence[str] = (KEY,)


class Found(msgspec.Struct, kw_only=True):
    """What a round, or the median of several, found at a point."""

    curve: str
    size: int
    #: Seconds until it was ready; MB once it was, and after the load.
    ready_s: float
    idle_mb: float
    rss_mb: float
    #: Milliseconds more than straight, alone; answers a second of many; CPU per request of both, in microseconds.
    added_p50_ms: float
    added_p99_ms: float
    alone_us: float
    per_second: float
    many_us: float
    errors: int


def _deployments(size: int) -> Point:
    return Point("deployments", size, deployments=size)


def _keys(size: int) -> Point:
    return Point("keys", size, keys=(KEY, *(f"bench-key-of-many-{number:09d}" for number in range(1, size))))


def _prompts(size: int) -> Point:
    return Point("prompt, bytes", size, workload=chat(size))


CURVES: dict[str, tuple[Callable[[int], Point], tuple[int, ...]]] = {
    "deployments": (_deployments, (3, 10, 30, 100)),
    "keys": (_keys, (10, 1_000, 10_000, 100_000)),
    "prompts": (_prompts, (200, 4_000, 40_000, 400_000)),
}


def points(curves: Sequence[str], sizes: Sequence[int] | None) -> list[Point]:
    """All that a round measures."""
    return [point(size) for point, own in (CURVES[name] for name in curves) for size in sizes or own]


def measure(point: Point, database: str, folder: Path, seconds: float) -> Found:
    """A gateway of this point's: started, asked, stopped."""
    with ExitStack() as stack:
        folder.mkdir()
        certificate = certificate_in(folder)
        upstream = upstreams.start(stack, folder, certificate, upstreams.Manner(), use_nginx=True)
        plan = Plan(database, upstream, point.deployments, keys=point.keys, answers=(point.workload.answer,))
        began = time.monotonic()
        started = gateway.start(stack, folder / "gateway", plan)
        ready = time.monotonic() - began
        idle = cost(started.process.pid).rss
        calling = point.keys[:: max(1, len(point.keys) // CALLING)]
        leg = Leg(point.curve, started, upstream, seconds, (ALONE, MANY), (), calling)
        alone, many = leg.rows(point.workload, lambda _: None)
    return Found(
        curve=point.curve,
        size=point.size,
        ready_s=ready,
        idle_mb=idle / 2**20,
        rss_mb=many.rss_mb,
        added_p50_ms=_known(alone.added("latency", "p50")),
        added_p99_ms=_known(alone.added("latency", "p99")),
        alone_us=_known(alone.cpu_us),
        per_second=many.through.per_second,
        many_us=_known(many.cpu_us),
        errors=_failed(alone) + _failed(many),
    )


def _known(figure: float | None) -> float:
    if figure is None:
        raise SystemExit("Too few answers came to say anything: give it more --seconds.")
    return figure


def _failed(row: Row) -> int:
    return row.through.failed + row.straight.failed


def middle(rounds: Sequence[Found]) -> Found:
    """The median of each figure; all errors."""
    figures = {
        name: median([float(getattr(one, name)) for one in rounds])
        for name in Found.__struct_fields__
        if name not in ("curve", "size", "errors")
    }
    first = rounds[0]
    return Found(curve=first.curve, size=first.size, errors=sum(one.errors for one in rounds), **figures)


def run(todo: Sequence[Point], rounds: int, seconds: float) -> list[Found]:
    """Every point in every round."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    found: list[list[Found]] = [[] for _ in todo]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steelyard-curves-")))
        progress = stack.enter_context(Progress(*columns, console=console))
        console.print(keep_off_measured_core())
        database = gateway.database(stack, folder, sqlite=False)
        task = progress.add_task("", total=rounds * len(todo))
        for turn in range(rounds):
            for number, point in enumerate(todo):
                progress.update(task, description=f"{point.curve} {point.size:,}, round {turn + 1}")
                found[number].append(measure(point, database, folder / f"{turn}-{number}", seconds))
                progress.advance(task)
    return [middle(rounds) for rounds in found]


def show(found: Sequence[Found]) -> None:
    """Print the table."""
    table = Table(caption=f"c={ALONE}: milliseconds more than straight to the upstream; c={MANY}: answers a second.")
    for name in (
        "curve",
        "size",
        "ready s",
        "idle MB",
        "c=1 +p50",
        "+p99",
        "CPU µs",
        "c=32 req/s",
        "CPU µs",
        "MB",
        "errors",
    ):
        table.add_column(name, justify="left" if name == "curve" else "right", no_wrap=True)
    before = None
    for one in found:
        if before not in (None, one.curve):
            table.add_section()
        before = one.curve
        alone = (f"{one.added_p50_ms:.2f}", f"{one.added_p99_ms:.2f}", f"{one.alone_us:.0f}")
        many = (f"{one.per_second:,.0f}", f"{one.many_us:.0f}", f"{one.rss_mb:.0f}")
        table.add_row(
            one.curve, f"{one.size:,}", f"{one.ready_s:.1f}", f"{one.idle_mb:.0f}", *alone, *many, str(one.errors)
        )
    Console(width=110).print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(prog='make bench-curves ARGS="…"', description=__doc__)
    parser.add_argument("--curve", nargs="+", choices=sorted(CURVES), default=list(CURVES), help="only these")
    parser.add_argument("--sizes", type=int, nargs="+", help="points, instead of each curve's own")
    parser.add_argument("--rounds", type=int, default=3, help="gateways per point (3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement (2)")
    parser.add_argument("--out", type=Path, default=OUT, help=f"JSON ({OUT})")
    asked = parser.parse_args(arguments)
    prepare()
    found = run(points(asked.curve, asked.sizes), asked.rounds, asked.seconds)
    show(found)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    about = {"at": time.time(), "rounds": asked.rounds, "seconds": asked.seconds}
    asked.out.write_text(json.dumps({**about, "points": msgspec.to_builtins(found)}, indent=1))
    console.print(f"Written to {asked.out}.")


if __name__ == "__main__":
    main()
