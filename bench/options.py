"""The flags of `make bench`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.workloads import BY_NAME, WORKLOADS

_EPILOG = "workloads:\n" + "\n".join(f"  {one.name:17} {one.about}" for one in WORKLOADS)
_DESCRIPTION = """\
Measure the gateway with everything on against the same load sent straight to its upstream, in one run: closed loop
(so many callers, each asking again when answered), then open loop at shares of the most that was found.

Without flags: every workload over plain HTTP, then chat and stream over TLS and with an upstream that takes 50 ms.
Ratios and differences of one run mean something; absolute figures only on a quiet machine.
"""


class Options(argparse.Namespace):
    """What was asked for."""

    workload: list[str] | None
    concurrency: list[int]
    open_loop: list[float]
    seconds: float
    tls: bool
    delay_ms: float | None
    event_ms: float
    deployments: int
    quick: bool
    sqlite: bool
    upstream: str
    markdown: bool
    out: Path


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog='make bench ARGS="…"',
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_argument_group("what")
    what.add_argument("--workload", nargs="+", choices=sorted(BY_NAME), metavar="NAME", help="only these (see below)")
    what.add_argument("--concurrency", type=positive, nargs="+", metavar="C", help="callers (1 10 32 128 512)")
    what.add_argument(
        "--open-loop", type=float, nargs="*", metavar="SHARE", help="shares of the maximum (0.25 0.5 0.75); none: skip"
    )
    what.add_argument("--seconds", type=float, help="length of each measurement, after its warm-up (3)")
    what.add_argument("--quick", action="store_true", help="chat and stream, c=1 and 32, open loop at 0.5, 1 s each")
    where = parser.add_argument_group("against what")
    where.add_argument("--tls", action="store_true", help="upstream over TLS, with a throwaway certificate")
    where.add_argument("--delay-ms", type=float, metavar="MS", help="upstream takes this long (Python upstream)")
    where.add_argument("--event-ms", type=float, default=0.0, metavar="MS", help="pause between the events of streams")
    where.add_argument("--deployments", type=positive, default=4, help="of each model, for the DWA to weigh (4)")
    where.add_argument("--upstream", choices=("auto", "python"), default="auto", help="auto: nginx where it can")
    where.add_argument("--sqlite", action="store_true", help="log to SQLite instead of PostgreSQL")
    out = parser.add_argument_group("result")
    out.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    out.add_argument("--out", type=Path, default=Path("bench/out/latest.json"), help="JSON (bench/out/latest.json)")
    found = parser.parse_args(arguments, Options())
    _fill(found)
    return found


def _fill(found: Options) -> None:
    if found.workload is None and found.quick:
        found.workload = ["chat", "stream"]
    if not found.concurrency:
        found.concurrency = [1, 32] if found.quick else [1, 10, 32, 128, 512]
    if found.open_loop is None:  # pyright: ignore[reportUnnecessaryComparison] - argparse's default
        found.open_loop = [0.5] if found.quick else [0.25, 0.5, 0.75]
    if not found.seconds:
        found.seconds = 1.0 if found.quick else 3.0


def positive(text: str) -> int:
    """A number of things of which there is one at least."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number
