"""`steelyard config`: what is configured, what is wrong with it, and a running gateway that is to serve with it."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from gateway.cli.options import config_option, load, load_settings
from gateway.cli.workflows.calling import Caller, connected, tell
from gateway.settings.showing import show_settings


@click.group()
def config() -> None:
    """Check the configuration, show it, or have a running gateway serve with it."""


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


@config.command()
@connected
def reload(url: str, key: str | None, as_json: bool) -> None:
    """Have a running gateway read its settings again and serve with them, on all its workers; takes the admin key."""
    done = Caller(url, key).ask("POST", "/api/admin/reload")
    if as_json:
        tell(done)
        return
    click.echo(f"It serves with the settings as they are now. Changed: {', '.join(done['changed']) or 'nothing'}.")
    if done["restart"]:
        click.echo(f"These wait for the next start: {', '.join(done['restart'])}.")
