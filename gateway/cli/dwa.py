"""`steelyard dwa`: how well the balancer chooses, simulated against an oracle and the rivals, on fresh seeds."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from math import isnan
from pathlib import Path
from random import SystemRandom

import msgspec
import rich_click as click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from dwa.simulate import (
    CHANCE,
    FAMILIES,
    ORACLE,
    OURS,
    OWN,
    POLICIES,
    SCENARIOS,
    Numbers,
    Pooled,
    compare_all,
    draw,
    percent,
    play,
    pool,
    write,
)
from gateway.cli.replay import replay

Results = dict[str, dict[str, Pooled]]
"""Scenario → policy → what the seeds say together."""


@click.group()
def dwa() -> None:
    """Simulate the balancer against an oracle and the rivals, or replay what was recorded."""


dwa.add_command(replay)


@dwa.command()
def scenarios() -> None:
    """List the scenarios, and the policies that can be run in them."""
    for family, members in FAMILIES.items():
        table = Table("scenario", "bar %", "what it asks", title=family, title_justify="left")
        for one in members:
            table.add_row(one.name, "" if one.bar is None else f"{one.bar:g}", one.asks)
        Console().print(table)
    click.echo(f"Policies: {', '.join(POLICIES)}.")


@dwa.command()
@click.option("--scenario", "names", multiple=True, type=click.Choice(tuple(SCENARIOS)), help="Repeatable. [all]")
@click.option("--strategy", "policies", multiple=True, type=click.Choice(POLICIES), help="Repeatable. [dwa]")
@click.option("--seeds", default=4, show_default=True, type=click.IntRange(1), help="Worlds per scenario.")
@click.option(
    "--first-seed", default=1, show_default=True, type=click.IntRange(0), help="The same seeds, the same numbers."
)
@click.option("--seconds", type=click.FloatRange(min=1.0), help="Simulated seconds per world. [the scenario's own]")
@click.option("--workers", type=click.IntRange(1), help="Processes. [one per core]")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw one scenario's first seed: an .svg, or a .png with `steelyard[plot]`.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def simulate(
    names: tuple[str, ...],
    policies: tuple[str, ...],
    seeds: int,
    first_seed: int,
    seconds: float | None,
    workers: int | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Run policies through scenarios: how much of the gap between chance and a clairvoyant oracle do they close?"""
    chosen = policies or (OURS,)
    if plot is not None and len(names) != 1:
        raise click.UsageError("--plot draws one scenario: name it with --scenario.")
    if plot is not None:
        _require_drawable(plot)
    results = _run(names or tuple(SCENARIOS), chosen, range(first_seed, first_seed + seeds), seconds, workers)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(_plain(results)), indent=2).decode())
    else:
        for name, found in results.items():
            Console().print(_table(name, found))
    if plot is not None:
        world = SCENARIOS[names[0]].world(first_seed, seconds)
        runs = {policy: play(world, policy, first_seed) for policy in dict.fromkeys((*chosen, ORACLE, CHANCE))}
        _save(plot, _drawn(plot, draw(f"{names[0]}, seed {first_seed}", world, runs)))


@dwa.command()
@click.option("--seeds", default=20, show_default=True, type=click.IntRange(2), help="Worlds per scenario.")
@click.option("--rival-seeds", type=click.IntRange(2), help="Worlds per scenario for the rivals. [as many]")
@click.option("--first-seed", type=click.IntRange(0), help="For the same document again. [fresh]")
@click.option("--workers", type=click.IntRange(1), help="Processes. [one per core]")
@click.option("--seconds", type=click.FloatRange(min=1.0), help="Simulated seconds per world. [the scenario's own]")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("docs/dwa-results.md"), show_default=True
)
def report(
    seeds: int,
    rival_seeds: int | None,
    first_seed: int | None,
    workers: int | None,
    seconds: float | None,
    out: Path,
) -> None:
    """Write the document of every scenario and every policy.

    The rivals take most of the time, and their weaknesses show in fewer worlds than a point more or less of ours:
    `--rival-seeds` gives them the first few of the seeds.
    """
    start = SystemRandom().randrange(1_000_000) if first_seed is None else first_seed
    ours, theirs = range(start, start + seeds), range(start, start + min(rival_seeds or seeds, seeds))
    own = _run(tuple(SCENARIOS), OWN, ours, seconds, workers)
    others = _run(tuple(SCENARIOS), tuple(policy for policy in POLICIES if policy not in OWN), theirs, seconds, workers)
    _save(out, write({name: {**others[name], **own[name]} for name in own}, ours, theirs).encode())


def _run(
    names: Sequence[str], policies: Sequence[str], seeds: range, seconds: float | None, workers: int | None
) -> Results:
    found: dict[str, dict[int, dict[str, Numbers]]] = {name: {} for name in names}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("simulating", total=len(names) * len(seeds))
        for name, seed, by_policy in compare_all(
            names, policies, seeds, seconds=seconds, workers=workers or os.cpu_count() or 1
        ):
            found[name][seed] = by_policy
            progress.update(task, advance=1, description=name)
    return {name: pool(by_seed) for name, by_seed in found.items()}


def _plain(results: Results) -> dict[str, dict[str, dict[str, object]]]:
    """The same as plain values; what does not arise (nan) is null."""
    return {
        name: {policy: _without_nan(asdict(one)) for policy, one in found.items()} for name, found in results.items()
    }


def _without_nan(row: dict[str, object]) -> dict[str, object]:
    nested = row.pop("mean", None)
    if isinstance(nested, dict):
        row |= nested
    return {key: None if isinstance(value, float) and isnan(value) else value for key, value in row.items()}


def _table(name: str, found: dict[str, Pooled]) -> Table:
    bar = SCENARIOS[name].bar
    title = name if bar is None else f"{name} (bar {bar:g} %)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("policy", no_wrap=True)
    for column in ("gap closed %", "loss", "p50 s", "p99 s", "err %", "leave s", "back s"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in sorted(found.values(), key=lambda one: -one.gap):
        mean = one.mean
        times = [f"{value:.2f}" for value in (mean.p50, mean.p99)]
        watched = ["" if isnan(value) else f"{value:.1f}" for value in (mean.leave_s, mean.return_s)]
        table.add_row(one.policy, percent(one), f"{mean.loss:.4f}", *times, f"{100 * mean.seen:.2f}", *watched)
    return table


def _require_drawable(path: Path) -> None:
    """Before the simulation, which takes a while."""
    kind = path.suffix.lower()
    if kind not in (".svg", ".png"):
        raise click.UsageError(f"--plot writes SVG or PNG: let the name end in .svg or .png, not {kind or path.name}.")
    if kind == ".png" and find_spec("PIL") is None:
        raise click.UsageError("A PNG takes Pillow: pip install 'steelyard[plot]', or let the name end in .svg.")


def _drawn(path: Path, svg: str) -> bytes:
    if path.suffix.lower() == ".svg":
        return svg.encode()
    # Not before it is asked for: Pillow need not be there.
    png: Callable[[str], bytes] = import_module("gateway.cli.raster").png
    return png(svg)


def _save(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as exc:
        raise click.ClickException(f"Cannot write {path}: {exc.strerror}.") from exc
    click.echo(f"Wrote {path}.", err=True)
