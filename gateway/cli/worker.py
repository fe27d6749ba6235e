"""`steelyard worker`: executions of workflows, and nothing that listens.

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

from gateway import logs
from gateway.app import VERSION
from gateway.cli.options import config_option, load_settings
from gateway.first_run import with_simulator
from gateway.working import work
from providers import simulator


@click.command()
@click.option("--concurrency", help="Executions at a time. [STEELYARD_WORKFLOWS_CONCURRENCY, 16]")
@config_option
def worker(concurrency: str | None, config: Path | None) -> None:
    """Run executions of workflows without serving HTTP, with the settings that `steelyard serve` has.

    Any number of them share the work over one PostgreSQL, on one machine or on several.
    """
    settings = load_settings(config, {} if concurrency is None else {"workflows.concurrency": concurrency})
    settings = replace(settings, workflows=replace(settings.workflows, run=True))
    logs.configure(settings.log.level)
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"[bold]Steelyard {VERSION}[/] runs executions, {settings.workflows.concurrency} at a time")
    with ExitStack() as stack:
        if not settings.providers:
            cast = simulator.default_cast()
            settings = with_simulator(settings, cast, stack.enter_context(simulator.start(cast)).url)
            console.print("[bold yellow]No provider key is set: the bundled SIMULATOR answers, marked 'simulated'.[/]")
        asyncio.run(work(settings))
