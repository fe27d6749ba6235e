"""`make bench`: the gateway with everything on, against its upstream alone, in one run.

On: key authentication, DWA over four deployments, cache look-up (for the workloads that may be cached), metrics, cost,
and the request log into PostgreSQL (started from its wheel; SQLite with `--sqlite`). The gateway is one process held to
one core where the system allows it; upstream, load and database share the others.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import gateway, metrics, options, table, upstreams
from bench.certificate import certificate_in
from bench.measure import Leg, Row, as_json
from bench.options import Options
from bench.processes import keep_off_measured_core, prepare
from bench.workloads import BY_NAME, WORKLOADS, Workload

console = Console(stderr=True)
#: Milliseconds: what a run without flags also asks of its upstream, a quick provider's time to answer.
SLOW = 50.0
LOG_STATES = ("written", "spilled", "dropped")


@dataclass(frozen=True)
class Step:
    """A leg to be measured, and its workloads."""

    name: str
    workloads: tuple[Workload, ...]
    tls: bool = False
    delay_ms: float = 0.0
    redis: bool = False


def steps(asked: Options) -> list[Step]:
    """What a run consists of."""
    chosen = [BY_NAME[name] for name in asked.workload] if asked.workload else list(WORKLOADS)
    plain = tuple(one for one in chosen if not one.redis)
    shared = tuple(one for one in chosen if one.redis)
    delay = asked.delay_ms or 0.0
    name = " ".join(("TLS" if asked.tls else "plain", *([f"{delay:g} ms"] if delay else [])))
    found = [Step(name, plain, asked.tls, delay), Step(name, shared, asked.tls, delay, redis=True)]
    if not (asked.tls or asked.quick or asked.workload) and asked.delay_ms is None:
        everywhere = tuple(one for one in chosen if one.everywhere)
        found += [Step("TLS", everywhere, tls=True), Step(f"plain {SLOW:g} ms", everywhere, delay_ms=SLOW)]
    return [step for step in found if step.workloads]


def run(asked: Options, folder: Path, stack: ExitStack, progress: Progress) -> tuple[list[Row], list[str]]:
    """Measure everything; the rows, and what they were measured with."""
    notes = [keep_off_measured_core()]
    certificate = certificate_in(folder)
    database = gateway.database(stack, folder, sqlite=asked.sqlite)
    todo = steps(asked)
    each = len(asked.concurrency) + len(asked.open_loop)
    task = progress.add_task("", total=each * sum(len(step.workloads) for step in todo))
    rows: list[Row] = []
    for number, step in enumerate(todo):
        with ExitStack() as own:
            place = folder / f"leg-{number}"
            place.mkdir()
            progress.update(task, description=f"{step.name}: starting")
            manner = upstreams.Manner(delay_ms=step.delay_ms, event_ms=asked.event_ms)
            upstream = upstreams.start(own, place, certificate, manner, use_nginx=asked.upstream == "auto")
            notes.append(f"Upstream of “{step.name}”: {upstream.about}")
            plan = gateway.Plan(
                database,
                upstream,
                asked.deployments,
                step.tls,
                certificate[0],
                gateway.redis(own, place) if step.redis else None,
            )
            leg = Leg(
                step.name, gateway.start(own, place, plan), upstream, asked.seconds, asked.concurrency, asked.open_loop
            )
            for workload in step.workloads:
                for row in leg.rows(workload, lambda text: progress.update(task, description=text)):
                    rows.append(row)
                    progress.advance(task)
            notes.append(
                f"Request log of “{step.name}”{', with Redis' if step.redis else ''}: {recorded(leg.gateway)}."
            )
    return rows, list(dict.fromkeys(notes))


def recorded(one: gateway.Gateway) -> str:
    """What became of the rows that the gateway was to record, by its own metrics."""
    return ", ".join(f"{metrics.of(one.port, 'steelyard_log_rows', state=state):,.0f} {state}" for state in LOG_STATES)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write JSON."""
    asked = options.parse(arguments)
    prepare()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steelyard-bench-")))
        progress = stack.enter_context(Progress(*columns, console=console))
        rows, notes = run(asked, folder, stack, progress)
    about: dict[str, object] = {
        "at": time.time(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "seconds": asked.seconds,
        "database": "SQLite" if asked.sqlite else "PostgreSQL",
        "deployments": asked.deployments,
        "notes": notes,
    }
    if asked.markdown:
        sys.stdout.write(table.markdown(rows))
    else:
        table.show(Console(width=178), rows)
    for note in notes:
        console.print(note, highlight=False)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(as_json(rows, about))
    console.print(f"Written to {asked.out}.")


if __name__ == "__main__":
    main()
