"""`steelyard worker`: executions of workflows, and nothing that listens but for who wants to see how it is.

Ctrl-C, SIGTERM and SIGHUP hand over what runs, at once, to other workers or to the next start, and exit with 0: nothing
that a step has come to is lost or paid again. A second one ends it on the spot. Other settings are for the next start.
"""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import rich_click as click
from msgspec.structs import replace
from rich.console import Console

from gateway.app import VERSION
from gateway.cli.listening import listen
from gateway.cli.options import begin_log, config_option, load_settings
from gateway.first_run import with_simulator
from gateway.working import work
from providers import simulator


@click.command()
@click.option("--concurrency", help="Executions at a time. [STEELYARD_WORKFLOWS_CONCURRENCY, 16]")
@click.option("--metrics-port", help="Show metrics and health at this port. [STEELYARD_WORKER_METRICS_PORT]")
@config_option
def worker(concurrency: str | None, metrics_port: str | None, config: Path | None) -> None:
    """Run executions of workflows without serving HTTP, with the settings that `steelyard serve` has.

    Any number of them share the work over one PostgreSQL, on one machine or on several.
    """
    flags = {"workflows.concurrency": concurrency, "metrics.worker_port": metrics_port}
    settings = load_settings(config, {name: value for name, value in flags.items() if value is not None})
    settings = replace(settings, workflows=replace(settings.workflows, run=True))
    begin_log(settings)
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"[bold]Steelyard {VERSION}[/] runs executions, {settings.workflows.concurrency} at a time")
    with ExitStack() as stack:
        if not settings.providers:
            cast = simulator.default_cast()
            settings = with_simulator(settings, cast, stack.enter_context(simulator.start(cast)).url)
            console.print("[bold yellow]No provider key is set: the bundled SIMULATOR answers, marked 'simulated'.[/]")
        port, shown = settings.metrics.worker_port, None
        if port is not None:
            advice = "--metrics-port or STEELYARD_WORKER_METRICS_PORT"
            shown = stack.enter_context(listen(settings.server.host, port, advice))
            console.print(f"Metrics: http://{settings.server.host}:{port}/metrics")
        asyncio.run(work(settings, shown))
