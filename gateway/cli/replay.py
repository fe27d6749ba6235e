"""`steelyard dwa replay`: what would have happened to the recorded requests under another strategy or objective."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from math import inf
from pathlib import Path

import msgspec
import rich_click as click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from dwa import STRATEGIES, Objective
from gateway.api.answers.replay import FactFigures, RunAnswer, SimulateAnswer, SpreadAnswer, simulated
from gateway.cli.options import config_option, load_settings
from gateway.cli.stored import told
from gateway.first_run import with_simulator
from gateway.inventory import catalog_of
from gateway.replaying import (
    DEFAULT_ROWS,
    MOST_ROWS,
    MOST_SEEDS,
    Asked,
    Outcome,
    Period,
    Question,
    Step,
    question_of,
    work_out,
)
from gateway.settings.tree import Settings
from providers import simulator
from providers.dialects import DIALECTS

_DAY = 86_400.0
#: (name in the answer, its title, digits).
_ROWS = (
    ("mean_s", "mean s", 3),
    ("p50_s", "p50 s", 3),
    ("p95_s", "p95 s", 3),
    ("p99_s", "p99 s", 3),
    ("cost_usd", "cost USD", 6),
    ("error_share", "errors %", 3),
    ("failovers", "failovers", 1),
)


class _Moment(click.ParamType[float]):
    """An ISO time; without a zone it is UTC, like every time here."""

    name = "ISO time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Unix seconds."""
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"'{value}' is no time like 2026-11-21T10:00:00Z.", param, ctx)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


@click.command()
@click.option("--since", type=_Moment(), help="Begin of the period. [a day before its end]")
@click.option("--until", type=_Moment(), help="End of the period, exclusive. [now]")
@click.option("--strategy", type=click.Choice(sorted(STRATEGIES)), help="Replay under this one. [as recorded]")
@click.option("--objective", help="Replay under this one, of the presets or the configuration. [as recorded]")
@click.option("--model", help="Only requests that asked for this name.")
@click.option(
    "--limit", default=DEFAULT_ROWS, show_default=True, type=click.IntRange(1, MOST_ROWS), help="Newest requests read."
)
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1, MOST_SEEDS), help="Runs of each policy.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API answers, instead of tables.")
@config_option
def replay(
    since: float | None,
    until: float | None,
    strategy: str | None,
    objective: str | None,
    model: str | None,
    limit: int,
    seeds: int,
    as_json: bool,
    config: Path | None,
) -> None:
    """Replay the recorded requests of DATABASE_URL: what would have happened under another strategy or objective?"""
    if strategy is None and objective is None:
        raise click.UsageError("Give --strategy, --objective or both: what to replay the requests under.")
    end = min(until if until is not None else inf, time.time())
    period = Period(since if since is not None else end - _DAY, end, limit, model=model)
    if period.since >= end:
        raise click.UsageError("--since must be earlier than --until, which is now when left out.")
    settings = load_settings(config)
    question = _question(settings, period, strategy, objective, seeds)
    outcome = _work_out(settings.database.url.reveal(), question)
    if outcome is None:
        raise click.ClickException("Nothing that can be replayed is recorded in this period.")
    answer = simulated(outcome, seeds)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(answer), indent=2).decode())
    else:
        _show(answer)


def _question(settings: Settings, period: Period, strategy: str | None, objective: str | None, seeds: int) -> Question:
    if not settings.providers:
        # What `serve` would serve; nobody is called, so there is no address.
        settings = with_simulator(settings, simulator.default_cast(), "http://simulator.invalid")
    asked = Asked(strategy, None, seeds, settings.requests.timeout)
    question = question_of(settings, catalog_of(settings, DIALECTS), period, asked)
    if objective is None:
        return question
    found: Objective | None = question.objectives.get(objective)
    if found is None:
        raise click.UsageError(f"Unknown objective '{objective}'; one of {', '.join(question.objectives)}.")
    return msgspec.structs.replace(question, asked=Asked(strategy, found, seeds, settings.requests.timeout))


def _work_out(url: str, question: Question) -> Outcome | None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading")

        def tell(step: Step) -> None:
            progress.update(task, description=step.doing, completed=step.done, total=step.total)

        with told():
            return work_out(url, question, tell)


def _show(answer: SimulateAnswer) -> None:
    facts, runs = answer.facts, (answer.recorded, answer.asked)
    title = f"{facts.requests} requests, {answer.began:%Y-%m-%d %H:%M} to {answer.ended:%Y-%m-%d %H:%M} UTC"
    table = _table(
        title, ("", "facts", *(f"{one.strategy}\n{one.objective.name}" for one in runs), "off %", "change %")
    )
    for name, label, digits in _ROWS:
        scale = 100.0 if name == "error_share" else 1.0
        told = [_number(getattr(facts, name), digits, scale)]
        told += [_spread(getattr(one, name), digits, scale) for one in runs]
        told += [_number(getattr(one, name), 1) for one in (answer.off, answer.change)]
        table.add_row(label, *told)
    for key in _keys(facts, runs):
        shares = [_number(facts.shares.get(key, 0.0), 1, 100.0)]
        shares += [_spread(one.shares[key], 1, 100.0) if key in one.shares else "0.0" for one in runs]
        table.add_row(f"share % {key}", *shares, "", "")
    console = Console(width=140) if not Console().is_terminal else Console()
    console.print(table)
    click.echo("The second column is what happened; the next two are modelled, mean (least to most) of the seeds.")
    for sentence in answer.limits:
        click.echo(f"- {sentence}")


def _keys(facts: FactFigures, runs: Sequence[RunAnswer]) -> list[str]:
    return list(dict.fromkeys(key for one in (facts, *runs) for key in one.shares))


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", no_wrap=True)
    return table


def _number(value: float | None, digits: int, scale: float = 1.0) -> str:
    return "" if value is None else f"{value * scale:.{digits}f}"


def _spread(one: SpreadAnswer, digits: int, scale: float = 1.0) -> str:
    mean, least, most = (_number(value, digits, scale) for value in (one.mean, one.min, one.max))
    return mean if least == most else f"{mean} ({least} to {most})"
