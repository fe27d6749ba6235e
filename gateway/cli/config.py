"""`steelyard config check` and `steelyard config show`: what is configured, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from gateway.cli.options import config_option, load, load_settings
from gateway.settings.showing import show_settings


@click.group()
def config() -> None:
    """Check the configuration, or show it."""


@config.command()
@config_option
def check(config: Path | None) -> None:
    """Say what is wrong, all of it; exit with 1 when anything is."""
    settings = load_settings(config)
    models = sum(len(provider.models) for provider in settings.providers.values())
    what = f"providers: {', '.join(settings.providers)} ({models} models)" if settings.providers else "no provider"
    click.echo(f"The configuration is valid: {what}, {len(settings.routes)} routes, {len(settings.keys)} keys.")


@config.command()
@config_option
def show(config: Path | None) -> None:
    """Show every setting as YAML, where it came from, and no secret."""
    click.echo(show_settings(load(config)), nl=False)
