"""`make bench-workflows`: what the gateway adds to a workflow's steps, and what workflows cost while nothing happens.

One process that serves and runs executions, on a core of its own where the system allows it, over SQLite and over
PostgreSQL (started from its wheel):

  idle     nothing to do: without any workflow, and with the engine loaded
  steps    one execution at a time, of steps that do nothing: from a step's end to the next one's, and the whole by step
  many     many such executions side by side
  prompts  steps that ask a model, against the same request over HTTP
  begin    from the call that begins an execution to the beginning of its first step
  waiting  many executions that wait for an approval, and the time until one of those given takes effect

Statements and transactions are those of the whole process but for the request log; times of steps are those of the
events that executions keep. Figures of one run may be compared, and of different hours not.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import counted, gateway, upstreams
from bench.arithmetic import median, percentiles
from bench.certificate import certificate_in
from bench.executing import ADMIN_KEY, Caller, gaps, seconds, took
from bench.gateway import Gateway, Plan
from bench.options import positive
from bench.orders import Order, Request, drive
from bench.processes import cost, keep_off_measured_core, prepare
from bench.workloads import BY_NAME

OUT = Path("bench/out/workflows.json")
DATABASES = ("sqlite", "postgresql")
SHAPES = ("chain", "fan-out", "map")
#: Seconds after a change before a figure of rest is taken: what was begun is over by then.
_SETTLED = 3.0
#: Executions that are begun, and approvals that are given, one after the other for their latency, at most.
_ASKED = 20
console = Console(stderr=True)
#: By name, in the order in which they were found; None: too small a sample to say.
Figures = dict[str, float | None]


class Options(argparse.Namespace):
    """What was asked for."""

    part: list[str]
    database: list[str]
    steps: int
    executions: int
    waiting: int
    seconds: float
    markdown: bool
    out: Path


class Bench:
    """One gateway, and whoever asks it."""

    def __init__(self, one: Gateway, counts: Path, asked: Options) -> None:
        """With no workflow in it yet."""
        self.pid, self.port, self.asked = one.process.pid, one.port, asked
        self.caller = Caller(one.port)
        self._counts = counts
        self._random = random.Random(1)

    def idle(self) -> Figures:
        """What doing nothing costs."""
        found = self._at_rest("no workflow")
        self.caller.save(self.asked.steps)
        return found | self._at_rest("engine loaded")

    def steps(self) -> Figures:
        """Executions of steps that do nothing, one after the other."""
        found: Figures = {}
        for shape in SHAPES:
            self.caller.run(shape)  # the first of its kind reads its definition
            begun = [self.caller.run(shape) for _ in range(max(1, self.asked.executions // 4))]
            between = percentiles([gap for one in begun for gap in gaps(self.caller.events(one["execution_id"]))])
            found |= {f"{shape}, end to end {name}, ms": between[name] for name in ("p50", "p90", "p99")}
            each = median([took(one) for one in begun]) / self.asked.steps
            found[f"{shape}, whole by step, ms"] = 1000 * each
        return found

    def many(self) -> Figures:
        """Executions of chains side by side."""
        before, asked = cost(self.pid), counted.counts(self._counts)
        begun = [self.caller.begin("chain") for _ in range(self.asked.executions)]
        self.caller.until(lambda: not any(self.caller.count("chain", one) for one in ("pending", "running")))
        now, asked_since = cost(self.pid), counted.counts(self._counts)
        mine = set(begun)
        ended = [one for one in self.caller.listed("chain", "completed") if one["execution_id"] in mine]
        if len(ended) != len(begun):
            raise SystemExit(f"{len(begun) - len(ended)} executions did not complete.")
        wall = max(seconds(one["completed_at"]) for one in ended) - min(seconds(one["started_at"]) for one in ended)
        steps = self.asked.steps * len(ended)
        return {
            "many, steps/s": steps / wall,
            "many, core, %": 100 * (now.cpu - before.cpu) / wall,
            "many, CPU by step, ms": 1000 * (now.cpu - before.cpu) / steps,
            "many, statements by step": (asked_since.statements - asked.statements) / steps,
            "many, transactions by step": (asked_since.transactions - asked.transactions) / steps,
            "many, MB": now.rss / 2**20,
        }

    def prompts(self) -> Figures:
        """The same question as a step and as a request."""
        chat = BY_NAME["chat"]
        request = Request(path=chat.path, body=chat.encoded, headers=gateway.HEADERS)
        order = Order(port=self.port, requests=(request,), seconds=2.0, warm_up=0.5, concurrency=1)
        plain = drive(order).latency
        self.caller.run("prompts")
        begun = [self.caller.run("prompts") for _ in range(max(1, self.asked.executions // 4))]
        between = percentiles([gap for one in begun for gap in gaps(self.caller.events(one["execution_id"]))])
        found: Figures = {f"request over HTTP {name}, ms": plain[name] for name in ("p50", "p90")}
        found |= {f"prompt, end to end {name}, ms": between[name] for name in ("p50", "p90", "p99")}
        one, other = between["p50"], plain["p50"]
        return found | {"prompt, more than the request p50, ms": None if one is None or other is None else one - other}

    def begin(self) -> Figures:
        """From asking to the first step."""
        waited: list[float] = []
        for _ in range(min(_ASKED, self.asked.executions)):
            # At no particular time, as who asks knows nothing of when the engine looks.
            time.sleep(self._random.uniform(0.1, 0.6))
            asked = time.time()
            waited.append(self.caller.first(self.caller.begin("chain"), "step.started", "n0") - asked)
        self.caller.until(lambda: not self.caller.count("chain", "running"))
        return _spread("begin, until the first step", waited)

    def waiting(self) -> Figures:
        """Executions that wait for somebody, and what happens when he has decided."""
        found = self._at_rest("before")
        begun = [self.caller.begin("gated") for _ in range(self.asked.waiting)]
        self.caller.until(lambda: self.caller.count("gated", "waiting") >= len(begun), 600.0)
        found |= self._at_rest(f"{len(begun):,} waiting")
        waited: list[float] = []
        for one in self._random.sample(begun, min(_ASKED, self.asked.executions, len(begun))):
            time.sleep(self._random.uniform(0.1, 0.6))
            asked = time.time()
            self.caller.call("POST", f"/api/executions/{one}/approve", {"decision": "approve"})
            waited.append(self.caller.first(one, "step.started", "n2") - asked)
        return found | _spread("approval, until the next step", waited)

    def _at_rest(self, name: str) -> Figures:
        time.sleep(min(_SETTLED, self.asked.seconds))
        before, asked, began = cost(self.pid), counted.counts(self._counts), time.monotonic()
        time.sleep(self.asked.seconds)
        now, asked_since, took = cost(self.pid), counted.counts(self._counts), time.monotonic() - began
        return {
            f"{name}: CPU, % of a core": 100 * (now.cpu - before.cpu) / took,
            f"{name}: statements/s": (asked_since.statements - asked.statements) / took,
            f"{name}: transactions/s": (asked_since.transactions - asked.transactions) / took,
            f"{name}: MB": now.rss / 2**20,
        }


PARTS: dict[str, Callable[[Bench], Figures]] = {
    "idle": Bench.idle,
    "steps": Bench.steps,
    "many": Bench.many,
    "prompts": Bench.prompts,
    "begin": Bench.begin,
    "waiting": Bench.waiting,
}


def _spread(name: str, values: Sequence[float]) -> Figures:
    found = percentiles(values)
    return {f"{name} {which}, ms": found[which] for which in ("p50", "p90")}


def measure(asked: Options, kind: str, folder: Path, say: Callable[[str], None]) -> Figures:
    """A gateway over a database of this kind: started, asked, stopped."""
    found: Figures = {}
    with ExitStack() as stack:
        say(f"{kind}: starting")
        folder.mkdir()
        certificate = certificate_in(folder)
        upstream = upstreams.start(stack, folder, certificate, upstreams.Manner())
        counts = folder / "counts"
        counted.begin(counts)
        environment = {"STEELYARD_ADMIN_KEY": ADMIN_KEY, counted.WHERE: str(counts)}
        database = gateway.database(stack, folder, sqlite=kind == "sqlite")
        plan = Plan(database, upstream, environment=environment, answers=("chat",), module="bench.counted")
        bench = Bench(gateway.start(stack, folder / "gateway", plan), counts, asked)
        if "idle" not in asked.part:
            bench.caller.save(asked.steps)
        for name, part in PARTS.items():
            if name in asked.part:
                say(f"{kind}: {name}")
                found |= part(bench)
                say("")
    return found


def run(asked: Options) -> dict[str, Figures]:
    """Everything over each database."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steelyard-bench-")))
        progress = stack.enter_context(Progress(*columns, console=console))
        console.print(keep_off_measured_core())
        task = progress.add_task("", total=len(asked.database) * len(set(asked.part)))

        def say(text: str) -> None:
            if text:
                progress.update(task, description=text)
            else:
                progress.advance(task)

        return {kind: measure(asked, kind, folder / kind, say) for kind in asked.database}


