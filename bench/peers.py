"""`make bench-peers`: the same chat and stream load on the gateway, LiteLLM, Portkey and a bare nginx proxy.

Each is one process, on the one measured core, in front of the same upstream. Measurements are short and alternate
(peer, ours, peer, ours …), so that whatever else the machine does meets them all; medians over the rounds are printed,
and the ratio of ours to theirs, which is the figure that means something. Ours has everything on, the request log in
PostgreSQL included; the peers record nothing. What is not installed is named with the command that installs it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench import gateway, nginx, upstreams
from bench.arithmetic import median
from bench.certificate import certificate_in
from bench.orders import Order, Request, drive
from bench.processes import (
    NotStarted,
    cost,
    free_port,
    keep_off_measured_core,
    on_measured_core,
    prepare,
    until_ready,
)
from bench.upstreams import Upstream
from bench.workloads import BY_NAME, Workload

FOLDER = Path(".bench-peers")
OUT = Path("bench/out/peers.json")
OURS = "Steelyard"
_LITELLM = FOLDER / "litellm/bin/litellm"
_PORTKEY = FOLDER / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
INSTALL = {
    "LiteLLM": f"python3 -m venv {FOLDER}/litellm && {FOLDER}/litellm/bin/pip install 'litellm[proxy]'",
    "Portkey": f"npm install --prefix {FOLDER}/portkey @portkey-ai/gateway",
    "nginx": "apt-get install nginx-light",
}
_KEY = "sk-bench-0123456789abcdef"
console = Console(stderr=True)


@dataclass(frozen=True)
class Peer:
    """Something in front of the upstream, and how it is asked."""

    name: str
    port: int
    pid: int
    #: By answer: what is put before the path, and the headers.
    before: dict[str, str]
    headers: dict[str, dict[str, str]]


class Sample(msgspec.Struct, kw_only=True):
    """One measurement of one peer."""

    peer: str
    workload: str
    concurrency: int
    round: int
    requests: int
    errors: dict[str, int]
    per_second: float
    p50_ms: float | None
    p99_ms: float | None
    first_ms: float | None
    added_ms: float | None
    cpu_us: float | None
    rss_mb: float


class Options(argparse.Namespace):
    """What was asked for."""

    concurrency: list[int]
    rounds: int
    seconds: float
    peer: list[str]
    workload: list[str]
    markdown: bool


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='make bench-peers ARGS="…"', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 32], metavar="C", help="callers (1 32)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of each measurement (2)")
    parser.add_argument("--peer", nargs="+", choices=list(INSTALL), default=list(INSTALL), help="only these")
    parser.add_argument("--workload", nargs="+", choices=("chat", "stream"), default=["chat", "stream"])
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return parser.parse_args(arguments, Options())


def _ours(stack: ExitStack, folder: Path, upstream: Upstream) -> Peer:
    plan = gateway.Plan(gateway.database(stack, folder, sqlite=False), upstream)
    started = gateway.start(stack, folder / "ours", plan)
    headers = {"chat": gateway.HEADERS, "stream": gateway.HEADERS}
    return Peer(OURS, started.port, started.process.pid, {"chat": "", "stream": ""}, headers)


def _litellm(stack: ExitStack, folder: Path, upstream: Upstream) -> Peer | str:
    if not _LITELLM.exists():
        return "not installed"
    models = [
        {
            "model_name": gateway.model_of(answer),
            "litellm_params": {
                "model": "openai/bench",
                "api_base": upstream.url(answer, tls=False) + "/v1",
                "api_key": "upstream-key",
            },
        }
        for answer in ("chat", "stream")
        for _ in range(4)
    ]
    port, config = free_port(), folder / "litellm.yaml"
    config.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": _KEY}}))  # JSON is YAML
    command = [str(_LITELLM.absolute()), "--config", str(config), "--port", str(port), "--num_workers", "1"]
    # Its prices come with it: it would ask the network for newer ones.
    process = _process(stack, folder, command, port, "/health/liveliness", LITELLM_LOCAL_MODEL_COST_MAP="True")
    mine = {"Authorization": f"Bearer {_KEY}"}
    headers = {"chat": mine, "stream": mine}
    return Peer("LiteLLM", port, process, {"chat": "", "stream": ""}, headers)


def _portkey(stack: ExitStack, folder: Path, upstream: Upstream) -> Peer | str:
    if not _PORTKEY.exists():
        return "not installed"
    port = free_port()
    command = ["node", str(_PORTKEY.absolute()), f"--port={port}", "--headless"]
    # It refuses to be pointed at its own machine unless told whom to trust there.
    process = _process(stack, folder, command, port, "/", TRUSTED_CUSTOM_HOSTS="127.0.0.1,localhost")
    headers = {
        answer: {
            "Authorization": "Bearer upstream-key",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": upstream.url(answer, tls=False) + "/v1",
        }
        for answer in ("chat", "stream")
    }
    return Peer("Portkey", port, process, {"chat": "", "stream": ""}, headers)


def _nginx(stack: ExitStack, folder: Path, upstream: Upstream) -> Peer | str:
    with on_measured_core():
        started = nginx.start_proxy(stack, folder / "proxy", upstream.whole, upstream.streams)
    if isinstance(started, str):
        return started
    none: dict[str, dict[str, str]] = {"chat": {}, "stream": {}}
    return Peer("nginx", started[0], started[1].pid, {"chat": "/chat", "stream": "/stream"}, none)


_STARTS = {"LiteLLM": _litellm, "Portkey": _portkey, "nginx": _nginx}


def _process(stack: ExitStack, folder: Path, command: list[str], port: int, path: str, **environment: str) -> int:
    said = folder / f"{Path(command[-1]).name}-{port}.log"
    with on_measured_core(), said.open("wb") as out:
        process = stack.enter_context(
            subprocess.Popen(command, env={**os.environ, **environment}, stdout=out, stderr=out, cwd=folder)
        )
    stack.callback(process.kill)
    until_ready(port, path, process, said)
    return process.pid


def _sample(
    peer: Peer, workload: Workload, concurrency: int, turn: int, seconds: float, straight: float | None
) -> Sample:
    answer = workload.answer
    request = Request(
        path=peer.before[answer] + workload.path,
        body=workload.encoded,
        headers=peer.headers[answer],
        ends=workload.ends,
    )
    order = Order(
        port=peer.port, requests=(request,), seconds=seconds, warm_up=min(1.0, seconds / 3), concurrency=concurrency
    )
    before = cost(peer.pid)
    found = drive(order)
    after = cost(peer.pid)
    p50 = found.latency["p50"]
    return Sample(
        peer=peer.name,
        workload=workload.name,
        concurrency=concurrency,
        round=turn,
        requests=found.requests,
        errors=found.errors,
        per_second=found.per_second,
        p50_ms=p50,
        p99_ms=found.latency["p99"],
        first_ms=found.first["p50"],
        added_ms=None if p50 is None or straight is None else p50 - straight,
        cpu_us=(after.cpu - before.cpu) / found.answered * 1e6 if found.answered else None,
        rss_mb=after.rss / 2**20,
    )


def _straight(upstream: Upstream, workload: Workload, concurrency: int, seconds: float) -> float | None:
    request = Request(path=f"/{workload.answer}/v1/straight", body=workload.encoded)
    port = upstream.port(workload.answer)
    warm_up = min(1.0, seconds / 3)
    found = drive(Order(port=port, requests=(request,), seconds=seconds, warm_up=warm_up, concurrency=concurrency))
    return found.latency["p50"]


def measure(asked: Options, peers: Sequence[Peer], upstream: Upstream) -> list[Sample]:
    """All rounds: in each, every peer with ours right behind it."""
    ours = next(peer for peer in peers if peer.name == OURS)
    others = [peer for peer in peers if peer is not ours]
    order = [one for other in others for one in (other, ours)] or [ours]
    samples: list[Sample] = []
    with Progress(console=console) as progress:
        task = progress.add_task("", total=asked.rounds * len(asked.workload) * len(asked.concurrency) * len(order))
        for turn in range(asked.rounds):
            for workload in (BY_NAME[name] for name in asked.workload):
                for concurrency in asked.concurrency:
                    straight = _straight(upstream, workload, concurrency, asked.seconds)
                    for peer in order:
                        about = f"round {turn + 1}: {peer.name}, {workload.name}, c={concurrency}"
                        progress.update(task, description=about)
                        samples.append(_sample(peer, workload, concurrency, turn, asked.seconds, straight))
                        progress.advance(task)
    return samples


COLUMNS = ("workload", "c", "gateway", "req/s", "ours / it", "p50 ms", "p99 ms", "TTFT ms", "+p50 ms", "CPU µs", "MB")


def lines(samples: Sequence[Sample]) -> list[tuple[str, ...]]:
    """Medians over the rounds, and how many times as fast ours was in the same rounds."""
    found: list[tuple[str, ...]] = []
    for workload, concurrency in dict.fromkeys((one.workload, one.concurrency) for one in samples):
        here = [one for one in samples if (one.workload, one.concurrency) == (workload, concurrency)]
        for name in dict.fromkeys(one.peer for one in here):
            mine = [one for one in here if one.peer == name]
            ratios = [
                median([other.per_second for other in here if other.peer == OURS and other.round == one.round])
                / one.per_second
                for one in mine
                if one.per_second
            ]
            failed = sum((Counter(one.errors) for one in mine), Counter[str]())
            errors = ", ".join(f"{number} × {kind}" for kind, number in failed.items())
            found.append(
                (
                    workload,
                    str(concurrency),
                    name + (f" ({errors})" if errors else ""),
                    f"{median([one.per_second for one in mine]):,.0f}",
                    "–" if name == OURS or not ratios else f"{median(ratios):.2f}",
                    *(_middle(mine, field) for field in ("p50_ms", "p99_ms", "first_ms", "added_ms")),
                    _middle(mine, "cpu_us", 0),
                    _middle(mine, "rss_mb", 0),
                )
            )
    return found


def _middle(samples: Sequence[Sample], field: str, digits: int = 2) -> str:
    values = [value for one in samples if (value := getattr(one, field)) is not None]
    return f"{median(values):,.{digits}f}" if values else "–"


def main(arguments: Sequence[str] | None = None) -> None:
    """Start what there is, measure, print, write JSON."""
    asked = parse(arguments)
    prepare()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steelyard-peers-")))
        notes = [keep_off_measured_core()]
        upstream = upstreams.start(stack, folder, certificate_in(folder), upstreams.Manner())
        notes.append(f"Upstream: {upstream.about}")
        peers = [_ours(stack, folder, upstream)]
        for name in asked.peer:
            console.print(f"Starting {name} …")
            try:
                peer = _STARTS[name](stack, folder, upstream)
            except NotStarted as exc:
                peer = str(exc)
            if isinstance(peer, str):
                notes.append(f"Not measured: {name}, {peer}. To install it: {INSTALL[name]}")
            else:
                peers.append(peer)
        samples = measure(asked, peers, upstream)
    _print(asked, lines(samples), notes)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"at": time.time(), "notes": notes, "samples": msgspec.to_builtins(samples)}, indent=1))
    console.print(f"Written to {OUT}.")


def _print(asked: Options, rows: Sequence[tuple[str, ...]], notes: Sequence[str]) -> None:
    if asked.markdown:
        heads = (COLUMNS, ("---",) * len(COLUMNS))
        sys.stdout.write("\n".join("| " + " | ".join(row) + " |" for row in (*heads, *rows)) + "\n")
    else:
        table = Table(*COLUMNS)
        for row in rows:
            table.add_row(*row)
        Console(width=140).print(table)
    for note in notes:
        console.print(note, highlight=False, markup=False)


if __name__ == "__main__":
    main()
