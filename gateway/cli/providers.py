"""`steelyard providers`: what is configured, and whether it answers."""

# rich_click annotates its decorators only in part.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.table import Table

from gateway.catalog import Deployment
from gateway.cli.options import config_option, load_settings
from gateway.doctor.upstream import cheapest, question
from gateway.inventory import catalog_of
from gateway.settings.sections import Tls
from providers.dialects import DIALECTS
from providers.transport import Transport

#: Seconds a provider has to answer the check.
_PATIENCE = 30.0


@click.group()
def providers() -> None:
    """Show and check the configured providers."""


@providers.command("list")
@config_option
def list_providers(config: Path | None) -> None:
    """List providers, models and prices (USD per million tokens)."""
    catalog = catalog_of(load_settings(config), DIALECTS)
    if not catalog.deployments:
        click.echo("No provider is configured: `steelyard serve` would start the simulator.")
        return
    table = Table("provider", "model", "dialect", "input", "output", "context")
    for one in catalog.deployments:
        price = one.price
        table.add_row(
            one.provider,
            one.model,
            one.dialect.name,
            f"{price.input * 1e6:g}",
            f"{price.output * 1e6:g}",
            str(one.context or "?"),
        )
    Console().print(table)


@providers.command()
@click.argument("names", nargs=-1)
@config_option
def check(names: tuple[str, ...], config: Path | None) -> None:
    """Ask each provider (or those of NAMES) a tiny question through its cheapest model; exit 1 when one fails."""
    settings = load_settings(config)
    catalog = catalog_of(settings, DIALECTS)
    unknown = set(names) - set(catalog.providers)
    if unknown:
        known = ", ".join(catalog.providers) or "none"
        raise click.ClickException(f"There is no provider {', '.join(sorted(unknown))}. Configured are: {known}.")
    chosen = [name for name in catalog.providers if not names or name in names]
    if not chosen:
        raise click.ClickException(
            "No provider is configured. Set OPENAI_API_KEY, ANTHROPIC_API_KEY, …, or write YAML."
        )
    asked: list[Deployment] = []
    for name in chosen:
        one = cheapest(catalog, name)
        if one is not None:
            asked.append(one)
        else:
            click.echo(f"{name}: not checked, it has no chat model")
    if not asyncio.run(_check_all(asked, settings.tls)):
        raise SystemExit(1)


async def _check_all(deployments: list[Deployment], tls: Tls) -> bool:
    transport = Transport(verify=tls.verify, ca_file=tls.ca_file)
    try:
        results = await asyncio.gather(*(_check(transport, one) for one in deployments))
    finally:
        await transport.close()
    return all(results)


async def _check(transport: Transport, one: Deployment) -> bool:
    began = time.perf_counter()
    failed = await question(transport, one, _PATIENCE)
    click.echo(f"{one.key}: FAILED, {failed}" if failed else f"{one.key}: ok in {time.perf_counter() - began:.2f} s")
    return failed is None