def rows(found: dict[str, Figures]) -> list[tuple[str, ...]]:
    """The table, its head first."""
    names = list(dict.fromkeys(name for figures in found.values() for name in figures))
    return [("figure", *found), *((name, *(_text(one.get(name)) for one in found.values())) for name in names)]


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def show(table: Sequence[Sequence[str]], *, markdown: bool) -> None:
    """Print it."""
    head, *lines = table
    if markdown:
        print(
            "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---", *["---:"] * (len(head) - 1)], *lines))
        )
        return
    drawn = Table()
    for number, name in enumerate(head):
        drawn.add_column(name, justify="right" if number else "left", no_wrap=True)
    for line in lines:
        drawn.add_row(*line)
    Console(width=110).print(drawn)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='make bench-workflows ARGS="…"',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", nargs="+", choices=list(PARTS), default=list(PARTS), help="only these")
    parser.add_argument("--database", nargs="+", choices=DATABASES, default=list(DATABASES), help="only these")
    parser.add_argument("--steps", type=positive, default=30, help="of an execution (30)")
    parser.add_argument("--executions", type=positive, default=64, help="side by side; one by one a quarter (64)")
    parser.add_argument("--waiting", type=positive, default=1_000, help="executions that wait for approval (1000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each figure of rest (60)")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--out", type=Path, default=OUT, help=f"JSON ({OUT})")
    found = parser.parse_args(arguments, Options())
    if found.steps < 3:
        parser.error("--steps must be 3 or more: a fan-out has a first, a last, and one between them")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write JSON."""
    asked = parse(arguments)
    prepare()
    found = run(asked)
    show(rows(found), markdown=asked.markdown)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    about = {name: getattr(asked, name) for name in ("steps", "executions", "waiting", "seconds")}
    asked.out.write_text(json.dumps({"at": time.time(), **about, "databases": found}, indent=1))
    console.print(f"Written to {asked.out}.")


if __name__ == "__main__":
    main()
