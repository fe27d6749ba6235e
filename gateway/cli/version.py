"""`steelyard version`."""

from __future__ import annotations

import platform
from importlib.metadata import version as installed_version

import rich_click as click


@click.command()
def version() -> None:
    """Show the versions of Steelyard and of the Python it runs on."""
    click.echo(f"steelyard {installed_version('steelyard')} (Python {platform.python_version()})")
