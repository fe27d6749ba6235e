"""`steelyard spend`: what was spent, by whom and for what, and how the budgets stand; asked of a running gateway."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.cli.workflows.calling import Caller, connected, tell

_SUMS = ("requests", "input_tokens", "output_tokens", "cost_usd")


@click.command()
@click.option("--by", default="key", show_default=True, help="Any of day, key, tag, provider, model, with commas.")
@click.option("--since", help="The first day, as 2026-01-31. [thirty days ago]")
@click.option("--until", help="The day behind the last one. [tomorrow]")
@click.option("--name", "of_key", help="Of the key of this name only.")
@click.option("--tag", help="Of keys with this tag only.")
@click.option("--provider", help="Of this provider only.")
@click.option("--model", help="Of this model only.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1_000, show_default=True, help="Most rows.")
@click.option("--budgets", is_flag=True, help="How the budgets stand instead.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@connected
def spend(
    by: str,
    since: str | None,
    until: str | None,
    of_key: str | None,
    tag: str | None,
    provider: str | None,
    model: str | None,
    limit: int,
    budgets: bool,
    as_csv: bool,
    url: str,
    key: str | None,
    as_json: bool,
) -> None:
    """What was spent: of your own key, or with the admin key of all."""
    caller = Caller(url, key)
    if budgets:
        _budgets(caller.ask("GET", "/api/spend/budgets"), as_json=as_json)
        return
    wanted = {
        "by": by,
        "since": since and _moment(since),
        "until": until and _moment(until),
        "key": of_key,
        "tag": tag,
        "provider": provider,
        "model": model,
        "limit": limit,
    }
    query = urlencode({name: value for name, value in wanted.items() if value is not None})
    if as_csv:
        for piece in caller.pieces(f"/api/spend?{query}&format=csv"):
            click.echo(piece, nl=False)
        return
    found = caller.ask("GET", f"/api/spend?{query}")
    if as_json:
        tell(found)
        return
    _rows(found)


def _rows(found: Any) -> None:
    table = Table(*found["by"], title=f"Spent from {found['since'][:10]} until {found['until'][:10]}")
    for name in _SUMS:
        table.add_column(name, justify="right")
    for row in found["rows"]:
        # As it is, and not as words for rich: tags of callers with tokens are anybody's.
        table.add_row(*(Text(_named(row[name])) for name in found["by"]), *_numbers(row))
    table.add_section()
    table.add_row(*["total"][: len(found["by"])], *[""] * (len(found["by"]) - 1), *_numbers(found["total"]))
    Console().print(table)
    if found["truncated"]:
        click.echo("There are more rows: raise --limit.", err=True)


def _budgets(found: Any, *, as_json: bool) -> None:
    if as_json:
        tell(found)
        return
    table = Table("budget", "period", "USD", "spent", "held", "left", "begins anew", title="Budgets")
    for one in found["budgets"]:
        money = (one["usd"], one["spent_usd"], one["held_usd"], one["left_usd"])
        table.add_row(Text(f"{one['kind']} {one['name']}"), one["period"], *map(_usd, money), one["until"] or "never")
    Console().print(table)


def _numbers(row: Any) -> list[str]:
    return [*(f"{row[name]:,}" for name in _SUMS[:-1]), _usd(row["cost_usd"])]


def _named(value: str | None) -> str:
    return value or "–"


def _usd(amount: float) -> str:
    return f"{amount:,.4f}"


def _moment(day: str) -> str:
    """A day as the API takes it."""
    return f"{day}T00:00:00Z" if len(day) == len("2026-01-31") else day
