"""`steelyard doctor`: what is wrong with this installation, and what to do."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway.cli.options import config_option
from gateway.doctor import configuration, machine, stores, upstream
from gateway.doctor.finding import Check, Finding, Level
from gateway.doctor.rounds import all_of
from gateway.settings import Loaded, SettingsError, from_environment
from gateway.settings.tree import Settings

_SIGNS: dict[Level, str] = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "problem": "[red]✗[/]"}


@click.command()
@click.option("--ask", is_flag=True, help="Ask each provider's cheapest chat model as well: it costs a few tokens.")
@click.option(
    "--timeout",
    default=15.0,
    show_default=True,
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="The longest that one check may take; they run side by side.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def doctor(ask: bool, timeout: float, as_json: bool, config: Path | None) -> None:
    """Look at configuration, keys, providers, database, Redis, clocks, ports and folders, and say what to do.

    Nothing is changed, and nothing billed without --ask. Exits with 1 when there is a problem, with 0 for warnings.
    """
    try:
        loaded = from_environment(config)
    except SettingsError as exc:
        findings = configuration.unloaded(exc)
    else:
        findings = asyncio.run(_look(loaded, timeout, ask=ask))
    counts = Counter(one.level for one in findings)
    if as_json:
        told = {level: counts[level] for level in _SIGNS}
        click.echo(json.dumps({**told, "findings": msgspec.to_builtins(findings)}, indent=2, ensure_ascii=False))
    else:
        _show(findings)
        click.echo(f"{counts['ok']} fine, {counts['warning']} warnings, {counts['problem']} problems.")
    if counts["problem"]:
        raise SystemExit(1)


async def _look(loaded: Loaded, within: float, *, ask: bool) -> list[Finding]:
    settings = loaded.settings
    checks = _checks(settings, ask=ask)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("looking", total=len(checks))

        def told(name: str) -> None:
            progress.update(task, description=name, advance=1)

        found = await all_of(checks, within, told)
    return [*configuration.look(loaded), *configuration.keys(settings), *found]


def _checks(settings: Settings, *, ask: bool) -> list[Check]:
    return [
        *(Check(f"provider {name}", partial(upstream.look, settings, name, ask=ask)) for name in settings.providers),
        Check("database", partial(stores.database, settings)),
        Check("redis", partial(stores.redis, settings)),
        Check("port", partial(machine.port, settings)),
        Check("folders", partial(machine.folders, settings)),
        Check("machine", partial(machine.limits, settings)),
    ]


def _show(findings: Sequence[Finding]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for one in findings:
        console.print(f"{_SIGNS[one.level]} [bold]{escape(one.check)}[/]: {escape(one.said)}")
        if one.advice is not None:
            console.print(f"    → {escape(one.advice)}")
