"""The one table of a run, for the terminal or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.measure import Row

COLUMNS = (
    "upstream",
    "workload",
    "load",
    "req/s",
    "p50",
    "p90",
    "p99",
    "p99.9",
    "TTFT",
    "+p50",
    "+p99",
    "+TTFT",
    "CPU µs",
    "core",
    "MB",
    "errors",
)
LEGEND = (
    "Milliseconds. TTFT: median to the first byte of the body. +: more than the same load sent straight to the "
    "upstream. An open loop counts from the time at which a request was meant to be sent. –: too few samples to say. "
    "CPU µs: per request, core: how much of one it had (well below 100 % under full load, others were in the way), MB: "
    "resident; all of the gateway alone."
)


def cells(row: Row) -> tuple[str, ...]:
    """A row as text."""
    latency, first = row.through.latency, row.through.first
    load = row.load if row.concurrency else f"{row.load}, {row.rate:,.0f}/s"
    return (
        row.leg,
        row.workload,
        load,
        f"{row.through.per_second:,.0f}",
        *(_ms(latency[name]) for name in ("p50", "p90", "p99", "p99_9")),
        _ms(first["p50"]),
        _ms(row.added("latency", "p50")),
        _ms(row.added("latency", "p99")),
        _ms(row.added("first", "p50")),
        "–" if row.cpu_us is None else f"{row.cpu_us:.0f}",
        f"{row.core:.0%}",
        f"{row.rss_mb:.0f}",
        str(row.through.failed + row.straight.failed),
    )


def show(console: Console, rows: Sequence[Row]) -> None:
    """Print the table."""
    table = Table(caption=LEGEND)
    for number, name in enumerate(COLUMNS):
        table.add_column(name, justify="left" if number < 3 else "right", no_wrap=True)
    before: tuple[str, str] | None = None
    for row in rows:
        if before not in (None, (row.leg, row.workload)):
            table.add_section()
        before = (row.leg, row.workload)
        table.add_row(*cells(row))
    console.print(table)


def markdown(rows: Sequence[Row]) -> str:
    """The table, to be pasted."""
    lines = [COLUMNS, ("---",) * 3 + ("---:",) * (len(COLUMNS) - 3), *(cells(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{LEGEND}\n"


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
