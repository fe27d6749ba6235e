"""`make soak`: hours of a working day in half an hour. Does anything grow?

Half of the measured maximum, in an open loop: chats (some of them new at temperature 0, so that the cache fills and
turns over), streams whose events come one by one, callers who hang up in mid-stream, an upstream that answers a share
with 500 and cuts off another, hence retries and failovers. Every few seconds the gateway's memory, file descriptors and
upstream connections are read from the system, calls under way and rows waiting from `/metrics`.

Exit code 1 when something grew between the reference window (minute 3; in a short run its first third) and the end.
asyncio's tasks are not counted: `/metrics` does not show them and nothing is added to the public API for a test; a task
that outlives its request keeps its connection, its call under way or its memory, and shows there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench import gateway, metrics, upstreams
from bench.arithmetic import median
from bench.certificate import certificate_in
from bench.gateway import HEADERS, Gateway
from bench.orders import Order, Request, Summary, drive
from bench.processes import SILENCE, keep_off_measured_core, prepare
from bench.upstreams import Manner, Upstream
from bench.workloads import BY_NAME

OUT = Path("bench/out/soak.json")
#: Shares of the mix.
MIX = {"chat": 0.5, "chat-unique": 0.2, "stream": 0.2, "anthropic-stream": 0.1}
#: Share of the maximum that is driven, and how many callers at once find that maximum.
HALF, CALLERS = 0.5, 32
#: The cache's memory. Smaller than its default, so that it is full and turning over before the reference window:
#: with 32 MiB, filling it would look like growth on a slow machine.
CACHE = "4MiB"
#: Seconds that the maximum is looked for; between two samples; of a window whose median is compared.
LOOK, EVERY, WINDOW = 8.0, 2.0, 60.0
#: Minute at whose end the reference window ends, in a run that is long enough.
SETTLED = 3.0
#: What is not growth: memory within a tenth. Descriptors and connections follow the callers of the moment, whose
#: number wavers with the machine: within a fifth and a few dozen.
RSS_MAY, COUNT_MAY, COUNT_MORE = 1.10, 1.20, 32
#: Seconds after the load within which everything under way must be over: a stream of 64 events is done by then.
LEAVE = 10.0
console = Console(stderr=True)


class Sample(msgspec.Struct, kw_only=True):
    """The gateway at one moment."""

    seconds: float
    rss_mb: float
    fds: int
    upstream: int
    in_flight: float
    waiting_rows: float


class Verdict(NamedTuple):
    """One thing that must not grow."""

    name: str
    reference: float
    end: float
    limit: float

    @property
    def held(self) -> bool:
        """It did not."""
        return self.end <= self.limit


class Options(argparse.Namespace):
    """What was asked for."""

    minutes: float
    rate: float
    hang_up: float
    fail: float
    cut: float
    event_ms: float
    sqlite: bool


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='make soak ARGS="…"', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="length (30)")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second (half of the maximum, measured)")
    parser.add_argument("--hang-up", type=float, default=0.05, help="share of callers who leave at the first byte")
    parser.add_argument("--fail", type=float, default=0.03, help="share of upstream answers that are a 500 (0.03)")
    parser.add_argument("--cut", type=float, default=0.01, help="share that the upstream cuts off (0.01)")
    parser.add_argument("--event-ms", type=float, default=2.0, help="pause between the events of a stream (2)")
    parser.add_argument("--sqlite", action="store_true", help="log to SQLite instead of PostgreSQL")
    return parser.parse_args(arguments, Options())


def verdicts(samples: Sequence[Sample], seconds: float) -> list[Verdict]:
    """Compare the last window with the reference; medians, so that one moment decides nothing."""
    until = min(SETTLED * 60, seconds / 3)
    window = min(WINDOW, seconds / 6)
    reference = [one for one in samples if until - window <= one.seconds < until]
    end = [one for one in samples if one.seconds >= seconds - window]
    if not reference or not end:
        when = "the last" if reference else "the reference"
        raise ValueError(f"No look was answered in {when} {window:.0f} s: too short a run, or too busy a machine.")

    def both(field: str) -> tuple[float, float]:
        before, after = (median([getattr(one, field) for one in part]) for part in (reference, end))
        return before, after

    rss, fds, upstream = both("rss_mb"), both("fds"), both("upstream")
    return [
        Verdict("memory, MB", *rss, rss[0] * RSS_MAY),
        Verdict("file descriptors", *fds, fds[0] * COUNT_MAY + COUNT_MORE),
        Verdict("upstream connections", *upstream, upstream[0] * COUNT_MAY + COUNT_MORE),
    ]


def sample(one: Gateway, upstream_ports: set[int], began: float) -> Sample:
    """Look at the gateway now."""
    process = psutil.Process(one.process.pid)
    connections = process.net_connections("tcp")
    return Sample(
        seconds=time.monotonic() - began,
        rss_mb=process.memory_info().rss / 2**20,
        fds=process.num_fds(),
        upstream=sum(bool(connection.raddr) and connection.raddr.port in upstream_ports for connection in connections),
        in_flight=metrics.of(one.port, "steelyard_in_flight", absent=0.0),
        waiting_rows=metrics.of(one.port, "steelyard_log_queue"),
    )


def _order(port: int, asked: Options, *, seconds: float, rate: float) -> Order:
    requests = tuple(
        Request(
            path=BY_NAME[name].path,
            body=BY_NAME[name].encoded,
            headers=HEADERS,
            ends=BY_NAME[name].ends,
            share=share,
        )
        for name, share in MIX.items()
    )
    return Order(
        port=port,
        requests=requests,
        seconds=seconds,
        rate=rate,
        concurrency=0 if rate else CALLERS,
        hang_up=asked.hang_up if rate else 0.0,
    )


@contextmanager
def _driving(order: Order) -> Generator[subprocess.Popen[bytes]]:
    """The load, in a process that ends with us."""
    with subprocess.Popen([sys.executable, "-m", "bench.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as load:
        try:
            assert load.stdin is not None
            load.stdin.write(msgspec.json.encode(order))
            load.stdin.close()
            yield load
        finally:
            load.kill()


def watch(one: Gateway, upstream: Upstream, order: Order) -> tuple[list[Sample], int, Summary]:
    """Drive the load and look every few seconds; how often the gateway did not say how it is."""
    ports = {upstream.whole, upstream.streams}
    samples: list[Sample] = []
    missed = 0
    began = time.monotonic()
    with _driving(order) as load, Progress(console=console) as progress:
        task = progress.add_task("", total=order.seconds)
        while (passed := time.monotonic() - began) < order.seconds:
            if one.process.poll() is not None:
                raise RuntimeError(f"The gateway ended: {one.said.read_text(errors='replace')[-2000:]}")
            try:
                found = sample(one, ports, began)
            except TimeoutError:
                missed += 1
                progress.update(task, completed=passed, description=f"it said nothing for {SILENCE:g} s")
                continue
            samples.append(found)
            said = f"{found.rss_mb:.0f} MB, {found.fds} descriptors, {found.upstream} upstream connections"
            progress.update(task, completed=passed, description=said)
            time.sleep(min(EVERY, order.seconds / 30))
        assert load.stdout is not None
        summary = msgspec.json.decode(load.stdout.read(), type=Summary)
    return samples, missed, summary


def left_over(one: Gateway) -> float:
    """Calls still under way some time after the last caller has gone."""
    give_up = time.monotonic() + LEAVE
    while (left := metrics.of(one.port, "steelyard_in_flight", absent=0.0)) and time.monotonic() < give_up:
        time.sleep(0.2)
    return left


def main(arguments: Sequence[str] | None = None) -> int:
    """Drive, watch, judge; the exit code."""
    asked = parse(arguments)
    prepare()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steelyard-soak-")))
        console.print(keep_off_measured_core())
        database = gateway.database(stack, folder, sqlite=asked.sqlite)
        manner = Manner(event_ms=asked.event_ms, fail=asked.fail, cut=asked.cut)
        upstream = upstreams.start(stack, folder, certificate_in(folder), manner)
        plan = gateway.Plan(database, upstream, environment={"STEELYARD_CACHE_MEMORY": CACHE})
        one = gateway.start(stack, folder, plan)
        rate = asked.rate
        if not rate:
            console.print(f"Looking for the maximum: {CALLERS} callers, {LOOK:g} s …")
            most = drive(_order(one.port, asked, seconds=LOOK, rate=0.0)).per_second
            rate = most * HALF
            console.print(f"{most:,.0f} requests a second; half of them for {asked.minutes:g} minutes.")
        order = _order(one.port, asked, seconds=asked.minutes * 60, rate=rate)
        samples, missed, summary = watch(one, upstream, order)
        data: dict[str, object] = {
            "at": time.time(),
            "rate": rate,
            "minutes": asked.minutes,
            "summary": msgspec.to_builtins(summary),
            "samples": msgspec.to_builtins(samples),
        }
        _write(data)
        try:
            grown = verdicts(samples, order.seconds)
        except ValueError as exc:
            raise SystemExit(f"{exc} What was seen is in {OUT}.") from exc
        judged = [
            *grown,
            Verdict("calls left under way", 0, left_over(one), 0),
            Verdict("looks without an answer", 0, missed, 0),
        ]
        attempts = {
            outcome: metrics.of(one.port, "steelyard_attempts_total", outcome=outcome) for outcome in _outcomes(one)
        }
    _report(judged, summary, attempts)
    _write({**data, "attempts": attempts, "verdicts": [{**one._asdict(), "held": one.held} for one in judged]})
    console.print(f"Written to {OUT}.")
    return 0 if all(one.held for one in judged) else 1


def _write(data: dict[str, object]) -> None:
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(data, indent=1))


def _outcomes(one: Gateway) -> list[str]:
    """How calls of the upstream ended, as `/metrics` names it."""
    return metrics.values_of(one.port, "steelyard_attempts_total", "outcome")


def _report(judged: Sequence[Verdict], summary: Summary, attempts: dict[str, float]) -> None:
    table = Table("what", "reference", "end", "limit", "verdict")
    for one in judged:
        table.add_row(
            one.name,
            f"{one.reference:,.0f}",
            f"{one.end:,.0f}",
            f"{one.limit:,.0f}",
            "[green]flat[/]" if one.held else "[red]GREW[/]",
        )
    Console(width=100).print(table)
    said = Console(width=160)
    said.print(
        f"{summary.requests:,} answered, {summary.hung_up:,} hung up, errors {summary.errors}; "
        f"p50 {summary.latency['p50'] or 0:.2f} ms. "
        f"Calls of the upstream by outcome: { {name: round(count) for name, count in attempts.items()} }.",
        highlight=False,
    )


if __name__ == "__main__":
    sys.exit(main())
